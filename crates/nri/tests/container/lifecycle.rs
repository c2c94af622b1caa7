//! Exit codes, signals, the default environment, and what is left behind: nothing.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use rustix::process::Signal;

use super::support::{RUNTIMES, assert_gone, output, own_id, read_until, run, send, start, wait_for_program};

#[test]
fn exit_codes() {
    for runtime in RUNTIMES {
        for (id, command, expect) in [
            ("ok", "exit 0", 0),
            ("seven", "exit 7", 7),
            ("killed", "kill -9 $$; sh -c 'kill -9 $PPID'; exit 9", 9),
            ("child-killed", "sh -c 'kill -9 $$'; exit $?", 137),
        ] {
            let Some(mut command_line) = run(runtime) else { return };
            let id = own_id!("exit-{runtime}-{id}");
            let (code, _, stderr) = output(command_line.args(["--id", &id, "--", "sh", "-c", command]));
            assert_eq!(code, expect, "{id}: {stderr}");
            assert_gone(&id);
        }
        let Some(mut command) = run(runtime) else { return };
        let (code, _, stderr) = output(command.args(["--", "nope"]));
        assert_eq!((code, stderr.starts_with("error: command \"nope\"")), (127, true), "{stderr}");
    }
}

/// cli.md, "nri run": the default root file system, capabilities, seccomp, namespaces, `--env`.
#[test]
fn the_default_container() {
    const LOOK: &str = "id -u; cat /proc/1/comm; grep -E 'Seccomp:|CapBnd' /proc/self/status; echo $A; hostname; \
        mkdir /made && echo made; mkdir /usr/made 2>/dev/null || echo read-only; ls /sys/class/net; ls / | wc -l; \
        unshare -m true 2>/dev/null || echo no-unshare; cat /proc/kcore | wc -c; pwd; test -w /tmp && echo tmp";
    for runtime in RUNTIMES {
        let Some(mut command) = run(runtime) else { return };
        let id = own_id!("default-{runtime}");
        let (code, stdout, stderr) =
            output(command.args(["--id", &id, "--env", "A=b c", "--", "sh", "-c", LOOK]));
        assert_eq!(code, 0, "{stderr}");
        let entries =
            stdout.lines().find(|line| line.parse().is_ok_and(|count: u32| count > 5)).unwrap().to_owned();
        let expect = format!(
            "0\nsh\nCapBnd:\t00000000a80425fb\nSeccomp:\t2\nb c\n{id}\nmade\nread-only\nlo\n{entries}\nno-unshare\n0\n/\ntmp\n"
        );
        assert_eq!(stdout, expect, "{runtime}: {stderr}");
        assert_gone(&id);
    }
}

#[test]
fn stdin_and_stdout_pass_through() {
    for runtime in RUNTIMES {
        let Some(mut command) = run(runtime) else { return };
        let mut child = command
            .args(["--", "tr", "a-z", "A-Z"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"through\n").unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "THROUGH\n");
        assert!(output.status.success());
    }
}

/// A signal goes to the container; one that its first process does not handle ends it, as it would anywhere else.
#[test]
fn signals_are_passed_on() {
    for runtime in RUNTIMES {
        for (name, signal, expect) in [("caught", Signal::TERM, 5), ("user", Signal::USR1, 6)] {
            let Some(mut command) = run(runtime) else { return };
            let id = own_id!("signal-{runtime}-{name}");
            let script = "trap 'exit 5' TERM; trap 'exit 6' USR1; echo ready; while :; do sleep 0.1; done";
            let mut running =
                start(command.args(["--id", &id, "--", "sh", "-c", script]).stdout(Stdio::piped()));
            read_until(&running.stdout(), "ready");
            send(&running, signal);
            assert_eq!(running.code(), Some(expect), "{id}");
            assert_gone(&id);
        }
        for (name, signal, expect) in [("interrupt", Signal::INT, 130), ("hangup", Signal::HUP, 129)] {
            let Some(mut command) = run(runtime) else { return };
            let id = own_id!("signal-{runtime}-{name}");
            let running = start(command.args(["--id", &id, "--", "sleep", "1000"]));
            wait_for_program(&id, "sleep");
            send(&running, signal);
            assert_eq!(running.code(), Some(expect), "{id}");
            assert_gone(&id);
        }
    }
}

/// Whenever the signal comes, nothing stays: the moments are spread over the whole of a start.
#[test]
fn interrupted_at_any_moment() {
    for (step, runtime) in (0..24).zip(RUNTIMES.iter().cycle()) {
        let Some(mut command) = run(runtime) else { return };
        let id = own_id!("interrupt-{step}");
        let running = start(command.args(["--id", &id, "--", "sleep", "1000"]).stderr(Stdio::piped()));
        std::thread::sleep(std::time::Duration::from_millis(step * 12));
        send(&running, Signal::INT);
        let (code, said) = running.ended();
        // Before nri has begun to listen, the signal's default effect ends it (or the shell that becomes it).
        assert!(code == Some(130) || code.is_none(), "{id}: {code:?} {said}");
        assert_gone(&id);
    }
}

