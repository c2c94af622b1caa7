//! One connection from registration to its end (`spec/wire.md` 5).

use std::fmt;
use std::num::NonZeroUsize;
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use nri_wire::api::{
    ConfigureRequest, ConfigureResponse, Empty, FailurePolicy, RegisterPluginRequest, SynchronizeRequest,
    SynchronizeResponse,
};
use nri_wire::connection::Role;
use nri_wire::event::EventMask;
use nri_wire::io::blocking::{CallError, Peer};
use nri_wire::name::PluginName;
use nri_wire::service::{self, RegisterPlugin};
use nri_wire::ttrpc::{Code, Status};
use nri_wire::version::NriVersion;

use crate::dispatch::{Call, Serve, guarded, status};
use crate::limits::SYNCHRONIZE_BYTES_MAX;
use crate::notice::Notice;
use crate::request::Request;
use crate::session::{Runtime, Session, deadline};

/// What stays the same from one connection to the next.
pub(crate) struct Settings {
    pub(crate) name: PluginName,
    pub(crate) concurrency: NonZeroUsize,
    pub(crate) failure_policy: Option<FailurePolicy>,
    /// The events to subscribe to unless the plugin's Configure says others.
    pub(crate) events: EventMask,
    pub(crate) notify: Box<dyn Fn(&Notice<'_>) + Send + Sync>,
}

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// By [`Session::stop`].
    Stopped,
    /// By the runtime, which had said Shutdown before.
    ShutDown,
    /// Nobody listens there.
    NotConnected(std::io::Error),
    /// The plugin was configured, then the connection was lost.
    Lost(String),
    /// The connection was lost right after the subscription, which had events that runtimes before NRI 0.10 refuse.
    EventsRefused(EventMask),
    /// The runtime did not get as far as to configure the plugin.
    NotConfigured(String),
    /// The runtime refused the registration.
    Refused(Status),
    /// The plugin refused its configuration.
    Configuration(String),
    /// This process cannot have another thread.
    NoThread(std::io::Error),
}

impl End {
    /// Whether another attempt may go better with the same plugin and runtime.
    pub(crate) fn another_attempt_may_help(&self) -> bool {
        match self {
            Self::NotConnected(_) | Self::Lost(_) | Self::EventsRefused(_) | Self::NotConfigured(_) => true,
            Self::Refused(status) => {
                matches!(status.code, Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded)
            }
            Self::Stopped | Self::ShutDown | Self::Configuration(_) | Self::NoThread(_) => false,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::ShutDown => f.write_str("shut down by the runtime"),
            Self::NotConnected(error) => write!(f, "no runtime listens: {error}"),
            Self::Lost(why) => write!(f, "connection lost: {why}"),
            Self::EventsRefused(events) => write!(f, "the runtime refused {events}"),
            Self::NotConfigured(why) => write!(f, "not configured: {why}"),
            Self::Refused(status) => write!(f, "registration refused: {}", status.message),
            Self::Configuration(why) => write!(f, "failed to configure the plugin: {why}"),
            Self::NoThread(error) => write!(f, "failed to start a thread: {error}"),
        }
    }
}

/// Serves a plugin over one connection, until it ends.
///
/// Requests are served on this thread and `concurrency` − 1 others. Registration runs on a thread of its own, which
/// ends with it, since Configure may come before its answer (EXT-009).
pub(crate) fn run(
    stream: UnixStream,
    settings: &Settings,
    known: EventMask,
    plugin: &dyn Serve,
    session: &Session,
) -> End {
    let peer = Peer::new(stream, Role::Plugin);
    if !session.connected(&peer, &settings.name) {
        return End::Stopped;
    }
    let connection = Connection {
        settings,
        known,
        plugin,
        session,
        peer: &peer,
        parts: Mutex::default(),
        progress: Mutex::default(),
        changed: Condvar::new(),
    };
    let end = connection.run();
    session.disconnected();
    peer.close("the connection has ended");
    if session.is_stopped() { End::Stopped } else { end }
}

struct Connection<'a> {
    settings: &'a Settings,
    /// The events that the runtime is taken to know.
    known: EventMask,
    plugin: &'a dyn Serve,
    session: &'a Session,
    peer: &'a Peer,
    parts: Mutex<Parts>,
    progress: Mutex<Progress>,
    changed: Condvar,
}

