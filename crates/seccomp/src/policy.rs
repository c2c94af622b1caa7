//! The model of `linux.seccomp`, from and to JSON. Members that it does not know are kept where they stand.
//!
//! Reading is strict about shape and words. What else a runtime refuses is [`Policy::check`]'s business, which comes
//! after the edits: a listener, for example, is often set by one.

use std::fmt;

use serde_json::{Map, Value};

use crate::members::{Members, term, text, unsigned32, unsigned64};
use crate::term::{Action, Arch, Effect, Flag, Operator, UnknownTerm};

/// Members that the model does not know, in their order.
pub type Extra = Map<String, Value>;

/// A seccomp policy: `linux.seccomp` of an OCI runtime spec.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What happens to a call that no rule answers.
    pub default_action: Action,
    /// The number that goes with the default action.
    pub default_errno: Option<u32>,
    /// ABIs beside the native one.
    pub architectures: Vec<Arch>,
    /// Flags for loading; none means `SPEC_ALLOW` with runc and crun (`spec/seccomp.md` 1.10).
    pub flags: Vec<Flag>,
    /// Path of the unix socket whose other end gets the listener's descriptor.
    pub listener_path: Option<String>,
    /// Text that goes with the descriptor.
    pub listener_metadata: Option<String>,
    /// The rules in load order.
    pub syscalls: Vec<Entry>,
    /// What else there is.
    pub extra: Extra,
}

/// One element of `syscalls`: a rule for each of its names.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Names of syscalls.
    pub names: Vec<String>,
    /// What happens to them.
    pub action: Action,
    /// The number that goes with the action; ignored beside actions without one.
    pub errno: Option<u32>,
    /// Conditions; none means always. How several combine is a trap: see [`Entry::is_unconditional`].
    pub args: Vec<Condition>,
    /// What else there is.
    pub extra: Extra,
}

/// A condition on one argument.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Which argument, 0 to 5.
    pub index: u32,
    /// What it is compared with; the mask of `MASKED_EQ`.
    pub value: u64,
    /// The datum of `MASKED_EQ`.
    pub value_two: u64,
    /// How.
    pub op: Operator,
    /// What else there is.
    pub extra: Extra,
}

impl Entry {
    /// An unconditional rule for some names.
    #[must_use]
    pub fn new<N: Into<String>>(names: impl IntoIterator<Item = N>, action: Action) -> Self {
        Self {
            names: names.into_iter().map(Into::into).collect(),
            action,
            errno: None,
            args: Vec::new(),
            extra: Extra::new(),
        }
    }

    /// What the action comes to.
    #[must_use]
    pub fn effect(&self) -> Effect {
        Effect::of(self.action, self.errno)
    }

    /// Whether the entry answers every call of its names. Conditions on different arguments are all required; once an
    /// argument is named twice, each condition is a rule of its own (`spec/seccomp.md` 1.1, step 4). A condition
    /// with a zero mask always holds.
    #[must_use]
    pub fn is_unconditional(&self) -> bool {
        let always = |condition: &Condition| condition.op == Operator::MaskedEq && condition.value == 0;
        if doubled(&self.args).is_some() {
            self.args.iter().any(always)
        } else {
            self.args.iter().all(always)
        }
    }
}

/// The smallest argument that two conditions are on: then each condition is a rule of its own (`spec/seccomp.md` 1.1,
/// step 4).
pub(crate) fn doubled(args: &[Condition]) -> Option<u32> {
    let mut indices: Vec<u32> = args.iter().map(|arg| arg.index).collect();
    indices.sort_unstable();
    indices.windows(2).find_map(|pair| match pair {
        [one, other] if one == other => Some(*one),
        _ => None,
    })
}

impl Policy {
    /// A policy that answers everything with one action.
    #[must_use]
    pub fn new(default_action: Action) -> Self {
        Self {
            default_action,
            default_errno: None,
            architectures: Vec::new(),
            flags: Vec::new(),
            listener_path: None,
            listener_metadata: None,
            syscalls: Vec::new(),
            extra: Extra::new(),
        }
    }

