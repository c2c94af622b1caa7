//! Wrong input: one clear line each, and the exit codes of cli.md.

#![expect(
    clippy::unwrap_used,
    reason = "a failed unwrap is the failure report; `skipped: …` says what could not run"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

fn nri(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nri")).args(args).output().unwrap()
}

/// The exit code, and the start of the one line on stderr.
fn check(args: &[&str], code: i32, expect: &str) {
    let output = nri(args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "nri {args:?}: {said}");
    assert!(said.starts_with(expect), "nri {args:?}: {said}");
    assert!(output.stdout.is_empty(), "nri {args:?}");
    assert_eq!(said.lines().count(), 1, "nri {args:?}: {said}");
}

#[test]
fn flags() {
    check(&["rnu"], 2, "error: unrecognized subcommand 'rnu'");
    check(&["run", "--rootfs"], 125, "error: a value is required for '--rootfs <DIR>'");
    check(&["run", "--nope"], 125, "error: unexpected argument '--nope' found");
    check(&["-v", "run", "--nope"], 125, "error: unexpected argument '--nope' found");
    check(
        &["run", "--env", "=x", "--", "true"],
        125,
        "error: invalid value '=x' for '--env <NAME=VALUE>': NAME=VALUE is expected",
    );
    check(
        &["run", "--rootfs", "/a", "--bundle", "/b"],
        125,
        "error: the argument '--rootfs <DIR>' cannot be used with '--bundle <DIR>'",
    );
    check(
        &["run", "--clean", "--", "true"],
        125,
        "error: the argument '--clean' cannot be used with '[CMD]...'",
    );
    check(&["run", "--log-format", "xml"], 125, "error: invalid value 'xml' for '--log-format <FORMAT>'");
}

#[test]
fn every_command_has_help_with_an_example() {
    for command in [
        &["--help"][..],
        &["run", "--help"],
        &["plugins", "--help"],
        &["gateway", "--help"],
        &["policy", "--help"],
        &["policy", "check", "--help"],
        &["policy", "explain", "--help"],
    ] {
        let output = nri(command);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0));
        assert!(said.contains("Example"), "{command:?}");
        assert!(said.contains("  nri "), "{command:?}");
    }
    assert!(String::from_utf8_lossy(&nri(&["--version"]).stdout).starts_with("nri 0."));
}

#[test]
fn files_and_names() {
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: what `nri run` says about files; root is needed");
    }
    check(
        &["run", "--runtime", "nope", "--", "true"],
        125,
        "error: no runtime \"nope\" in PATH; pass --runtime runc, crun or a path",
    );
    check(&["run", "--runtime", "/nope", "--", "true"], 125, "error: runtime /nope does not exist; pass");
    check(&["run", "--runtime", "/etc", "--", "true"], 125, "error: runtime /etc is not a file");
    check(&["run", "--runtime", "/bin/true", "--", "true"], 125, "error: /usr/bin/true is no OCI runtime");
    check(
        &["run", "--id", "a/b", "--", "true"],
        125,
        "error: invalid container id \"a/b\": 1 to 48 of the characters",
    );
    check(
        &["run", "--rootfs", "/nope", "--", "true"],
        125,
        "error: no root file system at /nope: No such file",
    );
    check(&["run", "--bundle", "/nope"], 125, "error: cannot open bundle /nope: No such file");
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().to_str().unwrap();
    check(
        &["run", "--bundle", bundle],
        125,
        &format!("error: cannot read {bundle}/config.json: No such file"),
    );
    fs::write(dir.path().join("config.json"), "{\n  \"process\": }").unwrap();
    check(
        &["run", "--bundle", bundle],
        125,
        &format!("error: {bundle}/config.json:2:14: not JSON: expected value; an OCI runtime spec"),
    );
    fs::write(dir.path().join("config.json"), "{\"process\": {}}").unwrap();
    check(
        &["run", "--bundle", bundle],
        125,
        &format!("error: no root file system at {bundle}/rootfs: No such file"),
    );
    fs::create_dir(dir.path().join("rootfs")).unwrap();
    check(&["run", "--bundle", bundle], 125, "error: there is no command to run");
    check(
        &["run", "--bundle", bundle, "--", "/nope"],
        127,
        "error: command \"/nope\" does not exist in the container",
    );
    check(&["run", "--", "/nope"], 127, "error: command \"/nope\" does not exist in the container");
    check(
        &["run", "--", "nope"],
        127,
        "error: command \"nope\" is in none of the container's directories /usr/local/sbin:",
    );
    check(
        &["run", "--", "/etc/alternatives"],
        126,
        "error: command \"/etc/alternatives\" is no executable file",
    );
}