/// How far the connection has come.
#[derive(Debug, Default)]
struct Progress {
    /// The subscription as answered, once Configure has been.
    subscribed: Option<EventMask>,
    /// Whether anything came after Configure, which shows that the subscription was taken.
    served: bool,
    shut_down: bool,
    /// Why this ended, if something other than the closure was first.
    failure: Option<End>,
    /// Why the connection is closed.
    closed: Option<String>,
}

/// The parts of a Synchronize so far.
#[derive(Debug, Default)]
struct Parts {
    all: SynchronizeRequest,
    bytes: usize,
}

impl Parts {
    /// Takes another part of this encoded length; returns all of them with the last.
    fn add(&mut self, part: SynchronizeRequest, bytes: usize) -> Result<Option<SynchronizeRequest>, Status> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > SYNCHRONIZE_BYTES_MAX {
            *self = Self::default();
            let message = format!("more than {SYNCHRONIZE_BYTES_MAX} bytes of pods and containers");
            return Err(Status::new(Code::ResourceExhausted, message));
        }
        self.all.pods.extend(part.pods);
        self.all.containers.extend(part.containers);
        Ok((!part.more).then(|| std::mem::take(self).all))
    }
}

impl Connection<'_> {
    fn run(&self) -> End {
        let spawned = thread::scope(|scope| {
            let named = |name: &str| thread::Builder::new().name(name.to_owned());
            named("nri-register").spawn_scoped(scope, || self.register())?;
            for _ in 1..self.settings.concurrency.get() {
                if let Err(error) = named("nri-worker").spawn_scoped(scope, || self.serve()) {
                    self.fail(End::NotConfigured(error.to_string()));
                    return Err(error);
                }
            }
            self.serve();
            Ok(())
        });
        match spawned {
            Err(error) => End::NoThread(error),
            Ok(()) => self.end(),
        }
    }

    /// Registers, and sees to it that Configure follows in time, and goes well (F1, EXT-038).
    fn register(&self) {
        let timeout = self.session.runtime().registration_timeout;
        let deadline = deadline(timeout);
        let request = RegisterPluginRequest {
            plugin_name: self.settings.name.base().to_owned(),
            plugin_idx: self.settings.name.index().to_owned(),
            nri_version: NriVersion::CURRENT.to_string(),
        };
        match self.peer.call::<RegisterPlugin>(&request, deadline) {
            Ok(_) => {}
            Err(CallError::Status(status)) => return self.fail(End::Refused(status)),
            Err(CallError::Late(_)) => {
                let why = format!("the runtime did not answer the registration within {timeout:?}");
                return self.fail(End::NotConfigured(why));
            }
            Err(error) => return self.fail(End::NotConfigured(error.to_string())),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let is_open = |progress: &mut Progress| progress.subscribed.is_none() && progress.closed.is_none();
        let waited = self.changed.wait_timeout_while(self.progress(), left, is_open);
        let has_expired = waited.unwrap_or_else(PoisonError::into_inner).1.timed_out();
        if has_expired {
            let why = format!("the runtime did not configure the plugin within {timeout:?}");
            self.fail(End::NotConfigured(why));
        }
    }

    fn serve(&self) {
        let closed = loop {
            match self.peer.next_request() {
                Ok(request) => self.handle(request),
                Err(closed) => break closed,
            }
        };
        self.progress().closed.get_or_insert_with(|| closed.to_string());
        self.changed.notify_all();
    }

    fn handle(&self, request: nri_wire::io::blocking::Request) {
        let failed =
            |method: &str, status: &Status| (self.settings.notify)(&Notice::Failed { method, status });
        let call = Call { request, session: self.session, failed: &failed };
        match (call.request.service(), call.request.method()) {
            (service::PLUGIN, "Configure") => {
                call.answer::<service::Configure>(|request| self.configure(request));
            }
            (service::PLUGIN, "Synchronize") => {
                self.progress().served = true;
                let bytes = call.request.payload().len();
                call.answer::<service::Synchronize>(|request| self.synchronize(request, bytes));
            }
            (service::PLUGIN, "Shutdown") => {
                self.progress().shut_down = true;
                call.answer::<service::Shutdown>(|_| {
                    self.plugin.shutdown();
                    Ok(Empty {})
                });
            }
            _ => {
                self.progress().served = true;
                self.plugin.serve(call);
            }
        }
    }

    /// `spec/stub.md` 4. A later Configure on the same connection is served like the first (F6).
    fn configure(&self, request: Request<ConfigureRequest>) -> Result<ConfigureResponse, Status> {
        let runtime = self.session.configured(&request);
        let handled = guarded(|| self.plugin.configure(request)).and_then(|result| result.map_err(status));
        let events = handled.and_then(|wanted| self.subscription(wanted, &runtime));
        match events {
            Ok(events) => {
                let mut progress = self.progress();
                let first = progress.subscribed.replace(events).is_none();
                progress.failure = None;
                drop(progress);
                self.changed.notify_all();
                if first {
                    (self.settings.notify)(&Notice::Connected { runtime: &runtime, events });
                }
                let failure_policy = self.settings.failure_policy;
                Ok(ConfigureResponse { events: events.bits(), failure_policy })
            }
            Err(status) => {
                let mut progress = self.progress();
                // What is refused later leaves the plugin as it was. Now the runtime should close; where it does not,
                // `register` does, in the end.
                if progress.subscribed.is_none() {
                    progress.failure.get_or_insert(End::Configuration(status.message.clone()));
                }
                drop(progress);
                Err(status)
            }
        }
    }

    /// The events to subscribe to: what is wanted, cut to what the runtime knows (C12, F10). Never none, since that
    /// would stand for all.
    fn subscription(&self, wanted: EventMask, runtime: &Runtime) -> Result<EventMask, Status> {
        let wanted = if wanted.is_empty() { self.settings.events } else { wanted };
        let unhandled = wanted.without(self.plugin.events());
        if !unhandled.is_empty() {
            let message = format!("the plugin has no handler for {unhandled}");
            return Err(Status::new(Code::Internal, message));
        }
        let known = runtime.nri.map_or(self.known, |version| version.events().intersection(self.known));
        let events = wanted.intersection(known);
        if events.is_empty() {
            let message = format!("{runtime} knows none of the events {wanted}");
            return Err(Status::new(Code::FailedPrecondition, message));
        }
        Ok(events)
    }

    /// `spec/wire.md` 5.3: parts are collected, and handled together with the last one.
    fn synchronize(
        &self,
        request: Request<SynchronizeRequest>,
        bytes: usize,
    ) -> Result<SynchronizeResponse, Status> {
        let deadline = request.deadline();
        let part = request.into_message();
        let all = self.parts.lock().unwrap_or_else(PoisonError::into_inner).add(part, bytes)?;
        match all {
            Some(all) => self.plugin.synchronize(Request::new(all, self.session.clone(), deadline)),
            None => Ok(SynchronizeResponse { update: Vec::new(), more: true }),
        }
    }

    /// Notes why the connection is of no use, and closes it.
    fn fail(&self, end: End) {
        let why = end.to_string();
        self.progress().failure.get_or_insert(end);
        self.peer.close(&why);
        self.changed.notify_all();
    }

    /// What it came to. A refused subscription and a lost runtime look alike (`spec/wire.md` 7.3): only events that
    /// old runtimes do not know make it the former.
    fn end(&self) -> End {
        let mut progress = self.progress();
        let why = progress.closed.take().unwrap_or_default();
        let late = progress.subscribed.map(|events| events.without(EventMask::BEFORE_0_10));
        match progress.failure.take() {
            _ if progress.shut_down => End::ShutDown,
            Some(failure) => failure,
            None => match late {
                None => End::NotConfigured(why),
                Some(late) if !progress.served && !late.is_empty() => End::EventsRefused(late),
                Some(_) => End::Lost(why),
            },
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        // Each field is set in one step; a panic cannot leave it half changed.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A runtime that does not come to an end is refused, and may begin anew.
    #[test]
    fn parts_are_bounded() {
        let part = |more| SynchronizeRequest {
            pods: vec![nri_wire::api::PodSandbox::default()],
            more,
            ..Default::default()
        };
        let mut parts = Parts::default();
        assert_eq!(parts.add(part(true), SYNCHRONIZE_BYTES_MAX), Ok(None));
        assert_eq!(parts.add(part(false), 1).unwrap_err().code, Code::ResourceExhausted);
        assert_eq!(parts.add(part(true), 1), Ok(None));
        assert_eq!(parts.add(part(false), 1).unwrap().unwrap().pods.len(), 2);
        assert_eq!(parts.add(part(false), 1).unwrap().unwrap().pods.len(), 1);
    }
}
