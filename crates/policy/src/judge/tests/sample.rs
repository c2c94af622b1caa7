//! For every field something that an answer can say about it. A field that the protocol gains does not compile here
//! until it has a sample.

use nri_wire::api::{
    CdiDevice, Container, ContainerAdjustment, ContainerUpdate, Hook, Hooks, HugepageLimit, IoPrioClass,
    KeyValue, LinuxContainer, LinuxContainerAdjustment, LinuxContainerUpdate, LinuxCpu, LinuxDevice,
    LinuxDeviceCgroup, LinuxIoPriority, LinuxMemory, LinuxMemoryPolicy, LinuxNamespace, LinuxNetDevice,
    LinuxPids, LinuxRdt, LinuxResources, LinuxScheduler, LinuxSchedulerPolicy, LinuxSeccomp, Mount, MpolMode,
    OptionalRepeatedString, PosixRlimit, SecurityProfile,
};
use nri_wire::field::Field;

use crate::change::Op;

/// One thing that an answer says, and the container that makes it this operation.
pub(super) struct Sample {
    pub(super) pristine: Container,
    pub(super) adjust: ContainerAdjustment,
}

/// A sample, if the field can have this operation.
pub(super) fn sample(field: Field, op: Op) -> Option<Sample> {
    if field == Field::RdtRemove && op != Op::Remove {
        return None;
    }
    let old = adjustment(field, 1)?;
    let pristine = if op == Op::Add { Container::default() } else { container(&old)? };
    let adjust = match op {
        Op::Add => old,
        Op::Replace => adjustment(field, 2)?,
        Op::Remove => removal(field)?,
    };
    Some(Sample { pristine, adjust })
}

