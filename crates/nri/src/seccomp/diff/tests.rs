use nri_seccomp::settings::Settings;
use serde_json::{Value, json};

use super::*;

/// What is said about a pair, below the names of the files.
fn check(old: &Value, new: &Value, expect: &str) -> Value {
    let policy = |json: &Value| (!json.is_null()).then(|| Policy::from_json(json).unwrap());
    let (old, new) = (policy(old), policy(new));
    let (host, settings) = (Host::x86_64(), Settings::default());
    let shown = Shown {
        files: ["old.json".into(), "new.json".into()],
        changes: Changes::new(old.as_ref(), new.as_ref(), &host, &settings).unwrap(),
        comparison: compare(old.as_ref(), new.as_ref(), &host, &settings),
        host: &host,
    };
    let text = text::text(&shown);
    let below = text.split_once("\n\n").map_or("", |(_, below)| below);
    assert_eq!(below, expect, "{text}");
    json::json(&shown)
}

#[expect(clippy::needless_pass_by_value, reason = "a literal at every call")]
fn rule(names: &[&str], args: Value) -> Value {
    json!({"names": names, "action": "SCMP_ACT_ALLOW", "args": args})
}

#[test]
fn directions() {
    let old = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        rule(&["read", "ptrace", "process_vm_readv"], json!([])),
        rule(&["clone"], json!([{"index": 0, "value": 0x0002_0000, "op": "SCMP_CMP_MASKED_EQ"}]))
    ]});
    let new = json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": [
        rule(&["read", "bpf"], json!([])),
        rule(&["clone"], json!([{"index": 0, "value": 0x0003_0000, "op": "SCMP_CMP_MASKED_EQ"}]))
    ]});
    let json = check(
        &old,
        &new,
        "  \
  LOOSER     bpf                          errno EPERM → allow
  tighter    clone
             old  allow when flags & CLONE_NEWNS == 0
                  otherwise errno EPERM
             new  allow when flags & (CLONE_THREAD | CLONE_NEWNS) == 0
                  otherwise errno ENOSYS
  tighter    process_vm_readv, ptrace     allow → errno ENOSYS
  behaviour  every other call (on x86_64) errno EPERM → errno ENOSYS
             programs may take other paths: after ENOSYS they try an older system call
  same       1 system call named by a policy, on x86_64, x86, x32

why it matters
  bpf: lets a process load programs into the kernel
",
    );
    assert_eq!(json["relation"], "incomparable");
    assert_eq!(
        json["changes"][0],
        json!({
            "direction": "looser", "about": "syscalls", "old": ["errno EPERM"], "new": ["allow"], "syscalls": ["bpf"],
            "archs": ["SCMP_ARCH_X86_64"],
            "example": {"arch": "SCMP_ARCH_X86_64", "syscall": "bpf", "nr": 321, "args": [0, 0, 0, 0, 0, 0],
                        "old": "SCMP_ACT_ERRNO(1)", "new": "SCMP_ACT_ALLOW"},
            "lets": {"bpf": "load programs into the kernel"}
        })
    );
}

#[test]
fn nothing_differs() {
    let policy =
        json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule(&["read", "write"], json!([]))]});
    let same = "  same       2 system calls named by a policy, on x86_64, x86, x32\n";
    check(&policy, &policy, same);
    // The native ABI named, and an entry of its own for a name.
    let other = json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [rule(&["write"], json!([])), rule(&["read"], json!([]))]});
    check(&policy, &other, same);
}

#[test]
fn what_is_not_a_syscall() {
    let old = json!({"defaultAction": "SCMP_ACT_KILL_PROCESS", "flags": ["SECCOMP_FILTER_FLAG_LOG"]});
    let new = json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86"], "listenerPath": "/run/a.sock"});
    check(
        &old,
        &new,
        "  \
  LOOSER     every call on x86            not in the filter: kill thread → by the policy's rules
  LOOSER     every other call (on x86_64) kill process → errno EPERM
  LOOSER     flag LOG                     in force → not in force
  LOOSER     flag SPEC_ALLOW              not in force → in force
  behaviour  listener                     nobody → /run/a.sock
  same       0 system calls named by a policy, on x86_64, x86, x32

why it matters
  another ABI: it is a second door to every system call, with numbers and widths of its own
  every other call: these are all that no rule names, those of future kernels too
  LOG: what the filter answered is no longer recorded
  SPEC_ALLOW: a mitigation of speculative execution is off; no flags at all count as this one
",
    );
    let new = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule(&["read"], json!([]))]});
    check(
        &Value::Null,
        &new,
        "  \
  tighter    every other call (on x86_64) allow → errno EPERM
  tighter    every other call (on x86, x32) allow → kill thread
  same       1 system call named by a policy, on x86_64, x86, x32
",
    );
}
