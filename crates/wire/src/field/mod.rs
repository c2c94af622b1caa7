//! *The* list of adjustable fields, and the walks that it drives.
//!
//! Ownership, conflicts, the flattening of an answer into changes, merging and the application to an OCI spec
//! all go over [`Entry`] values: one field, its key where it has keys, and the new value or a removal mark.
//! A field that is added to [`Field`] makes every `match` over fields fail to compile until it has been thought about.
//!
//! Sources: `spec/api.md` 9 (numbers, names, kinds), `policy.md` 4 (names for people), `spec/adaptation.md` 10.1 (order).

mod entry;
mod resource;
mod retain;

use std::fmt;

pub use entry::{Entry, Value, adjustment, args, container, is_marked, update};
pub use resource::{resources, set_resource};
pub use retain::{retain_adjustment, retain_update};

use crate::version::NriVersion;

/// The limits of getrlimit(2), without `RLIMIT_`: the keys of [`Field::Rlimits`].
pub const RLIMITS: &[&str] = &[
    "AS",
    "CORE",
    "CPU",
    "DATA",
    "FSIZE",
    "LOCKS",
    "MEMLOCK",
    "MSGQUEUE",
    "NICE",
    "NOFILE",
    "NPROC",
    "RSS",
    "RTPRIO",
    "RTTIME",
    "SIGPENDING",
    "STACK",
];

/// How a field is owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One value, one owner.
    Single,
    /// One owner for each key.
    Keyed,
    /// Every plugin may add; owners are listed.
    Accumulating,
    /// Every plugin may add, the protocol has no place for an owner.
    Unowned,
}

/// What is known of a field.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Info {
    /// The field.
    pub field: Field,
    /// Its name for people: in policies, decisions and messages.
    pub name: &'static str,
    /// Its name in conflict texts, which is the protocol's.
    pub protocol_name: &'static str,
    /// How it is owned.
    pub kind: Kind,
    /// The first NRI version whose adjustments carry it.
    pub since: NriVersion,
    /// JSON pointer of what it changes in an OCI runtime spec; empty where it is resolved by somebody else.
    pub oci: &'static str,
}

