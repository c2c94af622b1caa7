//! Against a real containerd (`cargo xtask test` builds it): our bundled plugins, connected as any plugin is.

#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is the report of the failure")]

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nri_tests::cri::Cri;
use nri_tests::engine::Containerd;
use nri_tests::wait::until;
use nri_tests::{ours, skipped};
use serde_json::json;

const NO_MKDIR: &str = "\
rules:
- match: {containers: [edited]}
  edits:
  - set: [{names: [mkdir, mkdirat], action: ERRNO, errnoRet: 1}]
";

/// The logger sees the life of pods and containers, and an edited policy is seen to bite.
#[test]
fn logger_and_seccomp_on_a_stock_engine() {
    let engine = match Containerd::start() {
        Ok(engine) => engine,
        Err(what) => return skipped(&what),
    };
    let mut cri = match Cri::connect(&engine.cri_socket()) {
        Ok(cri) => cri,
        Err(what) => return skipped(&what),
    };
    let folder = tempfile::tempdir().unwrap();
    let (log, config) = (folder.path().join("events"), folder.path().join("seccomp.yaml"));
    fs::write(&config, NO_MKDIR).unwrap();
    let logger = Plugin::start("logger", "05", &engine, None, &log);
    let _seccomp = Plugin::start("seccomp", "10", &engine, Some(&config), &folder.path().join("seccomp.log"));
    until("both plugins are there", || {
        let log = engine.log();
        log.contains("05-logger") && log.contains("10-seccomp")
    });

    let pod = cri.run_pod("shop", &json!({})).unwrap_or_else(|error| panic!("{error}\n{}", engine.log()));
    for (name, message, expected) in [("plain", "", 0), ("edited", "Operation not permitted", 1)] {
        let container = cri.run_container(&pod, name, &["sleep", "1000"]).unwrap();
        let (output, code) = cri.exec(&container, &["mkdir", "/tmp/made"]).unwrap();
        assert!(output.contains(message) && code == expected, "{name}: {output:?} {code}\n{}", engine.log());
        let (status, _) = cri.exec(&container, &["grep", "Seccomp:", "/proc/self/status"]).unwrap();
        assert_eq!(status.split_whitespace().last(), Some("2"), "{name}");
    }
    cri.remove_pod(&pod).unwrap();

    until("the logger has seen the pod go", || logger.said("RemovePodSandbox"));
    for event in [
        "Synchronize",
        "RunPodSandbox",
        "CreateContainer",
        "PostCreateContainer",
        "StartContainer",
        "PostStartContainer",
        "StopContainer",
        "RemoveContainer",
        "StopPodSandbox",
    ] {
        assert!(logger.said(event), "{event}");
    }
}

/// A bundled plugin that connects to the engine; ended with the test.
struct Plugin {
    process: Child,
    log: std::path::PathBuf,
}

impl Plugin {
    fn start(name: &str, index: &str, engine: &Containerd, config: Option<&Path>, log: &Path) -> Self {
        let mut command = Command::new(ours::nri());
        command.args(["plugin", name, "--index", index, "--socket"]).arg(engine.nri_socket());
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        let output = File::create(log).unwrap();
        let process =
            command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
        Self { process, log: log.to_owned() }
    }

    fn said(&self, word: &str) -> bool {
        fs::read_to_string(&self.log).is_ok_and(|text| text.contains(word))
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
