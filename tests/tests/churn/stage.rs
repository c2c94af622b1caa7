//! Engine and gateway, and how the gateway is killed and started again.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nri_tests::cri::Cri;
use nri_tests::engine::{self, Containerd};
use nri_tests::gateway::{self, Gateway};
use rustix::process::Signal;
use serde_json::{Value as Json, json};

use crate::cast::{Cast, Span};
use crate::pods::{Pods, is_refused_without_gateway};
use crate::verify::no_zombies;
use crate::{Random, now};

/// The name of the launched plugin.
pub(crate) const LAUNCHED: &str = "05-launched";

/// Far more than anything takes: a busy machine must not look like a slow plugin.
const ENGINE: &str = "plugin_registration_timeout = \"10s\"\nplugin_request_timeout = \"10s\"";
const REQUIRED: &str = "default_validator = { enable = true, required_plugins = [\"nri-gateway\"] }";
const GATEWAY: &str = "[plugins.\"*\"]\ntimeout = \"8s\"\nsync-timeout = \"8s\"\n";

/// The gateway was away: from the moment before it was killed to the one at which its successor had said `ready`.
#[derive(Clone, Debug)]
pub(crate) struct Absence {
    pub(crate) killed: u64,
    /// The successor's process was about to start.
    pub(crate) started: u64,
    pub(crate) ready: u64,
    /// Where the successor's log begins.
    pub(crate) log_from: usize,
}

pub(crate) struct Stage {
    pub(crate) gateway: Gateway,
    engine: Containerd,
    /// For pods of the stage's own.
    cri: Cri,
    required: bool,
    pub(crate) absences: Vec<Absence>,
    /// For the files of plugins.
    pub(crate) folder: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn set(required: bool) -> Result<Self, String> {
        let nri = if required { format!("{ENGINE}\n{REQUIRED}") } else { ENGINE.to_owned() };
        let engine = Containerd::with(&engine::Settings { nri, ..engine::Settings::default() })?;
        let cri = Cri::connect(&engine.cri_socket())?;
        let folder = tempfile::Builder::new().prefix("nri-churn").tempdir().unwrap();
        let settings = folder.path().join("gateway.toml");
        fs::write(&settings, GATEWAY).unwrap();
        let args = vec!["--config".into(), settings.into_os_string()];
        let mut gateway =
            Gateway::spawn(&engine.nri_socket(), &gateway::Settings { args, ..gateway::Settings::default() });
        // A launched plugin that the kit does not know. The gateway looks into the directory once, so it starts again.
        gateway.end(Signal::KILL);
        let (plugins, drop_ins) = (gateway.path("plugins"), gateway.path("conf.d"));
        fs::write(
            drop_ins.join("launched.conf"),
            folder.path().join(LAUNCHED).as_os_str().as_encoded_bytes(),
        )
        .unwrap();
        std::os::unix::fs::symlink(crate::cast::recorder(), plugins.join(LAUNCHED)).unwrap();
        fs::write(gateway.path("log"), "").unwrap();
        gateway.start_again();
        gateway.wait_until_ready(1);
        Ok(Self { gateway, engine, cri, required, absences: Vec::new(), folder })
    }

    pub(crate) fn cri_socket(&self) -> PathBuf {
        self.engine.cri_socket()
    }

    pub(crate) fn is_required(&self) -> bool {
        self.required
    }

    pub(crate) fn gateway_log(&self) -> String {
        self.gateway.log()
    }

    /// The engine's pods and containers, as its client sees them.
    pub(crate) fn engine_has(&mut self) -> crate::transcript::Books {
        let answer = self.cri.ask(&json!({"do": "ps"})).unwrap();
        let ids = |of: &str| {
            let list = answer.get(of).and_then(Json::as_array).cloned().unwrap_or_default();
            list.iter().filter_map(|one| Some(one.get("id")?.as_str()?.to_owned())).collect()
        };
        crate::transcript::Books { pods: ids("pods"), containers: ids("containers") }
    }

    /// Removes a pod with its container.
    pub(crate) fn remove(&mut self, pods: &Pods, pod: &str, container: &str) {
        pods.stops(container);
        for line in [
            json!({"do": "stop", "container": container, "timeout": 0}),
            json!({"do": "rm", "container": container}),
            json!({"do": "stopp", "pod": pod}),
            json!({"do": "rmp", "pod": pod}),
        ] {
            if let Err(error) = pods.ask(&mut self.cri, &line) {
                pods.problem(format!("{line}: {error}"));
            }
        }
    }

    /// Kills the gateway, looks at what the engine does without it, and starts it again.
    pub(crate) fn kill_gateway(&mut self, cast: &mut Cast, pods: &Pods, random: &mut Random) {
        let name = format!("absence-{}", self.absences.len());
        let pod = self.cri.run_pod(&name, &json!({})).unwrap();
        if let Err(problem) = no_zombies(self.gateway.pid()) {
            pods.problem(problem);
        }
        let killed = now();
        self.gateway.end(Signal::KILL);
        std::thread::sleep(Duration::from_millis(random.below(400)));
        let mut without = pods.create(&mut self.cri, &pod, &name);
        if !self.required && without.as_ref().is_err_and(|error| is_refused_without_gateway(error)) {
            // The engine notices that the gateway is gone when it has the result validated, and refuses that one.
            without = pods.create(&mut self.cri, &pod, &name);
        }
        std::thread::sleep(Duration::from_millis(random.below(400)));
        let (log_from, started) = (self.gateway.log().len(), now());
        cast.all_end(Span { from: killed, until: started });
        self.gateway.start_again();
        self.gateway.wait_until_ready(self.absences.len() + 2);
        self.absences.push(Absence { killed, started, ready: now(), log_from });
        let container = match (self.required, without) {
            (true, Err(error)) if is_refused_without_gateway(&error) => {
                pods.create(&mut self.cri, &pod, &name)
            }
            (false, Ok(container)) => Ok(container),
            (_, other) => {
                pods.problem(format!("created while the gateway was away: {other:?}"));
                other
            }
        };
        match container {
            Ok(container) => {
                if let Err(error) = pods.ask(&mut self.cri, &json!({"do": "start", "container": container})) {
                    pods.problem(format!("start after an absence: {error}"));
                }
                self.remove(pods, &pod, &container);
            }
            Err(error) => pods.problem(format!("created after an absence: {error}")),
        }
    }
}
