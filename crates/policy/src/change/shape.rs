//! The JSON form of values in decisions.

use nri_wire::api::{
    IoPrioClass, LinuxSchedulerFlag, LinuxSchedulerPolicy, LinuxSeccomp, LinuxSyscall, MpolFlag, MpolMode,
};
use nri_wire::field::Value;
use serde_json::{Map, Value as Json, json as object};

/// A value as decisions show it: numbers, truth values and texts as such, lists of texts as lists, everything else as an
/// object with the member names of the OCI runtime spec. Members that say nothing are left out; enum values stand with
/// their full names, unknown ones as numbers. A CDI device is `true`, since its name is the key.
///
/// ```
/// use nri_policy::change::json;
/// use nri_wire::{api::Mount, field::Value};
/// let mount = Mount { destination: "/d".into(), source: "/s".into(), ..Default::default() };
/// assert_eq!(json(&Value::Mount(&mount)), serde_json::json!({"destination": "/d", "source": "/s"}));
/// ```
#[must_use]
pub fn json(value: &Value<'_>) -> Json {
    match value {
        Value::Int(n) => (*n).into(),
        Value::UInt(n) => (*n).into(),
        Value::Bool(b) => (*b).into(),
        Value::Text(text) => (*text).into(),
        Value::Args(list) | Value::Lines(list) => list.to_vec().into(),
        Value::Cdi => true.into(),
        Value::Mount(m) => said(object!({
            "destination": m.destination, "type": m.r#type, "source": m.source, "options": m.options,
        })),
        Value::Hook(kind, h) => said(object!({
            "type": kind, "path": h.path, "args": h.args, "env": h.env, "timeout": h.timeout.map(|t| t.value),
        })),
        Value::Device(d) => said(object!({
            "path": d.path, "type": d.r#type, "major": d.major, "minor": d.minor,
            "fileMode": d.file_mode.map(|v| v.value), "uid": d.uid.map(|v| v.value), "gid": d.gid.map(|v| v.value),
        })),
        Value::DeviceRule(r) => said(object!({
            "allow": r.allow, "type": r.r#type, "major": r.major.map(|v| v.value),
            "minor": r.minor.map(|v| v.value), "access": r.access,
        })),
        Value::Rlimit(r) => object!({"type": r.r#type, "hard": r.hard, "soft": r.soft}),
        Value::IoPriority(p) => object!({
            "class": name(p.class, IoPrioClass::try_from(p.class).map(|c| c.as_str_name())),
            "priority": p.priority,
        }),
        Value::NetDevice(d) => object!({"name": d.name}),
        Value::Scheduler(s) => said(object!({
            "policy": name(s.policy, LinuxSchedulerPolicy::try_from(s.policy).map(|p| p.as_str_name())),
            "nice": s.nice, "priority": s.priority,
            "flags": s.flags.iter().map(|&f| name(f, LinuxSchedulerFlag::try_from(f).map(|f| f.as_str_name())))
                .collect::<Vec<_>>(),
            "runtime": s.runtime, "deadline": s.deadline, "period": s.period,
        })),
        Value::MemoryPolicy(p) => said(object!({
            "mode": name(p.mode, MpolMode::try_from(p.mode).map(|m| m.as_str_name())),
            "nodes": p.nodes,
            "flags": p.flags.iter().map(|&f| name(f, MpolFlag::try_from(f).map(|f| f.as_str_name())))
                .collect::<Vec<_>>(),
        })),
        Value::Seccomp(policy) => seccomp(policy),
        // A kind of value that the list of fields gains must get a form here; its test says so.
        _ => Json::Null,
    }
}

fn seccomp(policy: &LinuxSeccomp) -> Json {
    said(object!({
        "defaultAction": policy.default_action,
        "defaultErrnoRet": policy.default_errno.map(|v| v.value),
        "architectures": policy.architectures,
        "flags": policy.flags,
        "listenerPath": policy.listener_path,
        "listenerMetadata": policy.listener_metadata,
        "syscalls": policy.syscalls.iter().map(syscall).collect::<Vec<_>>(),
    }))
}

fn syscall(rule: &LinuxSyscall) -> Json {
    said(object!({
        "names": rule.names,
        "action": rule.action,
        "errnoRet": rule.errno_ret.map(|v| v.value),
        "args": rule.args.iter()
            .map(|a| object!({"index": a.index, "value": a.value, "valueTwo": a.value_two, "op": a.op}))
            .collect::<Vec<_>>(),
    }))
}

/// Leaves out members that are null, empty or false; numbers stay, since 0 is a device number, a user, a priority.
fn said(value: Json) -> Json {
    let Json::Object(members) = value else { return value };
    let says = |value: &Json| match value {
        Json::Null => false,
        Json::String(text) => !text.is_empty(),
        Json::Array(list) => !list.is_empty(),
        _ => true,
    };
    members.into_iter().filter(|(_, value)| says(value)).collect::<Map<_, _>>().into()
}

fn name<E>(number: i32, known: Result<&'static str, E>) -> Json {
    known.map_or_else(|_| number.into(), Into::into)
}
