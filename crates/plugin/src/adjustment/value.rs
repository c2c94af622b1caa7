//! Values with several parts: mounts, hooks, devices, device rules, scheduler attributes, memory policies.

use std::time::Duration;

use nri_wire::api;

pub use nri_wire::api::{
    IoPrioClass as IoClass, LinuxSchedulerFlag as SchedulerFlag, LinuxSchedulerPolicy as SchedulerPolicy,
    MpolFlag as MemoryPolicyFlag, MpolMode as MemoryPolicyMode,
};

use super::check::{self, Verdict};

/// A mount.
///
/// ```
/// use nri_plugin::Mount;
/// let data = Mount::bind("/srv/data", "/data").option("ro");
/// let scratch = Mount::new("tmpfs", "tmpfs", "/scratch").option("size=16m");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Mount(api::Mount);

impl Mount {
    /// A file system of this type.
    #[must_use]
    pub fn new(kind: impl Into<String>, source: impl Into<String>, destination: impl Into<String>) -> Self {
        Self(api::Mount {
            destination: destination.into(),
            r#type: kind.into(),
            source: source.into(),
            options: Vec::new(),
        })
    }

    /// A file or folder of the host, with everything mounted below it.
    #[must_use]
    pub fn bind(source: impl Into<String>, destination: impl Into<String>) -> Self {
        Self::new("bind", source, destination).option("rbind")
    }

    /// One more option, as mount(8) writes it.
    #[must_use]
    pub fn option(mut self, option: impl Into<String>) -> Self {
        self.0.options.push(option.into());
        self
    }

    pub(super) fn verdict(&self) -> Verdict {
        check::key(&self.0.destination)
    }
}

/// When a hook runs (OCI runtime specification, "POSIX-platform Hooks").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HookKind {
    /// Deprecated by the specification in favour of the next three.
    Prestart,
    /// In the runtime's namespaces, before the container's root is entered.
    CreateRuntime,
    /// In the container's namespaces, before its root is entered.
    CreateContainer,
    /// In the container, before its program starts.
    StartContainer,
    /// After the program has started.
    Poststart,
    /// After the container has been deleted.
    Poststop,
}

/// A hook: a program that the runtime runs at some point of the container's life.
///
/// ```
/// use nri_plugin::Hook;
/// let hook = Hook::new("/usr/bin/notify").arg("notify").arg("--created").variable("LANG=C");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Hook(api::Hook);

impl Hook {
    /// A program, by its absolute path on the host (in the container for [`HookKind::StartContainer`]).
    #[must_use]
    pub fn new(path: impl Into<String>) -> Self {
        Self(api::Hook { path: path.into(), ..api::Hook::default() })
    }

    /// One more argument; the first is the program's own name.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.0.args.push(arg.into());
        self
    }

    /// One more variable, as `NAME=value`.
    #[must_use]
    pub fn variable(mut self, variable: impl Into<String>) -> Self {
        self.0.env.push(variable.into());
        self
    }

    /// How long it may run, in whole seconds; a part of a second counts as one.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        let seconds = timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0);
        self.0.timeout = Some(i64::try_from(seconds).unwrap_or(i64::MAX).into());
        self
    }

    pub(super) fn verdict(&self) -> Verdict {
        check::absolute(&self.0.path)
    }
}

/// The kind of a device node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// A block device.
    Block,
    /// A character device.
    Char,
    /// A named pipe. It has no numbers.
    Fifo,
}

impl DeviceKind {
    fn letter(self) -> &'static str {
        match self {
            Self::Block => "b",
            Self::Char => "c",
            Self::Fifo => "p",
        }
    }
}

/// A device node.
///
/// ```
/// use nri_plugin::{Device, DeviceKind};
/// let fuse = Device::new("/dev/fuse", DeviceKind::Char, 10, 229).file_mode(0o666);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Device(api::LinuxDevice);

impl Device {
    /// A node at this path in the container, with these numbers.
    #[must_use]
    pub fn new(path: impl Into<String>, kind: DeviceKind, major: i64, minor: i64) -> Self {
        Self(api::LinuxDevice {
            path: path.into(),
            r#type: kind.letter().to_owned(),
            major,
            minor,
            ..api::LinuxDevice::default()
        })
    }

    /// Permission bits.
    #[must_use]
    pub fn file_mode(mut self, mode: u32) -> Self {
        self.0.file_mode = Some(mode.into());
        self
    }

    /// Owner and group.
    #[must_use]
    pub fn owner(mut self, uid: u32, gid: u32) -> Self {
        self.0.uid = Some(uid.into());
        self.0.gid = Some(gid.into());
        self
    }

    pub(super) fn verdict(&self) -> Verdict {
        check::absolute(&self.0.path)
    }
}

/// A rule of the device cgroup. Without numbers it is about all devices of its kind, without a kind about all devices.
///
/// ```
/// use nri_plugin::{DeviceKind, DeviceRule};
/// let rule = DeviceRule::allow("rw").kind(DeviceKind::Char).major(10).minor(229);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceRule(api::LinuxDeviceCgroup);

