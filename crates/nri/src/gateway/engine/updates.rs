//! What plugins ask for on their own account (`design.md` 9.2).
//!
//! An engine that waits for an answer of ours may not take a call of ours: containerd holds one lock over both. So such
//! updates go out with the answer to the request in flight where that can carry them, else when no request is in flight.
//! A plugin that has a request in hand itself is not made to wait for that: its updates are taken, and what becomes of
//! them is logged.
//!
//! Engines up to NRI 0.12.0 have two locks, and take them in one order for a request and in the other for a call of
//! ours: where the two meet, containerd hangs for good, with every pod operation of the node (seen in 2.2.9 and 2.3.7; it
//! does so with any plugin that updates on its own account). Our call must come between the first lock of a request and its
//! second. That is a fraction of a millisecond, but a request that waited for our last call begins just when that is
//! done; and a removal stops its container first under the same first lock, and carries out the updates in our answer to
//! that before it goes on. So to such an engine a call goes only after a pause since the last call and the last
//! request, longer after a stop, and a stop's answer carries nothing that can wait.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nri_wire::api::{ContainerEviction, ContainerUpdate, UpdateContainersRequest};
use nri_wire::event::Event;
use nri_wire::io::tokio::{CallError, Peer};
use nri_wire::name::PluginName;
use nri_wire::service::UpdateContainers;
use nri_wire::version::NriVersion;
use prost::Message as _;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::warn;

use super::super::limits::{
    UNSOLICITED_ANSWER_MAX, UNSOLICITED_BYTES_MAX, UNSOLICITED_MAX, UNSOLICITED_PAUSE,
    UNSOLICITED_PAUSE_STOP, UNSOLICITED_PLUGIN_BYTES_MAX, UNSOLICITED_PLUGIN_MAX, UNSOLICITED_TIMEOUT,
    UPDATE_WEIGHT,
};

/// The updates that wait for the engine. Clones are the same queue.
#[derive(Clone, Default)]
pub(crate) struct Updates {
    state: Arc<Mutex<State>>,
    /// Something that the sender waits for may hold now.
    changed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Wish>,
    /// Requests of the engine that wait for our answer.
    in_flight: usize,
    engine: Option<Peer>,
    /// It may lock itself up: no call without a pause.
    delicate: bool,
    /// The end of that pause.
    not_before: Option<Instant>,
}

/// What one plugin asks for at once.
struct Wish {
    plugin: PluginName,
    updates: Vec<ContainerUpdate>,
    evictions: Vec<ContainerEviction>,
    /// Bytes of both, encoded.
    length: usize,
    /// Where the updates go that failed. Absent or closed: nobody waits, and the log gets them.
    reply: Option<oneshot::Sender<Vec<ContainerUpdate>>>,
}

/// A request of the engine that waits for our answer; the end of it is its drop.
pub(crate) struct InFlight {
    updates: Updates,
    /// The pause after it.
    pause: Duration,
}

impl Updates {
    /// Takes in what a plugin asks for, and gives back what failed: once that is known, or nothing at once for a plugin
    /// that cannot wait.
    pub(crate) async fn ask(
        &self,
        plugin: &PluginName,
        updates: Vec<ContainerUpdate>,
        evictions: Vec<ContainerEviction>,
        can_wait: bool,
    ) -> Vec<ContainerUpdate> {
        if updates.is_empty() && evictions.is_empty() {
            return Vec::new();
        }
        let asked = updates.clone();
        let (reply, failed) = oneshot::channel();
        let length = length(&updates, &evictions);
        let reply = can_wait.then_some(reply);
        let wish = Wish { plugin: plugin.clone(), updates, evictions, length, reply };
        {
            let mut state = self.state();
            if !state.has_room_for(&wish) {
                warn!(%plugin, "too many updates wait for the engine: refused");
                return asked;
            }
            state.queue.push_back(wish);
        }
        self.changed.notify_one();
        if !can_wait {
            return Vec::new();
        }
        match timeout(UNSOLICITED_TIMEOUT, failed).await {
            Ok(Ok(failed)) => failed,
            Ok(Err(_)) | Err(_) => {
                warn!(%plugin, "the engine did not carry out its updates in time");
                asked
            }
        }
    }

    /// A request of the engine begins.
    pub(crate) fn begin(&self, event: Event) -> InFlight {
        self.state().in_flight += 1;
        let pause = if event == Event::StopContainer { UNSOLICITED_PAUSE_STOP } else { UNSOLICITED_PAUSE };
        InFlight { updates: self.clone(), pause }
    }

    /// How many requests of the engine wait for our answer.
    pub(crate) fn in_flight(&self) -> usize {
        self.state().in_flight
    }

    /// Puts what waits into an answer to `event`, which can carry it: one update per container, none of the answer's own
    /// (`id`), and as much as fits beside the `length` bytes of the rest of the answer. Gives where in `updates` whose stand.
    pub(crate) fn fold(
        &self,
        event: Event,
        id: &str,
        updates: &mut Vec<ContainerUpdate>,
        evictions: &mut Vec<ContainerEviction>,
        length: usize,
    ) -> Vec<(PluginName, Range<usize>)> {
        let mut room = UNSOLICITED_ANSWER_MAX.saturating_sub(length + self::length(updates, evictions));
        let mut taken: BTreeSet<String> = updates.iter().map(|update| update.container_id.clone()).collect();
        taken.insert(id.to_owned());
        let mut state = self.state();
        if state.delicate && event == Event::StopContainer {
            return Vec::new();
        }
        let mut folded = Vec::new();
        state.queue.retain(|wish| !wish.has_failed());
        for wish in std::mem::take(&mut state.queue) {
            let free = wish.updates.iter().all(|update| !taken.contains(&update.container_id));
            // Whether it goes or stays: what comes after it for the same container stays behind it.
            taken.extend(wish.updates.iter().map(|update| update.container_id.clone()));
            if free && wish.length <= room && wish.has_distinct_targets() {
                room -= wish.length;
                let begin = updates.len();
                updates.extend(wish.updates);
                evictions.extend(wish.evictions);
                if let Some(reply) = wish.reply {
                    drop(reply.send(Vec::new()));
                }
                folded.push((wish.plugin, begin..updates.len()));
            } else {
                state.queue.push_back(wish);
            }
        }
        folded
    }

