//! What a gateway tells of itself: the engine that it serves, its plugins and their figures. The JSON form of
//! `nri plugins -o json`; members may be added.

use nri_runtime::host;
use nri_wire::event::display_name;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::VERSION;
use crate::timestamp::timestamp;

/// The answer to `plugins`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) version: u32,
    /// Absent until an engine has said who it is.
    pub(crate) engine: Option<Engine>,
    /// In the order in which they are asked.
    pub(crate) plugins: Vec<Plugin>,
    pub(crate) totals: Totals,
    /// Containers that run and did not go through the gateway.
    #[serde(default)]
    pub(crate) unseen: Vec<Unseen>,
}

/// A container that runs and did not go through the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Unseen {
    /// The pod's.
    pub(crate) namespace: String,
    /// Its id stands for the name of a pod that the engine has not told.
    pub(crate) pod: String,
    pub(crate) container: String,
    pub(crate) id: String,
}

/// The engine, as it said in Configure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Engine {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) nri_version: String,
    /// Whether it is there now; if not, the rest is of the last time.
    pub(crate) connected: bool,
    /// When the last connection began, RFC 3339.
    pub(crate) since: String,
    /// Connections after the first.
    pub(crate) reconnects: u64,
}

/// One registered plugin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Plugin {
    pub(crate) name: String,
    pub(crate) index: String,
    pub(crate) pid: Option<u32>,
    /// Started by the gateway, rather than connected by itself.
    pub(crate) launched: bool,
    /// When its connection came, RFC 3339.
    pub(crate) since: String,
    /// What is known of it without asking it, with `proofs` and `assurance` (policy.md 2, "facts").
    pub(crate) identity: Value,
    pub(crate) state: State,
    /// Names of the events that it gets.
    pub(crate) events: Vec<String>,
    /// Requests that wait for it.
    pub(crate) queue: usize,
    pub(crate) answers: u64,
    pub(crate) vetoes: u64,
    /// Calls that missed their deadline.
    pub(crate) lates: u64,
    /// Calls that were left out because it owed an answer.
    pub(crate) skipped: u64,
    /// Answers after the deadline.
    pub(crate) late_answers: u64,
    /// Mean time of the answers that came in time, microseconds.
    pub(crate) mean_micros: u64,
}

/// What a plugin is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum State {
    /// It is being told what is there, and gets no events yet.
    Joining,
    /// It gets events.
    #[default]
    Active,
    /// It owes an answer, and gets nothing until it comes.
    Late,
}

/// Sums over all plugins since the gateway's start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Totals {
    pub(crate) calls: u64,
    pub(crate) joined: u64,
    pub(crate) lost: u64,
    pub(crate) refused: u64,
    pub(crate) restarts: u64,
    pub(crate) requests: u64,
    pub(crate) failures: u64,
}

impl Report {
    /// What a host's status and the engine's facts say.
    pub(crate) fn new(engine: Option<Engine>, status: &[host::PluginStatus], totals: host::Totals) -> Self {
        Self {
            version: VERSION,
            engine,
            plugins: status.iter().map(Plugin::from).collect(),
            totals: Totals::from(totals),
            unseen: Vec::new(),
        }
    }
}

impl From<&host::PluginStatus> for Plugin {
    fn from(status: &host::PluginStatus) -> Self {
        let tally = &status.tally;
        let mean = tally.time.as_micros().checked_div(u128::from(tally.answers)).unwrap_or(0);
        Self {
            name: status.name.base().to_owned(),
            index: status.name.index().to_owned(),
            pid: status.pid,
            launched: status.launched,
            since: timestamp(status.connected_since),
            identity: serde_json::to_value(&status.identity).unwrap_or_default(),
            state: match (status.active, status.overdue) {
                (false, _) => State::Joining,
                (true, false) => State::Active,
                (true, true) => State::Late,
            },
            events: status.events.events().map(|event| display_name(event).to_owned()).collect(),
            queue: status.waiting,
            answers: tally.answers,
            vetoes: tally.vetoes,
            lates: tally.lates,
            skipped: tally.skipped,
            late_answers: tally.late_answers,
            mean_micros: u64::try_from(mean).unwrap_or(u64::MAX),
        }
    }
}

impl From<host::Totals> for Totals {
    fn from(totals: host::Totals) -> Self {
        let host::Totals { calls, joined, lost, refused, restarts, requests, failures, .. } = totals;
        Self { calls, joined, lost, refused, restarts, requests, failures }
    }
}
