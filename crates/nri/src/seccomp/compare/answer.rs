//! What is answered about a pair, in words and as JSON.

use std::process::ExitCode;
use std::time::Instant;

use nri_seccomp::compare::{Comparison, Relation, Side, compare};
use nri_seccomp::settings::{Host, Settings};
use serde_json::{Map, Value};

use crate::seccomp::evidence;
use crate::seccomp::input::Input;

/// The answer about one pair.
pub(super) struct Answer {
    comparison: Comparison,
    /// What the comparison took, microseconds.
    micros: u64,
}

impl Answer {
    pub(super) fn of(old: &Input, new: &Input, host: &Host, settings: &Settings) -> Self {
        let started = Instant::now();
        let comparison = match (old, new) {
            (Err(invalid), _) => Comparison::invalid(Side::Old, invalid),
            (_, Err(invalid)) => Comparison::invalid(Side::New, invalid),
            (Ok(old), Ok(new)) => compare(old.as_ref(), new.as_ref(), host, settings),
        };
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        Self { comparison, micros }
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        if self.comparison.relation.accepts() { ExitCode::SUCCESS } else { ExitCode::from(1) }
    }

    /// One line for people.
    pub(super) fn text(&self) -> String {
        let relation = self.comparison.relation;
        let said = match (relation, &self.comparison.reason) {
            (Relation::Equal, _) => "each policy is at least as restrictive as the other",
            (Relation::Tighter, _) => "the new policy is at least as restrictive as the old one",
            (_, reason) => reason.as_deref().unwrap_or_default(),
        };
        format!("{}: {said}", relation.as_str())
    }

    /// The object of `spec/seccomp.md` 7.1, with the `id` of a line.
    pub(super) fn json(&self, id: Option<&Value>) -> Value {
        let Comparison { relation, counterexample, reason, .. } = &self.comparison;
        let mut object = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                object.insert(key.to_owned(), value);
            }
        };
        put("id", id.cloned());
        put("verdict", Some(if relation.accepts() { "accept" } else { "reject" }.into()));
        put("relation", Some(relation.as_str().into()));
        put("counterexample", counterexample.as_ref().map(evidence::json));
        put("reason", reason.as_deref().map(Value::from));
        put("micros", Some(self.micros.into()));
        object.into()
    }
}

#[cfg(test)]
mod tests {
    use nri_seccomp::profile::Target;
    use serde_json::json;

    use super::*;
    use crate::seccomp::input;

    fn check([old, new]: [Value; 2], expect: &Value, text: &str) {
        let host = Host::x86_64();
        let target = Target::new(host.native());
        let (old, new) = (input::from_value(old, &target).unwrap(), input::from_value(new, &target).unwrap());
        let answer = Answer::of(&old, &new, &host, &Settings::default());
        assert_eq!(answer.text(), text);
        let mut json = answer.json(Some(&json!("x1")));
        assert!(json["micros"].is_u64());
        json.as_object_mut().unwrap().shift_remove("micros");
        assert_eq!(&json, expect);
    }

