//! Take-over: how a plugin is replaced by a newer process of its own without a gap (`design.md` 5).
//!
//! A newcomer of the same name that is the same plugin, by what the kernel says, is configured and told the state of the
//! node beside the old one. From its cut on requests go to the newcomer instead; those that began before are the old
//! one's. So each request reaches one of the two. The old one gets Shutdown once the newcomer is active and nothing is left
//! for the old one to do. If the newcomer fails before that, what waits for it goes back to the old one.

use std::time::Instant;

use nri_wire::event::Event;
use tracing::{info, warn};

use super::plugin::{Plugin, Stage};
use super::seat::Who;
use super::{Core, PluginId, RequestId, Timer};
use crate::host::identity::Sha256;
use crate::limits::{BACK_OFF_FORGET, BACK_OFF_MAX, DIGEST_WAIT};

impl Core {
    /// Joins a configured plugin; first it is awaited who it is, if that makes it the successor of another one.
    pub(super) fn join_once_known(&mut self, id: PluginId, now: Instant) {
        if self.digest_decides(id) {
            if let Some(plugin) = self.plugins.get_mut(&id) {
                plugin.stage = Stage::Identifying;
            }
            self.timers.insert((now + DIGEST_WAIT, Timer::Digest(id)));
        } else {
            self.begin_joining(id, now);
        }
    }

    /// The digest of a peer's executable is known, or that it will not be.
    pub(crate) fn handle_digest(&mut self, id: PluginId, sha256: Option<Sha256>, now: Instant) {
        let Some(plugin) = self.plugins.get_mut(&id) else { return };
        if !plugin.origin.identity.lost {
            plugin.origin.identity.sha256 = sha256;
        }
        plugin.origin.pending = false;
        let waiting = |(_, plugin): &(&PluginId, &Plugin)| matches!(plugin.stage, Stage::Identifying);
        let waiting: Vec<_> = self.plugins.iter().filter(waiting).map(|(id, _)| *id).collect();
        for id in waiting {
            if !self.digest_decides(id) {
                self.begin_joining(id, now);
            }
        }
    }

    pub(super) fn digest_too_slow(&mut self, id: PluginId, now: Instant) {
        if matches!(self.plugins.get(&id), Some(Plugin { stage: Stage::Identifying, .. })) {
            self.begin_joining(id, now);
        }
    }

    /// Whether a digest that is still to come would make this plugin the successor of another one.
    fn digest_decides(&self, id: PluginId) -> bool {
        let Some(newcomer) = self.plugins.get(&id) else { return false };
        let known = self.namesakes(id).any(|(_, old)| old.is_same(newcomer));
        let candidate = |old: &Plugin| {
            let pending = old.origin.pending || newcomer.origin.pending;
            pending && old.origin.identity.uid == newcomer.origin.identity.uid
        };
        let connected = newcomer.seat.is_none();
        connected && !known && self.namesakes(id).any(|(_, old)| old.seat.is_none() && candidate(old))
    }

    /// Other active plugins of the same name that nobody is about to replace.
    fn namesakes(&self, id: PluginId) -> impl Iterator<Item = (PluginId, &Plugin)> {
        let name = self.plugins.get(&id).and_then(|plugin| plugin.name.as_ref());
        let others = self.plugins.iter().filter(move |(other, old)| {
            **other != id && name.is_some() && old.name.as_ref() == name && old.is_active() && !old.retiring
        });
        others
            .filter(|(_, old)| old.heir.is_none_or(|heir| !self.plugins.contains_key(&heir)))
            .map(|(id, old)| (*id, old))
    }

    /// At a newcomer's cut: makes it the successor of the plugin that it is a newer process of.
    pub(super) fn meet_namesakes(&mut self, id: PluginId) {
        let Some(newcomer) = self.plugins.get(&id).filter(|plugin| plugin.is_newcomer()) else { return };
        let same = self.namesakes(id).find(|(_, old)| old.is_same(newcomer)).map(|(old, _)| old);
        for (_, old) in self.namesakes(id).filter(|(old, _)| Some(*old) != same) {
            // Quirk D17: allowed, in the order of arrival, but nobody can tell their changes apart.
            warn!(
                "{} runs beside {}, which is not known to be the same program of the same user",
                newcomer.label(),
                old.label()
            );
        }
        let Some(same) = same else { return };
        if let Some(newcomer) = self.plugins.get_mut(&id) {
            newcomer.predecessor = Some(same);
        }
        if let Some(old) = self.plugins.get_mut(&same) {
            old.heir = Some(id);
        }
    }

    /// The newcomer is active: the old one gets nothing new.
    pub(super) fn take_over(&mut self, id: PluginId, now: Instant) {
        let Some(newcomer) = self.plugins.get_mut(&id) else { return };
        newcomer.active_since = Some(now);
        let Some(old) = newcomer.predecessor.take() else { return };
        let (name, label) = (newcomer.name.clone(), newcomer.label());
        let who = name.map(|name| Who::connected(&name, &newcomer.origin.identity));
        let Some(old) = self.plugins.get_mut(&old) else { return };
        info!("{label} takes over from {}", old.label());
        old.retiring = true;
        // Two copies that are started again whenever they end would replace each other for ever.
        if let Some(who) = who
            && old.active_since.is_some_and(|since| now < since + BACK_OFF_MAX + BACK_OFF_FORGET)
        {
            let pause = self.back_off.failed(who, now);
            warn!(
                "{label} replaces one that was new itself: the next has to wait {} s; are there two?",
                pause.as_secs()
            );
        }
        self.dismiss_retired(now);
    }

    /// Dismisses those that have been replaced and have nothing left to do.
    pub(super) fn dismiss_retired(&mut self, now: Instant) {
        let is_done = |(id, plugin): &(&PluginId, &Plugin)| {
            let told = plugin.missed_events.is_empty() || plugin.is_overdue();
            plugin.retiring && plugin.is_active() && told && !self.requests.values().any(|r| r.involves(**id))
        };
        let done: Vec<_> = self.plugins.iter().filter(is_done).map(|(id, _)| *id).collect();
        done.into_iter().for_each(|id| self.say_goodbye(id, now));
    }

    /// A newcomer has failed: to whom goes what waits for it.
    pub(super) fn disown(&mut self, newcomer: &Plugin) -> Option<PluginId> {
        let id = newcomer.predecessor?;
        self.plugins.get_mut(&id)?.heir = None;
        Some(id)
    }

    /// What a request would have asked of a newcomer that failed is asked of the plugin that it was to replace. Gives
    /// whether it waits for that one now; nothing if there is none that would be asked.
    pub(super) fn hand_back(
        &mut self,
        id: RequestId,
        event: Event,
        to: Option<PluginId>,
        now: Instant,
    ) -> Option<bool> {
        let takes = |plugin: &Plugin| plugin.takes(event);
        let party = to.filter(|to| self.plugins.get(to).is_some_and(takes)).and_then(|to| self.party(to));
        party.map(|party| self.enqueue(id, party, now))
    }
}

impl Plugin {
    /// Whether both are processes of one plugin (`design.md` 5, "Take-over"). A launched one has no newer process but those
    /// that we start.
    fn is_same(&self, other: &Self) -> bool {
        self.seat.is_none() && other.seat.is_none() && self.origin.identity.is_same(&other.origin.identity)
    }
}
