//! `nri adjust` with real plugins: decisions, exit codes, and the three forms of output (cli.md, "nri adjust").

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is the failure report")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nri_tests::ours;
use serde_json::{Value, json};

const SPEC: &str = r#"{"ociVersion":"1.0.2","process":{"args":["sh"],"env":["A=1"],"cwd":"/"},"x-own":18446744073709551615}"#;

struct Case {
    dir: tempfile::TempDir,
}

impl Case {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.json"), SPEC).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// An example plugin under a name of its own.
    fn plugin(&self, example: &str, name: &str) -> String {
        symlink(ours::example(example), self.path(name)).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Exit code, stdout, stderr of `nri adjust`, in this case's folder.
    fn adjust(&self, args: &[&str]) -> (i32, String, String) {
        let output =
            Command::new(ours::nri()).arg("adjust").args(args).current_dir(self.dir.path()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    fn decision(&self, args: &[&str]) -> (i32, Value) {
        let (code, stdout, stderr) = self.adjust(&[&["--spec", "config.json", "-o", "json"], args].concat());
        (code, serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}")))
    }
}

#[test]
fn the_decision() {
    let case = Case::new();
    let hello = case.plugin("hello", "10-hello");
    let (code, mut decision) = case.decision(&["--plugin", &hello]);
    assert_eq!(code, 0);
    let micros = decision["plugins"][0].as_object_mut().unwrap().remove("micros").unwrap();
    assert!(micros.as_u64().unwrap() > 0);
    let mut spec: Value = serde_json::from_str(SPEC).unwrap();
    spec["process"]["env"] = json!(["A=1", "HELLO=container"]);
    assert_eq!(decision["adjust"]["env"], json!([{"key": "HELLO", "value": "container"}]));
    decision["adjust"] = json!({});
    let expect = json!({
        "version": 1, "id": "container", "outcome": "adjusted", "spec": spec, "adjust": {}, "updates": [], "evictions": [],
        "changes": [{"plugin": "10-hello", "field": "env", "key": "HELLO", "op": "add", "before": null, "after": "container"}],
        "refused": [], "plugins": [{"name": "hello", "index": "10", "outcome": "answer"}],
    });
    assert_eq!(decision, expect);
}

#[test]
fn nobody_changes_anything() {
    let case = Case::new();
    let (code, decision) = case.decision(&["--plugin", "template"]);
    assert_eq!((code, &decision["outcome"]), (0, &json!("unchanged")));
    assert_eq!(decision["spec"], serde_json::from_str::<Value>(SPEC).unwrap());
    let (code, stdout, _) = case.adjust(&["--spec", "config.json"]);
    assert_eq!((code, stdout.as_str()), (0, "no changes\n"));
}

/// Two plugins that set the same variable: both are named, in every form.
#[test]
fn a_conflict() {
    let case = Case::new();
    let (a, b) = (case.plugin("hello", "10-a"), case.plugin("hello", "20-b"));
    let (code, decision) = case.decision(&["--plugin", &b, "--plugin", &a]);
    assert_eq!((code, &decision["outcome"]), (1, &json!("rejected")));
    assert!(decision.get("spec").is_none());
    let expect = json!({
        "kind": "conflict", "plugin": "20-b", "other": "10-a", "field": "env", "key": "HELLO",
        "message": "CreateContainer: plugins \"20-b\" and \"10-a\" both tried to set Env HELLO",
    });
    assert_eq!(decision["error"], expect);
    let (code, stdout, stderr) = case.adjust(&["--spec", "config.json", "--plugin", &b, "--plugin", &a]);
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(
        stderr
            .ends_with("error: CreateContainer: plugins \"20-b\" and \"10-a\" both tried to set Env HELLO\n"),
        "{stderr}"
    );
}

/// Plugins that the file or the pod requires, and that are not there or do not answer for containers.
#[test]
fn required_plugins() {
    let case = Case::new();
    let hello = case.plugin("hello", "10-hello");
    let config = case.file("c.toml", "[default-validator]\nrequired-plugins = [\"hello\", \"20-b\"]\n");
    let pod = case.file(
        "pod.json",
        r#"{"id":"p","annotations":{"required-plugins.noderesource.dev":"[hello, b, c]"}}"#,
    );
    let missing = |args: &[&str], plugin: Value, message: &str| {
        let (code, decision) = case.decision(args);
        assert_eq!((code, &decision["outcome"]), (1, &json!("rejected")));
        let error = &decision["error"];
        assert_eq!((&error["kind"], &error["plugin"]), (&json!("required"), &plugin), "{decision}");
        assert_eq!(error["message"], json!(format!("CreateContainer: validation error: {message}")));
    };
    missing(
        &["--plugin", &hello, "--config", &config],
        json!("20-b"),
        r#"required plugin "20-b" not present: "20-b" is not connected"#,
    );
    missing(
        &["--plugin", &hello, "--pod", &pod],
        Value::Null,
        r#"required plugins "b,c" not present: "b" is not connected, "c" is not connected"#,
    );
}

/// A plugin that refuses in its own words.
#[test]
fn a_veto() {
    let case = Case::new();
    let config = case.file("seccomp.yaml", "rules: [{edits: [{remove: [mkdir]}]}]");
    let (code, decision) = case.decision(&["--plugin", &format!("60-seccomp={config}")]);
    assert_eq!((code, &decision["outcome"]), (1, &json!("rejected")));
    assert_eq!(
        (&decision["error"]["kind"], &decision["error"]["plugin"]),
        (&json!("veto"), &json!("60-seccomp"))
    );
    assert_eq!(decision["plugins"][0]["outcome"], "veto");
}

#[test]
fn text_and_spec() {
    let case = Case::new();
    let hello = case.plugin("hello", "10-hello");
    let pod = case.file("pod.json", r#"{"name": "web", "namespace": "prod"}"#);
    let (code, stdout, _) = case.adjust(&["--bundle", ".", "--pod", &pod, "--plugin", &hello]);
    assert_eq!(code, 0);
    assert!(
        stdout.starts_with(
            "PLUGIN    FIELD  KEY    OP   BEFORE  AFTER\n10-hello  env    HELLO  add  -       web\n"
        ),
        "{stdout}"
    );
    assert!(stdout.contains("\n--- spec\n+++ adjusted\n@@ "), "{stdout}");
    assert!(stdout.contains("\n+      \"HELLO=web\"\n"), "{stdout}");

    let out = case.path("out.json");
    let args =
        ["--bundle", ".", "--pod", &pod, "--plugin", &hello, "-o", "spec", "--write", out.to_str().unwrap()];
    let (code, stdout, _) = case.adjust(&args);
    assert_eq!(code, 0);
    assert_eq!(fs::read_to_string(&out).unwrap(), stdout);
    let spec: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(spec["process"]["env"], json!(["A=1", "HELLO=web"]));
    assert_eq!(spec["x-own"], json!(u64::MAX));
    assert_eq!(fs::read_to_string(case.path("config.json")).unwrap(), SPEC);
}

#[test]
fn from_stdin() {
    let case = Case::new();
    let hello = case.plugin("hello", "10-hello");
    let mut child = Command::new(ours::nri())
        .args(["adjust", "-", "--plugin", &hello, "-o", "spec"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(SPEC.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("HELLO=container"));
}

/// A rejected container leaves no file behind, and an existing one as it was.
#[test]
fn nothing_is_written_for_a_rejection() {
    let case = Case::new();
    let (a, b) = (case.plugin("hello", "10-a"), case.plugin("hello", "20-b"));
    let kept = case.file("kept.json", "as it was");
    for (file, expect) in [("new.json", None), ("kept.json", Some("as it was"))] {
        let path = case.path(file);
        let args =
            ["--spec", "config.json", "--plugin", &a, "--plugin", &b, "--write", path.to_str().unwrap()];
        assert_eq!(case.adjust(&args).0, 1);
        assert_eq!(fs::read_to_string(&path).ok().as_deref(), expect);
    }
    assert!(Path::new(&kept).exists());
}

/// The last line on stderr, for wrong files, names and options.
#[test]
fn wrong_input() {
    let case = Case::new();
    let check = |args: &[&str], code: i32, expect: &str| {
        let (found, stdout, stderr) = case.adjust(args);
        assert_eq!((found, stdout.as_str()), (code, ""), "{args:?}: {stderr}");
        let last = stderr.lines().last().unwrap().replace(case.dir.path().to_str().unwrap(), "DIR");
        assert!(last.starts_with(expect), "{args:?}: {last}");
    };
    case.file("broken.json", "{\n  \"process\": }");
    case.file("args.json", r#"{"process": {"args": 1}}"#);
    case.file("pod.json", r#"{"labels": 1}"#);
    case.file("run.toml", "[plugins.a]\ntimeuot = \"1s\"\n");
    case.file("text", "no program");
    check(
        &[],
        2,
        "error: the following required arguments were not provided: <--bundle <DIR>|--spec <FILE>|->",
    );
    check(&["--spec", "nope.json"], 2, "error: cannot read nope.json: No such file");
    check(&["--bundle", "nope"], 2, "error: cannot read nope/config.json: No such file");
    check(
        &["--spec", "broken.json"],
        2,
        "error: broken.json:2:14: not JSON: expected value; an OCI runtime spec is expected",
    );
    check(&["--spec", "args.json"], 2, "error: args.json: ");
    check(
        &["--spec", "config.json", "--pod", "pod.json"],
        2,
        "error: pod.json: no PodSandbox: labels: expected",
    );
    check(&["--spec", "config.json", "--container", "nope"], 2, "error: cannot read nope: No such file");
    check(
        &["--spec", "config.json", "--config", "run.toml"],
        2,
        "error: run.toml:2:1: unknown field `timeuot`",
    );
    check(
        &["--spec", "config.json", "--plugin", "./nope"],
        2,
        "error: cannot launch plugin ./nope: No such file",
    );
    check(
        &["--spec", "config.json", "--plugin", "./text"],
        2,
        "error: cannot launch plugin ./text: it is not executable",
    );
    check(
        &["--spec", "config.json", "--plugin", "nope"],
        2,
        "error: cannot launch plugin nope: there is no such file, and no bundled",
    );
    check(
        &["--spec", "config.json", "--plugin", "logger=nope"],
        2,
        "error: cannot read nope, the configuration of plugin logger",
    );
    check(
        &["--spec", "config.json", "--plugin-dir", "nope"],
        2,
        "error: cannot use directory nope: No such file",
    );
    check(&["--spec", "config.json", "--wait", "1"], 2, "error: --wait 1 needs a --listen SOCKET");
    check(
        &["--spec", "config.json", "--listen", "./s", "--wait", "2", "--wait-timeout", "100ms"],
        3,
        "error: 0 of 2 plugins connected within 100ms",
    );
    check(&["--spec", "config.json", "--listen", "/etc/passwd/s"], 3, "error: failed to ");
    check(
        &["--spec", "config.json", "--plugin", "/bin/true"],
        3,
        "error: plugin 00-true did not become ready",
    );
    check(&["--spec", "config.json", "--write", "nope/out"], 3, "error: cannot write nope/out: No such file");
}
