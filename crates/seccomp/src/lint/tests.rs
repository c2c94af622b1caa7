use serde_json::{Value, json};

use super::*;

/// The warnings about these members of a policy that refuses by default.
fn found(members: &Value) -> Vec<String> {
    let mut json = json!({"defaultAction": "SCMP_ACT_ERRNO"});
    json.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let policy = Policy::from_json(&json).unwrap();
    let lints = lints(&policy, &Host::x86_64(), &Settings::default()).unwrap();
    lints.iter().map(ToString::to_string).collect()
}

fn check(members: &Value, expect: &[&str]) {
    let found = found(members);
    let fits = found.len() == expect.len()
        && found.iter().zip(expect).all(|(found, expect)| found.starts_with(expect));
    assert!(fits, "{members}: {found:#?}");
}

fn entry(names: &[&str], args: &Value) -> Value {
    json!({"syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW", "args": args}]})
}

/// Those of the whole policy.
#[test]
fn heads() {
    check(&json!({}), &[]);
    for open in ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG"] {
        check(&json!({"defaultAction": open}), &["defaultAction: what no rule names is allowed"]);
    }
    check(&json!({"defaultErrnoRet": 65536}), &["defaultErrnoRet: error number 0"]);
    check(
        &json!({"architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_ARM"]}),
        &["architectures[1]: SCMP_ARCH_X86 opens a second door"],
    );
}

/// Those of an entry.
#[test]
fn entries() {
    check(&entry(&["read"], &json!([])), &[]);
    check(
        &json!({"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO"}]}),
        &["syscalls[0].action: this is the default action"],
    );
    check(
        &json!({"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0}]}),
        &["syscalls[0].errnoRet: error number 0"],
    );
    check(
        &json!({"syscalls": [{"names": ["read"], "action": "SCMP_ACT_LOG", "errnoRet": 1}]}),
        &["syscalls[0].errnoRet: the action takes no number"],
    );
    check(&entry(&["read", "zz"], &json!([])), &["syscalls[0].names[1]: no ABI has a syscall zz"]);
    let hidden = json!({"syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_KILL", "args": [{"op": "SCMP_CMP_EQ"}]},
        {"names": ["write", "read"], "action": "SCMP_ACT_ALLOW"},
    ]});
    check(&hidden, &["syscalls[0].names[0]: syscalls[1] answers every call of read"]);
}

/// Those of conditions.
#[test]
fn conditions() {
    let op = |op: &str, index: u32, value: u64, two: u64| json!({"op": format!("SCMP_CMP_{op}"), "index": index, "value": value, "valueTwo": two});
    let seven: Value = (0..7).map(|at| op("EQ", at % 6, 7, 0)).collect();
    check(
        &entry(&["read"], &seven),
        &["syscalls[0].args: of these 7 conditions", "syscalls[0].args: argument 0 has two conditions"],
    );
    check(&entry(&["read"], &json!([op("MASKED_EQ", 0, 0, 0)])), &["syscalls[0].args[0]: a mask of 0 makes"]);
    check(
        &entry(&["read"], &json!([op("EQ", 1, 5, 0), op("MASKED_EQ", 0, 1 << 32, 0)])),
        &["syscalls[0].args[1]: on 32-bit ABIs this mask is 0"],
    );
    check(&entry(&["read"], &json!([op("MASKED_EQ", 0, 2, 3)])), &["syscalls[0].args[0]: bits of valueTwo"]);
    check(
        &entry(&["socket"], &json!([op("NE", 0, 40, 0)])),
        &["syscalls[0].args[0]: the kernel takes 32 bits of argument 0 of socket"],
    );
    for (name, operator) in [("socket", "LT"), ("clone", "NE")] {
        check(&entry(&[name], &json!([op(operator, 0, 40, 0)])), &[]);
    }
    let mut gate = entry(&["socket"], &json!([op("EQ", 0, 1, 0)]));
    gate["architectures"] = json!(["SCMP_ARCH_X86"]);
    check(
        &gate,
        &[
            "architectures[0]",
            "syscalls[0].names[0]: the conditions on socket do not hold on SCMP_ARCH_X86 when it is called through socketcall",
        ],
    );
}

/// Those of all rules of a syscall.
#[test]
fn groups() {
    let equal = |value: u64| json!([{"op": "SCMP_CMP_EQ", "value": value}]);
    let conflict = json!({"architectures": ["SCMP_ARCH_X32"], "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["keyctl"], "action": "SCMP_ACT_ALLOW", "args": equal(1)},
        {"names": ["keyctl"], "action": "SCMP_ACT_LOG", "args": equal(1)},
    ]});
    check(
        &conflict,
        &[
            "architectures[0]",
            "syscalls[1]: the rules for keyctl want different actions for the same arguments",
        ],
    );
    let void = json!({"architectures": ["SCMP_ARCH_X86"], "syscalls": [
        {"names": ["keyctl"], "action": "SCMP_ACT_ALLOW", "args": equal(1)},
        {"names": ["newfstatat"], "action": "SCMP_ACT_ALLOW"},
    ]});
    check(
        &void,
        &["architectures[0]", "syscalls[1]: all rules stand beside one for a syscall that this ABI lacks"],
    );
    let many: Value = (0..1001).map(|value| json!({"op": "SCMP_CMP_EQ", "value": value})).collect();
    check(
        &entry(&["keyctl"], &many),
        &[
            "syscalls[0].args: of these 1001",
            "syscalls[0].args: argument 0",
            "syscalls[0]: no kernel takes 1001 conditional rules for keyctl",
        ],
    );
}

/// A hostile policy costs no more than its size, and says no more than anybody reads.
#[test]
fn hostile() {
    let names = vec!["socket"; 20_000];
    let args: Value = (0..2_000).map(|value| json!({"op": "SCMP_CMP_GE", "value": value})).collect();
    assert_eq!(found(&entry(&names, &args)).len(), MOST);
    let strangers: Vec<String> = (0..20_000).map(|at| format!("call_{at}")).collect();
    let entry = |action: &str| json!({"names": strangers, "action": action, "args": [{"op": "SCMP_CMP_EQ"}]});
    assert_eq!(found(&json!({"syscalls": [entry("SCMP_ACT_ALLOW"), entry("SCMP_ACT_LOG")]})).len(), MOST);
}

/// Invalid is more than a warning.
#[test]
fn invalid() {
    let policy = Policy::new(Action::Notify);
    assert!(lints(&policy, &Host::x86_64(), &Settings::default()).is_err());
}
