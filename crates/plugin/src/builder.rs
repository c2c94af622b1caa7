//! Starting a plugin: what it is called, where it connects, what happens when the connection is lost.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nri_wire::api::FailurePolicy;
use nri_wire::event::EventMask;
use nri_wire::ttrpc::Status;

use crate::connection::{self, End, Settings};
use crate::dispatch::Serve;
use crate::identity::{self, Identity, IdentityError};
use crate::inherited::{self, InheritedError};
use crate::limits::SOCKET;
use crate::notice::Notice;
use crate::plugin::Plugin;
use crate::reconnect::{Reconnect, Waits};
use crate::session::Session;

/// Sets a plugin up and runs it. [`run`](crate::run) does it with nothing but defaults.
///
/// ```no_run
/// # use nri_plugin::{Plugin, RemoveContainer, Result};
/// # struct Quiet;
/// # #[nri_plugin::plugin]
/// # impl Plugin for Quiet { fn remove_container(&self, _: &RemoveContainer) -> Result { Ok(()) } }
/// use nri_plugin::Builder;
///
/// let builder = Builder::new().name("quiet").index("90").socket("/run/nri/nri.sock");
/// let session = builder.session();
/// std::thread::spawn(move || {
///     // … when it is time to end:
///     session.stop();
/// });
/// builder.run(Quiet)?;
/// # Ok::<(), nri_plugin::RunError>(())
/// ```
#[must_use]
pub struct Builder {
    name: Option<String>,
    index: Option<String>,
    source: Option<Source>,
    concurrency: NonZeroUsize,
    reconnect: Reconnect,
    failure_policy: Option<FailurePolicy>,
    events: EventMask,
    notify: Box<dyn Fn(&Notice<'_>) + Send + Sync>,
    session: Session,
}

enum Source {
    Socket(PathBuf),
    Stream(UnixStream),
}

/// Why a plugin does not run (any more).
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// It has no valid name and index.
    Identity(IdentityError),
    /// It handles no event.
    NoHandlers,
    /// It wants events that it does not handle.
    Unhandled(EventMask),
    /// The descriptor that the runtime handed over is of no use.
    Inherited(InheritedError),
    /// The runtime does not listen there.
    Connect(PathBuf, io::Error),
    /// The connection ended before the plugin was configured.
    NotConfigured(String),
    /// The runtime refused the registration.
    Refused(Status),
    /// The runtime ended the connection on seeing these events, which runtimes before NRI 0.10 do not know.
    EventsRefused(EventMask),
    /// The plugin refused its configuration.
    Configuration(String),
    /// The process cannot have another thread.
    Thread(io::Error),
}

