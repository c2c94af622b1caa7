//! An engine that does what a test says: it listens as containerd does, takes the registration of whoever connects (the
//! gateway, a plugin), and makes the calls of an engine one by one. No container runs. It lives on the test's own runtime: a test that blocks stops it.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use nri_tests::fake_engine::{FakeEngine, pod, container};
//! let engine = FakeEngine::bind("/tmp/engine.sock".as_ref())?;
//! // start `nri gateway --engine-socket /tmp/engine.sock …` here
//! let client = engine.joined(vec![pod("p1")], vec![]).await;
//! let answer = client.create(&pod("p1"), &container("c1", "p1")).await.unwrap();
//! assert_eq!(answer.adjust, None);
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nri_wire::api::{
    ConfigureRequest, ConfigureResponse, Container, ContainerUpdate, CreateContainerRequest,
    CreateContainerResponse, Empty, LinuxResources, PodSandbox, RegisterPluginRequest, StateChangeEvent,
    StopContainerRequest, StopContainerResponse, UpdateContainerRequest, UpdateContainerResponse,
    UpdateContainersRequest, UpdateContainersResponse,
};
use nri_wire::event::Event;
use nri_wire::io::tokio::{CallError, Peer, Requests, Role};
use nri_wire::service::{self, Notice as _, Rpc};
use nri_wire::synchronize::Parts;
use nri_wire::ttrpc::{Code, Status};
use nri_wire::with_notice;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout};

use crate::wait::PATIENCE;

/// A socket to which engine plugins connect.
#[derive(Debug)]
pub struct FakeEngine {
    listener: UnixListener,
}

/// An engine plugin that has registered. The connection ends when this goes.
#[derive(Debug)]
pub struct Client {
    /// What it registered as.
    pub registered: RegisterPluginRequest,
    /// The engine's name, version and NRI version, as Configure tells them.
    pub configure: ConfigureRequest,
    /// Notices go as `StateChange`, as engines before NRI 0.12 send them.
    pub old_notices: bool,
    /// How long each call may take; a longer answer is a failure with code `DeadlineExceeded`.
    pub timeout: Duration,
    peer: Peer,
    asked: UnboundedReceiver<UpdateContainersRequest>,
    failing: Arc<Mutex<BTreeSet<String>>>,
}

impl FakeEngine {
    /// Listens. The file must not be there yet.
    ///
    /// # Errors
    /// The system's.
    pub fn bind(path: &Path) -> std::io::Result<Self> {
        Ok(Self { listener: UnixListener::bind(path)? })
    }

    /// Waits for a connection and for its registration, and lets it in.
    ///
    /// # Panics
    /// When nobody registers in time.
    pub async fn accept(&self) -> Client {
        let (peer, mut requests) = Peer::start(self.connected().await, Role::Runtime);
        let request = register(&mut requests).await;
        let registered = request.decode::<service::RegisterPlugin>();
        let registered = registered.unwrap_or_else(|status| panic!("the registration is invalid: {status}"));
        peer.admit();
        request.answer::<service::RegisterPlugin>(Ok(Empty {}));
        let (sender, asked) = unbounded_channel();
        let failing = Arc::new(Mutex::new(BTreeSet::new()));
        tokio::spawn(serve(requests, sender, Arc::clone(&failing)));
        Client {
            registered: registered.message,
            configure: ConfigureRequest {
                runtime_name: "containerd".to_owned(),
                runtime_version: "v2.3.4".to_owned(),
                nri_version: "v0.12.0".to_owned(),
                registration_timeout: 5000,
                request_timeout: 2000,
                ..ConfigureRequest::default()
            },
            old_notices: false,
            timeout: PATIENCE,
            peer,
            asked,
            failing,
        }
    }

    /// Waits for a connection, lets it in, and tells it all that is there.
    ///
    /// # Panics
    /// When nobody registers in time, or it refuses.
    pub async fn joined(&self, pods: Vec<PodSandbox>, containers: Vec<Container>) -> Client {
        let client = self.accept().await;
        client.configure().await;
        client.synchronize(pods, containers).await;
        client
    }

    /// Waits for a connection and refuses its registration.
    ///
    /// # Panics
    /// When nobody registers in time.
    pub async fn refuse(&self, status: Status) {
        let (peer, mut requests) = Peer::start(self.connected().await, Role::Runtime);
        register(&mut requests).await.refuse(status);
        // The plugin reads the refusal, and closes.
        drop(timeout(PATIENCE, peer.closed()).await);
    }

    /// Waits for a connection and leaves all else to the test: garbage, silence, a sudden end.
    ///
    /// # Panics
    /// When nobody connects in time.
    pub async fn connected(&self) -> UnixStream {
        match timeout(PATIENCE, self.listener.accept()).await {
            Ok(Ok((stream, _))) => stream,
            other => panic!("nobody connects: {other:?}"),
        }
    }
}

