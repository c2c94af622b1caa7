//! What an OCI runtime ignores in silence: such a field is in the spec and has no effect, which people have to be told.
//!
//! Two sources, the runtime's own word first: its `features` (runtime-spec `features.md`), and what is known of the
//! released versions (changelogs of runc and crun; runc 1.1.5 and crun 1.8.1 looked at). A runtime of which neither is known is taken at its
//! best. What a runtime refuses with an error, as runc before 1.2 does a time namespace, is not of this kind.

use std::fmt;

use nri_wire::api::{ContainerAdjustment, MpolMode};
use nri_wire::field::{self, Entry, Field};
use serde_json::Value;

/// An OCI runtime, as far as it matters what it ignores.
#[derive(Clone, Debug)]
pub struct OciRuntime {
    name: String,
    version: String,
    features: Option<Value>,
}

impl OciRuntime {
    /// By the name of the program and the version that it prints (`runc`, `1.1.5+ds1`).
    #[must_use]
    pub fn new(name: &str, version: &str) -> Self {
        Self { name: name.to_owned(), version: version.to_owned(), features: None }
    }

    /// With the JSON that its `features` verb prints.
    #[must_use]
    pub fn with_features(mut self, features: Value) -> Self {
        self.features = Some(features);
        self
    }

    fn ignores(&self, entry: &Entry<'_>) -> bool {
        match self.features.as_ref().and_then(|features| listed(features, entry)) {
            Some(known) => !known,
            None => self.since(entry.field).is_some_and(|since| match since {
                Since::Version(first) => version(&self.version).is_some_and(|ours| ours < first),
                Since::After(last) => version(&self.version).is_some_and(|ours| ours <= last),
                Since::Never => true,
            }),
        }
    }

    fn since(&self, field: Field) -> Option<Since> {
        KNOWN.iter().find(|known| known.field == field).and_then(|known| match self.name.as_str() {
            "runc" => known.runc,
            "crun" => known.crun,
            _ => None,
        })
    }
}

impl fmt::Display for OciRuntime {
    /// Name and version, without what a distribution adds to it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version.split('+').next().unwrap_or_default();
        write!(f, "{} {version}", self.name)
    }
}

/// A field that is in the spec and that the runtime ignores.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Carried {
    /// The field.
    pub field: Field,
    /// The runtime, with its version.
    pub runtime: String,
}

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: carried, not applied by {}", self.field, self.runtime)
    }
}

/// The adjusted fields that a runtime ignores, each once. Removals are applied by everyone.
///
/// ```
/// use nri_runtime::oci::{OciRuntime, carried};
/// use nri_wire::api::{ContainerAdjustment, LinuxContainerAdjustment, LinuxScheduler};
///
/// let scheduler = Some(LinuxScheduler { policy: 3, ..Default::default() });
/// let linux = Some(LinuxContainerAdjustment { scheduler, ..Default::default() });
/// let adjust = ContainerAdjustment { linux, ..Default::default() };
/// let notes = carried(&adjust, &OciRuntime::new("runc", "1.1.5+ds1"));
/// assert_eq!(notes[0].to_string(), "scheduler: carried, not applied by runc 1.1.5");
/// assert!(carried(&adjust, &OciRuntime::new("runc", "1.2.0")).is_empty());
/// ```
#[must_use]
pub fn carried(adjust: &ContainerAdjustment, runtime: &OciRuntime) -> Vec<Carried> {
    let mut notes: Vec<Carried> = Vec::new();
    for entry in field::adjustment(adjust) {
        if sets_something(&entry)
            && notes.iter().all(|note| note.field != entry.field)
            && runtime.ignores(&entry)
        {
            notes.push(Carried { field: entry.field, runtime: runtime.to_string() });
        }
    }
    notes
}

fn sets_something(entry: &Entry<'_>) -> bool {
    match &entry.value {
        None | Some(field::Value::Text("") | field::Value::Lines([])) => false,
        Some(field::Value::Scheduler(scheduler)) => scheduler.policy != 0,
        Some(field::Value::IoPriority(priority)) => priority.class != 0,
        Some(_) => true,
    }
}

/// From when on a field is applied.
#[derive(Clone, Copy)]
enum Since {
    /// From this version on.
    Version(Version),
    /// Not up to this version; which of the later ones was the first is for `features` to say.
    After(Version),
    /// In no version.
    Never,
}

/// Major, minor, patch, and false for a pre-release, which comes before the release.
type Version = (u64, u64, u64, bool);

struct Known {
    field: Field,
    runc: Option<Since>,
    crun: Option<Since>,
}

/// Fields that not every version applies; `None` is "all versions".
const KNOWN: [Known; 9] = {
    const RUNC_1_2: Option<Since> = Some(Since::Version((1, 2, 0, false)));
    const RUNC_1_4: Option<Since> = Some(Since::Version((1, 4, 0, false)));
    // Its changelog up to 1.18.2 does not speak of runtime-spec 1.3.
    const CRUN_SPEC_1_3: Option<Since> = Some(Since::After((1, 18, 2, true)));
    [
        Known { field: Field::Scheduler, runc: RUNC_1_2, crun: Some(Since::Version((1, 8, 5, true))) },
        Known { field: Field::IoPriority, runc: RUNC_1_2, crun: Some(Since::Version((1, 8, 6, true))) },
        Known { field: Field::NetDevices, runc: RUNC_1_4, crun: CRUN_SPEC_1_3 },
        Known { field: Field::MemoryPolicy, runc: RUNC_1_4, crun: CRUN_SPEC_1_3 },
        Known { field: Field::RdtSchemata, runc: RUNC_1_4, crun: CRUN_SPEC_1_3 },
        Known { field: Field::RdtMonitoring, runc: RUNC_1_4, crun: CRUN_SPEC_1_3 },
        Known { field: Field::RdtClosId, runc: None, crun: Some(Since::Version((1, 10, 0, true))) },
        // "Kernel memory settings are ignored and will be removed."
        Known { field: Field::MemoryKernel, runc: Some(Since::Never), crun: None },
        Known { field: Field::MemoryKernelTcp, runc: Some(Since::Never), crun: None },
    ]
};

