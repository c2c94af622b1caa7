//! Functions of a call's arguments as ordered decision diagrams: equal functions are the same node, so that two
//! answers can be compared, met and taken apart exactly.
//!
//! Variables are the bits of the arguments, argument 0 first, each from its highest bit. An ABI of 32 bits uses the
//! lower halves only. Leaves are numbers: [`NO`] and [`YES`] for a set of calls, codes of effects for an answer.

use std::collections::{BTreeMap, BTreeSet};

use crate::decision::{ARGUMENTS, Check, Path, Test, Word};

/// More work than a merge may take (`spec/seccomp.md` 3.5): the conditions have too little order in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooComplex;

/// A function: a node, or a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Diagram(u32);

/// The empty set.
pub(super) const NO: Diagram = Diagram::leaf(0);
/// The set of all calls.
pub(super) const YES: Diagram = Diagram::leaf(1);

const LEAF: u32 = 1 << 31;
const BITS: u16 = 64;

impl Diagram {
    /// The function that answers one number everywhere, below 2^31.
    pub(super) const fn leaf(value: u32) -> Self {
        Self(LEAF | value)
    }

    /// What it answers if that is one number everywhere.
    pub(super) const fn constant(self) -> Option<u32> {
        if self.0 & LEAF == 0 { None } else { Some(self.0 & !LEAF) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Node {
    bit: u16,
    no: Diagram,
    yes: Diagram,
}

/// Bits that are fixed, per argument: those of `mask` are as in `value`, the others are free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cube {
    pub(super) mask: [u64; ARGUMENTS],
    pub(super) value: [u64; ARGUMENTS],
}

/// Where the nodes are kept.
pub(super) struct Diagrams {
    nodes: Vec<Node>,
    known: BTreeMap<Node, Diagram>,
    left: u32,
}

impl Diagrams {
    /// None yet, and as many steps as may be taken.
    pub(super) const fn new(steps: u32) -> Self {
        Self { nodes: Vec::new(), known: BTreeMap::new(), left: steps }
    }

    /// Steps that have not been taken.
    pub(super) const fn left(&self) -> u32 {
        self.left
    }

    /// Allows at least so many steps more.
    pub(super) fn grant(&mut self, steps: u32) {
        self.left = self.left.max(steps);
    }

    /// What `f` finds in at most so many steps; `None` when it takes more.
    pub(super) fn within<T>(
        &mut self,
        steps: u32,
        f: impl FnOnce(&mut Self) -> Result<Option<T>, TooComplex>,
    ) -> Result<Option<T>, TooComplex> {
        let kept = self.left.saturating_sub(steps);
        self.left -= kept;
        let found = f(self);
        self.left += kept;
        if self.left == 0 { found } else { Ok(found.unwrap_or(None)) }
    }

    /// Takes steps.
    pub(super) fn spend(&mut self, steps: u32) -> Result<(), TooComplex> {
        let left = self.left.checked_sub(steps);
        self.left = left.unwrap_or(0);
        left.map(drop).ok_or(TooComplex)
    }

    fn node(&mut self, bit: u16, no: Diagram, yes: Diagram) -> Result<Diagram, TooComplex> {
        if no == yes {
            return Ok(no);
        }
        let node = Node { bit, no, yes };
        if let Some(found) = self.known.get(&node) {
            return Ok(*found);
        }
        let place = u32::try_from(self.nodes.len()).map_err(|_| TooComplex)?;
        self.nodes.push(node);
        self.known.insert(node, Diagram(place));
        Ok(Diagram(place))
    }

    fn get(&self, diagram: Diagram) -> Option<Node> {
        if diagram.constant().is_some() {
            return None;
        }
        self.nodes.get(usize::try_from(diagram.0).ok()?).copied()
    }

    /// `then` where `set` holds, `otherwise` elsewhere.
    pub(super) fn choose(
        &mut self,
        set: Diagram,
        then: Diagram,
        otherwise: Diagram,
    ) -> Result<Diagram, TooComplex> {
        let mut memo = BTreeMap::new();
        self.choose_with(set, then, otherwise, &mut memo)
    }

    fn choose_with(
        &mut self,
        set: Diagram,
        then: Diagram,
        otherwise: Diagram,
        memo: &mut BTreeMap<(Diagram, Diagram, Diagram), Diagram>,
    ) -> Result<Diagram, TooComplex> {
        if set == YES || then == otherwise {
            return Ok(then);
        }
        if set == NO {
            return Ok(otherwise);
        }
        let key = (set, then, otherwise);
        if let Some(found) = memo.get(&key) {
            return Ok(*found);
        }
        self.spend(1)?;
        let bit = [set, then, otherwise].iter().filter_map(|d| Some(self.get(*d)?.bit)).min().unwrap_or(0);
        let sides = [set, then, otherwise].map(|d| self.sides(d, bit));
        let [(set_no, set_yes), (then_no, then_yes), (else_no, else_yes)] = sides;
        let no = self.choose_with(set_no, then_no, else_no, memo)?;
        let yes = self.choose_with(set_yes, then_yes, else_yes, memo)?;
        let made = self.node(bit, no, yes)?;
        memo.insert(key, made);
        Ok(made)
    }

    /// What becomes of it when the bit is 0 and when it is 1.
    fn sides(&self, diagram: Diagram, bit: u16) -> (Diagram, Diagram) {
        match self.get(diagram) {
            Some(node) if node.bit == bit => (node.no, node.yes),
            _ => (diagram, diagram),
        }
    }

    pub(super) fn and(&mut self, one: Diagram, other: Diagram) -> Result<Diagram, TooComplex> {
        self.choose(one, other, NO)
    }

    pub(super) fn not(&mut self, set: Diagram) -> Result<Diagram, TooComplex> {
        self.choose(set, NO, YES)
    }

    pub(super) fn minus(&mut self, one: Diagram, other: Diagram) -> Result<Diagram, TooComplex> {
        self.choose(other, NO, one)
    }

    /// The function that answers `f` of what two functions answer.
    pub(super) fn combine(
        &mut self,
        one: Diagram,
        other: Diagram,
        f: &impl Fn(u32, u32) -> u32,
    ) -> Result<Diagram, TooComplex> {
        let mut memo = BTreeMap::new();
        self.combine_with(one, other, f, &mut memo)
    }

    fn combine_with(
        &mut self,
        one: Diagram,
        other: Diagram,
        f: &impl Fn(u32, u32) -> u32,
        memo: &mut BTreeMap<(Diagram, Diagram), Diagram>,
    ) -> Result<Diagram, TooComplex> {
        if let (Some(a), Some(b)) = (one.constant(), other.constant()) {
            return Ok(Diagram::leaf(f(a, b)));
        }
        if let Some(found) = memo.get(&(one, other)) {
            return Ok(*found);
        }
        self.spend(1)?;
        let bit = [one, other].iter().filter_map(|d| Some(self.get(*d)?.bit)).min().unwrap_or(0);
        let [(one_no, one_yes), (other_no, other_yes)] = [one, other].map(|d| self.sides(d, bit));
        let no = self.combine_with(one_no, other_no, f, memo)?;
        let yes = self.combine_with(one_yes, other_yes, f, memo)?;
        let made = self.node(bit, no, yes)?;
        memo.insert((one, other), made);
        Ok(made)
    }

    /// The function that answers `f` of what this one answers.
    pub(super) fn map(&mut self, diagram: Diagram, f: &impl Fn(u32) -> u32) -> Result<Diagram, TooComplex> {
        self.combine(diagram, NO, &|value, _| f(value))
    }

    /// Where the function answers something that `f` takes.
    pub(super) fn set(&mut self, diagram: Diagram, f: &impl Fn(u32) -> bool) -> Result<Diagram, TooComplex> {
        self.map(diagram, &|value| u32::from(f(value)))
    }

    /// Whether no call is in both sets.
    pub(super) fn disjoint(&mut self, one: Diagram, other: Diagram) -> Result<bool, TooComplex> {
        let mut seen = BTreeSet::new();
        self.disjoint_with(one, other, &mut seen)
    }

    fn disjoint_with(
        &mut self,
        one: Diagram,
        other: Diagram,
        seen: &mut BTreeSet<(Diagram, Diagram)>,
    ) -> Result<bool, TooComplex> {
        if one == NO || other == NO {
            return Ok(true);
        }
        if one == YES || other == YES || one == other {
            return Ok(false);
        }
        if !seen.insert((one, other)) {
            return Ok(true);
        }
        self.spend(1)?;
        let bit = [one, other].iter().filter_map(|d| Some(self.get(*d)?.bit)).min().unwrap_or(0);
        let [(one_no, one_yes), (other_no, other_yes)] = [one, other].map(|d| self.sides(d, bit));
        Ok(self.disjoint_with(one_no, other_no, seen)? && self.disjoint_with(one_yes, other_yes, seen)?)
    }

    /// Whether no call of a cube is in the set; of an ABI of 32 bits the upper halves of the cube do not matter.
    pub(super) fn avoids(&mut self, set: Diagram, cube: &Cube) -> Result<bool, TooComplex> {
        let mut seen = BTreeSet::new();
        let mut open = vec![set];
        while let Some(at) = open.pop() {
            let Some(node) = self.get(at) else {
                if at == NO {
                    continue;
                }
                return Ok(false);
            };
            if !seen.insert(at) {
                continue;
            }
            self.spend(1)?;
            let argument = usize::from(node.bit / BITS);
            let bit =
                |bits: &[u64; ARGUMENTS]| bits.get(argument).is_some_and(|bits| bits & weight(node.bit) != 0);
            match (bit(&cube.mask), bit(&cube.value)) {
                (false, _) => open.extend([node.no, node.yes]),
                (true, false) => open.push(node.no),
                (true, true) => open.push(node.yes),
            }
        }
        Ok(true)
    }

    /// Every answer that the function gives somewhere.
    pub(super) fn answers(&self, diagram: Diagram) -> BTreeSet<u32> {
        let mut answers = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![diagram];
        while let Some(diagram) = open.pop() {
            match self.get(diagram) {
                Some(node) if seen.insert(diagram) => open.extend([node.no, node.yes]),
                Some(_) => {}
                None => answers.extend(diagram.constant()),
            }
        }
        answers
    }

    /// The arguments on which the function depends.
    pub(super) fn arguments(&self, diagram: Diagram) -> BTreeSet<usize> {
        let mut arguments = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![diagram];
        while let Some(diagram) = open.pop() {
            if let Some(node) = self.get(diagram)
                && seen.insert(diagram)
            {
                arguments.insert(usize::from(node.bit / BITS));
                open.extend([node.no, node.yes]);
            }
        }
        arguments
    }

    /// What the function answers for a call.
    pub(super) fn evaluate(&self, mut diagram: Diagram, args: &[u64; ARGUMENTS]) -> u32 {
        while let Some(node) = self.get(diagram) {
            let arg = args.get(usize::from(node.bit / BITS)).copied().unwrap_or(0);
            diagram = if arg & weight(node.bit) == 0 { node.no } else { node.yes };
        }
        diagram.constant().unwrap_or(0)
    }

    /// The smallest call of a set, argument 0 first; `None` for the empty one.
    pub(super) fn first(&self, set: Diagram) -> Option<[u64; ARGUMENTS]> {
        if set == NO {
            return None;
        }
        let mut args = [0; ARGUMENTS];
        let mut at = set;
        while let Some(node) = self.get(at) {
            at = node.no;
            if node.no == NO {
                if let Some(arg) = args.get_mut(usize::from(node.bit / BITS)) {
                    *arg |= weight(node.bit);
                }
                at = node.yes;
            }
        }
        Some(args)
    }

    /// The ways through the diagram that end in an answer other than `but`: disjoint cubes with their answers. `None`
    /// when there are more than `limit`.
    pub(super) fn cubes(&self, diagram: Diagram, but: u32, limit: usize) -> Option<Vec<(Cube, u32)>> {
        let mut cubes = Vec::new();
        let mut open = vec![(diagram, Cube::default())];
        while let Some((at, cube)) = open.pop() {
            match self.get(at) {
                Some(node) => {
                    let argument = usize::from(node.bit / BITS);
                    let (mut no, mut yes) = (cube, cube);
                    if let (Some(mask), Some(yes_mask)) =
                        (no.mask.get_mut(argument), yes.mask.get_mut(argument))
                    {
                        *mask |= weight(node.bit);
                        *yes_mask = *mask;
                    }
                    if let Some(value) = yes.value.get_mut(argument) {
                        *value |= weight(node.bit);
                    }
                    open.extend([(node.yes, yes), (node.no, no)]);
                }
                None if at.constant() == Some(but) => {}
                None => cubes.push((cube, at.constant().unwrap_or(but))),
            }
            if cubes.len() > limit {
                return None;
            }
        }
        Some(cubes)
    }

    /// The calls whose bits of `mask` in an argument are as in `value`. `wide`: all 64 bits count, else the lower 32.
    pub(super) fn masked(
        &mut self,
        argument: usize,
        mask: u64,
        value: u64,
        wide: bool,
    ) -> Result<Diagram, TooComplex> {
        let mut set = YES;
        for bit in bits(argument, wide).rev() {
            if mask & weight(bit) != 0 {
                set = match value & weight(bit) {
                    0 => self.node(bit, set, NO)?,
                    _ => self.node(bit, NO, set)?,
                };
            }
        }
        Ok(set)
    }

    /// The calls with an argument of at least `value`.
    pub(super) fn at_least(
        &mut self,
        argument: usize,
        value: u64,
        wide: bool,
    ) -> Result<Diagram, TooComplex> {
        self.above(bits(argument, wide), value, YES)
    }

    /// The calls with an argument above `value`.
    pub(super) fn more_than(
        &mut self,
        argument: usize,
        value: u64,
        wide: bool,
    ) -> Result<Diagram, TooComplex> {
        self.above(bits(argument, wide), value, NO)
    }

    fn above(
        &mut self,
        bits: std::ops::Range<u16>,
        value: u64,
        equal: Diagram,
    ) -> Result<Diagram, TooComplex> {
        let mut set = equal;
        for bit in bits.rev() {
            set = match value & weight(bit) {
                0 => self.node(bit, set, YES)?,
                _ => self.node(bit, NO, set)?,
            };
        }
        Ok(set)
    }

    /// The calls for which a test comes out as it says.
    fn test(&mut self, test: &Test, outcome: bool) -> Result<Diagram, TooComplex> {
        let Test { word, check, mask, datum } = *test;
        let (bits, shift) = word_bits(word);
        let (mask, datum) = (u64::from(mask) << shift, u64::from(datum) << shift);
        let set = match check {
            Check::Gt => self.above(bits, datum, NO)?,
            Check::Ge => self.above(bits, datum, YES)?,
            // Bits of the datum outside the mask have been cut off by whoever made the test, or it never holds.
            Check::Eq | Check::MaskedEq if datum & !mask != 0 => NO,
            Check::Eq | Check::MaskedEq => self.masked(word.argument(), mask, datum, true)?,
        };
        if outcome { Ok(set) } else { self.not(set) }
    }

    /// What a decision list answers, with `code` for the effects.
    pub(super) fn list(
        &mut self,
        list: &[Path],
        code: &impl Fn(&Path) -> u32,
    ) -> Result<Diagram, TooComplex> {
        let mut answer = NO;
        for path in list.iter().rev() {
            let mut holds = YES;
            for (test, outcome) in &path.tests {
                let set = self.test(test, *outcome)?;
                holds = self.and(holds, set)?;
            }
            answer = self.choose(holds, Diagram::leaf(code(path)), answer)?;
        }
        Ok(answer)
    }
}

/// The bits of an argument that count.
fn bits(argument: usize, wide: bool) -> std::ops::Range<u16> {
    let start = u16::try_from(argument).unwrap_or(0) * BITS;
    start + if wide { 0 } else { BITS / 2 }..start + BITS
}

/// The bits of a word, and how far it lies from the low end of its argument.
fn word_bits(word: Word) -> (std::ops::Range<u16>, u32) {
    let std::ops::Range { start, end } = bits(word.argument(), true);
    let middle = start + BITS / 2;
    if word.is_upper() { (start..middle, 32) } else { (middle..end, 0) }
}

/// The bit's place in its argument.
const fn weight(bit: u16) -> u64 {
    1 << (BITS - 1 - bit % BITS)
}
