//! The core of the host: which plugin is asked what, when, and what its answer, its silence or its loss does.
//!
//! It opens no socket, starts no process and reads no clock. The order of use: feed one `handle_*` (with the time now),
//! then take actions from [`Core::poll_action`] until there is none, then wait for whatever comes first, the next
//! thing to feed or [`Core::next_timeout`], which is fed as [`Core::handle_timeout`].
//!
//! | module | what it holds |
//! | --- | --- |
//! | `plugin` | one connection: its stage, its queue, its settings |
//! | `register` | from the connection to the subscription |
//! | `join` | from the subscription to the first event: the snapshot, the cut, the last part |
//! | `renew` | plugins whose picture of the node is false are told anew |
//! | `queue` | a plugin's queue, and how long it has for a request |
//! | `request` | one request on its way through the plugins |
//! | `finish` | its end |
//! | `required` | who counts as having answered, and what the embedding runtime says to that |
//! | `unasked` | what plugins ask for on their own account |
//! | `answer` | what an answer does to the request that it belongs to |
//! | `late` | deadlines, late answers, lost connections |
//! | `message` | what is sent to plugins and heard from them |
//! | `fold` | the state of the merge that a request carries along |
//! | `keep` | what plugins said, for recordings |
//! | `succession` | the newer process of a plugin takes over from the older |
//! | `table` | pods and containers, as plugins that join are told |
//! | `seat` | launched plugins, and when to launch them again |

mod answer;
mod finish;
mod fold;
mod join;
mod keep;
mod late;
mod message;
mod plugin;
mod queue;
mod register;
mod renew;
mod request;
mod required;
mod seat;
mod succession;
mod table;
#[cfg(test)]
mod tests;
mod unasked;
mod who;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nri_policy::judge::Judge;
use nri_wire::event::Event;
use nri_wire::name::PluginName;

pub(crate) use self::fold::{Completion, Submission};
use self::message::Happened;
pub(crate) use self::message::{Answer, End, Message, Parcel};
pub(crate) use self::plugin::Origin;
use self::plugin::Plugin;
pub(crate) use self::register::Refusal;
use self::request::Request;
use self::seat::{BackOff, Seat};
use self::table::Table;
use super::config::{PluginSettings, Program, SharedEmbedder};
use super::outcome::Failure;
use super::status::{PluginStatus, Totals};
use crate::merge::Passed;

/// A connection. Rises with their arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PluginId(u64);

/// A request of the embedding runtime; chosen by whoever submits it, never twice the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RequestId(pub(crate) u64);

/// A request's place in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ticket(u64);

/// One call to one plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CallId(u64);

/// A launched plugin, over all its processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SeatId(usize);

/// What the shell has to do.
#[derive(Debug)]
pub(crate) enum Action {
    /// Make this call and feed its end, whenever that comes, also after the deadline (which the peer is told).
    Call { plugin: PluginId, call: CallId, parcel: Parcel, deadline: Instant },
    /// Lift the limits for connections that have not registered.
    Admit(PluginId),
    /// Close the connection; nothing more is fed about it. A launched plugin's process is ended and reaped.
    Close { plugin: PluginId, reason: String },
    /// Hand the result to whoever submitted the request.
    Complete { request: RequestId, result: Result<Completion, Failure> },
    /// Have the embedding runtime apply what a plugin asks for in its answer to Synchronize or after it joined.
    Apply(Permission),
    /// Start the process of this seat and feed what came of it.
    Launch(SeatId),
    /// The set of active plugins, or what is known of the launched ones, has changed.
    Changed,
    /// After `handle_shutdown`: all connections are closed.
    Stopped,
}

/// What a plugin may have done on its own account.
#[derive(Debug)]
pub(crate) struct Permission {
    pub(crate) plugin: PluginName,
    pub(crate) passed: Passed,
    /// The plugin has not answered a call of ours.
    pub(crate) in_call: bool,
}

