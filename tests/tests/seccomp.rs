//! `nri seccomp listen` at the other end of real policies, under runc and crun.

#![expect(clippy::unwrap_used, reason = "in a test a panic is how a failure is reported")]

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nri_tests::bundle::possible;
use nri_tests::ours::nri;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A listener that does not outlive its test.
struct Listener {
    child: Child,
    socket: PathBuf,
}

impl Listener {
    fn start(socket: PathBuf, args: &[&str]) -> Self {
        let child = Command::new(nri())
            .args(["seccomp", "listen"])
            .arg(&socket)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let listener = Self { child, socket };
        wait_for("the listener's socket", || UnixStream::connect(&listener.socket).is_ok());
        listener
    }

    fn stop(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end: its lines and what it said.
    fn finish(mut self) -> (Vec<Value>, String) {
        let mut status = None;
        wait_for("the listener's end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let (mut lines, mut said) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut lines).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(status.unwrap().code(), Some(0), "{said}");
        assert!(!self.socket.exists(), "the socket stays behind");
        (lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), said)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It has ended in tests that pass.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A bundle that sees the host's programs, with this policy.
fn bundle(folder: &Path, policy: &Value, command: &str) {
    nri_tests::bundle::write(folder, policy, &["sh", "-c", command]).unwrap();
}

fn run(runtime: &str, id: &str, folder: &Path) -> Output {
    nri_run(runtime, id, &["--bundle", folder.to_str().unwrap()])
}

fn nri_run(runtime: &str, id: &str, args: &[&str]) -> Output {
    let mut command = nri_tests::bundle::command(&nri());
    command.args(["run", "--runtime", runtime, "--id", id]).args(args);
    command.stdin(Stdio::null()).output().unwrap()
}

/// Every answer, as a program in the container sees it.
#[test]
fn answers() {
    for runtime in ["runc", "crun"] {
        if !possible(runtime) {
            continue;
        }
        for (case, args, command, expect, actions) in [
            (0, &["--action", "continue"][..], "mkdir /tmp/a && echo made", "made\n", &["continue"][..]),
            (
                1,
                &["--syscall", "mkdir=errno=30"],
                "mkdir /tmp/a 2>&1 | grep -o Read-only; test -e /tmp/a || echo none",
                "Read-only\nnone\n",
                &["errno=30"],
            ),
            (
                2,
                &["--syscall", "mkdir=return=0"],
                "mkdir /tmp/a && test -e /tmp/a || echo none",
                "none\n",
                &["return=0"],
            ),
            (
                3,
                &["--action", "errno=1", "--syscall", "mkdir=log"],
                "mkdir /tmp/a && mkdir /tmp/b && echo made",
                "made\n",
                &["log", "log"],
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let socket = folder.path().join("s");
            bundle(
                folder.path(),
                &json!({
                    "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": socket, "listenerMetadata": "meta",
                    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]
                }),
                command,
            );
            let id = format!("nri-test-answers-{runtime}-{case}");
            let listener = Listener::start(socket, &[args, &["--once"]].concat());
            let output = run(runtime, &id, folder.path());
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(String::from_utf8_lossy(&output.stdout), expect, "{runtime} {args:?}: {stderr}");
            let (lines, said) = listener.finish();
            let found: Vec<&str> = lines.iter().map(|line| line["action"].as_str().unwrap()).collect();
            assert_eq!(found, actions, "{runtime} {args:?}: {said}");
            for line in &lines {
                assert_eq!((&line["container"], &line["metadata"]), (&json!(id), &json!("meta")));
                assert!(line["syscall"].as_str().unwrap().starts_with("mkdir"), "{line}");
                assert!(
                    line["pid"].as_u64().unwrap() > 0 && line["args"].as_array().unwrap().len() == 6,
                    "{line}"
                );
            }
        }
    }
}

/// Edits of the bundled plugin, as a program in the container meets them.
#[test]
fn edits_bite() {
    for runtime in ["runc", "crun"] {
        if !possible(runtime) {
            continue;
        }
        let program = "mkdir /tmp/made 2>&1 && echo made; grep Seccomp: /proc/self/status";
        for (case, edits, expect) in [
            ("errno", "[{set: [{names: [mkdir, mkdirat], action: ERRNO}]}]", "Operation not permitted"),
            (
                "number",
                "[{set: [{names: [mkdir, mkdirat], action: ERRNO, errnoRet: 30}]}]",
                "Read-only file system",
            ),
            ("log", "[{switch: {from: ALLOW, names: [mkdir, mkdirat], to: LOG}}]", "made"),
            (
                "remove",
                "[{remove: [mkdir, mkdirat]}, {add: [{names: [mkdir, mkdirat], action: ALLOW}]}]",
                "made",
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let config = folder.path().join("seccomp.yaml");
            std::fs::write(&config, format!("rules: [{{edits: {edits}}}]")).unwrap();
            let plugin = format!("seccomp={}", config.display());
            let id = format!("nri-test-edits-{runtime}-{case}");
            let output = nri_run(runtime, &id, &["--plugin", &plugin, "--", "sh", "-c", program]);
            let stdout = String::from_utf8_lossy(&output.stdout);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(stdout.contains(expect), "{runtime} {case}: {stdout}{stderr}");
            assert!(stdout.contains("Seccomp:\t2"), "{runtime} {case}: {stdout}{stderr}");
        }
    }
}

/// A listener for each pod: by template, by the pod's annotation, and never outside the allowed directories.
#[test]
fn listeners_of_pods() {
    if !possible("runc") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let agents = folder.path().join("agents");
    std::fs::create_dir_all(agents.join("shop")).unwrap();
    let config = folder.path().join("seccomp.yaml");
    let text = format!(
        "listenerDirectories: [{0}]\nrules:\n- edits: [{{set: [{{names: [mkdir, mkdirat], action: NOTIFY}}]}}]\n  listener: {{path: '{0}/{{namespace}}/{{name}}', metadata: '{{uid}}', pathAnnotation: example.com/listener}}\n",
        agents.display()
    );
    std::fs::write(&config, text).unwrap();
    let start = |name: &str, annotation: Option<&Path>| {
        let pod = folder.path().join(format!("{name}.json"));
        let mut json = json!({"id": name, "name": name, "namespace": "shop", "uid": format!("uid-{name}")});
        if let Some(path) = annotation {
            json["annotations"] = json!({"example.com/listener": path});
        }
        std::fs::write(&pod, json.to_string()).unwrap();
        let plugin = format!("seccomp={}", config.display());
        let args =
            ["--pod", pod.to_str().unwrap(), "--plugin", &plugin, "--", "sh", "-c", "mkdir /tmp/a 2>&1"];
        nri_run("runc", &format!("nri-test-pods-{name}"), &args)
    };
    for (name, socket, annotated) in
        [("web", agents.join("shop/web"), false), ("annotated", agents.join("other"), true)]
    {
        let listener = Listener::start(socket.clone(), &["--once", "--action", "errno=30"]);
        let output = start(name, annotated.then_some(&socket));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            said.contains("Read-only file system"),
            "{name}: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let (lines, _) = listener.finish();
        assert_eq!(lines[0]["metadata"], format!("uid-{name}"));
    }
    let output = start("outside", Some(&folder.path().join("elsewhere")));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{stderr}");
    assert!(stderr.contains("is in none of the listenerDirectories"), "{stderr}");
}

/// Two containers at a time, each with calls of its own; a signal ends the listener in order.
#[test]
fn several_containers() {
    if !possible("runc") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let ids = ["nri-test-several-a", "nri-test-several-b"];
    let policy = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": socket,
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]
    });
    let listener = Listener::start(socket, &["--action", "continue"]);
    let runs = ids.map(|id| {
        let own = folder.path().join(id);
        // The calls of several processes under one filter.
        bundle(&own, &policy, "for i in 1 2 3 4 5; do mkdir /tmp/$i & done; wait; ls /tmp | wc -l");
        std::thread::spawn(move || run("runc", id, &own))
    });
    for run in runs {
        let output = run.join().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            "5",
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    listener.stop(Signal::TERM);
    let (lines, _) = listener.finish();
    for id in ids {
        assert_eq!(lines.iter().filter(|line| line["container"] == id).count(), 5, "{id}");
    }
}

/// Each process that is put into a container brings a descriptor of its own; the listener ends after the last one.
#[test]
fn several_descriptors_of_a_container() {
    if !possible("runc") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let policy = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": socket,
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]
    });
    bundle(folder.path(), &policy, "until test -e /tmp/end; do sleep 0.05; done");
    let id = "nri-test-descriptors";
    let runc = |args: &[&str]| {
        let mut command = Command::new("runc");
        command.arg("--root").arg(folder.path().join("runc")).args(args).current_dir(folder.path());
        // A detached container keeps what it inherits: no pipes.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap()
    };
    let listener = Listener::start(socket, &["--once", "--action", "errno=1"]);
    assert!(runc(&["run", "--detach", id]).success());
    for name in ["/tmp/a", "/tmp/b"] {
        assert!(!runc(&["exec", id, "mkdir", name]).success(), "{name} was made");
    }
    assert!(runc(&["exec", id, "touch", "/tmp/end"]).success());
    let (lines, said) = listener.finish();
    runc(&["delete", "--force", id]);
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines.iter().all(|line| line["container"] == id && line["action"] == "errno=1"), "{lines:?}");
}

