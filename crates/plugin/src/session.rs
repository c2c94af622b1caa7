//! The handle on a plugin's connection: what the runtime can do, updates on the plugin's own account, the way to stop.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nri_wire::api::{ConfigureRequest, ContainerUpdate, UpdateContainersRequest};
use nri_wire::io::blocking::{CallError, Peer};
use nri_wire::limits::{REGISTRATION_TIMEOUT, REQUEST_TIMEOUT};
use nri_wire::name::PluginName;
use nri_wire::restrictions::{self, RestrictionsRequest, RestrictionsResponse as Restrictions};
use nri_wire::service::UpdateContainers;
use nri_wire::ttrpc::Status;
use nri_wire::version::NriVersion;

use crate::adjustment::check::Invalid;
use crate::engine::Feature;
use crate::limits::{RESTRICTIONS_TIMEOUT, TIMEOUT_MAX};
use crate::update::Updates;

/// A plugin's connection, for as long as the plugin runs: it outlives reconnects. Cheap to clone, and at home in any
/// thread.
///
/// Handlers find it in their request; other threads get it from [`Builder::session`](crate::Builder::session).
#[derive(Clone, Debug, Default)]
pub struct Session {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    peer: Option<Peer>,
    /// Under which name the plugin runs.
    name: Option<PluginName>,
    runtime: Runtime,
    stopped: bool,
}

/// What the runtime said of itself when it configured the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Runtime {
    /// Its name, such as `containerd`; empty until it has configured the plugin.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The NRI version that it speaks: as it said, or as known of that runtime's version (`spec/api.md` 8).
    pub nri: Option<NriVersion>,
    /// How long a registration may take.
    pub registration_timeout: Duration,
    /// How long a handler may take.
    pub request_timeout: Duration,
}

impl Default for Runtime {
    fn default() -> Self {
        Self {
            name: String::new(),
            version: String::new(),
            nri: None,
            registration_timeout: REGISTRATION_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
        }
    }
}

impl Runtime {
    /// Takes over what the runtime says. Time-outs of 0 are from runtimes that do not send them (quirk F4).
    pub(crate) fn configured(&self, request: &ConfigureRequest) -> Self {
        let timeout = |milliseconds: i64, old: Duration| {
            u64::try_from(milliseconds).ok().filter(|&ms| ms > 0).map_or(old, Duration::from_millis)
        };
        Self {
            name: request.runtime_name.clone(),
            version: request.runtime_version.clone(),
            nri: NriVersion::of_runtime(
                &request.nri_version,
                &request.runtime_name,
                &request.runtime_version,
            ),
            registration_timeout: timeout(request.registration_timeout, self.registration_timeout),
            request_timeout: timeout(request.request_timeout, self.request_timeout),
        }
    }
}

/// Why an unsolicited update failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum UpdateError {
    /// The plugin is not connected (any more, or yet).
    NotConnected,
    /// A value cannot work; nothing was sent.
    Invalid(Invalid),
    /// The runtime refused.
    Refused(Status),
    /// The runtime did not answer in time. It may still carry out the updates.
    Late(Duration),
    /// The connection broke, or the updates do not fit into a message.
    Failed(CallError<UpdateContainers>),
}

impl Session {
    /// What is known of the runtime.
    #[must_use]
    pub fn runtime(&self) -> Runtime {
        self.state().runtime.clone()
    }

    /// Whether the runtime has a field, an event or another [`Feature`]; `None` where its NRI version is not known.
    /// Runtimes drop what they do not know without a word.
    ///
    /// ```
    /// use nri_plugin::{Field, Session};
    /// fn may_set_a_memory_policy(session: &Session) -> bool {
    ///     session.supports(Field::MemoryPolicy) != Some(false)
    /// }
    /// ```
    #[must_use]
    pub fn supports(&self, feature: impl Into<Feature>) -> Option<bool> {
        let version = self.state().runtime.nri?;
        Some(feature.into().is_in(version))
    }

