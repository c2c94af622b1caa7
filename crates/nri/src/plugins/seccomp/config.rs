//! The configuration: which containers, where their policy comes from, what is done to it.
//!
//! ```yaml
//! listenerDirectories: [/run/seccomp-agents]   # where listener sockets may be
//! rules:                                       # the first one that matches a container counts
//! - match:                                     # all that is said must hold; nothing said: every container
//!     namespaces: [team-*]                     # exact, or a beginning with *
//!     containers: [app]
//!     labels: {audit: "on"}                    # of the pod
//!     annotations: {tier: web}                 # of the pod
//!   policy: container                          # the one it has (default), or one of:
//!   # policy: {profile: /etc/nri/seccomp/web.json}
//!   # policy: {inline: {defaultAction: SCMP_ACT_ALLOW}}
//!   unconfined: error                          # what happens to a container without a policy: error (default), leave, or allow
//!   edits:                                     # in this order
//!   - remove: [mount]
//!   - add: [{names: [bpf], action: LOG}]
//!   - set: [{names: [mkdir], action: ERRNO, errnoRet: 1}]
//!   - switch: {from: ERRNO, names: [ptrace], to: NOTIFY}
//!   - default: {action: LOG}
//!   listener:                                  # set where a rule of the policy says NOTIFY
//!     path: /run/seccomp-agents/{namespace}/{name}.sock
//!     pathAnnotation: seccomp.example.com/listener       # what the pod's author says comes first, if named here
//!     metadata: "{namespace}/{name}/{container}"
//!     metadataAnnotation: seccomp.example.com/metadata
//! ```
//!
//! A rule that says nothing but `match` exempts its containers from those after it.
//!
//! Actions and operators are spelled as in OCI, with or without `SCMP_ACT_` and `SCMP_CMP_`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use nri_seccomp::policy::{Condition, Entry, Policy};
use nri_seccomp::syscall;
use nri_seccomp::term::{Action, Operator};
use serde::{Deserialize, Deserializer, de};

use super::listener::{Directory, Template};

/// The whole text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Config {
    #[serde(default)]
    pub(super) listener_directories: Vec<Directory>,
    pub(super) rules: Vec<Rule>,
}

/// What is done with some containers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Rule {
    #[serde(default, rename = "match")]
    pub(super) matches: Match,
    #[serde(default)]
    pub(super) policy: Source,
    #[serde(default)]
    pub(super) unconfined: Unconfined,
    #[serde(default)]
    pub(super) edits: Vec<Edit>,
    #[serde(default)]
    pub(super) listener: Listener,
}

/// Which containers.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Match {
    pub(super) namespaces: Vec<String>,
    pub(super) containers: Vec<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

/// The policy that is edited.
#[derive(Default)]
pub(super) enum Source {
    /// The one that the container has.
    #[default]
    Container,
    /// This one.
    Given(Box<Policy>),
}

/// What happens with a container that has no policy where one is wanted. Not knowing the policy is not having none: that
/// is always an error.
#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Unconfined {
    /// It is not created: what the rule asks for cannot be done.
    #[default]
    Error,
    /// It stays as it is.
    Leave,
    /// The edits start from a policy that allows everything.
    Allow,
}

/// A change of the policy.
pub(super) enum Edit {
    Remove(Vec<String>),
    Add(Vec<Entry>),
    Set(Vec<Entry>),
    Switch { from: Option<Action>, names: Option<Vec<String>>, to: (Action, Option<u32>) },
    Default((Action, Option<u32>)),
}

/// Who gets the notifications.
#[derive(PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct Listener {
    pub(super) path: Option<Template>,
    pub(super) path_annotation: Option<String>,
    pub(super) metadata: Option<Template>,
    pub(super) metadata_annotation: Option<String>,
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Form {
            Container,
            Profile(PathBuf),
            Inline(serde_json::Value),
        }
        match Form::deserialize(deserializer)? {
            Form::Container => Ok(Self::Container),
            Form::Profile(path) => {
                profile(&path).map(|policy| Self::Given(Box::new(policy))).map_err(de::Error::custom)
            }
            Form::Inline(json) => policy(&json)
                .map(|policy| Self::Given(Box::new(policy)))
                .map_err(|error| de::Error::custom(format!("inline: {error}"))),
        }
    }
}

