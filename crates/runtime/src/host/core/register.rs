//! From the connection to the subscription (`spec/wire.md` 5.1, 5.2).

use std::collections::BTreeMap;
use std::time::Instant;

use nri_wire::api::{ConfigureRequest, ConfigureResponse, RegisterPluginRequest};
use nri_wire::event::{Event, EventMask};
use nri_wire::name::{NameError, PluginName};
use tracing::{info, warn};

use super::plugin::{Origin, Picture, Plugin, Rules, Stage};
use super::seat::Who;
use super::{Action, Core, End, Message, PluginId, Purpose, SeatId, Timer};
use crate::host::config::PluginSettings;
use crate::limits::{CONNECTED_MAX, UNREGISTERED_MAX};

/// Tells nothing about the node that CreateContainer does not.
const VALIDATION: EventMask = EventMask::NONE.with(Event::ValidateContainerAdjustment);

/// Why a plugin's own call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its name or index breaks the rules (CONF-113). The connection is closed once the answer is out.
    Name(NameError),
    /// Its name is kept for another one. The connection is closed once the answer is out.
    Reserved(PluginName, Option<String>),
    /// It failed a moment ago. The connection is closed once the answer is out.
    Pause(std::time::Duration),
    /// There are too many plugins. The connection is closed once the answer is out.
    TooMany,
    /// It has registered before (quirk A3, EXT-036).
    Registered,
    /// It may not ask for updates before it is active (quirk A2, EXT-035).
    NotActive,
    /// The policy does not let it.
    Denied,
}

impl Refusal {
    /// Whether the connection ends with it.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Name(_) | Self::Reserved(..) | Self::Pause(_) | Self::TooMany)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(error) => write!(f, "{error}"),
            Self::Reserved(name, rule) => {
                write!(f, "the name {name} is reserved")?;
                rule.iter().try_for_each(|rule| write!(f, " by the policy ({rule})"))?;
                f.write_str(": a plugin that connects must use another one")
            }
            Self::Pause(left) => write!(f, "failed a moment ago, try again in {} ms", left.as_millis()),
            Self::TooMany => write!(f, "there are {CONNECTED_MAX} plugins that connected: no more are taken"),
            Self::Registered => f.write_str("plugin is already registered"),
            Self::Denied => f.write_str("the policy does not permit these updates"),
            Self::NotActive => f.write_str("plugin is not registered and synchronized"),
        }
    }
}

/// There are too many connections that have not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyUnregistered;

impl Core {
    /// A connection is there: an accepted one, or that of a launched plugin.
    pub(crate) fn handle_connected(
        &mut self,
        seat: Option<SeatId>,
        mut origin: Origin,
        now: Instant,
    ) -> Result<PluginId, TooManyUnregistered> {
        if self.stopping || (seat.is_none() && !self.has_room(now)) {
            self.totals.refused += 1;
            return Err(TooManyUnregistered);
        }
        self.table.find_pod(&mut origin.identity);
        let id = PluginId(self.next_plugin);
        self.next_plugin += 1;
        let name = seat.and_then(|seat| self.program(seat)).map(|program| program.name.clone());
        self.plugins.insert(id, Plugin::new(&self.setup, seat, name, origin));
        self.timers.insert((now + self.setup.registration_timeout, Timer::Registration(id)));
        Ok(id)
    }

    /// Whether another connection may be there that has not registered. Where there are too many, a process that has
    /// several of them loses its oldest: who only connects does not keep others out.
    fn has_room(&mut self, now: Instant) -> bool {
        let silent = self.plugins.iter().filter(|(_, p)| p.is_unregistered() && p.seat.is_none());
        let mut processes = BTreeMap::<_, Vec<PluginId>>::new();
        let mut count = 0;
        for (id, plugin) in silent {
            count += 1;
            processes.entry((plugin.origin.pid, plugin.origin.identity.uid)).or_default().push(*id);
        }
        if count < UNREGISTERED_MAX {
            return true;
        }
        let most = processes.into_values().max_by_key(Vec::len).filter(|most| most.len() > 1);
        let oldest = most.and_then(|most| most.first().copied());
        if let Some(oldest) = oldest {
            self.close(oldest, "did not register, and its process has too many such connections", now);
        }
        oldest.is_some()
    }

    pub(super) fn registration_expired(&mut self, id: PluginId, now: Instant) {
        if self.plugins.get(&id).is_some_and(Plugin::is_unregistered) {
            self.close(id, "did not register in time", now);
        }
    }