    /// Whether there is a connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.state().peer.is_some()
    }

    /// Updates and evicts containers on the plugin's own account; returns the updates that failed.
    ///
    /// Runtimes up to NRI 0.12.0 answer only after the requests that they have in hand: called from a handler, this
    /// runs into its time-out there ([`Feature::UpdatesFromHandlers`]), and may leave containerd locked up for good.
    /// Call it from a thread of your own, and best while nothing happens; updates that an answer can carry belong there.
    ///
    /// # Errors
    /// An [`UpdateError`], after the time-out (an hour at most) at the latest.
    pub fn update_containers(
        &self,
        updates: impl Into<Updates>,
        timeout: Duration,
    ) -> Result<Vec<ContainerUpdate>, UpdateError> {
        let (update, evict) = updates.into().into_messages().map_err(UpdateError::Invalid)?;
        let peer = self.state().peer.clone().ok_or(UpdateError::NotConnected)?;
        let request = UpdateContainersRequest { update, evict };
        match peer.call::<UpdateContainers>(&request, deadline(timeout)) {
            Ok(reply) => Ok(reply.message.failed),
            Err(CallError::Status(status)) => Err(UpdateError::Refused(status)),
            Err(CallError::Late(_)) => Err(UpdateError::Late(timeout)),
            Err(error) => Err(UpdateError::Failed(error)),
        }
    }

    /// What the administrator lets this plugin do, field by field, as the runtime sees it now. `None`: unknown, because
    /// the plugin is not connected, or because the runtime has no such policy or does not tell within
    /// [`RESTRICTIONS_TIMEOUT`](crate::limits::RESTRICTIONS_TIMEOUT). Runtimes of nri-rs tell.
    ///
    /// What it says is a service, no promise: a policy may change, and rules of some fields depend on the container.
    ///
    /// ```
    /// use nri_plugin::Session;
    /// fn may_set_variables(session: &Session) -> bool {
    ///     let Some(told) = session.restrictions() else { return true };
    ///     told.fields.iter().any(|field| field.field == "env" && field.verdict != "deny")
    /// }
    /// ```
    #[must_use]
    pub fn restrictions(&self) -> Option<Restrictions> {
        let (peer, name) = {
            let state = self.state();
            (state.peer.clone()?, state.name.clone()?)
        };
        let request =
            RestrictionsRequest { plugin_name: name.base().to_owned(), plugin_idx: name.index().to_owned() };
        let reply = peer.call::<restrictions::Get>(&request, deadline(RESTRICTIONS_TIMEOUT));
        reply.ok().map(|reply| reply.message)
    }

    /// Ends the run: closes the connection, and there is no other one. Handlers that run are waited for, their
    /// answers are lost.
    pub fn stop(&self) {
        let peer = {
            let mut state = self.state();
            state.stopped = true;
            state.peer.take()
        };
        self.shared.changed.notify_all();
        if let Some(peer) = peer {
            peer.close("the plugin stops");
        }
    }

    /// Whether [`Session::stop`] has been called.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    /// Notes the connection. Returns false, and closes it, if the run has been stopped.
    pub(crate) fn connected(&self, peer: &Peer, name: &PluginName) -> bool {
        let mut state = self.state();
        if !state.stopped {
            state.peer = Some(peer.clone());
            state.name = Some(name.clone());
        }
        !state.stopped
    }

    pub(crate) fn disconnected(&self) {
        self.state().peer = None;
    }

    /// Takes over what the runtime says in Configure.
    pub(crate) fn configured(&self, request: &ConfigureRequest) -> Runtime {
        let mut state = self.state();
        state.runtime = state.runtime.configured(request);
        state.runtime.clone()
    }

    /// Sets the time-outs that hold until the runtime says others.
    pub(crate) fn set_registration_timeout(&self, timeout: Duration) {
        self.state().runtime.registration_timeout = timeout;
    }

    /// Waits this long, less if the run is stopped meanwhile; returns whether it goes on.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let wait = self.shared.changed.wait_timeout_while(self.state(), time, |state| !state.stopped);
        let (state, _) = wait.unwrap_or_else(PoisonError::into_inner);
        !state.stopped
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock can leave the state half changed.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)?;
        self.nri.map_or(Ok(()), |nri| write!(f, " (NRI {nri})"))
    }
}

impl fmt::Display for UpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected => f.write_str("not connected to a runtime"),
            Self::Invalid(invalid) => invalid.fmt(f),
            Self::Refused(status) => write!(f, "refused by the runtime: {}", status.message),
            Self::Late(timeout) => write!(f, "no answer of the runtime within {timeout:?}"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for UpdateError {}

/// When a time-out that begins now is over.
pub(crate) fn deadline(timeout: Duration) -> Instant {
    Instant::now() + timeout.min(TIMEOUT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::Update;

    /// CONF-227, CONF-228, F4: milliseconds as sent, 0 leaves what was.
    #[test]
    fn timeouts() {
        let configure = |registration_timeout, request_timeout| ConfigureRequest {
            registration_timeout,
            request_timeout,
            ..ConfigureRequest::default()
        };
        let mut runtime = Runtime::default();
        for (registration, request, expect) in [
            (0, 0, (5000, 2000)),
            (5005, 2007, (5005, 2007)),
            (0, -1, (5005, 2007)),
            (1, i64::MIN, (1, 2007)),
        ] {
            runtime = runtime.configured(&configure(registration, request));
            let timeouts = (runtime.registration_timeout.as_millis(), runtime.request_timeout.as_millis());
            assert_eq!(timeouts, expect);
        }
    }

    /// CONF-226, CONF-229 and `spec/wire.md` 6: what the runtime says, else what is known of it.
    #[test]
    fn versions() {
        for (nri, name, version, expect) in [
            ("v9.8.7", "containerd", "v2.2.0", Some(NriVersion::new(9, 8, 7))),
            ("", "containerd", "v2.2.0", Some(NriVersion::new(0, 10, 0))),
            ("(devel)", "cri-o", "v1.34.1", Some(NriVersion::new(0, 10, 0))),
            ("v0.12.3", "docker", "29.1.0", Some(NriVersion::new(0, 12, 3))),
            ("", "other", "v1", None),
        ] {
            let request = ConfigureRequest {
                runtime_name: name.to_owned(),
                runtime_version: version.to_owned(),
                nri_version: nri.to_owned(),
                ..ConfigureRequest::default()
            };
            let runtime = Runtime::default().configured(&request);
            assert_eq!(
                (runtime.name.as_str(), runtime.version.as_str(), runtime.nri),
                (name, version, expect)
            );
        }
    }

    /// No time-out of a peer leads beyond the end of the clock.
    #[test]
    fn endless_timeouts() {
        assert!(deadline(Duration::MAX) <= Instant::now() + TIMEOUT_MAX);
    }

    /// CONF-224.
    #[test]
    fn updates_before_the_start_are_an_error() {
        let session = Session::default();
        let error = session.update_containers(Update::new("a").cpu_shares(2), Duration::from_secs(1));
        assert!(matches!(error, Err(UpdateError::NotConnected)));
    }
}
