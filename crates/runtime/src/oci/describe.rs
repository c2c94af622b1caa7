//! From an OCI spec to the message by which plugins know a container.

use nri_wire::api::{
    Container, Hook, Hooks, HugepageLimit, IoPrioClass, LinuxContainer, LinuxCpu, LinuxDevice,
    LinuxDeviceCgroup, LinuxIoPriority, LinuxMemory, LinuxNamespace, LinuxNetDevice, LinuxPids, LinuxRdt,
    LinuxResources, LinuxScheduler, LinuxSchedulerFlag, LinuxSchedulerPolicy, Mount, PosixRlimit, User,
};
use serde_json::Value;

use super::seccomp;
use super::spec::{Node, SpecError};

/// What plugins are told of a container with this spec (`spec/api.md` 2, 14).
///
/// `about` holds what no OCI spec knows: id, pod, name, labels, state, process id, times, image, CDI devices, kind of seccomp
/// profile (in `linux.seccomp_profile`), block I/O and RDT class (in `linux.resources`). All else is taken from the spec, whatever `about`
/// has there.
///
/// A scheduler policy, I/O priority class or scheduler flag that the protocol has no number for is left out: the
/// reference's 0 would be another one.
///
/// # Errors
///
/// [`SpecError`] where the spec has another shape than the OCI specification says, or a number that the protocol
/// cannot carry.
///
/// ```
/// use nri_runtime::oci::describe;
/// use nri_wire::api::Container;
/// use serde_json::json;
///
/// let spec = json!({"process": {"args": ["sleep", "1"], "env": ["A=1"]}});
/// let about = Container { id: "c1".into(), name: "main".into(), ..Default::default() };
/// let container = describe(&spec, about)?;
/// assert_eq!(container.args, ["sleep", "1"]);
/// assert_eq!(container.id, "c1");
/// # Ok::<(), nri_runtime::oci::SpecError>(())
/// ```
pub fn describe(spec: &Value, about: Container) -> Result<Container, SpecError> {
    let root = Node::root(spec)?;
    let process = root.get("process")?;
    let linux = linux(&root, &process, about.linux.unwrap_or_default())?;
    Ok(Container {
        annotations: root.get("annotations")?.members(|text| text.string())?,
        args: process.get("args")?.strings()?,
        env: process.get("env")?.strings()?,
        mounts: root.get("mounts")?.each(mount)?,
        hooks: hooks(root.get("hooks")?)?,
        rlimits: process.get("rlimits")?.each(rlimit)?,
        user: user(process.get("user")?)?,
        linux: Some(linux),
        ..about
    })
}

fn linux(
    root: &Node<'_, '_>,
    process: &Node<'_, '_>,
    about: LinuxContainer,
) -> Result<LinuxContainer, SpecError> {
    let linux = root.get("linux")?;
    let seccomp = linux.get("seccomp")?;
    Ok(LinuxContainer {
        namespaces: linux.get("namespaces")?.each(|namespace| {
            Ok(LinuxNamespace {
                r#type: namespace.get("type")?.string()?,
                path: namespace.get("path")?.string()?,
            })
        })?,
        devices: linux.get("devices")?.each(device)?,
        resources: resources(linux.get("resources")?, about.resources)?,
        oom_score_adj: process.get("oomScoreAdj")?.i64()?.map(Into::into),
        cgroups_path: linux.get("cgroupsPath")?.string()?,
        io_priority: io_priority(process.get("ioPriority")?)?,
        seccomp_profile: about.seccomp_profile,
        seccomp_policy: if seccomp.is_absent() { None } else { Some(seccomp::from_oci(seccomp)?) },
        sysctl: linux.get("sysctl")?.members(|text| text.string())?,
        net_devices: linux
            .get("netDevices")?
            .members(|device| Ok(LinuxNetDevice { name: device.get("name")?.string()? }))?,
        scheduler: scheduler(process.get("scheduler")?)?,
        rdt: rdt(linux.get("intelRdt")?)?,
    })
}

/// The resources of a spec, with the classes that it cannot hold.
fn resources(
    section: Node<'_, '_>,
    about: Option<LinuxResources>,
) -> Result<Option<LinuxResources>, SpecError> {
    let (blockio_class, rdt_class) =
        about.map(|about| (about.blockio_class, about.rdt_class)).unwrap_or_default();
    if section.is_absent() && blockio_class.is_none() && rdt_class.is_none() {
        return Ok(None);
    }
    let pids = section.get("pids")?;
    Ok(Some(LinuxResources {
        memory: memory(section.get("memory")?)?,
        cpu: cpu(section.get("cpu")?)?,
        hugepage_limits: section.get("hugepageLimits")?.each(|limit| {
            Ok(HugepageLimit {
                page_size: limit.get("pageSize")?.string()?,
                limit: limit.get("limit")?.u64()?.unwrap_or_default(),
            })
        })?,
        blockio_class,
        rdt_class,
        unified: section.get("unified")?.members(|text| text.string())?,
        devices: section.get("devices")?.each(|rule| {
            Ok(LinuxDeviceCgroup {
                allow: rule.get("allow")?.bool()?.unwrap_or_default(),
                r#type: rule.get("type")?.string()?,
                major: rule.get("major")?.i64()?.map(Into::into),
                minor: rule.get("minor")?.i64()?.map(Into::into),
                access: rule.get("access")?.string()?,
            })
        })?,
        pids: if pids.is_absent() {
            None
        } else {
            Some(LinuxPids { limit: pids.get("limit")?.i64()?.unwrap_or_default() })
        },
    }))
}

