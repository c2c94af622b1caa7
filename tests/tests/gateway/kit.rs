//! A node: an engine, a client of it, and the socket where plugins connect, which is the engine's own or the gateway's.

use std::path::{Path, PathBuf};

use nri_tests::cri::Cri;
use nri_tests::engine::{self, Containerd, Line};
use nri_tests::gateway::{self, Gateway};
use nri_tests::plugin::{self, Launched, Maker, Plugin};
pub(crate) use nri_tests::wait::until;
use serde_json::{Value as Json, json};

/// Where plugins are: at the engine itself, or behind the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Direct,
    Behind,
}

/// What a node starts with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) line: Line,
    /// Further lines for the table of the engine's NRI.
    pub(crate) nri: String,
    /// Further arguments of the gateway.
    pub(crate) args: Vec<String>,
    /// Plugins that engine or gateway launches.
    pub(crate) launched: Vec<(Maker, &'static str, Json)>,
}

impl From<Line> for Settings {
    fn from(line: Line) -> Self {
        Self { line, ..Self::default() }
    }
}

/// A running node. Fields end in this order: the gateway before the engine that it is at.
pub(crate) struct Node {
    pub(crate) cri: Cri,
    pub(crate) gateway: Option<Gateway>,
    pub(crate) engine: Containerd,
    pub(crate) folder: tempfile::TempDir,
}

impl Node {
    /// Starts one; `Err` is a text for `skipped`.
    pub(crate) fn start(place: Place, settings: &Settings) -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let launched = settings.launched.iter().map(|(maker, name, script)| {
            Launched::new(*maker, name, script, &folder.path().join(format!("{name}.lines")))
        });
        let launched = launched.collect::<Result<Vec<_>, _>>()?;
        let (at_engine, at_gateway) = match place {
            Place::Direct => (launched, Vec::new()),
            Place::Behind => (Vec::new(), launched),
        };
        let nri = settings.nri.clone();
        let engine = Containerd::with(&engine::Settings { line: settings.line, nri, plugins: at_engine })?;
        let cri = Cri::connect(&engine.cri_socket())?;
        let args = settings.args.iter().map(Into::into).collect();
        let settings = gateway::Settings { plugins: at_gateway, args, ..gateway::Settings::default() };
        let gateway = (place == Place::Behind).then(|| Gateway::start(&engine.nri_socket(), &settings));
        Ok(Self { cri, gateway, engine, folder })
    }

    /// The socket for plugins.
    pub(crate) fn socket(&self) -> PathBuf {
        self.gateway.as_ref().map_or_else(|| self.engine.nri_socket(), Gateway::socket)
    }

    pub(crate) fn gateway(&mut self) -> &mut Gateway {
        self.gateway.as_mut().unwrap()
    }

    /// Connects a plugin and waits until it is synchronized.
    pub(crate) fn connect(&self, maker: Maker, name: &str, script: &Json) -> Plugin {
        let plugin = self.spawn(maker, name, script);
        plugin.until("Synchronize");
        plugin
    }

    /// Connects a plugin that may never be synchronized.
    pub(crate) fn spawn(&self, maker: Maker, name: &str, script: &Json) -> Plugin {
        Plugin::connect(maker, &self.socket(), name, script, self.folder.path()).unwrap()
    }

    /// What a launched plugin has written so far.
    pub(crate) fn launched(&self, name: &str) -> Vec<Json> {
        plugin::lines(&self.folder.path().join(format!("{name}.lines")))
    }

    /// Waits until a launched plugin has written so many lines of an event.
    pub(crate) fn until_launched(&self, name: &str, event: &str, count: usize) -> Json {
        plugin::until_count(name, &self.folder.path().join(format!("{name}.lines")), event, count)
    }

    /// Runs a pod without annotations.
    pub(crate) fn pod(&mut self, name: &str) -> String {
        let result = self.cri.run_pod(name, &json!({}));
        result.unwrap_or_else(|error| panic!("pod {name}: {error}\n{}", self.report()))
    }

    /// Runs a container that sleeps.
    pub(crate) fn container(&mut self, pod: &str, name: &str) -> String {
        let result = self.cri.run_container(pod, name, &["sleep", "1000"]);
        result.unwrap_or_else(|error| panic!("container {name}: {error}\n{}", self.report()))
    }

    /// How often the gateway has connected to the engine, as its log tells.
    pub(crate) fn connections(&self) -> usize {
        self.engine.log().matches("00-nri-gateway\\\" connected and synchronized").count()
    }

    /// The logs, for the message of a failed check.
    pub(crate) fn report(&self) -> String {
        let gateway = self.gateway.as_ref().map(Gateway::log).unwrap_or_default();
        let engine = self.engine.log();
        let lines: Vec<&str> = engine.lines().collect();
        let (old, new) = lines.split_at(lines.len().saturating_sub(20));
        let old = old.iter().filter(|line| !line.contains("level=info"));
        let engine: Vec<&str> = old.chain(new).copied().collect();
        format!("== gateway\n{gateway}\n== engine\n{}", engine.join("\n"))
    }
}

/// A value from a container's cgroup (v1), as the kernel has it.
pub(crate) fn cgroup(spec: &Json, controller: &str, file: &str) -> String {
    let path = spec.pointer("/linux/cgroupsPath").and_then(Json::as_str).unwrap_or_default();
    let path = Path::new("/sys/fs/cgroup").join(controller).join(path.trim_start_matches('/')).join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.trim().to_owned()
}
