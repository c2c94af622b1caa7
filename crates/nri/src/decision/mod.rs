//! The decision: what came of asking the plugins, in the form that cli.md fixes, and as text for people.

mod text;

use nri_policy::judge::Refused;
use nri_runtime::host::{
    Cause, Consulted, Created, Failure as HostFailure, Outcome as PluginOutcome, Stopped, Updated,
};
use nri_runtime::merge::{Attributed, Evicted, MergeError, Passed};
use nri_runtime::oci::ApplyError;
use nri_wire::api::ContainerUpdate;
use nri_wire::name::PluginName;
use serde::Serialize;
use serde_json::{Value, json};

pub(crate) use self::text::{changes, diff, refusals};
use crate::audit;
use crate::chain::Adjusted;
use crate::failure::{Failure, Kind};
use crate::json;

/// One decision (cli.md, "nri adjust"). Fields may be added, never renamed or removed.
#[derive(Debug, Serialize)]
pub(crate) struct Decision {
    version: u32,
    id: String,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) spec: Option<Value>,
    adjust: Value,
    updates: Vec<Value>,
    evictions: Vec<Value>,
    pub(crate) changes: Vec<Attributed>,
    pub(crate) refused: Vec<Refused>,
    plugins: Vec<Asked>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Problem>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Unchanged,
    Adjusted,
    Rejected,
    Failed,
}

/// A plugin that was asked, and what it made of that.
#[derive(Debug, Serialize)]
struct Asked {
    name: String,
    index: String,
    outcome: &'static str,
    micros: u64,
}

/// Why there is no result.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Problem {
    #[serde(skip)]
    outcome: Outcome,
    kind: &'static str,
    plugin: Option<String>,
    other: Option<String>,
    field: Option<String>,
    key: Option<String>,
    message: String,
}

impl Decision {
    /// From what the host says about a container with this id.
    pub(crate) fn new(id: &str, adjusted: Adjusted) -> Self {
        let mut decision = Self::empty(id);
        match adjusted.result {
            Err(failure) => decision.fail(failure, adjusted.audit),
            Ok(created) => {
                let Created { merged, plugins, validators, refused } = created;
                decision.adjust = json::to_json(&*merged.adjust);
                decision.take(&merged.updates, &merged.evictions, merged.changes);
                decision.asked(plugins.iter().chain(&validators), refused);
            }
        }
        match adjusted.applied {
            Some(Ok(spec)) => decision.spec = Some(spec),
            Some(Err(error)) => {
                decision.outcome = Outcome::Failed;
                decision.error = Some(inapplicable(&error));
            }
            None => {}
        }
        decision
    }

    /// From what became of an UpdateContainer.
    pub(crate) fn updated(id: &str, result: Result<Updated, HostFailure>) -> Self {
        Self::of(id, result, |decision, Updated { mut merged, plugins, refused }| {
            let (evictions, changes) =
                (std::mem::take(&mut merged.evictions), std::mem::take(&mut merged.changes));
            decision.take(&merged.into_list(), &evictions, changes);
            decision.asked(&plugins, refused);
        })
    }

    /// From what became of a StopContainer.
    pub(crate) fn stopped(id: &str, result: Result<Stopped, HostFailure>) -> Self {
        Self::of(id, result, |decision, Stopped { merged, plugins, refused }| {
            decision.take(&merged.updates, &[], merged.changes);
            decision.asked(&plugins, refused);
        })
    }

    /// From what plugins asked for by themselves.
    pub(crate) fn passed(id: &str, passed: Passed, plugins: &[Consulted], refused: Vec<Refused>) -> Self {
        let mut decision = Self::empty(id);
        decision.take(&passed.updates, &passed.evictions, passed.changes);
        decision.asked(plugins, refused);
        decision
    }

    /// About a request that cannot be read.
    pub(crate) fn unreadable(id: &str, message: String) -> Self {
        let (plugin, other, field, key) = (None, None, None, None);
        let error = Problem { outcome: Outcome::Failed, kind: "input", plugin, other, field, key, message };
        Self { outcome: Outcome::Failed, error: Some(error), ..Self::empty(id) }
    }

    fn empty(id: &str) -> Self {
        Self {
            version: 1,
            id: id.to_owned(),
            outcome: Outcome::Unchanged,
            spec: None,
            adjust: json!({}),
            updates: Vec::new(),
            evictions: Vec::new(),
            changes: Vec::new(),
            refused: Vec::new(),
            plugins: Vec::new(),
            error: None,
        }
    }

    fn of<T>(id: &str, result: Result<T, HostFailure>, take: impl FnOnce(&mut Self, T)) -> Self {
        let mut decision = Self::empty(id);
        match result {
            Ok(result) => take(&mut decision, result),
            Err(failure) => decision.fail(failure, None),
        }
        decision
    }

    fn take(&mut self, updates: &[ContainerUpdate], evictions: &[Evicted], changes: Vec<Attributed>) {
        self.updates = updates.iter().map(json::to_json).collect();
        self.evictions = evictions.iter().map(|evicted| json::to_json(&evicted.eviction)).collect();
        self.changes = changes;
        if !(self.changes.is_empty() && self.updates.is_empty() && self.evictions.is_empty()) {
            self.outcome = Outcome::Adjusted;
        }
    }

