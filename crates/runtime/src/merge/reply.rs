//! How one entry is written into the merged adjustment (`spec/adaptation.md` 10.2 to 10.9).
//!
//! A removal drops what an earlier plugin had set (D2) and leaves a mark, so that it reaches the container (D1). Marks of a
//! key always stand before its value.

use nri_wire::api::{
    CdiDevice, ContainerAdjustment, Hook, Hooks, HugepageLimit, KeyValue, LinuxContainerAdjustment,
    LinuxDevice, LinuxNamespace, LinuxNetDevice, LinuxRdt, LinuxResources, Mount, OptionalBool, OptionalInt,
    OptionalRepeatedString, OptionalString,
};
use nri_wire::field::{self, Entry, Field, Value};

use super::keys::Keys;

/// Writes a value. `client_rdt`: the client's container has RDT settings.
pub(super) fn set(reply: &mut ContainerAdjustment, entry: &Entry<'_>, value: &Value<'_>, client_rdt: bool) {
    let key = || entry.key.to_owned();
    match (entry.field, value) {
        (Field::Annotations, &Value::Text(text)) => {
            reply.annotations.insert(key(), text.to_owned());
        }
        (_, &Value::Mount(mount)) => reply.mounts.push(mount.clone()),
        (Field::Env, &Value::Text(text)) => reply.env.push(KeyValue { key: key(), value: text.to_owned() }),
        (_, &Value::Args(list)) => field::args(list).1.clone_into(&mut reply.args),
        (_, &Value::Hook(kind, hook)) => add_hook(reply.hooks.get_or_insert_default(), kind, hook),
        (_, &Value::Rlimit(limit)) => reply.rlimits.push(limit.clone()),
        (_, Value::Cdi) => reply.cdi_devices.push(CdiDevice { name: key() }),
        (_, value) => set_linux(reply.linux.get_or_insert_default(), entry, value, client_rdt),
    }
}

