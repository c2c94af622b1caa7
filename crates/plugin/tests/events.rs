//! Every call reaches its handler, in both forms, and every answer and failure gets back (`spec/stub.md` 3).

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the failure report")]

mod host;

use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};

use host::{Host, container, pod};
use nri_plugin::api::{self, StateChangeEvent, UpdateContainerRequest, ValidateContainerAdjustmentRequest};
use nri_plugin::{
    Adjustment, Builder, Code, CreateContainer, Event, Plugin, PostCreateContainer, PostStartContainer,
    PostUpdateContainer, PostUpdatePodSandbox, RemoveContainer, RemovePodSandbox, Result, RunPodSandbox,
    Running, StartContainer, Status, StopContainer, StopPodSandbox, Update, UpdateContainer,
    UpdatePodSandbox, Updates, Validate,
};
use nri_wire::event::EventMask;
use nri_wire::service::{self, Rpc};

/// Tells each call, with the names of its pod and container.
struct Teller(Sender<String>);

macro_rules! tell {
    ($self:ident, $name:literal, $request:ident) => {
        $self.0.send(format!("{} {}", $name, $request.pod().name))?
    };
    ($self:ident, $name:literal, $request:ident, container) => {
        $self.0.send(format!("{} {} {}", $name, $request.pod().name, $request.container().name))?
    };
}

#[nri_plugin::plugin]
impl Plugin for Teller {
    fn run_pod_sandbox(&self, request: &RunPodSandbox) -> Result {
        Ok(tell!(self, "RunPodSandbox", request))
    }
    fn update_pod_sandbox(&self, request: &UpdatePodSandbox) -> Result {
        Ok(tell!(self, "UpdatePodSandbox", request))
    }
    fn post_update_pod_sandbox(&self, request: &PostUpdatePodSandbox) -> Result {
        Ok(tell!(self, "PostUpdatePodSandbox", request))
    }
    fn stop_pod_sandbox(&self, request: &StopPodSandbox) -> Result {
        Ok(tell!(self, "StopPodSandbox", request))
    }
    fn remove_pod_sandbox(&self, request: &RemovePodSandbox) -> Result {
        Ok(tell!(self, "RemovePodSandbox", request))
    }
    fn create_container(&self, request: &CreateContainer) -> Result<Adjustment> {
        tell!(self, "CreateContainer", request, container);
        Ok(Adjustment::new().add_env("A", "b").update(Update::new("u").cpu_shares(2)).evict("e", "room"))
    }
    fn post_create_container(&self, request: &PostCreateContainer) -> Result {
        Ok(tell!(self, "PostCreateContainer", request, container))
    }
    fn start_container(&self, request: &StartContainer) -> Result {
        Ok(tell!(self, "StartContainer", request, container))
    }
    fn post_start_container(&self, request: &PostStartContainer) -> Result {
        Ok(tell!(self, "PostStartContainer", request, container))
    }
    fn update_container(&self, request: &UpdateContainer) -> Result<Updates> {
        tell!(self, "UpdateContainer", request, container);
        Ok(Updates::from(Update::new("u").cpu_shares(2)).evict("e", "room"))
    }
    fn post_update_container(&self, request: &PostUpdateContainer) -> Result {
        Ok(tell!(self, "PostUpdateContainer", request, container))
    }
    fn stop_container(&self, request: &StopContainer) -> Result<Vec<Update>> {
        tell!(self, "StopContainer", request, container);
        Ok(vec![Update::new("u").cpu_shares(2)])
    }
    fn remove_container(&self, request: &RemoveContainer) -> Result {
        Ok(tell!(self, "RemoveContainer", request, container))
    }
    fn validate_container_adjustment(&self, request: &Validate) -> Result {
        tell!(self, "ValidateContainerAdjustment", request, container);
        if request.plugins.is_empty() { Err("nobody was asked".into()) } else { Ok(()) }
    }
}

fn started(plugin: impl Plugin) -> (Running, Host) {
    let (theirs, ours) = UnixStream::pair().unwrap();
    let builder = Builder::new().name("probe").index("10").stream(theirs);
    let starting = std::thread::spawn(move || builder.start(plugin));
    let host = Host::new(ours);
    let answer = host.configure();
    assert!(host::events(&answer).without(EventMask::ALL).is_empty());
    (starting.join().unwrap().unwrap(), host)
}

fn teller() -> (Running, Host, Receiver<String>) {
    let (told, tells) = channel();
    let (running, host) = started(Teller(told));
    (running, host, tells)
}

