use serde_json::json;

use super::*;
use crate::term::{Action, Arch, Effect};

fn read_text(text: &str) -> Result<Option<Policy>, String> {
    read(text.as_bytes(), &Target::new(Arch::X86_64)).map_err(|error| error.to_string())
}

#[test]
fn bad_input_has_its_position() {
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    for (text, expect) in [
        ("", "EOF while parsing a value at line 1, column 0"),
        ("{\n  \"a\": 1,\n  \"a\": 2\n}", "member \"a\" stands twice at line 3, column 5"),
        ("{\"a\": {\"b\": [{\"c\": 1, \"c\": 1}]}}", "member \"c\" stands twice at line 1, column 25"),
        ("{} {}", "trailing characters at line 1, column 4"),
        ("{\"a\": 18446744073709551616}", "number out of range at line 1, column 26"),
        ("{\"a\": 1e999}", "number out of range at line 1, column 11"),
        ("{\"a\": NaN}", "expected value at line 1, column 7"),
        ("{\"a\": 1,}", "trailing comma at line 1, column 9"),
        (deep.as_str(), "recursion limit exceeded at line 1, column 128"),
        ("[]", "expected an object or null at line 1, column 1"),
        ("\n 7", "expected an object or null at line 2, column 2"),
        (
            "{\"defaultAction\": \"SCMP_ACT_ALLOW\",\n \"syscalls\": [{\"names\": [\"a\"], \"action\": \"SCMP_ACT_LOG\"},\n  {\"names\": 5}]}",
            "syscalls[1].names: expected a list at line 3, column 13",
        ),
        (
            "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"defaultErrnoRet\": -1}",
            "defaultErrnoRet: expected a whole number of 32 bits without sign at line 1, column 56",
        ),
        // A wrong type goes before whatever is wrong by its meaning.
        (
            "{\"defaultAction\": \"X\", \"syscalls\": [{\"action\": \"X\", \"args\": [{\"op\": \"X\"}, {\"value\": \"1\"}]}]}",
            "syscalls[0].args[1].value: expected a whole number of 64 bits without sign at line 1, column 85",
        ),
        (
            "{\"defaultAction\": \"X\", \"syscalls\": [{\"name\": \"a\", \"excludes\": {\"caps\": 5}}]}",
            "syscalls[0].excludes.caps: expected a list at line 1, column 72",
        ),
        ("{\"flags\": [\"X\", null]}", "flags[1]: expected a string at line 1, column 17"),
        ("{\"ociVersion\": \"1\", \"linux\": 3}", "linux: expected an object at line 1, column 30"),
        (
            "{\"linux\": {\"seccomp\": {\"defaultAction\": 3}}}",
            "linux.seccomp.defaultAction: expected a string at line 1, column 41",
        ),
    ] {
        let error = read(text.as_bytes(), &Target::new(Arch::X86_64)).unwrap_err();
        assert_eq!(error.to_string(), expect, "{text}");
        assert_eq!(error.invalid(), None, "{text}");
    }
    assert!(read(&[b' '; BYTES + 1], &Target::this()).is_err());
    let many = format!("[{}0]", "0,".repeat(1 << 20));
    assert_eq!(read_text(&many).unwrap_err(), "more values than a policy has at line 1, column 2097151");
}

#[test]
fn an_invalid_policy_is_no_bad_input() {
    for (json, expect) in [
        (json!({}), "defaultAction: missing at line 1, column 1"),
        (json!({"defaultAction": "X"}), "defaultAction: unknown action \"X\" at line 1, column 18"),
        (
            json!({"linux": {"seccomp": {"defaultAction": "X"}}}),
            "linux.seccomp.defaultAction: unknown action \"X\" at line 1, column 38",
        ),
        (
            json!({"defaultAction": "SCMP_ACT_LOG", "archMap": [], "syscalls": [{"name": "a", "names": ["b"], "action": "SCMP_ACT_LOG"}]}),
            "syscalls[0].name: cannot stand beside \"names\" at line 1, column 66",
        ),
        (
            json!({"defaultAction": "SCMP_ACT_LOG", "syscalls": [{"name": "a", "action": "SCMP_ACT_ERRNO", "errno": "EWHAT"}]}),
            "syscalls[0].errno: unknown error name \"EWHAT\" at line 1, column 91",
        ),
        (
            json!({"defaultAction": "SCMP_ACT_LOG", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_LOG", "includes": {"cpus": 4}}]}),
            "syscalls[0].includes.cpus: unknown member at line 1, column 103",
        ),
        // Also where the entry does not count.
        (
            json!({"defaultAction": "SCMP_ACT_LOG", "syscalls": [{"names": ["a", ""], "action": "SCMP_ACT_LOG", "includes": {"caps": ["CAP_BPF"]}}]}),
            "syscalls[0].names[1]: empty name of a syscall at line 1, column 59",
        ),
        (
            json!({"defaultAction": "SCMP_ACT_LOG", "archMap": [{"architecture": "SCMP_ARCH_PDP11"}]}),
            "archMap[0].architecture: unknown architecture \"SCMP_ARCH_PDP11\" at line 1, column 60",
        ),
    ] {
        let error = read(json.to_string().as_bytes(), &Target::new(Arch::X86_64)).unwrap_err();
        assert_eq!(error.to_string(), expect, "{json}");
        assert!(error.invalid().is_some(), "{json}");
    }
}

#[test]
fn forms_without_conditions() {
    let policy = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "comment": "x"}]});
    let plain = Policy::from_json(&policy).unwrap();
    for (json, expect) in [
        (json!(null), None),
        (policy.clone(), Some(&plain)),
        (json!({"ociVersion": "1.0.2", "linux": {"seccomp": policy}}), Some(&plain)),
        (json!({"ociVersion": "1.0.2", "linux": {"seccomp": null}}), None),
        (json!({"ociVersion": "1.0.2", "linux": {}}), None),
        (json!({"ociVersion": "1.0.2", "process": {}}), None),
    ] {
        assert_eq!(read_text(&json.to_string()).unwrap().as_ref(), expect, "{json}");
    }
}

