//! What can be seen of the host from outside: its plugins and their figures.

use std::time::{Duration, SystemTime};

use nri_wire::event::EventMask;
use nri_wire::name::PluginName;

use super::identity::Identity;

/// One registered plugin.
#[derive(Clone, Debug)]
pub struct PluginStatus {
    /// Index and name.
    pub name: PluginName,
    /// Its process, where known.
    pub pid: Option<u32>,
    /// Started by this host.
    pub launched: bool,
    /// Who it is, whatever it says.
    pub identity: Identity,
    /// When its connection came.
    pub connected_since: SystemTime,
    /// Gets events: registered, configured and synchronised.
    pub active: bool,
    /// Owes an answer, and counts as late until it comes.
    pub overdue: bool,
    /// Requests that wait for it.
    pub waiting: usize,
    /// The events that it gets.
    pub events: EventMask,
    /// What it did so far.
    pub tally: Tally,
}

/// How a plugin's calls ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Answered in time.
    pub answers: u64,
    /// Refused.
    pub vetoes: u64,
    /// Missed their deadline.
    pub lates: u64,
    /// Left out because an answer was owed.
    pub skipped: u64,
    /// Answered after the deadline.
    pub late_answers: u64,
    /// Sum over calls answered in time.
    pub time: Duration,
}

/// Sums over all plugins since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls sent.
    pub calls: u64,
    /// Plugins that became active.
    pub joined: u64,
    /// Connections of registered plugins that ended.
    pub lost: u64,
    /// Connections refused or ended before they were active.
    pub refused: u64,
    /// Processes started again.
    pub restarts: u64,
    /// Requests that succeeded.
    pub requests: u64,
    /// Requests that failed.
    pub failures: u64,
    /// Fields of callers' requests that are not known here and could not be passed on to plugins.
    pub unforwarded: u64,
}
