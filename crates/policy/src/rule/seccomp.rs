//! The rule of the field `seccomp`: a value for each class of what the client asked for (`policy.md` 5).

use nri_wire::api::{Container, LinuxSeccomp};
use nri_wire::field::Field;

use super::glob::Glob;
use super::read::{Common, not_built, path_glob};
use super::{FieldKey, Kind, Rule};
use crate::change::Subject;
use crate::diagnostic::{Code, Diagnostic, Diagnostics, member};
use crate::document::node::{Entry, Node, Value};
use crate::document::source::Span;
use crate::path::clean;

/// What the client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The runtime's default policy.
    RuntimeDefault,
    /// A policy of its own.
    Localhost,
    /// No policy.
    Unconfined,
    /// A policy that the engine drops for privileged containers (F12).
    Privileged,
    /// The engine does not say (F10).
    Unknown,
}

/// What may become of a class, from the strictest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Allowed {
    /// No change.
    None,
    /// Another listener, nothing else.
    Listener,
    /// What is at least as restrictive.
    Tighten,
    /// Everything.
    Any,
}

/// The rule of `seccomp`.
#[derive(Clone, Debug, PartialEq)]
pub struct SeccompRule {
    /// In the order of [`Class::ALL`].
    classes: [Allowed; 5],
    /// Where a listener may be.
    pub listener: Option<Vec<Glob>>,
    /// Whether it holds for the client's explicit profiles too, whatever `clientOverride` says.
    pub overrides_client: bool,
}

/// The policy that a new one is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Base<'a> {
    /// It is not known.
    Unknown,
    /// There is none.
    NoPolicy,
    /// The client's.
    Policy(&'a LinuxSeccomp),
    /// The policy's `assumedBase`.
    Assumed,
}

/// Words that are a rule by themselves.
const WORDS: [(&str, SeccompRule); 10] = [
    ("none", SeccompRule::NONE),
    ("deny", SeccompRule::NONE),
    ("tighten", SeccompRule::all(Allowed::Tighten)),
    ("any", SeccompRule::ANY),
    ("allow", SeccompRule::ANY),
    ("runtime-default-only", SeccompRule::RUNTIME_DEFAULT_ONLY),
    ("defaultContainerRuntimeSecurityProfileEditsAllowed", SeccompRule::RUNTIME_DEFAULT_ONLY),
    ("noSecurityProfileEdits", SeccompRule::NONE),
    ("allSecurityProfileConfinementsAllowed", SeccompRule::all(Allowed::Tighten)),
    (
        "allSecurityProfileEditsAllowed",
        SeccompRule { classes: [Allowed::Any; 5], listener: None, overrides_client: true },
    ),
];
const VALUES: [(&str, Allowed); 4] = [
    ("none", Allowed::None),
    ("listener", Allowed::Listener),
    ("tighten", Allowed::Tighten),
    ("any", Allowed::Any),
];

/// Words that are a rule by themselves.
#[must_use]
pub fn words() -> Vec<&'static str> {
    WORDS.iter().map(|(word, _)| *word).collect()
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 5] =
        [Self::RuntimeDefault, Self::Localhost, Self::Unconfined, Self::Privileged, Self::Unknown];

    /// As it stands in policies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RuntimeDefault => "runtimeDefault",
            Self::Localhost => "localhost",
            Self::Unconfined => "unconfined",
            Self::Privileged => "privileged",
            Self::Unknown => "unknown",
        }
    }

    /// The class of what the client asked for, and the policy that a new one is compared with. `assumes`: the policy has an
    /// `assumedBase`.
    #[must_use]
    pub fn of(pristine: &Container, assumes: bool) -> (Self, Base<'_>) {
        use nri_wire::api::security_profile::ProfileType;
        let linux = pristine.linux.as_ref();
        let policy = linux.and_then(|linux| linux.seccomp_policy.as_ref());
        let base = |absent| policy.map_or(absent, Base::Policy);
        let Some(profile) = linux.and_then(|linux| linux.seccomp_profile.as_ref()) else {
            return (Self::Unknown, base(Base::Unknown));
        };
        match (ProfileType::try_from(profile.profile_type), policy) {
            (Ok(ProfileType::Unconfined), None) => (Self::Unconfined, Base::NoPolicy),
            (Ok(ProfileType::RuntimeDefault), Some(policy)) => (Self::RuntimeDefault, Base::Policy(policy)),
            (Ok(ProfileType::RuntimeDefault), None) if assumes => (Self::RuntimeDefault, Base::Assumed),
            (Ok(ProfileType::Localhost), Some(policy)) => (Self::Localhost, Base::Policy(policy)),
            (Ok(ProfileType::RuntimeDefault | ProfileType::Localhost), None) => {
                (Self::Privileged, Base::NoPolicy)
            }
            (Ok(ProfileType::Unconfined) | Err(_), _) => (Self::Unknown, base(Base::Unknown)),
        }
    }
}