/// What says something about a field, one of two values.
pub(super) fn adjustment(field: Field, number: u32) -> Option<ContainerAdjustment> {
    let text = || format!("v{number}");
    let n = || u64::from(number);
    let top = |adjust| Some(adjust);
    let linux = |linux| Some(ContainerAdjustment { linux: Some(linux), ..Default::default() });
    let resources = |resources| {
        let linux = LinuxContainerAdjustment { resources: Some(resources), ..Default::default() };
        Some(ContainerAdjustment { linux: Some(linux), ..Default::default() })
    };
    let memory = |memory| resources(LinuxResources { memory: Some(memory), ..Default::default() });
    let cpu = |cpu| resources(LinuxResources { cpu: Some(cpu), ..Default::default() });
    let rdt = |rdt| linux(LinuxContainerAdjustment { rdt: Some(rdt), ..Default::default() });
    match field {
        Field::Annotations => {
            top(ContainerAdjustment { annotations: [("k".into(), text())].into(), ..Default::default() })
        }
        Field::Mounts => {
            let mount = Mount { destination: "/d".into(), source: format!("/{number}"), ..bind() };
            top(ContainerAdjustment { mounts: vec![mount], ..Default::default() })
        }
        Field::Hooks => {
            let hooks = Hooks {
                poststop: vec![Hook { path: "/h".into(), ..Default::default() }],
                ..Default::default()
            };
            top(ContainerAdjustment { hooks: Some(hooks), ..Default::default() })
        }
        Field::Env => {
            let env = vec![KeyValue { key: "K".into(), value: text() }];
            top(ContainerAdjustment { env, ..Default::default() })
        }
        Field::Args => top(ContainerAdjustment { args: vec![text()], ..Default::default() }),
        Field::Rlimits => {
            let limit = PosixRlimit { r#type: "RLIMIT_CPU".into(), soft: n(), hard: n() };
            top(ContainerAdjustment { rlimits: vec![limit], ..Default::default() })
        }
        Field::CdiDevices => {
            let device = CdiDevice { name: "a.b/c=d".into() };
            top(ContainerAdjustment { cdi_devices: vec![device], ..Default::default() })
        }
        Field::Devices => {
            let device = LinuxDevice {
                path: "/dev/d".into(),
                r#type: "c".into(),
                major: 7,
                minor: number.into(),
                ..Default::default()
            };
            linux(LinuxContainerAdjustment { devices: vec![device], ..Default::default() })
        }
        Field::CgroupsPath => {
            linux(LinuxContainerAdjustment { cgroups_path: format!("/{number}"), ..Default::default() })
        }
        Field::OomScoreAdj => linux(LinuxContainerAdjustment {
            oom_score_adj: Some(i64::from(number).into()),
            ..Default::default()
        }),
        Field::IoPriority => linux(LinuxContainerAdjustment {
            io_priority: Some(LinuxIoPriority {
                class: IoPrioClass::IoprioClassBe as i32,
                priority: i32::try_from(number).unwrap(),
            }),
            ..Default::default()
        }),
        Field::Seccomp => linux(LinuxContainerAdjustment {
            seccomp_policy: Some(LinuxSeccomp {
                default_action: if number == 1 { "SCMP_ACT_ALLOW" } else { "SCMP_ACT_ERRNO" }.into(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        Field::Namespaces => linux(LinuxContainerAdjustment {
            namespaces: vec![LinuxNamespace { r#type: "ipc".into(), path: format!("/{number}") }],
            ..Default::default()
        }),
        Field::Sysctl => linux(LinuxContainerAdjustment {
            sysctl: [("kernel.x".to_owned(), number.to_string())].into(),
            ..Default::default()
        }),
        Field::NetDevices => linux(LinuxContainerAdjustment {
            net_devices: [("eth0".to_owned(), LinuxNetDevice { name: text() })].into(),
            ..Default::default()
        }),
        Field::Scheduler => linux(LinuxContainerAdjustment {
            scheduler: Some(LinuxScheduler {
                policy: LinuxSchedulerPolicy::SchedBatch as i32,
                nice: i32::try_from(number).unwrap(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        Field::MemoryPolicy => linux(LinuxContainerAdjustment {
            memory_policy: Some(LinuxMemoryPolicy {
                mode: MpolMode::MpolBind as i32,
                nodes: number.to_string(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        Field::RdtClosId => rdt(LinuxRdt { clos_id: Some(text().into()), ..Default::default() }),
        Field::RdtSchemata => rdt(LinuxRdt {
            schemata: Some(OptionalRepeatedString { value: vec![text()] }),
            ..Default::default()
        }),
        Field::RdtMonitoring => {
            rdt(LinuxRdt { enable_monitoring: Some((number == 1).into()), ..Default::default() })
        }
        Field::RdtRemove => rdt(LinuxRdt { remove: true, ..Default::default() }),
        Field::MemoryLimit => {
            memory(LinuxMemory { limit: Some(i64::from(number).into()), ..Default::default() })
        }
        Field::MemoryReservation => {
            memory(LinuxMemory { reservation: Some(i64::from(number).into()), ..Default::default() })
        }
        Field::MemorySwap => {
            memory(LinuxMemory { swap: Some(i64::from(number).into()), ..Default::default() })
        }
        Field::MemoryKernel => {
            memory(LinuxMemory { kernel: Some(i64::from(number).into()), ..Default::default() })
        }
        Field::MemoryKernelTcp => {
            memory(LinuxMemory { kernel_tcp: Some(i64::from(number).into()), ..Default::default() })
        }
        Field::MemorySwappiness => memory(LinuxMemory { swappiness: Some(n().into()), ..Default::default() }),
        Field::MemoryDisableOomKiller => {
            memory(LinuxMemory { disable_oom_killer: Some((number == 1).into()), ..Default::default() })
        }
        Field::MemoryUseHierarchy => {
            memory(LinuxMemory { use_hierarchy: Some((number == 1).into()), ..Default::default() })
        }
        Field::CpuShares => cpu(LinuxCpu { shares: Some(n().into()), ..Default::default() }),
        Field::CpuQuota => cpu(LinuxCpu { quota: Some(i64::from(number).into()), ..Default::default() }),
        Field::CpuPeriod => cpu(LinuxCpu { period: Some(n().into()), ..Default::default() }),
        Field::CpuRealtimeRuntime => {
            cpu(LinuxCpu { realtime_runtime: Some(i64::from(number).into()), ..Default::default() })
        }
        Field::CpuRealtimePeriod => cpu(LinuxCpu { realtime_period: Some(n().into()), ..Default::default() }),
        Field::CpuCpus => cpu(LinuxCpu { cpus: number.to_string(), ..Default::default() }),
        Field::CpuMems => cpu(LinuxCpu { mems: number.to_string(), ..Default::default() }),
        Field::PidsLimit => {
            resources(LinuxResources { pids: Some(LinuxPids { limit: number.into() }), ..Default::default() })
        }
        Field::Hugepages => resources(LinuxResources {
            hugepage_limits: vec![HugepageLimit { page_size: "2MB".into(), limit: n() }],
            ..Default::default()
        }),
        Field::BlockioClass => {
            resources(LinuxResources { blockio_class: Some(text().into()), ..Default::default() })
        }
        Field::RdtClass => resources(LinuxResources { rdt_class: Some(text().into()), ..Default::default() }),
        Field::Unified => resources(LinuxResources {
            unified: [("memory.high".to_owned(), number.to_string())].into(),
            ..Default::default()
        }),
        Field::DeviceCgroup => resources(LinuxResources {
            devices: vec![LinuxDeviceCgroup { allow: true, r#type: "c".into(), ..Default::default() }],
            ..Default::default()
        }),
    }
}

/// The resources of a sample as an update, if it has any that updates carry.
pub(super) fn update(field: Field, id: &str) -> Option<ContainerUpdate> {
    let resources = adjustment(field, 1)?.linux?.resources?;
    let linux = LinuxContainerUpdate { resources: Some(resources) };
    let update = ContainerUpdate { container_id: id.into(), linux: Some(linux), ..Default::default() };
    (!nri_wire::field::update(&update).is_empty()).then_some(update)
}

/// A container that has what an adjustment sets.
fn container(adjust: &ContainerAdjustment) -> Option<Container> {
    let linux = adjust.linux.clone().unwrap_or_default();
    if linux.memory_policy.is_some() || adjust.hooks.is_some() || !adjust.cdi_devices.is_empty() {
        return None;
    }
    if linux.resources.as_ref().is_some_and(|resources| !resources.devices.is_empty()) {
        return None;
    }
    Some(Container {
        annotations: adjust.annotations.clone(),
        mounts: adjust.mounts.clone(),
        env: adjust.env.iter().map(|kv| format!("{}={}", kv.key, kv.value)).collect(),
        args: adjust.args.clone(),
        rlimits: adjust.rlimits.clone(),
        linux: Some(LinuxContainer {
            namespaces: linux.namespaces,
            devices: linux.devices,
            resources: linux.resources,
            oom_score_adj: linux.oom_score_adj,
            cgroups_path: linux.cgroups_path,
            io_priority: linux.io_priority,
            seccomp_profile: linux
                .seccomp_policy
                .as_ref()
                .map(|_| SecurityProfile { profile_type: 2, ..Default::default() }),
            seccomp_policy: linux.seccomp_policy,
            sysctl: linux.sysctl,
            net_devices: linux.net_devices,
            scheduler: linux.scheduler,
            rdt: linux.rdt.map(|rdt| LinuxRdt { remove: false, ..rdt }),
        }),
        ..Default::default()
    })
}

/// What takes the value of a sample away.
fn removal(field: Field) -> Option<ContainerAdjustment> {
    let mut adjust = adjustment(field, 2)?;
    let linux = adjust.linux.get_or_insert_default();
    match field {
        Field::Annotations => adjust.annotations = [("-k".to_owned(), String::new())].into(),
        Field::Mounts => adjust.mounts = vec![Mount { destination: "-/d".into(), ..Default::default() }],
        Field::Env => adjust.env = vec![KeyValue { key: "-K".into(), value: String::new() }],
        Field::Devices => linux.devices = vec![LinuxDevice { path: "-/dev/d".into(), ..Default::default() }],
        Field::Namespaces => {
            linux.namespaces = vec![LinuxNamespace { r#type: "-ipc".into(), path: String::new() }];
        }
        Field::Sysctl => linux.sysctl = [("-kernel.x".to_owned(), String::new())].into(),
        Field::NetDevices => linux.net_devices = [("-eth0".to_owned(), LinuxNetDevice::default())].into(),
        Field::IoPriority => linux.io_priority = Some(LinuxIoPriority::default()),
        Field::Scheduler => linux.scheduler = Some(LinuxScheduler::default()),
        Field::BlockioClass => {
            linux.resources.get_or_insert_default().blockio_class = Some(String::new().into());
        }
        Field::RdtClass => linux.resources.get_or_insert_default().rdt_class = Some(String::new().into()),
        Field::RdtSchemata => {
            linux.rdt.get_or_insert_default().schemata = Some(OptionalRepeatedString::default());
        }
        Field::RdtRemove => {}
        _ => return None,
    }
    Some(adjust)
}

fn bind() -> Mount {
    Mount { r#type: "bind".into(), ..Default::default() }
}
