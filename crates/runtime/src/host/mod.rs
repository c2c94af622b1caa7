//! The host: launches plugins, lets others connect, registers them, tells them the state of the node, and takes every
//! pod and container request through them in order and in time (`design.md` 5).
//!
//! | module | what it holds |
//! | --- | --- |
//! | `core` | every decision, without sockets, processes and clock |
//! | `actor` | the task that feeds the core and does what it says |
//! | `call` | calls to plugins |
//! | `serve` | what plugins ask of the host |
//! | [`launch`](self::Program) | processes of launched plugins |
//! | `stderr` | what those print, as far as a log takes it |
//! | [`discover`](fn@discover) | the plugin directory |
//! | [`identity`](Identity) | who connects, from the kernel |
//! | [`listen`](Listener) | sockets for plugins that connect |
//! | [`caller`](Caller) | what each request brings along |
//! | `config`, `outcome`, `given`, `status` | what goes in, what comes out, what can be seen |
//!
//! ```no_run
//! use std::time::Duration;
//! use nri_runtime::host::{Config, Host, NoEmbedder};
//! use nri_wire::api::{Container, CreateContainerRequest, PodSandbox};
//! use tokio::time::Instant;
//!
//! # async fn create() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config { plugin_dir: Some("/opt/nri/plugins".into()), ..Config::default() };
//! let host = Host::start(config, NoEmbedder).await?;
//! let request = CreateContainerRequest {
//!     pod: Some(PodSandbox { id: "p1".into(), ..Default::default() }),
//!     container: Some(Container { id: "c1".into(), pod_sandbox_id: "p1".into(), ..Default::default() }),
//! };
//! let created = host.create_container(request, Instant::now() + Duration::from_secs(2)).await?;
//! println!("{} changes", created.merged.changes.len());
//! host.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod actor;
mod call;
mod caller;
mod conclusion;
mod config;
mod core;
mod discover;
mod given;
mod identity;
mod launch;
mod listen;
mod outcome;
mod ownership;
mod serve;
mod status;
mod stderr;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nri_policy::judge::Judge;
use nri_wire::api::{
    Container, CreateContainerRequest, PodSandbox, StateChangeEvent, StopContainerRequest,
    UpdateContainerRequest, UpdatePodSandboxRequest,
};
use nri_wire::event::{Event, is_of_pod};
use nri_wire::service::NOTICES;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use self::actor::{Actor, Order, View};
pub use self::caller::Caller;
pub use self::conclusion::{Circumstances, conclude};
use self::config::SharedEmbedder;
pub use self::config::{
    Asking, Callback, Config, Embedder, FailureRule, LateRule, NoEmbedder, PluginSettings, Program, Tracer,
};
use self::core::{Completion, Core, RequestId, Setup, Submission};
pub use self::discover::{Discovered, SkipReason, Skipped, discover};
pub use self::given::{Given, Known, Said};
pub use self::identity::{Assurance, Identity, PodIdentity, Sha256};
pub use self::listen::{ListenError, Listener, Socket};
pub use self::outcome::{
    Absence, Cause, Consulted, Created, Failure, Judgement, Missing, Outcome, Stopped, Told, Updated,
};
pub use self::status::{PluginStatus, Tally, Totals};

/// A running host. Clones are the same one. It shuts down when the last of them is gone; [`Host::shutdown`] waits for that.
#[derive(Clone, Debug)]
pub struct Host {
    orders: mpsc::UnboundedSender<Order>,
    view: watch::Receiver<View>,
    next: Arc<AtomicU64>,
}