impl Allowed {
    /// Every value, from the strictest.
    pub const ALL: [Self; 4] = [Self::None, Self::Listener, Self::Tighten, Self::Any];

    /// As it stands in policies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Listener => "listener",
            Self::Tighten => "tighten",
            Self::Any => "any",
        }
    }
}

impl SeccompRule {
    /// `none` for every class.
    pub const NONE: Self = Self::all(Allowed::None);
    /// `any` for every class.
    pub const ANY: Self = Self::all(Allowed::Any);
    /// `any` for the runtime's default, `none` for the rest.
    const RUNTIME_DEFAULT_ONLY: Self = Self {
        classes: [Allowed::Any, Allowed::None, Allowed::None, Allowed::None, Allowed::None],
        listener: None,
        overrides_client: false,
    };

    const fn all(allowed: Allowed) -> Self {
        Self { classes: [allowed; 5], listener: None, overrides_client: false }
    }

    /// What may become of a class.
    #[must_use]
    pub fn allowed(&self, class: Class) -> Allowed {
        let at = Class::ALL.iter().position(|known| *known == class).unwrap_or_default();
        self.classes.get(at).copied().unwrap_or(Allowed::None)
    }

    /// Whether a listener may be at this path. A path with `..` is nowhere.
    #[must_use]
    pub fn permits_listener(&self, path: &str) -> bool {
        let Some(globs) = &self.listener else { return true };
        !path.split('/').any(|segment| segment == "..")
            && globs.iter().any(|glob| glob.is_match(&clean(path)))
    }

    /// Reads what a level says about `seccomp`.
    pub(super) fn read(at: Span, node: &Node, path: &str, out: &mut Diagnostics) -> Option<Rule> {
        let key = FieldKey::Subject(Subject::Field(Field::Seccomp));
        match &node.value {
            Value::Text(word) if &**word == "listener" => {
                out.push(needs_paths(node, path));
                None
            }
            Value::Text(_) => {
                let rule = super::read::word(node, path, &WORDS, out)?;
                Some(Common::default().into_rule(key, at, Kind::Seccomp(rule)))
            }
            Value::Map(entries) => {
                let mut common = Common::default();
                let rule = Self::read_classes(entries, &mut common, node, path, out);
                Some(common.into_rule(key, at, Kind::Seccomp(rule)))
            }
            _ => {
                out.mismatch(node, path, "a word or a mapping of classes");
                None
            }
        }
    }

    fn read_classes(
        entries: &[Entry],
        common: &mut Common,
        node: &Node,
        path: &str,
        out: &mut Diagnostics,
    ) -> Self {
        let mut rule = Self::NONE;
        let mut given = false;
        for entry in entries {
            let at = member(path, &entry.key);
            let class = Class::ALL.iter().position(|class| class.name() == &*entry.key);
            if let Some(slot) = class.and_then(|class| rule.classes.get_mut(class)) {
                given = true;
                if let Some(allowed) = super::read::word(&entry.value, &at, &VALUES, out) {
                    *slot = allowed;
                }
            } else if &*entry.key == "listener" {
                rule.listener = listener(&entry.value, &at, out);
            } else if !common.take(entry, path, out) {
                let known: Vec<&str> = Class::ALL
                    .iter()
                    .map(|class| class.name())
                    .chain(["listener"])
                    .chain(Common::names())
                    .collect();
                out.unknown(entry, path, &known);
            }
        }
        if !given {
            out.push(
                Diagnostic::new(Code::E023, node.span, path, "a rule of seccomp without a class")
                    .label("no class here")
                    .help("one of runtimeDefault, localhost, unconfined, privileged, unknown; what is missing is `none`"),
            );
        }
        let needs = rule.classes.contains(&Allowed::Listener);
        if needs && rule.listener.is_none() && !entries.iter().any(|entry| &*entry.key == "listener") {
            out.push(needs_paths(node, path));
        }
        rule
    }
}

