//! What a comparison finds (`spec/seccomp.md` 7.1).

use crate::compare::{Contained, text};
use crate::decision::ARGUMENTS;
use crate::policy::Invalid;
use crate::term::{Arch, Effect, Flag};

/// What [`compare`](crate::compare::compare) found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// How the new policy stands to the old one.
    pub relation: Relation,
    /// A call or flag that loosens: there exactly with [`Relation::Looser`] and [`Relation::Incomparable`].
    pub counterexample: Option<Counterexample>,
    /// Why not, for people: there exactly where [`Relation::accepts`] is false.
    pub reason: Option<String>,
    /// The proof: there exactly where [`Relation::accepts`] is true.
    pub contained: Option<Contained>,
}

impl Comparison {
    /// A side is no valid policy. Some faults, such as an unknown action, are found while a policy is read.
    #[must_use]
    pub fn invalid(side: Side, invalid: &Invalid) -> Self {
        Self::refused(Relation::Invalid, format!("the {} policy is invalid: {invalid}", side.as_str()))
    }

    pub(super) fn refused(relation: Relation, reason: String) -> Self {
        Self { relation, counterexample: None, reason: Some(reason), contained: None }
    }
}

/// How a new policy stands to the one that it replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// Each is at least as restrictive as the other.
    Equal,
    /// The new one is at least as restrictive as the old one, which is not, or not provably, as restrictive as it.
    Tighter,
    /// The new one loosens, and the old one is at least as restrictive as it.
    Looser,
    /// The new one loosens, and the old one is not, or not provably, as restrictive as it.
    Incomparable,
    /// No loosening is known, and it cannot be shown that there is none.
    Undecidable,
    /// A side is invalid.
    Invalid,
}

impl Relation {
    /// As `spec/seccomp.md` 7.1 writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Tighter => "tighter",
            Self::Looser => "looser",
            Self::Incomparable => "incomparable",
            Self::Undecidable => "undecidable",
            Self::Invalid => "invalid",
        }
    }

    /// Whether the new policy is proved to be at least as restrictive.
    #[must_use]
    pub const fn accepts(self) -> bool {
        matches!(self, Self::Equal | Self::Tighter)
    }
}

/// One of the two policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that is replaced.
    Old,
    /// The one that replaces it.
    New,
}

impl Side {
    /// `old` or `new`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
        }
    }
}

/// Where a new policy loosens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counterexample {
    /// A call.
    Call(Call),
    /// A flag for loading the filter.
    Flag {
        /// Which.
        flag: Flag,
        /// Whether it was in force.
        old: bool,
        /// Whether it now is.
        new: bool,
    },
}

/// A call that the new policy answers more loosely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its ABI.
    pub arch: Arch,
    /// Its name; `None` for a number that has none in the table.
    pub syscall: Option<String>,
    /// Its number as a filter sees it (x32: with bit 30); `None` for a name that is in no table.
    pub nr: Option<u32>,
    /// Whether neither policy names it: it stands for every call that neither names.
    pub unnamed: bool,
    /// Its arguments. On a 32-bit ABI their upper halves are 0.
    pub args: [u64; ARGUMENTS],
    /// The old policy's answer.
    pub old: Effect,
    /// The new policy's.
    pub new: Effect,
}

impl Call {
    /// The call as in C, arguments in hexadecimal; zeros at the end are left out: `clone(0x10000000, ...)`.
    #[must_use]
    pub fn text(&self) -> String {
        text::shown(self)
    }
}