    /// RegisterPlugin: what to answer. Configure goes out at the same time (EXT-009).
    pub(crate) fn handle_register(
        &mut self,
        id: PluginId,
        request: &RegisterPluginRequest,
        now: Instant,
    ) -> Result<(), Refusal> {
        let connected = self.plugins.values().filter(|p| p.seat.is_none() && !p.is_unregistered()).count();
        let Some(plugin) = self.plugins.get_mut(&id) else { return Err(Refusal::NotActive) };
        if !plugin.is_unregistered() {
            return Err(Refusal::Registered);
        }
        self.table.find_pod(&mut plugin.origin.identity);
        let mut config = String::new();
        let name = match plugin.seat.and_then(|seat| self.seats.get(seat.0)) {
            Some(seat) => {
                config.clone_from(&seat.program().config);
                seat.program().name.clone()
            }
            None => {
                let name =
                    PluginName::new(&request.plugin_idx, &request.plugin_name).map_err(Refusal::Name)?;
                if [name.full(), name.base()].iter().any(|name| self.setup.reserved.contains(*name)) {
                    warn!(plugin = %plugin.label(), "wants the reserved name {name}: refused");
                    return Err(Refusal::Reserved(name, None));
                }
                if connected >= CONNECTED_MAX {
                    return Err(Refusal::TooMany);
                }
                if let Some(left) = self.back_off.left(&Who::connected(&name, &plugin.origin.identity), now) {
                    return Err(Refusal::Pause(left));
                }
                name
            }
        };
        if let Some(rule) = self.reserved(id, &name) {
            warn!("a plugin wants the name {name}, which {rule} keeps for another one: refused");
            return Err(Refusal::Reserved(name, Some(rule)));
        }
        let Some(plugin) = self.plugins.get_mut(&id) else { return Err(Refusal::NotActive) };
        plugin.rules = Rules::new(&self.setup, Some(&name), Default::default());
        plugin.name = Some(name);
        plugin.stage = Stage::Configuring;
        info!(plugin = %plugin.label(), nri = %request.nri_version, "registered");
        let deadline = now + plugin.rules.timeout;
        let request_timeout = plugin.rules.timeout;
        self.actions.push_back(Action::Admit(id));
        let message = ConfigureRequest {
            config,
            runtime_name: self.setup.runtime_name.clone(),
            runtime_version: self.setup.runtime_version.clone(),
            registration_timeout: millis(self.setup.registration_timeout),
            request_timeout: millis(request_timeout),
            nri_version: self.setup.nri_version.clone(),
        };
        self.call(id, Purpose::Configure, Message::Configure(Box::new(message)), now, deadline, true);
        Ok(())
    }

    /// The answer to Configure.
    pub(super) fn configured(&mut self, id: PluginId, end: End, now: Instant) {
        let answer = match end {
            End::Answer(super::Answer::Configure(answer), _) => answer,
            other => return self.close(id, &format!("failed to configure: {}", other.fault()), now),
        };
        let Some(plugin) = self.plugins.get_mut(&id) else { return };
        match subscription(&answer) {
            Err(unknown) => self.close(id, &format!("invalid plugin events: {:#x}", unknown.bits()), now),
            Ok(events) => {
                plugin.policy = answer.failure_policy.unwrap_or_default();
                plugin.asked_for_everything = answer.events == 0;
                plugin.asked = events;
                plugin.set_rules(&self.setup);
                info!(plugin = %plugin.label(), events = %plugin.events, "configured");
                self.join_once_known(id, now);
            }
        }
    }

    /// The operator's settings have changed: they count for the next calls of every plugin.
    pub(crate) fn set_plugins(&mut self, settings: BTreeMap<String, PluginSettings>, now: Instant) {
        self.setup.settings = settings;
        let ids: Vec<_> = self.plugins.keys().copied().collect();
        for id in ids {
            if let Some(plugin) = self.plugins.get_mut(&id) {
                let before = plugin.events;
                plugin.set_rules(&self.setup);
                let gained = plugin.events.without(before).without(VALIDATION);
                if plugin.is_active() && !gained.is_empty() {
                    // Such events have gone by without it.
                    plugin.picture = Picture::False;
                }
            }
            self.pump(id, now);
        }
    }
}

/// The events that an answer to Configure subscribes to, or the bits that stand for none (EXT-010, EXT-011).
fn subscription(answer: &ConfigureResponse) -> Result<EventMask, EventMask> {
    let asked = EventMask::from_bits(answer.events);
    let unknown = asked.without(EventMask::ALL);
    match (unknown.is_empty(), asked.is_empty()) {
        (false, _) => Err(unknown),
        (true, true) => Ok(EventMask::ALL),
        (true, false) => Ok(asked),
    }
}

fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