fn needs_paths(node: &Node, path: &str) -> Diagnostic {
    Diagnostic::new(Code::E023, node.span, path, "`listener` needs `listener.paths`")
        .label("where may the listener be?")
        .help("for example `{localhost: listener, listener: {paths: [/run/agent/*.sock]}}`")
}

fn listener(node: &Node, path: &str, out: &mut Diagnostics) -> Option<Vec<Glob>> {
    let Value::Map(entries) = &node.value else {
        out.mismatch(node, path, "a mapping with `paths`");
        return None;
    };
    let mut paths = None;
    for entry in entries {
        match (&*entry.key, &entry.value.value) {
            ("paths", Value::List(items)) => {
                let at = member(path, "paths");
                let read = |(index, item): (usize, &Node)| path_glob(item, &format!("{at}[{index}]"), out);
                paths = Some(items.iter().enumerate().filter_map(read).collect());
            }
            ("paths", _) => {
                out.mismatch(&entry.value, &member(path, "paths"), "a list of globs");
                paths = Some(Vec::new());
            }
            ("when", _) => not_built(entry, path, "conditions in CEL", out),
            _ => out.unknown(entry, path, &["paths"]),
        }
    }
    if paths.is_none() {
        out.push(needs_paths(node, path));
    }
    paths
}

#[cfg(test)]
mod tests {
    use nri_wire::api::{LinuxContainer, SecurityProfile};

    use super::*;

    /// The table of classes.
    #[test]
    fn classes() {
        let policy = LinuxSeccomp::default();
        for (profile, has_policy, assumes, class, base) in [
            (None, false, true, Class::Unknown, Base::Unknown),
            (None, true, false, Class::Unknown, Base::Policy(&policy)),
            (Some(1), true, false, Class::Unknown, Base::Policy(&policy)),
            (Some(1), false, false, Class::Unconfined, Base::NoPolicy),
            (Some(0), true, true, Class::RuntimeDefault, Base::Policy(&policy)),
            (Some(0), false, false, Class::Privileged, Base::NoPolicy),
            (Some(0), false, true, Class::RuntimeDefault, Base::Assumed),
            (Some(2), true, true, Class::Localhost, Base::Policy(&policy)),
            (Some(2), false, true, Class::Privileged, Base::NoPolicy),
            (Some(9), false, false, Class::Unknown, Base::Unknown),
        ] {
            let linux = LinuxContainer {
                seccomp_profile: profile
                    .map(|profile_type| SecurityProfile { profile_type, ..Default::default() }),
                seccomp_policy: has_policy.then(LinuxSeccomp::default),
                ..Default::default()
            };
            let container = Container { linux: Some(linux), ..Default::default() };
            assert_eq!(Class::of(&container, assumes), (class, base), "{profile:?} {has_policy} {assumes}");
        }
        assert_eq!(Class::of(&Container::default(), false), (Class::Unknown, Base::Unknown));
    }

    #[test]
    fn listeners() {
        let rule = SeccompRule {
            listener: Some(vec![Glob::path("/run/agent/*.sock").unwrap()]),
            ..SeccompRule::NONE
        };
        for (path, expect) in [
            ("/run/agent/a.sock", true),
            ("/var/run/agent//a.sock", true),
            ("/run/agent/x/../a.sock", false),
            ("/run/agent/x/a.sock", false),
            ("run/agent/a.sock", false),
        ] {
            assert_eq!(rule.permits_listener(path), expect, "{path}");
        }
        assert!(SeccompRule::ANY.permits_listener("/anywhere"));
    }
}
