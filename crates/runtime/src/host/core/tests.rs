//! The core under a clock of its own: no sockets, no waiting.

mod chain;
mod join;
mod keep;
mod late;
mod model;
mod policy;
mod register;
mod renew;
mod required;
mod succession;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nri_policy::judge::Judge;
use nri_wire::api::{
    ConfigureResponse, Container, ContainerAdjustment, ContainerUpdate, CreateContainerRequest,
    CreateContainerResponse, FailurePolicy, KeyValue, LinuxContainerUpdate, LinuxMemory, LinuxResources,
    PodSandbox, RegisterPluginRequest, StateChangeEvent, StopContainerRequest, StopContainerResponse,
    SynchronizeRequest, SynchronizeResponse, UpdateContainerRequest, UpdateContainerResponse,
    ValidateContainerAdjustmentResponse,
};
use nri_wire::event::{Event, EventMask};
use nri_wire::scan::Unknown;
use nri_wire::ttrpc::{Code, Status};

use super::*;
use crate::host::config::{Embedder, NoEmbedder, PluginSettings, Program, SharedEmbedder};
use crate::host::outcome::{Cause, Outcome};

/// Time that a caller gives unless the test says otherwise: much more than a plugin's 2 s.
const PLENTY: Duration = Duration::from_secs(60);

/// A core, its clock, and what it has asked for.
struct Bench {
    core: Core,
    start: Instant,
    now: Instant,
    /// Calls that are not answered, oldest first.
    calls: VecDeque<Sent>,
    done: BTreeMap<u64, Result<Completion, Failure>>,
    /// In the order of completion.
    order: Vec<u64>,
    closed: BTreeMap<PluginId, String>,
    applied: Vec<Permission>,
    launches: Vec<SeatId>,
    stopped: bool,
    next: u64,
}

#[derive(Debug)]
struct Sent {
    plugin: PluginId,
    call: CallId,
    message: Message,
}

fn setup() -> Setup {
    Setup {
        runtime_name: "rt".to_owned(),
        runtime_version: "1.2".to_owned(),
        nri_version: "v9.8.7".to_owned(),
        registration_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(2),
        settings: BTreeMap::new(),
        restart: true,
        programs: Vec::new(),
        reserved: BTreeSet::new(),
        judge: Judge::allow_all(),
        keep_answers: false,
        embedder: SharedEmbedder(Arc::new(NoEmbedder)),
    }
}

impl Bench {
    fn new() -> Self {
        Self::with(setup(), Vec::new(), Vec::new())
    }

    fn with_settings(name: &str, settings: PluginSettings) -> Self {
        let settings = BTreeMap::from([(name.to_owned(), settings)]);
        Self::with(Setup { settings, ..setup() }, Vec::new(), Vec::new())
    }

    fn with(setup: Setup, pods: Vec<PodSandbox>, containers: Vec<Container>) -> Self {
        let start = Instant::now();
        Self {
            core: Core::new(setup, pods, containers),
            start,
            now: start,
            calls: VecDeque::new(),
            done: BTreeMap::new(),
            order: Vec::new(),
            closed: BTreeMap::new(),
            applied: Vec::new(),
            launches: Vec::new(),
            stopped: false,
            next: 0,
        }
    }

    fn drain(&mut self) {
        while let Some(action) = self.core.poll_action() {
            match action {
                Action::Call { plugin, call, parcel: Parcel { message, .. }, deadline } => {
                    assert!(deadline > self.now, "a call without time");
                    self.calls.push_back(Sent { plugin, call, message });
                }
                Action::Close { plugin, reason } => {
                    self.calls.retain(|sent| sent.plugin != plugin);
                    self.closed.insert(plugin, reason);
                }
                Action::Complete { request, result } => {
                    self.order.push(request.0);
                    assert!(self.done.insert(request.0, result).is_none(), "completed twice");
                }
                Action::Apply(permission) => self.applied.push(permission),
                Action::Launch(seat) => self.launches.push(seat),
                Action::Stopped => self.stopped = true,
                Action::Admit(_) | Action::Changed => {}
            }
        }
    }

