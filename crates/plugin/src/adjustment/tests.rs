use nri_wire::field::{self, FIELDS};

use super::*;
use crate::seccomp::{Action, Rule};
use crate::{DeviceKind, MemoryPolicyMode, SchedulerPolicy};

/// How each field is set. A field that is new in the list does not compile here until it has a setter.
fn set(answer: Adjustment, field: Field) -> Adjustment {
    match field {
        Field::Annotations => answer.add_annotation("k", "v"),
        Field::Mounts => answer.add_mount(Mount::bind("/a", "/b")),
        Field::Hooks => answer.add_hook(HookKind::CreateRuntime, Hook::new("/bin/true")),
        Field::Devices => answer.add_device(Device::new("/dev/x", DeviceKind::Char, 1, 3)),
        Field::CdiDevices => answer.add_cdi_device("vendor.com/gpu=0"),
        Field::Env => answer.add_env("A", "b"),
        Field::Args => answer.set_args(["true"]),
        Field::MemoryLimit => answer.memory_limit(1),
        Field::MemoryReservation => answer.memory_reservation(1),
        Field::MemorySwap => answer.memory_swap(-1),
        Field::MemoryKernel => answer.memory_kernel(1),
        Field::MemoryKernelTcp => answer.memory_kernel_tcp(1),
        Field::MemorySwappiness => answer.memory_swappiness(0),
        Field::MemoryDisableOomKiller => answer.memory_disable_oom_killer(false),
        Field::MemoryUseHierarchy => answer.memory_use_hierarchy(true),
        Field::CpuShares => answer.cpu_shares(2),
        Field::CpuQuota => answer.cpu_quota(-1),
        Field::CpuPeriod => answer.cpu_period(1),
        Field::CpuRealtimeRuntime => answer.cpu_realtime_runtime(1),
        Field::CpuRealtimePeriod => answer.cpu_realtime_period(1),
        Field::CpuCpus => answer.cpuset_cpus("0-3"),
        Field::CpuMems => answer.cpuset_mems("0"),
        Field::PidsLimit => answer.pids_limit(-1),
        Field::Hugepages => answer.hugepage_limit("2MB", 0),
        Field::BlockioClass => answer.blockio_class(""),
        Field::RdtClass => answer.rdt_class("gold"),
        Field::Unified => answer.unified("memory.high", "max"),
        Field::CgroupsPath => answer.cgroups_path("/a/b"),
        Field::OomScoreAdj => answer.oom_score_adj(0),
        Field::Rlimits => answer.add_rlimit("RLIMIT_NOFILE", 1, 2),
        Field::IoPriority => answer.io_priority(IoClass::IoprioClassBe, 7),
        Field::Seccomp => answer.seccomp(Seccomp::new(Action::Allow)),
        Field::Namespaces => answer.set_namespace("uts", ""),
        Field::Sysctl => answer.set_sysctl("net.ipv4.ip_forward", "1"),
        Field::NetDevices => answer.add_net_device("eth0", "net0"),
        Field::Scheduler => answer.scheduler(Scheduler::new(SchedulerPolicy::SchedBatch)),
        Field::RdtClosId => answer.rdt_clos_id("gold"),
        Field::RdtSchemata => answer.rdt_schemata(["L3:0=f"]),
        Field::RdtMonitoring => answer.rdt_monitoring(true),
        Field::MemoryPolicy => answer.memory_policy(MemoryPolicy::new(MemoryPolicyMode::MpolBind, "0")),
        Field::DeviceCgroup => answer.add_device_rule(DeviceRule::deny("rwm")),
        Field::RdtRemove => answer.remove_rdt(),
    }
}

fn built(answer: Adjustment) -> ContainerAdjustment {
    answer.into_message().unwrap().adjust.unwrap()
}

#[test]
fn every_field_has_a_setter() {
    for info in FIELDS {
        let message = built(set(Adjustment::new(), info.field));
        let fields: Vec<Field> = field::adjustment(&message).iter().map(|entry| entry.field).collect();
        assert_eq!(fields, [info.field]);
    }
    let all = built(FIELDS.iter().fold(Adjustment::new(), |answer, info| set(answer, info.field)));
    assert_eq!(field::adjustment(&all).len(), FIELDS.len(), "one setter undoes another");
}

