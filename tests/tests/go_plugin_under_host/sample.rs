//! One adjustment for each field, in the proto3 JSON form in which Go plugins take it.

use nri_wire::field::Field;
use serde_json::{Value as Json, json};

/// An adjustment that sets this field and no other.
#[rustfmt::skip]
pub(crate) fn adjustment(field: Field) -> Json {
    let resources = |value: Json| json!({"linux": {"resources": value}});
    let memory = |key: &str, value: Json| resources(json!({"memory": {key: {"value": value}}}));
    let cpu = |key: &str, value: &str| resources(json!({"cpu": {key: {"value": value}}}));
    let linux = |key: &str, value: Json| json!({"linux": {key: value}});
    let rdt = |key: &str, value: Json| linux("rdt", json!({key: {"value": value}}));
    match field {
        Field::Annotations => json!({"annotations": {"note": "x"}}),
        Field::Mounts => json!({"mounts": [{"destination": "/srv", "source": "/srv", "type": "bind", "options": ["ro"]}]}),
        Field::Hooks => json!({"hooks": {"createRuntime": [{"path": "/bin/true", "args": ["true"], "timeout": {"value": "2"}}]}}),
        Field::Devices => linux("devices", json!([{"path": "/dev/fuse", "type": "c", "major": "10", "minor": "229", "fileMode": {"value": 384}, "uid": {"value": 1}}])),
        Field::CdiDevices => json!({"CDIDevices": [{"name": "vendor.com/gpu=0"}]}),
        Field::Env => json!({"env": [{"key": "A", "value": "b"}]}),
        Field::Args => json!({"args": ["sh", "-c", "true"]}),
        Field::MemoryLimit => memory("limit", json!("67108864")),
        Field::MemoryReservation => memory("reservation", json!("1")),
        Field::MemorySwap => memory("swap", json!("-1")),
        Field::MemoryKernel => memory("kernel", json!("2")),
        Field::MemoryKernelTcp => memory("kernelTcp", json!("3")),
        Field::MemorySwappiness => memory("swappiness", json!("0")),
        Field::MemoryDisableOomKiller => memory("disableOomKiller", json!(false)),
        Field::MemoryUseHierarchy => memory("useHierarchy", json!(true)),
        Field::CpuShares => cpu("shares", "4"),
        Field::CpuQuota => cpu("quota", "-1"),
        Field::CpuPeriod => cpu("period", "5"),
        Field::CpuRealtimeRuntime => cpu("realtimeRuntime", "6"),
        Field::CpuRealtimePeriod => cpu("realtimePeriod", "7"),
        Field::CpuCpus => resources(json!({"cpu": {"cpus": "0-3"}})),
        Field::CpuMems => resources(json!({"cpu": {"mems": "0"}})),
        Field::PidsLimit => resources(json!({"pids": {"limit": "8"}})),
        Field::Hugepages => resources(json!({"hugepageLimits": [{"pageSize": "2MB", "limit": "9"}]})),
        Field::BlockioClass => resources(json!({"blockioClass": {"value": "gold"}})),
        Field::RdtClass => resources(json!({"rdtClass": {"value": "silver"}})),
        Field::Unified => resources(json!({"unified": {"memory.high": "max"}})),
        Field::CgroupsPath => linux("cgroupsPath", json!("/a/b")),
        Field::OomScoreAdj => linux("oomScoreAdj", json!({"value": "-5"})),
        Field::Rlimits => json!({"rlimits": [{"type": "RLIMIT_NOFILE", "soft": "1", "hard": "2"}]}),
        Field::IoPriority => linux("ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 7})),
        Field::Seccomp => linux("seccompPolicy", json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 1, "value": "7", "op": "SCMP_CMP_EQ"}]}]})),
        Field::Namespaces => linux("namespaces", json!([{"type": "uts", "path": "/proc/1/ns/uts"}])),
        Field::Sysctl => linux("sysctl", json!({"net.ipv4.ip_forward": "1"})),
        Field::NetDevices => linux("netDevices", json!({"eth1": {"name": "net0"}})),
        Field::Scheduler => linux("scheduler", json!({"policy": "SCHED_BATCH", "nice": 5})),
        Field::RdtClosId => rdt("closId", json!("clos")),
        Field::RdtSchemata => rdt("schemata", json!(["L3:0=f", "MB:0=10"])),
        Field::RdtMonitoring => rdt("enableMonitoring", json!(true)),
        Field::MemoryPolicy => linux("memoryPolicy", json!({"mode": "MPOL_INTERLEAVE", "nodes": "0-1"})),
        Field::DeviceCgroup => resources(json!({"devices": [{"allow": true, "type": "c", "major": {"value": "10"}, "minor": {"value": "229"}, "access": "rw"}]})),
        Field::RdtRemove => linux("rdt", json!({"remove": true})),
    }
}

/// A script whose plugin answers the creation of the container `FIELD` with that field's adjustment.
pub(crate) fn script(fields: impl Iterator<Item = Field>) -> Json {
    let answers: Vec<_> =
        fields.map(|field| json!({"for": field.name(), "adjust": adjustment(field)})).collect();
    json!({"events": ["CreateContainer"], "answers": {"CreateContainer": answers}})
}