#[test]
fn gateways_that_are_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("control.sock");
    let path = socket.to_str().unwrap();
    let expect = format!(
        "error: no gateway listens at {path}; start `nri gateway`, or name its socket with --control PATH"
    );
    check(&["plugins", "--control", path], 3, &expect);
    drop(UnixListener::bind(&socket).unwrap());
    check(&["plugins", "-o", "json", "--control", path], 3, &expect);
    check(&["plugins", "-o", "yaml"], 2, "error: invalid value 'yaml' for '--output <FORMAT>'");
    fs::write(dir.path().join("file"), "").unwrap();
    let file = dir.path().join("file");
    check(&["plugins", "--control", file.to_str().unwrap()], 3, "error: no gateway listens at ");
    let below = file.join("s");
    check(&["plugins", "--control", below.to_str().unwrap()], 3, "error: failed to ask the gateway at ");
}

#[test]
fn sockets_of_a_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (engine, listen, control) = (path("engine.sock"), path("nri.sock"), path("control.sock"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    fs::write(path("file"), "").unwrap();
    let gateway = |control: &str, metrics: &str, code, expect: &str| {
        let state = path("state");
        let args = ["gateway", "--engine-socket", &engine, "--listen", &listen, "--state-dir", &state];
        let more = ["--control", control, "--metrics", metrics];
        check(&[&args[..], &more[..]].concat(), code, expect);
        assert!(!dir.path().join("nri.sock").exists(), "{expect}");
    };
    gateway(&control, "9464", 2, "error: --metrics 9464: an IP address with port is expected, such as 127");
    gateway(&control, &taken, 3, &format!("error: failed to listen at {taken} for --metrics: Address"));
    let file = path("file");
    let unix = format!("unix:{file}");
    gateway(&control, &unix, 3, &format!("error: --metrics: failed to listen at {file}: there is something"));
    gateway(&file, "127.0.0.1:0", 3, &format!("error: --control: failed to listen at {file}: there is"));
}

#[test]
fn a_gateway_of_root_is_for_root() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = dir.path().join("nri");
    copy_to(&copy);
    let socket = dir.path().join("control.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).unwrap();
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: the socket of another user; root is needed");
    }
    let mut command = Command::new(copy);
    let output =
        command.uid(65534).args(["plugins", "--control"]).arg(&socket).current_dir("/").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let expect = format!("error: nri plugins needs root, to ask the gateway at {}\n", socket.display());
    assert_eq!(String::from_utf8_lossy(&output.stderr), expect);
}

/// By a process of its own: what this one has open for writing, a child of another test may hold open as well, and then
/// it cannot be executed.
fn copy_to(path: &Path) {
    let status = Command::new("cp").arg(env!("CARGO_BIN_EXE_nri")).arg(path).status().unwrap();
    assert!(status.success());
}

#[test]
fn root_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = dir.path().join("nri");
    copy_to(&copy);
    let mut command = Command::new(copy);
    if rustix::process::geteuid().is_root() {
        command.uid(65534);
    }
    let output = command.args(["run", "--", "true"]).current_dir("/").output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "error: nri run needs root, to create containers; `nri adjust` does not\n"
    );
}
