//! A host of ours with a socket, and Go plugins that connect to it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use nri_runtime::host::{Config, Created, Embedder, Failure, Host, NoEmbedder, Outcome};
use nri_tests::proto;
use nri_wire::api::{Container, CreateContainerRequest, PodSandbox};
use serde_json::{Value as Json, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, timeout};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A deadline that nothing here reaches.
pub(crate) fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// A configuration under which no plugin is late because the machine is busy.
pub(crate) fn patient() -> Config {
    Config { request_timeout: PATIENCE, ..Config::default() }
}

/// A configuration with this time-out of requests.
pub(crate) fn hasty(request_timeout: Duration) -> Config {
    Config { request_timeout, ..Config::default() }
}

/// A running host.
pub(crate) struct Node {
    pub(crate) host: Host,
    pub(crate) folder: tempfile::TempDir,
    go: &'static Path,
    socket: PathBuf,
}

impl Node {
    /// Starts one; says so and returns nothing where Go is absent.
    pub(crate) async fn start(config: Config) -> Option<Self> {
        Self::embedded(config, NoEmbedder).await
    }

    /// As [`Node::start`], with the embedding runtime's callbacks.
    pub(crate) async fn embedded(config: Config, embedder: impl Embedder) -> Option<Self> {
        let go = nri_tests::go::peers().map_err(nri_tests::skipped).ok()?;
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("nri.sock");
        let host =
            Host::start(Config { listen: vec![socket.clone().into()], ..config }, embedder).await.unwrap();
        Some(Self { host, folder, go, socket })
    }

    /// A plugin by the reference's stub that follows the script, once it is active.
    pub(crate) async fn plugin(&self, name: &str, script: &Json) -> GoPlugin {
        self.active(name, script, &[]).await
    }

    /// As [`Node::plugin`], with further arguments.
    pub(crate) async fn active(&self, name: &str, script: &Json, args: &[&str]) -> GoPlugin {
        let count = self.host.active() + 1;
        let plugin = self.spawn(name, script, args);
        assert!(self.host.wait_active(count, soon()).await, "{name} is not active");
        plugin
    }

    /// A plugin that may never become active.
    pub(crate) fn spawn(&self, name: &str, script: &Json, args: &[&str]) -> GoPlugin {
        let (index, base) = name.split_once('-').unwrap();
        let path = self.folder.path().join(format!("{name}.json"));
        std::fs::write(&path, script.to_string()).unwrap();
        let mut child = Command::new(self.go)
            .args(["plugin", "-index", index, "-name", base, "-socket"])
            .arg(&self.socket)
            .arg("-script")
            .arg(path)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (line, lines) = unbounded_channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for text in output.lines().map_while(Result::ok) {
                let _ = line.send(serde_json::from_str(&text).unwrap());
            }
        });
        let commands = child.stdin.take().unwrap();
        GoPlugin { child, commands, lines }
    }

    /// Creates a container of this name.
    pub(crate) async fn create(&self, name: &str) -> Result<Created, Failure> {
        self.host.create_container(creation(name), soon()).await
    }

    /// Creates a container that must come to be.
    pub(crate) async fn created(&self, name: &str) -> Created {
        self.create(name).await.unwrap_or_else(|failure| panic!("{name}: {failure}"))
    }

    /// Waits until no plugin owes an answer any more.
    pub(crate) async fn caught_up(&self) {
        let wait = async {
            while self.host.status().await.0.iter().any(|plugin| plugin.overdue) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, wait).await.unwrap();
    }

    /// Waits until just so many plugins are active.
    pub(crate) async fn left(&self, count: usize) {
        let wait = async {
            while self.host.active() != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, wait).await.unwrap();
    }
}

/// A Go plugin. It ends with this value.
pub(crate) struct GoPlugin {
    child: Child,
    commands: ChildStdin,
    lines: UnboundedReceiver<Json>,
}

impl GoPlugin {
    /// Its next line; `None` once its process has ended.
    pub(crate) async fn line(&mut self) -> Option<Json> {
        timeout(PATIENCE, self.lines.recv()).await.unwrap()
    }

    /// Waits for a line of this event.
    pub(crate) async fn until(&mut self, event: &str) -> Json {
        loop {
            match self.line().await {
                Some(line) if line["event"] == event => return line,
                Some(_) => {}
                None => panic!("the plugin ended before {event}"),
            }
        }
    }

    /// Waits until the connection has ended; the lines before that.
    pub(crate) async fn rest(&mut self) -> Vec<Json> {
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            if line["event"] == "closed" {
                break;
            }
            lines.push(line);
        }
        lines
    }

    /// Gives it a command.
    pub(crate) fn tell(&mut self, command: &Json) {
        writeln!(self.commands, "{command}").unwrap();
    }

    /// Sends a signal to it.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for GoPlugin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The pod of every container here.
pub(crate) fn pod() -> PodSandbox {
    proto::message(&json!({"id": "pod0", "name": "web", "labels": {"app": "shop"}}))
}

/// A container of this name.
pub(crate) fn container(name: &str) -> Container {
    proto::message(
        &json!({"id": format!("id-{name}"), "podSandboxId": "pod0", "name": name, "args": ["serve"]}),
    )
}

/// The request to create it.
pub(crate) fn creation(name: &str) -> CreateContainerRequest {
    CreateContainerRequest { pod: Some(pod()), container: Some(container(name)) }
}

/// What became of each plugin that was asked, in order.
pub(crate) fn outcomes(created: &Created) -> Vec<(&str, Outcome)> {
    created.plugins.iter().map(|asked| (asked.plugin.full(), asked.outcome.clone())).collect()
}
