//! Hazards: shapes of rules for which libseccomp's program is not what the rules say (`spec/seccomp.md` 1.5).
//!
//! Outside these shapes no deviation was ever found; inside, all that is known of an answer is that it is one of the
//! rules' actions or the default action.

use std::fmt;

use super::load::Loaded;
use super::rule::{Clause, Rule, Width};
use super::sharing;
use crate::term::Operator;

/// One shape, by its letter in `spec/seccomp.md` 1.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hazard {
    /// `!=`, `<`, `<=`, `>` or `>=` on a condition that is not its rule's last, beside another rule.
    A,
    /// `<`, `<=`, `>` or `>=` on one 64-bit argument with values whose upper halves differ.
    B,
    /// The same test with opposite sense behind different conditions.
    C,
    /// Two rules claim the same place for different actions.
    D,
    /// The ABI lacks a syscall that a rule names, and no syscall that it has is unconditional: all its rules are void.
    E,
    /// Code that is shared with another rule does not load its word.
    F,
    /// One rule's conditions are a part of another's, and not the leading part.
    G,
}

impl Hazard {
    /// Every letter.
    pub const ALL: [Self; 7] = [Self::A, Self::B, Self::C, Self::D, Self::E, Self::F, Self::G];

    /// What the rules do, completing "the rules for keyctl …".
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "mix `!=`, `<` or `>` on an earlier argument with other rules",
            Self::B => "compare one argument by size with values whose upper 32 bits differ",
            Self::C => "ask the same question in opposite senses behind different conditions",
            Self::D => "want different actions for the same arguments",
            Self::E => {
                "stand beside one for a syscall that this ABI lacks, and no syscall that it has is unconditional"
            }
            Self::F => "share a test with others that do not load the argument for it",
            Self::G => "repeat conditions of another rule other than its leading ones",
        }
    }
}

/// A set of letters.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hazards(u8);

impl Hazards {
    /// No letter.
    pub const NONE: Self = Self(0);

    /// With one letter more.
    #[must_use]
    pub const fn with(self, hazard: Hazard) -> Self {
        Self(self.0 | 1 << hazard as u8)
    }

    /// Whether the letter is there.
    #[must_use]
    pub const fn contains(self, hazard: Hazard) -> bool {
        self.0 & 1 << hazard as u8 != 0
    }

    /// Whether none is there.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The letters that are there.
    pub fn iter(self) -> impl Iterator<Item = Hazard> {
        Hazard::ALL.into_iter().filter(move |hazard| self.contains(*hazard))
    }
}

impl FromIterator<Hazard> for Hazards {
    fn from_iter<I: IntoIterator<Item = Hazard>>(hazards: I) -> Self {
        hazards.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Hazards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The letters of each conditional group, all but E.
pub(super) fn letters(loaded: &Loaded<'_>) -> Vec<Hazards> {
    let own: Vec<Hazards> = loaded
        .conditional
        .iter()
        .map(|group| of_rules(group.rules(loaded), group.width, group.trie(loaded).conflict))
        .collect();
    let victims = sharing::victims(loaded, &own);
    own.into_iter().zip(victims).map(|(own, victim)| if victim { own.with(Hazard::F) } else { own }).collect()
}

/// The letters that a group has by itself.
fn of_rules(rules: &[Rule], width: Width, conflict: bool) -> Hazards {
    [
        (Hazard::A, branches_early(rules)),
        (Hazard::B, width == Width::Wide && upper_halves_differ(rules)),
        (Hazard::C, opposes(rules)),
        (Hazard::D, conflict),
        (Hazard::G, repeats_a_part(rules)),
    ]
    .into_iter()
    .filter_map(|(hazard, is_there)| is_there.then_some(hazard))
    .collect()
}

fn branches_early(rules: &[Rule]) -> bool {
    let differ = rules.windows(2).any(|pair| matches!(pair, [one, other] if one.clauses != other.clauses));
    differ
        && rules.iter().any(|rule| {
            let (_, earlier) = rule.clauses.split_last().unzip();
            earlier
                .is_some_and(|earlier: &[Clause]| earlier.iter().any(|clause| has_two_ways(clause.operator)))
        })
}

/// Whether a condition of this kind can be met on more than one way through its tests.
const fn has_two_ways(operator: Operator) -> bool {
    !matches!(operator, Operator::Eq | Operator::MaskedEq)
}

fn upper_halves_differ(rules: &[Rule]) -> bool {
    let mut upper = [None; 6];
    let mut by_size = rules
        .iter()
        .flat_map(|rule| &rule.clauses)
        .filter(|clause| has_two_ways(clause.operator) && clause.operator != Operator::Ne);
    by_size.any(|clause| {
        let here = clause.datum >> 32;
        let first = upper.get_mut(usize::from(clause.argument)).map(|first| *first.get_or_insert(here));
        first.is_some_and(|first| first != here)
    })
}

/// What a condition asks, apart from its sense; and its sense. Masked ones have no opposite.
const fn question(operator: Operator) -> Option<(u8, bool)> {
    match operator {
        Operator::Eq => Some((0, true)),
        Operator::Ne => Some((0, false)),
        Operator::Ge => Some((1, true)),
        Operator::Lt => Some((1, false)),
        Operator::Gt => Some((2, true)),
        Operator::Le => Some((2, false)),
        Operator::MaskedEq => None,
    }
}

fn opposes(rules: &[Rule]) -> bool {
    // Those that ask the same stand together, in load order.
    let mut asked: Vec<_> = rules
        .iter()
        .enumerate()
        .flat_map(|(turn, rule)| {
            rule.clauses.iter().enumerate().filter_map(move |(at, clause)| {
                let (kind, sense) = question(clause.operator)?;
                let before = rule.clauses.get(..at)?;
                Some(((clause.argument, clause.datum, kind), turn, sense, before, rule.effect))
            })
        })
        .collect();
    asked.sort_unstable_by_key(|(question, turn, ..)| (*question, *turn));
    asked.chunk_by(|one, other| one.0 == other.0).any(|same| {
        same.iter().enumerate().any(|(at, (.., sense, before, effect))| {
            same.iter().skip(at + 1).any(|(.., later_sense, later_before, later_effect)| {
                sense != later_sense
                    && before != later_before
                    && (effect == later_effect || is_proper_part(before, later_before))
            })
        })
    })
}

fn repeats_a_part(rules: &[Rule]) -> bool {
    // A filter in front of the exact comparison, since there are as many pairs as the square of the rules.
    let marks: Vec<u64> =
        rules.iter().map(|rule| rule.clauses.iter().map(mark).fold(0, |all, one| all | one)).collect();
    let marked = || rules.iter().zip(&marks);
    marked().any(|(part, part_marks)| {
        marked().any(|(whole, marks)| {
            part_marks & !marks == 0
                && is_proper_part(&part.clauses, &whole.clauses)
                && !whole.clauses.starts_with(&part.clauses)
        })
    })
}

/// One bit out of 64 that equal conditions share.
const fn mark(clause: &Clause) -> u64 {
    let mixed = clause.datum
        ^ clause.mask.rotate_left(17)
        ^ (clause.operator as u64) << 40
        ^ (clause.argument as u64) << 50;
    1 << (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58)
}

fn is_proper_part(part: &[Clause], whole: &[Clause]) -> bool {
    part.len() < whole.len() && part.iter().all(|clause| whole.contains(clause))
}
