//! Audit: who wanted to change what, and what became of it (`policy.md` 12, "Audit record").
//!
//! | module | what it holds |
//! | --- | --- |
//! | `id` | names of lines, which refusals show |
//! | `line` | one line: what it is made of, and its JSON |
//!
//! Each plugin that answered a request gets a `decision` line with what its answer would change and the verdict about
//! each change. A container that is created with changes gets a `final` line with what all plugins together changed and
//! who owns what; so does a request that failed, with the reason. `policy.load` and `policy.reject` say what was in
//! force. Lines go to the file of `--audit`; a gateway without one logs what was refused.
//!
//! Beyond the fixed form of `policy.md` a line may have:
//!
//! * `outcome`: what the plugin made of the call, if it did not answer: `veto`, `gone`, `late`.
//! * `error`: why the request failed, as in decisions (`cli.md`), without the words of plugins.
//! * `refused`: what violates the policy and is no single change, as in decisions.
//! * `owners` of a `final` line: `field`, `key`, `plugins`; `container` where it is another one.
//! * `counterexample` of a change: the system call by which a seccomp policy is shown to be looser.
//!
//! Values of variables and arguments are replaced as in recordings ([`crate::record`]), with a key of this process.

mod id;
mod line;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use nri_policy::judge::{Action, Refused};
use nri_runtime::host::{
    Cause, Consulted, Created, Failure as HostFailure, Judgement, Outcome, Stopped, Updated,
};
use nri_runtime::merge::{Attributed, Ledger};
use nri_wire::api::{Container, PodSandbox};
use nri_wire::name::PluginName;
use tracing::{info, warn};

pub(crate) use self::id::Id;
use self::id::Ids;
use self::line::{Body, Decision, Final, Line, Place, Plugin};
use crate::decision::Problem;
use crate::failure::Failure;
use crate::journal::{self, Journal, Kind};
use crate::policy::lock::InForce;
use crate::record::hide::Key;

/// What messages call it.
const KIND: Kind =
    Kind { verb: "audit to", noun: "an audit log", name: "the audit log", entries: "lines", thread: "audit" };

/// The flag of commands that judge.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(id = "audit-flags")]
pub(crate) struct Flags {
    /// Append a line for every decision about a plugin's changes to FILE (mode 0600)
    #[arg(long, value_name = "FILE", help_heading = "Policy")]
    pub(crate) audit: Option<PathBuf>,
}

/// Where decisions are enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    Run,
    Adjust,
    Gateway,
}

/// Writes down what is decided. Never waits.
#[derive(Debug)]
pub(crate) struct Audit {
    point: Point,
    node: Arc<str>,
    ids: Ids,
    seq: AtomicU64,
    journal: Option<Journal<Line>>,
}

/// Which request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Stop,
    Synchronize,
    Unsolicited,
}

/// A request, and under what it was decided.
#[derive(Debug)]
pub(crate) struct About<'a> {
    pub(crate) operation: Operation,
    pub(crate) pod: Option<&'a PodSandbox>,
    pub(crate) container: Option<&'a Container>,
    pub(crate) policies: &'a InForce,
    /// Which runtime carries it out, `containerd/2.3.4`.
    pub(crate) runtime: &'a str,
    /// What it does not carry out.
    pub(crate) gap: Vec<String>,
    pub(crate) took: Duration,
}

impl<'a> About<'a> {
    /// What a plugin asks for outside of any request: in its answer to Synchronize, or by itself.
    pub(crate) fn unasked(synchronizing: bool, policies: &'a InForce, runtime: &'a str) -> Self {
        let operation = if synchronizing { Operation::Synchronize } else { Operation::Unsolicited };
        let (pod, container, gap, took) = (None, None, Vec::new(), Duration::ZERO);
        Self { operation, pod, container, policies, runtime, gap, took }
    }
}

