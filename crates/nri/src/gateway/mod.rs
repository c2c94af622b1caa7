//! `nri gateway`: to the engine one plugin, to the plugins the engine (`design.md` 9.2).
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`engine`] | the connection to the engine, and the way of its requests |
//! | [`observe`] | who watches |
//! | [`metrics`] | what is counted |
//! | `view` | what can be seen from outside: control socket, metrics |
//! | `record` | the recording as one who watches |
//! | `notify` | what the service manager is told |
//! | [`seen`] | which containers went through it |
//! | `limits` | every limit |
//!
//! The plugins' side is a whole [`Host`]. It starts when the engine has introduced itself and told the state of the
//! node, and stays when the engine goes away.

mod engine;
mod limits;
mod metrics;
mod notify;
mod observe;
mod record;
mod seen;
mod view;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use nri_runtime::host::{Asking, Callback, Config, Embedder, Given, Host, Listener};
use nri_runtime::merge::{Attributed, Evicted};
use nri_runtime::validate::Rejection;
use nri_wire::api::{
    Container, ContainerEviction, ContainerUpdate, PodSandbox, ValidateContainerAdjustmentRequest,
};
use nri_wire::name::PluginName;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use self::engine::{Engine, Lost, Updates};
use self::observe::{Log, Observer, Relayed};
use self::seen::Seen;
use crate::control::Unseen;
use crate::failure::Failure;
use crate::record::Recorder;
use crate::settings::gateway::{Settings, Source};
use crate::settings::plugin;
use crate::validator::Validator;

/// Stand between an engine and its plugins
///
/// Registers at the engine as one plugin and serves the plugins at a socket of its own, so that containerd, CRI-O and
/// Docker 29 work as they are and plugins as they are. Ready when it prints `ready …` on stderr.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  nri gateway --engine-socket /run/nri-engine/nri.sock --listen /run/nri/nri.sock --plugin-dir /opt/nri/plugins"
)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
}

/// What everything in the gateway shares.
pub(crate) struct Gateway {
    source: Source,
    /// What it started with.
    settings: Settings,
    /// The plugins' side, and when it started.
    host: OnceLock<(Host, Instant)>,
    /// What the host will be made of, until it is.
    config: Mutex<Option<Config>>,
    link: watch::Sender<Link>,
    updates: Updates,
    validator: Validator,
    observers: Vec<Arc<dyn Observer>>,
    /// One of the observers.
    seen: Option<Arc<Seen>>,
    /// One of the observers, and where it is asked.
    metrics: Option<(metrics::Address, Arc<metrics::Metrics>)>,
    recorder: Option<Arc<Recorder>>,
}

/// The engine as we know it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Link {
    /// Who it said it is; kept when it goes.
    pub(crate) engine: Option<Engine>,
    /// How long it waits for an answer, unless a request says otherwise.
    request_timeout: Option<Duration>,
    registration_timeout: Option<Duration>,
    /// It has told the state of the node, and sends requests.
    pub(crate) connected: bool,
    /// How often it has come that far.
    pub(crate) connects: u64,
    /// When it last did.
    since: Option<SystemTime>,
}

/// Runs the command.
pub(crate) fn main(args: &Args) -> ExitCode {
    crate::log::serve();
    let result = gateway(args).and_then(|gateway| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::unavailable(format!("cannot start: {error}")))?;
        runtime.block_on(run(gateway))
    });
    match result {
        Ok(code) => code,
        Err(failure) => {
            failure.print();
            failure.exit_code()
        }
    }
}

/// Everything that can be wrong before anything is touched.
fn gateway(args: &Args) -> Result<Gateway, Failure> {
    let settings = args.source.read()?;
    settings.check()?;
    let config = Config {
        plugin_dir: settings.plugin_dir.clone(),
        plugin_config_dir: settings.plugin_config_dir.clone(),
        plugins: plugin::settings(settings.plugins.clone()),
        trace: crate::trace::from_environment(),
        ..Config::default()
    };
    let metrics = view::metrics(settings.metrics.as_deref())?;
    let mut observers: Vec<Arc<dyn Observer>> = vec![Arc::new(Log)];
    if let Some((_, metrics)) = &metrics {
        observers.push(Arc::<metrics::Metrics>::clone(metrics));
    }
    Ok(Gateway {
        source: args.source.clone(),
        validator: Validator::new(settings.validator.clone()),
        settings,
        host: OnceLock::new(),
        config: Mutex::new(Some(config)),
        link: watch::Sender::default(),
        updates: Updates::default(),
        observers,
        seen: None,
        metrics,
        recorder: None,
    })
}

