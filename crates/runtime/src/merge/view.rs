//! How one entry is written into the container that the next plugin sees (`spec/adaptation.md` 10.10).
//!
//! Unlike the reference, RDT, CDI devices (D11) and removals of map keys (D2) are shown too, and limits replace those of
//! the same type and page size (D8). A memory policy is not: the container has no such member.

use nri_wire::api::{CdiDevice, Container, LinuxContainer, LinuxNamespace, OptionalInt};
use nri_wire::field::{self, Entry, Field, Value};

use super::reply::{add_hook, set_rdt};

/// Gives the container the sub-messages that plugins always see (`spec/adaptation.md` 10.1).
pub(super) fn normalise(container: &mut Container) {
    container.hooks.get_or_insert_default();
    container.linux.get_or_insert_default().resources.get_or_insert_default().normalise();
}

/// Writes a value.
pub(super) fn set(container: &mut Container, entry: &Entry<'_>, value: &Value<'_>) {
    let key = entry.key;
    match (entry.field, value) {
        (Field::Annotations, &Value::Text(text)) => {
            container.annotations.insert(key.to_owned(), text.to_owned());
        }
        (_, &Value::Mount(mount)) => {
            container.mounts.retain(|m| m.destination != key);
            container.mounts.push(mount.clone());
        }
        (Field::Env, &Value::Text(text)) => {
            container.env.retain(|variable| name(variable) != key);
            container.env.push(format!("{key}={text}"));
        }
        (_, &Value::Args(list)) => field::args(list).1.clone_into(&mut container.args),
        (_, &Value::Hook(kind, hook)) => add_hook(container.hooks.get_or_insert_default(), kind, hook),
        (_, &Value::Rlimit(limit)) => {
            put(&mut container.rlimits, |l| l.r#type == limit.r#type, limit.clone());
        }
        (_, Value::Cdi) => {
            put(&mut container.cdi_devices, |d| d.name == key, CdiDevice { name: key.to_owned() });
        }
        (_, Value::MemoryPolicy(_)) => {}
        (_, value) => set_linux(container.linux.get_or_insert_default(), entry, value),
    }
}

fn set_linux(linux: &mut LinuxContainer, entry: &Entry<'_>, value: &Value<'_>) {
    let key = entry.key;
    match (entry.field, value) {
        (_, &Value::Device(device)) => {
            linux.devices.retain(|d| d.path != key);
            linux.devices.push(device.clone());
        }
        (Field::CgroupsPath, &Value::Text(path)) => path.clone_into(&mut linux.cgroups_path),
        (Field::OomScoreAdj, &Value::Int(value)) => linux.oom_score_adj = Some(OptionalInt { value }),
        (_, &Value::IoPriority(priority)) => linux.io_priority = Some(*priority),
        (_, &Value::Seccomp(policy)) => linux.seccomp_policy = Some(policy.clone()),
        (Field::Namespaces, &Value::Text(path)) => put(
            &mut linux.namespaces,
            |n| n.r#type == key,
            LinuxNamespace { r#type: key.to_owned(), path: path.to_owned() },
        ),
        (Field::Sysctl, &Value::Text(text)) => {
            linux.sysctl.insert(key.to_owned(), text.to_owned());
        }
        (_, &Value::NetDevice(device)) => {
            linux.net_devices.insert(key.to_owned(), device.clone());
        }
        (_, &Value::Scheduler(scheduler)) => linux.scheduler = Some(scheduler.clone()),
        (Field::RdtClosId | Field::RdtSchemata | Field::RdtMonitoring, value) => {
            set_rdt(linux.rdt.get_or_insert_default(), entry.field, value);
        }
        _ => {
            field::set_resource(linux.resources.get_or_insert_default(), entry);
        }
    }
}

/// Writes a removal.
pub(super) fn remove(container: &mut Container, field: Field, key: &str) {
    let linux = container.linux.get_or_insert_default();
    match field {
        Field::Annotations => {
            container.annotations.remove(key);
        }
        Field::Mounts => container.mounts.retain(|m| m.destination != key),
        Field::Env => container.env.retain(|variable| name(variable) != key),
        Field::Devices => linux.devices.retain(|d| d.path != key),
        Field::Namespaces => linux.namespaces.retain(|n| n.r#type != key),
        Field::Sysctl => {
            linux.sysctl.remove(key);
        }
        Field::NetDevices => {
            linux.net_devices.remove(key);
        }
        Field::RdtRemove => linux.rdt = None,
        _ => {}
    }
}

/// The name of a variable: what stands before the first `=`.
fn name(variable: &str) -> &str {
    variable.split_once('=').map_or(variable, |(name, _)| name)
}

/// Replaces the first element that matches, or appends.
fn put<T>(list: &mut Vec<T>, is_same: impl Fn(&T) -> bool, value: T) {
    match list.iter_mut().find(|old| is_same(old)) {
        Some(old) => *old = value,
        None => list.push(value),
    }
}
