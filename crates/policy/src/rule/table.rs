//! *The* table of fields for rules: what a MATCH of each may say, its danger, its groups, its numbers (`policy.md` 4).
//!
//! Reading, judging, explanations and lints all go by it. A field that the protocol gains does not compile until it
//! stands here.

use nri_wire::field::{self, FIELDS, Field};

use super::set::Set;
use crate::change::Subject;

/// What is known of a field.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Row {
    /// From 0 to 10. From 5 on a violation rejects the container by default.
    pub danger: u8,
    /// The groups that it belongs to beside `"*"`, the narrower one first.
    pub groups: &'static [Group],
    /// What a MATCH may say.
    pub members: &'static [Member],
    /// How `bound` is meant, if the field has numbers.
    pub bounds: Option<Bounds>,
    /// Built-in sets that may stand in the place of a MATCH.
    pub sets: &'static [Set],
}

/// A group of fields as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// `@cpu`
    Cpu,
    /// `@memory`
    Memory,
    /// `@resources`
    Resources,
    /// `@devices`
    Devices,
    /// `@security`
    Security,
}

/// A member of a MATCH.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Member {
    /// As it stands in policies.
    pub name: &'static str,
    /// What it means.
    pub kind: Kind,
}

/// What a member of a MATCH is compared with, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A glob for a text.
    Glob(Part),
    /// A glob for a path.
    PathGlob(Part),
    /// One name or several.
    Names(Part, Words),
    /// No other flags than these.
    Flags(Words),
    /// A truth value.
    Truth,
    /// `allow` or `deny`.
    Effect,
    /// A lower limit.
    Min(Count),
    /// An upper limit.
    Max(Count),
    /// `{min, max}`.
    Range(Count),
    /// The longest value, in bytes.
    MaxBytes,
    /// `{require, forbid}`.
    Options,
    /// `real` or `no-symlinks`.
    Resolve,
    /// Of a hook's file.
    Sha256,
    /// A glob for each argument of a hook.
    ArgGlobs,
    /// Globs for the names of a hook's variables.
    EnvGlobs,
    /// A hook's time, in seconds.
    TimeoutMax,
    /// A glob of host nodes, whose numbers count.
    HostNode,
    /// `c 195:*`.
    DeviceNumber,
    /// Permission bits.
    FileMode,
    /// User ids.
    Uid,
    /// Group ids.
    Gid,
    /// Letters of a device rule.
    Access,
    /// What the device rule that comes with a device is cut to.
    CutAccess,
    /// `requested`: arguments are only appended.
    StartsWith,
    /// `requested`: a wrapper in front.
    EndsWith,
    /// Most periods.
    Ratio,
    /// A set of numbers, `requested` or `host`.
    SubsetOf,
    /// The least size of a set of numbers.
    MinCount,
    /// Numbers that must not be there.
    Exclude,
    /// The path, or a beginning of it before `/` or `:`.
    Prefix,
}

/// A text of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The key.
    Key,
    /// The value.
    Value,
    /// A mount's source.
    Source,
    /// A mount's type, `bind` where it is one.
    MountType,
    /// A hook's kind.
    HookType,
    /// A hook's path.
    HookPath,
    /// The name of a network device in the container.
    NewName,
    /// The first argument.
    Argv0,
    /// The I/O class.
    IoClass,
    /// The scheduling policy.
    SchedulerPolicy,
    /// The memory policy's mode.
    MemoryMode,
}

/// A number of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// The value; of a resource limit, both.
    Value,
    /// The I/O priority.
    IoPriority,
    /// The nice value.
    Nice,
    /// The scheduling priority.
    Priority,
}

/// The words that a list of names may have. They count with and without the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// The common prefix.
    pub prefix: &'static str,
    /// The words without it; empty: any.
    pub known: &'static [&'static str],
}

/// How numbers of a field are meant (`policy.md` 3, "Matching").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Whether the host has such a number.
    pub host: bool,
    /// Whether negative numbers mean unlimited.
    pub negative_is_unlimited: bool,
    /// What `requested` is where the client set nothing.
    pub unset: Unset,
}

/// What `requested` is where the client set nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unset {
    /// Unlimited.
    Unlimited,
    /// 0.
    Zero,
    /// There is no such number; the rule is violated.
    Violated,
}

