//! What comes out of a request: each plugin's outcome, and why a request failed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use nri_policy::judge::{Absent, Judged, Refused};
use nri_wire::event::{Event, display_name};
use nri_wire::name::PluginName;

use super::given::Given;
use super::identity::Identity;
use crate::merge::{MergeError, Merged, MergedStop, MergedUpdate};
use crate::validate::Rejection;

/// What one plugin made of one call (`design.md` 3, invariant 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered.
    Answer,
    /// It refused, in its own words.
    Veto(String),
    /// Its connection was lost or closed before it answered.
    Gone,
    /// It did not answer in time, or still owed an earlier answer.
    Late,
}

/// One plugin that had a part in a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Consulted {
    /// Which plugin.
    pub plugin: PluginName,
    /// What it made of the call.
    pub outcome: Outcome,
    /// From the moment the call was sent; zero if none was.
    pub took: Duration,
    /// Its answer, as it came. Kept only with [`Config::keep_answers`](super::Config::keep_answers).
    pub given: Option<Arc<Given>>,
    /// What the policy said of its answer. Only with a judge that records
    /// ([`Options::records`](nri_policy::judge::Options)).
    pub judgement: Option<Arc<Judgement>>,
}

impl Consulted {
    /// A plugin of which nothing more is known.
    #[must_use]
    pub const fn new(plugin: PluginName, outcome: Outcome) -> Self {
        Self { plugin, outcome, took: Duration::ZERO, given: None, judgement: None }
    }
}

/// What the policy said of one answer: for audit.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// Who the plugin was when it answered.
    pub identity: Identity,
    /// Its process, if it is known.
    pub pid: Option<u32>,
    /// What became of each change. Holds values of variables and arguments in clear.
    pub changes: Vec<Judged>,
    /// What of it violates a rule.
    pub refused: Vec<Refused>,
}

/// Result of [`Host::create_container`](super::Host::create_container).
#[derive(Debug)]
pub struct Created {
    /// What is to be applied, what becomes of other containers, and who did what.
    pub merged: Merged,
    /// The plugins asked to adjust, in their order.
    pub plugins: Vec<Consulted>,
    /// The validators, all of which agreed.
    pub validators: Vec<Consulted>,
    /// What violates the policy, and counts or does not as it says.
    pub refused: Vec<Refused>,
}

/// Result of [`Host::update_container`](super::Host::update_container).
#[derive(Debug)]
pub struct Updated {
    /// What became of the update, and the updates of other containers and evictions that the plugins asked for.
    pub merged: MergedUpdate,
    /// The plugins asked, in their order.
    pub plugins: Vec<Consulted>,
    /// What violates the policy, and counts or does not as it says.
    pub refused: Vec<Refused>,
}

/// Result of [`Host::stop_container`](super::Host::stop_container).
#[derive(Debug)]
pub struct Stopped {
    /// The updates of containers that the plugins asked for.
    pub merged: MergedStop,
    /// The plugins asked, in their order.
    pub plugins: Vec<Consulted>,
    /// What violates the policy, and counts or does not as it says.
    pub refused: Vec<Refused>,
}

/// Result of the requests that only tell something.
#[derive(Debug, Default)]
pub struct Told {
    /// The plugins told, in their order.
    pub plugins: Vec<Consulted>,
}

/// A request that did not go through, and what each plugin did before that.
#[derive(Debug)]
pub struct Failure {
    /// Which request.
    pub event: Event,
    /// Why it failed.
    pub cause: Cause,
    /// The plugins that had a part in it, in their order.
    pub plugins: Vec<Consulted>,
    /// What violates the policy.
    pub refused: Vec<Refused>,
}

