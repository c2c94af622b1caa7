//! Built-in sets: what may stand for a MATCH as `"@NAME"` (`policy.md` 3, "Built-in sets").

use nri_wire::api::{LinuxDevice, LinuxDeviceCgroup, Mount};
use nri_wire::field::Value;

use super::glob::Glob;
use super::value::{is_bind, looked_at, mount_type};
use crate::change::Change;
use crate::host::Host;
use crate::path::clean;

/// A built-in set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Set {
    /// Annotation keys that steer runtimes.
    RuntimeControl,
    /// Variables that make programs load other code.
    LoaderInjection,
    /// Mounts that reach what the host lives by.
    HostSensitive,
    /// Mounts that reach a runtime's socket.
    RuntimeSockets,
    /// Devices that reach the host's disks, memory and drivers.
    HostDevices,
    /// Kernel parameters that Kubernetes counts as safe.
    K8sSafe,
}

const RUNTIME_CONTROL: &[&str] = &[
    "run.oci.*",
    "org.systemd.property.*",
    "bundle",
    "org.criu.*",
    "krun.*",
    "module.wasm.*",
    "io.katacontainers.*",
    "*.crio.io",
    "*.crio.io/*",
    "io.kubernetes.cri*",
    "nri-rs/*",
];
const LOADER_INJECTION: &[&str] = &[
    "LD_*",
    "GCONV_PATH",
    "BASH_ENV",
    "ENV",
    "PYTHON*",
    "NODE_OPTIONS",
    "JAVA_TOOL_OPTIONS",
    "PERL5OPT",
    "PERL5LIB",
    "RUBYOPT",
    "RUBYLIB",
    "GLIBC_TUNABLES",
    "PATH",
];
const HOST_SENSITIVE: &[&str] = &[
    "/boot",
    "/dev",
    "/etc",
    "/proc",
    "/root",
    "/sys",
    "/opt/nri",
    "/run/containerd",
    "/run/crio",
    "/run/docker",
    "/run/docker.sock",
    "/run/podman",
    "/run/k3s",
    "/run/nri",
    "/run/nri-engine",
    "/run/systemd",
    "/run/dbus",
    "/var/lib/kubelet",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/crio",
    "/var/lib/docker",
    "/var/lib/rancher",
];
const RUNTIME_SOCKETS: &[&str] = &[
    "/run/containerd",
    "/run/crio",
    "/run/docker",
    "/run/docker.sock",
    "/run/podman",
    "/run/nri",
    "/run/nri-engine",
    "/var/lib/kubelet",
];
/// Types of mounts whose source is no second way to a file of the host.
const MOUNT_TYPES: &[&str] = &["bind", "tmpfs", "mqueue", "devpts", "proc", "sysfs", "cgroup", "cgroup2"];
const HOST_DEVICES: &[&str] = &["b *:*", "c 1:1", "c 1:2", "c 1:4", "c 9:*", "c 10:*", "c 21:*"];
const K8S_SAFE: &[&str] = &[
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

impl Set {
    /// Every set.
    pub const ALL: [Self; 6] = [
        Self::RuntimeControl,
        Self::LoaderInjection,
        Self::HostSensitive,
        Self::RuntimeSockets,
        Self::HostDevices,
        Self::K8sSafe,
    ];

    /// As it stands in policies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RuntimeControl => "@runtime-control",
            Self::LoaderInjection => "@loader-injection",
            Self::HostSensitive => "@host-sensitive",
            Self::RuntimeSockets => "@runtime-sockets",
            Self::HostDevices => "@host-devices",
            Self::K8sSafe => "@k8s-safe",
        }
    }

    /// The set of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|set| set.name() == name)
    }

    /// What it is a set of, for people.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::RuntimeControl => {
                "annotation keys that steer OCI runtimes, and those that the node's runtimes report as potentially unsafe"
            }
            Self::LoaderInjection => "environment variables that make programs load other code",
            Self::HostSensitive => {
                "mounts whose source is, lies below or lies above one of these, bind mounts with a relative source, and mounts \
                 of another type than bind, tmpfs, mqueue, devpts, proc, sysfs, cgroup and cgroup2"
            }
            Self::RuntimeSockets => {
                "mounts whose source is, lies below or lies above one of these, bind mounts with a relative source, and mounts \
                 of another type than bind, tmpfs, mqueue, devpts, proc, sysfs, cgroup and cgroup2"
            }
            Self::HostDevices => {
                "devices and device rules: every block device, the host's memory and ports, misc, tape and SCSI devices, and \
                 rules of these types with a wildcard number"
            }
            Self::K8sSafe => "kernel parameters that Kubernetes counts as safe",
        }
    }

    /// Its members, as far as they can be listed.
    #[must_use]
    pub const fn members(self) -> &'static [&'static str] {
        match self {
            Self::RuntimeControl => RUNTIME_CONTROL,
            Self::LoaderInjection => LOADER_INJECTION,
            Self::HostSensitive => HOST_SENSITIVE,
            Self::RuntimeSockets => RUNTIME_SOCKETS,
            Self::HostDevices => HOST_DEVICES,
            Self::K8sSafe => K8S_SAFE,
        }
    }

    /// Whether a change is in it; for a removal, what goes away.
    #[must_use]
    pub fn contains(self, change: &Change<'_>, host: &dyn Host) -> bool {
        let value = looked_at(change);
        match (self, value) {
            (Self::RuntimeControl, _) => steers_runtimes(&change.key, host),
            (Self::LoaderInjection, _) => is_one_of(LOADER_INJECTION, &change.key),
            (Self::K8sSafe, _) => K8S_SAFE.contains(&&*change.key),
            (Self::HostSensitive | Self::RuntimeSockets, Some(Value::Mount(mount))) => {
                reaches(mount, self.members())
            }
            (Self::HostDevices, Some(Value::Device(device))) => is_host_device(device),
            (Self::HostDevices, Some(Value::DeviceRule(rule))) => reaches_host_devices(rule),
            _ => false,
        }
    }
}

