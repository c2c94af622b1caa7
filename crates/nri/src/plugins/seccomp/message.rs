//! A policy as the protocol carries it.

use nri_seccomp::policy::{Condition, Entry, Invalid, Policy};
use nri_wire::api::{LinuxSeccomp, LinuxSeccompArg, LinuxSyscall};
use serde_json::{Value, json};

/// The policy that a message says, read as strictly as one in a file.
pub(super) fn to_policy(message: &LinuxSeccomp) -> Result<Policy, Invalid> {
    let entry = |rule: &LinuxSyscall| {
        json!({
            "names": rule.names,
            "action": rule.action,
            "errnoRet": rule.errno_ret.as_ref().map(|number| number.value),
            "args": rule.args.iter().map(condition).collect::<Vec<_>>(),
        })
    };
    Policy::from_json(&json!({
        "defaultAction": message.default_action,
        "defaultErrnoRet": message.default_errno.as_ref().map(|number| number.value),
        "architectures": message.architectures,
        "flags": message.flags,
        "listenerPath": message.listener_path,
        "listenerMetadata": message.listener_metadata,
        "syscalls": message.syscalls.iter().map(entry).collect::<Vec<_>>(),
    }))
}

fn condition(arg: &LinuxSeccompArg) -> Value {
    json!({"index": arg.index, "value": arg.value, "valueTwo": arg.value_two, "op": arg.op})
}

/// The message for a policy without members of its own.
pub(super) fn from_policy(policy: &Policy) -> LinuxSeccomp {
    LinuxSeccomp {
        default_action: policy.default_action.to_string(),
        default_errno: policy.default_errno.map(Into::into),
        architectures: policy.architectures.iter().map(ToString::to_string).collect(),
        flags: policy.flags.iter().map(ToString::to_string).collect(),
        listener_path: policy.listener_path.clone().unwrap_or_default(),
        listener_metadata: policy.listener_metadata.clone().unwrap_or_default(),
        syscalls: policy.syscalls.iter().map(syscall).collect(),
    }
}

fn syscall(entry: &Entry) -> LinuxSyscall {
    let arg = |condition: &Condition| LinuxSeccompArg {
        index: condition.index,
        value: condition.value,
        value_two: condition.value_two,
        op: condition.op.to_string(),
    };
    LinuxSyscall {
        names: entry.names.clone(),
        action: entry.action.to_string(),
        errno_ret: entry.errno.map(Into::into),
        args: entry.args.iter().map(arg).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        let json = json!({
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
            "architectures": ["SCMP_ARCH_X86_64"], "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "listenerPath": "/l", "listenerMetadata": "m",
            "syscalls": [{"names": ["a", "b"], "action": "SCMP_ACT_ALLOW", "errnoRet": 0,
                "args": [{"index": 5, "value": u64::MAX, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ"}]}]
        });
        let policy = Policy::from_json(&json).unwrap();
        let message = from_policy(&policy);
        assert_eq!(to_policy(&message).unwrap(), policy);
        assert_eq!(message.default_errno.as_ref().map(|errno| errno.value), Some(38));
    }

    #[test]
    fn what_is_no_policy() {
        for (message, expect) in [
            (LinuxSeccomp::default(), "defaultAction: unknown action \"\""),
            (
                LinuxSeccomp {
                    default_action: "SCMP_ACT_ALLOW".into(),
                    syscalls: vec![LinuxSyscall { action: "SCMP_ACT_NEW".into(), ..Default::default() }],
                    ..Default::default()
                },
                "syscalls[0].action: unknown action \"SCMP_ACT_NEW\"",
            ),
        ] {
            assert_eq!(to_policy(&message).unwrap_err().to_string(), expect);
        }
    }
}
