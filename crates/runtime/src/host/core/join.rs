//! From the subscription to the first event: the plugin is told the state of the node without holding anybody up
//! (`design.md` 5, "Joining").
//!
//! 1. What is known now goes out in parts, each with `more` set, while requests go on without the plugin.
//! 2. The cut: requests that begin from now on have the plugin among theirs and wait for it. Those under way are awaited.
//! 3. What has come up since the first part goes into the last one. Its answer opens the plugin's queue.
//!
//! What fits into one message skips the first step, so plugins that cannot take parts (NRI 0.6 and older) can join.

use std::collections::BTreeSet;
use std::time::Instant;

use nri_wire::api::{StateChangeEvent, SynchronizeRequest, SynchronizeResponse};
use nri_wire::synchronize::Parts;
use tracing::{debug, info};

use super::message::Happened;
use super::plugin::{Picture, Plugin, Stage};
use super::table::Told;
use super::{Action, Answer, Core, End, Message, PluginId, Purpose, RequestId, Timer};
use crate::host::given::Said;
use crate::limits::MISSED_EVENTS_MAX;

/// How far a joining has come.
#[derive(Debug, Default)]
pub(super) struct Joining {
    pub(super) step: Step,
    told: Told,
    pub(super) parts: Option<Parts>,
    /// The part under way is the last of these.
    exhausted: bool,
    /// Events about what it has been told, that went through without it.
    pub(super) missed: Vec<Happened>,
    /// It has been active before.
    pub(super) is_again: bool,
    /// It has begun to collect parts.
    pub(super) is_open: bool,
    /// What it has been told so far is not so any more.
    pub(super) is_outdated: bool,
    /// Creations that are told without being awaited.
    pub(super) unfinished: BTreeSet<RequestId>,
}

#[derive(Debug, Default)]
pub(super) enum Step {
    /// Parts go out, requests go on without the plugin.
    #[default]
    Snapshot,
    /// Requests that began before the cut are awaited.
    Cut(BTreeSet<RequestId>),
    /// The last part is under way.
    Last,
}

impl Joining {
    /// Of a plugin that was active. It is not told anything before the cut: it takes requests.
    pub(super) fn again() -> Self {
        Self { is_again: true, ..Self::default() }
    }

    /// Whether an event is about something that it has been told.
    pub(super) fn knows(&self, notice: &StateChangeEvent) -> bool {
        self.told.knows(notice)
    }

    pub(super) fn awaits(&self, request: RequestId) -> bool {
        matches!(&self.step, Step::Cut(under_way) if under_way.contains(&request))
    }

    /// Whether requests that begin now have the plugin among theirs.
    pub(super) fn is_cut(&self) -> bool {
        !matches!(self.step, Step::Snapshot)
    }
}

impl Core {
    pub(super) fn begin_joining(&mut self, id: PluginId, now: Instant) {
        let mut joining = Box::<Joining>::default();
        let parts = self.table.untold(&mut joining.told, Vec::new());
        let first = match parts {
            Err(object) => return self.close(id, &object.to_string(), now),
            Ok(mut parts) => {
                let first = parts.next().filter(|first| first.more);
                joining.parts = Some(parts);
                first
            }
        };
        if first.is_none() {
            joining.told = Told::default();
        }
        self.set_stage(id, Stage::Joining(joining));
        match first {
            Some(first) => self.send_part(id, first, now),
            None => self.cut(id, now),
        }
    }

    /// Requests that begin from here on wait for the plugin.
    pub(super) fn cut(&mut self, id: PluginId, now: Instant) {
        self.meet_namesakes(id);
        let (under_way, unfinished) = self.under_way(id);
        let Some(joining) = self.joining(id) else { return };
        joining.unfinished = unfinished;
        let nothing_to_await = under_way.is_empty();
        joining.step = Step::Cut(under_way);
        if nothing_to_await {
            self.last_part(id, now);
        }
    }

    /// Everything that began before the cut is through.
    pub(super) fn last_part(&mut self, id: PluginId, now: Instant) {
        let Some(joining) = self.joining(id) else { return };
        joining.step = Step::Last;
        let unfinished = std::mem::take(&mut joining.unfinished);
        let unfinished = self.unfinished(&unfinished);
        let Some(Plugin { stage: Stage::Joining(joining), .. }) = self.plugins.get_mut(&id) else { return };
        match self.table.untold(&mut joining.told, unfinished) {
            Err(object) => self.close(id, &object.to_string(), now),
            Ok(parts) => {
                joining.parts = Some(parts);
                self.next_part(id, now);
            }
        }
        self.renew_waiting(now);
    }

    pub(super) fn next_part(&mut self, id: PluginId, now: Instant) {
        let part = self.joining(id).and_then(|joining| joining.parts.as_mut()).and_then(Iterator::next);
        if let Some(part) = part {
            self.send_part(id, part, now);
        }
    }

    fn send_part(&mut self, id: PluginId, mut part: SynchronizeRequest, now: Instant) {
        let Some(Plugin { stage: Stage::Joining(joining), rules, .. }) = self.plugins.get_mut(&id) else {
            return;
        };
        let deadline = now + rules.sync_timeout;
        joining.is_open = true;
        joining.exhausted = !part.more;
        part.more |= !matches!(joining.step, Step::Last);
        self.call(id, Purpose::Synchronize, Message::Synchronize(Box::new(part)), now, deadline, true);
    }