/// Why a request failed, and whose fault it is.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause {
    /// A plugin refused.
    Veto {
        /// Which plugin.
        plugin: PluginName,
        /// In its own words.
        reason: String,
        /// The status code that it gave (`spec/wire.md` 3.4).
        code: i32,
    },
    /// The policy rejects what this plugin asks for; the failure's `refused` says which.
    Policy(PluginName),
    /// Two plugins want different things, or one asks for something impossible.
    Merge(Box<MergeError>),
    /// A validator rejected the merged result, or did not say that it agrees (EXT-040).
    Validator {
        /// Which validator.
        plugin: PluginName,
        /// In its own words, or what became of it.
        reason: String,
    },
    /// Our own validation rejected the merged result, or the pod.
    Rejected(String),
    /// Plugins that are required did not answer (quirk A10).
    Required(Vec<Missing>),
    /// Plugins that a policy requires were not there, or did not do what it asks (`policy.md` 7).
    Absent(Vec<Absent>),
    /// A plugin whose answer counts did not answer in time.
    Late(PluginName),
    /// A plugin whose answer counts was lost.
    Gone(PluginName),
    /// A plugin's answer cannot be read or breaks the protocol.
    Invalid {
        /// Which plugin.
        plugin: PluginName,
        /// What is wrong with it.
        reason: String,
    },
    /// The request does not fit into one message to a plugin (EXT-017).
    TooLong {
        /// Encoded length in bytes.
        len: usize,
        /// Most that goes into one message.
        max: usize,
    },
    /// The request itself lacks something (quirk A14).
    Input(&'static str),
    /// The caller's own deadline is over (quirk B3); no plugin's fault.
    Expired,
    /// The host is shutting down.
    Stopped,
}

/// A required plugin that did not answer for this container or pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// As it is required: with or without index.
    pub plugin: String,
    /// What became of it.
    pub absence: Absence,
}

/// Why a required plugin did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Absence {
    /// No plugin of this name is connected.
    NotConnected,
    /// It is connected, but not yet active when the request came.
    Joining,
    /// It is active, but does not take this event.
    NotSubscribed,
    /// It did not answer in time, or still owed an earlier answer.
    Late,
    /// Its connection was lost before it answered.
    Gone,
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotConnected => "is not connected",
            Self::Joining => "is still joining",
            Self::NotSubscribed => "is connected and does not take this event",
            Self::Late => "did not answer in time",
            Self::Gone => "was lost before it answered",
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", display_name(self.event), self.cause)?;
        if let Cause::Expired = self.cause {
            // Nobody is at fault alone: who took how long lets the reader judge.
            let slow = self.plugins.iter().filter(|asked| asked.took >= WORTH_TELLING);
            for (n, asked) in slow.enumerate() {
                let separator = if n == 0 { "; " } else { ", " };
                write!(f, "{separator}{:?} took {} ms", asked.plugin.full(), asked.took.as_millis())?;
            }
        }
        Ok(())
    }
}

/// A plugin that took less has no part in a deadline that is over.
const WORTH_TELLING: Duration = Duration::from_millis(100);

impl std::error::Error for Failure {}

impl From<MergeError> for Cause {
    fn from(error: MergeError) -> Self {
        Self::Merge(Box::new(error))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Veto { plugin, reason, .. } => write!(f, "plugin {:?} refused: {reason}", plugin.full()),
            Self::Policy(plugin) => {
                write!(f, "the policy rejects what plugin {:?} asks for", plugin.full())
            }
            Self::Merge(error) => write!(f, "{error}"),
            Self::Validator { plugin, reason } => {
                write!(f, "validator {:?} rejected the container: {reason}", plugin.full())
            }
            Self::Rejected(reason) => f.write_str(reason),
            Self::Required(missing) => {
                let names = missing.iter().map(|missing| missing.plugin.clone()).collect();
                let why: Vec<_> = missing.iter().map(|m| format!("{:?} {}", m.plugin, m.absence)).collect();
                write!(f, "{}: {}", Rejection::Missing(names), why.join(", "))
            }
            Self::Absent(absent) => {
                let texts: Vec<_> = absent.iter().map(ToString::to_string).collect();
                write!(f, "validation error: {}", texts.join("; "))
            }
            Self::Late(plugin) => write!(f, "plugin {:?} did not answer in time", plugin.full()),
            Self::Gone(plugin) => {
                write!(f, "the connection of plugin {:?} was lost before it answered", plugin.full())
            }
            Self::Invalid { plugin, reason } => {
                write!(f, "the answer of plugin {:?} is invalid: {reason}", plugin.full())
            }
            Self::TooLong { len, max } => {
                write!(f, "the request is {len} bytes long, more than the {max} that one message holds")
            }
            Self::Input(what) => write!(f, "the request has no {what}"),
            Self::Expired => f.write_str("the caller's deadline is over"),
            Self::Stopped => f.write_str("the host is shutting down"),
        }
    }
}
