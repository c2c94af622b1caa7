//! Adjustments: what a plugin changes in a container before it is created. Setters for every adjustable field.

pub(crate) mod check;
pub(crate) mod resource;
pub mod seccomp;
pub(crate) mod value;

use nri_wire::api::{
    CdiDevice, ContainerAdjustment, CreateContainerResponse, Hooks, KeyValue, LinuxContainerAdjustment,
    LinuxDevice, LinuxIoPriority, LinuxNamespace, LinuxNetDevice, LinuxRdt, LinuxResources,
    Mount as MountMessage, OptionalRepeatedString, PosixRlimit,
};
use nri_wire::field::{Entry, Field, Value, set_resource};

use self::check::{Invalid, Verdict};
use self::resource::resource_setters;
use self::seccomp::Seccomp;
use self::value::{Device, DeviceRule, Hook, HookKind, IoClass, MemoryPolicy, Mount, Scheduler};
use crate::update::{Update, Updates};

/// The answer to a container's creation: changes of the container, updates and evictions of others.
///
/// A setter takes a value that cannot work without complaint; the answer then fails as a whole with an [`Invalid`],
/// and the runtime is told. Two plugins that set the same thing are a conflict, which the runtime refuses; a plugin
/// that *removes* what it sets (in any order) takes it over from an earlier one (`spec/api.md` 4).
///
/// ```
/// use nri_plugin::{Adjustment, Mount};
///
/// let answer = Adjustment::new()
///     .add_env("LOG_LEVEL", "debug")
///     .remove_env("DEBUG")
///     .add_mount(Mount::bind("/srv/data", "/data").option("ro"))
///     .memory_limit(64 << 20);
/// assert_eq!(answer.into_message()?.adjust.unwrap_or_default().env.len(), 2);
/// # Ok::<(), nri_plugin::Invalid>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Adjustment {
    message: ContainerAdjustment,
    updates: Updates,
    invalid: Option<Invalid>,
}

impl Adjustment {
    /// No change.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets an annotation.
    pub fn add_annotation(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let (key, value) = (key.into(), value.into());
        let verdict = check::key(&key).or(check::text(&value));
        let mut answer = self.checked(Field::Annotations, &key, verdict);
        answer.message.annotations.insert(key, value);
        answer
    }

    /// Removes an annotation.
    pub fn remove_annotation(self, key: impl AsRef<str>) -> Self {
        let mut answer = self.checked(Field::Annotations, key.as_ref(), check::key(key.as_ref()));
        answer.message.annotations.insert(marked(key.as_ref()), String::new());
        answer
    }

    /// Adds a mount. A container's own mount at the same place is replaced.
    pub fn add_mount(self, mount: impl Into<Mount>) -> Self {
        let mount = mount.into();
        let verdict = mount.verdict();
        let mount = MountMessage::from(mount);
        let mut answer = self.checked(Field::Mounts, &mount.destination, verdict);
        answer.message.mounts.push(mount);
        answer
    }

    /// Removes the mount at this destination.
    pub fn remove_mount(self, destination: impl AsRef<str>) -> Self {
        let destination = destination.as_ref();
        let mut answer = self.checked(Field::Mounts, destination, check::key(destination));
        answer
            .message
            .mounts
            .push(MountMessage { destination: marked(destination), ..MountMessage::default() });
        answer
    }

    /// Sets an environment variable.
    pub fn add_env(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let (key, value) = (name.into(), value.into());
        let verdict = check::variable(&key, &value);
        let mut answer = self.checked(Field::Env, &key, verdict);
        answer.message.env.push(KeyValue { key, value });
        answer
    }

    /// Removes an environment variable.
    pub fn remove_env(self, name: impl AsRef<str>) -> Self {
        let name = name.as_ref();
        let mut answer = self.checked(Field::Env, name, check::variable(name, ""));
        answer.message.env.push(KeyValue { key: marked(name), value: String::new() });
        answer
    }

    /// Sets the command line (NRI 0.10). Conflicts with another plugin that sets it.
    pub fn set_args<S: Into<String>>(self, args: impl IntoIterator<Item = S>) -> Self {
        let args: Vec<String> = args.into_iter().map(Into::into).collect();
        let mut answer = self.checked(Field::Args, "", check::command(&args));
        answer.message.args = args;
        answer
    }

    /// Sets the command line (NRI 0.10), also where an earlier plugin has set it: for wrappers around it.
    pub fn replace_args<S: Into<String>>(self, args: impl IntoIterator<Item = S>) -> Self {
        let mut answer = self.set_args(args);
        answer.message.args.insert(0, String::new());
        answer
    }

    /// Adds a hook. Hooks of all plugins add up and cannot be removed.
    pub fn add_hook(self, kind: HookKind, hook: impl Into<Hook>) -> Self {
        let hook = hook.into();
        let verdict = hook.verdict();
        let hook = nri_wire::api::Hook::from(hook);
        let mut answer = self.checked(Field::Hooks, &hook.path, verdict);
        list(answer.message.hooks.get_or_insert_default(), kind).push(hook);
        answer
    }

