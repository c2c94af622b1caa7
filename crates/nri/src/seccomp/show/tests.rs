use nri_seccomp::settings::Host;
use serde_json::{Value, json};

use super::*;

fn policy() -> Policy {
    let json = json!({
        "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86"], "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [
            {"names": ["read", "write", "chown32", "raed"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 0x1000_0000, "op": "SCMP_CMP_MASKED_EQ"}]},
            {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]},
            {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
            {"names": ["bpf"], "action": "SCMP_ACT_ERRNO"}
        ]
    });
    Policy::from_json(&json).unwrap()
}

fn shown(arch: Arch, check: impl FnOnce(&Shown<'_>)) {
    let policy = policy();
    let model = Model::new(Some(&policy), &Host::x86_64(), &Settings::default(), Reading::All).unwrap();
    let lints = lints(&policy, &Host::x86_64(), &Settings::default()).unwrap();
    check(&Shown { outline: Outline::new(&policy, &model, arch), policy: &policy, model: &model, lints });
}

#[test]
fn for_people() {
    shown(Arch::X86_64, |shown| {
        let expect = "\
shown for  x86_64
default    errno EPERM
ABIs       x86_64, x86
flags      LOG

errno ENOSYS  (1 syscall)
  clone3

allow  (2 syscalls)
  read, write

by arguments  (2 syscalls)
  clone        allow when flags & CLONE_NEWUSER == 0
  personality  allow when persona == PER_LINUX or PER_LINUX32

as the default  (1)
  bpf

not on this ABI  (1)
  chown32

unknown names  (1)
  raed

worth a look  (3)
  architectures[0]: SCMP_ARCH_X86 opens a second door to every call
  syscalls[0].names[3]: no ABI has a syscall raed, so that it has no effect
  syscalls[5].action: this is the default action, so that the entry has no effect
";
        assert_eq!(text::text(shown), expect);
    });
    shown(Arch::X32, |shown| {
        assert!(
            text::text(shown).contains("\nx32 is not in the filter: every call there ends the thread.\n")
        );
    });
}

#[test]
fn for_programs() {
    shown(Arch::X86_64, |shown| {
        let json = json::json(shown);
        assert_eq!(json["default"], "SCMP_ACT_ERRNO(1)");
        assert_eq!(json["architectures"], json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]));
        assert_eq!(json["inForce"], json!({"specAllow": false, "log": true}));
        let find = |name: &str| -> Value {
            let list = json["syscalls"].as_array().unwrap();
            list.iter().find(|syscall| syscall["name"] == name).unwrap().clone()
        };
        assert_eq!(find("clone3"), json!({"name": "clone3", "nr": 435, "answer": "SCMP_ACT_ERRNO(38)"}));
        assert_eq!(
            find("clone"),
            json!({
                "name": "clone", "nr": 56,
                "rules": [{
                    "answer": "SCMP_ACT_ALLOW", "when": "flags & CLONE_NEWUSER == 0",
                    "args": [{"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 0x1000_0000, "valueTwo": 0}]
                }],
                "text": ["allow when flags & CLONE_NEWUSER == 0"]
            })
        );
        assert_eq!(json["unknown"], json!(["raed"]));
        assert_eq!(json["lints"][0]["path"], "architectures[0]");
    });
}
