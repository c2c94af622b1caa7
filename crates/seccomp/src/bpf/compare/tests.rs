//! Filters against policies. `tests/tests/seccomp_oracle/reader.rs` does it with what libseccomp makes of thousands.

use serde_json::json;

use super::*;
use crate::bpf::{ByteOrder, Program};
use crate::model::Reading;
use crate::policy::Policy;

/// As libseccomp writes it for x86_64: `personality` with 8, and `read`, are allowed, everything else is ERRNO(1).
const FILTER: &str = "
    20 00 00 00 04000000  15 00 00 0a 3e0000c0  20 00 00 00 00000000  35 00 08 00 00000040
    15 00 06 00 00000000  15 00 00 04 87000000  20 00 00 00 14000000  15 00 00 02 00000000
    20 00 00 00 10000000  15 00 01 00 08000000  06 00 00 00 01000500  06 00 00 00 0000ff7f
    06 00 00 00 00000000";

fn filters(text: &str, host: &Host) -> Filters {
    Filters::read(Stack::new(vec![Program::from_hex(text, ByteOrder::Little).unwrap()]), host)
}

fn check(policy: &serde_json::Value, expect: Relation, call: Option<(&str, u64, Effect, Effect)>) {
    let (host, settings) = (Host::x86_64(), Settings::default());
    let policy = (!policy.is_null()).then(|| Policy::from_json(policy).unwrap());
    let model = Model::new(policy.as_ref(), &host, &settings, Reading::All).unwrap();
    let verdict = compare(&model, &filters(FILTER, &host), &host, &settings);
    assert_eq!(verdict.relation, expect, "{verdict:?}");
    let found = verdict.counterexample.map(|call| (call.syscall.unwrap(), call.args[0], call.old, call.new));
    assert_eq!(found, call.map(|(name, arg, old, new)| (name.to_owned(), arg, old, new)));
}

#[test]
fn a_filter_against_policies() {
    let allow = |names: &[&str]| json!({"names": names, "action": "SCMP_ACT_ALLOW"});
    let personality = |value: u64| {
        let args = [json!({"index": 0, "value": value, "op": "SCMP_CMP_EQ"})];
        json!({"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": args})
    };
    let policy =
        |syscalls: &[serde_json::Value]| json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": syscalls});
    let (denied, allowed) = (Effect::Errno(1), Effect::Allow);
    check(&policy(&[allow(&["read"]), personality(8)]), Relation::Equal, None);
    check(&policy(&[allow(&["read", "personality"])]), Relation::Tighter, None);
    check(&policy(&[allow(&["read", "write"]), personality(8)]), Relation::Tighter, None);
    check(&policy(&[allow(&["read"])]), Relation::Looser, Some(("personality", 8, denied, allowed)));
    check(
        &policy(&[allow(&["read"]), personality(9)]),
        Relation::Incomparable,
        Some(("personality", 8, denied, allowed)),
    );
    check(&json!({"defaultAction": "SCMP_ACT_ALLOW"}), Relation::Tighter, None);
    let kill =
        json!({"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [allow(&["read"]), personality(8)]});
    check(&kill, Relation::Looser, Some(("write", 0, Effect::KillProcess, denied)));
    check(&json!(null), Relation::Tighter, None);
}

/// Names in no table do nothing in a filter; what the policy cannot be known to say is not known here either.
#[test]
fn what_is_not_known() {
    let twice = |op: &str, value: u64| json!({"index": 0, "value": value, "op": op});
    let hazard = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["read", "frobnicate"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [twice("SCMP_CMP_NE", 1), {"index": 1, "value": 5, "op": "SCMP_CMP_NE"}]},
        {"names": ["personality"], "action": "SCMP_ACT_LOG", "args": [twice("SCMP_CMP_NE", 1), {"index": 2, "value": 1, "op": "SCMP_CMP_EQ"}]},
    ]});
    check(&hazard, Relation::Undecidable, None);
    // The address of the call.
    let host = Host::x86_64();
    let strange = "20 00 00 00 08000000  15 00 00 01 00000000  06 00 00 00 0000ff7f  06 00 00 00 01000500";
    let (strange, plain) = (filters(strange, &host), filters(FILTER, &host));
    for verdict in [
        compare(&plain, &strange, &host, &Settings::default()),
        compare(&strange, &plain, &host, &Settings::default()),
        compare(&strange, &strange, &host, &Settings::default()),
    ] {
        assert_eq!(verdict.relation, Relation::Undecidable);
        assert!(verdict.reason.unwrap().contains("from where the call is made"));
    }
    // Whatever else is there, it allows less than nothing at all.
    let none = Filters::read(Stack::default(), &host);
    assert_eq!(compare(&none, &plain, &host, &Settings::default()).relation, Relation::Tighter);
    assert_eq!(compare(&plain, &plain, &host, &Settings::default()).relation, Relation::Equal);
}