/// What came of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Done<'a> {
    Created(&'a Created),
    Updated(&'a Updated),
    Stopped(&'a Stopped),
    Failed(&'a HostFailure),
}

impl Audit {
    /// Starts to write to a file, if there is one. Must be called under tokio.
    ///
    /// # Errors
    /// It cannot be an audit log, or no thread can be started.
    pub(crate) fn open(file: Option<&Path>, point: Point) -> Result<Self, Failure> {
        let journal = match file {
            Some(file) => {
                journal::outlive_file_size_limit()?;
                let key = Key::random().map_err(|error| {
                    Failure::unavailable(format!("failed to make a key for the audit log: {error}"))
                })?;
                Some(Journal::open(&KIND, file, move |line: &Line| line.json(&key).to_string())?)
            }
            None => None,
        };
        let node = rustix::system::uname().nodename().to_string_lossy().into();
        Ok(Self { point, node, ids: Ids::new(), seq: AtomicU64::new(0), journal })
    }

    /// A request is decided. The id of the line that says more about its failure, if it failed.
    pub(crate) fn decided(&self, about: &About<'_>, result: Done<'_>) -> Option<Id> {
        // What a command refuses it shows.
        if self.journal.is_none() && self.point != Point::Gateway {
            return None;
        }
        let (plugins, refused, failure) = match result {
            Done::Created(Created { plugins, refused, .. })
            | Done::Updated(Updated { plugins, refused, .. })
            | Done::Stopped(Stopped { plugins, refused, .. }) => (plugins, refused, None),
            Done::Failed(failure) => (&failure.plugins, &failure.refused, Some(failure)),
        };
        let problem = failure.map(|failure| Problem::of(&failure.cause));
        let blamed = failure.and_then(|failure| blamed(&failure.cause));
        let mut told = None;
        for consulted in plugins {
            let own: Vec<&Refused> =
                refused.iter().filter(|refused| refused.plugin == consulted.plugin.full()).collect();
            let is_blamed = blamed.is_some_and(|blamed| *blamed == consulted.plugin);
            let answered = consulted.outcome == Outcome::Answer;
            // Those who only validate change nothing.
            if answered && consulted.judgement.is_none() && own.is_empty() && !is_blamed {
                continue;
            }
            let id = self.plugin(about, consulted, &own, problem.as_ref().filter(|_| is_blamed));
            told = id.filter(|_| is_blamed).or(told);
        }
        let last = match (result, problem) {
            (Done::Created(created), _) if !created.merged.changes.is_empty() => {
                self.end(about, &created.merged.changes, Some(&created.merged.ledger), None)
            }
            (_, Some(problem)) => self.end(about, &[], None, Some(problem)),
            _ => None,
        };
        failure.and(told.or(last))
    }

    /// The policy has judged what a plugin asks for outside of any request.
    pub(crate) fn judged(&self, about: &About<'_>, plugin: &PluginName, judgement: &Judgement) {
        // Who watches the log has read it: the host tells what it refuses there.
        if self.journal.is_some() {
            let consulted = Consulted {
                judgement: Some(Arc::new(judgement.clone())),
                ..Consulted::new(plugin.clone(), Outcome::Answer)
            };
            let refused: Vec<&Refused> = judgement.refused.iter().collect();
            self.plugin(about, &consulted, &refused, None);
        }
    }

    /// Policies are in force now.
    pub(crate) fn loaded(&self, policies: &InForce, runtime: &str) {
        self.put(Body::Loaded, policies, runtime);
    }

    /// Policies could not be loaded; those that were in force stay.
    pub(crate) fn rejected(&self, policies: &InForce, runtime: &str, why: &Failure) {
        self.put(Body::Rejected(why.to_string()), policies, runtime);
    }

    /// Opens the file anew by its name.
    pub(crate) fn reopen(&self) {
        if let Some(journal) = &self.journal {
            journal.reopen();
        }
    }

    /// Writes what waits, for a moment at most. Also done when it is dropped.
    pub(crate) fn close(&self) {
        if let Some(journal) = &self.journal {
            journal.close();
        }
    }

    /// One plugin's part in a request.
    fn plugin(
        &self,
        about: &About<'_>,
        consulted: &Consulted,
        refused: &[&Refused],
        problem: Option<&Problem>,
    ) -> Option<Id> {
        let id = self.ids.next(SystemTime::now());
        let Some(journal) = &self.journal else {
            refused.iter().for_each(|refused| say(refused, id));
            return (!refused.is_empty()).then_some(id);
        };
        let judgement = consulted.judgement.as_ref();
        let who = judgement.map(|judgement| &**judgement);
        let decision = Decision {
            plugin: Plugin::new(&consulted.plugin, who, refused, about.policies),
            outcome: consulted.outcome.clone(),
            judgement: judgement.cloned(),
            refused: refused.iter().copied().cloned().collect(),
            error: problem.cloned(),
        };
        journal.put(self.line(id, about, Body::Decision(Box::new(decision)), consulted.took));
        Some(id)
    }

    /// The end of a request.
    fn end(
        &self,
        about: &About<'_>,
        changes: &[Attributed],
        ledger: Option<&Ledger>,
        error: Option<Problem>,
    ) -> Option<Id> {
        let journal = self.journal.as_ref()?;
        let id = self.ids.next(SystemTime::now());
        let created = about.container.map(|container| &*container.id).unwrap_or_default();
        let owners = ledger.map(|ledger| line::owners(ledger, created)).unwrap_or_default();
        let body = Body::Final(Box::new(Final { changes: changes.to_vec(), owners, error }));
        journal.put(self.line(id, about, body, about.took));
        Some(id)
    }

    fn put(&self, body: Body, policies: &InForce, runtime: &str) {
        if let Some(journal) = &self.journal {
            let about = About::unasked(false, policies, runtime);
            journal.put(self.line(self.ids.next(SystemTime::now()), &about, body, Duration::ZERO));
        }
    }

    fn line(&self, id: Id, about: &About<'_>, body: Body, took: Duration) -> Line {
        Line {
            time: SystemTime::now(),
            seq: self.seq.fetch_add(1, Ordering::Relaxed) + 1,
            id,
            node: Arc::clone(&self.node),
            operation: about.operation,
            place: Place::new(about.pod, about.container),
            mode: about.policies.mode(),
            hash: about.policies.full_hash().map(Into::into),
            generation: about.policies.generation(),
            point: self.point,
            runtime: about.runtime.into(),
            gap: about.gap.clone(),
            took,
            body,
        }
    }
}

/// One line of the log for a refusal.
fn say(refused: &Refused, id: Id) {
    let Refused { plugin, field, key, rule, at, action, reason, .. } = refused;
    let at = at.as_deref().unwrap_or_default();
    if *action == Action::Audit {
        info!(%plugin, %field, %key, %rule, at, ?action, audit = %id, "violates the policy: {reason}");
    } else {
        warn!(%plugin, %field, %key, %rule, at, ?action, audit = %id, "violates the policy: {reason}");
    }
}

/// The plugin whose answer made a request fail.
fn blamed(cause: &Cause) -> Option<&PluginName> {
    let (_, kind, plugin) = crate::decision::blamed(cause);
    plugin.filter(|_| kind != "validator")
}

/// What whoever asked is told of a failure: the reason of the policy, and where to read more.
pub(crate) fn told(failure: &HostFailure, id: Option<Id>) -> String {
    let mut text = failure.to_string();
    let first = failure.refused.iter().find(|refused| refused.action == Action::Reject);
    if let (Cause::Policy(_), Some(Refused { field, key, rule, at, reason, .. })) = (&failure.cause, first) {
        let key = if key.is_empty() { String::new() } else { format!(" {key}") };
        let at = at.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
        text.push_str(&format!(": {field}{key}: {reason} (rule {rule}{at})"));
    }
    match id {
        Some(id) => format!("{text} [audit {id}]"),
        None => text,
    }
}
