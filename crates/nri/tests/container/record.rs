//! `nri run --record`.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::support::{RUNTIMES, assert_gone, output, own_id, run};

#[test]
fn a_run_is_recorded_without_its_secrets() {
    for runtime in RUNTIMES {
        let dir = tempfile::tempdir().unwrap();
        let (file, id) = (dir.path().join("record.jsonl"), own_id!("record-{runtime}"));
        for secrets in [false, true] {
            let Some(mut command) = run(runtime) else { return };
            command.arg("--record").arg(&file).args(["--id", &id, "--env", "TOKEN=hunter2hunter2"]);
            command.args(["--plugin", "logger"]);
            if secrets {
                command.arg("--record-secrets");
            }
            let (code, _, stderr) = output(command.args(["--", "true"]));
            assert_eq!(code, 0, "{stderr}");
            let text = std::fs::read_to_string(&file).unwrap();
            assert_eq!(text.contains("hunter2hunter2"), secrets, "{text}");
        }
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
        let once = ["Synchronize", "CreateContainer", "StopContainer"];
        assert_eq!(events, [once, once].concat());
        let create = &lines[1];
        assert_eq!(create["container"]["id"], id.as_str());
        assert_eq!(create["answers"][0]["plugin"], "00-logger");
        let env = create["spec"]["process"]["env"].as_array().unwrap();
        assert!(env.iter().any(|variable| variable["key"] == "TOKEN" && variable["len"] == 14), "{create}");
        assert_gone(&id);
    }
}

#[test]
fn what_cannot_be_a_recording_is_refused_before_anything_starts() {
    let Some(mut command) = run("runc") else { return };
    let (code, _, stderr) = output(command.args(["--record", "/dev/full", "--", "true"]));
    assert_eq!(code, 125);
    let expect = "error: failed to record to /dev/full: it is no regular file; name a new file, or a recording to go on with\n";
    assert_eq!(stderr, expect);
}
