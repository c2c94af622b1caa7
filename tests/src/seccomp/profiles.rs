//! The default profiles of engines, resolved for a container without added capabilities on x86_64 (`spec/seccomp.md` 4).
//!
//! They come from Debian packages, which `cargo xtask setup` unpacks into the cache; none is in this repository.

use serde_json::{Value, json};

/// A profile: whose, and what a runtime gets.
pub type Profile = (&'static str, Value);

/// Docker's set, which containerd and Podman share but for details.
const CAPABILITIES: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

const CLONE_NAMESPACES: u64 = 0x7e02_0000;

/// Docker's, containerd's, Podman's with and without `AUDIT_WRITE`, and CRI-O's. Says so and returns none where they
/// are absent.
///
/// # Panics
/// Where a file is not what it was.
#[must_use]
pub fn all() -> Vec<Profile> {
    let read = |name: &str| std::fs::read_to_string(crate::cache().join("seccomp").join(name));
    let files = (read("docker.json"), read("podman.json"), read("containerd.go"));
    let (Ok(docker), Ok(podman), Ok(containerd)) = files else {
        crate::skipped("the engines' default profiles are absent; `cargo xtask setup` fetches them");
        return Vec::new();
    };
    let json = |text: &str| serde_json::from_str(text).unwrap_or_else(|error| panic!("profile: {error}"));
    let (docker, podman) = (json(&docker), json(&podman));
    let without: Vec<&str> = CAPABILITIES.iter().copied().filter(|name| *name != "CAP_AUDIT_WRITE").collect();
    let podmans = resolve(&podman, CAPABILITIES);
    vec![
        ("docker", resolve(&docker, CAPABILITIES)),
        (
            "docker, privileged",
            resolve(&docker, &[CAPABILITIES, &["CAP_SYS_ADMIN", "CAP_SYS_PTRACE"]].concat()),
        ),
        ("podman, audit", podmans.clone()),
        ("podman", resolve(&podman, &without)),
        ("crio", crio(podmans)),
        ("containerd", from_go(&containerd)),
    ]
}

/// Keeps the entries whose conditions hold, and the members of `LinuxSeccomp`.
fn resolve(profile: &Value, capabilities: &[&str]) -> Value {
    let lists = |entry: &Value, key: &str, wanted: &dyn Fn(&str) -> bool| -> Vec<bool> {
        entry[key].as_array().into_iter().flatten().filter_map(Value::as_str).map(wanted).collect()
    };
    let has = |name: &str| capabilities.contains(&name);
    let is_here = |name: &str| name == "amd64";
    let kept = |entry: &&Value| {
        let (includes, excludes) = (&entry["includes"], &entry["excludes"]);
        let arches = lists(includes, "arches", &is_here);
        lists(includes, "caps", &has).iter().all(|has| *has)
            && (arches.is_empty() || arches.contains(&true))
            && !lists(excludes, "caps", &has).contains(&true)
            && !lists(excludes, "arches", &is_here).contains(&true)
    };
    let entry = |entry: &Value| {
        let mut resolved = entry.clone();
        if let Some(members) = resolved.as_object_mut() {
            members.retain(|key, _| ["names", "action", "errnoRet", "args"].contains(&key.as_str()));
        }
        resolved
    };
    let entries = profile["syscalls"].as_array().into_iter().flatten();
    let syscalls: Vec<Value> = entries.filter(kept).map(entry).collect();
    let mut policy = json!({
        "defaultAction": profile["defaultAction"],
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": syscalls,
    });
    if let Some(number) = profile["defaultErrnoRet"].as_u64() {
        policy["defaultErrnoRet"] = number.into();
    }
    policy
}

/// CRI-O takes three names out of Podman's and puts conditions on `clone` in, seven of them on one argument.
fn crio(mut policy: Value) -> Value {
    let entries = policy["syscalls"].as_array_mut().unwrap_or_else(|| panic!("no syscalls"));
    for names in entries.iter_mut().filter_map(|entry| entry["names"].as_array_mut()) {
        names.retain(|name| !["clone", "clone3", "unshare"].iter().any(|gone| name == gone));
    }
    let masked = |mask: u64, datum: u64| json!({"index": 0, "value": mask, "valueTwo": datum, "op": "SCMP_CMP_MASKED_EQ"});
    let flags = [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];
    entries
        .push(json!({"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [masked(CLONE_NAMESPACES, 0)]}));
    entries.push(json!({"names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
        "args": flags.map(|flag| masked(flag, flag))}));
    policy
}

/// containerd's is Go source: its literal list, and what it adds on amd64 without `SYS_ADMIN`.
fn from_go(source: &str) -> Value {
    let literal = source.split_once("syscalls := []").and_then(|(_, rest)| rest.split_once("s := &specs"));
    let (literal, _) = literal.unwrap_or_else(|| panic!("containerd's profile has another form"));
    let mut syscalls: Vec<Value> = Vec::new();
    for line in literal.lines().map(str::trim) {
        if line.starts_with("Names:") {
            syscalls.push(json!({"names": [], "action": "SCMP_ACT_ALLOW", "args": []}));
        }
        let Some(entry) = syscalls.last_mut() else { continue };
        if let Some(name) = line.split('"').nth(1) {
            entry["names"].as_array_mut().into_iter().for_each(|names| names.push(name.into()));
        } else if let Some(value) = line.strip_prefix("Value:") {
            let digits = value.trim().trim_end_matches(',').trim_start_matches("0x");
            let value = u64::from_str_radix(digits, 16).unwrap_or_else(|error| panic!("{line}: {error}"));
            let equal = json!({"index": 0, "value": value, "op": "SCMP_CMP_EQ"});
            entry["args"].as_array_mut().into_iter().for_each(|args| args.push(equal.clone()));
        } else {
            let known = ["Index: 0,", "Op:    specs.OpEqualTo,", "Action: specs.ActAllow,"];
            let other = line.starts_with("Index:") || line.starts_with("Op:") || line.starts_with("Action:");
            assert!(!other || known.contains(&line), "containerd's profile has a new form: {line}");
        }
    }
    let always = |names: &[&str]| json!({"names": names, "action": "SCMP_ACT_ALLOW"});
    syscalls.extend([
        always(&["ptrace"]),
        always(&["arch_prctl", "modify_ldt"]),
        always(&["chroot"]),
        json!({"names": ["clone"], "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": CLONE_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]}),
        json!({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}),
    ]);
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": syscalls,
    })
}