impl Client {
    /// Says who the engine is, with what is in `configure`. The events that are wanted are in the answer.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn configure(&self) -> ConfigureResponse {
        let answer = self.call::<service::Configure>(&self.configure).await;
        answer.unwrap_or_else(|status| panic!("Configure: {status}"))
    }

    /// Tells everything that is there, in as many parts as it takes. Gives the updates that are asked for.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn synchronize(
        &self,
        pods: Vec<PodSandbox>,
        containers: Vec<Container>,
    ) -> Vec<ContainerUpdate> {
        let parts = Parts::new(pods, containers).unwrap_or_else(|error| panic!("{error}"));
        let mut updates = Vec::new();
        for part in parts {
            let answer = self.call::<service::Synchronize>(&part).await;
            updates = answer.unwrap_or_else(|status| panic!("Synchronize: {status}")).update;
        }
        updates
    }

    /// A container is about to be created.
    ///
    /// # Errors
    /// The refusal.
    pub async fn create(
        &self,
        pod: &PodSandbox,
        container: &Container,
    ) -> Result<CreateContainerResponse, Status> {
        let request = CreateContainerRequest { pod: Some(pod.clone()), container: Some(container.clone()) };
        self.call::<service::CreateContainer>(&request).await
    }

    /// A container's resources are about to change.
    ///
    /// # Errors
    /// The refusal.
    pub async fn update(
        &self,
        pod: &PodSandbox,
        container: &Container,
        resources: LinuxResources,
    ) -> Result<UpdateContainerResponse, Status> {
        let request = UpdateContainerRequest {
            pod: Some(pod.clone()),
            container: Some(container.clone()),
            linux_resources: Some(resources),
        };
        self.call::<service::UpdateContainer>(&request).await
    }

    /// A container has stopped.
    ///
    /// # Errors
    /// The refusal.
    pub async fn stop(
        &self,
        pod: &PodSandbox,
        container: &Container,
    ) -> Result<StopContainerResponse, Status> {
        let request = StopContainerRequest { pod: Some(pod.clone()), container: Some(container.clone()) };
        self.call::<service::StopContainer>(&request).await
    }

    /// One of the nine events that are only told.
    ///
    /// # Errors
    /// The refusal.
    ///
    /// # Panics
    /// For an event that is no such one.
    pub async fn notice(
        &self,
        event: Event,
        pod: &PodSandbox,
        container: Option<&Container>,
    ) -> Result<(), Status> {
        let (pod, container) = (Some(pod.clone()), container.cloned());
        if self.old_notices {
            let notice = StateChangeEvent { event: event.into(), pod, container };
            return self.call::<service::StateChange>(&notice).await.map(drop);
        }
        with_notice!(
            event,
            Told => self.call::<Told>(&Told::request(pod, container)).await.map(drop),
            panic!("{event:?} is not an event that is told")
        )
    }

    /// Any call.
    ///
    /// # Errors
    /// The refusal, or what became of the call in the words of a status.
    pub async fn call<R: Rpc>(&self, request: &R::Request) -> Result<R::Response, Status> {
        self.call_with::<R>(request, &[]).await
    }

    /// The same, with bytes behind the encoded request: fields of a protocol to come.
    ///
    /// # Errors
    /// The refusal.
    pub async fn call_with<R: Rpc>(
        &self,
        request: &R::Request,
        appendix: &[u8],
    ) -> Result<R::Response, Status> {
        match self.peer.call_with::<R>(request, appendix, Instant::now() + self.timeout).await {
            Ok(reply) => Ok(reply.message),
            Err(CallError::Status(status)) => Err(status),
            Err(error @ CallError::Late(_)) => Err(Status::new(Code::DeadlineExceeded, error.to_string())),
            Err(error) => Err(Status::new(Code::Unavailable, error.to_string())),
        }
    }

    /// Waits for the next UpdateContainers, which has been answered.
    ///
    /// # Panics
    /// When none comes in time.
    pub async fn asked(&mut self) -> UpdateContainersRequest {
        match timeout(PATIENCE, self.asked.recv()).await {
            Ok(Some(request)) => request,
            other => panic!("no UpdateContainers comes: {other:?}"),
        }
    }

    /// Updates of this container fail from now on.
    pub fn fail_updates_of(&self, id: &str) {
        lock(&self.failing).insert(id.to_owned());
    }

    /// Ends the connection, as an engine that dies does.
    pub fn close(&self) {
        self.peer.close("the engine ends");
    }

    /// Waits for the end of the connection, and says why it ended.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn closed(&self) -> String {
        match timeout(PATIENCE, self.peer.closed()).await {
            Ok(why) => why.to_string(),
            Err(_) => panic!("the connection does not end"),
        }
    }
}

/// A pod of this id, named after it.
#[must_use]
pub fn pod(id: &str) -> PodSandbox {
    PodSandbox {
        id: id.to_owned(),
        name: format!("pod-{id}"),
        namespace: "team-a".to_owned(),
        uid: format!("uid-{id}"),
        ..PodSandbox::default()
    }
}

/// A container of this id in a pod, named after it.
#[must_use]
pub fn container(id: &str, pod: &str) -> Container {
    Container {
        id: id.to_owned(),
        pod_sandbox_id: pod.to_owned(),
        name: format!("container-{id}"),
        args: vec!["sleep".to_owned(), "1000".to_owned()],
        ..Container::default()
    }
}

async fn register(requests: &mut Requests) -> nri_wire::io::tokio::Request {
    match timeout(PATIENCE, requests.next()).await {
        Ok(Some(request)) if request.method() == service::RegisterPlugin::METHOD => request,
        other => panic!("a registration is expected: {other:?}"),
    }
}

/// Answers UpdateContainers until the connection ends.
async fn serve(
    mut requests: Requests,
    asked: UnboundedSender<UpdateContainersRequest>,
    failing: Arc<Mutex<BTreeSet<String>>>,
) {
    while let Some(request) = requests.next().await {
        match request.decode::<service::UpdateContainers>() {
            Ok(decoded) if request.method() == service::UpdateContainers::METHOD => {
                let failing = lock(&failing).clone();
                let updates = decoded.message.update.iter();
                let failed =
                    updates.filter(|update| failing.contains(&update.container_id)).cloned().collect();
                request.answer::<service::UpdateContainers>(Ok(UpdateContainersResponse { failed }));
                drop(asked.send(decoded.message));
            }
            _ => {
                let status = Status::no_method(request.method());
                request.refuse(status);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