    /// Sets a resource limit (getrlimit(2)) such as `RLIMIT_NOFILE` (NRI 0.4).
    pub fn add_rlimit(self, kind: impl Into<String>, soft: u64, hard: u64) -> Self {
        let kind = kind.into();
        let verdict = check::rlimit(&kind, soft, hard);
        let mut answer = self.checked(Field::Rlimits, &kind, verdict);
        answer.message.rlimits.push(PosixRlimit { r#type: kind, hard, soft });
        answer
    }

    /// Adds a CDI device by its fully qualified name (NRI 0.7).
    pub fn add_cdi_device(self, name: impl Into<String>) -> Self {
        let name = name.into();
        let verdict = check::cdi(&name);
        let mut answer = self.checked(Field::CdiDevices, &name, verdict);
        answer.message.cdi_devices.push(CdiDevice { name });
        answer
    }

    /// Adds a device node.
    pub fn add_device(self, device: impl Into<Device>) -> Self {
        let device = device.into();
        let verdict = device.verdict();
        let device = LinuxDevice::from(device);
        let mut answer = self.checked(Field::Devices, &device.path, verdict);
        answer.linux().devices.push(device);
        answer
    }

    /// Removes the device node at this path.
    pub fn remove_device(self, path: impl AsRef<str>) -> Self {
        let path = path.as_ref();
        let mut answer = self.checked(Field::Devices, path, check::key(path));
        answer.linux().devices.push(LinuxDevice { path: marked(path), ..LinuxDevice::default() });
        answer
    }

    /// Adds a rule of the device cgroup. Rules of all plugins add up and cannot be removed.
    pub fn add_device_rule(self, rule: impl Into<DeviceRule>) -> Self {
        let rule = rule.into();
        let verdict = rule.verdict();
        let mut answer = self.checked(Field::DeviceCgroup, "", verdict);
        answer.resources().devices.push(rule.into());
        answer
    }

    /// Sets the path of the container's cgroup.
    pub fn cgroups_path(self, path: impl Into<String>) -> Self {
        let path = path.into();
        let mut answer = self.checked(Field::CgroupsPath, "", check::key(&path));
        answer.linux().cgroups_path = path;
        answer
    }

    /// Sets the OOM score adjustment, −1000 to 1000 (NRI 0.7).
    pub fn oom_score_adj(self, score: i64) -> Self {
        let mut answer = self.checked(Field::OomScoreAdj, "", check::oom_score(score));
        answer.linux().oom_score_adj = Some(score.into());
        answer
    }

    /// Sets the I/O priority, 0 (first) to 7 (NRI 0.10); the class `IoprioClassNone` takes it away.
    pub fn io_priority(self, class: IoClass, priority: i32) -> Self {
        let mut answer = self.checked(Field::IoPriority, "", check::io_priority(priority));
        answer.linux().io_priority = Some(LinuxIoPriority { class: class.into(), priority });
        answer
    }

    /// Replaces the seccomp policy (NRI 0.10). An `errnoRet` in a rule crashes runtimes before NRI 0.12 and is refused
    /// towards them.
    pub fn seccomp(self, policy: impl Into<Seccomp>) -> Self {
        let policy = policy.into();
        let verdict = policy.verdict();
        let mut answer = self.checked(Field::Seccomp, "", verdict);
        answer.linux().seccomp_policy = Some(policy.into());
        answer
    }

    /// Sets a namespace (NRI 0.10): an existing one by its path, or a new one with an empty path.
    pub fn set_namespace(self, kind: impl Into<String>, path: impl Into<String>) -> Self {
        let (kind, path) = (kind.into(), path.into());
        let fault = if path.is_empty() { None } else { check::absolute(&path) };
        let mut answer = self.checked(Field::Namespaces, &kind, check::namespace(&kind).or(fault));
        answer.linux().namespaces.push(LinuxNamespace { r#type: kind, path });
        answer
    }

    /// Takes a namespace away (NRI 0.10): the container then shares the host's.
    pub fn remove_namespace(self, kind: impl AsRef<str>) -> Self {
        let kind = kind.as_ref();
        let mut answer = self.checked(Field::Namespaces, kind, check::namespace(kind));
        answer.linux().namespaces.push(LinuxNamespace { r#type: marked(kind), path: String::new() });
        answer
    }

    /// Sets a kernel parameter (NRI 0.11). It crashes runtimes of NRI 0.11 and is refused towards them.
    pub fn set_sysctl(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let (name, value) = (name.into(), value.into());
        let verdict = check::key(&name).or(check::text(&value));
        let mut answer = self.checked(Field::Sysctl, &name, verdict);
        answer.linux().sysctl.insert(name, value);
        answer
    }

    /// Removes a kernel parameter (NRI 0.11; works since 0.12.3).
    pub fn remove_sysctl(self, name: impl AsRef<str>) -> Self {
        let name = name.as_ref();
        let mut answer = self.checked(Field::Sysctl, name, check::key(name));
        answer.linux().sysctl.insert(marked(name), String::new());
        answer
    }

    /// Moves a network device of the host into the container (NRI 0.11), under this name.
    pub fn add_net_device(self, host: impl Into<String>, name: impl Into<String>) -> Self {
        let (host, name) = (host.into(), name.into());
        let verdict = check::key(&host).or(check::interface(&host)).or(check::interface(&name));
        let mut answer = self.checked(Field::NetDevices, &host, verdict);
        answer.linux().net_devices.insert(host, LinuxNetDevice { name });
        answer
    }

    /// Leaves a network device on the host (NRI 0.11).
    pub fn remove_net_device(self, host: impl AsRef<str>) -> Self {
        let host = host.as_ref();
        let mut answer = self.checked(Field::NetDevices, host, check::key(host));
        answer.linux().net_devices.insert(marked(host), LinuxNetDevice::default());
        answer
    }

    /// Sets the scheduler attributes (NRI 0.11).
    pub fn scheduler(self, scheduler: impl Into<Scheduler>) -> Self {
        let scheduler = scheduler.into();
        let verdict = scheduler.verdict();
        let mut answer = self.checked(Field::Scheduler, "", verdict);
        answer.linux().scheduler = Some(scheduler.into());
        answer
    }

    /// Sets the RDT class of service (NRI 0.11); the empty one clears it.
    pub fn rdt_clos_id(mut self, id: impl Into<String>) -> Self {
        self.rdt().clos_id = Some(id.into().into());
        self
    }

    /// Sets the RDT schemata, all lines together (NRI 0.11).
    pub fn rdt_schemata<S: Into<String>>(mut self, lines: impl IntoIterator<Item = S>) -> Self {
        let value = lines.into_iter().map(Into::into).collect();
        self.rdt().schemata = Some(OptionalRepeatedString { value });
        self
    }

    /// Switches RDT monitoring (NRI 0.11).
    pub fn rdt_monitoring(mut self, enable: bool) -> Self {
        self.rdt().enable_monitoring = Some(enable.into());
        self
    }

    /// Removes all RDT settings (NRI 0.11); what the same answer sets stands.
    pub fn remove_rdt(mut self) -> Self {
        self.rdt().remove = true;
        self
    }

    /// Sets the NUMA memory policy (NRI 0.12).
    pub fn memory_policy(self, policy: impl Into<MemoryPolicy>) -> Self {
        let policy = policy.into();
        let verdict = policy.verdict();
        let mut answer = self.checked(Field::MemoryPolicy, "", verdict);
        answer.linux().memory_policy = Some(policy.into());
        answer
    }

    resource_setters!();

    /// Updates another container along with this creation.
    pub fn update(mut self, update: Update) -> Self {
        self.updates = self.updates.update(update);
        self
    }

    /// Asks for the eviction of another container. Reference runtimes ignore it.
    pub fn evict(mut self, container_id: impl Into<String>, reason: impl Into<String>) -> Self {
        self.updates = self.updates.evict(container_id, reason);
        self
    }

    /// The message behind it, as it is sent.
    ///
    /// # Errors
    /// The first value that cannot work.
    pub fn into_message(self) -> Result<CreateContainerResponse, Invalid> {
        if let Some(invalid) = self.invalid {
            return Err(invalid);
        }
        let (update, evict) = self.updates.into_messages()?;
        Ok(CreateContainerResponse { adjust: Some(self.message), update, evict })
    }

    fn resource(self, field: Field, key: &str, value: &Value<'_>, verdict: Verdict) -> Self {
        let mut answer = self.checked(field, key, verdict);
        set_resource(answer.resources(), &Entry { field, key, value: Some(value.clone()) });
        answer
    }

    fn checked(mut self, field: Field, key: &str, verdict: Verdict) -> Self {
        if let (None, Some(why)) = (&self.invalid, verdict) {
            self.invalid = Some(Invalid { field, key: key.to_owned(), why });
        }
        self
    }

    fn linux(&mut self) -> &mut LinuxContainerAdjustment {
        self.message.linux.get_or_insert_default()
    }

    fn resources(&mut self) -> &mut LinuxResources {
        self.linux().resources.get_or_insert_default()
    }

    fn rdt(&mut self) -> &mut LinuxRdt {
        self.linux().rdt.get_or_insert_default()
    }
}

/// An adjustment that was made elsewhere; it is sent as it is.
impl From<ContainerAdjustment> for Adjustment {
    fn from(message: ContainerAdjustment) -> Self {
        Self { message, ..Self::default() }
    }
}

fn marked(key: &str) -> String {
    format!("-{key}")
}

fn list(hooks: &mut Hooks, kind: HookKind) -> &mut Vec<nri_wire::api::Hook> {
    match kind {
        HookKind::Prestart => &mut hooks.prestart,
        HookKind::CreateRuntime => &mut hooks.create_runtime,
        HookKind::CreateContainer => &mut hooks.create_container,
        HookKind::StartContainer => &mut hooks.start_container,
        HookKind::Poststart => &mut hooks.poststart,
        HookKind::Poststop => &mut hooks.poststop,
    }
}

#[cfg(test)]
mod tests;
