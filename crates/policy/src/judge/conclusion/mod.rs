//! The judgement of an end result: what must hold whoever caused it, and who must have been there (`policy.md` 7).
//!
//! Answers are judged one by one, against rules about single changes. What all of them together came to is judged once
//! more, after the last plugin and before any validator.

mod invariant;
mod required;

use nri_wire::api::{Container, PodSandbox};
use nri_wire::name::PluginName;

pub use self::required::{Absent, Lack};
use super::compiled::PodOf;
use super::refusal::{Action, Refused};
use super::{Judge, Rules};
use crate::change::Recorded;
use crate::identity::Facts;
use crate::rule::Mode;

/// A creation after its last plugin, or a pod that is to run.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// The pod; of an unknown one every policy holds.
    pub pod: Option<&'a PodSandbox>,
    /// The container; `None`: the pod itself is to run.
    pub product: Option<Product<'a>>,
    /// Every plugin that was there.
    pub chain: &'a [Member<'a>],
    /// What was refused on the way.
    pub refused: &'a [Refused],
    /// It is happening now. Nobody knows how long after boot a recorded creation was.
    pub is_live: bool,
}

/// A container that plugins have changed.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a> {
    /// As the client asked for it.
    pub pristine: &'a Container,
    /// As a next plugin would see it.
    pub container: &'a Container,
    /// The changes that were applied, in their order.
    pub changes: &'a [(&'a PluginName, &'a Recorded)],
}

/// A plugin that was there.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Which plugin.
    pub plugin: &'a PluginName,
    /// What is known of it.
    pub facts: &'a Facts,
    /// Whether it returned a valid answer in time; else what became of that, as a fragment: "did not answer in time".
    pub answered: Result<(), &'static str>,
}

/// The judgement of an end result.
#[derive(Clone, Debug, Default)]
#[must_use = "an end result counts only if its conclusion lets it"]
pub struct Conclusion {
    /// What violates an invariant, also where its policy only warns.
    pub refused: Vec<Refused>,
    /// Plugins that are required and were not there, also where that is only recorded.
    pub missing: Vec<Absent>,
}

impl Conclusion {
    /// Whether the request fails because of what the plugins did.
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        self.refused.iter().any(|refused| refused.action == Action::Reject)
    }

    /// The plugins for want of which the request fails.
    #[must_use]
    pub fn lacking(&self) -> Vec<Absent> {
        self.missing.iter().filter(|absent| absent.action == Action::Reject).cloned().collect()
    }
}

impl Judge {
    /// Judges an end result. Without policies everything may be.
    pub fn conclude(&self, ended: &Ended<'_>) -> Conclusion {
        let Some(rules) = &self.0 else { return Conclusion::default() };
        let pod = PodOf::of(ended.pod);
        let mut conclusion = Conclusion::default();
        let mut strictest = None;
        for policy in rules.policies.iter().filter(|policy| policy.covers(pod)) {
            if let Some(product) = &ended.product {
                conclusion.refused.extend(invariant::broken(rules, policy, ended, product));
            }
            conclusion.missing.extend(required::missing(rules, policy, ended));
            strictest = strictest.max(Some(action(policy.mode)));
        }
        if let Some(action) = strictest {
            conclusion.missing.extend(required::asked_by_pod(rules, ended, action));
        }
        conclusion
    }

    /// Whether policies are in force, so that an end result has to be judged at all.
    #[must_use]
    pub fn has_policies(&self) -> bool {
        self.0.as_ref().is_some_and(|rules| !rules.policies.is_empty())
    }
}

impl Rules {
    fn host(&self) -> &dyn crate::host::Host {
        &*self.host
    }
}

/// What a violation leads to where nothing can be dropped any more.
const fn action(mode: Mode) -> Action {
    match mode {
        Mode::Enforce => Action::Reject,
        Mode::Warn => Action::Warn,
        Mode::Audit => Action::Audit,
    }
}