/// `spec/api.md` 4.1: what can be removed, and the mark that says so.
#[test]
fn removals() {
    type Removal = fn(Adjustment) -> Adjustment;
    let removals: [(Field, &str, Removal); 7] = [
        (Field::Annotations, "k", |a| a.remove_annotation("k")),
        (Field::Mounts, "/b", |a| a.remove_mount("/b")),
        (Field::Env, "A", |a| a.remove_env("A")),
        (Field::Devices, "/dev/x", |a| a.remove_device("/dev/x")),
        (Field::Namespaces, "uts", |a| a.remove_namespace("uts")),
        (Field::Sysctl, "net.ipv4.ip_forward", |a| a.remove_sysctl("net.ipv4.ip_forward")),
        (Field::NetDevices, "eth0", |a| a.remove_net_device("eth0")),
    ];
    for (field, key, remove) in removals {
        let message = built(remove(Adjustment::new()));
        assert_eq!(field::adjustment(&message), [Entry { field, key, value: None }]);
        let both = built(remove(set(Adjustment::new(), field)));
        assert_eq!(field::adjustment(&both).len(), 2, "{field}: removing takes the new value away");
    }
}

/// `spec/api.md` 4.3.
#[test]
fn command_lines() {
    assert_eq!(built(Adjustment::new().set_args(["a", "b"])).args, ["a", "b"]);
    assert_eq!(built(Adjustment::new().replace_args(["a", "b"])).args, ["", "a", "b"]);
}

#[test]
fn values_that_cannot_work_are_refused() {
    let new = Adjustment::new;
    for (answer, text) in [
        (new().add_env("-A", ""), "env \"-A\": must not begin with `-`, which marks removals"),
        (new().add_env("A=", ""), "env \"A=\": must not contain `=` in its name"),
        (new().add_env("", "x"), "env: must not be empty"),
        (new().remove_mount(""), "mounts: must not be empty"),
        (
            new().add_device(Device::new("x", DeviceKind::Block, 0, 0)),
            "devices \"x\": must be an absolute path",
        ),
        (new().set_args(Vec::<String>::new()), "args: must begin with a program"),
        (new().replace_args([""]), "args: must begin with a program"),
        (new().cpuset_cpus(""), "cpu.cpus: must be a list of ranges such as `0-3,7`"),
        (
            new().add_rlimit("NOFILE", 1, 1),
            "rlimits \"NOFILE\": must be a limit of getrlimit(2) such as `RLIMIT_NOFILE`",
        ),
        (
            new().add_rlimit("RLIMIT_CPU", 2, 1),
            "rlimits \"RLIMIT_CPU\": must not have a soft limit above its hard limit",
        ),
        (new().oom_score_adj(1001), "oomScoreAdj: must be from -1000 to 1000"),
        (
            new().set_namespace("net", ""),
            "namespaces \"net\": must be cgroup, ipc, mount, network, pid, time, user or uts",
        ),
        (
            new().add_cdi_device("gpu0"),
            "cdiDevices \"gpu0\": must be fully qualified, such as `vendor.com/class=device`",
        ),
        (
            new().seccomp(Seccomp::new(Action::Allow).rule(Rule::new(Action::Log, Vec::<String>::new()))),
            "seccomp: must name a system call in every rule, and arguments from 0 to 5",
        ),
        (
            new().seccomp(Seccomp::new(Action::Allow).listener("", "pod")),
            "seccomp: must have a listener for its listener metadata",
        ),
        (
            new().update(Update::new("a").cpuset_mems("x")),
            "cpu.mems: must be a list of ranges such as `0-3,7`",
        ),
        // The first of several is told.
        (new().io_priority(IoClass::IoprioClassRt, 8).oom_score_adj(9999), "ioPriority: must be from 0 to 7"),
    ] {
        assert_eq!(answer.into_message().unwrap_err().to_string(), text);
    }
}

/// Every resource can be set in an update too, apart from device rules (`spec/adaptation.md` 9).
#[test]
fn updates_have_the_resources() {
    let update = Update::new("c")
        .memory_limit(1)
        .memory_reservation(1)
        .memory_swap(1)
        .memory_kernel(1)
        .memory_kernel_tcp(1)
        .memory_swappiness(1)
        .memory_disable_oom_killer(true)
        .memory_use_hierarchy(true)
        .cpu_shares(1)
        .cpu_quota(1)
        .cpu_period(1)
        .cpu_realtime_runtime(1)
        .cpu_realtime_period(1)
        .cpuset_cpus("0")
        .cpuset_mems("0")
        .pids_limit(1)
        .hugepage_limit("2MB", 1)
        .unified("memory.high", "1")
        .blockio_class("a")
        .rdt_class("a")
        .ignore_failure()
        .into_message()
        .unwrap();
    assert!(update.ignore_failure);
    let mut fields: Vec<Field> = field::update(&update).iter().map(|entry| entry.field).collect();
    fields.sort();
    let resources: Vec<Field> = FIELDS
        .iter()
        .map(|info| info.field)
        .filter(|&f| f >= Field::MemoryLimit && f <= Field::Unified)
        .collect();
    assert_eq!(fields, resources);
}