    /// What the default action comes to.
    #[must_use]
    pub fn default_effect(&self) -> Effect {
        Effect::of(self.default_action, self.default_errno)
    }

    /// Paths of the members that the model does not know, such as `syscalls[2].comment`. Only a JSON file can carry
    /// them.
    #[must_use]
    pub fn extra_members(&self) -> Vec<String> {
        let mut paths: Vec<String> = self.extra.keys().cloned().collect();
        for (at, entry) in self.syscalls.iter().enumerate() {
            paths.extend(entry.extra.keys().map(|key| format!("syscalls[{at}].{key}")));
            for (arg, condition) in entry.args.iter().enumerate() {
                paths.extend(condition.extra.keys().map(|key| format!("syscalls[{at}].args[{arg}].{key}")));
            }
        }
        paths
    }

    /// Reads the value of `linux.seccomp`.
    ///
    /// # Errors
    /// The first member that has the wrong type, is out of range, is an unknown word, is required and absent, or differs
    /// from a known one in case only: runtimes in Go take that for the known one.
    pub fn from_json(json: &Value) -> Result<Self, Invalid> {
        Self::from_value(json.clone())
    }

    /// As [`Policy::from_json`], for a value that is not needed any more.
    ///
    /// # Errors
    /// As there.
    pub fn from_value(json: Value) -> Result<Self, Invalid> {
        let mut members = Members::of(json, POLICY)?;
        Ok(Self {
            default_action: members.required("defaultAction", term)?,
            default_errno: members.optional("defaultErrnoRet", unsigned32)?,
            architectures: members.list("architectures", term)?,
            flags: members.list("flags", term)?,
            listener_path: members.optional("listenerPath", text)?.filter(|path| !path.is_empty()),
            listener_metadata: members.optional("listenerMetadata", text)?.filter(|text| !text.is_empty()),
            syscalls: members.list("syscalls", Entry::from_value)?,
            extra: members.rest(),
        })
    }

    /// The value of `linux.seccomp`: known members in the order of the spec, then the others.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut json = Map::new();
        json.insert("defaultAction".into(), self.default_action.as_str().into());
        put(&mut json, "defaultErrnoRet", self.default_errno.map(Value::from));
        put(&mut json, "architectures", words(self.architectures.iter().map(|arch| arch.as_str())));
        put(&mut json, "flags", words(self.flags.iter().map(|flag| flag.as_str())));
        put(&mut json, "listenerPath", self.listener_path.clone().map(Value::from));
        put(&mut json, "listenerMetadata", self.listener_metadata.clone().map(Value::from));
        let entries: Vec<Value> = self.syscalls.iter().map(Entry::write).collect();
        put(&mut json, "syscalls", (!entries.is_empty()).then(|| entries.into()));
        json.extend(self.extra.clone());
        json.into()
    }
}

const POLICY: &[&str] = &[
    "defaultAction",
    "defaultErrnoRet",
    "architectures",
    "flags",
    "listenerPath",
    "listenerMetadata",
    "syscalls",
];
const ENTRY: &[&str] = &["names", "action", "errnoRet", "args"];
const CONDITION: &[&str] = &["index", "value", "valueTwo", "op"];

impl Entry {
    /// Reads one element of `syscalls`.
    ///
    /// # Errors
    /// As [`Policy::from_json`], with the path within the element.
    pub fn from_value(json: Value) -> Result<Self, Invalid> {
        let mut members = Members::of(json, ENTRY)?;
        Ok(Self {
            names: members.list("names", text)?,
            action: members.required("action", term)?,
            errno: members.optional("errnoRet", unsigned32)?,
            args: members.list("args", Condition::from_value)?,
            extra: members.rest(),
        })
    }

    fn write(&self) -> Value {
        let mut json = Map::new();
        json.insert("names".into(), self.names.clone().into());
        json.insert("action".into(), self.action.as_str().into());
        put(&mut json, "errnoRet", self.errno.map(Value::from));
        let args: Vec<Value> = self.args.iter().map(Condition::write).collect();
        put(&mut json, "args", (!args.is_empty()).then(|| args.into()));
        json.extend(self.extra.clone());
        json.into()
    }
}