async fn run(mut gateway: Gateway) -> Result<ExitCode, Failure> {
    let mut signals = Signals::new().map_err(|error| Failure::unavailable(format!("signals: {error}")))?;
    gateway.record()?;
    gateway.bind()?;
    gateway.remember();
    let view = view::View::open(&gateway).await?;
    let gateway = Arc::new(gateway);
    let mut view = view.serve(&gateway);
    let engine = tokio::spawn(engine::attend(Arc::clone(&gateway)));
    let sender = tokio::spawn(send_updates(Arc::clone(&gateway)));
    let ready = tokio::spawn(announce(Arc::clone(&gateway)));
    let signal = loop {
        match signals.next().await {
            "SIGHUP" => {
                let ready = gateway.host().is_some();
                if ready {
                    notify::reloading();
                }
                gateway.reload();
                if ready {
                    notify::reloaded();
                }
            }
            signal => break signal,
        }
    };
    info!("{signal}: the gateway ends");
    notify::stopping();
    gateway.finish().await;
    // Ends the connection to the engine, which goes on without us.
    for task in [engine, sender, ready] {
        task.abort();
        drop(task.await);
    }
    if let Some(host) = gateway.host() {
        host.shutdown().await;
    }
    // Its sockets go now, not some time later.
    view.shutdown().await;
    if let Some(recorder) = &gateway.recorder {
        recorder.close();
    }
    if let Some(seen) = &gateway.seen {
        seen.close();
    }
    Ok(ExitCode::from(if signal == "SIGINT" { 130 } else { 0 }))
}

/// Says once that everything is there: the engine, and the plugins that are launched.
async fn announce(gateway: Arc<Gateway>) {
    notify::waiting(&gateway.settings.engine_socket);
    let mut link = gateway.link.subscribe();
    if link.wait_for(|link| link.connected).await.is_err() {
        return;
    }
    let Some(host) = gateway.host() else { return };
    if timeout(limits::READY_MAX, host.settled()).await.is_err() {
        warn!("some launched plugins are still not there");
    }
    let engine = link.borrow().engine.clone().unwrap_or_default();
    let listen: Vec<_> =
        gateway.settings.listen.iter().map(|socket| socket.path.display().to_string()).collect();
    notify::ready(&engine.to_string());
    crate::log::say(format_args!("ready engine={engine} nri={} listen={}", engine.nri(), listen.join(",")));
}

async fn send_updates(gateway: Arc<Gateway>) {
    let tell = |plugin: &PluginName, updates: &[ContainerUpdate], failed| {
        gateway.observers.iter().for_each(|observer| observer.unsolicited(plugin, updates, failed));
    };
    gateway.updates.send(tell).await;
}

impl Gateway {
    /// Opens the recording, if there is to be one.
    fn record(&mut self) -> Result<(), Failure> {
        let recorder = crate::record::open(self.settings.record.as_deref(), self.settings.record_secrets)?;
        let Some(recorder) = recorder else { return Ok(()) };
        if let Some(config) = &mut *self.config() {
            config.keep_answers = true;
        }
        self.observers.push(Arc::<Recorder>::clone(&recorder));
        self.recorder = Some(recorder);
        Ok(())
    }

    /// Listens at once, so that what is wrong with a socket is said at the start; plugins that connect before the engine
    /// is there wait.
    fn bind(&self) -> Result<(), Failure> {
        let listeners = self.settings.listen.iter().map(Listener::bind).collect::<Result<Vec<_>, _>>();
        let listeners = listeners.map_err(|error| Failure::unavailable(format!("failed to {error}")))?;
        if let Some(config) = &mut *self.config() {
            config.listeners = listeners;
        }
        Ok(())
    }

    /// Takes up which containers an earlier gateway has seen, and watches from now on.
    fn remember(&mut self) {
        let seen = Arc::new(Seen::open(&self.settings.state_dir));
        self.observers.push(Arc::<Seen>::clone(&seen));
        self.seen = Some(seen);
    }

    /// The containers that run and did not go through the gateway.
    pub(crate) fn unseen(&self) -> Vec<Unseen> {
        self.seen.as_ref().map(|seen| seen.unseen()).unwrap_or_default()
    }

    /// The plugins' side, once there is one.
    pub(crate) fn host(&self) -> Option<Host> {
        self.started().map(|(host, _)| host)
    }