/// `spec/seccomp.md` 4, "Resolution".
#[test]
fn conditions() {
    let profile = |rule: &Value| json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]}).to_string();
    let rule =
        |part: &str, condition: Value| json!({"names": ["a"], "action": "SCMP_ACT_ALLOW", part: condition});
    let kernel = |text: &str| text.parse::<Kernel>().unwrap();
    let mut target = Target::new(Arch::X86_64);
    target.kernel = Some(kernel("6.1.0-13-amd64"));
    for (part, condition, expect) in [
        ("includes", json!({}), true),
        ("includes", json!(null), true),
        ("includes", json!({"caps": ["CAP_CHOWN"]}), true),
        ("includes", json!({"caps": ["CAP_CHOWN", "CAP_SYS_ADMIN"]}), false),
        ("includes", json!({"arches": ["arm64", "amd64"]}), true),
        ("includes", json!({"arches": ["x32"]}), false),
        ("includes", json!({"minKernel": "4.8"}), true),
        ("includes", json!({"minKernel": "6.1"}), true),
        ("includes", json!({"minKernel": "6.10"}), false),
        ("includes", json!({"minKernel": "4.8", "caps": ["CAP_SYS_ADMIN"]}), false),
        ("excludes", json!({}), true),
        ("excludes", json!({"caps": ["CAP_SYS_ADMIN"]}), true),
        ("excludes", json!({"caps": ["CAP_SYS_ADMIN", "CAP_CHOWN"]}), false),
        ("excludes", json!({"arches": ["s390", "s390x"]}), true),
        ("excludes", json!({"arches": ["amd64"]}), false),
        ("excludes", json!({"minKernel": "4.8"}), false),
        ("excludes", json!({"minKernel": "7.0"}), true),
    ] {
        let text = profile(&rule(part, condition.clone()));
        let policy = read(text.as_bytes(), &target).unwrap().unwrap();
        assert_eq!(policy.syscalls.len(), usize::from(expect), "{part} {condition}");
    }
    let text = profile(&rule("includes", json!({"caps": ["CAP_BPF"]})));
    let mut config = json!({"process": {"capabilities": {"bounding": ["CAP_BPF"]}}, "linux": {}});
    config["linux"]["seccomp"] = serde_json::from_str(&text).unwrap();
    let config = read(config.to_string().as_bytes(), &target).unwrap().unwrap();
    assert_eq!(config.syscalls.len(), 1, "the bounding set of the config.json counts");
    target.add_capability("bpf");
    assert_eq!(read(text.as_bytes(), &target).unwrap().unwrap().syscalls.len(), 1);
    target.drop_all_capabilities();
    assert_eq!(read(text.as_bytes(), &target).unwrap().unwrap().syscalls.len(), 0);
    for text in ["", "6", "6.", "x.1", "6x.1"] {
        assert!(text.parse::<Kernel>().is_err(), "{text:?}");
    }
}

#[test]
fn architectures_and_error_names() {
    let text = json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "defaultErrno": "ENOSYS",
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": null}
        ],
        "syscalls": [{"name": "bdflush", "action": "SCMP_ACT_ERRNO", "errno": "EPERM", "errnoRet": 5, "args": null}]
    })
    .to_string();
    for (arch, expect) in [
        (Arch::X86_64, vec![Arch::X86_64, Arch::X86, Arch::X32]),
        (Arch::Aarch64, vec![Arch::Aarch64]),
        (Arch::Ppc64Le, vec![]),
    ] {
        let policy = read(text.as_bytes(), &Target::new(arch)).unwrap().unwrap();
        assert_eq!(policy.architectures, expect);
        assert_eq!(policy.default_effect(), Effect::Errno(38));
        assert_eq!(policy.syscalls[0].effect(), Effect::Errno(1));
        assert_eq!(policy.syscalls[0].names, ["bdflush"]);
    }
    assert!(read(text.as_bytes(), &Target::new(Arch::Mips)).is_err(), "ENOSYS is 89 there");
    assert_eq!(errno_name(Arch::X86, 133), Some("EHWPOISON"));
    assert_eq!(
        (errno_name(Arch::X86, 0), errno_name(Arch::X86, 41), errno_name(Arch::X86, 134)),
        (None, None, None)
    );
}

/// Profiles as packages ship them, where this machine has them.
#[test]
fn real_profiles() {
    for (path, least) in [
        ("/usr/share/containers/seccomp.json", 370),
        ("/usr/share/gocode/src/github.com/docker/docker/profiles/seccomp/default.json", 330),
    ] {
        let Ok(text) = std::fs::read(path) else {
            println!("skipped: {path} is absent");
            continue;
        };
        let policy = read(&text, &Target::new(Arch::X86_64)).unwrap().unwrap();
        policy.check().unwrap();
        let allowed = policy.syscalls.iter().filter(|entry| entry.action == Action::Allow);
        let names: usize = allowed.map(|entry| entry.names.len()).sum();
        assert!(names >= least, "{path}: {names}");
        assert_eq!(policy.architectures, [Arch::X86_64, Arch::X86, Arch::X32], "{path}");
    }
}
