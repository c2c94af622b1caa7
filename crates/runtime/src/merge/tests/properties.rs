//! What holds for every message: no panic, the same twice, and reply and view tell the same story.

use nri_policy::identity::Facts;
use nri_policy::judge::{Asked, Judge, Permitted};
use nri_wire::api::*;
use nri_wire::field::{self, Field};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use crate::merge::creation::Creation;
use crate::merge::keys::Keys;
use crate::merge::update::Update;
use crate::merge::{MergeError, Merged, view};

fn permit<'a, A: nri_policy::judge::Answer>(basis: A::Basis<'a>, answer: A) -> Permitted<A> {
    let plugin = "00-x".parse().unwrap();
    let asked = Asked { plugin: &plugin, facts: Facts::nothing(), basis, unknown: &[] };
    Judge::allow_all().judge(&asked, answer).permitted.unwrap()
}

fn merge(container: &Container, answers: &[CreateContainerResponse]) -> Result<Merged, MergeError> {
    let mut creation =
        Creation::new(CreateContainerRequest { container: Some(container.clone()), ..Default::default() });
    for (n, answer) in answers.iter().enumerate() {
        let permitted = permit(creation.basis(&()), answer.clone());
        creation.apply(&format!("{n:02}-p").parse().unwrap(), permitted)?;
    }
    Ok(creation.finish())
}

/// Few keys, so that plugins meet; marks, marks of marks, and odd ones.
fn key() -> impl Strategy<Value = String> + Clone {
    prop::sample::select(vec!["a", "b", "c", "-a", "-b", "--a", "-", "", "/x", "-/x", "a=b"])
        .prop_map(str::to_owned)
}

fn text() -> impl Strategy<Value = String> + Clone {
    prop::sample::select(vec!["", "1", "two", "-"]).prop_map(str::to_owned)
}

fn number() -> impl Strategy<Value = i64> + Clone {
    prop::sample::select(vec![0, 1, -1, 7, i64::MAX, i64::MIN])
}