/// What the features say of an entry: whether it is applied, or nothing.
fn listed(features: &Value, entry: &Entry<'_>) -> Option<bool> {
    let linux = features.get("linux")?;
    let enabled = |pointer| linux.pointer(pointer).and_then(Value::as_bool).unwrap_or(false);
    match entry.field {
        Field::NetDevices => Some(enabled("/netDevices/enabled")),
        Field::RdtSchemata => Some(enabled("/intelRdt/schemata")),
        Field::RdtMonitoring => Some(enabled("/intelRdt/monitoring")),
        Field::MemoryPolicy => {
            let Some(field::Value::MemoryPolicy(policy)) = entry.value else { return None };
            let name = MpolMode::try_from(policy.mode).ok()?.as_str_name();
            let modes = linux.pointer("/memoryPolicy/modes").and_then(Value::as_array);
            Some(modes.is_some_and(|modes| modes.iter().any(|mode| mode == name)))
        }
        // They have no entry of their own; runtime-spec 1.1.0 brought both.
        Field::Scheduler | Field::IoPriority => {
            let highest = features.get("ociVersionMax")?.as_str()?;
            Some(version(highest)? >= (1, 1, 0, true))
        }
        _ => None,
    }
}

fn version(text: &str) -> Option<Version> {
    let text = text.trim().trim_start_matches('v');
    let text = text.split('+').next()?;
    let (numbers, release) = match text.split_once('-') {
        Some((numbers, _)) => (numbers, false),
        None => (text, true),
    };
    let mut numbers = numbers.split('.').map(|number| number.parse().ok());
    let (major, minor) = (numbers.next()??, numbers.next()??);
    let patch = numbers.next().unwrap_or(Some(0))?;
    Some((major, minor, patch, release))
}

#[cfg(test)]
mod tests {
    use nri_wire::api::{
        LinuxContainerAdjustment, LinuxIoPriority, LinuxMemory, LinuxMemoryPolicy, LinuxNetDevice, LinuxRdt,
        LinuxResources, LinuxScheduler,
    };
    use serde_json::json;

    use super::*;

    fn adjust() -> ContainerAdjustment {
        let memory = LinuxMemory { limit: Some(1.into()), kernel: Some(1.into()), ..Default::default() };
        let linux = LinuxContainerAdjustment {
            scheduler: Some(LinuxScheduler { policy: 1, ..Default::default() }),
            io_priority: Some(LinuxIoPriority { class: 1, priority: 0 }),
            net_devices: ["a", "b"].map(|name| (name.to_owned(), LinuxNetDevice::default())).into(),
            memory_policy: Some(LinuxMemoryPolicy { mode: 2, ..Default::default() }),
            rdt: Some(LinuxRdt { clos_id: Some("c".to_owned().into()), ..Default::default() }),
            resources: Some(LinuxResources { memory: Some(memory), ..Default::default() }),
            ..Default::default()
        };
        ContainerAdjustment { linux: Some(linux), args: vec!["x".to_owned()], ..Default::default() }
    }

    fn names(adjust: &ContainerAdjustment, runtime: &OciRuntime) -> Vec<&'static str> {
        carried(adjust, runtime).iter().map(|note| note.field.name()).collect()
    }

    #[test]
    fn by_version() {
        let (kernel, rdt) = ("memory.kernel", "rdt.closId");
        let (io, net, sched, policy) = ("ioPriority", "netDevices", "scheduler", "memoryPolicy");
        for (name, version, expect) in [
            ("runc", "1.1.5+ds1", vec![kernel, io, net, sched, policy]),
            ("runc", "1.2.0-rc.1", vec![kernel, net, policy]),
            ("runc", "1.4.3", vec![kernel]),
            ("crun", "1.8.1", vec![io, net, sched, rdt, policy]),
            ("crun", "1.8.5", vec![io, net, rdt, policy]),
            ("crun", "1.18.2", vec![net, policy]),
            ("crun", "1.25", vec![]),
            ("runc", "unknown", vec![kernel]),
            ("youki", "0.1.0", vec![]),
        ] {
            assert_eq!(names(&adjust(), &OciRuntime::new(name, version)), expect, "{name} {version}");
        }
    }

    #[test]
    fn by_features() {
        let features = json!({
            "ociVersionMax": "1.3.0",
            "linux": {"netDevices": {"enabled": true}, "memoryPolicy": {"modes": ["MPOL_BIND"]}},
        });
        let new = OciRuntime::new("crun", "1.8.1").with_features(features);
        assert_eq!(names(&adjust(), &new), ["rdt.closId"]);
        let old = json!({"ociVersionMax": "1.0.2-dev", "linux": {"namespaces": []}});
        let old = OciRuntime::new("other", "2").with_features(old);
        assert_eq!(names(&adjust(), &old), ["ioPriority", "netDevices", "scheduler", "memoryPolicy"]);
    }

    #[test]
    fn removals_are_applied_by_all() {
        let linux = LinuxContainerAdjustment {
            scheduler: Some(LinuxScheduler::default()),
            io_priority: Some(LinuxIoPriority::default()),
            net_devices: [("-a".to_owned(), LinuxNetDevice::default())].into(),
            ..Default::default()
        };
        let adjust = ContainerAdjustment { linux: Some(linux), ..Default::default() };
        assert!(carried(&adjust, &OciRuntime::new("runc", "1.0.0")).is_empty());
    }
}