fn memory(section: Node<'_, '_>) -> Result<Option<LinuxMemory>, SpecError> {
    if section.is_absent() {
        return Ok(None);
    }
    Ok(Some(LinuxMemory {
        limit: section.get("limit")?.i64()?.map(Into::into),
        reservation: section.get("reservation")?.i64()?.map(Into::into),
        swap: section.get("swap")?.i64()?.map(Into::into),
        kernel: section.get("kernel")?.i64()?.map(Into::into),
        kernel_tcp: section.get("kernelTCP")?.i64()?.map(Into::into),
        swappiness: section.get("swappiness")?.u64()?.map(Into::into),
        disable_oom_killer: section.get("disableOOMKiller")?.bool()?.map(Into::into),
        use_hierarchy: section.get("useHierarchy")?.bool()?.map(Into::into),
    }))
}

fn cpu(section: Node<'_, '_>) -> Result<Option<LinuxCpu>, SpecError> {
    if section.is_absent() {
        return Ok(None);
    }
    Ok(Some(LinuxCpu {
        shares: section.get("shares")?.u64()?.map(Into::into),
        quota: section.get("quota")?.i64()?.map(Into::into),
        period: section.get("period")?.u64()?.map(Into::into),
        realtime_runtime: section.get("realtimeRuntime")?.i64()?.map(Into::into),
        realtime_period: section.get("realtimePeriod")?.u64()?.map(Into::into),
        cpus: section.get("cpus")?.string()?,
        mems: section.get("mems")?.string()?,
    }))
}

fn mount(mount: Node<'_, '_>) -> Result<Mount, SpecError> {
    Ok(Mount {
        destination: mount.get("destination")?.string()?,
        r#type: mount.get("type")?.string()?,
        source: mount.get("source")?.string()?,
        options: mount.get("options")?.strings()?,
    })
}

fn hooks(section: Node<'_, '_>) -> Result<Option<Hooks>, SpecError> {
    if section.is_absent() {
        return Ok(None);
    }
    let kind = |name| {
        section.get(name)?.each(|hook| {
            Ok(Hook {
                path: hook.get("path")?.string()?,
                args: hook.get("args")?.strings()?,
                env: hook.get("env")?.strings()?,
                timeout: hook.get("timeout")?.i64()?.map(Into::into),
            })
        })
    };
    Ok(Some(Hooks {
        prestart: kind("prestart")?,
        create_runtime: kind("createRuntime")?,
        create_container: kind("createContainer")?,
        start_container: kind("startContainer")?,
        poststart: kind("poststart")?,
        poststop: kind("poststop")?,
    }))
}

fn rlimit(limit: Node<'_, '_>) -> Result<PosixRlimit, SpecError> {
    Ok(PosixRlimit {
        r#type: limit.get("type")?.string()?,
        hard: limit.get("hard")?.u64()?.unwrap_or_default(),
        soft: limit.get("soft")?.u64()?.unwrap_or_default(),
    })
}

fn user(user: Node<'_, '_>) -> Result<Option<User>, SpecError> {
    if user.is_absent() {
        return Ok(None);
    }
    Ok(Some(User {
        uid: user.get("uid")?.u32()?.unwrap_or_default(),
        gid: user.get("gid")?.u32()?.unwrap_or_default(),
        additional_gids: user.get("additionalGids")?.each(|gid| Ok(gid.u32()?.unwrap_or_default()))?,
    }))
}

fn device(device: Node<'_, '_>) -> Result<LinuxDevice, SpecError> {
    Ok(LinuxDevice {
        path: device.get("path")?.string()?,
        r#type: device.get("type")?.string()?,
        major: device.get("major")?.i64()?.unwrap_or_default(),
        minor: device.get("minor")?.i64()?.unwrap_or_default(),
        file_mode: device.get("fileMode")?.u32()?.map(Into::into),
        uid: device.get("uid")?.u32()?.map(Into::into),
        gid: device.get("gid")?.u32()?.map(Into::into),
    })
}

fn io_priority(section: Node<'_, '_>) -> Result<Option<LinuxIoPriority>, SpecError> {
    let class = section.get("class")?.text()?.and_then(IoPrioClass::from_str_name);
    let priority = section.get("priority")?.i32()?.unwrap_or_default();
    Ok(class.map(|class| LinuxIoPriority { class: class.into(), priority }))
}

fn scheduler(section: Node<'_, '_>) -> Result<Option<LinuxScheduler>, SpecError> {
    let Some(policy) = section.get("policy")?.text()?.and_then(LinuxSchedulerPolicy::from_str_name) else {
        return Ok(None);
    };
    let flags = section
        .get("flags")?
        .each(|flag| Ok(flag.text()?.and_then(LinuxSchedulerFlag::from_str_name).map(i32::from)))?;
    Ok(Some(LinuxScheduler {
        policy: policy.into(),
        nice: section.get("nice")?.i32()?.unwrap_or_default(),
        priority: section.get("priority")?.i32()?.unwrap_or_default(),
        flags: flags.into_iter().flatten().collect(),
        runtime: section.get("runtime")?.u64()?.unwrap_or_default(),
        deadline: section.get("deadline")?.u64()?.unwrap_or_default(),
        period: section.get("period")?.u64()?.unwrap_or_default(),
    }))
}

/// Members that are absent stay unset.
fn rdt(section: Node<'_, '_>) -> Result<Option<LinuxRdt>, SpecError> {
    if section.is_absent() {
        return Ok(None);
    }
    let schemata = section.get("schemata")?;
    Ok(Some(LinuxRdt {
        clos_id: section.get("closID")?.text()?.map(|id| id.to_owned().into()),
        schemata: if schemata.is_absent() { None } else { Some(schemata.strings()?.into()) },
        enable_monitoring: section.get("enableMonitoring")?.bool()?.map(Into::into),
        remove: false,
    }))
}
