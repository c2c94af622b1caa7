//! The order in which fields are applied (`spec/oci-apply.md` 2), and who applies each.

use nri_wire::field::{Entry, Field};

use super::error::ApplyError;
use super::resolver::Resolvers;
use super::spec::Spec;
use super::{device, hook, linux, mount, process, rdt, resources, seccomp};
use crate::merge::Cuts;

/// A stage. The order is the reference's: CDI devices come before all that may override what they bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Annotations,
    Env,
    Args,
    Hooks,
    CdiDevices,
    Devices,
    CgroupsPath,
    OomScoreAdj,
    IoPriority,
    Scheduler,
    Seccomp,
    Namespaces,
    Sysctl,
    NetDevices,
    MemoryPolicy,
    Resources,
    BlockioClass,
    RdtClass,
    Rdt,
    Mounts,
    Rlimits,
}

impl Stage {
    /// The stage that applies a field.
    pub(super) const fn of(field: Field) -> Self {
        match field {
            Field::Annotations => Self::Annotations,
            Field::Mounts => Self::Mounts,
            Field::Hooks => Self::Hooks,
            Field::Devices => Self::Devices,
            Field::CdiDevices => Self::CdiDevices,
            Field::Env => Self::Env,
            Field::Args => Self::Args,
            Field::MemoryLimit
            | Field::MemoryReservation
            | Field::MemorySwap
            | Field::MemoryKernel
            | Field::MemoryKernelTcp
            | Field::MemorySwappiness
            | Field::MemoryDisableOomKiller
            | Field::MemoryUseHierarchy
            | Field::CpuShares
            | Field::CpuQuota
            | Field::CpuPeriod
            | Field::CpuRealtimeRuntime
            | Field::CpuRealtimePeriod
            | Field::CpuCpus
            | Field::CpuMems
            | Field::PidsLimit
            | Field::Hugepages
            | Field::Unified
            | Field::DeviceCgroup => Self::Resources,
            Field::BlockioClass => Self::BlockioClass,
            Field::RdtClass => Self::RdtClass,
            Field::CgroupsPath => Self::CgroupsPath,
            Field::OomScoreAdj => Self::OomScoreAdj,
            Field::Rlimits => Self::Rlimits,
            Field::IoPriority => Self::IoPriority,
            Field::Seccomp => Self::Seccomp,
            Field::Namespaces => Self::Namespaces,
            Field::Sysctl => Self::Sysctl,
            Field::NetDevices => Self::NetDevices,
            Field::Scheduler => Self::Scheduler,
            Field::RdtRemove | Field::RdtClosId | Field::RdtSchemata | Field::RdtMonitoring => Self::Rdt,
            Field::MemoryPolicy => Self::MemoryPolicy,
        }
    }

    /// Applies the entries of this stage, in the order of the adjustment.
    fn run(
        self,
        spec: &mut Spec,
        entries: &[Entry<'_>],
        cuts: &Cuts,
        with: &Resolvers,
        unchecked: &mut Vec<String>,
    ) -> Result<(), ApplyError> {
        match self {
            Self::Annotations => linux::texts(spec, entries, with.annotations.as_deref()),
            Self::Env => process::env(spec, entries),
            Self::Args => process::args(spec, entries),
            Self::Hooks => hook::append(spec, entries),
            Self::CdiDevices => device::inject(spec, entries, with.cdi.as_deref()),
            Self::Devices => device::replace(spec, entries, cuts),
            Self::CgroupsPath | Self::OomScoreAdj => resources::scalars(spec, entries),
            Self::IoPriority => process::io_priority(spec, entries),
            Self::Scheduler => process::scheduler(spec, entries),
            Self::Seccomp => seccomp::replace(spec, entries),
            Self::Namespaces => linux::namespaces(spec, entries),
            Self::Sysctl => linux::texts(spec, entries, with.sysctl.as_deref()),
            Self::NetDevices => linux::net_devices(spec, entries),
            Self::MemoryPolicy => linux::memory_policy(spec, entries),
            Self::Resources => resources::apply(spec, entries),
            Self::BlockioClass => resources::class(spec, entries, with.blockio.as_deref()),
            Self::RdtClass => resources::class(spec, entries, with.rdt.as_deref()),
            Self::Rdt => rdt::apply(spec, entries),
            Self::Mounts => mount::replace(spec, entries, with.mountinfo.as_deref(), unchecked),
            Self::Rlimits => process::rlimits(spec, entries),
        }
    }
}

/// Applies entries that are sorted by stage.
pub(super) fn run(
    spec: &mut Spec,
    entries: &[Entry<'_>],
    cuts: &Cuts,
    with: &Resolvers,
    unchecked: &mut Vec<String>,
) -> Result<(), ApplyError> {
    for group in entries.chunk_by(|a, b| Stage::of(a.field) == Stage::of(b.field)) {
        if let Some(first) = group.first() {
            Stage::of(first.field).run(spec, group, cuts, with, unchecked)?;
        }
    }
    Ok(())
}