/// Whether an annotation with this key steers an OCI runtime.
#[must_use]
pub fn steers_runtimes(key: &str, host: &dyn Host) -> bool {
    let reported = |name: &String| match name.strip_suffix('.') {
        Some(prefix) => key.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.')),
        None => key == name,
    };
    is_one_of(RUNTIME_CONTROL, key) || host.unsafe_annotations().iter().any(reported)
}

/// Whether a mount reaches a runtime's socket.
#[must_use]
pub fn reaches_runtime_sockets(mount: &Mount) -> bool {
    reaches(mount, RUNTIME_SOCKETS)
}

fn is_one_of(patterns: &[&str], text: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) if !prefix.contains('*') => text.starts_with(prefix),
        _ => Glob::text(pattern).is_match(text),
    })
}

fn reaches(mount: &Mount, places: &[&str]) -> bool {
    if !MOUNT_TYPES.contains(&mount_type(mount)) {
        return true;
    }
    if !mount.source.starts_with('/') {
        return is_bind(mount);
    }
    let source = clean(&mount.source);
    places.iter().any(|place| is_below(&source, place) || is_below(place, &source))
}

/// Whether a clean path is another one or lies below it.
fn is_below(path: &str, folder: &str) -> bool {
    folder == "/" || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_host_device(device: &LinuxDevice) -> bool {
    match device.r#type.as_str() {
        "b" => true,
        "c" | "u" => matches!((device.major, device.minor), (1, 1 | 2 | 4) | (9 | 10 | 21, _)),
        _ => false,
    }
}