    /// The forms of `spec/seccomp.md` 7.1.
    #[test]
    fn forms() {
        let clone = |mask: u64| {
            json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{
                "names": ["clone"], "action": "SCMP_ACT_ALLOW",
                "args": [{"index": 0, "value": mask, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]
            }]})
        };
        let (strict, lax) = (clone(0x7e02_0000), clone(0x6e02_0000));
        check(
            [strict.clone(), lax.clone()],
            &json!({
                "id": "x1", "verdict": "reject", "relation": "looser",
                "counterexample": {
                    "arch": "SCMP_ARCH_X86_64", "syscall": "clone", "nr": 56, "args": [0x1000_0000, 0, 0, 0, 0, 0],
                    "old": "SCMP_ACT_ERRNO(1)", "new": "SCMP_ACT_ALLOW"
                },
                "reason": "x86_64: clone(0x10000000, ...) is refused with error 1 by the old policy and allowed by the new one (ERRNO(1) -> ALLOW)"
            }),
            "looser: x86_64: clone(0x10000000, ...) is refused with error 1 by the old policy and allowed by the new one (ERRNO(1) -> ALLOW)",
        );
        check(
            [lax, strict.clone()],
            &json!({"id": "x1", "verdict": "accept", "relation": "tighter"}),
            "tighter: the new policy is at least as restrictive as the old one",
        );
        check(
            [Value::Null, Value::Null],
            &json!({"id": "x1", "verdict": "accept", "relation": "equal"}),
            "equal: each policy is at least as restrictive as the other",
        );
        let flags = |flags: &[&str]| json!({"defaultAction": "SCMP_ACT_KILL", "flags": flags});
        let reason = "SECCOMP_FILTER_FLAG_SPEC_ALLOW is not in force in the old policy and in force in the new one; it switches a mitigation of speculation off, and no flags at all count as this one (name another flag to avoid that)";
        check(
            [flags(&["SECCOMP_FILTER_FLAG_TSYNC"]), flags(&[])],
            &json!({
                "id": "x1", "verdict": "reject", "relation": "looser",
                "counterexample": {"flag": "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "old": false, "new": true},
                "reason": reason
            }),
            &format!("looser: {reason}"),
        );
        check(
            [
                strict,
                json!({"defaultAction": "SCMP_ACT_LOG", "syscalls": [{"names": ["x"], "action": "NO"}]}),
            ],
            &json!({
                "id": "x1", "verdict": "reject", "relation": "invalid",
                "reason": "the new policy is invalid: syscalls[0].action: unknown action \"NO\""
            }),
            "invalid: the new policy is invalid: syscalls[0].action: unknown action \"NO\"",
        );
    }

    /// Numbers stay exact, names in no table have no number, numbers in no table no name.
    #[test]
    fn corners() {
        let check = |new: Value, expect: Value| {
            let old = json!({"defaultAction": "SCMP_ACT_TRAP"});
            let host = Host::x86_64();
            let target = Target::new(host.native());
            let (old, new) =
                (input::from_value(old, &target).unwrap(), input::from_value(new, &target).unwrap());
            let json = Answer::of(&old, &new, &host, &Settings::default()).json(None);
            assert_eq!(json.get("id"), None);
            let found = &json["counterexample"];
            let found = json!([
                found["arch"],
                found["syscall"],
                found["nr"],
                found["args"],
                found["old"],
                found["new"]
            ]);
            assert_eq!(found, expect);
        };
        let rule = |archs: &[&str], name: &str, args: Value| {
            json!({"defaultAction": "SCMP_ACT_TRAP", "architectures": archs, "syscalls": [
                {"names": [name], "action": "SCMP_ACT_TRACE", "errnoRet": 65543, "args": args}
            ]})
        };
        check(
            rule(&[], "read", json!([{"index": 2, "value": u64::MAX, "op": "SCMP_CMP_EQ"}])),
            json!([
                "SCMP_ARCH_X86_64",
                "read",
                0,
                [0, 0, u64::MAX, 0, 0, 0],
                "SCMP_ACT_TRAP",
                "SCMP_ACT_TRACE(7)"
            ]),
        );
        check(
            rule(&[], "frobnicate", json!([])),
            json!([
                "SCMP_ARCH_X86_64",
                "frobnicate",
                null,
                [0, 0, 0, 0, 0, 0],
                "SCMP_ACT_TRAP",
                "SCMP_ACT_TRACE(7)"
            ]),
        );
        // An ABI that only the new filter has, whose rules do not reach this number.
        check(
            json!({"defaultAction": "SCMP_ACT_TRAP", "architectures": ["SCMP_ARCH_X32"]}),
            json!([
                "SCMP_ARCH_X32",
                "read",
                0x4000_0000,
                [0, 0, 0, 0, 0, 0],
                "SCMP_ACT_KILL_THREAD",
                "SCMP_ACT_TRAP"
            ]),
        );
    }
}