/// Who talks nonsense is cut off, and nobody else is.
#[test]
fn hostile_senders() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let listener = Listener::start(socket.clone(), &[]);
    let long = format!("\"{}", "x".repeat(512 << 10));
    let waiting = UnixStream::connect(&socket).unwrap();
    let states = ["x", "{}", "[1]", r#"{"fds":["seccompFd"],"state":{"id":"c"}}"#, "{", &long];
    for state in states {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // It may be cut off before all is written.
        let _ = stream.write_all(state.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty());
    }
    drop(waiting);
    listener.stop(Signal::INT);
    let (lines, said) = listener.finish();
    assert!(lines.is_empty());
    assert_eq!(
        said.lines().filter(|line| line.contains("connection of a runtime ended")).count(),
        states.len(),
        "{said}"
    );
}

/// Wrong options and paths are one clear line and exit code 2; a socket that is in use is 3.
#[test]
fn bad_usage() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let listener = Listener::start(folder.path().join("s"), &[]);
    let (file, used) = (file.to_str().unwrap().to_owned(), listener.socket.to_str().unwrap().to_owned());
    let below = format!("{file}/s");
    for (args, code, text) in [
        (vec!["/tmp/s", "--action", "deny"], 2, "expected log, continue"),
        (vec!["/tmp/s", "--syscall", "mkdri=log"], 2, "no system call is named \"mkdri\""),
        (vec![&file], 2, "something that is no socket"),
        (vec![&below], 3, "failed to listen at"),
        (vec![&used], 3, "listens there"),
    ] {
        let output = Command::new(nri()).args(["seccomp", "listen"]).args(&args).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(text), "{args:?}: {stderr}");
    }
    listener.stop(Signal::INT);
    listener.finish();
}