fn resources() -> impl Strategy<Value = LinuxResources> {
    let pages = vec((key(), 0u64..3).prop_map(|(page_size, limit)| HugepageLimit { page_size, limit }), 0..2);
    let rules = vec(text().prop_map(|r#type| LinuxDeviceCgroup { r#type, ..Default::default() }), 0..2);
    let option = || prop::option::weighted(0.2, number());
    (
        option(),
        option(),
        option(),
        text(),
        pages,
        rules,
        btree_map(key(), text(), 0..2),
        prop::option::of(text()),
    )
        .prop_map(|(limit, quota, pids, cpus, hugepage_limits, devices, unified, class)| {
            LinuxResources {
                memory: limit.map(|n| LinuxMemory { limit: Some(n.into()), ..Default::default() }),
                cpu: Some(LinuxCpu { quota: quota.map(Into::into), cpus, ..Default::default() }),
                pids: pids.map(|limit| LinuxPids { limit }),
                hugepage_limits,
                devices,
                unified,
                rdt_class: class.map(Into::into),
                blockio_class: None,
            }
        })
}

fn rdt() -> impl Strategy<Value = LinuxRdt> {
    (prop::option::of(text()), prop::option::of(vec(text(), 0..2)), any::<bool>()).prop_map(
        |(clos_id, schemata, remove)| LinuxRdt {
            clos_id: clos_id.map(Into::into),
            schemata: schemata.map(Into::into),
            enable_monitoring: None,
            remove,
        },
    )
}

prop_compose! {
    fn linux()(
        devices in vec(key().prop_map(|path| LinuxDevice { path, ..Default::default() }), 0..3),
        resources in prop::option::of(resources()),
        cgroups_path in text(),
        class in prop::option::weighted(0.2, -1i32..5),
        policy in prop::option::weighted(0.2, -1i32..9),
        mode in prop::option::weighted(0.2, -1i32..8),
        namespaces in vec((key(), text()).prop_map(|(r#type, path)| LinuxNamespace { r#type, path }), 0..3),
        sysctl in btree_map(key(), text(), 0..3),
        nets in btree_map(key(), text(), 0..3),
        rdt in prop::option::weighted(0.3, rdt()),
    ) -> LinuxContainerAdjustment {
        LinuxContainerAdjustment {
            devices, resources, cgroups_path, namespaces, sysctl, rdt,
            io_priority: class.map(|class| LinuxIoPriority { class, priority: 0 }),
            scheduler: policy.map(|policy| LinuxScheduler { policy, ..Default::default() }),
            memory_policy: mode.map(|mode| LinuxMemoryPolicy { mode, ..Default::default() }),
            net_devices: nets.into_iter().map(|(key, name)| (key, LinuxNetDevice { name })).collect(),
            ..Default::default()
        }
    }
}

prop_compose! {
    fn adjustment()(
        annotations in btree_map(key(), text(), 0..3),
        mounts in vec((key(), text()).prop_map(|(destination, source)| Mount { destination, source, ..Default::default() }), 0..3),
        env in vec((key(), text()).prop_map(|(key, value)| KeyValue { key, value }), 0..3),
        args in prop_oneof![3 => Just(Vec::new()), 1 => vec(text(), 0..3)],
        hooks in prop::option::weighted(0.3, text()),
        linux in prop::option::of(linux()),
        rlimits in vec((key(), 0u64..3).prop_map(|(r#type, hard)| PosixRlimit { r#type, hard, soft: 0 }), 0..2),
        cdi in vec(key().prop_map(|name| CdiDevice { name }), 0..2),
    ) -> ContainerAdjustment {
        ContainerAdjustment {
            annotations, mounts, env, args, linux, rlimits, cdi_devices: cdi,
            hooks: hooks.map(|path| Hooks { poststop: vec![Hook { path, ..Default::default() }], ..Default::default() }),
        }
    }
}

prop_compose! {
    fn update()(
        id in prop::sample::select(vec!["c", "x", "y", ""]),
        resources in prop::option::weighted(0.8, resources()),
        ignore_failure in any::<bool>(),
    ) -> ContainerUpdate {
        ContainerUpdate {
            container_id: id.to_owned(),
            linux: Some(LinuxContainerUpdate { resources }),
            ignore_failure,
        }
    }
}

prop_compose! {
    fn answer()(adjust in prop::option::weighted(0.9, adjustment()), update in vec(update(), 0..3)) -> CreateContainerResponse {
        CreateContainerResponse { adjust, update, evict: Vec::new() }
    }
}

/// A container, which is what an empty one with an adjustment is; with an env entry that is no `K=V`.
fn container() -> impl Strategy<Value = Container> {
    adjustment().prop_map(|adjust| {
        let mut container = Container { id: "c".into(), env: vec!["odd".into()], ..Default::default() };
        write(&mut container, &adjust);
        container.env.push("A=1".into());
        container
    })
}

/// Writes an adjustment into a container, removals first, as the OCI stage does.
fn write(container: &mut Container, adjust: &ContainerAdjustment) {
    view::normalise(container);
    let entries = field::adjustment(adjust);
    view::drop_touched(container, &Keys::of(&entries));
    for entry in &entries {
        if let Some(value) = &entry.value {
            view::set(container, entry, value);
        }
    }
}

/// The lists of a container sorted by key: where an entry stands is not part of the story.
fn sorted(mut container: Container) -> Container {
    container.env.sort();
    container.mounts.sort_by(|a, b| a.destination.cmp(&b.destination));
    container.rlimits.sort_by(|a, b| a.r#type.cmp(&b.r#type));
    let linux = container.linux.get_or_insert_default();
    linux.devices.sort_by(|a, b| a.path.cmp(&b.path));
    linux.namespaces.sort_by(|a, b| a.r#type.cmp(&b.r#type));
    linux.resources.get_or_insert_default().hugepage_limits.sort_by(|a, b| a.page_size.cmp(&b.page_size));
    container
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The merged adjustment, written into the client's container, gives the container that the next plugin sees. Command
    /// lines apart: the merged one has no mark any more, and an empty one leaves the client's.
    #[test]
    fn reply_and_view_agree(container in container(), answers in vec(answer(), 1..4)) {
        let Ok(merged) = merge(&container, &answers) else { return Ok(()) };
        let mut written = merged.pristine.clone();
        write(&mut written, &merged.adjust);
        prop_assert!(merged.adjust.args.is_empty() || merged.adjust.args == merged.container.args);
        written.args.clone_from(&merged.container.args);
        prop_assert_eq!(sorted(written), sorted(merged.container));
    }

    /// The same input gives the same bytes or the same error, and the error names one of the plugins.
    #[test]
    fn merging_is_a_function(container in container(), answers in vec(answer(), 1..5)) {
        let outcomes: Vec<_> = (0..2).map(|_| merge(&container, &answers).map(|m| {
            use prost::Message as _;
            (m.adjust.encode_to_vec(), m.updates, m.ledger.owners().encode_to_vec(), m.changes)
        })).collect();
        prop_assert_eq!(&outcomes[0], &outcomes[1]);
        if let Err(error) = &outcomes[0] {
            prop_assert!(error.to_string().contains(error.plugin().full()));
        }
    }

    /// In the merged adjustment each key is set at most once, marks before values, and what is set has an owner.
    #[test]
    fn every_value_has_one_owner(container in container(), answers in vec(answer(), 1..4)) {
        let Ok(merged) = merge(&container, &answers) else { return Ok(()) };
        let entries = field::adjustment(&merged.adjust);
        let mut set = std::collections::BTreeSet::new();
        for entry in &entries {
            let shared = matches!(entry.field, Field::Hooks | Field::DeviceCgroup);
            if entry.value.is_some() {
                prop_assert!(shared || set.insert((entry.field, entry.key)), "{:?} twice", entry);
                let key = entry.decision_key();
                let key = if entry.field == Field::Hooks { "" } else { &key };
                prop_assert!(merged.ledger.holder("c", entry.field, key).is_some(), "{:?} of nobody", entry);
            } else {
                let is_map = matches!(entry.field, Field::Annotations | Field::Sysctl | Field::NetDevices);
                prop_assert!(is_map || !set.contains(&(entry.field, entry.key)), "{:?} after its value", entry);
            }
        }
    }

    /// Updates: the own element is the request with every applied value over it; nothing panics.
    #[test]
    fn updates_are_a_function(requested in resources(), answers in vec(vec(update(), 0..4), 1..4)) {
        let run = || {
            let mut merging = Update::new(UpdateContainerRequest {
                container: Some(Container { id: "c".into(), ..Default::default() }),
                linux_resources: Some(requested.clone()),
                ..Default::default()
            });
            for (n, update) in answers.iter().enumerate() {
                let answer = UpdateContainerResponse { update: update.clone(), evict: Vec::new() };
                let permitted = permit(merging.basis(&()), answer);
                merging.apply(&format!("{n:02}-p").parse().unwrap(), permitted)?;
            }
            let shown = merging.request().linux_resources.clone();
            Ok::<_, MergeError>((shown, merging.finish()))
        };
        let (first, second) = (run(), run());
        prop_assert_eq!(format!("{first:?}"), format!("{second:?}"));
        let Ok((shown, merged)) = first else { return Ok(()) };
        if let Some(own) = &merged.own {
            prop_assert_eq!(own.linux.clone().unwrap_or_default().resources, shown);
        }
        prop_assert!(merged.updates.iter().all(|update| update.container_id != "c"));
    }
}

/// The most that a message may carry takes as long as its length says, not the square of it: the second would be minutes.
#[test]
fn huge_answers() {
    const ENTRIES: u64 = 50_000;
    let key = |n: u64, mark: &str| format!("{mark}{n}");
    let answer = |mark: &str| ContainerAdjustment {
        env: (0..ENTRIES).map(|n| KeyValue { key: key(n, mark), value: String::new() }).collect(),
        mounts: (0..ENTRIES).map(|n| Mount { destination: key(n, mark), ..Default::default() }).collect(),
        ..Default::default()
    };
    let pages = (0..ENTRIES).map(|limit| HugepageLimit { page_size: key(limit, ""), limit }).collect();
    let resources = LinuxResources { hugepage_limits: pages, ..Default::default() };
    let update = ContainerUpdate {
        container_id: "x".into(),
        linux: Some(LinuxContainerUpdate { resources: Some(resources) }),
        ignore_failure: false,
    };
    let answer =
        |mark, update| CreateContainerResponse { adjust: Some(answer(mark)), update, evict: Vec::new() };
    let container = Container { id: "c".into(), ..Default::default() };
    let merged = merge(&container, &[answer("", vec![update]), answer("-", Vec::new())]).unwrap();
    let marks = field::adjustment(&merged.adjust);
    assert_eq!(marks.iter().filter(|entry| entry.value.is_none()).count(), marks.len());
    assert_eq!((marks.len(), merged.updates.len(), merged.container.env.len()), (100_000, 1, 0));
}
