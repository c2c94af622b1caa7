//! Entries: one field, its key, its new value or its removal. The walks over adjustments, updates and containers.

use std::borrow::Cow;

use super::Field;
use super::resource::resources;
use crate::api::{
    Container, ContainerAdjustment, ContainerUpdate, Hook, Hooks, LinuxDevice, LinuxDeviceCgroup,
    LinuxIoPriority, LinuxMemoryPolicy, LinuxNetDevice, LinuxRdt, LinuxScheduler, LinuxSeccomp, Mount,
    PosixRlimit,
};

/// One thing that an answer says, or that a container has.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<'a> {
    /// The field.
    pub field: Field,
    /// The key by which it is owned, without a removal mark; empty where the field has none.
    pub key: &'a str,
    /// The value, or `None` for a removal mark.
    pub value: Option<Value<'a>>,
}

/// The value of an entry.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    UInt(u64),
    /// A truth value.
    Bool(bool),
    /// A text: annotation, sysctl, variable, class, path of a namespace.
    Text(&'a str),
    /// The command line as it stands in the message; see [`args`] for the leading empty element.
    Args(&'a [String]),
    /// Lines of RDT schemata.
    Lines(&'a [String]),
    /// A mount.
    Mount(&'a Mount),
    /// A hook, with the kind by its OCI name (`createRuntime`).
    Hook(&'static str, &'a Hook),
    /// A device node.
    Device(&'a LinuxDevice),
    /// A device cgroup rule.
    DeviceRule(&'a LinuxDeviceCgroup),
    /// A CDI device; its name is the key.
    Cdi,
    /// A resource limit.
    Rlimit(&'a PosixRlimit),
    /// An I/O priority.
    IoPriority(&'a LinuxIoPriority),
    /// A seccomp policy.
    Seccomp(&'a LinuxSeccomp),
    /// A network device.
    NetDevice(&'a LinuxNetDevice),
    /// Scheduler attributes.
    Scheduler(&'a LinuxScheduler),
    /// A memory policy.
    MemoryPolicy(&'a LinuxMemoryPolicy),
}

impl<'a> Entry<'a> {
    pub(super) fn set(field: Field, key: &'a str, value: Value<'a>) -> Self {
        Self { field, key, value: Some(value) }
    }

    /// Splits the removal mark off a key (`spec/api.md` 4.1).
    fn marked(field: Field, key: &'a str, value: Value<'a>) -> Self {
        match is_marked(key) {
            Some(key) => Self { field, key, value: None },
            None => Self::set(field, key, value),
        }
    }

    /// The key for people (`policy.md` 4): the owner's key, or what tells entries of an unkeyed field apart.
    #[must_use]
    pub fn decision_key(&self) -> Cow<'a, str> {
        match &self.value {
            Some(Value::Hook(kind, hook)) => Cow::Owned(format!("{kind}:{}", hook.path)),
            Some(Value::DeviceRule(rule)) => {
                let number = |n: Option<i64>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
                let kind = if rule.r#type.is_empty() { "a" } else { &rule.r#type };
                Cow::Owned(format!(
                    "{kind} {}:{}",
                    number(rule.major.as_ref().map(|m| m.value)),
                    number(rule.minor.as_ref().map(|m| m.value))
                ))
            }
            _ => Cow::Borrowed(self.key),
        }
    }
}

/// The key behind a removal mark, if there is one. Only one leading `-` counts; the empty key is not marked.
///
/// ```
/// use nri_wire::field::is_marked;
/// assert_eq!((is_marked("-x"), is_marked("--x"), is_marked("x"), is_marked("")), (Some("x"), Some("-x"), None, None));
/// ```
#[must_use]
pub fn is_marked(key: &str) -> Option<&str> {
    key.strip_prefix('-')
}

/// Splits an adjusted command line into "replaces without a conflict" and the line itself (`spec/api.md` 4.3).
#[must_use]
pub fn args(list: &[String]) -> (bool, &[String]) {
    match list.split_first() {
        Some((first, rest)) if first.is_empty() => (true, rest),
        _ => (false, list),
    }
}

/// Everything that an adjustment says, in the order in which the reference applies it (`spec/adaptation.md` 10.1).
/// Removals stand where they stand in the message; in maps they come before the values, since `-` sorts first for
/// most keys; whoever applies entries handles removals of a key before its values.
#[must_use]
pub fn adjustment(adjust: &ContainerAdjustment) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    entries
        .extend(adjust.annotations.iter().map(|(k, v)| Entry::marked(Field::Annotations, k, Value::Text(v))));
    entries
        .extend(adjust.mounts.iter().map(|m| Entry::marked(Field::Mounts, &m.destination, Value::Mount(m))));
    entries.extend(adjust.env.iter().map(|kv| Entry::marked(Field::Env, &kv.key, Value::Text(&kv.value))));
    if !adjust.args.is_empty() {
        entries.push(Entry::set(Field::Args, "", Value::Args(&adjust.args)));
    }
    entries.extend(adjust.hooks.iter().flat_map(hooks));
    if let Some(linux) = &adjust.linux {
        entries
            .extend(linux.devices.iter().map(|d| Entry::marked(Field::Devices, &d.path, Value::Device(d))));
        entries.extend(linux.resources.iter().flat_map(resources));
        entries.extend(single(Field::CgroupsPath, text(&linux.cgroups_path)));
        entries.extend(single(Field::OomScoreAdj, linux.oom_score_adj.as_ref().map(|v| Value::Int(v.value))));
        entries.extend(single(Field::IoPriority, linux.io_priority.as_ref().map(Value::IoPriority)));
        entries.extend(single(Field::Seccomp, linux.seccomp_policy.as_ref().map(Value::Seccomp)));
        entries.extend(
            linux
                .namespaces
                .iter()
                .map(|n| Entry::marked(Field::Namespaces, &n.r#type, Value::Text(&n.path))),
        );
        entries.extend(linux.sysctl.iter().map(|(k, v)| Entry::marked(Field::Sysctl, k, Value::Text(v))));
        entries.extend(
            linux.net_devices.iter().map(|(k, v)| Entry::marked(Field::NetDevices, k, Value::NetDevice(v))),
        );
        entries.extend(single(Field::Scheduler, linux.scheduler.as_ref().map(Value::Scheduler)));
        entries.extend(linux.rdt.iter().flat_map(rdt));
        entries.extend(single(Field::MemoryPolicy, linux.memory_policy.as_ref().map(Value::MemoryPolicy)));
    }
    entries.extend(adjust.rlimits.iter().map(|r| Entry::set(Field::Rlimits, &r.r#type, Value::Rlimit(r))));
    entries.extend(adjust.cdi_devices.iter().map(|d| Entry::set(Field::CdiDevices, &d.name, Value::Cdi)));
    entries
}

/// Everything that an update says about resources. Device rules in updates have no effect (`spec/adaptation.md` 9) and are left out.
#[must_use]
pub fn update(update: &ContainerUpdate) -> Vec<Entry<'_>> {
    let set = update.linux.as_ref().and_then(|linux| linux.resources.as_ref());
    let mut entries: Vec<Entry<'_>> = set.map(resources).unwrap_or_default();
    entries.retain(|entry| entry.field != Field::DeviceCgroup);
    entries
}

/// Everything that a container has, in the same form: what an answer is compared with.
/// Variables without `=` have an empty value.
#[must_use]
pub fn container(container: &Container) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    entries
        .extend(container.annotations.iter().map(|(k, v)| Entry::set(Field::Annotations, k, Value::Text(v))));
    entries
        .extend(container.mounts.iter().map(|m| Entry::set(Field::Mounts, &m.destination, Value::Mount(m))));
    entries.extend(container.env.iter().map(|kv| {
        let (name, value) = kv.split_once('=').unwrap_or((kv, ""));
        Entry::set(Field::Env, name, Value::Text(value))
    }));
    if !container.args.is_empty() {
        entries.push(Entry::set(Field::Args, "", Value::Args(&container.args)));
    }
    entries.extend(container.hooks.iter().flat_map(hooks));
    if let Some(linux) = &container.linux {
        entries.extend(linux.devices.iter().map(|d| Entry::set(Field::Devices, &d.path, Value::Device(d))));
        entries.extend(linux.resources.iter().flat_map(resources));
        entries.extend(single(Field::CgroupsPath, text(&linux.cgroups_path)));
        entries.extend(single(Field::OomScoreAdj, linux.oom_score_adj.as_ref().map(|v| Value::Int(v.value))));
        entries.extend(single(Field::IoPriority, linux.io_priority.as_ref().map(Value::IoPriority)));
        entries.extend(single(Field::Seccomp, linux.seccomp_policy.as_ref().map(Value::Seccomp)));
        entries.extend(
            linux.namespaces.iter().map(|n| Entry::set(Field::Namespaces, &n.r#type, Value::Text(&n.path))),
        );
        entries.extend(linux.sysctl.iter().map(|(k, v)| Entry::set(Field::Sysctl, k, Value::Text(v))));
        entries.extend(
            linux.net_devices.iter().map(|(k, v)| Entry::set(Field::NetDevices, k, Value::NetDevice(v))),
        );
        entries.extend(single(Field::Scheduler, linux.scheduler.as_ref().map(Value::Scheduler)));
        entries.extend(linux.rdt.iter().flat_map(rdt));
    }
    entries.extend(container.rlimits.iter().map(|r| Entry::set(Field::Rlimits, &r.r#type, Value::Rlimit(r))));
    entries.extend(container.cdi_devices.iter().map(|d| Entry::set(Field::CdiDevices, &d.name, Value::Cdi)));
    entries
}

fn single<'a>(field: Field, value: Option<Value<'a>>) -> Option<Entry<'a>> {
    value.map(|value| Entry::set(field, "", value))
}

fn text(value: &str) -> Option<Value<'_>> {
    (!value.is_empty()).then_some(Value::Text(value))
}

fn hooks(hooks: &Hooks) -> impl Iterator<Item = Entry<'_>> {
    [
        ("prestart", &hooks.prestart),
        ("createRuntime", &hooks.create_runtime),
        ("createContainer", &hooks.create_container),
        ("startContainer", &hooks.start_container),
        ("poststart", &hooks.poststart),
        ("poststop", &hooks.poststop),
    ]
    .into_iter()
    .flat_map(|(kind, list)| {
        list.iter().map(move |hook| Entry::set(Field::Hooks, "", Value::Hook(kind, hook)))
    })
}

fn rdt(rdt: &LinuxRdt) -> impl Iterator<Item = Entry<'_>> {
    let remove = rdt.remove.then_some(Entry { field: Field::RdtRemove, key: "", value: None });
    remove
        .into_iter()
        .chain(single(Field::RdtClosId, rdt.clos_id.as_ref().map(|v| Value::Text(&v.value))))
        .chain(single(Field::RdtSchemata, rdt.schemata.as_ref().map(|v| Value::Lines(&v.value))))
        .chain(single(Field::RdtMonitoring, rdt.enable_monitoring.as_ref().map(|v| Value::Bool(v.value))))
}
