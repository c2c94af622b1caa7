//! Metrics: what the gateway and its plugins do, as OpenMetrics (policy.md 12).
//!
//! Names begin with `nri_`, units are base units, and no label names a pod or a container. What happens is counted as it
//! happens; what merely is, is looked up when somebody asks.

mod endpoint;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nri_policy::change::{Op, Subject};
use nri_runtime::host::{Callback, Consulted, Failure, Outcome, PluginStatus, Totals};
use nri_runtime::merge::Attributed;
use nri_wire::api::ContainerUpdate;
use nri_wire::event::{Event, display_name};
use nri_wire::name::PluginName;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

pub(crate) use self::endpoint::{Address, Endpoint};
use super::limits::METRICS_PLUGINS_MAX;
use super::observe::{Observer, Relay, Relayed};
use crate::decision::blamed;

/// Upper bounds of the buckets, seconds: plugins answer in fractions of a millisecond, or not for seconds.
const BUCKETS: [f64; 13] = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0];
/// The label of all others.
const OTHER: &str = "other";

/// All that is counted.
pub(crate) struct Metrics {
    registry: Registry,
    plugins: Names,
    plugin_requests: Histograms<Call>,
    plugin_failures: Family<Failed, Counter>,
    plugin_skipped: Family<Plugin, Counter>,
    requests: Family<Request, Counter>,
    durations: Histograms<Operation>,
    changes: Family<Change, Counter>,
    lost: Family<Field, Counter>,
    unsolicited: Family<Done, Counter>,
}

/// What is looked up.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) plugins: Vec<PluginStatus>,
    pub(crate) totals: Totals,
    /// Whether the engine is there.
    pub(crate) connected: bool,
    /// How often it has come.
    pub(crate) connects: u64,
    /// Containers that run and were created without the gateway; absent where that is not known.
    pub(crate) unseen: Option<usize>,
}

/// Who can look it up.
pub(crate) trait Sight: Send + Sync + 'static {
    /// How things are now.
    fn look(&self) -> Callback<'_, Snapshot>;
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Plugin {
    plugin: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    plugin: Arc<str>,
    event: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    plugin: Arc<str>,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    operation: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Change {
    field: &'static str,
    op: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Field {
    field: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Done {
    result: &'static str,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let histograms: fn() -> Histogram = || Histogram::new(BUCKETS);
        let mut metrics = Self {
            registry: Registry::with_prefix("nri"),
            plugins: Names::default(),
            plugin_requests: Family::new_with_constructor(histograms),
            plugin_failures: Family::default(),
            plugin_skipped: Family::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(histograms),
            changes: Family::default(),
            lost: Family::default(),
            unsolicited: Family::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register_with_unit(
            "plugin_request_duration",
            "Calls to a plugin, from sending to the answer or the deadline",
            Unit::Seconds,
            self.plugin_requests.clone(),
        );
        registry.register(
            "plugin_failures",
            "Calls to a plugin that it did not answer, refused, or answered with what cannot be used",
            self.plugin_failures.clone(),
        );
        registry.register(
            "plugin_skipped",
            "Calls to a plugin that were left out because it owed an answer",
            self.plugin_skipped.clone(),
        );
        registry.register("requests", "Requests of the engine by what came of them", self.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Requests of the engine, from their arrival to their result",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register(
            "changes",
            "Changes of containers by plugins that took effect",
            self.changes.clone(),
        );
        registry.register(
            "lost",
            "Changes that were carried and are not applied by this engine",
            self.lost.clone(),
        );
        registry.register(
            "unsolicited_updates",
            "Updates of containers that plugins asked for on their own account",
            self.unsolicited.clone(),
        );
    }

    /// Everything in the text format of OpenMetrics. Without a snapshot only what was counted: no value is better than a
    /// wrong one.
    pub(crate) fn text(&self, snapshot: Option<&Snapshot>) -> String {
        let mut text = String::new();
        let looked_up = snapshot.map(|snapshot| self.looked_up(snapshot)).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = text::encode_registry(&mut text, &self.registry);
        let _ = text::encode(&mut text, &looked_up);
        text
    }

    fn looked_up(&self, snapshot: &Snapshot) -> Registry {
        let mut registry = Registry::with_prefix("nri");
        let waiting = Family::<Plugin, Gauge>::default();
        let late_answers = Family::<Plugin, Counter>::default();
        for status in snapshot.plugins.iter().filter(|status| status.launched) {
            self.plugins.trust(&status.name);
        }
        for status in &snapshot.plugins {
            let label = Plugin { plugin: self.plugins.label(&status.name) };
            waiting.get_or_create(&label).inc_by(i64::try_from(status.waiting).unwrap_or(i64::MAX));
            late_answers.get_or_create(&label).inc_by(status.tally.late_answers);
        }
        registry.register("plugin_waiting_requests", "Requests that wait for a plugin", waiting);
        registry.register(
            "plugin_late_answers",
            "Answers after their deadline, since the plugin registered",
            late_answers,
        );
        let gauges = [
            ("plugins_connected", "Plugins that are registered", Some(snapshot.plugins.len())),
            ("engine_connected", "Whether the engine is there", Some(usize::from(snapshot.connected))),
            (
                "unseen_containers",
                "Containers that run and were created without the gateway",
                snapshot.unseen,
            ),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                registry.register(name, help, ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)));
            }
        }
        let Totals { joined, lost, refused, restarts, .. } = snapshot.totals;
        let counters = [
            (
                "engine_reconnects",
                "Connections to the engine after the first",
                snapshot.connects.saturating_sub(1),
            ),
            ("plugins_joined", "Plugins that became active", joined),
            ("plugin_connections_lost", "Connections of registered plugins that ended", lost),
            (
                "plugin_connections_refused",
                "Connections refused or ended before the plugin was active",
                refused,
            ),
            ("plugin_restarts", "Processes of launched plugins that were started again", restarts),
        ];
        for (name, help, value) in counters {
            registry.register(name, help, ConstCounter::new(value));
        }
        registry
    }

    fn consulted(&self, event: Event, consulted: &[Consulted]) {
        for Consulted { plugin, outcome, took, .. } in consulted {
            let plugin = self.plugins.label(plugin);
            let reason = match outcome {
                Outcome::Answer => None,
                Outcome::Veto(_) => Some("veto"),
                Outcome::Gone => Some("closed"),
                // It was not called at all.
                Outcome::Late if took.is_zero() => {
                    self.plugin_skipped.get_or_create(&Plugin { plugin }).inc();
                    continue;
                }
                Outcome::Late => Some("timeout"),
            };
            if let Some(reason) = reason {
                self.plugin_failures.get_or_create(&Failed { plugin: Arc::clone(&plugin), reason }).inc();
            }
            // One that is lost while a call waits for it was not called either.
            if !took.is_zero() {
                let call = Call { plugin, event: display_name(event) };
                self.plugin_requests.get_or_create(&call).observe(took.as_secs_f64());
            }
        }
    }

    /// What a plugin answered in time and yet cannot be used. Refusals and lates stand with the plugins themselves.
    fn failed(&self, failure: &Failure) -> &'static str {
        let (_, kind, plugin) = blamed(&failure.cause);
        if let (Some(plugin), "invalid" | "conflict" | "policy") = (plugin, kind) {
            let plugin = self.plugins.label(plugin);
            self.plugin_failures.get_or_create(&Failed { plugin, reason: kind }).inc();
        }
        kind
    }

    fn changed(&self, changes: &[Attributed]) {
        for Attributed { change, .. } in changes {
            let field = match change.subject {
                Subject::Field(field) => field.name(),
                Subject::Unknown => "unknown",
            };
            let op = match change.op {
                Op::Add => "add",
                Op::Replace => "replace",
                Op::Remove => "remove",
            };
            self.changes.get_or_create(&Change { field, op }).inc();
        }
    }

    fn request(&self, event: Event, result: &'static str, took: Duration) {
        let operation = display_name(event);
        self.requests.get_or_create(&Request { operation, result }).inc();
        self.durations.get_or_create(&Operation { operation }).observe(took.as_secs_f64());
    }
}

