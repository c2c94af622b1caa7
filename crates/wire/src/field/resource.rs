//! Resources: the fields that adjustments and updates share. One row per scalar drives reading and writing.

use super::Field;
use super::entry::{Entry, Value};
use crate::api::{
    HugepageLimit, LinuxCpu, LinuxMemory, LinuxPids, LinuxResources, OptionalBool, OptionalInt64,
    OptionalString, OptionalUInt64,
};

/// One scalar: how it is read from resources and how it is written into them.
struct Scalar {
    field: Field,
    get: fn(&LinuxResources) -> Option<Value<'_>>,
    set: fn(&mut LinuxResources, &Value<'_>) -> bool,
}

macro_rules! wrapped {
    ($field:ident, $part:ident . $member:ident, $wrapper:ident, $value:ident) => {
        Scalar {
            field: Field::$field,
            get: |r| r.$part.as_ref()?.$member.as_ref().map(|w| Value::$value(w.value)),
            set: |r, value| {
                let Value::$value(value) = *value else { return false };
                r.$part.get_or_insert_default().$member = Some($wrapper { value });
                true
            },
        }
    };
}

macro_rules! cpu_list {
    ($field:ident, $member:ident) => {
        Scalar {
            field: Field::$field,
            get: |r| r.cpu.as_ref().map(|c| c.$member.as_str()).filter(|s| !s.is_empty()).map(Value::Text),
            set: |r, value| {
                let Value::Text(value) = *value else { return false };
                value.clone_into(&mut r.cpu.get_or_insert_default().$member);
                true
            },
        }
    };
}

macro_rules! class {
    ($field:ident, $member:ident) => {
        Scalar {
            field: Field::$field,
            get: |r| r.$member.as_ref().map(|w| Value::Text(&w.value)),
            set: |r, value| {
                let Value::Text(value) = *value else { return false };
                r.$member = Some(OptionalString { value: value.to_owned() });
                true
            },
        }
    };
}

/// Memory and CPU, in the order in which the reference claims them (`spec/adaptation.md` 9, 10.1).
const MEMORY_AND_CPU: [Scalar; 15] = [
    wrapped!(MemoryLimit, memory.limit, OptionalInt64, Int),
    wrapped!(MemoryReservation, memory.reservation, OptionalInt64, Int),
    wrapped!(MemorySwap, memory.swap, OptionalInt64, Int),
    wrapped!(MemoryKernel, memory.kernel, OptionalInt64, Int),
    wrapped!(MemoryKernelTcp, memory.kernel_tcp, OptionalInt64, Int),
    wrapped!(MemorySwappiness, memory.swappiness, OptionalUInt64, UInt),
    wrapped!(MemoryDisableOomKiller, memory.disable_oom_killer, OptionalBool, Bool),
    wrapped!(MemoryUseHierarchy, memory.use_hierarchy, OptionalBool, Bool),
    wrapped!(CpuShares, cpu.shares, OptionalUInt64, UInt),
    wrapped!(CpuQuota, cpu.quota, OptionalInt64, Int),
    wrapped!(CpuPeriod, cpu.period, OptionalUInt64, UInt),
    wrapped!(CpuRealtimeRuntime, cpu.realtime_runtime, OptionalInt64, Int),
    wrapped!(CpuRealtimePeriod, cpu.realtime_period, OptionalUInt64, UInt),
    cpu_list!(CpuCpus, cpus),
    cpu_list!(CpuMems, mems),
];

/// Classes and the pids limit, which come after the keyed resources.
const CLASSES_AND_PIDS: [Scalar; 3] = [
    class!(BlockioClass, blockio_class),
    class!(RdtClass, rdt_class),
    Scalar {
        field: Field::PidsLimit,
        get: |r| r.pids.as_ref().map(|pids| Value::Int(pids.limit)),
        set: |r, value| {
            let Value::Int(limit) = *value else { return false };
            r.pids = Some(LinuxPids { limit });
            true
        },
    },
];

/// Everything that is set in resources, in the order of the reference.
#[must_use]
pub fn resources(resources: &LinuxResources) -> Vec<Entry<'_>> {
    let scalars = |list: &'static [Scalar]| {
        list.iter().filter_map(|s| (s.get)(resources).map(|value| Entry::set(s.field, "", value)))
    };
    let mut entries: Vec<Entry<'_>> = scalars(&MEMORY_AND_CPU).collect();
    entries.extend(
        resources
            .hugepage_limits
            .iter()
            .map(|limit| Entry::set(Field::Hugepages, &limit.page_size, Value::UInt(limit.limit))),
    );
    entries.extend(
        resources.devices.iter().map(|rule| Entry::set(Field::DeviceCgroup, "", Value::DeviceRule(rule))),
    );
    entries.extend(
        resources.unified.iter().map(|(key, value)| Entry::set(Field::Unified, key, Value::Text(value))),
    );
    entries.extend(scalars(&CLASSES_AND_PIDS));
    entries
}