/// Why a host cannot start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The plugin directory cannot be read.
    PluginDir(PathBuf, io::Error),
    /// A socket cannot listen.
    Listen(ListenError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PluginDir(dir, error) => {
                write!(f, "read the plugin directory {}: {error}", dir.display())
            }
            Self::Listen(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl Host {
    /// [`spawn`](Self::spawn)s a host and waits until it has [`settled`](Self::settled).
    ///
    /// # Errors
    /// A [`StartError`]; nothing is left running then.
    pub async fn start(config: Config, embedder: impl Embedder) -> Result<Self, StartError> {
        let host = Self::spawn(config, embedder)?;
        host.settled().await;
        Ok(host)
    }

    /// Starts a host on the current runtime and returns at once. Launched plugins start side by side (quirk B9); one
    /// that fails is logged and does not fail the start.
    ///
    /// # Errors
    /// A [`StartError`]; nothing is left running then.
    pub fn spawn(config: Config, embedder: impl Embedder) -> Result<Self, StartError> {
        let mut programs = config.launch;
        if let Some(dir) = &config.plugin_dir {
            let found = discover(dir, config.plugin_config_dir.as_deref())
                .map_err(|error| StartError::PluginDir(dir.clone(), error))?;
            found.skipped.iter().for_each(|skipped| warn!("{skipped}"));
            programs.extend(found.programs);
        }
        let bound = config.listen.iter().map(Listener::bind).collect::<Result<Vec<_>, _>>();
        let mut listeners = config.listeners;
        listeners.extend(bound.map_err(StartError::Listen)?);
        let embedder = SharedEmbedder(Arc::new(embedder));
        let setup = Setup {
            runtime_name: config.runtime_name,
            runtime_version: config.runtime_version,
            nri_version: config.nri_version,
            registration_timeout: config.registration_timeout,
            request_timeout: config.request_timeout,
            settings: config.plugins,
            restart: config.restart,
            programs,
            reserved: config.reserved,
            judge: config.judge,
            keep_answers: config.keep_answers,
            embedder: embedder.clone(),
        };
        let core = Core::new(setup, config.pods, config.containers);
        let (orders, receiver) = mpsc::unbounded_channel();
        let (sender, view) = watch::channel(View { settled: core.settled(), ..View::default() });
        let actor = Actor::new(core, embedder, listeners, receiver, sender, config.trace, config.log_lines);
        tokio::spawn(actor.run());
        Ok(Self { orders, view, next: Arc::default() })
    }

    /// Waits until each launched plugin has been active or has failed once.
    pub async fn settled(&self) {
        self.wait(|view| view.settled).await;
    }

    /// What Configure says from now on about the runtime that plugins serve. A gateway learns it from its engine, and
    /// again from the next one; plugins that are configured already are not told.
    pub fn set_runtime(&self, name: &str, version: &str, nri_version: &str) {
        let [name, version, nri_version] = [name, version, nri_version].map(str::to_owned);
        drop(self.orders.send(Order::SetRuntime { name, version, nri_version }));
    }

    /// Takes the engine's own snapshot in place of all that is known of the node: for a gateway that has found its engine
    /// again. Requests under way are to be cancelled before, by not waiting for them any more.
    ///
    /// Active plugins are left alone unless the snapshot contradicts what they were told (there are other pods or
    /// containers, or a container is in another state) or they had a part in a request that was cancelled. Then they
    /// get a fresh Synchronize over their connection, which they take in place of all they knew, once they have
    /// answered what they have in hand; requests that begin meanwhile wait for them. Plugins that are being
    /// synchronised begin again with the new snapshot.
    pub fn renew(&self, pods: Vec<PodSandbox>, containers: Vec<Container>) {
        drop(self.orders.send(Order::Renew { pods, containers }));
    }

    /// Replaces what the operator says about plugins, by full name, base name or `*`. It counts at once, also for
    /// plugins that are connected: for their next calls, and for the events that they get of those they asked for; who gets
    /// more of them than before is synchronised again first. The time-out that Configure told them stays as it was told.
    pub fn set_plugins(&self, table: BTreeMap<String, PluginSettings>) {
        drop(self.orders.send(Order::SetPlugins(table)));
    }

    /// Puts another policy in force, for requests that come from now on. Those under way end under the one that they
    /// began with. Plugins are looked at anew: levels may change at once, and who has a name that is now kept for
    /// another plugin is closed.
    pub fn set_judge(&self, judge: Judge) {
        drop(self.orders.send(Order::SetJudge(judge)));
    }

    /// Tells that a pod has been created.
    ///
    /// # Errors
    /// A [`Failure`]: a plugin refused, or one whose answer counts did not answer; no plugin's fault if the deadline is over.
    pub async fn run_pod_sandbox(&self, pod: PodSandbox, caller: impl Into<Caller>) -> Result<Told, Failure> {
        self.tell(Event::RunPodSandbox, pod, None, caller).await
    }

    /// Tells that a pod's resources are about to change. Plugins cannot change anything about it.
    ///
    /// # Errors
    /// As [`Host::run_pod_sandbox`].
    pub async fn update_pod_sandbox(
        &self,
        request: UpdatePodSandboxRequest,
        caller: impl Into<Caller>,
    ) -> Result<Told, Failure> {
        told(self.submit(Event::UpdatePodSandbox, Submission::UpdatePod(request), caller).await)
    }

    /// Tells that a pod's resources have changed.
    ///
    /// # Errors
    /// As [`Host::run_pod_sandbox`].
    pub async fn post_update_pod_sandbox(
        &self,
        pod: PodSandbox,
        caller: impl Into<Caller>,
    ) -> Result<Told, Failure> {
        self.tell(Event::PostUpdatePodSandbox, pod, None, caller).await
    }

    /// Tells that a pod has stopped.
    ///
    /// # Errors
    /// As [`Host::run_pod_sandbox`].
    pub async fn stop_pod_sandbox(
        &self,
        pod: PodSandbox,
        caller: impl Into<Caller>,
    ) -> Result<Told, Failure> {
        self.tell(Event::StopPodSandbox, pod, None, caller).await
    }

    /// Tells that a pod has been removed. It is forgotten whatever comes of it.
    ///
    /// # Errors
    /// As [`Host::run_pod_sandbox`].
    pub async fn remove_pod_sandbox(
        &self,
        pod: PodSandbox,
        caller: impl Into<Caller>,
    ) -> Result<Told, Failure> {
        self.tell(Event::RemovePodSandbox, pod, None, caller).await
    }

    /// Has the plugins adjust a container that is to be created, and the validators agree to the merged result.
    ///
    /// # Errors
    /// A [`Failure`]: a plugin or validator refused, two plugins conflict, an answer is invalid, the policy rejects, or
    /// one whose answer counts did not answer.
    pub async fn create_container(
        &self,
        request: CreateContainerRequest,
        caller: impl Into<Caller>,
    ) -> Result<Created, Failure> {
        let event = Event::CreateContainer;
        match self.submit(event, Submission::Create(Box::new(request)), caller).await? {
            Completion::Created(created) => Ok(*created),
            _ => Err(Failure::stopped(event)),
        }
    }

    /// Tells that a container has been created.
    ///
    /// # Errors
    /// As [`Host::run_pod_sandbox`].
    pub async fn post_create_container(
        &self,
        pod: PodSandbox,
        container: Container,
        caller: impl Into<Caller>,
    ) -> Result<Told, Failure> {
        self.tell(Event::PostCreateContainer, pod, Some(container), caller).await
    }

    /// Tells that a container is about to be started.
    ///
    /// # Errors
    /// As [`Host::run_pod_sandbox`].
    pub async fn start_container(
        &self,
        pod: PodSandbox,
        container: Container,
        caller: impl Into<Caller>,
    ) -> Result<Told, Failure> {
        self.tell(Event::StartContainer, pod, Some(container), caller).await
    }

    /// Tells that a container has been started.
    ///
    /// # Errors
    /// As [`Host::run_pod_sandbox`].
    pub async fn post_start_container(
        &self,
        pod: PodSandbox,
        container: Container,
        caller: impl Into<Caller>,
    ) -> Result<Told, Failure> {
        self.tell(Event::PostStartContainer, pod, Some(container), caller).await
    }

    /// Has the plugins change an update of a container's resources.
    ///
    /// # Errors
    /// As [`Host::create_container`], without validators.
    pub async fn update_container(
        &self,
        request: UpdateContainerRequest,
        caller: impl Into<Caller>,
    ) -> Result<Updated, Failure> {
        let event = Event::UpdateContainer;
        match self.submit(event, Submission::Update(Box::new(request)), caller).await? {
            Completion::Updated(updated) => Ok(*updated),
            _ => Err(Failure::stopped(event)),
        }
    }

    /// Tells that a container's resources have changed.
    ///
    /// # Errors
    /// As [`Host::run_pod_sandbox`].
    pub async fn post_update_container(
        &self,
        pod: PodSandbox,
        container: Container,
        caller: impl Into<Caller>,
    ) -> Result<Told, Failure> {
        self.tell(Event::PostUpdateContainer, pod, Some(container), caller).await
    }

    /// Tells that a container has stopped; plugins may update others.
    ///
    /// # Errors
    /// As [`Host::create_container`], without validators.
    pub async fn stop_container(
        &self,
        request: StopContainerRequest,
        caller: impl Into<Caller>,
    ) -> Result<Stopped, Failure> {
        let event = Event::StopContainer;
        match self.submit(event, Submission::Stop(request), caller).await? {
            Completion::Stopped(stopped) => Ok(*stopped),
            _ => Err(Failure::stopped(event)),
        }
    }

    /// Tells that a container has been removed. It is forgotten whatever comes of it.
    ///
    /// # Errors
    /// As [`Host::run_pod_sandbox`].
    pub async fn remove_container(
        &self,
        pod: PodSandbox,
        container: Container,
        caller: impl Into<Caller>,
    ) -> Result<Told, Failure> {
        self.tell(Event::RemoveContainer, pod, Some(container), caller).await
    }

    /// Tells one of the nine events that are only told ([`NOTICES`]), for whoever passes them on. What the methods of their
    /// names say of each holds here, too. An event about a pod takes no container.
    ///
    /// # Errors
    /// As [`Host::run_pod_sandbox`].
    pub async fn tell(
        &self,
        event: Event,
        pod: PodSandbox,
        container: Option<Container>,
        caller: impl Into<Caller>,
    ) -> Result<Told, Failure> {
        if !NOTICES.contains(&event) {
            let cause = Cause::Input("event that is only told");
            return Err(Failure { event, cause, plugins: Vec::new(), refused: Vec::new() });
        }
        let container = container.filter(|_| !is_of_pod(event));
        let notice = StateChangeEvent { event: event.into(), pod: Some(pod), container };
        told(self.submit(event, Submission::Notice(notice), caller).await)
    }

    /// Takes a connection as if it had been accepted: for plugins in this process, and tests.
    pub fn connect(&self, stream: UnixStream) {
        drop(self.orders.send(Order::Connect(stream)));
    }

    /// The registered plugins, in the order in which they are asked, and the sums over all since the start.
    pub async fn status(&self) -> (Vec<PluginStatus>, Totals) {
        let (reply, answer) = oneshot::channel();
        drop(self.orders.send(Order::Look(reply)));
        answer.await.unwrap_or_default()
    }

    /// How many plugins get events now.
    #[must_use]
    pub fn active(&self) -> usize {
        self.view.borrow().active
    }

    /// Waits until so many plugins are active. False: they were not by the deadline.
    pub async fn wait_active(&self, count: usize, deadline: Instant) -> bool {
        timeout_at(deadline, self.wait(|view| view.active >= count)).await.unwrap_or(false)
    }

    /// Ends everything in order: Shutdown to every plugin, then SIGTERM and SIGKILL for launched ones, all of them reaped,
    /// sockets removed. Takes a few seconds at most.
    pub async fn shutdown(&self) {
        drop(self.orders.send(Order::Shutdown));
        self.wait(|view| view.stopped).await;
    }

    /// False: the host ended before.
    async fn wait(&self, until: impl FnMut(&View) -> bool) -> bool {
        let mut view = self.view.clone();
        view.wait_for(until).await.is_ok()
    }

    async fn submit(
        &self,
        event: Event,
        submission: Submission,
        caller: impl Into<Caller>,
    ) -> Result<Completion, Failure> {
        let id = RequestId(self.next.fetch_add(1, Ordering::Relaxed));
        let (reply, answer) = oneshot::channel();
        let caller = caller.into();
        drop(self.orders.send(Order::Submit { id, submission: Box::new(submission), caller, reply }));
        let waiting = Waiting { orders: &self.orders, id };
        let result = answer.await;
        std::mem::forget(waiting);
        result.unwrap_or_else(|_| Err(Failure::stopped(event)))
    }
}

/// A request whose result is awaited. Who stops waiting has cancelled it (EXT-019).
struct Waiting<'a> {
    orders: &'a mpsc::UnboundedSender<Order>,
    id: RequestId,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        drop(self.orders.send(Order::Cancel(self.id)));
    }
}

fn told(result: Result<Completion, Failure>) -> Result<Told, Failure> {
    match result? {
        Completion::Told(told) => Ok(told),
        _ => Err(Failure::stopped(Event::Unknown)),
    }
}

impl Failure {
    /// The host ended before the request did.
    fn stopped(event: Event) -> Self {
        Self { event, cause: Cause::Stopped, plugins: Vec::new(), refused: Vec::new() }
    }
}