impl Observer for Metrics {
    fn relayed(&self, relayed: &Relayed<'_>) {
        let event = relayed.event;
        let (result, plugins) = match &relayed.outcome {
            Relay::Created(created) => {
                self.consulted(Event::ValidateContainerAdjustment, &created.validators);
                self.changed(&created.merged.changes);
                ("ok", &created.plugins)
            }
            Relay::Updated(updated) => {
                self.changed(&updated.merged.changes);
                ("ok", &updated.plugins)
            }
            Relay::Stopped(stopped) => {
                self.changed(&stopped.merged.changes);
                ("ok", &stopped.plugins)
            }
            Relay::Told(told) => ("ok", &told.plugins),
            Relay::Failed(failure) => (self.failed(failure), &failure.plugins),
        };
        self.consulted(event, plugins);
        self.request(event, result, relayed.took);
        for lost in relayed.lost {
            self.lost.get_or_create(&Field { field: lost.field }).inc();
        }
    }

    fn unsolicited(&self, _plugin: &PluginName, updates: &[ContainerUpdate], failed: usize) {
        let applied = updates.len().saturating_sub(failed);
        for (result, count) in [("applied", applied), ("failed", failed)] {
            self.unsolicited.get_or_create(&Done { result }).inc_by(u64::try_from(count).unwrap_or(0));
        }
    }
}

/// The plugins that have a label of their own: those that we launch, and the first so many of others. Whoever comes later
/// shares one.
#[derive(Debug, Default)]
struct Names {
    known: Mutex<BTreeSet<Arc<str>>>,
}

impl Names {
    fn label(&self, name: &PluginName) -> Arc<str> {
        self.named(name, METRICS_PLUGINS_MAX)
    }

    /// The operator has chosen this name, so it cannot be one of many.
    fn trust(&self, name: &PluginName) {
        self.named(name, usize::MAX);
    }

    fn named(&self, name: &PluginName, most: usize) -> Arc<str> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(label) = known.get(name.full()) {
            return Arc::clone(label);
        }
        if known.len() >= most {
            return OTHER.into();
        }
        let label: Arc<str> = name.full().into();
        known.insert(Arc::clone(&label));
        label
    }
}
