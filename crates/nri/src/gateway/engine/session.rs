//! One connection to the engine: we register, it configures us, tells the state of the node, and then its requests.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::Arc;

use nri_runtime::limits::LOST_PATHS_MAX;
use nri_wire::api::{
    ConfigureResponse, Container, Empty, PodSandbox, RegisterPluginRequest, SynchronizeResponse,
};
use nri_wire::connection::Closed;
use nri_wire::io::tokio::{CallError, Peer, Request, Requests, Role};
use nri_wire::scan::{Unknown, UnknownField};
use nri_wire::service::{self, Rpc as _};
use nri_wire::ttrpc::{Code, Status};
use nri_wire::version::NriVersion;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::super::Gateway;
use super::super::limits::{REGISTRATION_TIMEOUT, SYNCHRONIZE_MAX};
use super::{Engine, relay};

/// How a connection to the engine ended.
#[derive(Debug)]
pub(super) struct End {
    pub(super) stage: Stage,
    /// What happened, with what to do about it.
    pub(super) why: String,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not even registered.
    Unknown,
    /// It has our subscription, and has told nothing yet.
    Configured,
    /// It sends its requests.
    Synchronized,
}

struct Session<'a> {
    gateway: &'a Arc<Gateway>,
    peer: Peer,
    stage: Stage,
    /// How many subscriptions it has refused before.
    attempt: u32,
    /// The parts of a Synchronize that has not ended.
    pods: Vec<PodSandbox>,
    containers: Vec<Container>,
    size: usize,
    /// Where it had fields that are not known here.
    unknown: BTreeSet<String>,
    /// Requests under way. They end with the connection: nobody waits for them any more.
    tasks: JoinSet<()>,
}

/// Connects, and serves the engine until the connection ends.
pub(super) async fn run(gateway: &Arc<Gateway>, attempt: u32) -> End {
    let path = &gateway.settings.engine_socket;
    let stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error) => return End { stage: Stage::Unknown, why: unreachable(path, &error) },
    };
    let trace = crate::trace::from_environment().map(|tracer| tracer.0);
    let (peer, requests) = Peer::start_with(stream, Role::Plugin, trace);
    let session = Session {
        gateway,
        peer: peer.clone(),
        stage: Stage::Unknown,
        attempt,
        pods: Vec::new(),
        containers: Vec::new(),
        size: 0,
        unknown: BTreeSet::new(),
        tasks: JoinSet::new(),
    };
    let end = session.serve(requests).await;
    gateway.updates.disconnected();
    peer.close("the gateway is done with it");
    end
}

