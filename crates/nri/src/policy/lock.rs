//! The policies in force, and who judges by them. They may be replaced while a host runs.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use nri_policy::document::load::PolicySet;
use nri_policy::document::policy::Policy;
use nri_policy::explain::{self, Line, Verdict};
use nri_policy::judge::{Judge, OnMissing, Options};
use nri_policy::rule::Mode;
use nri_runtime::host::Identity;
use nri_runtime::node::Node;
use nri_wire::name::PluginName;
use nri_wire::restrictions::{FieldRestriction, RestrictionsResponse};
use serde::Deserialize;

use super::file;
use super::test::Tests;
use crate::failure::Failure;

/// The flags of commands that judge.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
#[group(id = "policy-flags")]
pub(crate) struct Flags {
    /// Policy that says what plugins may change: a file, or a directory of policies; may be given several times
    #[arg(long, value_name = "FILE|DIR", help_heading = "Policy")]
    pub(crate) policy: Vec<PathBuf>,
    /// What becomes of changes of containers that no policy covers [default: allow]
    #[arg(long, value_name = "allow|deny", hide_possible_values = true, help_heading = "Policy")]
    pub(crate) on_missing_policy: Option<Missing>,
}

/// What becomes of changes that no policy covers (`policy.md` 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Missing {
    /// They count.
    Allow,
    /// They are refused.
    Deny,
}

/// One state of the policies: whoever judges goes by one of them from beginning to end.
#[derive(Clone, Debug)]
pub(crate) struct InForce {
    /// `None`: there is no policy, and everything is allowed.
    set: Option<Arc<PolicySet>>,
    judge: Judge,
    /// How often the policies have been replaced.
    generation: u64,
}

/// The policies of a host. Clones are the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Lock {
    /// Held for a clone or a replacement only.
    state: Arc<RwLock<InForce>>,
}

impl InForce {
    /// No policy: everything is allowed.
    pub(crate) fn nothing() -> Self {
        Self { set: None, judge: Judge::allow_all(), generation: 0 }
    }

    fn new(set: PolicySet, missing: Option<Missing>, records: bool) -> Self {
        let on_missing = match missing {
            None | Some(Missing::Allow) => OnMissing::Allow,
            Some(Missing::Deny) => OnMissing::Deny,
        };
        let options = Options { on_missing, host: Arc::new(Node::default()), records };
        let judge = Judge::new(&set, options);
        Self { set: Some(Arc::new(set)), judge, generation: 0 }
    }

    /// What these paths hold, for a command that reads only what it is told to. `records`: the judge lists what is said
    /// about each change; without policies preset/compat's does.
    ///
    /// # Errors
    /// A path cannot be read or holds no policy, or a policy does not load.
    pub(crate) fn named(paths: &[PathBuf], missing: Option<Missing>, records: bool) -> Result<Self, Failure> {
        if paths.is_empty() {
            return Ok(Self::without(missing, records));
        }
        Ok(Self::new(file::enforce(paths)?, missing, records))
    }

    /// The same for a daemon, which reads the default directory if it is told nothing, and has the tests pass that lie
    /// beside the policies.
    ///
    /// # Errors
    /// As [`InForce::named`]; or a test fails.
    pub(crate) fn of_daemon(
        paths: &[PathBuf],
        missing: Option<Missing>,
        records: bool,
    ) -> Result<Self, Failure> {
        let loaded = file::load(paths)?;
        if paths.is_empty() && loaded.policies.is_empty() && loaded.diagnostics.errors() == 0 {
            return Ok(Self::without(missing, records));
        }
        let tests = Tests::read(&loaded)?;
        let set = file::settle(loaded, paths)?;
        tests.pass()?;
        Ok(Self::new(set, missing, records))
    }

    /// No policy, by a judge that lists what is said about each change.
    pub(super) fn recording() -> Self {
        Self::without(None, true)
    }

    /// These policies.
    pub(super) fn of_set(set: PolicySet) -> Self {
        Self::new(set, None, false)
    }

    fn without(missing: Option<Missing>, records: bool) -> Self {
        if records { Self::new(PolicySet::compat(), missing, records) } else { Self::nothing() }
    }

    pub(crate) fn judge(&self) -> &Judge {
        &self.judge
    }

    /// The strictest mode of these policies.
    pub(crate) fn mode(&self) -> Mode {
        let policies = self.set.iter().flat_map(|set| &set.policies);
        policies.map(|policy| policy.mode).max().unwrap_or(Mode::Audit)
    }

    /// How often the policies had been replaced before these.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// All of what [`InForce::hash`] is the beginning of.
    pub(crate) fn full_hash(&self) -> Option<&str> {
        self.set.as_ref().map(|set| &*set.hash)
    }

    /// What tells these policies from others; `None` if there are none.
    pub(crate) fn hash(&self) -> Option<&str> {
        self.set.as_ref().map(|set| set.short_hash())
    }

    /// What a plugin may do: for each field the strictest of what the policies say (`policy.md` 9).
    pub(crate) fn restrictions(
        &self,
        plugin: &PluginName,
        identity: &Identity,
    ) -> Option<RestrictionsResponse> {
        let set = self.set.as_ref()?;
        let standings = self.judge.standings(plugin, &identity.facts());
        let mut told =
            RestrictionsResponse { policy_hash: set.short_hash().to_owned(), ..Default::default() };
        let mut levels = Vec::new();
        for (standing, policy) in standings.iter().zip(&set.policies) {
            let Some(level) = standing.level.and_then(|name| policy.level(name)) else { continue };
            levels.push(&*level.name.value);
            let lines = explain::level(policy, level);
            let rule = |line: &Line| rule(policy, &level.name.value, line);
            if told.fields.is_empty() {
                told.fields = lines.iter().map(|line| restriction(line, rule(line))).collect();
            } else {
                for (field, line) in told.fields.iter_mut().zip(&lines) {
                    if stricter(line.verdict, &field.verdict) {
                        *field = restriction(line, rule(line));
                    }
                }
            }
        }
        told.level = levels.join(", ");
        Some(told)
    }
}

/// The rule's id in decisions.
fn rule(policy: &Policy, level: &str, line: &Line) -> String {
    let place = format!("{}/{level}", policy.name.value);
    line.key.map_or_else(|| place.clone(), |key| format!("{place}/{}", key.name()))
}

fn restriction(line: &Line, rule: String) -> FieldRestriction {
    let summary = match line.verdict {
        Verdict::Deny => line.what.clone(),
        Verdict::Allow | Verdict::Limited => format!("{}: {}", line.ops, line.what),
    };
    FieldRestriction {
        field: line.subject.name().to_owned(),
        verdict: line.verdict.name().to_owned(),
        rule,
        summary,
    }
}

fn stricter(verdict: Verdict, than: &str) -> bool {
    let known = [Verdict::Allow, Verdict::Limited, Verdict::Deny].into_iter().find(|v| v.name() == than);
    known.is_some_and(|known| verdict > known)
}

impl Lock {
    pub(crate) fn new(state: InForce) -> Self {
        Self { state: Arc::new(RwLock::new(state)) }
    }

    /// What is in force now.
    pub(crate) fn now(&self) -> InForce {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts others in force.
    pub(crate) fn replace(&self, state: InForce) {
        let mut now = self.state.write().unwrap_or_else(PoisonError::into_inner);
        *now = InForce { generation: now.generation + 1, ..state };
    }
}