/// Something that happens at a time unless it is called off. At one instant they happen in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A call's deadline.
    Call(CallId),
    /// A plugin that has owed an answer for too long.
    Outstanding(PluginId),
    /// A newcomer that should be known by its digest.
    Digest(PluginId),
    /// A connection that should have registered.
    Registration(PluginId),
    /// A request that has waited long enough for a plugin that joins.
    Joining(RequestId, PluginId),
    /// The end of what a request may take.
    Request(RequestId),
    /// A launched plugin may start again.
    Restart(SeatId),
}

/// What the core is told once.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) runtime_name: String,
    pub(crate) runtime_version: String,
    pub(crate) nri_version: String,
    pub(crate) registration_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) settings: BTreeMap<String, PluginSettings>,
    pub(crate) restart: bool,
    pub(crate) programs: Vec<Program>,
    /// Names that no connecting plugin may have.
    pub(crate) reserved: BTreeSet<String>,
    pub(crate) judge: Judge,
    pub(crate) keep_answers: bool,
    pub(crate) embedder: SharedEmbedder,
}

/// A call that has not ended.
#[derive(Debug)]
struct Call {
    plugin: PluginId,
    purpose: Purpose,
    event: Event,
    /// Kept for a second try as StateChange.
    notice: Option<Happened>,
    dedicated: bool,
    started: Instant,
    deadline: Instant,
    /// Whether the plugin has had enough time for a time-out to be its own fault.
    fair: bool,
    state: CallState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallState {
    /// Somebody waits for the answer.
    Pending,
    /// Nobody waits any more, and that is not the plugin's fault.
    Abandoned,
    /// The plugin missed its deadline.
    Late,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Configure,
    Synchronize,
    Shutdown,
    Request(RequestId),
    /// An event that the plugin missed while it joined.
    Missed,
}

/// The state of everything. See the module's text for the order of use.
#[derive(Debug)]
pub(crate) struct Core {
    setup: Setup,
    plugins: BTreeMap<PluginId, Plugin>,
    requests: BTreeMap<RequestId, Request>,
    calls: BTreeMap<CallId, Call>,
    seats: Vec<Seat>,
    table: Table,
    /// Pods that were refused, of which no plugin knows any more: their end, should the engine tell it, is for nobody.
    taken_back: BTreeSet<String>,
    back_off: BackOff,
    /// Requests that may carry updates of other containers, which end in this order.
    carriers: BTreeSet<(Ticket, RequestId)>,
    /// Where callers had fields that cannot be passed on: each is logged once.
    lost_paths: BTreeSet<String>,
    timers: BTreeSet<(Instant, Timer)>,
    actions: VecDeque<Action>,
    totals: Totals,
    next_plugin: u64,
    next_call: u64,
    next_ticket: u64,
    stopping: bool,
}

impl Core {
    /// A host without connections, which knows these pods and containers.
    pub(crate) fn new(
        mut setup: Setup,
        pods: Vec<nri_wire::api::PodSandbox>,
        containers: Vec<nri_wire::api::Container>,
    ) -> Self {
        let seats = std::mem::take(&mut setup.programs).into_iter().map(Seat::new).collect();
        Self {
            setup,
            plugins: BTreeMap::new(),
            requests: BTreeMap::new(),
            calls: BTreeMap::new(),
            seats,
            table: Table::new(pods, containers),
            taken_back: BTreeSet::new(),
            back_off: BackOff::default(),
            carriers: BTreeSet::new(),
            lost_paths: BTreeSet::new(),
            timers: BTreeSet::new(),
            actions: VecDeque::new(),
            totals: Totals::default(),
            next_plugin: 0,
            next_call: 0,
            next_ticket: 0,
            stopping: false,
        }
    }

    /// What Configure says from now on.
    pub(crate) fn set_runtime(&mut self, name: String, version: String, nri_version: String) {
        self.setup.runtime_name = name;
        self.setup.runtime_version = version;
        self.setup.nri_version = nri_version;
    }

