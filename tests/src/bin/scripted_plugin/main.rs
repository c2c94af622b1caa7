//! A plugin by our SDK that follows the same scripts as the Go peer (`tests/go/README.md`, "plugin") and writes the same
//! lines, so that tests can put one in the place of the other.
//!
//!     scripted_plugin plugin -socket PATH -name NAME -index NN [-script FILE]
//!
//! Of the script it knows `events`, `output` and `answers`, with `for`, `times`, `error`, `reject`, `sleep_ms`, `never`,
//! `exit`, `adjust`, `update`; and one answer that the Go peer does not have, `update_within`: updates that the
//! handler sends on its own account before it answers. On stdin: `update`, `stop`. Launched it needs no arguments.

#![expect(
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test program: a panic is how it says that its script is wrong"
)]

mod script;

use std::io::BufRead as _;
use std::process::ExitCode;
use std::time::Duration;

use nri_plugin::{
    Adjustment, Builder, Configure, CreateContainer, EventMask, OfContainer, OfPod, Plugin,
    PostCreateContainer, PostStartContainer, PostUpdateContainer, PostUpdatePodSandbox, Reconnect,
    RemoveContainer, RemovePodSandbox, Request, Result, RunPodSandbox, Session, StartContainer,
    StopContainer, StopPodSandbox, Synchronize, Update, UpdateContainer, UpdatePodSandbox, Updates, Validate,
};
use nri_tests::proto;
use nri_wire::api::{ContainerAdjustment, ContainerUpdate};
use serde_json::{Value as Json, json};

use script::Player;

/// How long an update on its own account may take.
const PATIENCE: Duration = Duration::from_secs(10);

struct Scripted {
    player: &'static Player,
    /// Whether the script comes with Configure.
    from_host: bool,
}

impl Scripted {
    /// A call about a pod: its line, and the answer that fits.
    fn pod<M: OfPod>(&self, event: &str, request: &Request<M>, more: Json) -> Result<Json> {
        let pod = request.pod();
        self.player.note(event, json!({"pod": proto::json(pod)}), more);
        self.player.play(event, &[&pod.id, &pod.name])
    }

    /// A call about a container.
    fn container<M: OfContainer>(&self, event: &str, request: &Request<M>, more: Json) -> Result<Json> {
        let (pod, container) = (request.pod(), request.container());
        let about = json!({"pod": proto::json(pod), "container": proto::json(container)});
        self.player.note(event, about, more);
        let answer = self.player.play(event, &[&container.id, &container.name, &pod.id, &pod.name])?;
        if answer["update_within"].is_array() {
            send(self.player, request.session(), &answer["update_within"]);
        }
        Ok(answer)
    }
}

#[nri_plugin::plugin]
impl Plugin for Scripted {
    fn configure(&self, request: &Configure) -> Result<EventMask> {
        if self.from_host && !request.config.is_empty() {
            self.player.load(&request.config);
        }
        let told = json!({"config": request.config, "runtime": request.runtime_name,
            "version": request.runtime_version, "nri_version": request.nri_version,
            "registration_timeout_ms": request.registration_timeout,
            "request_timeout_ms": request.request_timeout});
        self.player.note("Configure", told, Json::Null);
        self.player.play("Configure", &[])?;
        self.player.events()
    }

    fn synchronize(&self, request: &Synchronize) -> Result<Vec<Update>> {
        let pods: Vec<Json> = request.pods.iter().map(proto::json).collect();
        let containers: Vec<Json> = request.containers.iter().map(proto::json).collect();
        self.player.note("Synchronize", json!({"pods": pods, "containers": containers}), Json::Null);
        Ok(updates(&self.player.play("Synchronize", &[])?["update"]))
    }

    fn shutdown(&self) {
        self.player.note("Shutdown", json!({}), Json::Null);
    }

    fn run_pod_sandbox(&self, request: &RunPodSandbox) -> Result {
        self.pod("RunPodSandbox", request, Json::Null).map(drop)
    }

    fn update_pod_sandbox(&self, request: &UpdatePodSandbox) -> Result {
        let more = json!({"overhead": request.overhead_linux_resources.as_ref().map(proto::json),
            "resources": request.linux_resources.as_ref().map(proto::json)});
        self.pod("UpdatePodSandbox", request, more).map(drop)
    }

    fn post_update_pod_sandbox(&self, request: &PostUpdatePodSandbox) -> Result {
        self.pod("PostUpdatePodSandbox", request, Json::Null).map(drop)
    }

