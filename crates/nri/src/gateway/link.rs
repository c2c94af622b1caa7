//! What the gateway knows of its engine, and what that does to the plugins' side.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nri_runtime::host::Host;
use nri_runtime::merge::{Attributed, Evicted};
use nri_wire::api::{Container, PodSandbox};
use nri_wire::limits::REQUEST_TIMEOUT;
use tokio::time::Instant;

use super::Gateway;
use super::bridge::Bridge;
use super::engine::{Engine, Lost};

/// The engine as we know it.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    /// Who it said it is; kept when it goes.
    pub(super) engine: Option<Engine>,
    /// How long it waits for an answer, unless a request says otherwise.
    request_timeout: Option<Duration>,
    registration_timeout: Option<Duration>,
    /// It has told the state of the node, and sends requests.
    pub(super) connected: bool,
    /// How often it has come that far.
    pub(super) connects: u64,
    /// When it last did.
    pub(super) since: Option<SystemTime>,
    /// Why the plugins' side does not start. Without it no request can be answered.
    failed: Option<String>,
}

impl Gateway {
    /// How long the engine waits for an answer.
    pub(super) fn request_timeout(&self) -> Duration {
        self.link.borrow().request_timeout.unwrap_or(REQUEST_TIMEOUT)
    }

    /// The engine has introduced itself.
    pub(super) fn configured(&self, engine: Engine, registration_timeout: i64, request_timeout: i64) {
        self.link.send_modify(|link| {
            link.engine = Some(engine);
            link.registration_timeout = told(registration_timeout);
            link.request_timeout = told(request_timeout);
        });
    }

    /// The engine has told the state of the node: the host starts with it, or renews what it knows.
    pub(super) fn synchronized(self: &Arc<Self>, pods: Vec<PodSandbox>, containers: Vec<Container>) {
        self.observers.iter().for_each(|observer| observer.synchronized(&pods, &containers));
        let link = self.link.borrow().clone();
        let engine = link.engine.unwrap_or_default();
        if let Some(host) = self.host() {
            host.set_runtime(&engine.name, &engine.version, &engine.told);
            host.renew(pods, containers);
        } else if let Some(mut config) = self.config().take() {
            config.runtime_name = engine.name;
            config.runtime_version = engine.version;
            config.nri_version = engine.told;
            config.request_timeout = link.request_timeout.unwrap_or(config.request_timeout);
            config.registration_timeout = link.registration_timeout.unwrap_or(config.registration_timeout);
            config.pods = pods;
            config.containers = containers;
            match Host::spawn(config, Bridge::new(self)) {
                Ok(host) => drop(self.host.set((host, Instant::now()))),
                Err(error) => {
                    return self.link.send_modify(|link| link.failed = Some(format!("failed to {error}")));
                }
            }
        }
        self.link.send_modify(|link| {
            link.connected = true;
            link.connects += 1;
            link.since = Some(SystemTime::now());
        });
    }

    /// Waits until the plugins' side has failed to start; says why.
    pub(super) async fn failed(&self) -> String {
        let mut link = self.link.subscribe();
        let failed = link.wait_for(|link| link.failed.is_some()).await;
        failed.ok().and_then(|link| link.failed.clone()).unwrap_or_default()
    }

    /// The connection to the engine has ended. Plugins stay, and so does what is known.
    pub(super) fn disconnected(&self) {
        self.link.send_if_modified(|link| std::mem::take(&mut link.connected));
    }

    /// What the engine takes and does not carry out.
    pub(super) fn loses(&self, changes: &[Attributed], evictions: &[Evicted]) -> Vec<Lost> {
        let link = self.link.borrow();
        let mut lost = link.engine.as_ref().map(|engine| engine.loses(changes)).unwrap_or_default();
        lost.extend(evictions.iter().map(|evicted| Lost {
            plugin: evicted.plugin.clone(),
            field: "evictions",
            key: evicted.eviction.container_id.clone(),
            why: "engines do not carry out evictions",
        }));
        lost
    }
}

/// A time-out as the engine tells it, in milliseconds; engines before NRI 0.7 tell none.
fn told(milliseconds: i64) -> Option<Duration> {
    u64::try_from(milliseconds).ok().filter(|&ms| ms > 0).map(Duration::from_millis)
}
