//! Rules as a policy can say them: at most one condition per argument, all required.

use std::collections::BTreeMap;

use super::diagram::{Cube, Diagram, Diagrams, TooComplex, YES};
use crate::decision::ARGUMENTS;
use crate::policy::{Condition, Entry, Extra, doubled};
use crate::term::{Action, Effect, Operator};

/// A condition on some argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Limit {
    pub(super) op: Operator,
    /// What the argument is compared with; the mask of `MASKED_EQ`.
    pub(super) value: u64,
    /// The datum of `MASKED_EQ`, within the mask.
    pub(super) datum: u64,
}

impl Limit {
    pub(super) const fn new(op: Operator, value: u64) -> Self {
        Self { op, value, datum: 0 }
    }

    /// The bits of `mask` are as in `datum`; in the plainest words.
    pub(super) const fn masked(mask: u64, datum: u64) -> Self {
        if mask == u64::MAX {
            Self::new(Operator::Eq, datum)
        } else {
            Self { op: Operator::MaskedEq, value: mask, datum: datum & mask }
        }
    }

    pub(super) const fn of(condition: &Condition) -> Self {
        match condition.op {
            Operator::MaskedEq => {
                let (value, datum) = (condition.value, condition.value_two & condition.value);
                Self { op: Operator::MaskedEq, value, datum }
            }
            op => Self::new(op, condition.value),
        }
    }

    /// Whether libseccomp tests it by one chain of equalities, which makes it harmless anywhere in a rule
    /// (`spec/seccomp.md` 1.5 A).
    pub(super) const fn is_plain(self) -> bool {
        matches!(self.op, Operator::Eq | Operator::MaskedEq)
    }

    /// Whether it orders the argument.
    pub(super) const fn is_comparison(self) -> bool {
        matches!(self.op, Operator::Lt | Operator::Le | Operator::Ge | Operator::Gt)
    }

    /// How many values of 64 bits it takes.
    pub(super) fn size(self) -> u128 {
        const ALL: u128 = 1 << 64;
        let value = u128::from(self.value);
        match self.op {
            Operator::Eq => 1,
            Operator::Ne => ALL - 1,
            Operator::Lt => value,
            Operator::Le => value + 1,
            Operator::Ge => ALL - value,
            Operator::Gt => ALL - 1 - value,
            Operator::MaskedEq => ALL >> self.value.count_ones(),
        }
    }

    /// Whether it takes this value, of 64 bits if `wide`, else of the lower 32.
    pub(super) const fn holds(self, value: u64, wide: bool) -> bool {
        let low = if wide { u64::MAX } else { u32::MAX as u64 };
        let (x, v) = (value & low, self.value & low);
        match self.op {
            Operator::Eq => x == v,
            Operator::Ne => x != v,
            Operator::Lt => x < v,
            Operator::Le => x <= v,
            Operator::Ge => x >= v,
            Operator::Gt => x > v,
            Operator::MaskedEq => x & v == self.datum & v,
        }
    }

    /// The bits that count and what they must be, where that says all.
    pub(super) const fn bits(self) -> Option<(u64, u64)> {
        match self.op {
            Operator::Eq => Some((u64::MAX, self.value)),
            Operator::MaskedEq => Some((self.value, self.datum)),
            _ => None,
        }
    }

    /// The same as equalities of which one must hold.
    pub(super) fn cubes(self) -> Vec<Self> {
        let bits = || (0..u64::BITS).map(|bit| 1u64 << bit);
        let above = |bit: u64| !(bit | (bit - 1));
        // A greater number has a bit that this one has not, and all that this one has above; a smaller one the other
        // way round.
        let more = |than: u64| {
            let cubes = bits().filter(move |bit| than & bit == 0);
            cubes.map(move |bit| Self::masked(than & above(bit) | bit, than & above(bit) | bit)).collect()
        };
        let less = |than: u64| {
            let cubes = bits().filter(move |bit| than & bit != 0);
            cubes.map(move |bit| Self::masked(!than & above(bit) | bit, 0)).collect()
        };
        let everything = || vec![Self::masked(0, 0)];
        match self.op {
            Operator::Eq | Operator::MaskedEq => vec![self],
            Operator::Ne => bits().map(|bit| Self::masked(bit, !self.value)).collect(),
            Operator::Gt => more(self.value),
            Operator::Ge => self.value.checked_sub(1).map_or_else(everything, more),
            Operator::Lt => less(self.value),
            Operator::Le => self.value.checked_add(1).map_or_else(everything, less),
        }
    }

    /// The calls for which it holds.
    fn set(self, diagrams: &mut Diagrams, argument: usize, wide: bool) -> Result<Diagram, TooComplex> {
        let positive = match self.op {
            Operator::Eq | Operator::Ne => diagrams.masked(argument, u64::MAX, self.value, wide)?,
            Operator::MaskedEq => diagrams.masked(argument, self.value, self.datum, wide)?,
            Operator::Ge | Operator::Lt => diagrams.at_least(argument, self.value, wide)?,
            Operator::Gt | Operator::Le => diagrams.more_than(argument, self.value, wide)?,
        };
        if matches!(self.op, Operator::Ne | Operator::Lt | Operator::Le) {
            diagrams.not(positive)
        } else {
            Ok(positive)
        }
    }
}