impl Condition {
    fn from_value(json: Value) -> Result<Self, Invalid> {
        let mut members = Members::of(json, CONDITION)?;
        Ok(Self {
            index: members.optional("index", unsigned32)?.unwrap_or(0),
            value: members.optional("value", unsigned64)?.unwrap_or(0),
            value_two: members.optional("valueTwo", unsigned64)?.unwrap_or(0),
            op: members.required("op", term)?,
            extra: members.rest(),
        })
    }

    fn write(&self) -> Value {
        let mut json = Map::new();
        json.insert("index".into(), self.index.into());
        json.insert("value".into(), self.value.into());
        put(&mut json, "valueTwo", (self.value_two != 0).then(|| self.value_two.into()));
        json.insert("op".into(), self.op.as_str().into());
        json.extend(self.extra.clone());
        json.into()
    }
}

fn put(json: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        json.insert(key.to_owned(), value);
    }
}

fn words<'a>(words: impl Iterator<Item = &'a str>) -> Option<Value> {
    let list: Vec<Value> = words.map(Value::from).collect();
    (!list.is_empty()).then(|| list.into())
}

/// A policy that no runtime should get: where, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Where: `syscalls[3].args[0].op`; empty for the whole.
    pub path: String,
    /// Why.
    pub reason: Reason,
}

