//! A plugin that writes down what reaches it, for the churn test: a line for each call, with time and process.
//!
//!     recorder SOCKET NN-NAME FILE
//!
//! It connects again whenever its connection is lost. The line `stop` on stdin ends it in order. Launched it needs no
//! arguments: its configuration is the name of the file.

#![expect(clippy::panic, reason = "a test program: a panic is how it says what is wrong")]

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nri_plugin::{
    Adjustment, Builder, Configure, CreateContainer, EventMask, OfContainer, OfPod, Plugin,
    PostCreateContainer, PostStartContainer, Reconnect, RemoveContainer, RemovePodSandbox, Request, Result,
    RunPodSandbox, StartContainer, StopContainer, StopPodSandbox, Synchronize, Update,
};
use serde_json::{Value as Json, json};

#[derive(Default)]
struct Recorder {
    file: OnceLock<File>,
}

impl Recorder {
    fn open(&self, path: &str) {
        let file = OpenOptions::new().create(true).append(true).open(path);
        self.file.set(file.unwrap_or_else(|error| panic!("{path}: {error}"))).ok();
    }

    fn note(&self, event: &str, mut line: Json) {
        let Some(mut file) = self.file.get() else { return };
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        if let Some(members) = line.as_object_mut() {
            members.insert("event".to_owned(), json!(event));
            members.insert("at".to_owned(), json!(u64::try_from(at).unwrap_or(u64::MAX)));
            members.insert("pid".to_owned(), json!(std::process::id()));
        }
        // One write for each line: several processes may share the file.
        file.write_all(format!("{line}\n").as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    }

    fn pod<M: OfPod>(&self, event: &str, request: &Request<M>) {
        self.note(event, json!({"pod": {"id": request.pod().id}}));
    }

    fn container<M: OfContainer>(&self, event: &str, request: &Request<M>) {
        let (pod, container) = (&request.pod().id, &request.container().id);
        self.note(event, json!({"pod": {"id": pod}, "container": {"id": container}}));
    }
}

#[nri_plugin::plugin]
impl Plugin for Recorder {
    fn configure(&self, request: &Configure) -> Result<EventMask> {
        if !request.config.is_empty() {
            self.open(request.config.trim());
        }
        self.note("Configure", json!({}));
        Ok(EventMask::NONE)
    }

    fn synchronize(&self, request: &Synchronize) -> Result<Vec<Update>> {
        let pods: Vec<Json> = request.pods.iter().map(|pod| json!({"id": pod.id})).collect();
        let containers: Vec<Json> =
            request.containers.iter().map(|container| json!({"id": container.id})).collect();
        self.note("Synchronize", json!({"pods": pods, "containers": containers}));
        Ok(Vec::new())
    }

    fn shutdown(&self) {
        self.note("Shutdown", json!({}));
    }

    fn run_pod_sandbox(&self, request: &RunPodSandbox) -> Result {
        self.pod("RunPodSandbox", request);
        Ok(())
    }

    fn stop_pod_sandbox(&self, request: &StopPodSandbox) -> Result {
        self.pod("StopPodSandbox", request);
        Ok(())
    }

    fn remove_pod_sandbox(&self, request: &RemovePodSandbox) -> Result {
        self.pod("RemovePodSandbox", request);
        Ok(())
    }

    fn create_container(&self, request: &CreateContainer) -> Result<Adjustment> {
        self.container("CreateContainer", request);
        Ok(Adjustment::new())
    }

    fn post_create_container(&self, request: &PostCreateContainer) -> Result {
        self.container("PostCreateContainer", request);
        Ok(())
    }

    fn start_container(&self, request: &StartContainer) -> Result {
        self.container("StartContainer", request);
        Ok(())
    }

    fn post_start_container(&self, request: &PostStartContainer) -> Result {
        self.container("PostStartContainer", request);
        Ok(())
    }

    fn stop_container(&self, request: &StopContainer) -> Result<Vec<Update>> {
        self.container("StopContainer", request);
        Ok(Vec::new())
    }

    fn remove_container(&self, request: &RemoveContainer) -> Result {
        self.container("RemoveContainer", request);
        Ok(())
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let recorder = Recorder::default();
    let mut builder = Builder::new().on_notice(|notice| {
        // Standard error may be closed.
        writeln!(std::io::stderr(), "{notice}").ok();
    });
    if let [socket, name, file] = args.as_slice() {
        let (index, base) = name.split_once('-').unwrap_or(("", name));
        recorder.open(file);
        let often = Reconnect::backoff(Duration::from_millis(100), Duration::from_secs(1));
        builder = builder.socket(socket).name(base).index(index).reconnect(often);
        let session = builder.session();
        std::thread::spawn(move || {
            if std::io::stdin().lines().map_while(std::result::Result::ok).any(|line| line == "stop") {
                session.stop();
            }
        });
    }
    match builder.run(recorder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(std::io::stderr(), "{error}").ok();
            ExitCode::FAILURE
        }
    }
}
