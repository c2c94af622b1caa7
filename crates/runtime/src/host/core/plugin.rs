//! One connection: its stage, its queue, its settings.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use nri_wire::api::FailurePolicy;
use nri_wire::event::{Event, EventMask};
use nri_wire::name::PluginName;

use super::join::{Joining, Step};
use super::message::Happened;
use super::{CallId, PluginId, RequestId, SeatId, Setup, Ticket};
use crate::host::config::{FailureRule, LateRule, PluginSettings};
use crate::host::identity::Identity;
use crate::host::status::{PluginStatus, Tally};
use crate::limits::MISSED_EVENTS_MAX;

/// One connection and all that is known of the plugin behind it.
#[derive(Debug)]
pub(super) struct Plugin {
    pub(super) stage: Stage,
    /// The launched plugin that this is, if it is one.
    pub(super) seat: Option<SeatId>,
    pub(super) origin: Origin,
    /// Known from the start for launched plugins, else once registered.
    pub(super) name: Option<PluginName>,
    pub(super) rules: Rules,
    /// Its own failure policy.
    pub(super) policy: FailurePolicy,
    /// The events that it asked for, less those that it turned out not to know.
    pub(super) asked: EventMask,
    /// The events that it gets.
    pub(super) events: EventMask,
    /// It asked for no event in particular, and so for all that there are (quirk C11).
    pub(super) asked_for_everything: bool,
    /// Events that it wants as StateChange (quirk C13).
    pub(super) state_change: EventMask,
    /// Requests that wait for it, in the order of their tickets.
    pub(super) queue: BTreeSet<(Ticket, RequestId)>,
    /// Events that went through without it, while it joined or since another plugin refused them; they come before all of the queue.
    pub(super) missed_events: VecDeque<Happened>,
    /// Calls that occupy it: those under way and those that are late.
    pub(super) busy: BTreeSet<CallId>,
    /// Of these, the late ones.
    pub(super) owed: BTreeSet<CallId>,
    /// When the first of these was missed.
    pub(super) owed_since: Option<Instant>,
    /// Calls missed in a row.
    pub(super) missed: u32,
    pub(super) picture: Picture,
    pub(super) tally: Tally,
    /// The newcomer that gets requests in its place, and replaces it once it is active.
    pub(super) heir: Option<PluginId>,
    /// The plugin that this newcomer is to replace.
    pub(super) predecessor: Option<PluginId>,
    /// When it became active.
    pub(super) active_since: Option<Instant>,
    /// Replaced: it gets nothing new.
    pub(super) retiring: bool,
}

/// Where a connection comes from.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// Process id, for logs (quirk A16: the child's own for launched plugins).
    pub(crate) pid: Option<u32>,
    pub(crate) since: SystemTime,
    pub(crate) identity: Identity,
    /// The digest of its executable is still to come.
    pub(crate) pending: bool,
}

/// How far a connection has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// Nothing heard yet.
    Connected,
    /// It has registered, Configure is under way.
    Configuring,
    /// It is configured, and whether it replaces another one is still to be found out.
    Identifying,
    /// It is told the state of the node.
    Joining(Box<Joining>),
    /// It gets events.
    Active,
    /// It has been told to shut down.
    Leaving,
}

/// How a plugin's picture of the node stands to the table; what is worse comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Picture {
    /// It has been told what is there.
    True,
    /// It heard of a request that was given up. Once the engine says what there is, the plugin is told, too.
    Doubtful,
    /// Events went through without it, since it owed an answer. Once it has answered it is told.
    Behind,
    /// It is told as soon as it has nothing in hand.
    False,
}

/// A plugin's settings, with everything decided: the operator's word, then the plugin's own, then the default.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) timeout: Duration,
    pub(super) sync_timeout: Duration,
    pub(super) concurrency: usize,
    pub(super) close_when_late: bool,
    pub(super) keep_when_late: bool,
    pub(super) on_failure: FailureRule,
    pub(super) restart: bool,
    pub(super) allowed: EventMask,
}

impl Rules {
    pub(super) fn new(setup: &Setup, name: Option<&PluginName>, policy: FailurePolicy) -> Self {
        let settings =
            name.map_or_else(PluginSettings::default, |name| PluginSettings::lookup(&setup.settings, name));
        let timeout = settings.timeout.unwrap_or(setup.request_timeout);
        let own = if policy.fail_request { FailureRule::Reject } else { FailureRule::Continue };
        Self {
            timeout,
            sync_timeout: settings.sync_timeout.unwrap_or(timeout),
            concurrency: settings.concurrency.unwrap_or(1).max(1),
            close_when_late: settings.late == Some(LateRule::Close),
            keep_when_late: settings.late.map_or(policy.keep_connected, |late| late == LateRule::Keep),
            on_failure: settings.on_failure.unwrap_or(own),
            restart: settings.restart.unwrap_or(setup.restart),
            allowed: settings.events.unwrap_or(EventMask::ALL),
        }
    }
}