/// Writes one entry of [`resources`] into other resources: scalars and keyed values replace what was there (D8),
/// device rules are appended. Returns false, and changes nothing, where the entry is no resource.
pub fn set_resource(resources: &mut LinuxResources, entry: &Entry<'_>) -> bool {
    let Some(value) = &entry.value else { return false };
    match (entry.field, value) {
        (Field::Hugepages, &Value::UInt(limit)) => {
            match resources.hugepage_limits.iter_mut().find(|l| l.page_size == entry.key) {
                Some(old) => old.limit = limit,
                None => {
                    resources.hugepage_limits.push(HugepageLimit { page_size: entry.key.to_owned(), limit });
                }
            }
            true
        }
        (Field::Unified, &Value::Text(value)) => {
            resources.unified.insert(entry.key.to_owned(), value.to_owned());
            true
        }
        (Field::DeviceCgroup, &Value::DeviceRule(rule)) => {
            resources.devices.push(rule.clone());
            true
        }
        (field, value) => MEMORY_AND_CPU
            .iter()
            .chain(&CLASSES_AND_PIDS)
            .find(|scalar| scalar.field == field)
            .is_some_and(|scalar| (scalar.set)(resources, value)),
    }
}

/// Resources with the sub-messages that requests always have (`spec/adaptation.md` 10.1).
impl LinuxResources {
    /// Creates memory and CPU where they are absent.
    pub fn normalise(&mut self) {
        self.memory.get_or_insert_with(LinuxMemory::default);
        self.cpu.get_or_insert_with(LinuxCpu::default);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::LinuxDeviceCgroup;

    /// Every resource that is read can be written, and reads back the same.
    #[test]
    fn what_is_read_can_be_written() {
        let full = LinuxResources {
            memory: Some(LinuxMemory {
                limit: Some(1.into()),
                reservation: Some(2.into()),
                swap: Some(3.into()),
                kernel: Some(4.into()),
                kernel_tcp: Some(5.into()),
                swappiness: Some(6.into()),
                disable_oom_killer: Some(true.into()),
                use_hierarchy: Some(false.into()),
            }),
            cpu: Some(LinuxCpu {
                shares: Some(7.into()),
                quota: Some((-1).into()),
                period: Some(9.into()),
                realtime_runtime: Some(10.into()),
                realtime_period: Some(11.into()),
                cpus: "0-1".into(),
                mems: "0".into(),
            }),
            hugepage_limits: vec![HugepageLimit { page_size: "2MB".into(), limit: 12 }],
            blockio_class: Some(String::new().into()),
            rdt_class: Some("gold".to_owned().into()),
            unified: [("memory.high".to_owned(), "max".to_owned())].into(),
            devices: vec![LinuxDeviceCgroup { allow: true, ..Default::default() }],
            pids: Some(LinuxPids { limit: 0 }),
        };
        let mut copy = LinuxResources::default();
        let entries = resources(&full);
        assert_eq!(entries.len(), 21);
        for entry in &entries {
            assert!(set_resource(&mut copy, entry), "{entry:?}");
        }
        assert_eq!(copy, full);
    }
}
