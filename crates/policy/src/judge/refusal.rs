//! What is said about what was not allowed.

use std::sync::Arc;

use serde::Serialize;

use crate::change::{Op, Recorded};

/// Longest reason, since it may end up in a pod's event.
const REASON_BYTES: usize = 512;

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
    /// The field (`policy.md` 4), `updates.KIND`, or `*` for the answer as a whole.
    pub field: String,
    /// The key, or the container's id.
    pub key: String,
    /// How it would have changed; `None` where it is about no single change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<Op>,
    /// The id of the rule.
    pub rule: String,
    /// Where the rule stands, `file:line:column`.
    pub at: Option<String>,
    /// What happens.
    pub action: Action,
    /// Why, for people: one line of at most 512 bytes, without values of variables and arguments.
    pub reason: String,
    /// The system call by which a seccomp policy is shown to be looser.
    pub counterexample: Option<serde_json::Value>,
}

/// One change and what all policies together say about it: what audit lines show.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The change. Holds values of variables and arguments in clear.
    pub change: Recorded,
    /// The strictest of what its violations lead to; `None`: every policy allows it.
    pub action: Option<Action>,
    /// The rule that is violated, else the first one that allows it.
    pub rule: Option<Arc<str>>,
    /// Where that stands.
    pub at: Option<Arc<str>>,
    /// Why it is violated.
    pub reason: Option<String>,
}

/// A text on one line, not too long.
pub(super) fn one_line(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() > REASON_BYTES {
        const MORE: &str = "…";
        let end = (0..=REASON_BYTES - MORE.len()).rev().find(|end| line.is_char_boundary(*end));
        line.truncate(end.unwrap_or_default());
        line.push_str(MORE);
    }
    line
}
