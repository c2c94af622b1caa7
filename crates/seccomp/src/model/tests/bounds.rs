//! What hostile policies cost.

use super::*;

fn group_of(json: &Value, name: &str) -> (bool, usize) {
    let policy = read(json);
    let model = Model::new(Some(&policy), &Host::x86_64(), &Settings::default(), Reading::All).unwrap();
    let key = syscall::number(Arch::X86_64, name).map_or(Key::Name(name), Key::Number);
    let group = model.abi(Arch::X86_64).group(key).unwrap();
    let complex = group.is_too_complex();
    assert_eq!(complex, group.list().is_none());
    assert_eq!(complex, group.evaluate(&args([])).is_none());
    (complex, group.rule_count())
}

fn alternatives(count: u64) -> Value {
    (0..count).map(|value| json!({"index": 0, "op": "SCMP_CMP_EQ", "value": value})).collect()
}

/// 3.5: a group of more than 1,000 conditional rules is not worked out.
#[test]
fn many_rules_of_one_call() {
    for (count, expect) in [(999, false), (1_000, false), (1_001, true), (100_000, true)] {
        let mut json = policy("ERRNO", &["read -> ALLOW"]);
        json["syscalls"][0]["args"] = alternatives(count);
        assert_eq!(group_of(&json, "read"), (expect, usize::try_from(count).unwrap()));
    }
}

/// An entry of many names and many conditions is worked out once, and of many such entries only so many.
#[test]
fn many_names_with_many_conditions() {
    let names: Vec<String> = (0..5_000).map(|at| format!("call_{at:04}")).collect();
    let mut json = on_x86s(policy("ERRNO", &["read -> ALLOW"]));
    json["syscalls"] = json!([{"names": names, "action": "SCMP_ACT_ALLOW", "args": alternatives(900)}]);
    assert_eq!(group_of(&json, "call_4999"), (false, 900));
    let entries = json["syscalls"].as_array_mut().unwrap();
    for name in &names {
        entries.push(json!({"names": [name], "action": "SCMP_ACT_LOG", "args": [{"op": "SCMP_CMP_GT"}]}));
    }
    assert_eq!(group_of(&json, "call_4999"), (true, 901));
    assert_eq!(group_of(&json, "call_0000"), (false, 901));
}

/// Six conditions that branch come to 189 tests; recursion is no deeper than three tests a condition.
#[test]
fn branching_conditions() {
    let mut json = policy("ERRNO", &[]);
    let args: Vec<Value> =
        (0..6).map(|index| json!({"index": index, "op": "SCMP_CMP_GT", "value": 7})).collect();
    json["syscalls"] = (0..900)
        .map(|value| {
            let mut args = args.clone();
            args[5]["value"] = value.into();
            json!({"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": args})
        })
        .collect();
    assert_eq!(group_of(&json, "read"), (false, 900));
    let policy = read(&json);
    let model = Model::new(Some(&policy), &Host::x86_64(), &Settings::default(), Reading::All).unwrap();
    assert_eq!(model.evaluate(Arch::X86_64, 0, &[8, 8, 8, 8, 8, 1]), Some(Effect::Allow));
    assert_eq!(model.evaluate(Arch::X86_64, 0, &[8, 8, 7, 8, 8, 1]), Some(Effect::Errno(1)));
}

/// 3.6: the same program, but for the default action and the listener.
#[test]
fn same_program() {
    let rules = ["read,write -> ALLOW", "keyctl arg0 == 1 && arg0 == 2 -> ALLOW", "socketcall -> LOG"];
    let base = on_x86s(policy("ERRNO", &rules));
    let same = |other: Value| {
        let (one, other) = (read(&base), read(&other));
        let model = |policy| Model::new(Some(policy), &Host::x86_64(), &Settings::default(), Reading::All);
        model(&one).unwrap().is_same_program(&model(&other).unwrap())
    };
    assert!(same(base.clone()));
    assert!(same(on_x86s(policy("KILL", &rules))));
    assert!(same(with(base.clone(), "listenerPath", json!("/other"))));
    assert!(same(with(base.clone(), "architectures", json!(["SCMP_ARCH_X86", "SCMP_ARCH_X32"]))));
    // An entry cut in two, and one that equals the default action.
    let cut = [
        "read -> ALLOW",
        "write -> ALLOW",
        "read -> ERRNO",
        "keyctl arg0 == 1 -> ALLOW",
        "keyctl arg0 == 2 -> ALLOW",
    ];
    assert!(same(on_x86s(policy("ERRNO", &[cut.as_slice(), &rules[2..]].concat()))));
    for other in [
        policy("ERRNO", &rules),
        on_x86s(policy("ERRNO", &rules[..2])),
        on_x86s(policy("LOG", &rules)),
        on_x86s(policy("ERRNO", &[rules[1], rules[0], rules[2]])),
        on_x86s(policy("ERRNO", &[rules[0], rules[1], "socketcall -> TRAP"])),
    ] {
        assert!(!same(other.clone()), "{other}");
    }
}
