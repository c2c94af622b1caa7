//! CONF-037 to 068.

use nri_wire::api::*;

use crate::merge::strip::Strip as _;

fn linux(linux: LinuxContainerAdjustment) -> ContainerAdjustment {
    ContainerAdjustment { linux: Some(linux), ..Default::default() }
}

/// An adjustment with one part, that says something, and the same with the part there but empty.
fn rows() -> Vec<(&'static str, ContainerAdjustment, &'static str, ContainerAdjustment)> {
    let empty = ContainerAdjustment::default;
    let none = || linux(LinuxContainerAdjustment::default());
    let map = || [("k".to_owned(), String::new())].into();
    macro_rules! row {
        ($full:literal, $blank:literal, $($member:ident).+ = $value:expr, $empty:expr) => {{
            let (mut full, mut blank) = (linux_if!($($member).+), linux_if!($($member).+));
            set!(full, $($member).+ = $value);
            set!(blank, $($member).+ = $empty);
            ($full, full, $blank, blank)
        }};
    }
    macro_rules! linux_if {
        (linux . $($rest:ident).+) => {
            none()
        };
        ($member:ident) => {
            empty()
        };
    }
    macro_rules! set {
        ($adjust:ident, linux . $member:ident = $value:expr) => {
            $adjust.linux.get_or_insert_default().$member = $value
        };
        ($adjust:ident, $member:ident = $value:expr) => {
            $adjust.$member = $value
        };
    }
    vec![
        row!("CONF-037", "CONF-053", annotations = map(), Default::default()),
        row!("CONF-038", "CONF-054", mounts = vec![Mount::default()], vec![]),
        row!(
            "CONF-039",
            "CONF-055",
            hooks = Some(Hooks { poststop: vec![Hook::default()], ..Default::default() }),
            Some(Hooks::default())
        ),
        row!("CONF-040", "CONF-056", rlimits = vec![PosixRlimit::default()], vec![]),
        row!("CONF-041", "CONF-057", cdi_devices = vec![CdiDevice::default()], vec![]),
        row!("CONF-042", "CONF-058", args = vec![String::new()], vec![]),
        row!("CONF-043", "CONF-059", linux.devices = vec![LinuxDevice::default()], vec![]),
        row!(
            "CONF-044",
            "CONF-060",
            linux.resources =
                Some(LinuxResources { pids: Some(LinuxPids { limit: 1 }), ..Default::default() }),
            Some(LinuxResources {
                memory: Some(LinuxMemory::default()),
                cpu: Some(LinuxCpu::default()),
                ..Default::default()
            })
        ),
        row!("CONF-045", "CONF-061", linux.cgroups_path = "/c".into(), String::new()),
        row!("CONF-046", "CONF-061", linux.oom_score_adj = Some(0.into()), None),
        row!(
            "CONF-047",
            "CONF-062",
            linux.io_priority = Some(LinuxIoPriority { class: 1, priority: 0 }),
            Some(LinuxIoPriority::default())
        ),
        row!(
            "CONF-048",
            "CONF-063",
            linux.seccomp_policy = Some(LinuxSeccomp { default_errno: Some(0.into()), ..Default::default() }),
            Some(LinuxSeccomp::default())
        ),
        row!("CONF-049", "CONF-064", linux.namespaces = vec![LinuxNamespace::default()], vec![]),
        row!("CONF-050", "CONF-065", linux.sysctl = map(), Default::default()),
        row!(
            "CONF-051",
            "CONF-066",
            linux.net_devices = [("-e".to_owned(), LinuxNetDevice::default())].into(),
            Default::default()
        ),
        row!(
            "CONF-052",
            "CONF-067",
            linux.scheduler = Some(LinuxScheduler { nice: 1, ..Default::default() }),
            Some(LinuxScheduler::default())
        ),
        row!(
            "RDT",
            "RDT empty",
            linux.rdt = Some(LinuxRdt { remove: true, ..Default::default() }),
            Some(LinuxRdt::default())
        ),
        row!(
            "memory policy",
            "memory policy empty",
            linux.memory_policy = Some(LinuxMemoryPolicy { mode: 1, ..Default::default() }),
            Some(LinuxMemoryPolicy::default())
        ),
    ]
}

#[test]
fn adjustments() {
    for (full_id, full, blank_id, blank) in rows() {
        assert_eq!(full.clone().strip(), Some(full), "{full_id}");
        assert_eq!(blank.strip(), None, "{blank_id}");
    }
    let everything = ContainerAdjustment {
        hooks: Some(Hooks::default()),
        linux: Some(LinuxContainerAdjustment {
            resources: Some(LinuxResources { pids: Some(LinuxPids::default()), ..Default::default() }),
            rdt: Some(LinuxRdt::default()),
            ..Default::default()
        }),
        ..Default::default()
    };
    assert_eq!(everything.strip(), None, "CONF-068");
}

#[test]
fn updates() {
    let update = |linux| ContainerUpdate { container_id: "c".into(), linux, ignore_failure: false };
    let empty = LinuxContainerUpdate { resources: Some(LinuxResources::default()) };
    assert_eq!(update(Some(empty)).strip(), Some(update(None)));
    assert_eq!(ContainerUpdate { container_id: String::new(), ..update(None) }.strip(), None);
}
