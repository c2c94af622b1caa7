//! A runtime that does what a test tells it, over one end of a socket pair.

#![allow(dead_code, reason = "each test file uses its part")]

use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nri_plugin::{EventMask, Status};
use nri_wire::api::{
    ConfigureRequest, ConfigureResponse, Container, ContainerAdjustment, CreateContainerRequest,
    CreateContainerResponse, Empty, PodSandbox, RegisterPluginRequest, UpdateContainersRequest,
    UpdateContainersResponse,
};
use nri_wire::connection::Role;
use nri_wire::io::blocking::{CallError, Peer};
use nri_wire::restrictions::{self, RestrictionsResponse};
use nri_wire::service::{self, Rpc};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Host {
    pub(crate) peer: Peer,
    registered: Receiver<RegisterPluginRequest>,
    updates: Receiver<UpdateContainersRequest>,
}

impl Host {
    /// Serves the runtime's side of the connection. Updates for containers named `bad…` fail.
    pub(crate) fn new(stream: UnixStream) -> Self {
        let peer = Peer::new(stream, Role::Runtime);
        let (register, registered) = channel();
        let (update, updates) = channel();
        let serving = peer.clone();
        thread::spawn(move || {
            while let Ok(request) = serving.next_request() {
                match request.method() {
                    "RegisterPlugin" => {
                        let message = request.decode::<service::RegisterPlugin>().unwrap().message;
                        serving.admit();
                        request.answer::<service::RegisterPlugin>(Ok(Empty {}));
                        let _ = register.send(message);
                    }
                    "UpdateContainers" => {
                        let message = request.decode::<service::UpdateContainers>().unwrap().message;
                        let bad = message.update.iter().filter(|u| u.container_id.starts_with("bad"));
                        let failed = bad.cloned().collect();
                        request.answer::<service::UpdateContainers>(Ok(UpdateContainersResponse { failed }));
                        let _ = update.send(message);
                    }
                    restrictions::Get::METHOD => {
                        let message = request.decode::<restrictions::Get>().unwrap().message;
                        let level = format!("of {}-{}", message.plugin_idx, message.plugin_name);
                        let told = RestrictionsResponse { level, ..RestrictionsResponse::default() };
                        request.answer::<restrictions::Get>(Ok(told));
                    }
                    method => {
                        let status = Status::no_method(method);
                        request.refuse(status);
                    }
                }
            }
        });
        Self { peer, registered, updates }
    }

    pub(crate) fn registered(&self) -> RegisterPluginRequest {
        self.registered.recv_timeout(PATIENCE).unwrap()
    }

    pub(crate) fn updated(&self) -> UpdateContainersRequest {
        self.updates.recv_timeout(PATIENCE).unwrap()
    }

    /// Waits for the registration, and configures.
    pub(crate) fn configure(&self) -> ConfigureResponse {
        self.registered();
        self.call::<service::Configure>(configuration()).unwrap()
    }

    #[expect(clippy::needless_pass_by_value, reason = "most requests are made for the call")]
    pub(crate) fn call<R: Rpc>(&self, request: R::Request) -> Result<R::Response, Status> {
        call::<R>(&self.peer, &request)
    }

    pub(crate) fn create(&self) -> Result<CreateContainerResponse, Status> {
        self.call::<service::CreateContainer>(CreateContainerRequest {
            pod: Some(pod()),
            container: Some(container()),
        })
    }

    pub(crate) fn adjusted(&self) -> ContainerAdjustment {
        self.create().unwrap().adjust.unwrap()
    }
}

/// Calls, and takes everything but an answer for a failure of the test.
#[expect(clippy::panic, reason = "the failure report")]
pub(crate) fn call<R: Rpc>(peer: &Peer, request: &R::Request) -> Result<R::Response, Status> {
    match peer.call::<R>(request, Instant::now() + PATIENCE) {
        Ok(reply) => Ok(reply.message),
        Err(CallError::Status(status)) => Err(status),
        Err(error) => panic!("{}: {error}", R::METHOD),
    }
}

/// CONF-226 to 229: what a current runtime says.
pub(crate) fn configuration() -> ConfigureRequest {
    ConfigureRequest {
        config: "text".to_owned(),
        runtime_name: "scripted".to_owned(),
        runtime_version: "v1.2.3".to_owned(),
        registration_timeout: 5005,
        request_timeout: 2007,
        nri_version: "v9.8.7".to_owned(),
    }
}

pub(crate) fn pod() -> PodSandbox {
    PodSandbox {
        id: "pod0".to_owned(),
        name: "web".to_owned(),
        uid: "uid0".to_owned(),
        namespace: "default".to_owned(),
        ..PodSandbox::default()
    }
}

pub(crate) fn container() -> Container {
    Container {
        id: "ctr0".to_owned(),
        pod_sandbox_id: "pod0".to_owned(),
        name: "server".to_owned(),
        ..Container::default()
    }
}

pub(crate) fn events(answer: &ConfigureResponse) -> EventMask {
    EventMask::from_bits(answer.events)
}
