//! The judgement of one answer, and its proof.
//!
//! A host asks a [`Judge`] about every answer of a plugin. What comes back is a [`Verdict`]: the answer, wrapped in
//! [`Permitted`], and what was refused. Merging takes a `Permitted` answer and nothing else, and only a judge makes one,
//! so that a forgotten judgement does not compile (`design.md` 3).
//!
//! ```
//! use nri_policy::change::Containers;
//! use nri_policy::judge::{Asked, Creation, Judge};
//! use nri_wire::api::{Container, CreateContainerResponse};
//!
//! let (judge, container) = (Judge::allow_all(), Container::default());
//! let plugin = "10-a".parse()?;
//! let creation = Creation { containers: Containers { pristine: &container, running: &container }, targets: &() };
//! let verdict = judge.judge(&Asked { plugin: &plugin, basis: creation, unknown: &[] }, CreateContainerResponse::default());
//! assert!(verdict.refused.is_empty() && verdict.permitted.is_some());
//! # Ok::<(), nri_wire::name::NameError>(())
//! ```

mod answer;

use nri_wire::name::PluginName;
use serde::Serialize;

pub use self::answer::{Answer, Creation, Other, Target, Targets, Update};
use crate::change::{Op, Recorded, Subject};

/// Judges answers. One judge serves a host; it has no state that an answer changes.
#[derive(Clone, Debug)]
pub struct Judge(());

/// One answer that waits for its judgement, without the answer itself.
#[derive(Debug)]
pub struct Asked<'a, B> {
    /// Who answered.
    pub plugin: &'a PluginName,
    /// What its changes are taken against.
    pub basis: B,
    /// Paths of the protobuf fields in the answer that we do not know, `adjust.linux.99`
    /// ([`UnknownField::path`](nri_wire::scan::UnknownField)).
    pub unknown: &'a [String],
}

/// The judgement of one answer.
#[derive(Debug)]
#[must_use = "an answer without its verdict is lost"]
pub struct Verdict<A> {
    /// What may be merged: the answer, less what was dropped. `None`: the request fails, because of the entries of
    /// `refused` whose action is [`Action::Reject`].
    pub permitted: Option<Permitted<A>>,
    /// Everything that violates a rule, also where the rule only warns.
    pub refused: Vec<Refused>,
}

/// An answer that a judge has let through, with its changes. Nobody but a judge makes one.
#[derive(Clone, Debug)]
pub struct Permitted<A> {
    answer: A,
    changes: Vec<Recorded>,
}

/// What happens because of a refusal (`cli.md`, `refused[].action`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The change is recorded and counts.
    Audit,
    /// The change is reported and counts.
    Warn,
    /// The change alone does not count.
    DropEntry,
    /// Nothing of the answer counts.
    DropPlugin,
    /// The request fails.
    Reject,
}

/// One refusal, in the form of `cli.md`, `refused`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Refused {
    /// The plugin's full name.
    pub plugin: String,
    /// The identity that the policy knows it by.
    pub identity: Option<String>,
    /// Its level in that policy.
    pub level: Option<String>,
    /// The field (`policy.md` 4), or `updates.KIND`.
    pub field: String,
    /// The key, or the updated container's id.
    pub key: String,
    /// How it would have changed.
    pub op: Op,
    /// The id of the rule.
    pub rule: String,
    /// Where the rule stands, `file:line:column`.
    pub at: Option<String>,
    /// What happens.
    pub action: Action,
    /// Why, for people.
    pub reason: String,
    /// The system call by which a seccomp policy is shown to be looser.
    pub counterexample: Option<serde_json::Value>,
}

impl Judge {
    /// The judge that lets everything through.
    #[must_use]
    pub const fn allow_all() -> Self {
        Self(())
    }

    /// Judges one answer.
    pub fn judge<A: Answer>(&self, asked: &Asked<'_, A::Basis<'_>>, answer: A) -> Verdict<A> {
        let mut changes = answer.changes(&asked.basis, |changes| {
            changes.iter().map(crate::change::Change::record).collect::<Vec<_>>()
        });
        changes.extend(asked.unknown.iter().map(|path| unknown(path)));
        Verdict { permitted: Some(Permitted { answer, changes }), refused: Vec::new() }
    }
}

impl<A> Permitted<A> {
    /// The answer.
    pub const fn answer(&self) -> &A {
        &self.answer
    }

    /// The changes that the answer makes.
    #[must_use]
    pub fn changes(&self) -> &[Recorded] {
        &self.changes
    }

    /// Takes the proof apart. For merging alone, which gives the result a proof of its own.
    #[must_use]
    pub fn into_parts(self) -> (A, Vec<Recorded>) {
        (self.answer, self.changes)
    }
}

/// The change that an unknown field stands for: its key is the path, within the adjustment if it is there (`policy.md` 4).
fn unknown(path: &str) -> Recorded {
    let path = path.strip_prefix("adjust.").unwrap_or(path);
    Recorded {
        update: None,
        subject: Subject::Unknown,
        key: path.to_owned(),
        op: Op::Add,
        before: serde_json::Value::Null,
        after: serde_json::Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use nri_wire::api::ContainerAdjustment;
    use nri_wire::api::{Container, CreateContainerResponse};
    use nri_wire::scan::{Row, scan};

    use super::*;
    use crate::change::Containers;

    /// A protobuf field that we do not know is a change, by its path.
    #[test]
    fn unknown_fields_are_changes() {
        let answer =
            CreateContainerResponse { adjust: Some(ContainerAdjustment::default()), ..Default::default() };
        let bytes = [&[0x0a, 3, 0xf8, 0x06, 1][..], &[0xf0, 0x06, 1]].concat();
        let unknown = scan(Row::find("CreateContainerResponse").unwrap(), &bytes).unwrap();
        let unknown: Vec<_> = unknown.fields().iter().map(|field| field.path.clone()).collect();
        let (plugin, container) = ("10-a".parse().unwrap(), Container::default());
        let containers = Containers { pristine: &container, running: &container };
        let basis = Creation { containers, targets: &() };
        let verdict = Judge::allow_all().judge(&Asked { plugin: &plugin, basis, unknown: &unknown }, answer);
        let keys: Vec<_> = verdict
            .permitted
            .iter()
            .flat_map(Permitted::changes)
            .map(|c| (c.subject.name(), c.key.as_str()))
            .collect();
        assert_eq!(keys, [("unknown", "111"), ("unknown", "110")]);
    }

    /// The form of `cli.md`, `refused`.
    #[test]
    fn the_form_of_refusals() {
        let refused = Refused {
            plugin: "20-b".into(),
            identity: Some("gpu".into()),
            level: None,
            field: "mounts".into(),
            key: "/host".into(),
            op: Op::Add,
            rule: "node/untrusted/mounts".into(),
            at: Some("node.yaml:12:9".into()),
            action: Action::DropPlugin,
            reason: "no".into(),
            counterexample: None,
        };
        assert_eq!(
            serde_json::to_value(refused).unwrap(),
            serde_json::json!({
                "plugin": "20-b", "identity": "gpu", "level": null, "field": "mounts", "key": "/host", "op": "add",
                "rule": "node/untrusted/mounts", "at": "node.yaml:12:9", "action": "drop-plugin", "reason": "no",
                "counterexample": null,
            })
        );
    }
}