    fn stop_pod_sandbox(&self, request: &StopPodSandbox) -> Result {
        self.pod("StopPodSandbox", request, Json::Null).map(drop)
    }

    fn remove_pod_sandbox(&self, request: &RemovePodSandbox) -> Result {
        self.pod("RemovePodSandbox", request, Json::Null).map(drop)
    }

    fn create_container(&self, request: &CreateContainer) -> Result<Adjustment> {
        let answer = self.container("CreateContainer", request, Json::Null)?;
        let adjustment = match &answer["adjust"] {
            Json::Null => Adjustment::new(),
            adjust => Adjustment::from(proto::message::<ContainerAdjustment>(adjust)),
        };
        Ok(updates(&answer["update"]).into_iter().fold(adjustment, Adjustment::update))
    }

    fn post_create_container(&self, request: &PostCreateContainer) -> Result {
        self.container("PostCreateContainer", request, Json::Null).map(drop)
    }

    fn start_container(&self, request: &StartContainer) -> Result {
        self.container("StartContainer", request, Json::Null).map(drop)
    }

    fn post_start_container(&self, request: &PostStartContainer) -> Result {
        self.container("PostStartContainer", request, Json::Null).map(drop)
    }

    fn update_container(&self, request: &UpdateContainer) -> Result<Updates> {
        let more = json!({"resources": request.linux_resources.as_ref().map(proto::json)});
        Ok(updates(&self.container("UpdateContainer", request, more)?["update"]).into())
    }

    fn post_update_container(&self, request: &PostUpdateContainer) -> Result {
        self.container("PostUpdateContainer", request, Json::Null).map(drop)
    }

    fn stop_container(&self, request: &StopContainer) -> Result<Vec<Update>> {
        Ok(updates(&self.container("StopContainer", request, Json::Null)?["update"]))
    }

    fn remove_container(&self, request: &RemoveContainer) -> Result {
        self.container("RemoveContainer", request, Json::Null).map(drop)
    }

    fn validate_container_adjustment(&self, request: &Validate) -> Result {
        self.player.note(
            "ValidateContainerAdjustment",
            json!({"request": proto::json(request.message())}),
            Json::Null,
        );
        let (pod, container) = (request.pod(), request.container());
        let subjects = [container.id.as_str(), &container.name, &pod.id, &pod.name];
        let answer = self.player.play("ValidateContainerAdjustment", &subjects)?;
        answer["reject"].as_str().map_or(Ok(()), |reason| Err(reason.into()))
    }
}

fn updates(list: &Json) -> Vec<Update> {
    proto::messages::<ContainerUpdate>(list).into_iter().map(Update::from).collect()
}

/// Sends updates on the plugin's own account and notes what came of it.
fn send(player: &Player, session: &Session, list: &Json) {
    let line = match session.update_containers(updates(list), PATIENCE) {
        Ok(failed) => json!({"failed": failed.iter().map(proto::json).collect::<Vec<_>>()}),
        Err(error) => json!({"error": error.to_string()}),
    };
    player.note("updated", line, Json::Null);
}

/// What the plugin is told on stdin. A test that is gone leaves a closed one.
fn obey(player: &Player, session: &Session) {
    for line in std::io::stdin().lock().lines().map_while(std::result::Result::ok) {
        let command: Json = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        match command["do"].as_str() {
            Some("update") => send(player, session, &command["update"]),
            Some("stop") => break,
            _ => panic!("no command: {line}"),
        }
    }
    session.stop();
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let flag = |name: &str| args.iter().skip_while(|arg| *arg != name).nth(1).cloned();
    let launched = std::env::var_os("NRI_PLUGIN_SOCKET").is_some();
    // The test process may end at any time, and nobody waits for what is left.
    let player: &'static Player = Box::leak(Box::new(Player::new(launched)));
    let mut builder = Builder::new().reconnect(Reconnect::Never);
    if let Some(socket) = flag("-socket") {
        builder = builder.socket(socket);
    }
    if let Some(name) = flag("-name") {
        builder = builder.name(name);
    }
    if let Some(index) = flag("-index") {
        builder = builder.index(index);
    }
    let script = flag("-script");
    let from_host = script.is_none();
    if let Some(path) = script {
        player.load(&std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")));
    }
    let session = builder.session();
    if !launched {
        std::thread::spawn(move || obey(player, &session));
    }
    let result = builder.run(Scripted { player, from_host });
    let line = result.as_ref().err().map_or(json!({}), |error| json!({"error": error.to_string()}));
    player.note("closed", line, Json::Null);
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
