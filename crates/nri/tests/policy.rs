//! `nri policy`: its forms and exit codes (cli.md, "nri policy").

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the failure report")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

const HEAD: &str = "apiVersion: policy.nri-rs/v1alpha1\nkind: PluginPolicy\nmetadata: {name: p}\n";

/// Exit code, stdout, stderr.
fn nri(args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_nri")).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn check_json(paths: &[&Path]) -> (i32, Value) {
    let mut args = vec!["policy", "check", "-o", "json"];
    args.extend(paths.iter().map(|path| path.to_str().unwrap()));
    let (code, stdout, stderr) = nri(&args);
    assert_eq!(stderr, "");
    assert_eq!(stdout.lines().count(), 1);
    (code, serde_json::from_str(&stdout).unwrap())
}

#[test]
fn check() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path
    };
    let good = file("10-good.yaml", &format!("{HEAD}spec: {{mode: warn}}\n"));
    let warned = file(
        "20-warned.yml",
        &format!("{}spec:\n  scope: {{labels: {{a: b}}}}\n", HEAD.replace("name: p", "name: q")),
    );
    file("30-words.txt", "not: [a, policy");
    file(".hidden.yaml", "not: [a, policy");

    let (code, report) = check_json(&[&good]);
    assert_eq!((code, &report["version"], &report["diagnostics"]), (0, &json!(1), &json!([])));
    assert_eq!(report["hash"].as_str().unwrap().len(), 12);

    let (code, report) = check_json(&[dir.path()]);
    assert_eq!((code, &report["diagnostics"][0]["code"]), (0, &json!("W103")));
    assert_eq!(nri(&["policy", "check", "--deny-warnings", warned.to_str().unwrap()]).0, 1);

    let bad = file(
        "40-bad.json",
        &format!("{HEAD}spec:\n  levels:\n    - name: a\n      fields:\n        mount: deny\n"),
    );
    let (code, report) = check_json(&[&bad]);
    assert_eq!((code, &report["hash"]), (1, &Value::Null));
    let found = &report["diagnostics"][0];
    assert_eq!(
        [&found["code"], &found["severity"], &found["message"], &found["path"], &found["suggestion"]],
        [
            &json!("E021"),
            &json!("error"),
            &json!("unknown field `mount`"),
            &json!("spec.levels[0].fields.mount"),
            &json!("mounts")
        ]
    );
    assert_eq!(found["file"], json!(bad.to_str().unwrap()));
    assert_eq!(
        [&found["start"], &found["end"]],
        [&json!({"line": 8, "column": 9}), &json!({"line": 8, "column": 14})]
    );
    let (code, text, _) = nri(&["policy", "check", dir.path().to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(text.contains("   = help: did you mean `mounts`?\n"), "{text}");
    assert!(text.ends_with("\n2 errors, 1 warning in 3 files.\n") && text.contains("error[E042]"), "{text}");

    fs::set_permissions(&good, fs::Permissions::from_mode(0o666)).unwrap();
    let (code, report) = check_json(&[&good]);
    assert_eq!((code, &report["diagnostics"][0]["code"]), (1, &json!("E010")));
    assert_eq!(report["diagnostics"][0]["start"], json!({"line": 1, "column": 1}));
}

#[test]
fn what_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("absent");
    let empty = dir.path().join("empty.yaml");
    for (path, expect) in [
        (dir.path(), "error: no policy in"),
        (&absent, "error: cannot read"),
        (Path::new("/dev/null"), "error: cannot read /dev/null: not a regular file"),
    ] {
        let (code, stdout, stderr) = nri(&["policy", "check", path.to_str().unwrap()]);
        assert_eq!((code, stdout.as_str()), (2, ""));
        assert!(stderr.starts_with(expect), "{stderr}");
    }
    fs::write(&empty, "# nothing\n").unwrap();
    assert_eq!(nri(&["policy", "check", empty.to_str().unwrap()]).0, 2);
}

#[test]
fn presets_and_schema() {
    let (code, list, _) = nri(&["policy", "presets"]);
    assert_eq!((code, list.lines().count()), (0, 3));
    let dir = tempfile::tempdir().unwrap();
    for name in ["compat", "baseline", "preset/restricted@v1"] {
        let (code, text, _) = nri(&["policy", "presets", name]);
        assert_eq!(code, 0);
        let path = dir.path().join("preset.yaml");
        fs::write(&path, text).unwrap();
        assert_eq!(check_json(&[&path]).1["diagnostics"], json!([]), "{name}");
    }
    assert_eq!(nri(&["policy", "presets", "none"]).0, 2);
    let (code, schema, _) = nri(&["policy", "schema"]);
    assert_eq!(code, 0);
    assert_eq!(serde_json::from_str::<Value>(&schema).unwrap()["title"], json!("PluginPolicy"));
}

#[test]
fn explain() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.yaml");
    let digest = "9f2c".repeat(16);
    let policy = format!(
        "{HEAD}spec:
  defaultLevel: untrusted
  identities:
    - name: gpu
      level: device-injector
      reserve: [gpu-injector]
      match: {{pod: {{namespace: gpu-operator, imageDigest: {digest}}}}}
  levels:
    - {{name: untrusted, fields: {{\"*\": deny}}}}
    - name: device-injector
      extends: untrusted
      requireProof: strong
      fields:
        devices: {{ops: [add], allow: [{{host: \"/dev/nvidia*\", access: rw}}]}}
        env: {{allow: [{{name: \"NVIDIA_*\"}}], deny: [\"@loader-injection\"]}}
"
    );
    fs::write(&path, policy).unwrap();
    let ask = |question: &[&str]| {
        let mut args = vec!["policy", "explain", "--policy", path.to_str().unwrap()];
        args.extend(question);
        let (code, text, stderr) = nri(&args);
        assert_eq!((code, stderr.as_str()), (0, ""));
        text
    };
    let text = ask(&["--plugin", "20-gpu-injector"]);
    for part in [
        "20-gpu-injector (level device-injector) may\n",
        "  devices  add       /dev/nvidia*, by host device number rw\n",
        "  env      add, set  NVIDIA_*, but not @loader-injection\n",
        "known as identity gpu by pod.namespace, pod.imageDigest (strong proof)",
        "and nothing else: annotations, mounts, hooks, cdiDevices",
        "→ container rejected",
        "The client's security context is kept (clientOverride: security). Updates: none.",
        "where it does not prove that, has level untrusted",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(
        ask(&["--plugin", "other"])
            .starts_with("other (level untrusted, the defaultLevel) may change nothing\n")
    );
    assert!(ask(&["--level", "device-injector"]).starts_with("level device-injector may\n"));
    assert!(ask(&["@loader-injection"]).contains("  LD_*\n"));
    assert!(ask(&["@cpu"]).contains("  cpu.shares\n"));
    assert!(ask(&["e044"]).starts_with("error[E044]: proof too weak\n"));
    let (code, _, stderr) =
        nri(&["policy", "explain", "--policy", path.to_str().unwrap(), "--level", "none"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("there are untrusted, device-injector"), "{stderr}");
    assert_eq!(nri(&["policy", "explain", "E999"]).0, 2);
    assert_eq!(nri(&["policy", "explain", "@none"]).0, 2);
    assert_eq!(nri(&["policy", "explain"]).0, 2);
}