impl Plugin {
    pub(super) fn new(setup: &Setup, seat: Option<SeatId>, name: Option<PluginName>, origin: Origin) -> Self {
        Self {
            stage: Stage::Connected,
            seat,
            origin,
            rules: Rules::new(setup, name.as_ref(), FailurePolicy::default()),
            name,
            policy: FailurePolicy::default(),
            asked: EventMask::NONE,
            events: EventMask::NONE,
            asked_for_everything: false,
            state_change: EventMask::NONE,
            queue: BTreeSet::new(),
            missed_events: VecDeque::new(),
            busy: BTreeSet::new(),
            owed: BTreeSet::new(),
            owed_since: None,
            missed: 0,
            picture: Picture::True,
            tally: Tally::default(),
            heir: None,
            predecessor: None,
            active_since: None,
            retiring: false,
        }
    }

    /// Decides its settings anew, and which events it gets of those it asked for.
    pub(super) fn set_rules(&mut self, setup: &Setup) {
        self.rules = Rules::new(setup, self.name.as_ref(), self.policy);
        self.events = self.asked.intersection(self.rules.allowed);
    }

    /// It does not know this event.
    pub(super) fn unsubscribe(&mut self, event: Event) {
        let unknown = EventMask::NONE.with(event);
        self.asked = self.asked.without(unknown);
        self.events = self.events.without(unknown);
    }

    /// An event has gone through that it has not been told.
    pub(super) fn misses(&mut self, event: &Happened) {
        let knows = match &self.stage {
            Stage::Joining(joining) => joining.knows(&event.notice),
            _ => true,
        };
        if self.missed_events.len() >= MISSED_EVENTS_MAX {
            self.picture = Picture::False;
        } else if knows {
            self.missed_events.push_back(event.clone());
        }
    }

    /// How logs call it.
    pub(super) fn label(&self) -> String {
        let name = self.name.as_ref().map_or("?", PluginName::full);
        let kind = if self.seat.is_some() { "launched" } else { "external" };
        match self.origin.pid {
            Some(pid) => format!("{kind}:{name}[{pid}]"),
            None => format!("{kind}:{name}"),
        }
    }

    /// Whether a request that begins now has this plugin among those it goes to.
    pub(super) fn takes(&self, event: Event) -> bool {
        let counts = match &self.stage {
            Stage::Active => true,
            Stage::Joining(joining) => joining.is_cut(),
            Stage::Connected | Stage::Configuring | Stage::Identifying | Stage::Leaving => false,
        };
        counts && !self.retiring && self.events.contains(event)
    }

    /// It has been synchronised; it may be about to be once more.
    pub(super) fn is_active(&self) -> bool {
        match &self.stage {
            Stage::Active => true,
            Stage::Joining(joining) => joining.is_again,
            Stage::Connected | Stage::Configuring | Stage::Identifying | Stage::Leaving => false,
        }
    }

    /// It has never been active.
    pub(super) fn is_newcomer(&self) -> bool {
        matches!(&self.stage, Stage::Joining(joining) if !joining.is_again)
    }

    /// Requests under way are awaited before it is told the last of the node's state.
    pub(super) fn is_at_its_cut(&self) -> bool {
        matches!(&self.stage, Stage::Joining(joining) if matches!(joining.step, Step::Cut(_)))
    }

    /// It awaits this request at its cut.
    pub(super) fn awaits(&self, request: RequestId) -> bool {
        matches!(&self.stage, Stage::Joining(joining) if joining.awaits(request))
    }

    pub(super) fn is_unregistered(&self) -> bool {
        matches!(self.stage, Stage::Connected)
    }

    /// It owes an answer: until that comes it counts as late at once.
    pub(super) fn is_overdue(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Whether the next request of the queue may go out.
    pub(super) fn is_free(&self) -> bool {
        matches!(self.stage, Stage::Active) && !self.is_overdue() && self.busy.len() < self.rules.concurrency
    }

    pub(super) fn status(&self, id: PluginId) -> Option<(PluginId, PluginStatus)> {
        let name = self.name.clone()?;
        let status = PluginStatus {
            name,
            pid: self.origin.pid,
            launched: self.seat.is_some(),
            identity: self.origin.identity.clone(),
            connected_since: self.origin.since,
            active: self.is_active(),
            overdue: self.is_overdue(),
            waiting: self.queue.len(),
            events: self.events,
            tally: self.tally.clone(),
        };
        Some((id, status))
    }
}

/// Plugins in the order in which they are asked: index, name, arrival (quirk D17). What a newcomer takes, the one that it is
/// to replace does not get.
pub(super) fn in_order(plugins: &BTreeMap<PluginId, Plugin>, event: Event) -> Vec<PluginId> {
    let by_heir =
        |p: &Plugin| p.heir.and_then(|heir| plugins.get(&heir)).is_some_and(|heir| heir.takes(event));
    let takes = |p: &Plugin| p.takes(event) && !by_heir(p);
    let mut order: Vec<_> =
        plugins.iter().filter(|(_, p)| takes(p)).map(|(id, p)| (p.name.as_ref(), *id)).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, id)| id).collect()
}
