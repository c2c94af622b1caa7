//! The order in which libseccomp asks: rules go one after the other into a trie of tests (`spec/seccomp.md` 1.4).

use std::cmp::{Ordering, Reverse};

use super::rule::{Clause, Rule, Width};
use crate::decision::{ARGUMENTS, Check, List, Path, Test, Word};
use crate::term::{Effect, Operator};

/// The rules of one group.
#[derive(Debug, Default)]
pub(super) struct Trie {
    pub(super) top: Level,
    /// Two rules claimed the same place for different actions (hazard D).
    pub(super) conflict: bool,
}

/// Tests in the order in which they are asked.
pub(super) type Level = Vec<Node>;

/// A test and what follows.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) test: Test,
    class: Class,
    pub(super) yes: Side,
    pub(super) no: Side,
}

/// What follows one outcome of a test.
#[derive(Clone, Debug)]
pub(super) enum Side {
    /// The next test of the level.
    Empty,
    /// An answer.
    Effect(Effect),
    /// Further tests, then the next test of the level. At most three tests of each of six conditions, one in the other.
    Level(Level),
}

/// The operator as written, in the order of ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Above,
    Below,
    Equal,
}

impl Trie {
    pub(super) fn new(rules: &[Rule], width: Width) -> Self {
        let mut trie = Self::default();
        for rule in rules {
            if let Side::Level(chain) = chain(&rule.clauses, width, rule.effect) {
                trie.conflict |= !insert_all(&mut trie.top, chain);
            }
        }
        trie
    }

    /// The answer; `None` is for the default action.
    pub(super) fn evaluate(&self, args: &[u64; ARGUMENTS]) -> Option<Effect> {
        answer(&self.top, args)
    }

    /// All paths that end in an answer, in order, the default last (`spec/seccomp.md` 3.2).
    pub(super) fn flatten(&self, default: Effect) -> List {
        let mut list = List::new();
        flatten(&self.top, &mut Vec::new(), &mut list);
        list.push(Path { tests: Vec::new(), effect: default });
        list
    }
}

/// One rule as a chain of tests, the match of each condition leading into the next one's first test.
pub(super) fn chain(clauses: &[Clause], width: Width, effect: Effect) -> Side {
    clauses.iter().rev().fold(Side::Effect(effect), |then, clause| decide(clause, width, then))
}

/// The decision graph of one condition (`spec/seccomp.md` 1.4, "Tests").
fn decide(clause: &Clause, width: Width, then: Side) -> Side {
    let (lower, upper) = (halves(clause.datum).0, halves(clause.datum).1);
    let (lower_mask, upper_mask) = halves(clause.mask);
    let Some((low, high)) = Word::lower(clause.argument).zip(Word::upper(clause.argument)) else {
        return Side::Empty;
    };
    let class = Class::of(clause.operator);
    let node = |word, check, mask, datum, yes, no| {
        Side::Level(vec![Node { test: Test { word, check, mask, datum }, class, yes, no }])
    };
    let last = |then| {
        let (check, outcome) = last_test(clause.operator);
        let (yes, no) = if outcome { (then, Side::Empty) } else { (Side::Empty, then) };
        node(low, check, lower_mask, lower, yes, no)
    };
    if width == Width::Narrow {
        return last(then);
    }
    let equal = |yes, no| node(high, Check::Eq, u32::MAX, upper, yes, no);
    let above = |yes, no| node(high, Check::Gt, u32::MAX, upper, yes, no);
    match clause.operator {
        Operator::Eq => equal(last(then), Side::Empty),
        Operator::Ne => equal(last(then.clone()), then),
        Operator::MaskedEq => node(high, Check::MaskedEq, upper_mask, upper, last(then), Side::Empty),
        Operator::Gt | Operator::Ge => above(then.clone(), equal(last(then), Side::Empty)),
        Operator::Lt | Operator::Le => above(Side::Empty, equal(last(then.clone()), then)),
    }
}

