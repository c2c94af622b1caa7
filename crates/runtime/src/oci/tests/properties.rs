//! Over random adjustments and specs: nothing unrelated is touched, once is enough, plugins see what was set.

use std::collections::{BTreeMap, BTreeSet};

use nri_wire::api::{
    Container, ContainerAdjustment, Hooks, HugepageLimit, LinuxCpu, LinuxDevice, LinuxDeviceCgroup,
    LinuxIoPriority, LinuxMemory, LinuxNamespace, LinuxNetDevice, LinuxPids, LinuxRdt, LinuxResources,
    LinuxScheduler, LinuxSeccomp, LinuxSyscall, Mount, PosixRlimit,
};
use nri_wire::field::{self, Field, Value as FieldValue};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::describe;
use super::{Resolvers, apply, env, hook};

/// Few names, so that they meet; some are removal marks.
fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "-a", "-b", "/x", "-/x", "/x/y"]).prop_map(str::to_owned)
}

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "a", "rslave", "rshared", "é\"\\"]).prop_map(str::to_owned)
}

fn words() -> impl Strategy<Value = Vec<String>> {
    vec(word(), 0..3)
}

fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(key(), word(), 0..4)
}

prop_compose! {
    fn mounts()(list in vec((key(), word(), words()), 0..5)) -> Vec<Mount> {
        list.into_iter()
            .map(|(destination, source, options)| Mount { destination, r#type: String::new(), source, options })
            .collect()
    }
}

prop_compose! {
    fn resources()(
        limit in option::of(any::<i64>()),
        swap in option::of(any::<i64>()),
        shares in option::of(any::<u64>()),
        cpus in word(),
        pids in option::of(any::<i64>()),
        pages in vec((key(), any::<u64>()), 0..3),
        unified in texts(),
        rules in vec((any::<bool>(), option::of(0..3i64), word()), 0..4),
    ) -> LinuxResources {
        LinuxResources {
            memory: Some(LinuxMemory {
                limit: limit.map(Into::into), swap: swap.map(Into::into), ..Default::default()
            }),
            cpu: Some(LinuxCpu { shares: shares.map(Into::into), cpus, ..Default::default() }),
            pids: pids.map(|limit| LinuxPids { limit }),
            hugepage_limits: pages
                .into_iter()
                .map(|(page_size, limit)| HugepageLimit { page_size, limit })
                .collect(),
            unified,
            devices: rules
                .into_iter()
                .map(|(allow, major, access)| LinuxDeviceCgroup {
                    allow, r#type: "c".into(), major: major.map(Into::into), minor: None, access,
                })
                .collect(),
            blockio_class: None,
            rdt_class: Some(String::new().into()),
        }
    }
}

prop_compose! {
    fn rdt()(
        clos_id in option::of(word()),
        schemata in option::of(words()),
        monitoring in option::of(any::<bool>()),
        remove in any::<bool>(),
    ) -> LinuxRdt {
        LinuxRdt {
            clos_id: clos_id.map(Into::into),
            schemata: schemata.map(Into::into),
            enable_monitoring: monitoring.map(Into::into),
            remove,
        }
    }
}

prop_compose! {
    fn linux_lists()(
        devices in vec((key(), prop::sample::select(vec!["c", "b", "u", "p", ""]), 0..3i64), 0..4),
        namespaces in vec((prop::sample::select(vec!["pid", "-pid", "time", "-uts", "uts"]), word()), 0..4),
        nets in btree_map(key(), word(), 0..3),
        calls in option::of(vec(words(), 0..3)),
        class in option::of(0..4),
        policy in option::of(0..8),
        score in option::of(any::<i64>()),
    ) -> nri_wire::api::LinuxContainerAdjustment {
        nri_wire::api::LinuxContainerAdjustment {
            devices: devices
                .into_iter()
                .map(|(path, kind, major)| LinuxDevice {
                    path, r#type: kind.to_owned(), major, minor: major, ..Default::default()
                })
                .collect(),
            namespaces: namespaces
                .into_iter()
                .map(|(kind, path)| LinuxNamespace { r#type: kind.to_owned(), path })
                .collect(),
            net_devices: nets.into_iter().map(|(key, name)| (key, LinuxNetDevice { name })).collect(),
            seccomp_policy: calls.map(|calls| LinuxSeccomp {
                syscalls: calls.into_iter().map(|names| LinuxSyscall { names, ..Default::default() }).collect(),
                ..Default::default()
            }),
            io_priority: class.map(|class| LinuxIoPriority { class, priority: 1 }),
            scheduler: policy.map(|policy| LinuxScheduler { policy, flags: vec![0, 1], ..Default::default() }),
            oom_score_adj: score.map(Into::into),
            ..Default::default()
        }
    }
}

prop_compose! {
    fn adjustment()(
        (annotations, sysctl) in (texts(), texts()),
        mounts in mounts(),
        variables in vec((key(), word()), 0..5),
        args in words(),
        hooks in vec(word(), 0..3),
        limits in vec((key(), any::<u64>()), 0..3),
        mut linux in linux_lists(),
        resources in resources(),
        rdt in option::of(rdt()),
    ) -> ContainerAdjustment {
        linux.sysctl = sysctl;
        linux.resources = Some(resources);
        linux.rdt = rdt;
        ContainerAdjustment {
            annotations,
            mounts,
            env: env(&variables.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>()),
            args,
            hooks: Some(Hooks { poststop: hooks.iter().map(|path| hook(path)).collect(), ..Default::default() }),
            rlimits: limits
                .into_iter()
                .map(|(r#type, soft)| PosixRlimit { r#type, hard: u64::MAX, soft })
                .collect(),
            linux: Some(linux),
            ..Default::default()
        }
    }
}

prop_compose! {
    /// A spec with members, enum values and orders that nobody here knows.
    fn spec()(
        env in vec(prop::sample::select(vec!["a=1", "b=2", "a=3", "plain", "=", "A=9"]), 0..6),
        destinations in vec(prop::sample::select(vec!["/x", "/x/y", "a", "/z", "/z/"]), 0..6),
        kinds in vec(prop::sample::select(vec!["a", "b", "RLIMIT_NEW"]), 0..4),
        spaces in vec(prop::sample::select(vec!["pid", "uts", "moon"]), 0..4),
        rules in vec((any::<bool>(), option::of(0..3i64)), 0..4),
        has in vec(any::<bool>(), 4),
    ) -> Value {
        let unknown = json!({"z": 1, "a": [18446744073709551615u64, -9223372036854775808i64, 0.1], "m": null});
        let mut process = json!({"x-unknown": unknown, "env": env, "rlimits": kinds
            .iter().map(|k| json!({"soft": 1, "type": k, "hard": 2, "x": 3})).collect::<Vec<_>>()});
        let mut linux = json!({
            "y-unknown": unknown,
            "namespaces": spaces.iter().map(|k| json!({"path": "/p", "type": k, "x": 1})).collect::<Vec<_>>(),
            "resources": {"memory": {"limit": 4, "new": 1}, "rdma": unknown, "devices": rules
                .iter().map(|(allow, major)| json!({"allow": allow, "type": "c", "major": major})).collect::<Vec<_>>()},
            "intelRdt": {"closID": "old", "l3CacheSchema": "x"},
            "sysctl": {"b": "1", "z": "2"},
        });
        if let Some(linux) = linux.as_object_mut().filter(|_| has[0]) {
            linux.shift_remove("resources");
        }
        if let Some(process) = process.as_object_mut().filter(|_| has[1]) {
            process.shift_remove("env");
        }
        let mut spec = Map::from_iter([("ociVersion".to_owned(), json!("9.9")), ("vm".to_owned(), unknown)]);
        if has[2] {
            spec.insert("linux".to_owned(), linux);
        }
        if has[3] {
            spec.insert("process".to_owned(), process);
        }
        spec.insert("mounts".to_owned(), destinations.iter().enumerate()
            .map(|(i, d)| json!({"source": i.to_string(), "destination": d, "uidMappings": []})).collect());
        Value::Object(spec)
    }
}

/// The pointers that an adjustment may write to.
fn touched(adjust: &ContainerAdjustment) -> BTreeSet<&'static str> {
    let mut pointers: BTreeSet<_> =
        field::adjustment(adjust).iter().map(|entry| entry.field.info().oci).collect();
    if pointers.contains(Field::MemoryLimit.info().oci) {
        pointers.insert(Field::MemorySwap.info().oci);
    }
    if pointers.contains(Field::Devices.info().oci) {
        pointers.insert(Field::DeviceCgroup.info().oci);
    }
    if pointers.contains(Field::Mounts.info().oci) {
        pointers.insert("/linux/rootfsPropagation");
    }
    pointers
}

/// What is left of a spec without what an adjustment may write to, and without objects that this leaves empty.
fn rest(value: &Value, pointer: &str, touched: &BTreeSet<&'static str>) -> Option<Value> {
    if touched.contains(pointer) {
        return None;
    }
    let Value::Object(map) = value else { return Some(value.clone()) };
    let map: Map<String, Value> = map
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), rest(value, &format!("{pointer}/{name}"), touched)?)))
        .collect();
    (!map.is_empty()).then_some(Value::Object(map))
}

proptest! {
    #[test]
    fn once_is_enough(spec in spec(), adjust in adjustment()) {
        let with = Resolvers::default();
        let once = apply(&spec, &adjust, &with).unwrap();
        let twice = apply(&once.spec, &adjust, &with).unwrap();
        // Up to the order of members: `intelRdt`, removed and made anew, may change places with another new one.
        prop_assert_eq!(once.spec, twice.spec);
    }

    /// Byte for byte, order included.
    #[test]
    fn unrelated_members_survive(spec in spec(), adjust in adjustment()) {
        let applied = apply(&spec, &adjust, &Resolvers::default()).unwrap();
        let touched = touched(&adjust);
        let text = |value: &Value| rest(value, "", &touched).map(|value| value.to_string());
        prop_assert_eq!(text(&spec), text(&applied.spec));
    }

    /// Of each field and key the value that the adjustment sets last is what plugins see; what it removes, and
    /// does not set, they do not see.
    #[test]
    fn plugins_see_what_was_set(spec in spec(), adjust in adjustment()) {
        let applied = apply(&spec, &adjust, &Resolvers::default()).unwrap();
        let container = describe(&applied.spec, Container::default()).unwrap();
        let shown = field::container(&container);
        let mut last: BTreeMap<(Field, &str), Option<FieldValue<'_>>> = BTreeMap::new();
        for entry in field::adjustment(&adjust) {
            let slot = last.entry((entry.field, entry.key)).or_insert(None);
            if entry.value.is_some() {
                *slot = entry.value;
            }
        }
        for ((field, key), value) in &last {
            let seen = shown.iter().any(|entry| entry.field == *field && entry.key == *key && entry.value == *value);
            let expect = match (field, value) {
                // These say how the section is made, not what is in it; and rules may be ordered anew.
                (Field::RdtRemove | Field::RdtClass | Field::DeviceCgroup | Field::Hooks, _) => continue,
                (Field::MemoryLimit, Some(FieldValue::Int(0))) => continue,
                (Field::PidsLimit, Some(FieldValue::Int(limit))) if *limit < 0 => {
                    let unlimited = Some(FieldValue::Int(-1));
                    prop_assert!(shown.iter().any(|e| e.field == Field::PidsLimit && e.value == unlimited));
                    continue;
                }
                (Field::Scheduler, Some(FieldValue::Scheduler(scheduler))) => scheduler.policy != 0,
                (Field::IoPriority, Some(FieldValue::IoPriority(priority))) => priority.class != 0,
                (Field::RdtClosId, Some(FieldValue::Text(""))) => false,
                (Field::RdtSchemata, Some(FieldValue::Lines([]))) => false,
                (_, None) => {
                    prop_assert!(!shown.iter().any(|e| e.field == *field && e.key == *key), "{} {}", field, key);
                    continue;
                }
                _ => true,
            };
            prop_assert_eq!(seen, expect, "{} {:?} {:?}", field, key, value);
        }
    }
}