/// What happens to the calls for which all conditions hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rule {
    pub(super) limits: [Option<Limit>; ARGUMENTS],
    pub(super) effect: Effect,
}

impl Rule {
    /// A rule without conditions.
    pub(super) const fn always(effect: Effect) -> Self {
        Self { limits: [None; ARGUMENTS], effect }
    }

    /// The rules that an entry makes of each of its names (`spec/seccomp.md` 1.1, step 4). Of an argument above 5,
    /// which no valid policy has, nothing is left.
    pub(super) fn of(entry: &Entry) -> Vec<Self> {
        let rule = |args: &[Condition]| {
            let mut rule = Self::always(entry.effect());
            for arg in args {
                let place = usize::try_from(arg.index).ok().and_then(|index| rule.limits.get_mut(index));
                if let Some(place) = place {
                    *place = Some(Limit::of(arg));
                }
            }
            rule
        };
        if doubled(&entry.args).is_some() {
            entry.args.iter().map(|arg| rule(std::slice::from_ref(arg))).collect()
        } else {
            vec![rule(&entry.args)]
        }
    }

    /// Its conditions with the arguments that they are on.
    pub(super) fn conditions(&self) -> impl DoubleEndedIterator<Item = (usize, Limit)> + '_ {
        self.limits.iter().enumerate().filter_map(|(argument, limit)| Some((argument, (*limit)?)))
    }

    /// The bits that it fixes, if its conditions are all equalities.
    pub(super) fn cube(&self) -> Option<Cube> {
        let mut cube = Cube::default();
        for (argument, limit) in self.conditions() {
            let (mask, value) = limit.bits()?;
            *cube.mask.get_mut(argument)? = mask;
            *cube.value.get_mut(argument)? = value;
        }
        Some(cube)
    }

    /// With another condition on one argument, or none.
    pub(super) fn with(&self, argument: usize, limit: Option<Limit>) -> Self {
        let mut rule = self.clone();
        if let Some(place) = rule.limits.get_mut(argument) {
            *place = limit;
        }
        rule
    }

    /// The calls for which all its conditions hold.
    pub(super) fn set(&self, diagrams: &mut Diagrams, wide: bool) -> Result<Diagram, TooComplex> {
        let mut set = YES;
        for (argument, limit) in self.conditions() {
            let one = limit.set(diagrams, argument, wide)?;
            set = diagrams.and(set, one)?;
        }
        Ok(set)
    }

    fn entry(&self, names: Vec<String>) -> Entry {
        let (action, errno) = action(self.effect);
        let condition = |(argument, limit): (usize, Limit)| Condition {
            index: u32::try_from(argument).unwrap_or(u32::MAX),
            value: limit.value,
            value_two: limit.datum,
            op: limit.op,
            extra: Extra::new(),
        };
        let args = self.conditions().map(condition).collect();
        Entry { names, action, errno, args, extra: Extra::new() }
    }
}

/// How a policy writes an effect.
pub(super) fn action(effect: Effect) -> (Action, Option<u32>) {
    match effect {
        Effect::KillProcess => (Action::KillProcess, None),
        Effect::KillThread => (Action::KillThread, None),
        Effect::Trap => (Action::Trap, None),
        Effect::Errno(number) => (Action::Errno, Some(u32::from(number))),
        Effect::Trace(number) => (Action::Trace, Some(u32::from(number))),
        Effect::Allow => (Action::Allow, None),
        Effect::Log => (Action::Log, None),
        Effect::Notify => (Action::Notify, None),
    }
}

/// Entries for names with their rules: names with equal rules share entries. The order of a name's rules stays.
pub(super) fn entries(rules: &BTreeMap<String, Vec<Rule>>) -> Vec<Entry> {
    let mut shared: BTreeMap<&[Rule], Vec<String>> = BTreeMap::new();
    for (name, rules) in rules {
        shared.entry(rules).or_default().push(name.clone());
    }
    let each = shared.into_iter().flat_map(|(rules, names)| {
        rules.iter().map(move |rule| rule.entry(names.clone())).collect::<Vec<_>>()
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cubes_are_the_same_condition() {
        let values =
            [0, 1, 2, 5, 7, 8, 255, 1 << 31, u64::MAX >> 1, u64::MAX - 1, u64::MAX, 0x1234_5678_9abc_def0];
        for op in Operator::ALL {
            for limit in values.map(|value| Limit { op: *op, value, datum: value & 0xf0f0 }) {
                let cubes = limit.cubes();
                for x in
                    values.into_iter().flat_map(|x| [x, x.wrapping_add(1), x.wrapping_sub(1), x ^ (1 << 40)])
                {
                    let one = cubes.iter().any(|cube| cube.holds(x, true));
                    assert_eq!(one, limit.holds(x, true), "{limit:?} {x:#x}");
                }
            }
        }
    }
}