/// The test of the lower half, and with which outcome the condition holds.
const fn last_test(operator: Operator) -> (Check, bool) {
    match operator {
        Operator::Eq => (Check::Eq, true),
        Operator::Ne => (Check::Eq, false),
        Operator::MaskedEq => (Check::MaskedEq, true),
        Operator::Gt => (Check::Gt, true),
        Operator::Le => (Check::Gt, false),
        Operator::Ge => (Check::Ge, true),
        Operator::Lt => (Check::Ge, false),
    }
}

/// Lower and upper half.
const fn halves(number: u64) -> (u32, u32) {
    let [b0, b1, b2, b3, b4, b5, b6, b7] = number.to_le_bytes();
    (u32::from_le_bytes([b0, b1, b2, b3]), u32::from_le_bytes([b4, b5, b6, b7]))
}

impl Class {
    const fn of(operator: Operator) -> Self {
        match operator {
            Operator::Eq | Operator::Ne | Operator::MaskedEq => Self::Equal,
            Operator::Lt | Operator::Le => Self::Below,
            Operator::Gt | Operator::Ge => Self::Above,
        }
    }
}

impl Node {
    /// Greater is asked first. Equal is not the same: masks, for example, have no rank.
    fn rank(&self, other: &Self) -> Ordering {
        let (datum, others) = (self.test.datum, other.test.datum);
        (self.test.word, self.class).cmp(&(other.test.word, other.class)).then_with(|| match self.class {
            Class::Below => Reverse(datum).cmp(&Reverse(others)),
            Class::Above | Class::Equal => datum.cmp(&others),
        })
    }
}

/// Puts a test with all that follows into a level. False if it meets a conflict; then what was there stays.
fn insert(level: &mut Level, new: Node) -> bool {
    for (at, node) in level.iter_mut().enumerate() {
        if node.test == new.test {
            let yes = merge(&mut node.yes, new.yes);
            return merge(&mut node.no, new.no) && yes;
        }
        if node.rank(&new) == Ordering::Less {
            level.insert(at, new);
            return true;
        }
    }
    level.push(new);
    true
}

fn insert_all(level: &mut Level, new: Level) -> bool {
    let mut fits = true;
    for node in new {
        fits &= insert(level, node);
    }
    fits
}

fn merge(side: &mut Side, new: Side) -> bool {
    match (&mut *side, new) {
        (_, Side::Empty) => true,
        (Side::Empty, new) => {
            *side = new;
            true
        }
        (Side::Effect(there), Side::Effect(new)) => *there == new,
        // The shorter rule wins.
        (Side::Effect(_), Side::Level(_)) => true,
        (Side::Level(level), Side::Effect(new)) => {
            let fits = answers_only(level, new);
            if fits {
                *side = Side::Effect(new);
            }
            fits
        }
        (Side::Level(level), Side::Level(new)) => insert_all(level, new),
    }
}

fn answers_only(level: &Level, effect: Effect) -> bool {
    level.iter().flat_map(|node| [&node.yes, &node.no]).all(|side| match side {
        Side::Empty => true,
        Side::Effect(there) => *there == effect,
        Side::Level(level) => answers_only(level, effect),
    })
}

fn answer(level: &Level, args: &[u64; ARGUMENTS]) -> Option<Effect> {
    level.iter().find_map(|node| {
        let outcome = node.test.holds(node.test.word.of(args));
        match if outcome { &node.yes } else { &node.no } {
            Side::Empty => None,
            Side::Effect(effect) => Some(*effect),
            Side::Level(level) => answer(level, args),
        }
    })
}

fn flatten(level: &Level, before: &mut Vec<(Test, bool)>, list: &mut List) {
    for node in level {
        for (outcome, side) in [(true, &node.yes), (false, &node.no)] {
            before.push((node.test, outcome));
            match side {
                Side::Empty => {}
                Side::Effect(effect) => list.push(Path { tests: before.clone(), effect: *effect }),
                Side::Level(level) => flatten(level, before, list),
            }
            before.pop();
        }
    }
}