    fn started(&self) -> Option<(Host, Instant)> {
        self.host.get().cloned()
    }

    fn config(&self) -> MutexGuard<'_, Option<Config>> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the engine waits for an answer.
    fn request_timeout(&self) -> Duration {
        self.link.borrow().request_timeout.unwrap_or(nri_wire::limits::REQUEST_TIMEOUT)
    }

    /// The engine has introduced itself.
    fn configured(&self, engine: Engine, registration_timeout: i64, request_timeout: i64) {
        self.link.send_modify(|link| {
            link.engine = Some(engine);
            link.registration_timeout = engine::told_timeout(registration_timeout);
            link.request_timeout = engine::told_timeout(request_timeout);
        });
    }

    /// The engine has told the state of the node: the host starts with it, or renews what it knows.
    fn synchronized(self: &Arc<Self>, pods: Vec<PodSandbox>, containers: Vec<Container>) {
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
            match Host::spawn(config, Bridge { gateway: Arc::clone(self) }) {
                Ok(host) => drop(self.host.set((host, Instant::now()))),
                Err(error) => tracing::error!("failed to {error}"),
            }
        }
        self.link.send_modify(|link| {
            link.connected = true;
            link.connects += 1;
            link.since = Some(SystemTime::now());
        });
    }

    fn disconnected(&self) {
        self.link.send_if_modified(|link| std::mem::take(&mut link.connected));
    }

    /// What the engine takes and does not carry out.
    fn loses(&self, changes: &[Attributed], evictions: &[Evicted]) -> Vec<Lost> {
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

    fn observe(&self, relayed: &Relayed<'_>) {
        self.observers.iter().for_each(|observer| observer.relayed(relayed));
    }

    /// Reads the settings again, and opens the recording by its name again. What is wrong leaves the old ones in force.
    fn reload(&self) {
        if let Some(recorder) = &self.recorder {
            recorder.reopen();
        }
        let new = match self.source.read() {
            Ok(new) => new,
            Err(failure) => return warn!("the settings stay as they are: {failure}"),
        };
        let restart = self.settings.needing_restart(&new);
        if !restart.is_empty() {
            warn!("needs a restart to take effect: {}", restart.join(", "));
        }
        self.validator.replace(new.validator);
        let plugins = plugin::settings(new.plugins);
        match (self.host(), &mut *self.config()) {
            (Some(host), _) => host.set_plugins(plugins),
            (None, Some(config)) => config.plugins = plugins,
            (None, None) => {}
        }
        info!("the settings are read again");
    }

    /// Waits for the answers that the engine waits for: without them containers would start unadjusted.
    async fn finish(&self) {
        let answered = async {
            while self.updates.in_flight() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        drop(timeout(limits::FINISH_MAX, answered).await);
    }
}

/// What the host asks of the engine.
struct Bridge {
    gateway: Arc<Gateway>,
}

impl Embedder for Bridge {
    fn update<'a>(
        &'a self,
        asking: Asking<'a>,
        updates: Vec<ContainerUpdate>,
    ) -> Callback<'a, Vec<ContainerUpdate>> {
        Box::pin(self.gateway.updates.ask(asking.plugin, updates, Vec::new(), !asking.in_call))
    }

    fn evict<'a>(&'a self, asking: Asking<'a>, evictions: Vec<ContainerEviction>) -> Callback<'a, ()> {
        Box::pin(async move {
            drop(self.gateway.updates.ask(asking.plugin, Vec::new(), evictions, false).await);
        })
    }

    fn asked(&self, plugin: &PluginName, given: &Given) {
        if let Some(recorder) = &self.gateway.recorder {
            recorder.asked(plugin, given);
        }
    }

    fn validate(&self, request: &ValidateContainerAdjustmentRequest) -> Result<(), Rejection> {
        self.gateway.validator.validate(request)?;
        let Some(adjust) = &request.adjust else { return Ok(()) };
        let link = self.gateway.link.borrow();
        let refusal = link.engine.as_ref().and_then(|engine| engine.refuses(adjust));
        refusal.map_or(Ok(()), |refusal| Err(Rejection::Other(refusal)))
    }

    fn admit_pod(
        &self,
        pod: &PodSandbox,
        answered: &[PluginName],
        connected: &[PluginName],
    ) -> Result<(), Rejection> {
        self.gateway.validator.admit_pod(pod, answered, connected)
    }
}

/// The signals that mean something to the gateway.
struct Signals {
    hang_up: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hang_up: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.hang_up.recv() => "SIGHUP",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
