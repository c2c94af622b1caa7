//! `nri gateway`: to the engine one plugin, to the plugins the engine (`design.md` 9.2).
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`engine`] | the connection to the engine, and the way of its requests |
//! | [`link`] | what is known of the engine, and what that does to the plugins' side |
//! | [`bridge`] | what the plugins' side asks of the engine |
//! | [`observe`] | who watches |
//! | [`metrics`] | what is counted, as one who watches |
//! | `record` | the recording, as one who watches |
//! | [`seen`] | which containers went through it, as one who watches |
//! | [`view`] | what can be seen from outside: control socket, metrics |
//! | [`watch`] | whether policies have changed |
//! | [`signals`], `reload` | what an operator asks of a running gateway |
//! | [`notify`] | what the service manager is told |
//! | [`limits`] | every limit |
//!
//! The plugins' side is a whole [`Host`]. It starts when the engine has introduced itself and told the state of the
//! node, and stays when the engine goes away.

mod bridge;
mod engine;
mod limits;
mod link;
mod metrics;
mod notify;
mod observe;
mod record;
mod reload;
mod seen;
mod signals;
mod view;
mod watch;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use nri_runtime::host::{Config, Host, Listener};
use nri_wire::api::{ContainerEviction, ContainerUpdate};
use nri_wire::event::Event;
use nri_wire::name::PluginName;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use self::engine::Updates;
use self::link::Link;
use self::observe::{Log, Observer, Relayed};
use self::seen::Seen;
use self::signals::{Signal, Signals};
use self::view::View;
use crate::audit::{Audit, Point};
use crate::control::Unseen;
use crate::failure::Failure;
use crate::policy::lock::Lock;
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
struct Gateway {
    source: Source,
    /// What it started with.
    settings: Settings,
    /// The plugins' side, and when it started.
    host: OnceLock<(Host, Instant)>,
    /// What the host will be made of, until it is.
    config: Mutex<Option<Config>>,
    link: tokio::sync::watch::Sender<Link>,
    updates: Updates,
    validator: Validator,
    /// What plugins may change.
    lock: Lock,
    observers: Vec<Arc<dyn Observer>>,
    /// One of the observers.
    seen: Option<Arc<Seen>>,
    /// One of the observers, and where it is asked.
    metrics: Option<(metrics::Address, Arc<metrics::Metrics>)>,
    recorder: Option<Arc<Recorder>>,
    audit: Audit,
}

/// Runs the command.
pub(crate) fn main(args: &Args) -> ExitCode {
    crate::log::serve();
    let result = Gateway::new(args).and_then(|gateway| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::unavailable(format!("cannot start: {error}")))?;
        runtime.block_on(run(gateway))
    });
    match result {
        Ok(signal) => ExitCode::from(signal.exit_code()),
        Err(failure) => failure.end(),
    }
}

