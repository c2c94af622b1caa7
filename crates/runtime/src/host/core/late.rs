//! Deadlines that pass, answers that come after all, connections that are lost (`design.md` 5, "Late", "Gone").

use std::time::{Duration, Instant};

use nri_wire::api::Empty;
use nri_wire::event::display_name;
use tracing::{debug, info, warn};

use super::plugin::{Picture, Stage};
use super::seat::Who;
use super::{Action, Call, CallId, CallState, Core, End, Message, PluginId, Purpose, Timer};
use crate::host::outcome::{Cause, Outcome};
use crate::limits::{MISSED_CALLS_MAX, OUTSTANDING_MAX, SHUTDOWN_TIMEOUT};

impl Core {
    /// A call's deadline has passed.
    pub(super) fn call_expired(&mut self, id: CallId, now: Instant) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (plugin, purpose, event) = (call.plugin, call.purpose, call.event);
        let took = now.saturating_duration_since(call.started);
        match (purpose, call.state) {
            (_, CallState::Late) => {}
            (Purpose::Configure, _) => self.close(plugin, "did not answer Configure in time", now),
            (Purpose::Synchronize, _) => self.close(plugin, "did not answer Synchronize in time", now),
            (Purpose::Shutdown, _) => self.close(plugin, "did not answer Shutdown in time", now),
            (Purpose::Request(request), CallState::Pending) if !call.fair => {
                // Fails the request, which abandons the call.
                self.fail(request, Cause::Expired, now);
            }
            (Purpose::Request(_) | Purpose::Missed, state) => {
                call.state = CallState::Late;
                self.owes(plugin, id, now);
                if let Some(plugin) = self.plugins.get(&plugin) {
                    warn!(plugin = %plugin.label(), event = display_name(event), ?took, "did not answer in time");
                }
                if let (Purpose::Request(request), CallState::Pending) = (purpose, state) {
                    self.conclude(request, plugin, Outcome::Late, took, now);
                }
                self.skip_queue(plugin, now);
                self.check_missed(plugin, now);
            }
        }
    }

    fn owes(&mut self, id: PluginId, call: CallId, now: Instant) {
        self.missed(id);
        let Some(plugin) = self.plugins.get_mut(&id) else { return };
        plugin.owed.insert(call);
        if plugin.owed_since.is_none() {
            plugin.owed_since = Some(now);
            self.timers.insert((now + OUTSTANDING_MAX, Timer::Outstanding(id)));
        }
    }

    /// Counts one missed call.
    pub(super) fn missed(&mut self, id: PluginId) {
        if let Some(plugin) = self.plugins.get_mut(&id) {
            plugin.missed += 1;
            plugin.tally.lates += 1;
        }
    }

    /// Closes a plugin that has missed too many calls, or may miss none.
    pub(super) fn check_missed(&mut self, id: PluginId, now: Instant) {
        let Some(plugin) = self.plugins.get(&id) else { return };
        if plugin.rules.close_when_late {
            self.close(id, "missed a deadline, and its settings say to close it then", now);
        } else if plugin.missed >= MISSED_CALLS_MAX {
            self.close(id, &format!("missed {MISSED_CALLS_MAX} calls in a row"), now);
        }
    }

    /// Whoever waits for a plugin that owes an answer goes on without it at once.
    fn skip_queue(&mut self, id: PluginId, now: Instant) {
        while let Some(plugin) = self.plugins.get_mut(&id)
            && let Some((_, request)) = plugin.queue.pop_first()
        {
            self.skipped(id, request);
            self.conclude(request, id, Outcome::Late, Duration::ZERO, now);
        }
    }

    /// An answer that is owed has come.
    pub(super) fn answered_late(&mut self, id: CallId, call: &Call, end: &End, now: Instant) {
        let Some(plugin) = self.plugins.get_mut(&call.plugin) else { return };
        plugin.owed.remove(&id);
        plugin.tally.late_answers += 1;
        if plugin.owed.is_empty()
            && let Some(since) = plugin.owed_since.take()
        {
            self.timers.remove(&(since + OUTSTANDING_MAX, Timer::Outstanding(call.plugin)));
        }
        if plugin.owed.is_empty() && plugin.picture == Picture::Behind {
            plugin.picture = Picture::False;
        }
        let took = now.saturating_duration_since(call.started);
        info!(plugin = %plugin.label(), event = display_name(call.event), ?took, "answered late");
        if !end.changes_nothing() && !plugin.rules.keep_when_late && call.purpose != Purpose::Missed {
            // Its picture of the node is false from now on.
            self.close(call.plugin, "answered late, with changes that were not made", now);
        } else {
            self.pump(call.plugin, now);
        }
    }

    pub(super) fn outstanding_too_long(&mut self, id: PluginId, now: Instant) {
        if self.plugins.get(&id).is_some_and(super::plugin::Plugin::is_overdue) {
            self.close(id, &format!("owes an answer for {} s", OUTSTANDING_MAX.as_secs()), now);
        }
    }

    /// The connection has ended by itself.
    pub(crate) fn handle_closed(&mut self, id: PluginId, why: &str, now: Instant) {
        self.close(id, why, now);
    }

    /// Ends a connection and whatever waits for it.
    pub(super) fn close(&mut self, id: PluginId, why: &str, now: Instant) {
        let Some(plugin) = self.plugins.remove(&id) else { return };
        if matches!(plugin.stage, Stage::Leaving) {
            debug!(plugin = %plugin.label(), "closed: {why}");
        } else {
            warn!(plugin = %plugin.label(), "closed: {why}");
        }
        self.actions.push_back(Action::Close { plugin: id, reason: why.to_owned() });
        self.timers.retain(|(_, timer)| {
            !matches!(timer, Timer::Outstanding(p) | Timer::Registration(p) | Timer::Digest(p) | Timer::Joining(_, p) if *p == id)
        });
        match (&plugin.stage, &plugin.name, plugin.seat) {
            _ if plugin.is_active() => self.totals.lost += 1,
            (Stage::Leaving, ..) => {}
            (Stage::Joining(_), Some(name), None) => {
                self.totals.refused += 1;
                let pause = self.back_off.failed(Who::connected(name, &plugin.origin.identity), now);
                info!(plugin = %name, "may join again in {} s", pause.as_secs());
            }
            _ => self.totals.refused += 1,
        }
        let calls: Vec<_> =
            self.calls.iter().filter(|(_, call)| call.plugin == id).map(|(id, _)| *id).collect();
        let mut lost = Vec::new();
        for call in calls {
            if let Some(record) = self.calls.remove(&call) {
                self.timers.remove(&(record.deadline, Timer::Call(call)));
                if let (Purpose::Request(request), CallState::Pending) = (record.purpose, record.state) {
                    lost.push((request, now.saturating_duration_since(record.started)));
                }
            }
        }
        for (request, took) in lost {
            self.conclude(request, id, Outcome::Gone, took, now);
        }
        let newcomer = plugin.is_newcomer();
        let before = self.disown(&plugin);
        if newcomer {
            self.excuse_later(id, before);
        }
        for (_, request) in plugin.queue {
            if newcomer {
                self.excuse(request, id, before, now);
            } else {
                self.conclude(request, id, Outcome::Gone, Duration::ZERO, now);
            }
        }
        if let Some(seat) = plugin.seat {
            self.vacate(seat, now);
        }
        self.actions.push_back(Action::Changed);
        self.renew_waiting(now);
        self.check_stopped();
    }

    /// Tells a plugin to shut down, and closes it once it has answered or its moment is over (quirk B8).
    pub(super) fn say_goodbye(&mut self, id: PluginId, now: Instant) {
        let Some(plugin) = self.plugins.get_mut(&id) else { return };
        if !plugin.is_active() {
            return self.close(id, "the host is shutting down", now);
        }
        plugin.stage = Stage::Leaving;
        self.call(id, Purpose::Shutdown, Message::Shutdown(Empty {}), now, now + SHUTDOWN_TIMEOUT, true);
    }
}