macro_rules! fields {
    ($($(#[$doc:meta])* $field:ident = $number:literal, $name:literal, $protocol:literal, $kind:ident, ($major:literal, $minor:literal, $patch:literal), $oci:literal;)*) => {
        /// An adjustable field.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Field {
            $($(#[$doc])* $field,)*
        }

        /// Every field, once, in the order of the protocol's numbers, those without a number last.
        pub const FIELDS: &[Info] = &[$(Info {
            field: Field::$field,
            name: $name,
            protocol_name: $protocol,
            kind: Kind::$kind,
            since: NriVersion::new($major, $minor, $patch),
            oci: $oci,
        },)*];

        impl Field {
            /// The number in the protocol's `enum Field`, if it has one there.
            #[must_use]
            pub const fn number(self) -> Option<i32> {
                match self { $(Self::$field => if $number == 0 { None } else { Some($number) },)* }
            }

            /// What is known of the field.
            #[must_use]
            pub const fn info(self) -> Info {
                match self {
                    $(Self::$field => Info {
                        field: self,
                        name: $name,
                        protocol_name: $protocol,
                        kind: Kind::$kind,
                        since: NriVersion::new($major, $minor, $patch),
                        oci: $oci,
                    },)*
                }
            }
        }
    };
}

fields! {
    /// Annotations of the container.
    Annotations = 1, "annotations", "Annotations", Keyed, (0, 2, 0), "/annotations";
    /// Mounts, by destination.
    Mounts = 2, "mounts", "Mounts", Keyed, (0, 2, 0), "/mounts";
    /// OCI hooks of all six kinds.
    Hooks = 3, "hooks", "OciHooks", Accumulating, (0, 2, 0), "/hooks";
    /// Device nodes, by path in the container.
    Devices = 4, "devices", "Devices", Keyed, (0, 2, 0), "/linux/devices";
    /// CDI devices, by fully qualified name.
    CdiDevices = 5, "cdiDevices", "CdiDevices", Keyed, (0, 7, 0), "";
    /// Environment variables, by name.
    Env = 6, "env", "Env", Keyed, (0, 2, 0), "/process/env";
    /// The command line.
    Args = 7, "args", "Args", Single, (0, 10, 0), "/process/args";
    /// Memory limit, bytes.
    MemoryLimit = 8, "memory.limit", "MemLimit", Single, (0, 2, 0), "/linux/resources/memory/limit";
    /// Soft memory limit, bytes.
    MemoryReservation = 9, "memory.reservation", "MemReservation", Single, (0, 2, 0), "/linux/resources/memory/reservation";
    /// Memory and swap together, bytes.
    MemorySwap = 10, "memory.swap", "MemSwapLimit", Single, (0, 2, 0), "/linux/resources/memory/swap";
    /// Kernel memory limit, bytes.
    MemoryKernel = 11, "memory.kernel", "MemKernelLimit", Single, (0, 2, 0), "/linux/resources/memory/kernel";
    /// Kernel TCP buffer limit, bytes.
    MemoryKernelTcp = 12, "memory.kernelTcp", "MemTCPLimit", Single, (0, 2, 0), "/linux/resources/memory/kernelTCP";
    /// Swappiness, 0 to 100.
    MemorySwappiness = 13, "memory.swappiness", "MemSwappiness", Single, (0, 2, 0), "/linux/resources/memory/swappiness";
    /// Whether the OOM killer leaves the container alone.
    MemoryDisableOomKiller = 14, "memory.disableOomKiller", "MemDisableOomKiller", Single, (0, 2, 0), "/linux/resources/memory/disableOOMKiller";
    /// Whether memory is accounted hierarchically.
    MemoryUseHierarchy = 15, "memory.useHierarchy", "MemUseHierarchy", Single, (0, 2, 0), "/linux/resources/memory/useHierarchy";
    /// CPU shares.
    CpuShares = 16, "cpu.shares", "CPUShares", Single, (0, 2, 0), "/linux/resources/cpu/shares";
    /// CPU quota, microseconds per period.
    CpuQuota = 17, "cpu.quota", "CPUQuota", Single, (0, 2, 0), "/linux/resources/cpu/quota";
    /// CPU period, microseconds.
    CpuPeriod = 18, "cpu.period", "CPUPeriod", Single, (0, 2, 0), "/linux/resources/cpu/period";
    /// Real-time runtime, microseconds per real-time period.
    CpuRealtimeRuntime = 19, "cpu.realtimeRuntime", "CPURealtimeRuntime", Single, (0, 2, 0), "/linux/resources/cpu/realtimeRuntime";
    /// Real-time period, microseconds.
    CpuRealtimePeriod = 20, "cpu.realtimePeriod", "CPURealtimePeriod", Single, (0, 2, 0), "/linux/resources/cpu/realtimePeriod";
    /// CPUs that may be used, as a list of ranges.
    CpuCpus = 21, "cpu.cpus", "CPUSetCPUs", Single, (0, 2, 0), "/linux/resources/cpu/cpus";
    /// Memory nodes that may be used, as a list of ranges.
    CpuMems = 22, "cpu.mems", "CPUSetMems", Single, (0, 2, 0), "/linux/resources/cpu/mems";
    /// Most processes; negative is unlimited.
    PidsLimit = 23, "pids.limit", "PidsLimit", Single, (0, 7, 0), "/linux/resources/pids/limit";
    /// Huge page limits in bytes, by page size.
    Hugepages = 24, "hugepages", "HugepageLimits", Keyed, (0, 2, 0), "/linux/resources/hugepageLimits";
    /// Block I/O class; the empty class removes it.
    BlockioClass = 25, "blockio.class", "BlockioClass", Single, (0, 2, 0), "/linux/resources/blockIO";
    /// RDT class; the empty class removes it.
    RdtClass = 26, "rdt.class", "RdtClass", Single, (0, 2, 0), "/linux/intelRdt";
    /// Files of the unified hierarchy, by name.
    Unified = 27, "cgroups.unified", "CgroupsUnified", Keyed, (0, 2, 0), "/linux/resources/unified";
    /// Path of the container's cgroup.
    CgroupsPath = 28, "cgroups.path", "CgroupsPath", Single, (0, 2, 0), "/linux/cgroupsPath";
    /// OOM score adjustment.
    OomScoreAdj = 29, "oomScoreAdj", "OomScoreAdj", Single, (0, 7, 0), "/process/oomScoreAdj";
    /// Resource limits, by type.
    Rlimits = 30, "rlimits", "Rlimits", Keyed, (0, 4, 0), "/process/rlimits";
    /// I/O priority; class NONE removes it.
    IoPriority = 31, "ioPriority", "IoPriority", Single, (0, 10, 0), "/process/ioPriority";
    /// The seccomp policy as a whole.
    Seccomp = 32, "seccomp", "SeccompPolicy", Single, (0, 10, 0), "/linux/seccomp";
    /// Namespaces, by type.
    Namespaces = 33, "namespaces", "Namespace", Keyed, (0, 10, 0), "/linux/namespaces";
    /// Kernel parameters, by name.
    Sysctl = 34, "sysctl", "Sysctl", Keyed, (0, 11, 0), "/linux/sysctl";
    /// Network devices that move in, by host name.
    NetDevices = 35, "netDevices", "LinuxNetDevices", Keyed, (0, 11, 0), "/linux/netDevices";
    /// Scheduler attributes; policy NONE removes them.
    Scheduler = 36, "scheduler", "LinuxSched", Single, (0, 11, 0), "/process/scheduler";
    /// RDT class of service.
    RdtClosId = 37, "rdt.closId", "RdtClosID", Single, (0, 11, 0), "/linux/intelRdt/closID";
    /// RDT schemata, all lines together.
    RdtSchemata = 38, "rdt.schemata", "RdtSchemata", Single, (0, 11, 0), "/linux/intelRdt/schemata";
    /// RDT monitoring.
    RdtMonitoring = 39, "rdt.monitoring", "RdtEnableMonitoring", Single, (0, 11, 0), "/linux/intelRdt/enableMonitoring";
    /// NUMA memory policy.
    MemoryPolicy = 40, "memoryPolicy", "MemoryPolicy", Single, (0, 12, 0), "/linux/memoryPolicy";
    /// Device cgroup rules.
    DeviceCgroup = 0, "deviceCgroup", "DeviceCgroup", Unowned, (0, 2, 0), "/linux/resources/devices";
    /// The removal of all RDT settings, before those of the same answer are set.
    RdtRemove = 0, "rdt.remove", "RdtRemove", Unowned, (0, 11, 0), "/linux/intelRdt";
}

impl Field {
    /// The field with this name for people.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        FIELDS.iter().find(|info| info.name == name).map(|info| info.field)
    }

    /// The name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.info().name
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api;

    /// The list and the protocol's own enum have the same numbers and names.
    #[test]
    fn the_list_is_the_protocols() {
        for number in 1..=40 {
            let name = api::Field::try_from(number).unwrap().as_str_name();
            let info = FIELDS.iter().find(|info| info.field.number() == Some(number)).unwrap();
            assert_eq!(info.protocol_name, name);
        }
        assert!(api::Field::try_from(41).is_err(), "the protocol has gained a field");
    }

    #[test]
    fn names_are_unique() {
        for info in FIELDS {
            assert_eq!(Field::from_name(info.name), Some(info.field));
            assert_eq!(info.field.info().protocol_name, info.protocol_name);
        }
    }
}
