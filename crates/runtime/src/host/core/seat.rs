//! Launched plugins, and when to launch them again; and the pauses that failures cost.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nri_wire::name::PluginName;
use tracing::warn;

use super::{Action, Core, SeatId, Timer};
use crate::host::config::Program;
use crate::host::identity::Identity;
use crate::limits::{BACK_OFF_FIRST, BACK_OFF_FORGET, BACK_OFF_MAX, BACK_OFFS_MAX};

/// A launched plugin, over all its processes.
#[derive(Debug)]
pub(super) struct Seat {
    program: Program,
    /// It has been active or failed at least once.
    settled: bool,
    started_before: bool,
}

impl Seat {
    pub(super) fn new(program: Program) -> Self {
        Self { program, settled: false, started_before: false }
    }

    pub(super) fn program(&self) -> &Program {
        &self.program
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }
}

/// The pauses of plugins that failed.
#[derive(Debug, Default)]
pub(super) struct BackOff {
    known: BTreeMap<Who, Pause>,
}

/// Whose pause it is. A stranger who fails under a plugin's name costs that plugin nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Who {
    name: PluginName,
    launched: bool,
    uid: Option<u32>,
    exe: Option<PathBuf>,
    /// Pod and container, or else the unit: what stays when a process is started again.
    place: Option<String>,
}

impl Who {
    /// A plugin that we start.
    fn launched(name: &PluginName) -> Self {
        Self { name: name.clone(), launched: true, uid: None, exe: None, place: None }
    }

    /// A plugin that connects.
    pub(super) fn connected(name: &PluginName, identity: &Identity) -> Self {
        let pod =
            identity.pod.as_ref().map(|pod| format!("{}/{}/{}", pod.namespace, pod.name, pod.container));
        let unit = || identity.systemd_unit.clone().filter(|_| identity.container_id.is_none());
        Self {
            name: name.clone(),
            launched: false,
            uid: identity.uid,
            exe: identity.exe.clone(),
            place: pod.or_else(unit),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Pause {
    length: Duration,
    until: Instant,
}

impl BackOff {
    /// Counts a failure. Gives the pause.
    pub(super) fn failed(&mut self, who: Who, now: Instant) -> Duration {
        let length = match self.known.get(&who) {
            Some(last) if now < last.until + BACK_OFF_FORGET => (last.length * 2).min(BACK_OFF_MAX),
            _ => BACK_OFF_FIRST,
        };
        if self.known.len() >= BACK_OFFS_MAX && !self.known.contains_key(&who) {
            let oldest = self.known.iter().min_by_key(|(_, pause)| pause.until).map(|(who, _)| who.clone());
            oldest.map(|oldest| self.known.remove(&oldest));
        }
        self.known.insert(who, Pause { length, until: now + length });
        length
    }

    /// What is left of a plugin's pause.
    pub(super) fn left(&self, who: &Who, now: Instant) -> Option<Duration> {
        self.known
            .get(who)
            .map(|pause| pause.until.saturating_duration_since(now))
            .filter(|left| !left.is_zero())
    }
}

impl Core {
    pub(super) fn launch(&mut self, seat: SeatId) {
        if let Some(place) = self.seats.get_mut(seat.0)
            && !self.stopping
        {
            self.totals.restarts += u64::from(place.started_before);
            place.started_before = true;
            self.actions.push_back(Action::Launch(seat));
        }
    }

    /// The process could not be started.
    pub(crate) fn handle_launch_failed(&mut self, seat: SeatId, why: &str, now: Instant) {
        if let Some(place) = self.seats.get(seat.0) {
            warn!(plugin = %place.program.name, path = %place.program.path.display(), "failed to launch: {why}");
        }
        self.vacate(seat, now);
    }

    /// Launched plugins start again after a pause, if their settings let them.
    pub(super) fn vacate(&mut self, seat: SeatId, now: Instant) {
        self.settle(seat);
        let Some(place) = self.seats.get(seat.0) else { return };
        let name = place.program.name.clone();
        let rules = super::plugin::Rules::new(&self.setup, Some(&name), Default::default());
        if rules.restart && !self.stopping {
            let pause = self.back_off.failed(Who::launched(&name), now);
            warn!(plugin = %name, "starts again in {} s", pause.as_secs());
            self.timers.insert((now + pause, Timer::Restart(seat)));
        }
    }

    pub(super) fn settle(&mut self, seat: SeatId) {
        if let Some(place) = self.seats.get_mut(seat.0) {
            place.settled = true;
            self.actions.push_back(Action::Changed);
        }
    }
}
