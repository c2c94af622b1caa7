//! `linux.seccomp`, in both directions. All names are the OCI specification's own and pass unchecked.

use nri_wire::api::{LinuxSeccomp, LinuxSeccompArg, LinuxSyscall};
use nri_wire::field::{self, Entry};
use serde_json::{Map, Value};

use super::error::ApplyError;
use super::spec::{Node, Spec, SpecError};

/// Replaces the section as a whole.
pub(super) fn replace(spec: &mut Spec, entries: &[Entry<'_>]) -> Result<(), ApplyError> {
    for entry in entries {
        if let Some(field::Value::Seccomp(policy)) = entry.value {
            spec.put(entry.field.info().oci, to_oci(policy))?;
        }
    }
    Ok(())
}

/// The section of a policy, default errno included (quirk E2). Empty lists and strings are left out, as in every
/// writer of OCI specs.
#[must_use]
pub(super) fn to_oci(policy: &LinuxSeccomp) -> Value {
    let LinuxSeccomp {
        default_action,
        default_errno,
        architectures,
        flags,
        listener_path,
        listener_metadata,
        syscalls,
    } = policy;
    let mut map = Map::from_iter([("defaultAction".to_owned(), default_action.as_str().into())]);
    if let Some(errno) = default_errno {
        map.insert("defaultErrnoRet".to_owned(), errno.value.into());
    }
    for (name, list) in [("architectures", architectures), ("flags", flags)] {
        if !list.is_empty() {
            map.insert(name.to_owned(), list.as_slice().into());
        }
    }
    for (name, text) in [("listenerPath", listener_path), ("listenerMetadata", listener_metadata)] {
        if !text.is_empty() {
            map.insert(name.to_owned(), text.as_str().into());
        }
    }
    if !syscalls.is_empty() {
        map.insert("syscalls".to_owned(), syscalls.iter().map(rule_to_oci).collect());
    }
    Value::Object(map)
}

fn rule_to_oci(rule: &LinuxSyscall) -> Value {
    let LinuxSyscall { names, action, errno_ret, args } = rule;
    let mut map = Map::from_iter([
        ("names".to_owned(), names.as_slice().into()),
        ("action".to_owned(), action.as_str().into()),
    ]);
    if let Some(errno) = errno_ret {
        map.insert("errnoRet".to_owned(), errno.value.into());
    }
    if !args.is_empty() {
        map.insert("args".to_owned(), args.iter().map(arg_to_oci).collect());
    }
    Value::Object(map)
}

fn arg_to_oci(arg: &LinuxSeccompArg) -> Value {
    let LinuxSeccompArg { index, value, value_two, op } = arg;
    let mut map = Map::from_iter([
        ("index".to_owned(), (*index).into()),
        ("value".to_owned(), (*value).into()),
        ("op".to_owned(), op.as_str().into()),
    ]);
    if *value_two != 0 {
        map.insert("valueTwo".to_owned(), (*value_two).into());
    }
    Value::Object(map)
}

/// The policy of a section.
pub(super) fn from_oci(section: Node<'_, '_>) -> Result<LinuxSeccomp, SpecError> {
    Ok(LinuxSeccomp {
        default_action: section.get("defaultAction")?.string()?,
        default_errno: section.get("defaultErrnoRet")?.u32()?.map(Into::into),
        architectures: section.get("architectures")?.strings()?,
        flags: section.get("flags")?.strings()?,
        listener_path: section.get("listenerPath")?.string()?,
        listener_metadata: section.get("listenerMetadata")?.string()?,
        syscalls: section.get("syscalls")?.each(|rule| {
            Ok(LinuxSyscall {
                names: rule.get("names")?.strings()?,
                action: rule.get("action")?.string()?,
                errno_ret: rule.get("errnoRet")?.u32()?.map(Into::into),
                args: rule.get("args")?.each(|arg| {
                    Ok(LinuxSeccompArg {
                        index: arg.get("index")?.u32()?.unwrap_or_default(),
                        value: arg.get("value")?.u64()?.unwrap_or_default(),
                        value_two: arg.get("valueTwo")?.u64()?.unwrap_or_default(),
                        op: arg.get("op")?.string()?,
                    })
                })?,
            })
        })?,
    })
}