    /// The answer to one part.
    pub(super) fn part_answered(&mut self, id: PluginId, end: End, now: Instant) {
        let (answer, unknown) = match end {
            End::Answer(Answer::Synchronize(answer), unknown) => (answer, unknown),
            other => return self.close(id, &format!("failed to synchronize: {}", other.fault()), now),
        };
        let Some(joining) = self.joining(id) else { return };
        let last = matches!(joining.step, Step::Last);
        let joining = &*joining;
        match (last, joining.exhausted) {
            (true, true) => self.joined(id, answer, &unknown, now),
            // EXT-024
            _ if !answer.more || !answer.update.is_empty() => {
                self.close(id, "plugin does not handle split sync requests", now);
            }
            _ if joining.is_outdated => self.end_early(id, now),
            (false, true) => self.cut(id, now),
            (_, false) => self.next_part(id, now),
        }
    }

    fn joined(&mut self, id: PluginId, answer: SynchronizeResponse, unknown: &[String], now: Instant) {
        let Some(plugin) = self.plugins.get_mut(&id) else { return };
        let Stage::Joining(joining) = std::mem::replace(&mut plugin.stage, Stage::Active) else { return };
        plugin.missed_events.extend(joining.missed);
        if joining.is_outdated {
            plugin.picture = Picture::False;
        }
        if joining.is_again {
            debug!(plugin = %plugin.label(), "synchronized again");
        } else {
            info!(plugin = %plugin.label(), "synchronized and active");
            self.totals.joined += 1;
        }
        let seat = plugin.seat;
        self.show_asked(id, || Said::Synchronize(answer.clone()), unknown);
        if let Some(Ok(permission)) =
            (!answer.update.is_empty()).then(|| self.permit(id, answer, unknown, true))
        {
            self.apply(permission);
        }
        if let Some(seat) = seat {
            self.settle(seat);
        }
        self.take_over(id, now);
        self.actions.push_back(Action::Changed);
        self.pump(id, now);
    }

    /// A request is through (or failed): who joins may have waited for it, or must be told later.
    pub(super) fn tell_joining(&mut self, done: RequestId, event: Option<&Happened>, now: Instant) {
        let ids: Vec<_> = self.plugins.keys().copied().collect();
        for id in ids {
            let Some(plugin) = self.plugins.get_mut(&id) else { continue };
            let events = plugin.events;
            let Stage::Joining(joining) = &mut plugin.stage else { continue };
            let without_it = match &mut joining.step {
                Step::Snapshot => true,
                Step::Cut(under_way) => under_way.remove(&done),
                Step::Last => false,
            };
            if let Some(event) = event
                && without_it
                && events.contains(event.notice.event())
                && joining.told.knows(&event.notice)
            {
                joining.missed.push(event.clone());
            }
            if joining.missed.len() > MISSED_EVENTS_MAX {
                self.close(id, "too much happened while it joined", now);
            } else if matches!(&joining.step, Step::Cut(under_way) if under_way.is_empty()) {
                self.last_part(id, now);
            }
        }
    }

    /// A request's result is there, and waits for that of an earlier one. Whoever is told the state anew may stand between
    /// that one and its end, and does not wait for this one any more.
    pub(super) fn tell_held(&mut self, held: RequestId, now: Instant) {
        let ids: Vec<_> = self.plugins.keys().copied().collect();
        for id in ids {
            if let Some(joining) = self.joining(id)
                && joining.is_again
                && let Step::Cut(under_way) = &mut joining.step
                && under_way.remove(&held)
            {
                let nothing_to_await = under_way.is_empty();
                joining.unfinished.insert(held);
                if nothing_to_await {
                    self.last_part(id, now);
                }
            }
        }
    }

    /// A request has spent its share of waiting on a plugin that joins.
    pub(super) fn joining_too_slow(&mut self, request: RequestId, id: PluginId, now: Instant) {
        let waits = self.plugins.get(&id).is_some_and(|plugin| {
            matches!(plugin.stage, Stage::Joining(_)) && plugin.queue.iter().any(|(_, r)| *r == request)
        });
        if waits {
            if let Some(request) = self.requests.get_mut(&request) {
                request.is_impatient = true;
            }
            self.close(id, "joining took longer than a request may wait for it", now);
        }
    }

    /// When a request that waits for this plugin has spent its share: half of what is left, at most the plugin's
    /// time-out for Synchronize. Newcomers join at the same time, so once it has waited in vain for one of them, it waits
    /// for no other.
    pub(super) fn await_joining(&mut self, request: RequestId, id: PluginId, end: Instant, now: Instant) {
        let is_impatient = self.requests.get(&request).is_some_and(|request| request.is_impatient);
        if let Some(Plugin { stage: Stage::Joining(joining), rules, .. }) = self.plugins.get(&id) {
            let share = match is_impatient && !joining.is_again {
                true => std::time::Duration::ZERO,
                false => (end.saturating_duration_since(now) / 2).min(rules.sync_timeout),
            };
            self.timers.insert((now + share, Timer::Joining(request, id)));
        }
    }

    pub(super) fn joining(&mut self, id: PluginId) -> Option<&mut Joining> {
        match &mut self.plugins.get_mut(&id)?.stage {
            Stage::Joining(joining) => Some(joining),
            _ => None,
        }
    }

    fn set_stage(&mut self, id: PluginId, stage: Stage) {
        if let Some(plugin) = self.plugins.get_mut(&id) {
            plugin.stage = stage;
        }
    }
}
