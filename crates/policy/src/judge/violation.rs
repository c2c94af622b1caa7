//! What a policy has against a change, and what that leads to.

use std::borrow::Cow;
use std::sync::Arc;

use super::compiled::{Policy, Seat, Source, update_field};
use super::refusal::{Action, Judged};
use crate::change::Recorded;
use crate::document::word::UpdateKind;
use crate::rule::{Access, Mode, OnViolation};

/// What a policy has against a change.
pub(super) struct Violation<'p> {
    pub(super) identity: Option<&'p str>,
    pub(super) level: Option<&'p str>,
    pub(super) source: Cow<'p, Source>,
    pub(super) mode: Mode,
    pub(super) on_violation: Option<OnViolation>,
    /// What a violation leads to otherwise.
    pub(super) default: OnViolation,
    /// It cannot be judged, and the policy lets that pass.
    pub(super) passes: bool,
    pub(super) reason: String,
    pub(super) counterexample: Option<serde_json::Value>,
}

/// What all policies together say about a change.
#[derive(Default)]
pub(super) struct Ruled<'p> {
    pub(super) action: Option<Action>,
    /// The first rule that allows it.
    pub(super) source: Option<&'p Source>,
    /// The one that is violated, of several that with the strictest action.
    pub(super) against: Option<Cow<'p, Source>>,
    pub(super) reason: Option<String>,
    pub(super) access: Option<Access>,
}

impl Ruled<'_> {
    pub(super) fn judged(self, change: Recorded) -> Judged {
        let source = self.against.as_deref().or(self.source);
        Judged {
            change,
            action: self.action,
            rule: source.map(|source| Arc::clone(&source.id)),
            at: source.and_then(|source| source.at.clone()),
            reason: self.reason,
        }
    }
}

impl Violation<'_> {
    /// What a violation leads to. Another container is not refused because of the danger of a field, and what nobody waits
    /// for cannot be refused (`policy.md` 4, "Updates"). `kind`: of the update that it is about; `fails`: the request can fail.
    pub(super) fn action(&self, kind: Option<UpdateKind>, fails: bool) -> Action {
        match self.mode {
            Mode::Audit => return Action::Audit,
            _ if self.passes => return Action::Warn,
            Mode::Warn => return Action::Warn,
            Mode::Enforce => {}
        }
        let default = match (kind, self.default) {
            (Some(UpdateKind::Others), OnViolation::Reject) => OnViolation::DropEntry,
            (_, default) => default,
        };
        match self.on_violation.unwrap_or(default) {
            OnViolation::DropEntry => Action::DropEntry,
            OnViolation::Reject if fails => Action::Reject,
            OnViolation::Reject | OnViolation::DropPlugin => Action::DropPlugin,
        }
    }
}

/// Nobody speaks for the plugin.
pub(super) fn silent(policy: &Policy, default: OnViolation) -> Violation<'_> {
    Violation {
        identity: None,
        level: None,
        source: Cow::Borrowed(&policy.no_level),
        mode: policy.mode,
        on_violation: None,
        default,
        passes: false,
        reason: "no policy speaks for the plugin: it is no identity, and there is no `defaultLevel`"
            .to_owned(),
        counterexample: None,
    }
}

/// What a policy has against an update or eviction as a whole.
pub(super) fn not_granted<'p>(
    seat: &Seat<'p>,
    kind: UpdateKind,
    namespace: Option<&str>,
) -> Option<Violation<'p>> {
    let level = seat.level?;
    let violation = |source: Cow<'p, Source>, mode, on_violation: Option<OnViolation>, reason| Violation {
        identity: seat.identity,
        level: Some(&level.name),
        source,
        mode,
        on_violation: on_violation.or(level.on_violation),
        default: OnViolation::DropEntry,
        passes: false,
        reason,
        counterexample: None,
    };
    let denied = format!("{} is not granted", update_field(kind));
    match level.grant(kind) {
        None => {
            let id = format!("{}/{}", level.no_key.id, update_field(kind));
            let source = Source { id: id.into(), at: level.no_key.at.clone() };
            Some(violation(Cow::Owned(source), level.mode, None, denied))
        }
        Some(grant) if grant.covers(namespace) => None,
        Some(grant) => {
            let reason = match namespace {
                _ if !grant.is_limited() => denied,
                Some(namespace) => format!("namespace {namespace} is not among `targets`"),
                None => "the target's namespace is not known".to_owned(),
            };
            Some(violation(Cow::Borrowed(&grant.source), grant.mode, grant.on_violation, reason))
        }
    }
}