impl Builder {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            name: None,
            index: None,
            source: None,
            concurrency: NonZeroUsize::MIN,
            reconnect: Reconnect::default(),
            failure_policy: None,
            events: EventMask::NONE,
            notify: Box::new(|_| ()),
            session: Session::default(),
        }
    }

    /// The base name. By default `NRI_PLUGIN_NAME`, else from the program's name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The index, two digits: plugins are called in its order. By default `NRI_PLUGIN_IDX`, else from the
    /// program's name `NN-name`.
    pub fn index(mut self, index: impl Into<String>) -> Self {
        self.index = Some(index.into());
        self
    }

    /// Connects to this socket. By default the descriptor in `NRI_PLUGIN_SOCKET`, else `/var/run/nri/nri.sock`.
    pub fn socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.source = Some(Source::Socket(path.into()));
        self
    }

    /// Uses a connection that exists already. There is no other one after it.
    pub fn stream(mut self, stream: UnixStream) -> Self {
        self.source = Some(Source::Stream(stream));
        self
    }

    /// How many handlers may run at a time, each in its own thread; 1 by default. 0 is taken as 1.
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.concurrency = NonZeroUsize::new(handlers).unwrap_or(NonZeroUsize::MIN);
        self
    }

    /// Whether and how fast to connect again.
    pub fn reconnect(mut self, policy: Reconnect) -> Self {
        self.reconnect = policy;
        self
    }

    /// What the runtime should do with requests that the plugin does not answer (NRI 0.12.4). The runtime's
    /// administrator may say otherwise.
    pub fn failure_policy(mut self, policy: FailurePolicy) -> Self {
        self.failure_policy = Some(policy);
        self
    }

    /// How long registration and the wait for Configure may take; 5 s by default, later what the runtime says.
    pub fn registration_timeout(self, timeout: Duration) -> Self {
        self.session.set_registration_timeout(timeout);
        self
    }

    /// The events to subscribe to, of those that are handled; all of them by default.
    pub fn events(mut self, events: EventMask) -> Self {
        self.events = events;
        self
    }

    /// Is told what happens on the connection; for logs.
    pub fn on_notice(mut self, notify: impl Fn(&Notice<'_>) + Send + Sync + 'static) -> Self {
        self.notify = Box::new(notify);
        self
    }

    /// The handle on the connections to come: for the plugin's own threads, and to stop.
    #[must_use]
    pub fn session(&self) -> Session {
        self.session.clone()
    }

    /// Runs the plugin on this thread until [`Session::stop`], until the runtime says Shutdown and closes, or until
    /// the connection ends and there is no other one: these are orderly ends (quirk F9).
    ///
    /// With reconnects, which is the default, a runtime that is not there (yet) is waited for.
    ///
    /// # Errors
    /// A [`RunError`]: what another attempt would not change, or without reconnects what happened.
    #[expect(clippy::needless_pass_by_value, reason = "the plugin ends with its run")]
    pub fn run<P: Plugin>(self, plugin: P) -> Result<(), RunError> {
        self.prepare(&plugin)?.run(&plugin)
    }

    /// Runs the plugin on a thread of its own. Returns once the runtime has configured it; Synchronize and
    /// events follow.
    ///
    /// # Errors
    /// A [`RunError`] if the first attempt fails. Another `start` begins afresh (F2, EXT-039).
    pub fn start<P: Plugin>(self, plugin: P) -> Result<Running, RunError> {
        let (report, configured) = mpsc::channel();
        let mut prepared = self.prepare(&plugin)?;
        let session = prepared.session.clone();
        let notify = std::mem::replace(&mut prepared.settings.notify, Box::new(|_| ()));
        prepared.settings.notify = Box::new(move |notice| {
            if let Notice::Connected { .. } = notice {
                // The receiver is gone after the first.
                let _ = report.send(());
            }
            notify(notice);
        });
        prepared.patient = false;
        let thread = thread::Builder::new()
            .name("nri-plugin".to_owned())
            .spawn(move || prepared.run(&plugin))
            .map_err(RunError::Thread)?;
        let running = Running { session, thread };
        match configured.recv() {
            Ok(()) => Ok(running),
            // The run ended, and with it the sender.
            Err(_) => match running.wait() {
                Ok(()) => Err(RunError::NotConfigured("stopped".to_owned())),
                Err(error) => Err(error),
            },
        }
    }

    fn prepare<P: Plugin>(self, plugin: &P) -> Result<Run, RunError> {
        let handled = Serve::events(plugin);
        if handled.is_empty() {
            return Err(RunError::NoHandlers);
        }
        let unhandled = self.events.without(handled);
        if !unhandled.is_empty() {
            return Err(RunError::Unhandled(unhandled));
        }
        let variable = |name: &str| std::env::var(name).ok();
        let (name, index) = (variable("NRI_PLUGIN_NAME"), variable("NRI_PLUGIN_IDX"));
        let program = std::env::args_os().next().unwrap_or_default();
        let name = identity::resolve(
            Identity { name: self.name.as_deref(), index: self.index.as_deref() },
            Identity { name: name.as_deref(), index: index.as_deref() },
            &program.to_string_lossy(),
        )
        .map_err(RunError::Identity)?;
        let source = match (self.source, variable(inherited::VARIABLE)) {
            (Some(source), _) => source,
            (None, Some(value)) => Source::Stream(inherited::take(&value).map_err(RunError::Inherited)?),
            (None, None) => Source::Socket(SOCKET.into()),
        };
        let settings = Settings {
            name,
            concurrency: self.concurrency,
            failure_policy: self.failure_policy,
            events: if self.events.is_empty() { handled } else { self.events },
            notify: self.notify,
        };
        Ok(Run { settings, source, reconnect: self.reconnect, patient: true, session: self.session })
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

/// A plugin that runs on a thread of its own.
#[derive(Debug)]
#[must_use]
pub struct Running {
    session: Session,
    thread: JoinHandle<Result<(), RunError>>,
}

impl Running {
    /// The handle on the connection.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Waits for the end; see [`Builder::run`].
    ///
    /// # Errors
    /// As [`Builder::run`].
    pub fn wait(self) -> Result<(), RunError> {
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// A plugin that has all it needs to connect.
struct Run {
    settings: Settings,
    source: Source,
    reconnect: Reconnect,
    /// Whether a failure of the first attempt is followed by another one.
    patient: bool,
    session: Session,
}

impl Run {
    fn run(self, plugin: &dyn Serve) -> Result<(), RunError> {
        let Self { settings, source, reconnect, mut patient, session } = self;
        let path = match source {
            Source::Stream(stream) => {
                return last(connection::run(stream, &settings, EventMask::ALL, plugin, &session), None);
            }
            Source::Socket(path) => path,
        };
        let mut waits = Waits::new(reconnect);
        let mut known = EventMask::ALL;
        loop {
            let begun = Instant::now();
            let end = match UnixStream::connect(&path) {
                Ok(stream) => connection::run(stream, &settings, known, plugin, &session),
                Err(error) => End::NotConnected(error),
            };
            known = EventMask::ALL;
            patient |= matches!(end, End::Lost(_) | End::EventsRefused(_));
            let may_help = patient && end.another_attempt_may_help();
            let wait = if may_help { waits.after(begun.elapsed()) } else { None };
            let Some(retry_in) = wait else { return last(end, Some(path)) };
            if let End::EventsRefused(events) = end {
                // Once more without them, at once.
                (settings.notify)(&Notice::EventsCut { events });
                known = EventMask::BEFORE_0_10;
            } else {
                (settings.notify)(&Notice::Waiting { why: &end.to_string(), retry_in });
                session.wait(retry_in);
            }
            if session.is_stopped() {
                return Ok(());
            }
        }
    }
}

/// What the run came to, when its last connection ended like this.
fn last(end: End, path: Option<PathBuf>) -> Result<(), RunError> {
    match end {
        End::Stopped | End::ShutDown | End::Lost(_) => Ok(()),
        End::NotConnected(error) => Err(RunError::Connect(path.unwrap_or_default(), error)),
        End::EventsRefused(events) => Err(RunError::EventsRefused(events)),
        End::NotConfigured(why) => Err(RunError::NotConfigured(why)),
        End::Refused(status) => Err(RunError::Refused(status)),
        End::Configuration(why) => Err(RunError::Configuration(why)),
        End::NoThread(error) => Err(RunError::Thread(error)),
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(error) => error.fmt(f),
            Self::NoHandlers => f.write_str("the plugin handles no event: implement at least one"),
            Self::Unhandled(events) => write!(f, "the plugin has no handler for {events}"),
            Self::Inherited(error) => error.fmt(f),
            Self::Connect(path, error) => {
                write!(f, "failed to connect to the runtime at {}: {error}", path.display())
            }
            Self::NotConfigured(why) => {
                write!(f, "the connection ended before the plugin was configured: {why}")
            }
            Self::Refused(status) => write!(f, "the runtime refused the registration: {}", status.message),
            Self::EventsRefused(events) => write!(
                f,
                "the runtime closed the connection, probably since it does not know {events}; leave them out with Builder::events"
            ),
            Self::Configuration(why) => write!(f, "failed to configure the plugin: {why}"),
            Self::Thread(error) => write!(f, "failed to start a thread: {error}"),
        }
    }
}

impl std::error::Error for RunError {}