    fn asked<'a>(&mut self, plugins: impl IntoIterator<Item = &'a Consulted>, refused: Vec<Refused>) {
        self.plugins = plugins.into_iter().map(asked).collect();
        self.refused = refused;
    }

    fn fail(&mut self, failure: HostFailure, audit: Option<audit::Id>) {
        let problem = problem(&failure.cause, audit::told(&failure, audit));
        self.outcome = problem.outcome;
        self.error = Some(problem);
        self.plugins = failure.plugins.iter().map(asked).collect();
        self.refused = failure.refused;
    }

    /// What the command fails of, if it does: exit code 1 for a rejection, 3 for what could not be done.
    pub(crate) fn failure(&self) -> Option<Failure> {
        let problem = self.error.as_ref()?;
        let kind = if self.outcome == Outcome::Rejected { Kind::Rejected } else { Kind::Unavailable };
        Some(Failure::new(kind, problem.message.clone()))
    }
}

fn asked(consulted: &Consulted) -> Asked {
    Asked {
        name: consulted.plugin.base().to_owned(),
        index: consulted.plugin.index().to_owned(),
        outcome: match consulted.outcome {
            PluginOutcome::Answer => "answer",
            PluginOutcome::Veto(_) => "veto",
            PluginOutcome::Gone => "gone",
            PluginOutcome::Late => "late",
        },
        micros: u64::try_from(consulted.took.as_micros()).unwrap_or(u64::MAX),
    }
}

/// What a host's failure makes of the decision, its `error.kind`, and whose fault it is.
pub(crate) fn blamed(cause: &Cause) -> (Outcome, &'static str, Option<&PluginName>) {
    use Outcome::{Failed, Rejected};
    match cause {
        Cause::Veto { plugin, .. } => (Rejected, "veto", Some(plugin)),
        Cause::Policy(plugin) => (Rejected, "policy", Some(plugin)),
        Cause::Merge(error) => {
            let outcome = if matches!(**error, MergeError::Conflict(_)) { Rejected } else { Failed };
            (outcome, error.kind(), Some(error.plugin()))
        }
        Cause::Validator { plugin, .. } => (Rejected, "validator", Some(plugin)),
        Cause::Rejected(_) => (Rejected, "validator", None),
        Cause::Required(_) | Cause::Absent(_) => (Rejected, "required", None),
        Cause::Late(plugin) => (Rejected, "late", Some(plugin)),
        Cause::Gone(plugin) => (Rejected, "gone", Some(plugin)),
        Cause::Invalid { plugin, .. } => (Failed, "invalid", Some(plugin)),
        Cause::TooLong { .. } | Cause::Input(_) => (Failed, "input", None),
        Cause::Expired => (Failed, "late", None),
        _ => (Failed, "gone", None),
    }
}

impl Problem {
    /// What is wrong, without a message.
    pub(crate) fn of(cause: &Cause) -> Self {
        problem(cause, String::new())
    }

    /// Somebody refuses, as opposed to something that cannot be done.
    pub(crate) fn is_rejection(&self) -> bool {
        self.outcome == Outcome::Rejected
    }
}

/// A host's failure, and what it makes of the decision.
fn problem(cause: &Cause, message: String) -> Problem {
    let (outcome, kind, plugin) = blamed(cause);
    let mut problem = Problem {
        outcome,
        kind,
        plugin: plugin.map(|plugin| plugin.full().to_owned()),
        other: None,
        field: None,
        key: None,
        message,
    };
    if let Cause::Required(missing) = cause
        && let [only] = missing.as_slice()
    {
        problem.plugin = Some(only.plugin.clone());
    }
    if let Cause::Absent(absent) = cause
        && let [only] = absent.as_slice()
    {
        problem.plugin = Some(only.plugin.clone());
    }
    if let Cause::Merge(error) = cause {
        let (field, key) = match &**error {
            MergeError::Conflict(conflict) => {
                problem.other = Some(conflict.other.full().to_owned());
                (Some(conflict.field), Some(&conflict.key))
            }
            MergeError::Invalid { field, key, .. } => (Some(*field), Some(key)),
            _ => (None, None),
        };
        problem.field = field.map(|field| field.name().to_owned());
        problem.key = key.cloned();
    }
    problem
}

fn inapplicable(error: &ApplyError) -> Problem {
    let (field, key) = match error {
        ApplyError::Invalid { field, key, .. } => (Some(*field), Some(key.clone())),
        ApplyError::Unresolved { field, name, .. } => (Some(*field), Some(name.clone())),
        ApplyError::Refused { field, .. } => (*field, None),
        _ => (None, None),
    };
    Problem {
        outcome: Outcome::Failed,
        kind: if matches!(error, ApplyError::Spec(_)) { "input" } else { "apply" },
        plugin: None,
        other: None,
        field: field.map(|field| field.name().to_owned()),
        key,
        message: format!("failed to {error}"),
    }
}