impl DeviceRule {
    /// Allows access: any of `r`, `w` and `m` (make the node).
    #[must_use]
    pub fn allow(access: impl Into<String>) -> Self {
        Self::new(true, access.into())
    }

    /// Forbids access: any of `r`, `w` and `m` (make the node).
    #[must_use]
    pub fn deny(access: impl Into<String>) -> Self {
        Self::new(false, access.into())
    }

    fn new(allow: bool, access: String) -> Self {
        Self(api::LinuxDeviceCgroup {
            allow,
            r#type: "a".to_owned(),
            access,
            ..api::LinuxDeviceCgroup::default()
        })
    }

    /// Only devices of this kind.
    #[must_use]
    pub fn kind(mut self, kind: DeviceKind) -> Self {
        kind.letter().clone_into(&mut self.0.r#type);
        self
    }

    /// Only devices of this major number.
    #[must_use]
    pub fn major(mut self, major: i64) -> Self {
        self.0.major = Some(major.into());
        self
    }

    /// Only devices of this minor number.
    #[must_use]
    pub fn minor(mut self, minor: i64) -> Self {
        self.0.minor = Some(minor.into());
        self
    }

    pub(super) fn verdict(&self) -> Verdict {
        let right = !self.0.access.is_empty() && self.0.access.bytes().all(|b| b"rwm".contains(&b));
        (!right).then_some("must have an access of `r`, `w` and `m`")
    }
}

/// Scheduler attributes (sched_setattr(2)).
///
/// ```
/// use nri_plugin::{Scheduler, SchedulerPolicy};
/// let batch = Scheduler::new(SchedulerPolicy::SchedBatch).nice(5);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Scheduler(api::LinuxScheduler);

impl Scheduler {
    /// A policy; `SchedNone` takes the attributes away.
    #[must_use]
    pub fn new(policy: SchedulerPolicy) -> Self {
        Self(api::LinuxScheduler { policy: policy.into(), ..api::LinuxScheduler::default() })
    }

    /// Nice value, −20 to 19, for the policies `SchedOther` and `SchedBatch`.
    #[must_use]
    pub fn nice(mut self, nice: i32) -> Self {
        self.0.nice = nice;
        self
    }

    /// Static priority for the real-time policies, 1 to 99.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.0.priority = priority;
        self
    }

    /// One more flag.
    #[must_use]
    pub fn flag(mut self, flag: SchedulerFlag) -> Self {
        self.0.flags.push(flag.into());
        self
    }

    /// Runtime, deadline and period of the policy `SchedDeadline`.
    #[must_use]
    pub fn deadline(mut self, runtime: Duration, deadline: Duration, period: Duration) -> Self {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.runtime = nanoseconds(runtime);
        self.0.deadline = nanoseconds(deadline);
        self.0.period = nanoseconds(period);
        self
    }

    pub(super) fn verdict(&self) -> Verdict {
        let right = (-20..20).contains(&self.0.nice) && (0..100).contains(&self.0.priority);
        (!right).then_some("must have a nice value from -20 to 19 and a priority from 0 to 99")
    }
}

/// A NUMA memory policy (set_mempolicy(2)).
///
/// ```
/// use nri_plugin::{MemoryPolicy, MemoryPolicyMode};
/// let policy = MemoryPolicy::new(MemoryPolicyMode::MpolInterleave, "0-1");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryPolicy(api::LinuxMemoryPolicy);

impl MemoryPolicy {
    /// A mode and its nodes, a list of ranges; the modes default and local have none.
    #[must_use]
    pub fn new(mode: MemoryPolicyMode, nodes: impl Into<String>) -> Self {
        Self(api::LinuxMemoryPolicy { mode: mode.into(), nodes: nodes.into(), flags: Vec::new() })
    }

    /// One more flag.
    #[must_use]
    pub fn flag(mut self, flag: MemoryPolicyFlag) -> Self {
        self.0.flags.push(flag.into());
        self
    }

    pub(super) fn verdict(&self) -> Verdict {
        if self.0.nodes.is_empty() { None } else { check::ranges(&self.0.nodes) }
    }
}

/// The message behind a value, both ways: what a container has can be taken, changed and given back.
macro_rules! messages {
    ($($value:ident: $message:ident),*) => {$(
        impl From<api::$message> for $value {
            fn from(message: api::$message) -> Self {
                Self(message)
            }
        }

        impl From<$value> for api::$message {
            fn from(value: $value) -> Self {
                value.0
            }
        }
    )*};
}

messages!(
    Mount: Mount,
    Hook: Hook,
    Device: LinuxDevice,
    DeviceRule: LinuxDeviceCgroup,
    Scheduler: LinuxScheduler,
    MemoryPolicy: LinuxMemoryPolicy
);
