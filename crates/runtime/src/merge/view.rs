//! How one entry is written into the container that the next plugin sees (`spec/adaptation.md` 10.10).
//!
//! Unlike the reference, RDT, CDI devices (D11) and removals of map keys (D2) are shown too, and limits replace those of
//! the same type and page size (D8). A memory policy is not: the container has no such member.

use nri_wire::api::{CdiDevice, Container, LinuxContainer, LinuxNamespace, OptionalInt};
use nri_wire::field::{self, Entry, Field, Value};

use super::keys::Keys;
use super::reply::{add_hook, set_rdt, set_resource};

/// Gives the container the sub-messages that plugins always see (`spec/adaptation.md` 10.1).
pub(super) fn normalise(container: &mut Container) {
    container.hooks.get_or_insert_default();
    container.linux.get_or_insert_default().resources.get_or_insert_default().normalise();
}

/// Writes a value, after [`drop_touched`] has made room for all of the answer.
pub(super) fn set(container: &mut Container, entry: &Entry<'_>, value: &Value<'_>) {
    let key = entry.key;
    match (entry.field, value) {
        (Field::Annotations, &Value::Text(text)) => {
            container.annotations.insert(key.to_owned(), text.to_owned());
        }
        (_, &Value::Mount(mount)) => container.mounts.push(mount.clone()),
        (Field::Env, &Value::Text(text)) => container.env.push(format!("{key}={text}")),
        (_, &Value::Args(list)) => field::args(list).1.clone_into(&mut container.args),
        (_, &Value::Hook(kind, hook)) => add_hook(container.hooks.get_or_insert_default(), kind, hook),
        (_, &Value::Rlimit(limit)) => container.rlimits.push(limit.clone()),
        (_, Value::Cdi) => container.cdi_devices.push(CdiDevice { name: key.to_owned() }),
        (_, Value::MemoryPolicy(_)) => {}
        (_, value) => set_linux(container.linux.get_or_insert_default(), entry, value),
    }
}

fn set_linux(linux: &mut LinuxContainer, entry: &Entry<'_>, value: &Value<'_>) {
    let key = entry.key;
    match (entry.field, value) {
        (_, &Value::Device(device)) => linux.devices.push(device.clone()),
        (Field::CgroupsPath, &Value::Text(path)) => path.clone_into(&mut linux.cgroups_path),
        (Field::OomScoreAdj, &Value::Int(value)) => linux.oom_score_adj = Some(OptionalInt { value }),
        (_, &Value::IoPriority(priority)) => linux.io_priority = Some(*priority),
        (_, &Value::Seccomp(policy)) => linux.seccomp_policy = Some(policy.clone()),
        (Field::Namespaces, &Value::Text(path)) => {
            linux.namespaces.push(LinuxNamespace { r#type: key.to_owned(), path: path.to_owned() });
        }
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
        _ => set_resource(linux.resources.get_or_insert_default(), entry),
    }
}

/// Takes out what an answer removes or sets anew.
pub(super) fn drop_touched(container: &mut Container, keys: &Keys<'_>) {
    keys.clear(Field::Mounts, &mut container.mounts, |m| &m.destination);
    keys.clear(Field::Env, &mut container.env, |variable| name(variable));
    keys.clear(Field::Rlimits, &mut container.rlimits, |l| &l.r#type);
    keys.clear(Field::CdiDevices, &mut container.cdi_devices, |d| &d.name);
    let linux = container.linux.get_or_insert_default();
    keys.clear(Field::Devices, &mut linux.devices, |d| &d.path);
    keys.clear(Field::Namespaces, &mut linux.namespaces, |n| &n.r#type);
    if let Some(resources) = &mut linux.resources {
        keys.clear(Field::Hugepages, &mut resources.hugepage_limits, |l| &l.page_size);
    }
    for (field, key) in keys.removed() {
        match field {
            Field::Annotations => {
                container.annotations.remove(key);
            }
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
}

/// The name of a variable: what stands before the first `=`.
fn name(variable: &str) -> &str {
    variable.split_once('=').map_or(variable, |(name, _)| name)
}
