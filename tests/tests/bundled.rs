//! The bundled plugins as programs: launched by the reference's adaptation from links in a plugin directory, connecting
//! by themselves, and used wrongly.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a test a panic is how a failure is reported"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nri_tests::ours::nri;
use nri_tests::{go, skipped};
use serde_json::{Value, json};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The reference's adaptation, with these plugins (`NN-name`) and their configurations in its directories.
struct Host {
    child: Child,
    lines: Receiver<Value>,
    folder: tempfile::TempDir,
}

impl Host {
    fn start(plugins: &[(&str, String)]) -> Option<Self> {
        let program = go::peers().map_err(skipped).ok()?;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["plugins", "conf"] {
            std::fs::create_dir(path(name)).unwrap();
        }
        for (name, config) in plugins {
            symlink(nri(), path("plugins").join(name)).unwrap();
            std::fs::write(path("conf").join(format!("{name}.conf")), config).unwrap();
        }
        let mut child = Command::new(program)
            .args(["host", "-name", "go-host", "-version", "v1.2.3", "-request-timeout", "20000", "-socket"])
            .arg(path("nri.sock"))
            .arg("-plugins")
            .arg(path("plugins"))
            .arg("-config")
            .arg(path("conf"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (line, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for text in output.lines().map_while(Result::ok) {
                let _ = line.send(serde_json::from_str(&text).unwrap());
            }
        });
        let mut host = Self { child, lines, folder };
        host.call("start", &json!({"do": "start", "pods": [pod()], "containers": []}));
        Some(host)
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("nri.sock")
    }

    fn call(&mut self, event: &str, command: &Value) -> Value {
        writeln!(self.child.stdin.as_mut().unwrap(), "{command}").unwrap();
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap();
            if line["event"] == event {
                return line;
            }
        }
    }

    fn relay(&mut self, call: &str, request: &Value) -> Value {
        self.call(call, &json!({"do": call, "request": request}))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pod() -> Value {
    json!({"id": "p", "name": "web", "namespace": "team-a", "uid": "u"})
}

fn container(policy: &Value) -> Value {
    json!({"id": "c", "podSandboxId": "p", "name": "app", "args": ["login", "s3cret"], "env": ["TOKEN=s3cret"],
        "linux": {"seccompPolicy": policy}})
}

/// Every event reaches the log, in order, without secrets; the policy is edited; the template does not disturb.
#[test]
fn launched_from_a_plugin_directory() {
    let log = tempfile::tempdir().unwrap();
    let file = log.path().join("events");
    let plugins = [
        ("50-template", String::new()),
        (
            "60-seccomp",
            "rules: [{match: {namespaces: ['team-*']}, edits: [{set: [{names: [mkdir], action: ERRNO}]}]}]"
                .to_owned(),
        ),
        ("99-logger", format!("format: json\nfile: {}\n", file.display())),
    ];
    let Some(mut host) = Host::start(&plugins) else { return };
    let policy = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["mkdir", "read"], "action": "SCMP_ACT_ALLOW"}]});
    let of_pod = json!({"pod": pod()});
    let of_container = json!({"pod": pod(), "container": container(&policy)});

    let calls = [
        ("RunPodSandbox", &of_pod),
        ("UpdatePodSandbox", &of_pod),
        ("PostUpdatePodSandbox", &of_pod),
        ("CreateContainer", &of_container),
        ("PostCreateContainer", &of_container),
        ("StartContainer", &of_container),
        ("PostStartContainer", &of_container),
        ("UpdateContainer", &of_container),
        ("PostUpdateContainer", &of_container),
        ("StopContainer", &of_container),
        ("RemoveContainer", &of_container),
        ("StopPodSandbox", &of_pod),
        ("RemovePodSandbox", &of_pod),
    ];
    for (call, request) in calls {
        let line = host.relay(call, request);
        assert_eq!(line["error"], Value::Null, "{call}");
        if call == "CreateContainer" {
            let edited = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]});
            assert_eq!(line["response"]["adjust"]["linux"]["seccompPolicy"], edited);
        }
    }

    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("s3cret") && text.contains("TOKEN=<6 bytes>"), "{text}");
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    let mut expect = vec!["Configure", "Synchronize"];
    for (call, _) in calls {
        expect.push(call);
        if call == "CreateContainer" {
            expect.push("ValidateContainerAdjustment");
        }
    }
    assert_eq!(names, expect);
    assert_eq!(events[1]["message"]["pods"], json!([pod()]));
    assert_eq!(events[6]["message"]["adjust"]["linux"]["seccompPolicy"]["defaultAction"], "SCMP_ACT_ERRNO");
}

