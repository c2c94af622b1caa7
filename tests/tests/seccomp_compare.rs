//! `nri seccomp compare` as scripts see it (`spec/seccomp.md` 7.1): exit codes, streams, batches.

#![expect(clippy::unwrap_used, reason = "in a test a panic is how a failure is reported")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Output, Stdio};

use nri_tests::ours::nri;
use serde_json::{Value, json};

const ALLOW: &str = r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"}]}"#;
const LESS: &str =
    r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}"#;

/// Runs it in a folder with these files.
fn run(files: &[(&str, &str)], args: &[&str], stdin: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let mut child = Command::new(nri())
        .args(["seccomp", "compare"])
        .args(args)
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have ended without reading.
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).ok();
    child.wait_with_output().unwrap()
}

#[test]
fn answers_and_exit_codes() {
    let check = |old: &str, new: &str, code: i32, relation: &str| {
        let output = run(&[("old", old), ("new", new)], &["old", "new", "-o", "json"], "");
        assert_eq!(output.status.code(), Some(code), "{old} to {new}: {output:?}");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let verdict = if code == 0 { "accept" } else { "reject" };
        assert_eq!(
            (&answer["verdict"], &answer["relation"]),
            (&json!(verdict), &json!(relation)),
            "{answer}"
        );
        assert!(answer["micros"].is_u64() && answer.get("id").is_none(), "{answer}");
        assert_eq!(answer["reason"].is_string(), code == 1, "{answer}");
        let text = run(&[("old", old), ("new", new)], &["old", "new"], "");
        assert_eq!(text.status.code(), Some(code));
        let text = String::from_utf8(text.stdout).unwrap();
        assert!(text.starts_with(&format!("{relation}: ")) && text.lines().count() == 1, "{text}");
    };
    check(ALLOW, ALLOW, 0, "equal");
    check(ALLOW, LESS, 0, "tighter");
    check(LESS, ALLOW, 1, "looser");
    check(LESS, &LESS.replace("read", "write"), 1, "incomparable");
    check(ALLOW, "null", 1, "looser");
    check("null", ALLOW, 0, "tighter");
    check(ALLOW, r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4095}"#, 1, "invalid");
    check("{}", "{}", 1, "invalid");
    // The other forms of a policy.
    let config = format!(r#"{{"ociVersion": "1.0.2", "linux": {{"seccomp": {ALLOW}}}}}"#);
    check(&config, ALLOW, 0, "equal");
    let docker = r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "includes": {}, "excludes": {}},
        {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_BPF"]}}]}"#;
    check(ALLOW, docker, 0, "tighter");
}

#[test]
fn bad_input() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let large = format!("{ALLOW}{}", " ".repeat(8 << 20));
    for (old, expect) in [
        ("", "error: old: EOF while parsing a value at line 1, column 0\n"),
        ("{\"defaultAction\":\n 7}", "error: old: defaultAction: expected a string at line 2, column 2\n"),
        ("[]", "error: old: expected an object or null at line 1, column 1\n"),
        ("null null", "error: old: trailing characters at line 1, column 6\n"),
        (r#"{"flags": [], "flags": []}"#, "error: old: "),
        (
            r#"{"defaultAction": "SCMP_ACT_LOG", "defaultErrnoRet": -1}"#,
            "error: old: defaultErrnoRet: expected",
        ),
        (deep.as_str(), "error: old: "),
        (large.as_str(), "error: old: "),
    ] {
        for new in [ALLOW, "{}"] {
            let output = run(&[("old", old), ("new", new)], &["old", "new", "-o", "json"], "");
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.starts_with(expect) && said.lines().count() == 1, "{expect}: {said}");
            assert!(output.stdout.is_empty(), "{said}");
        }
    }
    for args in [["old", "missing"].as_slice(), &["old"], &["-", "-"], &["old", "old", "--errno", "some"]] {
        let output = run(&[("old", ALLOW)], args, ALLOW);
        assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(2), true), "{args:?}");
    }
}

#[test]
fn settings_and_stdin() {
    let other = ALLOW.replace("SCMP_ACT_ERRNO\"", "SCMP_ACT_ERRNO\", \"defaultErrnoRet\": 38");
    for (args, code) in [
        (["old", "-"].as_slice(), 0),
        (&["-", "old"], 0),
        (&["old", "-", "--errno", "exact"], 1),
        (&["old", "-", "--errno", "exact", "--kill=merged"], 1),
        (&["old", "-", "--arch", "SCMP_ARCH_AARCH64", "--arch", "arm"], 0),
    ] {
        let output = run(&[("old", ALLOW)], args, &other);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    }
}

#[test]
fn a_batch_is_answered_line_by_line() {
    let mut child = Command::new(nri())
        .args(["seccomp", "compare", "--batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ask = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    let allow: Value = serde_json::from_str(ALLOW).unwrap();
    for id in 0..3 {
        let archs = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
        let line = json!({"id": id, "old": allow, "new": null, "archs": archs, "config": {"errno": "exact"}});
        writeln!(ask, "{line}").unwrap();
        // The answer is there before the next question.
        let answer: Value = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
        assert_eq!((&answer["id"], &answer["relation"]), (&json!(id), &json!("looser")));
        assert_eq!(answer["counterexample"]["arch"], "SCMP_ARCH_X86_64");
    }
    drop(ask);
    assert_eq!(child.wait().unwrap().code(), Some(0));

    let lines =
        "{\"id\": 1, \"old\": null, \"new\": null}\nnonsense\n{\"id\": 2, \"old\": null, \"new\": null}\n";
    let output = run(&[("pairs", lines)], &["--batch", "pairs"], "");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count(), 3);
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: pairs:2:"));
}