#[test]
fn a_killed_run_is_cleaned_up_by_the_next() {
    for runtime in RUNTIMES {
        let Some(mut command) = run(runtime) else { return };
        let id = own_id!("crash-{runtime}");
        let running = start(command.args(["--id", &id, "--", "sleep", "1000"]));
        let pid = wait_for_program(&id, "sleep");
        send(&running, Signal::KILL);
        assert_eq!(running.code(), None);
        let Some(mut command) = run(runtime) else { return };
        assert_eq!(output(command.args(["--id", &id, "--", "true"])).0, 0);
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(!line.starts_with("sleep"), "the container still runs");
        assert_gone(&id);
    }
}

/// `--keep` leaves the directory to the next runs, `--clean` takes it away.
#[test]
fn kept_until_cleaned() {
    let id = own_id!("kept");
    let Some(mut command) = run("runc") else { return };
    let (code, _, stderr) = output(command.args(["--id", &id, "--keep", "--", "true"]));
    assert_eq!(code, 0);
    assert!(
        stderr.ends_with(&format!("warning: kept /run/nri/run/{id}; `nri run --clean` removes it\n")),
        "{stderr}"
    );
    let Some(mut command) = run("runc") else { return };
    assert_eq!(output(command.args(["--", "true"])).0, 0);
    assert!(fs::metadata(format!("/run/nri/run/{id}/config.json")).is_ok());
    let Some(mut command) = run("runc") else { return };
    assert_eq!(output(command.args(["--id", &id, "--", "true"])).0, 125);
    let clean = std::process::Command::new(env!("CARGO_BIN_EXE_nri"))
        .args(["run", "--clean", "-v"])
        .output()
        .unwrap();
    let said = String::from_utf8(clean.stderr).unwrap();
    assert!(said.contains(&format!("info: removed what was left of container {id}\n")), "{said}");
    assert_gone(&id);
}

#[test]
fn an_id_in_use_is_refused() {
    let id = own_id!("in-use");
    let Some(mut command) = run("runc") else { return };
    let running = start(command.args(["--id", &id, "--", "sleep", "1000"]));
    wait_for_program(&id, "sleep");
    let Some(mut command) = run("runc") else { return };
    let (code, _, stderr) = output(command.args(["--id", &id, "--", "true"]));
    send(&running, Signal::TERM);
    assert_eq!(running.code(), Some(143));
    assert_eq!(code, 125);
    let expect = format!("error: container id {id:?} is in use (/run/nri/run/{id}); choose another --id");
    assert!(stderr.contains(&expect), "{stderr}");
}

#[test]
fn three_at_once() {
    let children: Vec<_> = (0..3)
        .map_while(|number| {
            let command = format!("sleep 0.3; echo {number}");
            run("runc")
                .map(|mut run| run.args(["--", "sh", "-c", &command]).stdout(Stdio::piped()).spawn().unwrap())
        })
        .collect();
    for (number, child) in children.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{number}\n"));
    }
}

#[test]
fn a_bundle_runs_and_is_not_modified() {
    for runtime in RUNTIMES {
        let Some(mut command) = run(runtime) else { return };
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("rootfs");
        for name in ["bin", "dev", "proc", "data"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        if fs::copy("/bin/busybox", root.join("bin/busybox")).is_err() {
            return println!("skipped: a bundle of its own; apt-get install busybox-static");
        }
        fs::create_dir(dir.path().join("source")).unwrap();
        fs::write(dir.path().join("source/file"), "bound\n").unwrap();
        let config = r#"{"ociVersion":"1.0.2","process":{"args":["/bin/busybox","cat","/data/file"],"cwd":"/","user":{"uid":0,"gid":0}},
            "root":{"path":"rootfs","readonly":true},
            "mounts":[{"destination":"/proc","type":"proc","source":"proc"},
                {"destination":"/data","type":"bind","source":"source","options":["bind","ro"]}],
            "linux":{"namespaces":[{"type":"pid"},{"type":"mount"}]}}"#;
        fs::write(dir.path().join("config.json"), config).unwrap();
        let (code, stdout, stderr) = output(command.arg("--bundle").arg(dir.path()));
        assert_eq!((code, stdout.as_str()), (0, "bound\n"), "{stderr}");
        assert_eq!(fs::read_to_string(dir.path().join("config.json")).unwrap(), config);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }
}

#[test]
fn crun_on_hybrid_cgroups_says_what_to_do() {
    if run("crun").is_none() || !std::path::Path::new("/sys/fs/cgroup/unified/cgroup.procs").exists() {
        return;
    }
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_nri"));
    let (code, _, stderr) = output(command.args(["run", "--runtime", "crun", "--", "true"]));
    assert_eq!(code, 125);
    assert!(stderr.contains("unshare -m sh -c 'umount /sys/fs/cgroup/unified"), "{stderr}");
}