/// What cannot be done fails the creation, by name and rule.
#[test]
fn creations_that_are_refused() {
    let config = "rules: [{edits: [{add: [{names: [mkdir], action: ERRNO, errnoRet: 13}]}]}]";
    let Some(mut host) = Host::start(&[("60-seccomp", config.to_owned())]) else { return };
    let policy = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ALLOW"}]});
    for (request, expect) in [
        (
            json!({"pod": pod(), "container": container(&policy)}),
            "edits[0]: the rule for mkdir has no effect",
        ),
        (
            json!({"pod": pod(), "container": {"id": "c", "name": "app"}}),
            "the container has no policy to edit",
        ),
    ] {
        let error = host.relay("CreateContainer", &request)["error"].as_str().unwrap().to_owned();
        assert!(error.contains("seccomp rules[0]: ") && error.contains(expect), "{error}");
    }
}

/// The runtime's text counts, that of `--config` only where there is none; without either the plugin ends and says so.
#[test]
fn connecting_plugins() {
    let Some(mut host) = Host::start(&[]) else { return };
    let output = plugin(&["seccomp", "--socket", host.socket().to_str().unwrap()]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("needs a configuration with rules"), "{stderr}");

    let config = host.folder.path().join("own.yaml");
    std::fs::write(&config, "rules: [{policy: {inline: {defaultAction: SCMP_ACT_LOG}}}]").unwrap();
    let mut child = Command::new(nri())
        .args(["plugin", "seccomp", "--index", "05", "--socket"])
        .arg(host.socket())
        .arg("--config")
        .arg(&config)
        .spawn()
        .unwrap();
    while host.lines.recv_timeout(PATIENCE).unwrap()["event"] != "plugins" {}
    let line = host.relay("CreateContainer", &json!({"pod": pod(), "container": {"id": "c", "name": "app"}}));
    let _ = child.kill();
    let _ = child.wait();
    assert_eq!(
        line["response"]["adjust"]["linux"]["seccompPolicy"],
        json!({"defaultAction": "SCMP_ACT_LOG"})
    );
}

fn plugin(args: &[&str]) -> Output {
    Command::new(nri()).arg("plugin").args(args).stdin(Stdio::null()).output().unwrap()
}

/// One clear line, with file and position where there is one.
#[test]
fn bad_usage() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let misspelt = file("misspelt.yaml", "format: json\nevnts: pod\n");
    let unknown = file("unknown.yaml", "rules:\n- edits:\n  - remove: [mkdri]\n");
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let absent = text(&folder.path().join("absent.yaml"));
    for (args, expect) in [
        (
            vec!["loger"],
            "no bundled plugin is named \"loger\", expected logger, seccomp, template".to_owned(),
        ),
        (vec!["logger", "--index", "7"], "expected two digits".to_owned()),
        (vec!["logger", "--config", &absent], format!("failed to read {absent}")),
        (vec!["logger", "--config", &misspelt], format!("{misspelt}: ")),
        (vec!["logger", "--config", &misspelt], "line 2".to_owned()),
        (vec!["seccomp", "--config", &unknown], "no system call is named \"mkdri\"".to_owned()),
        (vec!["seccomp", "--config", &unknown], "line 3".to_owned()),
    ] {
        let output = plugin(&args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(&expect), "{args:?}: {stderr}");
    }
    let output = plugin(&["list"]);
    let names: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    assert!(output.status.success() && names.len() == 3 && names[1].starts_with("seccomp "), "{names:?}");
}