    /// The next thing to do.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(at, timer)) = self.timers.first() {
            if at > now {
                break;
            }
            self.timers.remove(&(at, timer));
            match timer {
                Timer::Call(call) => self.call_expired(call, now),
                Timer::Outstanding(plugin) => self.outstanding_too_long(plugin, now),
                Timer::Digest(plugin) => self.digest_too_slow(plugin, now),
                Timer::Registration(plugin) => self.registration_expired(plugin, now),
                Timer::Joining(request, plugin) => self.joining_too_slow(request, plugin, now),
                Timer::Request(request) => self.request_expired(request, now),
                Timer::Restart(seat) => self.launch(seat),
            }
        }
        self.dismiss_retired(now);
    }

    /// Starts the launched plugins.
    pub(crate) fn handle_start(&mut self) {
        for seat in 0..self.seats.len() {
            self.launch(SeatId(seat));
        }
    }

    /// Ends everything in order: requests fail, active plugins get Shutdown and a moment, then connections close.
    pub(crate) fn handle_shutdown(&mut self, now: Instant) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        self.timers.retain(|(_, timer)| !matches!(timer, Timer::Restart(_)));
        let requests: Vec<_> = self.requests.keys().copied().collect();
        for request in requests {
            self.fail(request, super::outcome::Cause::Stopped, now);
        }
        let plugins: Vec<_> = self.plugins.keys().copied().collect();
        for plugin in plugins {
            self.say_goodbye(plugin, now);
        }
        self.check_stopped();
    }

    /// What is known of each connection that has a name, in their order.
    pub(crate) fn plugins(&self) -> Vec<PluginStatus> {
        let mut all: Vec<_> = self.plugins.iter().filter_map(|(id, plugin)| plugin.status(*id)).collect();
        all.sort_by(|(a, x), (b, y)| (&x.name, a).cmp(&(&y.name, b)));
        all.into_iter()
            .map(|(_, mut status)| {
                self.table.find_pod(&mut status.identity);
                status
            })
            .collect()
    }

    /// Which plugin a call went to.
    pub(crate) fn called(&self, call: CallId) -> Option<PluginId> {
        self.calls.get(&call).map(|call| call.plugin)
    }

    /// How many plugins get events.
    pub(crate) fn active(&self) -> usize {
        self.plugins.values().filter(|plugin| plugin.is_active()).count()
    }

    /// Sums over all plugins, also those that are gone.
    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    /// Whether each launched plugin has been active or failed at least once.
    pub(crate) fn settled(&self) -> bool {
        self.seats.iter().all(Seat::is_settled)
    }

    /// What is to be executed for a seat.
    pub(crate) fn program(&self, seat: SeatId) -> Option<&Program> {
        self.seats.get(seat.0).map(Seat::program)
    }

    fn check_stopped(&mut self) {
        if self.stopping && self.plugins.is_empty() {
            self.actions.push_back(Action::Stopped);
        }
    }

    /// Whether a plugin has not answered something yet, late or not.
    fn is_in_call(&self, plugin: PluginId) -> bool {
        self.calls.values().any(|call| call.plugin == plugin)
    }

    /// Sends a message on behalf of `purpose`.
    fn call(
        &mut self,
        plugin: PluginId,
        purpose: Purpose,
        parcel: impl Into<Parcel>,
        now: Instant,
        deadline: Instant,
        fair: bool,
    ) -> CallId {
        let call = CallId(self.next_call);
        self.next_call += 1;
        let parcel = parcel.into();
        let (notice, dedicated) = match &parcel.message {
            Message::Notice { notice, dedicated } => {
                let (notice, unknown) = (Arc::clone(notice), Arc::clone(&parcel.unknown));
                (Some(Happened { notice, unknown }), *dedicated)
            }
            _ => (None, false),
        };
        let event = parcel.message.event();
        self.calls.insert(
            call,
            Call {
                plugin,
                purpose,
                event,
                notice,
                dedicated,
                started: now,
                deadline,
                fair,
                state: CallState::Pending,
            },
        );
        self.timers.insert((deadline, Timer::Call(call)));
        self.totals.calls += 1;
        self.actions.push_back(Action::Call { plugin, call, parcel, deadline });
        call
    }
}