/// Read once, when the plugin is configured.
fn profile(path: &std::path::Path) -> Result<Policy, String> {
    if !path.is_absolute() {
        return Err(format!("profile {} is no absolute path", path.display()));
    }
    let failed = |error: &dyn std::fmt::Display| format!("profile {}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    let json = serde_json::from_str(&text).map_err(|error| failed(&error))?;
    policy(&json).map_err(|error| failed(&error))
}

fn policy(json: &serde_json::Value) -> Result<Policy, String> {
    let policy = Policy::from_json(json).map_err(|invalid| invalid.to_string())?;
    match policy.extra_members().as_slice() {
        [] => Ok(policy),
        // Docker's profile format, for one, says essential things in members of its own.
        members => Err(format!(
            "{} cannot be handed to a runtime; only members of OCI's linux.seccomp can",
            members.join(", ")
        )),
    }
}

/// What the text has for an edit: one member.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum EditForm {
    Remove(Vec<Syscall>),
    Add(Vec<EntryForm>),
    Set(Vec<EntryForm>),
    Switch(SwitchForm),
    Default(DefaultForm),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct EntryForm {
    names: Vec<Syscall>,
    #[serde(deserialize_with = "action")]
    action: Action,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Vec<ConditionForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ConditionForm {
    index: u32,
    value: u64,
    #[serde(default)]
    value_two: u64,
    #[serde(deserialize_with = "operator")]
    op: Operator,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SwitchForm {
    #[serde(default, deserialize_with = "some_action")]
    from: Option<Action>,
    names: Option<Vec<Syscall>>,
    #[serde(deserialize_with = "action")]
    to: Action,
    errno_ret: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct DefaultForm {
    #[serde(deserialize_with = "action")]
    action: Action,
    errno_ret: Option<u32>,
}

impl<'de> Deserialize<'de> for Edit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let edit = match EditForm::deserialize(deserializer)? {
            EditForm::Remove(names) => Self::Remove(plain(names)),
            EditForm::Add(entries) => Self::Add(entries.into_iter().map(Entry::from).collect()),
            EditForm::Set(entries) => Self::Set(entries.into_iter().map(Entry::from).collect()),
            EditForm::Switch(SwitchForm { from, names, to, errno_ret }) => {
                Self::Switch { from, names: names.map(plain), to: (to, errno_ret) }
            }
            EditForm::Default(DefaultForm { action, errno_ret }) => Self::Default((action, errno_ret)),
        };
        edit.check().map_err(de::Error::custom)?;
        Ok(edit)
    }
}

impl Edit {
    /// Applies it.
    pub(super) fn apply(&self, policy: &mut Policy) -> Result<(), nri_seccomp::edit::Ineffective> {
        match self {
            Self::Remove(names) => {
                policy.remove(names);
                Ok(())
            }
            Self::Add(entries) => policy.add(entries),
            Self::Set(entries) => policy.set(entries),
            Self::Switch { from, names, to } => policy.switch(*from, names.as_deref(), *to).map(|_| ()),
            Self::Default(to) => policy.switch_default(*to),
        }
    }

    /// What is wrong with it for every policy.
    fn check(&self) -> Result<(), String> {
        let mut probe = Policy::new(Action::Allow);
        // A listener is found for each pod; what else runtimes refuse is known now.
        probe.listener_path = Some("/".to_owned());
        match self {
            Self::Remove(_) => {}
            Self::Add(entries) | Self::Set(entries) => probe.syscalls.clone_from(entries),
            Self::Switch { names, to, .. } => {
                let mut entry = Entry::new(names.iter().flatten(), to.0);
                entry.errno = to.1;
                probe.syscalls.push(entry);
            }
            Self::Default((action, errno)) => (probe.default_action, probe.default_errno) = (*action, *errno),
        }
        probe.check().map_err(|invalid| invalid.to_string())
    }
}

impl From<EntryForm> for Entry {
    fn from(form: EntryForm) -> Self {
        let mut entry = Self::new(plain(form.names), form.action);
        entry.errno = form.errno_ret;
        entry.args = form
            .args
            .into_iter()
            .map(|arg| Condition {
                index: arg.index,
                value: arg.value,
                value_two: arg.value_two,
                op: arg.op,
                extra: serde_json::Map::new(),
            })
            .collect();
        entry
    }
}

fn plain(names: Vec<Syscall>) -> Vec<String> {
    names.into_iter().map(|name| name.0).collect()
}

/// The name of a syscall that exists. Runtimes pass over other names in silence, and the rule with them.
struct Syscall(String);

impl<'de> Deserialize<'de> for Syscall {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if syscall::is_known(&name) {
            Ok(Self(name))
        } else {
            Err(de::Error::custom(format!("no system call is named {name:?}")))
        }
    }
}

fn action<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Action, D::Error> {
    let word = String::deserialize(deserializer)?;
    word.parse().or_else(|error| format!("SCMP_ACT_{word}").parse().map_err(|_| de::Error::custom(error)))
}

fn some_action<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Action>, D::Error> {
    action(deserializer).map(Some)
}

fn operator<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Operator, D::Error> {
    let word = String::deserialize(deserializer)?;
    word.parse().or_else(|error| format!("SCMP_CMP_{word}").parse().map_err(|_| de::Error::custom(error)))
}
