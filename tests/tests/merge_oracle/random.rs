//! Random answers of one to four plugins, and why the reference may do something else with them.

use std::collections::{BTreeMap, BTreeSet};

use nri_tests::merge::Case;
use nri_tests::proto;
use nri_wire::api::{
    CdiDevice, ContainerAdjustment, ContainerUpdate, CreateContainerResponse, Hook, Hooks, HugepageLimit,
    KeyValue, LinuxContainerAdjustment, LinuxContainerUpdate, LinuxCpu, LinuxDevice, LinuxMemory,
    LinuxNamespace, LinuxNetDevice, LinuxPids, LinuxRdt, LinuxResources, Mount, PosixRlimit,
};
use nri_wire::field::{self, Entry, Field};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::Value as Json;

/// The plugins of random cases, in calling order.
const PLUGINS: [&str; 4] = ["00-a", "10-b", "20-c", "30-d"];

/// A random creation.
pub(crate) fn creation() -> impl Strategy<Value = (Case, Vec<CreateContainerResponse>)> {
    vec(answer(), 1..=PLUGINS.len()).prop_map(|answers| {
        let listed: Vec<(&str, Json)> =
            PLUGINS.into_iter().zip(&answers).map(|(plugin, answer)| (plugin, proto::json(answer))).collect();
        (Case::create("random", &listed, Json::Null), answers)
    })
}

/// Why the reference may do something else, by quirk id; empty: it must do the same.
#[must_use]
pub(crate) fn reasons(answers: &[CreateContainerResponse]) -> BTreeSet<&'static str> {
    let mut reasons = BTreeSet::new();
    let mut history: BTreeMap<(Field, String), Vec<Touch>> = BTreeMap::new();
    let mut updated = BTreeMap::new();
    for (n, answer) in answers.iter().enumerate() {
        let mut touched: BTreeMap<(Field, String), Touch> = BTreeMap::new();
        for entry in answer.adjust.iter().flat_map(field::adjustment) {
            touched.entry((owned(&entry), entry.key.to_owned())).or_default().add(&entry);
            let is_map = matches!(entry.field, Field::Annotations | Field::Sysctl | Field::NetDevices);
            if is_map && entry.value.is_none() && n + 1 < answers.len() {
                // Later plugins see that it is gone.
                reasons.insert("D2");
            }
        }
        for (key, touch) in touched {
            history.entry(key).or_default().push(touch);
        }
        for update in &answer.update {
            let dropped_before = updated.insert(update.container_id.clone(), update.ignore_failure).is_some();
            if update.ignore_failure && (dropped_before || has_doubled_pages(update)) {
                reasons.insert("D5");
            }
            if update.linux.as_ref().and_then(|l| l.resources.as_ref()).is_some_and(|r| r.pids.is_some()) {
                reasons.insert("D4");
            }
        }
    }
    for ((field, key), touches) in &history {
        reasons.extend(reason(*field, key, touches));
    }
    reasons
}

/// How one answer touches one key.
#[derive(Clone, Copy, Default)]
struct Touch {
    marks: bool,
    sets: bool,
    times: usize,
}

impl Touch {
    fn add(&mut self, entry: &Entry<'_>) {
        self.marks |= entry.value.is_none();
        self.sets |= entry.value.is_some();
        self.times += 1;
    }

    const fn only_marks(self) -> bool {
        self.marks && !self.sets
    }
}

/// The three settings of RDT are taken together.
fn owned(entry: &Entry<'_>) -> Field {
    match entry.field {
        Field::RdtSchemata | Field::RdtMonitoring | Field::RdtRemove => Field::RdtClosId,
        field => field,
    }
}

fn reason(field: Field, key: &str, touches: &[Touch]) -> Option<&'static str> {
    let alone = touches.iter().position(|touch| touch.only_marks());
    match field {
        // A key that looks like a mark of another.
        _ if key.starts_with('-') && touches.iter().any(|t| t.marks) => Some("correction 6"),
        Field::Env if key.contains('=') => Some("a name with '='"),
        Field::Env | Field::Devices if alone.is_some() => Some("D1"),
        Field::Annotations | Field::Sysctl | Field::NetDevices if alone.is_some_and(|n| n > 0) => Some("D2"),
        Field::Mounts if alone.is_some() && touches.len() > 1 => Some("D9"),
        Field::Namespaces
            if touches.iter().any(|t| t.marks) && touches.iter().map(|t| t.times).sum::<usize>() > 1 =>
        {
            Some("D10")
        }
        Field::RdtClosId if alone.is_some_and(|n| n + 1 < touches.len()) => Some("D9"),
        _ => None,
    }
}

fn has_doubled_pages(update: &ContainerUpdate) -> bool {
    let limits = update.linux.iter().flat_map(|l| &l.resources).flat_map(|r| &r.hugepage_limits);
    let mut seen = BTreeSet::new();
    limits.into_iter().any(|limit| !seen.insert(&limit.page_size))
}