const FREE: Words = Words { prefix: "", known: &[] };
const HOOKS: Words = Words {
    prefix: "",
    known: &["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
};
const RLIMITS: Words = Words { prefix: "RLIMIT_", known: field::RLIMITS };
const IO_CLASSES: Words = Words { prefix: "IOPRIO_CLASS_", known: &["NONE", "RT", "BE", "IDLE"] };
const NAMESPACES: Words =
    Words { prefix: "", known: &["pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"] };
const SCHEDULERS: Words =
    Words { prefix: "SCHED_", known: &["NONE", "OTHER", "FIFO", "RR", "BATCH", "ISO", "IDLE", "DEADLINE"] };
const SCHEDULER_FLAGS: Words = Words {
    prefix: "SCHED_FLAG_",
    known: &[
        "RESET_ON_FORK",
        "RECLAIM",
        "DL_OVERRUN",
        "KEEP_POLICY",
        "KEEP_PARAMS",
        "UTIL_CLAMP_MIN",
        "UTIL_CLAMP_MAX",
    ],
};
const MEMORY_MODES: Words = Words {
    prefix: "MPOL_",
    known: &["DEFAULT", "PREFERRED", "BIND", "INTERLEAVE", "LOCAL", "PREFERRED_MANY", "WEIGHTED_INTERLEAVE"],
};
const MEMORY_FLAGS: Words =
    Words { prefix: "MPOL_F_", known: &["STATIC_NODES", "RELATIVE_NODES", "NUMA_BALANCING"] };

const MEMORY: &[Group] = &[Group::Memory, Group::Resources];
const CPU: &[Group] = &[Group::Cpu, Group::Resources];
const RESOURCES: &[Group] = &[Group::Resources];
const DEVICES: &[Group] = &[Group::Devices];
const SECURITY: &[Group] = &[Group::Security];

/// A number that is just a number.
const PLAIN: Bounds = Bounds { host: false, negative_is_unlimited: false, unset: Unset::Violated };
/// A limit.
const LIMIT: Bounds = Bounds { host: false, negative_is_unlimited: true, unset: Unset::Unlimited };
/// A limit that the host has too.
const HOST_LIMIT: Bounds = Bounds { host: true, ..LIMIT };

/// A list that lives for ever.
macro_rules! list {
    ($($member:expr),* $(,)?) => {
        const { &[$($member),*] }
    };
}

const fn member(name: &'static str, kind: Kind) -> Member {
    Member { name, kind }
}

const fn row(danger: u8, groups: &'static [Group], members: &'static [Member]) -> Row {
    Row { danger, groups, members, bounds: None, sets: &[] }
}

const fn sets(row: Row, sets: &'static [Set]) -> Row {
    Row { sets, ..row }
}

const fn bounds(row: Row, bounds: Bounds) -> Row {
    Row { bounds: Some(bounds), ..row }
}

const VALUE: Member = member("value", Kind::Glob(Part::Value));
const TRUTH: Member = member("value", Kind::Truth);
const MAX_BYTES: Member = member("maxBytes", Kind::MaxBytes);
const MIN: Member = member("min", Kind::Min(Count::Value));
const MAX: Member = member("max", Kind::Max(Count::Value));
const HOST_NODE: Member = member("host", Kind::HostNode);
const NUMBER: Member = member("number", Kind::DeviceNumber);
const SUBSET: Member = member("subsetOf", Kind::SubsetOf);
const EXCLUDE: Member = member("exclude", Kind::Exclude);

/// What is known of a field.
#[must_use]
pub const fn of(field: Field) -> Row {
    match field {
        Field::Annotations => sets(
            row(7, &[], list![member("key", Kind::Glob(Part::Key)), VALUE, MAX_BYTES]),
            &[Set::RuntimeControl],
        ),
        Field::Mounts => sets(
            row(
                10,
                &[],
                list![
                    member("source", Kind::PathGlob(Part::Source)),
                    member("destination", Kind::PathGlob(Part::Key)),
                    member("type", Kind::Names(Part::MountType, FREE)),
                    member("options", Kind::Options),
                    member("resolve", Kind::Resolve),
                ],
            ),
            &[Set::HostSensitive, Set::RuntimeSockets],
        ),
        Field::Hooks => row(
            10,
            SECURITY,
            list![
                member("type", Kind::Names(Part::HookType, HOOKS)),
                member("path", Kind::PathGlob(Part::HookPath)),
                member("sha256", Kind::Sha256),
                member("args", Kind::ArgGlobs),
                member("env", Kind::EnvGlobs),
                member("timeoutMax", Kind::TimeoutMax),
            ],
        ),
        Field::Devices => sets(
            row(
                9,
                DEVICES,
                list![
                    HOST_NODE,
                    NUMBER,
                    member("path", Kind::PathGlob(Part::Key)),
                    member("fileMode", Kind::FileMode),
                    member("uid", Kind::Uid),
                    member("gid", Kind::Gid),
                    member("access", Kind::CutAccess),
                ],
            ),
            &[Set::HostDevices],
        ),
        Field::CdiDevices => row(9, DEVICES, list![member("name", Kind::Glob(Part::Key))]),
        Field::Env => sets(
            row(6, &[], list![member("name", Kind::Glob(Part::Key)), VALUE, MAX_BYTES]),
            &[Set::LoaderInjection],
        ),
        Field::Args => row(
            8,
            &[],
            list![
                member("startsWith", Kind::StartsWith),
                member("endsWith", Kind::EndsWith),
                member("argv0", Kind::PathGlob(Part::Argv0)),
            ],
        ),
        Field::MemoryLimit => bounds(row(4, MEMORY, &[]), HOST_LIMIT),
        Field::MemoryReservation => bounds(row(3, MEMORY, &[]), HOST_LIMIT),
        Field::MemorySwap => bounds(row(4, MEMORY, &[]), HOST_LIMIT),
        Field::MemoryKernel => bounds(row(2, MEMORY, &[]), LIMIT),
        Field::MemoryKernelTcp => bounds(row(2, MEMORY, &[]), LIMIT),
        Field::MemorySwappiness => bounds(row(2, MEMORY, &[]), PLAIN),
        Field::MemoryDisableOomKiller => row(5, MEMORY, &[TRUTH]),
        Field::MemoryUseHierarchy => row(1, MEMORY, &[TRUTH]),
        Field::CpuShares => bounds(row(2, CPU, &[]), PLAIN),
        Field::CpuQuota => bounds(row(3, CPU, list![member("ratio", Kind::Ratio)]), LIMIT),
        Field::CpuPeriod => bounds(row(2, CPU, &[]), PLAIN),
        Field::CpuRealtimeRuntime => bounds(row(6, CPU, &[]), PLAIN),
        Field::CpuRealtimePeriod => bounds(row(4, CPU, &[]), PLAIN),
        Field::CpuCpus => row(3, CPU, list![SUBSET, member("minCount", Kind::MinCount), EXCLUDE]),
        Field::CpuMems => row(2, CPU, &[SUBSET, EXCLUDE]),
        Field::PidsLimit => bounds(row(4, RESOURCES, &[]), HOST_LIMIT),
        Field::Hugepages => bounds(
            row(3, RESOURCES, list![member("size", Kind::Names(Part::Key, FREE)), MIN, MAX]),
            Bounds { negative_is_unlimited: false, ..LIMIT },
        ),
        Field::BlockioClass => row(2, RESOURCES, &[VALUE]),
        Field::RdtClass => row(3, RESOURCES, &[VALUE]),
        Field::Unified => row(6, RESOURCES, list![member("key", Kind::Glob(Part::Key)), VALUE, MIN, MAX]),
        Field::CgroupsPath => row(7, SECURITY, list![member("prefix", Kind::Prefix)]),
        Field::OomScoreAdj => bounds(row(4, &[], &[]), Bounds { unset: Unset::Zero, ..PLAIN }),
        Field::Rlimits => bounds(
            row(3, &[], list![member("type", Kind::Names(Part::Key, RLIMITS)), MIN, MAX]),
            Bounds { host: true, ..PLAIN },
        ),
        Field::IoPriority => row(
            3,
            &[],
            list![
                member("class", Kind::Names(Part::IoClass, IO_CLASSES)),
                member("min", Kind::Min(Count::IoPriority)),
                member("max", Kind::Max(Count::IoPriority)),
            ],
        ),
        Field::Seccomp => row(8, SECURITY, &[]),
        Field::Namespaces => row(
            10,
            SECURITY,
            list![
                member("type", Kind::Names(Part::Key, NAMESPACES)),
                member("path", Kind::PathGlob(Part::Value)),
            ],
        ),
        Field::Sysctl => sets(
            row(5, SECURITY, list![member("name", Kind::Glob(Part::Key)), VALUE, MIN, MAX]),
            &[Set::K8sSafe],
        ),
        Field::NetDevices => row(
            6,
            &[],
            list![member("host", Kind::Glob(Part::Key)), member("name", Kind::Glob(Part::NewName))],
        ),
        Field::Scheduler => row(
            6,
            &[],
            list![
                member("policy", Kind::Names(Part::SchedulerPolicy, SCHEDULERS)),
                member("nice", Kind::Range(Count::Nice)),
                member("priority", Kind::Range(Count::Priority)),
                member("flags", Kind::Flags(SCHEDULER_FLAGS)),
            ],
        ),
        Field::RdtClosId => row(3, &[], &[VALUE]),
        Field::RdtSchemata => row(4, &[], &[VALUE]),
        Field::RdtMonitoring => row(1, &[], &[TRUTH]),
        Field::MemoryPolicy => row(
            2,
            &[],
            list![
                member("mode", Kind::Names(Part::MemoryMode, MEMORY_MODES)),
                SUBSET,
                member("flags", Kind::Flags(MEMORY_FLAGS)),
            ],
        ),
        Field::DeviceCgroup => sets(
            row(
                9,
                DEVICES,
                list![member("effect", Kind::Effect), NUMBER, member("access", Kind::Access), HOST_NODE],
            ),
            &[Set::HostDevices],
        ),
        Field::RdtRemove => row(3, &[], &[]),
    }
}

/// The danger of what a change is about.
#[must_use]
pub const fn danger(subject: Subject) -> u8 {
    match subject {
        Subject::Field(field) => of(field).danger,
        Subject::Unknown => 10,
    }
}

impl Group {
    /// Every group.
    pub const ALL: [Self; 5] = [Self::Cpu, Self::Memory, Self::Resources, Self::Devices, Self::Security];

    /// As it stands in policies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "@cpu",
            Self::Memory => "@memory",
            Self::Resources => "@resources",
            Self::Devices => "@devices",
            Self::Security => "@security",
        }
    }

    /// The fields in it.
    pub fn fields(self) -> impl Iterator<Item = Field> {
        FIELDS.iter().map(|info| info.field).filter(move |field| of(*field).groups.contains(&self))
    }
}