    /// Lets time pass, with every timer at its own instant.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.core.next_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.core.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
    }

    fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    fn connect(&mut self) -> PluginId {
        self.core.handle_connected(None, origin(None), self.now).unwrap()
    }

    fn register(&mut self, plugin: PluginId, name: &str) -> Result<(), Refusal> {
        let (index, base) = name.split_once('-').unwrap();
        let request = RegisterPluginRequest {
            plugin_name: base.to_owned(),
            plugin_idx: index.to_owned(),
            ..Default::default()
        };
        let result = self.core.handle_register(plugin, &request, self.now);
        self.drain();
        result
    }

    /// A plugin that has answered Configure.
    fn configured(&mut self, name: &str, answer: ConfigureResponse) -> PluginId {
        let plugin = self.connect();
        self.register(plugin, name).unwrap();
        self.answer(plugin, Answer::Configure(answer));
        plugin
    }

    /// An active plugin.
    fn plugin(&mut self, name: &str, events: &str) -> PluginId {
        self.plugin_with(name, events, FailurePolicy::default())
    }

    fn plugin_with(&mut self, name: &str, events: &str, policy: FailurePolicy) -> PluginId {
        let events = events.parse::<EventMask>().unwrap().bits();
        let plugin = self.configured(name, ConfigureResponse { events, failure_policy: Some(policy) });
        self.answer(plugin, Answer::Synchronize(SynchronizeResponse::default()));
        assert!(self.core.plugins[&plugin].is_active());
        plugin
    }

    /// Takes the oldest unanswered call to a plugin.
    fn take(&mut self, plugin: PluginId) -> Sent {
        let at = self.calls.iter().position(|sent| sent.plugin == plugin).expect("no call to the plugin");
        self.calls.remove(at).unwrap()
    }

    fn calls_to(&self, plugin: PluginId) -> usize {
        self.calls.iter().filter(|sent| sent.plugin == plugin).count()
    }

    fn end(&mut self, call: CallId, end: End) {
        self.core.handle_end(call, end, self.now);
        self.drain();
    }

    fn answer(&mut self, plugin: PluginId, answer: Answer) -> Message {
        let sent = self.take(plugin);
        self.end(sent.call, End::Answer(answer, Vec::new()));
        sent.message
    }

    /// Answers whatever was asked without changing anything.
    fn nod(&mut self, plugin: PluginId) -> Message {
        let sent = self.take(plugin);
        self.end(sent.call, End::Answer(nothing(&sent.message), Vec::new()));
        sent.message
    }

    fn refuse(&mut self, plugin: PluginId, code: Code, text: &str) -> Message {
        let sent = self.take(plugin);
        self.end(sent.call, End::Status(Status::new(code, text)));
        sent.message
    }

    fn submit_within(&mut self, submission: Submission, time: Duration) -> u64 {
        let id = self.next;
        self.next += 1;
        self.core.handle_request(RequestId(id), submission, Unknown::default(), self.now + time, self.now);
        self.drain();
        id
    }

    fn create(&mut self, id: &str) -> u64 {
        self.submit_within(creation(id), PLENTY)
    }

    fn tell(&mut self, event: Event, id: &str) -> u64 {
        self.submit_within(notice(event, id), PLENTY)
    }

    /// The engine is back and has told these containers, in one pod.
    fn renew(&mut self, containers: &[Container]) {
        self.core.renew(vec![pod("p")], containers.to_vec(), self.now);
        self.drain();
    }

    fn cancel(&mut self, request: u64) {
        self.core.handle_cancel(RequestId(request), self.now);
        self.drain();
    }

    fn created(&mut self, request: u64) -> Created {
        match self.done.remove(&request) {
            Some(Ok(Completion::Created(created))) => *created,
            other => panic!("not created: {other:?}"),
        }
    }

    fn failure(&mut self, request: u64) -> Failure {
        match self.done.remove(&request) {
            Some(Err(failure)) => failure,
            other => panic!("no failure: {other:?}"),
        }
    }

    fn cause(&mut self, request: u64) -> Cause {
        self.failure(request).cause
    }
}

use crate::host::outcome::{Created, Failure};

fn origin(pid: Option<u32>) -> Origin {
    Origin { pid, since: std::time::SystemTime::UNIX_EPOCH, identity: Default::default(), pending: false }
}

fn pod(id: &str) -> PodSandbox {
    PodSandbox { id: id.to_owned(), name: id.to_owned(), namespace: "ns".to_owned(), ..Default::default() }
}

fn container(id: &str) -> Container {
    Container { id: id.to_owned(), pod_sandbox_id: "p".to_owned(), name: id.to_owned(), ..Default::default() }
}

fn creation(id: &str) -> Submission {
    Submission::Create(Box::new(CreateContainerRequest {
        pod: Some(pod("p")),
        container: Some(container(id)),
    }))
}

fn update(id: &str) -> Submission {
    Submission::Update(Box::new(UpdateContainerRequest {
        pod: Some(pod("p")),
        container: Some(container(id)),
        linux_resources: None,
    }))
}

fn stop(id: &str) -> Submission {
    Submission::Stop(StopContainerRequest { pod: Some(pod("p")), container: Some(container(id)) })
}

/// For pod events the id is the pod's.
fn notice(event: Event, id: &str) -> Submission {
    let is_pod = matches!(
        event,
        Event::RunPodSandbox | Event::PostUpdatePodSandbox | Event::StopPodSandbox | Event::RemovePodSandbox
    );
    Submission::Notice(StateChangeEvent {
        event: event as i32,
        pod: Some(pod(if is_pod { id } else { "p" })),
        container: (!is_pod).then(|| container(id)),
    })
}

/// The answer that changes nothing.
fn nothing(message: &Message) -> Answer {
    match message {
        Message::Configure(_) => Answer::Configure(ConfigureResponse::default()),
        Message::Synchronize(part) => {
            Answer::Synchronize(SynchronizeResponse { more: part.more, update: Vec::new() })
        }
        Message::Create(_) => Answer::Create(Box::default()),
        Message::Update(_) => Answer::Update(UpdateContainerResponse::default()),
        Message::Stop(_) => Answer::Stop(StopContainerResponse::default()),
        Message::Validate(_) => Answer::Validate(ValidateContainerAdjustmentResponse::default()),
        Message::Shutdown(_) | Message::UpdatePod(_) | Message::Notice { .. } => Answer::Nothing,
    }
}

/// An answer to CreateContainer that sets a variable.
fn env(key: &str, value: &str) -> Answer {
    let adjust = ContainerAdjustment {
        env: vec![KeyValue { key: key.to_owned(), value: value.to_owned() }],
        ..Default::default()
    };
    Answer::Create(Box::new(CreateContainerResponse { adjust: Some(adjust), ..Default::default() }))
}

/// An update of another container's memory limit.
fn memory(id: &str, limit: i64) -> ContainerUpdate {
    let memory = LinuxMemory { limit: Some(limit.into()), ..Default::default() };
    let resources = LinuxResources { memory: Some(memory), ..Default::default() };
    ContainerUpdate {
        container_id: id.to_owned(),
        linux: Some(LinuxContainerUpdate { resources: Some(resources) }),
        ignore_failure: false,
    }
}

fn outcomes(consulted: &[crate::host::outcome::Consulted]) -> Vec<(&str, Outcome)> {
    consulted.iter().map(|c| (c.plugin.full(), c.outcome.clone())).collect()
}