/// Few keys, so that plugins meet; now and then a mark, a mark of a mark, a name that is none.
fn key() -> impl Strategy<Value = String> + Clone {
    let one_of = |keys: &'static [&'static str]| prop::sample::select(keys).prop_map(str::to_owned);
    prop_oneof![
        40 => one_of(&["a", "b", "c", "d", "e", "f", "original"]),
        4 => one_of(&["-a", "-b", "-c", "-original"]),
        1 => one_of(&["--a", "x=y"]),
    ]
}

/// Marks carry no values.
fn entry() -> impl Strategy<Value = (String, String)> + Clone {
    (key(), text())
        .prop_map(|(key, text)| if key.starts_with('-') { (key, String::new()) } else { (key, text) })
}

fn entries() -> impl Strategy<Value = BTreeMap<String, String>> {
    vec(entry(), 0..3).prop_map(|entries| entries.into_iter().collect())
}

fn text() -> impl Strategy<Value = String> + Clone {
    prop::sample::select(vec!["", "1", "two", "three"]).prop_map(str::to_owned)
}

prop_compose! {
    fn resources()(
        limit in prop::option::weighted(0.2, -1i64..3),
        shares in prop::option::weighted(0.2, 0u64..3),
        cpus in prop_oneof![4 => Just(String::new()), 1 => text()],
        pids in prop::option::weighted(0.05, -1i64..3),
        pages in vec((text(), 0u64..3), 0..2),
        unified in btree_map(key(), text(), 0..2),
        class in prop::option::weighted(0.2, text()),
    ) -> LinuxResources {
        LinuxResources {
            memory: limit.map(|n| LinuxMemory { limit: Some(n.into()), ..Default::default() }),
            cpu: Some(LinuxCpu { shares: shares.map(Into::into), cpus, ..Default::default() }),
            hugepage_limits: pages.into_iter().map(|(page_size, limit)| HugepageLimit { page_size, limit }).collect(),
            blockio_class: class.map(Into::into),
            unified,
            pids: pids.map(|limit| LinuxPids { limit }),
            ..Default::default()
        }
    }
}

prop_compose! {
    fn linux()(
        devices in vec(key(), 0..3),
        resources in prop::option::of(resources()),
        cgroups_path in prop_oneof![6 => Just(String::new()), 1 => text()],
        score in prop::option::weighted(0.1, -1i64..2),
        namespaces in vec(entry(), 0..3),
        sysctl in entries(),
        nets in entries(),
        rdt in prop::option::weighted(0.2, (prop::option::of(text()), prop::option::of(vec(text(), 0..2)), any::<bool>())),
    ) -> LinuxContainerAdjustment {
        LinuxContainerAdjustment {
            devices: devices.into_iter().map(|path| LinuxDevice { path, ..Default::default() }).collect(),
            resources,
            cgroups_path,
            oom_score_adj: score.map(Into::into),
            namespaces: namespaces.into_iter().map(|(r#type, path)| LinuxNamespace { r#type, path }).collect(),
            sysctl,
            net_devices: nets.into_iter().map(|(key, name)| (key, LinuxNetDevice { name })).collect(),
            rdt: rdt.map(|(class, lines, remove)| LinuxRdt {
                clos_id: class.map(Into::into),
                schemata: lines.map(Into::into),
                enable_monitoring: None,
                remove,
            }),
            ..Default::default()
        }
    }
}

prop_compose! {
    fn adjustment()(
        annotations in entries(),
        mounts in vec(entry(), 0..3),
        env in vec(entry(), 0..3),
        args in prop_oneof![6 => Just(Vec::new()), 1 => vec(text(), 1..3)],
        hook in prop::option::weighted(0.2, text()),
        linux in prop::option::of(linux()),
        rlimits in vec(key(), 0..2),
        cdi in vec(key(), 0..2),
    ) -> ContainerAdjustment {
        ContainerAdjustment {
            annotations,
            mounts: mounts
                .into_iter()
                .map(|(destination, source)| Mount { destination, source, ..Default::default() })
                .collect(),
            env: env.into_iter().map(|(key, value)| KeyValue { key, value }).collect(),
            args,
            hooks: hook.map(|path| Hooks { prestart: vec![Hook { path, ..Default::default() }], ..Default::default() }),
            linux,
            rlimits: rlimits.into_iter().map(|r#type| PosixRlimit { r#type, hard: 2, soft: 1 }).collect(),
            cdi_devices: cdi.into_iter().map(|name| CdiDevice { name }).collect(),
        }
    }
}

prop_compose! {
    fn update()(
        id in prop::sample::select(vec!["x", "y", "z", "x1", "y1", "z1", "ctr1"]),
        resources in prop::option::weighted(0.8, resources()),
        ignore_failure in prop::bool::weighted(0.2),
    ) -> ContainerUpdate {
        ContainerUpdate { container_id: id.to_owned(), linux: Some(LinuxContainerUpdate { resources }), ignore_failure }
    }
}

prop_compose! {
    fn answer()(
        adjust in prop::option::weighted(0.8, adjustment()),
        update in prop_oneof![3 => Just(Vec::new()), 1 => vec(update(), 1..3)],
    ) -> CreateContainerResponse {
        CreateContainerResponse { adjust, update, evict: Vec::new() }
    }
}