#[test]
fn dedicated_calls() {
    let (_running, host, tells) = teller();
    let (pod, container) = (Some(pod()), Some(container()));
    macro_rules! check {
        ($($call:ident($request:ident { $($part:ident),* });)*) => {$(
            let mut request = api::$request::default();
            $(request.$part = $part.clone();)*
            host.call::<service::$call>(request).unwrap();
            let parts: &[&str] = &[$(stringify!($part)),*];
            let expect = if parts.len() == 2 { " web server" } else { " web" };
            assert_eq!(tells.recv().unwrap(), format!("{}{expect}", service::$call::METHOD));
        )*};
    }
    check! {
        RunPodSandbox(RunPodSandboxRequest { pod });
        UpdatePodSandbox(UpdatePodSandboxRequest { pod });
        PostUpdatePodSandbox(PostUpdatePodSandboxRequest { pod });
        StopPodSandbox(StopPodSandboxRequest { pod });
        RemovePodSandbox(RemovePodSandboxRequest { pod });
        CreateContainer(CreateContainerRequest { pod, container });
        PostCreateContainer(PostCreateContainerRequest { pod, container });
        StartContainer(StartContainerRequest { pod, container });
        PostStartContainer(PostStartContainerRequest { pod, container });
        UpdateContainer(UpdateContainerRequest { pod, container });
        PostUpdateContainer(PostUpdateContainerRequest { pod, container });
        StopContainer(StopContainerRequest { pod, container });
        RemoveContainer(RemoveContainerRequest { pod, container });
        ValidateContainerAdjustment(ValidateContainerAdjustmentRequest { pod, container });
    }
}

#[test]
fn answers() {
    let (_running, host, _tells) = teller();
    let created = host.create().unwrap();
    assert_eq!((created.adjust.unwrap().env.len(), created.update.len(), created.evict.len()), (1, 1, 1));
    let updated = host.call::<service::UpdateContainer>(UpdateContainerRequest::default()).unwrap();
    assert_eq!((updated.update.len(), updated.evict.len()), (1, 1));
    let stopped = host.call::<service::StopContainer>(api::StopContainerRequest::default()).unwrap();
    assert_eq!(stopped.update.len(), 1);

    let validate = |plugins| ValidateContainerAdjustmentRequest { plugins, ..Default::default() };
    let one = vec![api::PluginInstance::default()];
    let passed = host.call::<service::ValidateContainerAdjustment>(validate(one)).unwrap();
    assert!(!passed.reject);
    let rejected = host.call::<service::ValidateContainerAdjustment>(validate(Vec::new())).unwrap();
    assert_eq!((rejected.reject, rejected.reason.as_str()), (true, "nobody was asked"));
}

/// `spec/wire.md` 5.5: nine events have an older form; other events in this form mean nothing.
#[test]
fn state_changes() {
    let (_running, host, tells) = teller();
    let change = |event: i32| StateChangeEvent { event, pod: Some(pod()), container: Some(container()) };
    for event in -1..20 {
        host.call::<service::StateChange>(change(event)).unwrap();
    }
    let told: Vec<String> = tells.try_iter().collect();
    assert_eq!(
        told,
        [
            "RunPodSandbox web",
            "StopPodSandbox web",
            "RemovePodSandbox web",
            "PostCreateContainer web server",
            "StartContainer web server",
            "PostStartContainer web server",
            "PostUpdateContainer web server",
            "RemoveContainer web server",
            "PostUpdatePodSandbox web",
        ]
    );
}

/// Fails in the way that the container's name says.
struct Failing;

#[nri_plugin::plugin]
impl Plugin for Failing {
    fn create_container(&self, request: &CreateContainer) -> Result<Adjustment> {
        match request.container().name.as_str() {
            "text" => Err("no room".into()),
            "status" => Err(Status::new(Code::NotFound, "no such class").into()),
            "unimplemented" => Err(Status::new(Code::Unimplemented, "method x").into()),
            "ok" => Err(Status::new(Code::Ok, "fine").into()),
            #[expect(clippy::panic, reason = "what the test is about")]
            "panic" => panic!("attempt to do the impossible"),
            "invalid" => Ok(Adjustment::new().oom_score_adj(2000)),
            _ => Ok(Adjustment::new()),
        }
    }

    fn start_container(&self, _: &StartContainer) -> Result {
        Err("not now".into())
    }
}

#[test]
fn failures() {
    let (_running, host) = started(Failing);
    let create = |name: &str| {
        let container = api::Container { name: name.to_owned(), ..container() };
        let request = api::CreateContainerRequest { pod: None, container: Some(container) };
        host.call::<service::CreateContainer>(request)
    };
    for (name, code, text) in [
        ("text", Code::Unknown, "no room"),
        ("status", Code::NotFound, "no such class"),
        ("unimplemented", Code::Unknown, "method x"),
        ("ok", Code::Unknown, "fine"),
        ("panic", Code::Internal, "the plugin's handler panicked: attempt to do the impossible"),
        ("invalid", Code::Unknown, "oomScoreAdj: must be from -1000 to 1000"),
    ] {
        assert_eq!(create(name).unwrap_err(), Status::new(code, text));
    }
    create("other").unwrap();
    let event = StateChangeEvent { event: Event::StartContainer.into(), pod: None, container: None };
    assert_eq!(host.call::<service::StateChange>(event).unwrap_err().message, "not now");
    // Calls without a handler succeed with nothing in the answer (`spec/stub.md` 3).
    host.call::<service::RemoveContainer>(api::RemoveContainerRequest::default()).unwrap();
}