fn set_linux(linux: &mut LinuxContainerAdjustment, entry: &Entry<'_>, value: &Value<'_>, client_rdt: bool) {
    let key = || entry.key.to_owned();
    match (entry.field, value) {
        (_, &Value::Device(device)) => linux.devices.push(device.clone()),
        (Field::CgroupsPath, &Value::Text(path)) => path.clone_into(&mut linux.cgroups_path),
        (Field::OomScoreAdj, &Value::Int(value)) => linux.oom_score_adj = Some(OptionalInt { value }),
        (_, &Value::IoPriority(priority)) => linux.io_priority = Some(*priority),
        (_, &Value::Seccomp(policy)) => linux.seccomp_policy = Some(policy.clone()),
        (Field::Namespaces, &Value::Text(path)) => {
            linux.namespaces.push(LinuxNamespace { r#type: key(), path: path.to_owned() });
        }
        (Field::Sysctl, &Value::Text(text)) => {
            linux.sysctl.insert(key(), text.to_owned());
        }
        (_, &Value::NetDevice(device)) => {
            linux.net_devices.insert(key(), device.clone());
        }
        (_, &Value::Scheduler(scheduler)) => linux.scheduler = Some(scheduler.clone()),
        (_, &Value::MemoryPolicy(policy)) => linux.memory_policy = Some(policy.clone()),
        (Field::RdtClosId | Field::RdtSchemata | Field::RdtMonitoring, value) => {
            let rdt = linux.rdt.get_or_insert_default();
            set_rdt(rdt, entry.field, value);
            // A removal together with values must still reach settings of the client's (E12).
            rdt.remove &= client_rdt;
        }
        _ => set_resource(linux.resources.get_or_insert_default(), entry),
    }
}

/// Drops what an answer removes.
pub(super) fn drop_removed(reply: &mut ContainerAdjustment, keys: &Keys<'_>) {
    keys.unset(Field::Mounts, &mut reply.mounts, |m| &m.destination);
    keys.unset(Field::Env, &mut reply.env, |kv| &kv.key);
    if let Some(linux) = &mut reply.linux {
        keys.unset(Field::Devices, &mut linux.devices, |d| &d.path);
        keys.unset(Field::Namespaces, &mut linux.namespaces, |n| &n.r#type);
    }
    for (field, key) in keys.removed() {
        // What looks like the value of `-K` is the mark of `K`, which stays.
        if field::is_marked(key).is_some() {
            continue;
        }
        let linux = reply.linux.as_mut();
        match field {
            Field::Annotations => {
                reply.annotations.remove(key);
            }
            Field::Sysctl => {
                linux.and_then(|l| l.sysctl.remove(key));
            }
            Field::NetDevices => {
                linux.and_then(|l| l.net_devices.remove(key));
            }
            _ => {}
        }
    }
}

/// Writes the mark of a removal. `sets`: the same answer also sets the key. In lists a value replaces what was there, so
/// that a mark beside it says nothing and is left out; in maps the reference shows both (CONF-163, CONF-165).
pub(super) fn mark(reply: &mut ContainerAdjustment, field: Field, key: &str, sets: bool) {
    let mark = format!("-{key}");
    match field {
        Field::Annotations => {
            reply.annotations.insert(mark, String::new());
        }
        Field::Mounts if !sets => reply.mounts.push(Mount { destination: mark, ..Mount::default() }),
        Field::Env if !sets => reply.env.push(KeyValue { key: mark, value: String::new() }),
        Field::Mounts | Field::Env => {}
        _ => mark_linux(reply.linux.get_or_insert_default(), field, mark, sets),
    }
}

fn mark_linux(linux: &mut LinuxContainerAdjustment, field: Field, mark: String, sets: bool) {
    match field {
        Field::Devices if !sets => linux.devices.push(LinuxDevice { path: mark, ..LinuxDevice::default() }),
        Field::Namespaces if !sets => {
            linux.namespaces.push(LinuxNamespace { r#type: mark, path: String::new() });
        }
        Field::Sysctl => {
            linux.sysctl.insert(mark, String::new());
        }
        Field::NetDevices => {
            linux.net_devices.insert(mark, LinuxNetDevice::default());
        }
        Field::RdtRemove => linux.rdt = Some(LinuxRdt { remove: true, ..LinuxRdt::default() }),
        _ => {}
    }
}

/// Writes one of the three settings of RDT.
pub(super) fn set_rdt(rdt: &mut LinuxRdt, field: Field, value: &Value<'_>) {
    match (field, value) {
        (Field::RdtClosId, &Value::Text(text)) => {
            rdt.clos_id = Some(OptionalString { value: text.to_owned() });
        }
        (Field::RdtSchemata, &Value::Lines(lines)) => {
            rdt.schemata = Some(OptionalRepeatedString { value: lines.to_vec() });
        }
        (Field::RdtMonitoring, &Value::Bool(value)) => rdt.enable_monitoring = Some(OptionalBool { value }),
        _ => {}
    }
}

/// Writes a resource. Huge page limits are appended: that a size is not there yet is known, and looking would take long.
pub(super) fn set_resource(resources: &mut LinuxResources, entry: &Entry<'_>) {
    match entry.value {
        Some(Value::UInt(limit)) if entry.field == Field::Hugepages => {
            resources.hugepage_limits.push(HugepageLimit { page_size: entry.key.to_owned(), limit });
        }
        _ => {
            field::set_resource(resources, entry);
        }
    }
}

/// Appends a hook to the list of its kind.
pub(super) fn add_hook(hooks: &mut Hooks, kind: &str, hook: &Hook) {
    let list = match kind {
        "prestart" => &mut hooks.prestart,
        "createRuntime" => &mut hooks.create_runtime,
        "createContainer" => &mut hooks.create_container,
        "startContainer" => &mut hooks.start_container,
        "poststart" => &mut hooks.poststart,
        _ => &mut hooks.poststop,
    };
    list.push(hook.clone());
}