fn reaches_host_devices(rule: &LinuxDeviceCgroup) -> bool {
    let number = |n: Option<i64>| n.filter(|n| *n >= 0);
    let (major, minor) =
        (number(rule.major.as_ref().map(|n| n.value)), number(rule.minor.as_ref().map(|n| n.value)));
    match (rule.r#type.as_str(), major, minor) {
        ("c", Some(major), Some(minor)) => matches!((major, minor), (1, 1 | 2 | 4) | (9 | 10 | 21, _)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use nri_wire::field::Field;

    use super::*;
    use crate::change::{Op, Place, Subject};
    use crate::host::NoHost;

    fn change<'a>(field: Field, key: &'a str, value: Value<'a>) -> Change<'a> {
        Change {
            place: Place::Adjustment,
            subject: Subject::Field(field),
            key: key.into(),
            op: Op::Add,
            before: None,
            after: Some(value),
            client: None,
            entry: 0,
            line: None,
        }
    }

    #[test]
    fn keys() {
        for (set, field, key, expect) in [
            (Set::RuntimeControl, Field::Annotations, "run.oci.handler", true),
            (Set::RuntimeControl, Field::Annotations, "run.ocix", false),
            (Set::RuntimeControl, Field::Annotations, "bundle", true),
            (Set::RuntimeControl, Field::Annotations, "bundles", false),
            (Set::RuntimeControl, Field::Annotations, "io.kubernetes.cri-o.userns-mode", true),
            (Set::RuntimeControl, Field::Annotations, "io.kubernetes.cri.sandbox-id", true),
            (Set::RuntimeControl, Field::Annotations, "io.kubernetes.pod.name", false),
            (Set::RuntimeControl, Field::Annotations, "irq-load-balancing.crio.io", true),
            (Set::RuntimeControl, Field::Annotations, "a.crio.io/x", true),
            (Set::RuntimeControl, Field::Annotations, "crio.io", false),
            (Set::RuntimeControl, Field::Annotations, "nri-rs/provenance", true),
            (Set::RuntimeControl, Field::Annotations, "RUN.OCI.x", false),
            (Set::LoaderInjection, Field::Env, "LD_PRELOAD", true),
            (Set::LoaderInjection, Field::Env, "PYTHONPATH", true),
            (Set::LoaderInjection, Field::Env, "PATH", true),
            (Set::LoaderInjection, Field::Env, "GOPATH", false),
            (Set::K8sSafe, Field::Sysctl, "net.ipv4.tcp_rmem", true),
            (Set::K8sSafe, Field::Sysctl, "net.ipv4.tcp_mem", false),
        ] {
            let change = change(field, key, Value::Text(""));
            assert_eq!(set.contains(&change, &NoHost), expect, "{} {key}", set.name());
        }
    }

    /// What a node's runtimes report counts by name, or by what it begins with.
    #[test]
    fn reported_annotations() {
        #[derive(Debug)]
        struct Reports([String; 2]);
        impl Host for Reports {
            fn unsafe_annotations(&self) -> &[String] {
                &self.0
            }
        }
        let host = Reports(["a.b".to_owned(), "c.".to_owned()]);
        for (key, expect) in [("a.b", true), ("a.b.c", false), ("c.x", true), ("c", false), ("cx", false)] {
            assert_eq!(steers_runtimes(key, &host), expect, "{key}");
        }
    }

    #[test]
    fn mounts() {
        for (kind, source, options, sensitive, socket) in [
            ("bind", "/", &["rbind"][..], true, true),
            ("bind", "/run", &[], true, true),
            ("bind", "/var", &[], true, true),
            ("bind", "/var/run/containerd/containerd.sock", &[], true, true),
            ("bind", "/etc", &[], true, false),
            ("bind", "/etcetera", &[], false, false),
            ("bind", "/usr/../etc/x", &[], true, false),
            ("bind", "/var/lib/kubelet/pods", &[], true, true),
            ("bind", "/usr/lib", &[], false, false),
            ("bind", "usr/lib", &[], true, true),
            ("", "usr/lib", &["bind"], true, true),
            ("none", "/usr/lib", &["rbind"], false, false),
            ("none", "/usr/lib", &[], true, true),
            ("tmpfs", "tmpfs", &[], false, false),
            ("proc", "proc", &[], false, false),
            ("overlay", "overlay", &[], true, true),
            ("nfs", "server:/x", &[], true, true),
        ] {
            let mount = Mount {
                destination: "/d".into(),
                r#type: kind.into(),
                source: source.into(),
                options: options.iter().map(|&o| o.to_owned()).collect(),
            };
            let change = change(Field::Mounts, "/d", Value::Mount(&mount));
            let found = [Set::HostSensitive, Set::RuntimeSockets].map(|set| set.contains(&change, &NoHost));
            assert_eq!(found, [sensitive, socket], "{kind} {source}");
        }
    }

    #[test]
    fn devices() {
        for (kind, major, minor, expect) in [
            ("b", 8, 0, true),
            ("c", 1, 1, true),
            ("c", 1, 3, false),
            ("u", 1, 4, true),
            ("c", 10, 200, true),
            ("c", 195, 0, false),
            ("p", 0, 0, false),
        ] {
            let device = LinuxDevice { r#type: kind.into(), major, minor, ..Default::default() };
            let change = change(Field::Devices, "/dev/x", Value::Device(&device));
            assert_eq!(Set::HostDevices.contains(&change, &NoHost), expect, "{kind} {major}:{minor}");
        }
        for (kind, major, minor, expect) in [
            ("c", Some(195), Some(0), false),
            ("c", Some(195), None, true),
            ("c", None, Some(3), true),
            ("c", Some(195), Some(-1), true),
            ("c", Some(10), Some(200), true),
            ("b", Some(8), Some(0), true),
            ("a", Some(195), Some(0), true),
            ("", None, None, true),
        ] {
            let rule = LinuxDeviceCgroup {
                r#type: kind.into(),
                major: major.map(Into::into),
                minor: minor.map(Into::into),
                ..Default::default()
            };
            let change = change(Field::DeviceCgroup, "", Value::DeviceRule(&rule));
            assert_eq!(Set::HostDevices.contains(&change, &NoHost), expect, "{kind} {major:?}:{minor:?}");
        }
    }
}