/// Runs until a signal ends it. Gives the signal.
async fn run(mut gateway: Gateway) -> Result<Signal, Failure> {
    let mut signals = Signals::new().map_err(|error| Failure::unavailable(format!("signals: {error}")))?;
    gateway.record()?;
    gateway.bind()?;
    gateway.remember();
    let view = View::open(&gateway).await?;
    let gateway = Arc::new(gateway);
    let mut view = view.serve(&gateway);
    let engine = tokio::spawn(engine::attend(Arc::clone(&gateway)));
    let sender = tokio::spawn(send_updates(Arc::clone(&gateway)));
    let ready = tokio::spawn(announce(Arc::clone(&gateway)));
    let mut changes = watch::Watch::of(&gateway.settings.policy)?;
    let signal = loop {
        let signal = tokio::select! {
            signal = signals.next() => signal,
            Some(()) = changes.next() => {
                gateway.take_policy();
                continue;
            }
            why = gateway.failed() => return Err(Failure::unavailable(why)),
        };
        match signal {
            Signal::HangUp => {
                if let Some(settings) = gateway.reload() {
                    match watch::Watch::of(&settings.policy) {
                        Ok(watch) => changes = watch,
                        Err(failure) => warn!("changes of the policies are noticed as before: {failure}"),
                    }
                }
            }
            Signal::Terminate | Signal::Interrupt => break signal,
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
    gateway.audit.close();
    if let Some(recorder) = &gateway.recorder {
        recorder.close();
    }
    if let Some(seen) = &gateway.seen {
        seen.close();
    }
    Ok(signal)
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

/// Sends what plugins ask for on their own account, and tells those who watch.
async fn send_updates(gateway: Arc<Gateway>) {
    let tell = |plugin: &PluginName, updates: &[ContainerUpdate], failed| {
        gateway.observers.iter().for_each(|observer| observer.unsolicited(plugin, updates, failed));
    };
    gateway.updates.send(tell).await;
}

impl Gateway {
    /// # Errors
    /// Everything that can be wrong before anything is touched.
    fn new(args: &Args) -> Result<Self, Failure> {
        let settings = args.source.read()?;
        settings.check()?;
        let lock = Lock::new(settings.in_force()?);
        let config = Config {
            plugin_dir: settings.plugin_dir.clone(),
            plugin_config_dir: settings.plugin_config_dir.clone(),
            plugins: plugin::settings(settings.plugins.clone()),
            judge: lock.now().judge().clone(),
            trace: crate::trace::from_environment(),
            ..Config::default()
        };
        let metrics = view::metrics(settings.metrics.as_deref())?;
        let mut observers: Vec<Arc<dyn Observer>> = vec![Arc::new(Log)];
        if let Some((_, metrics)) = &metrics {
            observers.push(Arc::<metrics::Metrics>::clone(metrics));
        }
        Ok(Self {
            source: args.source.clone(),
            validator: Validator::new(settings.validator.clone()),
            lock,
            settings,
            host: OnceLock::new(),
            config: Mutex::new(Some(config)),
            link: tokio::sync::watch::Sender::default(),
            updates: Updates::default(),
            observers,
            seen: None,
            metrics,
            recorder: None,
            audit: Audit::open(None, Point::Gateway)?,
        })
    }

    /// Opens audit log and recording, if there are to be any.
    fn record(&mut self) -> Result<(), Failure> {
        if self.settings.audit.is_some() {
            self.audit = Audit::open(self.settings.audit.as_deref(), Point::Gateway)?;
            self.audit.loaded(&self.lock.now(), &self.engine());
        }
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
    fn unseen(&self) -> Vec<Unseen> {
        self.seen.as_ref().map(|seen| seen.unseen()).unwrap_or_default()
    }

    /// The plugins' side, once there is one.
    fn host(&self) -> Option<Host> {
        self.started().map(|(host, _)| host)
    }

    /// The same, and when it started.
    fn started(&self) -> Option<(Host, Instant)> {
        self.host.get().cloned()
    }

    fn config(&self) -> MutexGuard<'_, Option<Config>> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine, as audit lines call it.
    fn engine(&self) -> String {
        self.link.borrow().engine.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    fn observe(&self, relayed: &Relayed<'_>) {
        self.observers.iter().for_each(|observer| observer.relayed(relayed));
    }

    /// Puts what plugins ask for on their own account into an answer to the engine, as far as that can carry it, and tells
    /// those who watch. What the engine then makes of it, it says to nobody.
    fn fold(
        &self,
        event: Event,
        id: &str,
        updates: &mut Vec<ContainerUpdate>,
        evictions: &mut Vec<ContainerEviction>,
        length: usize,
    ) {
        for (plugin, place) in self.updates.fold(event, id, updates, evictions, length) {
            let folded = updates.get(place).unwrap_or_default();
            self.observers.iter().for_each(|observer| observer.unsolicited(&plugin, folded, 0));
        }
    }

    /// Waits for the answers that the engine waits for: without them containers would start unadjusted.
    async fn finish(&self) {
        let answered = async {
            while self.updates.in_flight() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let patience = (self.request_timeout() + limits::FINISH_MORE).min(limits::FINISH_MAX);
        drop(timeout(patience, answered).await);
    }
}
