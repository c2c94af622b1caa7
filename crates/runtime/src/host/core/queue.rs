//! A plugin's queue: how a request gets into it, when it goes out, and how long the plugin has for it (`design.md` 5,
//! "Deadlines", "Per plugin").

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::message::Parcel;
use super::plugin::{Picture, Plugin, Stage};
use super::request::{Party, Phase};
use super::{Core, Message, PluginId, Purpose, RequestId};
use crate::host::outcome::Outcome;
use crate::limits::{FAIR_PART, RESERVE_PART};

impl Core {
    /// Puts a request into a plugin's queue. False: its outcome is known already, and the request goes on or is over.
    pub(super) fn enqueue(&mut self, id: RequestId, party: Party, now: Instant) -> bool {
        let outcome = match self.plugins.get(&party.id) {
            None => Some(Outcome::Gone),
            Some(plugin) if matches!(plugin.stage, Stage::Leaving) => Some(Outcome::Gone),
            Some(plugin) if plugin.is_overdue() => Some(Outcome::Late),
            Some(_) => None,
        };
        if let Some(outcome) = outcome {
            if outcome == Outcome::Late {
                self.skipped(party.id, id);
            }
            self.note(id, &party, outcome, Duration::ZERO, now);
            return false;
        }
        let Some(request) = self.requests.get_mut(&id) else { return false };
        let (plugin_id, end) = (party.id, request.end);
        let key = (request.ticket, id);
        request.waiting.insert(plugin_id, party);
        if let Some(plugin) = self.plugins.get_mut(&plugin_id) {
            plugin.queue.insert(key);
        }
        self.await_joining(id, plugin_id, end, now);
        self.pump(plugin_id, now);
        true
    }

    /// Sends what a plugin's queue holds, as far as the plugin is free.
    pub(super) fn pump(&mut self, id: PluginId, now: Instant) {
        while self.plugins.get(&id).is_some_and(Plugin::is_free) && !self.renews(id, now) {
            let next = self.next_in_queue(id);
            let Some(plugin) = self.plugins.get_mut(&id) else { return };
            if plugin.picture != Picture::False
                && let Some(event) = plugin.missed_events.pop_front()
            {
                let deadline = now + plugin.rules.timeout;
                let dedicated = !plugin.state_change.contains(event.notice.event());
                self.occupy(id, Purpose::Missed, event.told(dedicated), now, deadline, true);
            } else if let Some(next) = next {
                plugin.queue.remove(&next);
                self.send(next.1, id, now);
            } else {
                return;
            }
        }
    }

    fn send(&mut self, id: RequestId, plugin_id: PluginId, now: Instant) {
        let (Some(request), Some(plugin)) = (self.requests.get(&id), self.plugins.get(&plugin_id)) else {
            return;
        };
        let timeout = plugin.rules.timeout;
        let whole = request.end.saturating_duration_since(request.entered);
        let validators = u32::from(!request.to_validate.is_empty());
        let after = u32::try_from(request.order.len()).unwrap_or(u32::MAX).saturating_add(validators);
        let reserve = match request.is_asking_in_turn() {
            true => (whole / RESERVE_PART).saturating_mul(after).min(whole / 2),
            false => Duration::ZERO,
        };
        let share = request.end.saturating_duration_since(now);
        let given = share.saturating_sub(reserve).min(timeout);
        // With much less than half of what it could expect, a time-out is the caller's fault, not the plugin's.
        let fair = given >= timeout.min(whole) / FAIR_PART;
        let deadline = now + if fair { given } else { share.min(timeout) };
        let message = match &request.phase {
            Phase::Asking(fold) => fold.message(!plugin.state_change.contains(request.event)),
            Phase::Validating(validation, _) => Message::Validate(Arc::clone(validation)),
            Phase::Held(_) | Phase::Done => return,
        };
        let parcel = Parcel { message, unknown: Arc::clone(&request.unknown) };
        self.occupy(plugin_id, Purpose::Request(id), parcel, now, deadline, fair);
    }

    fn occupy(
        &mut self,
        id: PluginId,
        purpose: Purpose,
        parcel: Parcel,
        now: Instant,
        deadline: Instant,
        fair: bool,
    ) {
        let call = self.call(id, purpose, parcel, now, deadline, fair);
        if let Some(plugin) = self.plugins.get_mut(&id) {
            plugin.busy.insert(call);
        }
    }
}