impl Session<'_> {
    async fn serve(mut self, mut requests: Requests) -> End {
        let peer = self.peer.clone();
        let name = &self.gateway.settings.name;
        let request = RegisterPluginRequest {
            plugin_name: name.base().to_owned(),
            plugin_idx: name.index().to_owned(),
            nri_version: NriVersion::CURRENT.to_string(),
        };
        let due = Instant::now() + REGISTRATION_TIMEOUT;
        // The engine may configure us before we have its answer to this (EXT-009).
        let register = peer.call::<service::RegisterPlugin>(&request, due);
        tokio::pin!(register);
        let mut registered = false;
        loop {
            tokio::select! {
                result = &mut register, if !registered => match result {
                    Ok(_) => registered = true,
                    Err(error) => return self.end(refused(&error)),
                },
                request = requests.next() => match request {
                    Some(request) => self.take(request),
                    None => {
                        let closed = peer.closed().await;
                        return self.end(if registered { self.lost(&closed) } else { speechless(&closed) });
                    }
                },
                () = sleep_until(due), if self.stage != Stage::Synchronized => {
                    return self.end("it does not configure and synchronize us in time".to_owned());
                }
                Some(_) = self.tasks.join_next(), if !self.tasks.is_empty() => {}
            }
        }
    }

    fn end(&self, why: String) -> End {
        End { stage: self.stage, why }
    }

    fn lost(&self, closed: &Closed) -> String {
        match self.stage {
            Stage::Unknown => format!("it ended the connection before it configured us: {closed}"),
            Stage::Configured => format!("it ended the connection after it got our subscription: {closed}"),
            Stage::Synchronized => closed.to_string(),
        }
    }

    fn take(&mut self, request: Request) {
        if request.service() != service::PLUGIN {
            let status = Status::no_service(request.service());
            return request.refuse(status);
        }
        match request.method() {
            service::Configure::METHOD => self.configure(request),
            service::Synchronize::METHOD => self.synchronize(request),
            service::Shutdown::METHOD => {
                info!("the engine shuts down");
                request.answer::<service::Shutdown>(Ok(Empty {}));
            }
            _ => relay::relay(self.gateway, request, &mut self.tasks),
        }
    }

    fn configure(&mut self, request: Request) {
        let asked = match request.decode::<service::Configure>() {
            Ok(asked) => asked.message,
            Err(status) => return request.refuse(status),
        };
        let engine = Engine::new(&asked.runtime_name, &asked.runtime_version, &asked.nri_version);
        let events = engine.events(self.attempt);
        info!(%engine, nri = %engine.nri(), %events, "configured by the engine");
        self.gateway.configured(engine, asked.registration_timeout, asked.request_timeout);
        if self.stage == Stage::Unknown {
            self.stage = Stage::Configured;
        }
        let answer = ConfigureResponse { events: events.bits(), ..ConfigureResponse::default() };
        request.answer::<service::Configure>(Ok(answer));
    }

    /// Answered at once: what plugins make of the state, they make of it behind the gateway.
    fn synchronize(&mut self, request: Request) {
        let part = match request.decode::<service::Synchronize>() {
            Ok(part) => part,
            Err(status) => return request.refuse(status),
        };
        self.note_unknown(&part.unknown);
        let part = part.message;
        self.size = self.size.saturating_add(request.payload().len());
        if self.size > SYNCHRONIZE_MAX {
            return request.refuse(Status::new(Code::ResourceExhausted, "the state of the node is too long"));
        }
        self.pods.extend(part.pods);
        self.containers.extend(part.containers);
        let answer = SynchronizeResponse { more: part.more, ..SynchronizeResponse::default() };
        request.answer::<service::Synchronize>(Ok(answer));
        if !part.more {
            self.size = 0;
            self.stage = Stage::Synchronized;
            let (pods, containers) = (std::mem::take(&mut self.pods), std::mem::take(&mut self.containers));
            self.gateway.synchronized(pods, containers);
            let nri = self.gateway.link.borrow().engine.as_ref().and_then(|engine| engine.nri);
            self.gateway.updates.connected(self.peer.clone(), nri);
        }
    }

    /// What stands in lists cannot be passed on, as the whole state of a node does: each place is named once.
    fn note_unknown(&mut self, unknown: &Unknown) {
        for place in unknown.fields().iter().map(UnknownField::place) {
            if self.unknown.len() < LOST_PATHS_MAX && !self.unknown.contains(&place) {
                warn!(
                    field = place,
                    "the engine tells something about the node that is not known here, and plugins that join do not get it"
                );
                self.unknown.insert(place);
            }
        }
    }
}

/// Why the engine's socket cannot be reached, and what to look at.
fn unreachable(path: &Path, error: &io::Error) -> String {
    let hint = match (error.kind(), std::fs::metadata(path)) {
        (_, Ok(data)) if !data.file_type().is_socket() => return "it is not a socket".to_owned(),
        (io::ErrorKind::NotFound, _) => "; is the engine running, and NRI enabled with this socket_path?",
        (io::ErrorKind::ConnectionRefused, _) => "; the process that made the socket is gone",
        (io::ErrorKind::PermissionDenied, _) => "; the gateway must run as the owner of the socket, root",
        _ => "",
    };
    format!("{error}{hint}")
}

fn refused<R>(error: &CallError<R>) -> String {
    match error {
        CallError::Status(status) => format!("it refuses to register us: {status}"),
        CallError::Late(_) => "it does not answer RegisterPlugin; is it the engine's NRI socket?".to_owned(),
        CallError::Closed(closed) => speechless(closed),
        error => format!("RegisterPlugin: {error}"),
    }
}

/// It ended the connection without a word that we understand.
fn speechless(closed: &Closed) -> String {
    format!("it does not speak NRI: {closed}; is it the engine's NRI socket?")
}
