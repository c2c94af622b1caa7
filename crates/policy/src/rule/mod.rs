//! Rules: what a level says about a field, and what that means for a change (`policy.md` 3, 4).
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`table`] | the one table of fields: members of a MATCH, bounds, danger, groups |
//! | [`matching`] | a MATCH and its semantics |
//! | `device` | types, numbers and access of devices |
//! | [`set`] | built-in sets |
//! | [`seccomp`] | the rule of the field `seccomp` (`policy.md` 5) |
//! | [`glob`], [`quantity`], [`idset`] | patterns, numbers, sets of CPUs and nodes |
//! | `read`, `value` | how rules are read; what they look at in a change |

mod device;
pub mod glob;
pub mod idset;
pub mod matching;
pub mod quantity;
mod read;
pub mod seccomp;
pub mod set;
pub mod table;
pub(crate) mod value;

use std::fmt;

use nri_wire::field::{FIELDS, Field};

pub use self::device::Access;
use self::matching::Holds;
pub(crate) use self::matching::is_at_most_as_much;
pub use self::matching::{Bound, Case, Match};
use self::seccomp::SeccompRule;
use self::table::{Count, Group};
use crate::change::{Op, Subject};
use crate::document::source::Span;

/// A key of `fields`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FieldKey {
    /// One field, or `unknown`.
    Subject(Subject),
    /// A group.
    Group(Group),
    /// `"*"`: every field but `unknown`.
    All,
}

/// What happens because of a violation (`policy.md` 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// It is only recorded.
    Audit,
    /// It is reported.
    Warn,
    /// It does not count.
    Enforce,
}

/// How a violation is enforced (`policy.md` 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OnViolation {
    /// The change alone vanishes.
    DropEntry,
    /// The plugin's whole answer vanishes.
    DropPlugin,
    /// The request fails.
    Reject,
}

/// What a rule is called in decisions (`policy.md` 3, "Rule ids").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// By its level and key.
    Key,
    /// By its `id`.
    Id(String),
    /// It comes from the short form `securityProfileEditRule`.
    EditRule,
}

/// What a level says about a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The key as written.
    pub key: FieldKey,
    /// Where the key stands.
    pub at: Span,
    /// What is allowed.
    pub kind: Kind,
    /// Its own mode.
    pub mode: Option<Mode>,
    /// What a violation leads to.
    pub on_violation: Option<OnViolation>,
    /// How it is called.
    pub named: Named,
    /// What is said about a violation.
    pub message: Option<String>,
}

/// What a rule allows.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Nothing.
    Deny,
    /// What this says.
    Changes(Changes),
    /// The rule of `seccomp`.
    Seccomp(SeccompRule),
}

/// Which changes a rule allows.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// One of these must match, if they are given.
    pub allow: Option<Vec<Match>>,
    /// None of these may.
    pub deny: Vec<Match>,
    /// Operations.
    pub ops: Ops,
    /// Limits for numbers.
    pub bound: Option<Bound>,
    /// Whether CDI files must be looked into.
    pub expand: Option<Expand>,
}

/// Operations that a rule grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ops {
    /// Something that the client does not have.
    pub add: bool,
    /// Another value.
    pub replace: bool,
    /// Away with it.
    pub remove: bool,
}

/// What the file behind a CDI device may bring along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expand {
    /// Hooks.
    pub hooks: Expansion,
    /// Mounts.
    pub mounts: Expansion,
    /// Device nodes.
    pub devices: Expansion,
    /// Variables.
    pub env: Expansion,
}

/// What of a kind a CDI file may bring along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expansion {
    /// Nothing.
    Deny,
    /// What the level's rule of that field allows.
    Inherit,
    /// Everything.
    Allow,
}

/// What a rule says about a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// It is allowed.
    Allowed(Grant),
    /// It violates the rule, for this reason.
    Violated(String),
    /// It cannot be judged, for this reason.
    Unclear(String),
}

/// How a change is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// By what the client asked for, so that the client's own value is no further limit.
    pub relative: bool,
    /// With no more access to the device than this.
    pub access: Option<Access>,
}

impl FieldKey {
    /// The key of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "*" => Some(Self::All),
            "unknown" => Some(Self::Subject(Subject::Unknown)),
            _ => match Field::from_name(name) {
                Some(field) => Some(Self::Subject(Subject::Field(field))),
                None => Group::ALL.into_iter().find(|group| group.name() == name).map(Self::Group),
            },
        }
    }

    /// Every key.
    pub fn all() -> impl Iterator<Item = Self> {
        let fields = FIELDS.iter().map(|info| Self::Subject(Subject::Field(info.field)));
        let groups = Group::ALL.into_iter().map(Self::Group);
        fields.chain([Self::Subject(Subject::Unknown)]).chain(groups).chain([Self::All])
    }

    /// As it stands in policies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Subject(subject) => subject.name(),
            Self::Group(group) => group.name(),
            Self::All => "*",
        }
    }

    /// The keys that can decide about a subject, the most specific first.
    ///
    /// ```
    /// use nri_policy::change::Subject;
    /// use nri_policy::rule::FieldKey;
    /// use nri_wire::field::Field;
    /// let keys: Vec<_> = FieldKey::deciding(Subject::Field(Field::CpuShares)).map(FieldKey::name).collect();
    /// assert_eq!(keys, ["cpu.shares", "@cpu", "@resources", "*"]);
    /// ```
    pub fn deciding(subject: Subject) -> impl Iterator<Item = Self> {
        let (groups, all): (&'static [Group], _) = match subject {
            Subject::Field(field) => (table::of(field).groups, Some(Self::All)),
            Subject::Unknown => (&[], None),
        };
        [Self::Subject(subject)].into_iter().chain(groups.iter().map(|group| Self::Group(*group))).chain(all)
    }

    /// The fields that it is about; none for `unknown`.
    #[must_use]
    pub fn fields(self) -> Vec<Field> {
        match self {
            Self::Subject(Subject::Field(field)) => vec![field],
            Self::Subject(Subject::Unknown) => Vec::new(),
            Self::Group(group) => group.fields().collect(),
            Self::All => FIELDS.iter().map(|info| info.field).collect(),
        }
    }

    /// Whether it is about one subject.
    const fn is_exact(self) -> bool {
        matches!(self, Self::Subject(_))
    }
}

