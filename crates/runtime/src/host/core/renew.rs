//! When a plugin that is active has a false picture of the node: it gets a fresh Synchronize over its own connection,
//! and takes it in place of all that it knew.
//!
//! That is so for all plugins whose last picture the engine's own snapshot contradicts once a gateway has found its
//! engine again, and for a plugin that comes back after events went through without it because it owed an answer.
//!
//! It waits until the plugin has nothing in hand. Then requests that begin wait for the plugin, as for one that joins and
//! is past its cut (`join`), and so do those that have not reached it yet. Everything else that is under way is awaited,
//! so that what the plugin is told is what the next request builds on. It begins only while nobody else awaits requests,
//! and until then takes those that are awaited: else two plugins could each await a request that waits for the other.

use std::collections::BTreeSet;
use std::time::Instant;

use nri_wire::api::{Container, PodSandbox};
use nri_wire::synchronize::Parts;
use tracing::info;

use super::join::{Joining, Step};
use super::plugin::{Picture, Plugin, Stage};
use super::request::Request;
use super::{Core, PluginId, Purpose, RequestId, Ticket};

impl Core {
    /// The engine has told anew what there is: that counts in place of everything known before. Whoever asked for
    /// requests under way is expected to have cancelled them.
    pub(crate) fn renew(&mut self, pods: Vec<PodSandbox>, containers: Vec<Container>, now: Instant) {
        let contradicted = self.table.replace(pods, containers);
        let ids: Vec<_> = self.plugins.keys().copied().collect();
        for id in ids {
            let Some(plugin) = self.plugins.get_mut(&id) else { continue };
            match &mut plugin.stage {
                // Whoever is being replaced gets no more than what is his already.
                Stage::Active if plugin.retiring => {}
                Stage::Active if contradicted || plugin.picture != Picture::True => {
                    plugin.picture = Picture::False;
                    self.pump(id, now);
                }
                Stage::Joining(joining) if contradicted && joining.is_open => {
                    joining.is_outdated = true;
                    if matches!(joining.step, Step::Cut(_)) {
                        self.end_early(id, now);
                    }
                }
                _ => {}
            }
        }
    }

    /// What a plugin is being told is not so any more: ends the sequence of parts that it has begun to collect. It gets
    /// a whole new one as soon as it has answered.
    pub(super) fn end_early(&mut self, id: PluginId, now: Instant) {
        if self.joining(id).is_some_and(|joining| !joining.is_cut()) {
            self.meet_namesakes(id);
        }
        let Some(joining) = self.joining(id) else { return };
        joining.step = Step::Last;
        joining.missed.clear();
        joining.parts = Parts::new(Vec::new(), Vec::new()).ok();
        self.next_part(id, now);
    }

    /// Begins to tell a plugin anew, if it needs that and nothing stands in the way.
    pub(super) fn renews(&mut self, id: PluginId, now: Instant) -> bool {
        let due = self.plugins.get(&id).is_some_and(|p| p.picture == Picture::False && p.busy.is_empty());
        let begins = due && !self.stopping && !self.plugins.values().any(Plugin::is_at_its_cut);
        if begins {
            self.join_again(id, now);
        }
        begins
    }

    /// The request that goes to a plugin next. One whose picture is false gets only those that somebody else waits for
    /// before it can be told.
    pub(super) fn next_in_queue(&self, id: PluginId) -> Option<(Ticket, RequestId)> {
        let plugin = self.plugins.get(&id)?;
        let is_awaited = |request: &RequestId| self.plugins.values().any(|other| other.awaits(*request));
        let mut queue = plugin.queue.iter();
        match plugin.picture {
            Picture::False => queue.find(|(_, request)| is_awaited(request)).copied(),
            _ => queue.next().copied(),
        }
    }

    fn join_again(&mut self, id: PluginId, now: Instant) {
        let Some(plugin) = self.plugins.get_mut(&id) else { return };
        info!(plugin = %plugin.label(), "is told the state of the node anew");
        plugin.picture = Picture::True;
        // What it has not heard of yet is in the table.
        plugin.missed_events.clear();
        plugin.stage = Stage::Joining(Box::new(Joining::again()));
        let waiting: Vec<_> = plugin.queue.iter().map(|(_, request)| *request).collect();
        for request in waiting {
            if let Some(end) = self.requests.get(&request).map(|request| request.end) {
                self.await_joining(request, id, end, now);
            }
        }
        self.cut(id, now);
    }

    /// Those that wait for their turn to be told anew.
    pub(super) fn renew_waiting(&mut self, now: Instant) {
        let waiting: Vec<_> =
            self.plugins.iter().filter(|(_, p)| p.picture == Picture::False).map(|(id, _)| *id).collect();
        waiting.into_iter().for_each(|id| self.pump(id, now));
    }

    /// Requests under way, as a plugin that is at its cut sees them: those that will not reach it any more, and those
    /// that have passed it and cannot be awaited, since they come back to it to be validated or wait for others. What
    /// is neither has the plugin still before it.
    pub(super) fn under_way(&self, id: PluginId) -> (BTreeSet<RequestId>, BTreeSet<RequestId>) {
        let (mut past, mut back) = (BTreeSet::new(), BTreeSet::new());
        let Some(plugin) = self.plugins.get(&id) else { return (past, back) };
        if plugin.is_newcomer() {
            return (self.requests.keys().copied().collect(), back);
        }
        for (&number, request) in &self.requests {
            let is_queued = plugin.queue.contains(&(request.ticket, number));
            if request.comes_back_to(id, is_queued) {
                back.insert(number);
            } else if !request.is_still_to_ask(id) && !is_queued {
                past.insert(number);
            }
        }
        (past, back)
    }

    /// The containers of these creations, as far as they are not in the table yet.
    pub(super) fn unfinished(&self, creations: &BTreeSet<RequestId>) -> Vec<Container> {
        let requests = creations.iter().filter_map(|id| self.requests.get(id));
        requests.filter_map(Request::creating).cloned().collect()
    }

    /// A request went through without this plugin, which owed an answer.
    pub(super) fn skipped(&mut self, id: PluginId, request: RequestId) {
        let validates = self.requests.get(&request).is_some_and(Request::is_validating);
        if let Some(plugin) = self.plugins.get_mut(&id) {
            plugin.tally.skipped += 1;
            if !validates {
                plugin.picture = plugin.picture.max(Picture::Behind);
            }
        }
    }

    /// Nobody knows what becomes of a request that its caller has given up: not those that have heard of it either.
    pub(super) fn doubt(&mut self, id: RequestId) {
        let Some(request) = self.requests.get(&id) else { return };
        let in_hand: BTreeSet<_> =
            self.calls.values().filter(|c| c.purpose == Purpose::Request(id)).map(|c| c.plugin).collect();
        for (number, plugin) in &mut self.plugins {
            let asked = request.plugins.iter().any(|c| Some(&c.plugin) == plugin.name.as_ref());
            if asked || in_hand.contains(number) {
                plugin.picture = plugin.picture.max(Picture::Doubtful);
            }
        }
    }
}
