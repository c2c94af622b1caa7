//! `nri run` with real plugins: what they ask for is what the container gets, under runc and crun. Needs root.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the failure report")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use nri_tests::{is_root, ours, skipped};

/// Hides the cgroup2 hierarchy of a hybrid host, which crun refuses, and becomes the command.
const WITHOUT_CGROUP2: &str = r#"umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@""#;

/// `nri run` under each runtime that is there.
fn under_each(test: impl Fn(&dyn Fn() -> Command)) {
    if !is_root() {
        return skipped("containers with plugins; root is needed");
    }
    for runtime in ["runc", "crun"] {
        if !["/usr/sbin", "/usr/bin"].iter().any(|dir| Path::new(dir).join(runtime).exists()) {
            skipped(&format!("containers with plugins under {runtime}; apt-get install {runtime}"));
            continue;
        }
        test(&|| {
            let mut command = Command::new("unshare");
            let hide = if runtime == "crun" { WITHOUT_CGROUP2 } else { r#"exec "$@""# };
            command.args(["-m", "sh", "-c", hide, "sh"]).arg(ours::nri()).args(["run", "--runtime", runtime]);
            command.stdin(Stdio::null());
            command
        });
    }
}

fn output(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_plugin_sets_a_variable() {
    under_each(|run| {
        let hello = ours::example("hello");
        let id = format!("variable-{}", std::process::id());
        let (code, stdout, stderr) = output(run().args(["-v", "--id", &id, "--plugin"]).arg(&hello).args([
            "--",
            "sh",
            "-c",
            "echo $HELLO",
        ]));
        assert_eq!((code, stdout.as_str()), (0, format!("{id}\n").as_str()), "{stderr}");
        assert!(stderr.contains("\n00-hello  env    HELLO  add  -       "), "{stderr}");
    });
}

/// The policy that the plugin edits is the one that the kernel has.
#[test]
fn the_seccomp_plugin_bites() {
    under_each(|run| {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("seccomp.yaml");
        fs::write(
            &config,
            "rules: [{edits: [{set: [{names: [mkdir, mkdirat], action: ERRNO, errnoRet: 1}]}]}]",
        )
        .unwrap();
        let script = "mkdir /tmp/made 2>&1; grep Seccomp: /proc/self/status";
        let (code, stdout, _) = output(run().args(["--", "sh", "-c", script]));
        assert_eq!((code, stdout.as_str()), (0, "Seccomp:\t2\n"));
        let plugin = format!("seccomp={}", config.display());
        let (code, stdout, stderr) = output(run().args(["--plugin", &plugin, "--", "sh", "-c", script]));
        assert_eq!(code, 0, "{stderr}");
        assert!(stdout.ends_with("Operation not permitted\nSeccomp:\t2\n"), "{stdout}");
    });
}

#[test]
fn two_plugins_that_conflict_are_named() {
    under_each(|run| {
        let dir = tempfile::tempdir().unwrap();
        let plugins = ["10-a", "20-b"].map(|name| dir.path().join(name));
        for plugin in &plugins {
            std::os::unix::fs::symlink(ours::example("hello"), plugin).unwrap();
        }
        let (code, stdout, stderr) =
            output(run().arg("--plugin-dir").arg(dir.path()).args(["--", "echo", "ran"]));
        assert_eq!((code, stdout.as_str()), (125, ""));
        let last = stderr.lines().last().unwrap();
        assert_eq!(last, r#"error: CreateContainer: plugins "20-b" and "10-a" both tried to set Env HELLO"#);
    });
}

/// Every event of a run, in the order of cli.md.
#[test]
fn every_event_in_order() {
    under_each(|run| {
        let (code, _, stderr) = output(run().args(["--plugin", "logger", "--", "true"]));
        assert_eq!(code, 0, "{stderr}");
        let events: Vec<&str> =
            stderr.lines().filter_map(|line| line.strip_prefix("00-logger: event: ")).collect();
        let expect = [
            "Configure",
            "Synchronize",
            "RunPodSandbox",
            "CreateContainer",
            "ValidateContainerAdjustment",
            "PostCreateContainer",
            "StartContainer",
            "PostStartContainer",
            "StopContainer",
            "RemoveContainer",
            "StopPodSandbox",
            "RemovePodSandbox",
            "Shutdown",
        ];
        assert_eq!(events, expect);
    });
}

/// A plugin that connects by itself is waited for, and takes part.
#[test]
fn plugins_that_connect() {
    under_each(|run| {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("nri.sock");
        let mut plugin = Command::new(ours::nri())
            .args(["plugin", "logger", "--index", "50", "--socket"])
            .arg(&socket)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let listen = format!("outside={}", socket.display());
        let (code, stdout, stderr) =
            output(run().args(["--wait", "1", "--listen", &listen, "--", "echo", "ran"]));
        plugin.kill().unwrap();
        let said = String::from_utf8(plugin.wait_with_output().unwrap().stderr).unwrap();
        assert_eq!((code, stdout.as_str()), (0, "ran\n"), "{stderr}{said}");
        assert!(said.contains("event: CreateContainer"), "{said}");
        assert!(!socket.exists());
    });
}