impl fmt::Display for FieldKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Rule {
    /// What the rule says about a change of any field but `seccomp`, which [`SeccompRule`] judges.
    #[must_use]
    pub fn look(&self, case: &Case<'_, '_>) -> Finding {
        match &self.kind {
            Kind::Deny => Finding::Violated(format!("{} is denied", case.change.subject)),
            Kind::Changes(changes) => changes.look(case),
            Kind::Seccomp(_) => Finding::Violated("a rule of seccomp says nothing about it".to_owned()),
        }
    }

    /// The rule as one of `seccomp`: through a group or `"*"`, what is not denied means `any`.
    #[must_use]
    pub const fn seccomp(&self) -> &SeccompRule {
        static NONE: SeccompRule = SeccompRule::NONE;
        static ANY: SeccompRule = SeccompRule::ANY;
        match &self.kind {
            Kind::Deny => &NONE,
            Kind::Changes(_) => &ANY,
            Kind::Seccomp(rule) => rule,
        }
    }
}

impl Changes {
    /// The word `allow`.
    pub const ALLOW: Self =
        Self { allow: None, deny: Vec::new(), ops: Ops::DEFAULT, bound: None, expand: None };

    fn look(&self, case: &Case<'_, '_>) -> Finding {
        if self.expand.is_some() {
            return Finding::Violated(
                "the rule has `expand`, and CDI files cannot be looked into yet".to_owned(),
            );
        }
        let mut relative = self.bound.is_some_and(|bound| bound.is_relative());
        for entry in &self.deny {
            match entry.holds(case) {
                Holds::Yes => return Finding::Violated(entry.denied(case)),
                Holds::Unclear(unknown) => return Finding::Unclear(unknown.0),
                Holds::No => relative |= entry.is_relative(),
            }
        }
        let access = match &self.allow {
            Some(allow) => match allowed(allow, case) {
                Ok(grant) => {
                    relative |= grant.relative;
                    grant.access
                }
                Err(finding) => return finding,
            },
            None => None,
        };
        if !self.ops.contains(case.change.op) {
            return Finding::Violated(format!("{} is not granted", case.change.op.name()));
        }
        let has_numbers = match case.change.subject {
            Subject::Field(field) => table::of(field).bounds.is_some(),
            Subject::Unknown => false,
        };
        if self.bound.is_some() && !has_numbers {
            return Finding::Violated(format!(
                "{} has no numbers that a bound could hold for",
                case.change.subject
            ));
        }
        match self.bound.map(|bound| bound.failure(Count::Value, case)) {
            None | Some(Ok(None)) => Finding::Allowed(Grant { relative, access }),
            Some(Ok(Some(why))) => Finding::Violated(why),
            Some(Err(unknown)) => Finding::Unclear(unknown.0),
        }
    }
}

/// Of several entries that match, the widest access counts, since one would be enough.
fn allowed(allow: &[Match], case: &Case<'_, '_>) -> Result<Grant, Finding> {
    let mut found: Option<Grant> = None;
    let mut unclear = None;
    for entry in allow {
        match entry.holds(case) {
            Holds::Yes => {
                let grant = found.get_or_insert(Grant { relative: false, access: Some(Access::NONE) });
                grant.relative |= entry.is_relative();
                grant.access = match (grant.access, entry.access) {
                    (Some(one), Some(other)) => Some(one.join(other)),
                    _ => None,
                };
            }
            Holds::Unclear(unknown) => unclear = unclear.or(Some(unknown)),
            Holds::No => {}
        }
    }
    match (found, unclear) {
        (Some(grant), _) => Ok(grant),
        (None, Some(unknown)) => Err(Finding::Unclear(unknown.0)),
        (None, None) => Err(Finding::Violated(match allow {
            [] => "`allow` is empty".to_owned(),
            [only] => format!("not allowed: {}", only.why_not(case)),
            [first, ..] => {
                format!("no entry of `allow` matches; of the first: {}", first.why_not(case))
            }
        })),
    }
}

impl Ops {
    /// Without removal, which must be granted by name.
    pub const DEFAULT: Self = Self { add: true, replace: true, remove: false };
    /// None.
    pub const NONE: Self = Self { add: false, replace: false, remove: false };

    /// Whether an operation is among them.
    #[must_use]
    pub const fn contains(self, op: Op) -> bool {
        match op {
            Op::Add => self.add,
            Op::Replace => self.replace,
            Op::Remove => self.remove,
        }
    }
}

impl Mode {
    /// Every mode by its name.
    pub const NAMES: [(&'static str, Self); 3] =
        [("enforce", Self::Enforce), ("warn", Self::Warn), ("audit", Self::Audit)];
}

impl OnViolation {
    /// Every effect by its name.
    pub const NAMES: [(&'static str, Self); 3] =
        [("reject", Self::Reject), ("drop-entry", Self::DropEntry), ("drop-plugin", Self::DropPlugin)];

    /// What a violation leads to where nothing is said, by the danger of the field.
    #[must_use]
    pub const fn by_danger(danger: u8) -> Self {
        const REJECTED_FROM: u8 = 5;
        if danger >= REJECTED_FROM { Self::Reject } else { Self::DropEntry }
    }
}