    /// There is an engine, and its NRI version is this, as far as that can be known.
    pub(crate) fn connected(&self, engine: Peer, nri: Option<NriVersion>) {
        let mut state = self.state();
        state.engine = Some(engine);
        state.delicate = !nri.is_some_and(NriVersion::takes_updates_at_any_time);
        self.changed.notify_one();
    }

    /// There is no engine.
    pub(crate) fn disconnected(&self) {
        self.state().engine = None;
    }

    /// Sends what waits, whenever no request of the engine is in flight. Never ends.
    pub(crate) async fn send(&self, mut sent: impl FnMut(&PluginName, &[ContainerUpdate], usize)) {
        loop {
            match self.next() {
                Next::Send(wish, engine) => {
                    let (plugin, updates) = (wish.plugin.clone(), wish.updates.clone());
                    let failed = wish.carry_out(&engine).await;
                    self.state().pauses(UNSOLICITED_PAUSE);
                    sent(&plugin, &updates, failed);
                }
                Next::NotBefore(when) => drop(timeout_at(when, self.changed.notified()).await),
                Next::Nothing => self.changed.notified().await,
            }
        }
    }

    fn next(&self) -> Next {
        let mut state = self.state();
        state.queue.retain(|wish| !wish.has_failed());
        let Some(engine) = state.engine.clone().filter(|_| state.in_flight == 0) else {
            return Next::Nothing;
        };
        if state.queue.is_empty() {
            return Next::Nothing;
        }
        match state.not_before.filter(|when| state.delicate && *when > Instant::now()) {
            Some(when) => Next::NotBefore(when),
            None => state.queue.pop_front().map_or(Next::Nothing, |wish| Next::Send(wish, engine)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// No plugin takes all the room, and what there is has an end.
    fn has_room_for(&self, wish: &Wish) -> bool {
        let own = || self.queue.iter().filter(|other| other.plugin == wish.plugin);
        let fits = |bytes: usize, max| bytes == 0 || bytes + wish.weight() <= max;
        self.queue.len() < UNSOLICITED_MAX
            && own().count() < UNSOLICITED_PLUGIN_MAX
            && fits(self.queue.iter().map(Wish::weight).sum(), UNSOLICITED_BYTES_MAX)
            && fits(own().map(Wish::weight).sum(), UNSOLICITED_PLUGIN_BYTES_MAX)
    }

    fn pauses(&mut self, pause: Duration) {
        self.not_before = self.not_before.max(Some(Instant::now() + pause));
    }
}

/// What the sender has to do.
enum Next {
    Nothing,
    NotBefore(Instant),
    Send(Wish, Peer),
}

impl Wish {
    /// Bytes in memory, about.
    fn weight(&self) -> usize {
        self.length + (self.updates.len() + self.evictions.len()) * UPDATE_WEIGHT
    }

    /// Its plugin has been told that it failed: it must not happen after all.
    fn has_failed(&self) -> bool {
        self.reply.as_ref().is_some_and(oneshot::Sender::is_closed)
    }

    /// One answer may update a container once.
    fn has_distinct_targets(&self) -> bool {
        let mut ids = BTreeSet::new();
        self.updates.iter().all(|update| ids.insert(&update.container_id))
    }

    /// Has the engine do it. Gives how many updates failed.
    async fn carry_out(self, engine: &Peer) -> usize {
        let plugin = self.plugin;
        if !self.evictions.is_empty() {
            // Quirk C15: no engine of today does.
            warn!(%plugin, "asks for {} evictions: passed on, engines do not carry them out", self.evictions.len());
        }
        let request = UpdateContainersRequest { update: self.updates.clone(), evict: self.evictions };
        let deadline = Instant::now() + UNSOLICITED_TIMEOUT;
        let failed = match engine.call::<UpdateContainers>(&request, deadline).await {
            Ok(reply) => reply.message.failed,
            Err(error) => {
                warn!(%plugin, "the engine does not carry out its updates: {error}");
                if let CallError::Late(_) = error {
                    warn!(
                        "if pods hang as well, restart the engine: with NRI before 0.12.1 it may lock itself up"
                    );
                }
                self.updates
            }
        };
        let count = failed.len();
        match self.reply.map(|reply| reply.send(failed)) {
            Some(Ok(())) => {}
            None | Some(Err(_)) if count == 0 => {}
            None | Some(Err(_)) => warn!(%plugin, "{count} of its updates failed"),
        }
        count
    }
}

/// Bytes of updates and evictions in a message.
fn length(updates: &[ContainerUpdate], evictions: &[ContainerEviction]) -> usize {
    let framed = |length: usize| prost::length_delimiter_len(length) + 1 + length;
    let updates: usize = updates.iter().map(|update| framed(update.encoded_len())).sum();
    updates + evictions.iter().map(|eviction| framed(eviction.encoded_len())).sum::<usize>()
}

impl Drop for InFlight {
    fn drop(&mut self) {
        {
            let mut state = self.updates.state();
            state.in_flight -= 1;
            state.pauses(self.pause);
        }
        self.updates.changed.notify_one();
    }
}
