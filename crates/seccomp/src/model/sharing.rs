//! Hazard F: equal tests share code, and the one that is emitted first may do without loading its word
//! (`spec/seccomp.md` 1.5 F).
//!
//! A test *relies* on the one before it when that has its word, under a mask in which its own lies, in hand already. A
//! *victim* relies on it where a way past the test before it leads through other words; a *donor* relies on it rightly.
//! The victim goes wrong where it shares the code of a donor, which may stand anywhere in the program.

use std::collections::{BTreeMap, BTreeSet};

use super::hazard::Hazards;
use super::load::Loaded;
use super::trie::{self, Level, Node, Side};
use crate::decision::{Check, Test, Word};
use crate::term::Effect;

/// Which conditional groups have a victim that may share a donor's code.
pub(super) fn victims(loaded: &Loaded<'_>, own: &[Hazards]) -> Vec<bool> {
    let groups = || loaded.conditional.iter().zip(own);
    let has_victim: Vec<bool> =
        groups().map(|(group, _)| contains_victim(&group.trie(loaded).top, None)).collect();
    // What a group that is not worked out would donate is not known: on the side of refusing.
    if !has_victim.contains(&true) || groups().any(|(group, _)| group.is_too_complex) {
        return has_victim;
    }
    let mut census = Census::default();
    let mut at_risk = Vec::new();
    for (group, own) in groups() {
        census.unreliable = !own.is_empty();
        census.victims.clear();
        census.level(&group.trie(loaded).top, None);
        at_risk.push(std::mem::take(&mut census.victims));
        if census.unreliable {
            for rule in group.rules(loaded) {
                census.side(&trie::chain(&rule.clauses, group.width, rule.effect), None);
            }
        }
    }
    at_risk.iter().map(|victims| victims.iter().any(|victim| census.donors.contains(victim))).collect()
}

/// What the word in hand is: which, and under which mask.
type Held = (Word, u32);

const fn held(test: &Test) -> Held {
    (test.word, test.mask)
}

/// What the test at a place of a level does without loading, given the test whose side the level is.
struct Role {
    is_victim: bool,
    is_donor: bool,
}

fn role(level: &Level, at: usize, parent: Option<&Test>) -> Option<Role> {
    let node = level.get(at)?;
    let before = at.checked_sub(1).and_then(|before| level.get(before));
    let in_hand = held(before.map(|before| &before.test).or(parent)?);
    let relies = in_hand.0 == node.test.word && node.test.mask & !in_hand.1 == 0;
    relies.then(|| match before {
        None => Role { is_victim: false, is_donor: true },
        Some(before) => {
            let strays = |side: &Side| matches!(side, Side::Level(level) if ends_elsewhere(level, in_hand));
            let is_empty = |side: &Side| matches!(side, Side::Empty);
            Role {
                is_victim: strays(&before.yes) || strays(&before.no),
                is_donor: (is_empty(&before.yes) || is_empty(&before.no)) && !strays(&before.yes),
            }
        }
    })
}

/// Whether one can leave the level without an answer and with something else in hand.
fn ends_elsewhere(level: &Level, in_hand: Held) -> bool {
    level.last().is_some_and(|last| {
        [&last.yes, &last.no].into_iter().any(|side| match side {
            Side::Empty => held(&last.test) != in_hand,
            Side::Effect(_) => false,
            Side::Level(level) => ends_elsewhere(level, in_hand),
        })
    })
}

fn contains_victim(level: &Level, parent: Option<&Test>) -> bool {
    level.iter().enumerate().any(|(at, node)| {
        role(level, at, parent).is_some_and(|role| role.is_victim)
            || [&node.yes, &node.no]
                .into_iter()
                .any(|side| matches!(side, Side::Level(level) if contains_victim(level, Some(&node.test))))
    })
}

/// Tests of the whole program, equal ones under one number.
#[derive(Default)]
struct Census {
    tests: BTreeMap<(Asked, Then, Then), usize>,
    levels: BTreeMap<Vec<usize>, usize>,
    donors: BTreeSet<usize>,
    victims: Vec<usize>,
    /// In a group with another hazard every test counts as a donor.
    unreliable: bool,
}

/// What a test asks; `Eq` is `MaskedEq` with a full mask here.
type Asked = (Word, Check, u32, u32);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Then {
    Empty,
    Effect(Effect),
    Level(usize),
}

impl Census {
    fn level(&mut self, level: &Level, parent: Option<&Test>) -> usize {
        let tests: Vec<usize> = level
            .iter()
            .enumerate()
            .map(|(at, node)| {
                let test = self.test(node);
                let role = role(level, at, parent);
                if self.unreliable || role.as_ref().is_some_and(|role| role.is_donor) {
                    self.donors.insert(test);
                }
                if role.is_some_and(|role| role.is_victim) {
                    self.victims.push(test);
                }
                test
            })
            .collect();
        let next = self.levels.len();
        *self.levels.entry(tests).or_insert(next)
    }

    fn test(&mut self, node: &Node) -> usize {
        let Test { word, check, mask, datum } = node.test;
        let check = if check == Check::MaskedEq { Check::Eq } else { check };
        let yes = self.side(&node.yes, Some(&node.test));
        let no = self.side(&node.no, Some(&node.test));
        let next = self.tests.len();
        *self.tests.entry(((word, check, mask, datum), yes, no)).or_insert(next)
    }

    fn side(&mut self, side: &Side, parent: Option<&Test>) -> Then {
        match side {
            Side::Empty => Then::Empty,
            Side::Effect(effect) => Then::Effect(*effect),
            Side::Level(level) => Then::Level(self.level(level, parent)),
        }
    }
}