/// Why a policy is invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Another type of JSON value is wanted.
    Type(&'static str),
    /// The member must be there.
    Missing,
    /// The word is none of its kind.
    Term(UnknownTerm),
    /// The member differs from this known one in case only.
    Case(&'static str),
    /// Syscalls have six arguments.
    Index(u32),
    /// libseccomp takes error numbers below 4095, after the cut to 16 bits.
    Errno(u32),
    /// A syscall's name is empty.
    EmptyName,
    /// Nobody can be asked about every call.
    NotifyByDefault,
    /// runc refuses to notify on `write`, which it needs itself.
    NotifyOnWrite,
    /// `SCMP_ACT_NOTIFY` needs a `listenerPath`.
    NoListener,
    /// The member cannot stand beside this other one.
    Beside(&'static str),
    /// The member is none that a condition can have.
    Unknown,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        match &self.reason {
            Reason::Type(expected) => write!(f, "expected {expected}"),
            Reason::Missing => f.write_str("missing"),
            Reason::Term(unknown) => unknown.fmt(f),
            Reason::Case(known) => {
                write!(f, "differs from {known:?} in case only, and some runtimes read it as that")
            }
            Reason::Index(index) => write!(f, "argument {index} does not exist, expected 0 to 5"),
            Reason::Errno(number) => {
                write!(f, "error number {number} cannot be returned, expected 0 to 4094")
            }
            Reason::EmptyName => f.write_str("empty name of a syscall"),
            Reason::NotifyByDefault => f.write_str("SCMP_ACT_NOTIFY cannot be the default action"),
            Reason::NotifyOnWrite => {
                f.write_str("SCMP_ACT_NOTIFY on write stops the runtime itself and is refused by runtimes")
            }
            Reason::NoListener => f.write_str("SCMP_ACT_NOTIFY needs listenerPath"),
            Reason::Beside(other) => write!(f, "cannot stand beside {other:?}"),
            Reason::Unknown => f.write_str("unknown member"),
        }
    }
}

impl std::error::Error for Invalid {}

impl Invalid {
    pub(crate) fn at(path: impl Into<String>, reason: Reason) -> Self {
        Self { path: path.into(), reason }
    }

    /// The same, seen from outside of the member or element where it was found.
    pub(crate) fn within(mut self, outer: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{outer}{dot}{}", self.path);
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_is_lost() {
        let json = json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 38,
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"],
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "listenerPath": "/run/l.sock",
            "listenerMetadata": "m",
            "syscalls": [
                {"names": ["clone"], "action": "SCMP_ACT_KILL", "errnoRet": 5,
                 "args": [{"index": 1, "value": u64::MAX, "valueTwo": 7, "op": "SCMP_CMP_MASKED_EQ", "x": null}],
                 "comment": "why"}
            ],
            "future": {"a": [1, 2.5]}
        });
        let policy = Policy::from_json(&json).unwrap();
        assert_eq!(policy.to_json(), json);
        assert_eq!(policy.extra_members(), ["future", "syscalls[0].comment", "syscalls[0].args[0].x"]);
    }

    /// `spec/seccomp.md` 1.1: absent and null numbers are 0, absent and null lists are empty.
    #[test]
    fn null_is_absent() {
        let json = json!({
            "defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": null, "architectures": null, "flags": null,
            "listenerPath": "", "syscalls": [
                {"names": null, "action": "SCMP_ACT_LOG", "args": [{"op": "SCMP_CMP_EQ", "value": null}]}
            ]
        });
        let policy = Policy::from_json(&json).unwrap();
        assert_eq!((policy.default_errno, &policy.listener_path), (None, &None));
        let entry = &policy.syscalls[0];
        assert!(entry.names.is_empty());
        assert_eq!((entry.args[0].index, entry.args[0].value, entry.args[0].value_two), (0, 0, 0));
    }

    #[test]
    fn errors_name_the_place() {
        let rule = |rule: Value| json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [], "action": "SCMP_ACT_LOG"}, rule]});
        let arg = |arg: Value| rule(json!({"names": ["x"], "action": "SCMP_ACT_LOG", "args": [arg]}));
        for (json, expect) in [
            (json!([]), "expected an object"),
            (json!({}), "defaultAction: missing"),
            (json!({"defaultAction": ""}), "defaultAction: unknown action \"\""),
            (json!({"defaultAction": "ALLOW"}), "defaultAction: unknown action \"ALLOW\""),
            (json!({"defaultAction": 1}), "defaultAction: expected a string"),
            (
                json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SPEC_ALLOW"]}),
                "flags[0]: unknown flag \"SPEC_ALLOW\"",
            ),
            (
                json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_NATIVE"]}),
                "architectures[0]: unknown architecture \"SCMP_ARCH_NATIVE\"",
            ),
            (
                json!({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": -1}),
                "defaultErrnoRet: expected a whole number of 32 bits without sign",
            ),
            (
                json!({"defaultAction": "SCMP_ACT_ALLOW", "Syscalls": []}),
                "Syscalls: differs from \"syscalls\" in case only, and some runtimes read it as that",
            ),
            (rule(json!("read")), "syscalls[1]: expected an object"),
            (rule(json!({"names": ["read"]})), "syscalls[1].action: missing"),
            (rule(json!({"names": "read", "action": "SCMP_ACT_LOG"})), "syscalls[1].names: expected a list"),
            (
                rule(json!({"names": ["a", 1], "action": "SCMP_ACT_LOG"})),
                "syscalls[1].names[1]: expected a string",
            ),
            (arg(json!({"index": 0, "value": 1})), "syscalls[1].args[0].op: missing"),
            (arg(json!({"op": "=="})), "syscalls[1].args[0].op: unknown operator \"==\""),
            (
                arg(json!({"op": "SCMP_CMP_EQ", "value": 1.5})),
                "syscalls[1].args[0].value: expected a whole number of 64 bits without sign",
            ),
        ] {
            assert_eq!(Policy::from_json(&json).unwrap_err().to_string(), expect, "{json}");
        }
    }

    /// `spec/seccomp.md` 1.1 step 4 and 1.3: an argument twice means "or", a zero mask always holds.
    #[test]
    fn unconditional() {
        let check = |args: &[(u32, Operator, u64)], expect: bool| {
            let mut entry = Entry::new(["x"], Action::Allow);
            entry.args = args
                .iter()
                .map(|&(index, op, value)| Condition { index, value, value_two: 0, op, extra: Extra::new() })
                .collect();
            assert_eq!(entry.is_unconditional(), expect, "{args:?}");
        };
        check(&[], true);
        check(&[(0, Operator::Eq, 0)], false);
        check(&[(0, Operator::MaskedEq, 0)], true);
        check(&[(0, Operator::MaskedEq, 0), (1, Operator::Eq, 1)], false);
        check(&[(0, Operator::MaskedEq, 0), (1, Operator::Eq, 1), (1, Operator::Eq, 2)], true);
    }
}
