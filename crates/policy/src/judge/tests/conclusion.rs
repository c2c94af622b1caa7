//! End results: the three invariants, and required plugins (`policy.md` 7).

use std::time::Duration;

use nri_wire::api::{
    Container, ContainerAdjustment, LinuxContainer, LinuxContainerAdjustment, LinuxNamespace, LinuxSeccomp,
    LinuxSyscall, Mount, PodSandbox, SecurityProfile,
};
use nri_wire::name::PluginName;
use serde_json::json;

use super::kit::{judge, judge_with, line};
use crate::annotation::REQUIRED_PLUGINS;
use crate::change::{self, Change, Recorded};
use crate::host::{Host, Unknown};
use crate::identity::Facts;
use crate::judge::{Ended, Judge, Member, Product, Refused};

/// A host of which `/ns/host` is a namespace and that was started a minute ago.
#[derive(Debug)]
struct Started;

impl Host for Started {
    fn is_host_namespace(&self, path: &str) -> Result<bool, Unknown> {
        match path {
            "/ns/dark" => Err(Unknown("look".to_owned())),
            path => Ok(path == "/ns/host"),
        }
    }

    fn since_boot(&self) -> Result<Duration, Unknown> {
        Ok(Duration::from_secs(60))
    }
}

fn started(spec: &str) -> Judge {
    let host = std::sync::Arc::new(Started);
    judge_with(&[spec], crate::judge::Options { host, ..Default::default() })
}

fn changes(adjust: &ContainerAdjustment, pristine: &Container) -> Vec<Recorded> {
    let containers = crate::change::Containers { pristine, running: pristine };
    change::adjustment(adjust, containers).iter().map(Change::record).collect()
}

/// What is refused of a container that 10-a made of another one by an adjustment.
fn broken(
    judge: &Judge,
    pristine: &Container,
    container: &Container,
    adjust: &ContainerAdjustment,
) -> Vec<Refused> {
    let a: PluginName = "10-a".parse().unwrap();
    let made = changes(adjust, pristine);
    let changes: Vec<_> = made.iter().map(|change| (&a, change)).collect();
    let chain = [Member { plugin: &a, facts: Facts::nothing(), answered: Ok(()) }];
    let product = Some(Product { pristine, container, changes: &changes });
    let ended = Ended { pod: None, product, chain: &chain, refused: &[], is_live: false };
    judge.conclude(&ended).refused
}

fn seccomp(allowed: &[&str], listener: &str) -> LinuxSeccomp {
    let call = |names: &[&str], action: &str| LinuxSyscall {
        names: names.iter().map(|&name| name.to_owned()).collect(),
        action: action.to_owned(),
        ..Default::default()
    };
    let mut syscalls = vec![call(allowed, "SCMP_ACT_ALLOW")];
    if !listener.is_empty() {
        syscalls.push(call(&["mount"], "SCMP_ACT_NOTIFY"));
    }
    LinuxSeccomp {
        default_action: "SCMP_ACT_ERRNO".into(),
        listener_path: listener.into(),
        syscalls,
        ..Default::default()
    }
}

fn with_seccomp(profile: i32, policy: Option<LinuxSeccomp>) -> Container {
    let profile = SecurityProfile { profile_type: profile, ..Default::default() };
    let linux =
        LinuxContainer { seccomp_profile: Some(profile), seccomp_policy: policy, ..Default::default() };
    Container { linux: Some(linux), ..Default::default() }
}

#[test]
fn no_seccomp_loosening() {
    const RUNTIME_DEFAULT: i32 = 0;
    const UNCONFINED: i32 = 1;
    const LOCALHOST: i32 = 2;
    let spec = |rule: &str| {
        format!(
            "{{clientOverride: ignore, defaultLevel: l, levels: [{{name: l, fields: {{seccomp: {rule}}}}}], invariants: [no-seccomp-loosening]}}"
        )
    };
    let listening = "{localhost: listener, listener: {paths: [/run/agent/*.sock]}}";
    let old = || Some(seccomp(&["read"], ""));
    for (rule, profile, old, new, expect) in [
        ("any", RUNTIME_DEFAULT, old(), seccomp(&["read"], ""), true),
        ("any", RUNTIME_DEFAULT, old(), seccomp(&[], ""), true),
        ("any", RUNTIME_DEFAULT, old(), seccomp(&["read", "write"], ""), false),
        ("any", UNCONFINED, None, seccomp(&["read", "write"], ""), true),
        // The base is not known.
        ("any", UNCONFINED, old(), seccomp(&["read"], ""), true),
        ("any", 9, None, seccomp(&["read"], ""), false),
        // The listener counts as permitted where the owner's rule says so, and only there.
        (
            listening,
            LOCALHOST,
            Some(seccomp(&["read"], "/old")),
            seccomp(&["read"], "/run/agent/p.sock"),
            true,
        ),
        (listening, LOCALHOST, Some(seccomp(&["read"], "/old")), seccomp(&["read"], "/run/p.sock"), false),
        (
            listening,
            RUNTIME_DEFAULT,
            Some(seccomp(&["read"], "/old")),
            seccomp(&["read"], "/run/agent/p.sock"),
            false,
        ),
        ("any", LOCALHOST, Some(seccomp(&["read"], "/old")), seccomp(&["read"], "/run/agent/p.sock"), false),
    ] {
        let pristine = with_seccomp(profile, old);
        let container = with_seccomp(profile, Some(new.clone()));
        let linux = LinuxContainerAdjustment { seccomp_policy: Some(new), ..Default::default() };
        let adjust = ContainerAdjustment { linux: Some(linux), ..Default::default() };
        let refused = broken(&judge(&[&spec(rule)]), &pristine, &container, &adjust);
        let expect = if expect {
            vec![]
        } else {
            vec!["seccomp p0/invariants/no-seccomp-loosening reject".to_owned()]
        };
        assert_eq!(refused.iter().map(line).collect::<Vec<_>>(), expect, "{rule} {profile} {adjust:?}");
        for refused in refused {
            assert_eq!((refused.plugin.as_str(), refused.level.as_deref()), ("10-a", Some("l")));
            assert!(refused.at.is_some(), "{refused:?}");
        }
    }
}

/// Added, changed, removed; as the policy's mode says. Two policies say it twice.
#[test]
fn annotations_that_steer_runtimes() {
    let annotated = |list: &[(&str, &str)]| Container {
        annotations: list.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect(),
        ..Default::default()
    };
    let pristine = annotated(&[("run.oci.a", "1"), ("run.oci.b", "1"), ("own", "1")]);
    let container = annotated(&[("run.oci.b", "2"), ("own", "2"), ("bundle", "x")]);
    let adjust = ContainerAdjustment {
        annotations: [("-run.oci.a", ""), ("run.oci.b", "2"), ("own", "2"), ("bundle", "x")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
        ..Default::default()
    };
    let spec = |mode: &str| format!("{{mode: {mode}, invariants: [no-seccomp-loosening]}}");
    let (enforce, audit) = (spec("enforce"), spec("audit"));
    let found = broken(&judge(&[&enforce, &audit]), &pristine, &container, &adjust);
    let expect = ["p0/invariants/no-seccomp-loosening reject", "p1/invariants/no-seccomp-loosening audit"]
        .iter()
        .flat_map(|rule| ["run.oci.a", "run.oci.b", "bundle"].map(|key| format!("annotations {key} {rule}")));
    assert_eq!(found.iter().map(line).collect::<Vec<_>>(), expect.collect::<Vec<_>>());
    assert!(broken(&judge(&[&enforce]), &pristine, &pristine, &ContainerAdjustment::default()).is_empty());
}

#[test]
fn no_host_namespace_join() {
    let container = |list: &[(&str, &str)]| {
        let namespaces =
            list.iter().map(|&(kind, path)| LinuxNamespace { r#type: kind.into(), path: path.into() });
        let linux = LinuxContainer { namespaces: namespaces.collect(), ..Default::default() };
        Container { linux: Some(linux), ..Default::default() }
    };
    let pristine = container(&[("ipc", ""), ("network", "/proc/1/ns/net"), ("pid", "/ns/pod")]);
    let kept = [("ipc", ""), ("network", "/proc/1/ns/net"), ("pid", "/ns/pod")];
    for (more, expect) in [
        (&[][..], &[][..]),
        (&[("uts", "")], &[]),
        (&[("pid", "/ns/other")], &[]),
        (&[("pid", "/proc/1/ns/pid")], &["pid"]),
        (&[("pid", "/proc/self/../1/ns//pid")], &["pid"]),
        (&[("uts", "/ns/host")], &["uts"]),
        (&[("uts", "/ns/dark")], &["uts"]),
    ] {
        let end = container(&[&kept, more].concat());
        let adjust = more
            .iter()
            .chain(&[("cgroup", "")])
            .map(|&(kind, path)| LinuxNamespace { r#type: kind.into(), path: path.into() });
        let linux = LinuxContainerAdjustment { namespaces: adjust.collect(), ..Default::default() };
        let adjust = ContainerAdjustment { linux: Some(linux), ..Default::default() };
        let refused = broken(&started("{invariants: [no-host-namespace-join]}"), &pristine, &end, &adjust);
        let expect =
            expect.iter().map(|key| format!("namespaces {key} p0/invariants/no-host-namespace-join reject"));
        assert_eq!(refused.iter().map(line).collect::<Vec<_>>(), expect.collect::<Vec<_>>(), "{more:?}");
    }
    let linux = LinuxContainerAdjustment {
        namespaces: vec![LinuxNamespace { r#type: "-ipc".into(), path: String::new() }],
        ..Default::default()
    };
    let adjust = ContainerAdjustment { linux: Some(linux), ..Default::default() };
    let end = container(&kept[1..]);
    let refused = broken(&started("{invariants: [no-host-namespace-join]}"), &pristine, &end, &adjust);
    assert_eq!(refused.iter().map(|r| r.key.as_str()).collect::<Vec<_>>(), ["ipc"]);
    // What cannot be told passes where the policy says so.
    let end = container(&[&kept[..], &[("uts", "/ns/dark")]].concat());
    let open = started("{failurePolicy: open, invariants: [no-host-namespace-join]}");
    let refused = broken(&open, &pristine, &end, &adjust);
    assert_eq!(
        refused.iter().map(line).collect::<Vec<_>>(),
        ["namespaces uts p0/invariants/no-host-namespace-join warn"]
    );
}

#[test]
fn no_runtime_socket_mount() {
    let mount = |destination: &str, source: &str| Mount {
        destination: destination.into(),
        source: source.into(),
        r#type: "bind".into(),
        options: vec!["rbind".into()],
    };
    let pristine =
        Container { mounts: vec![mount("/client", "/run"), mount("/b", "/b")], ..Default::default() };
    let made =
        vec![mount("/client", "/run"), mount("/b/", "/var/run/crio"), mount("/c", "/c"), mount("/d", "/")];
    let container = Container { mounts: made.clone(), ..Default::default() };
    let adjust = ContainerAdjustment { mounts: made, ..Default::default() };
    let refused =
        broken(&judge(&["{invariants: [no-runtime-socket-mount]}"]), &pristine, &container, &adjust);
    assert_eq!(
        refused.iter().map(line).collect::<Vec<_>>(),
        ["/b/", "/d"].map(|key| format!("mounts {key} p0/invariants/no-runtime-socket-mount reject"))
    );
}

/// One entry of `require`, and what the pod says, against a chain: 10-a answered and set A, 20-late was late, 30-id is an
/// identity, 40-id takes the name of one.
#[test]
fn required() {
    let names =
        ["10-a", "20-late", "30-real", "40-id", "50-lost"].map(|name| name.parse::<PluginName>().unwrap());
    let proven = Facts { launched: true, exe: Some("/opt/id".into()), ..Facts::default() };
    let facts = |name: &PluginName| if name.base() == "real" { &proven } else { Facts::nothing() };
    let chain: Vec<_> = names
        .iter()
        .map(|plugin| Member {
            plugin,
            facts: facts(plugin),
            answered: if plugin.base() == "late" { Err("did not answer in time") } else { Ok(()) },
        })
        .collect();
    let pristine = Container { name: "c".into(), ..Default::default() };
    let adjust: ContainerAdjustment = ContainerAdjustment {
        env: vec![nri_wire::api::KeyValue { key: "A".into(), value: "1".into() }],
        annotations: [("k".to_owned(), "v".to_owned())].into(),
        ..Default::default()
    };
    let made = changes(&adjust, &pristine);
    let (a, thief) = (&names[0], &names[4]);
    let mut changes: Vec<_> = made.iter().map(|change| (a, change)).collect();
    changes.extend(made.iter().filter(|change| change.key == "k").map(|change| (thief, change)));
    let lost: Refused = Refused {
        plugin: "50-lost".into(),
        identity: None,
        level: None,
        field: "annotations".into(),
        key: "x".into(),
        op: None,
        rule: "r".into(),
        at: None,
        action: crate::judge::Action::DropEntry,
        reason: String::new(),
        counterexample: None,
    };
    let refused = [lost];
    let said = |entry: &str, annotations: &[(&str, &str)], (of_pod, live): (bool, bool)| {
        let annotations = annotations.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        let pod = PodSandbox { namespace: "infra-1".into(), annotations, ..Default::default() };
        let product = Product { pristine: &pristine, container: &pristine, changes: &changes };
        let product = (!of_pod).then_some(product);
        let ended = Ended { pod: Some(&pod), product, chain: &chain, refused: &refused, is_live: live };
        let judge = started(&format!(
            "{{defaultLevel: l, levels: [{{name: l, fields: {{}}}}], identities: [{{name: id, level: l, reserve: [id], match: {{launched: {{path: /opt/id}}}}}}], require: [{entry}]}}"
        ));
        let conclusion = judge.conclude(&ended);
        assert!(conclusion.refused.is_empty());
        assert_eq!(conclusion.lacking(), conclusion.missing);
        conclusion.missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    const OK: &str = "";
    const WITHOUT: &str = "which is not connected: start it";
    let tolerant = "{plugin: b, tolerate: {annotation: t, namespaces: [infra-*]}}";
    let graceful = |grace: &str| format!("{{plugin: b, graceAfterBoot: {grace}}}");
    let here = (false, true);
    for (entry, annotations, scene, expect) in [
        ("{plugin: a}", &[][..], here, OK),
        ("{plugin: 10-a}", &[], here, OK),
        ("{plugin: 11-a}", &[], here, WITHOUT),
        ("{plugin: b}", &[], here, WITHOUT),
        ("{plugin: late}", &[], here, "which did not answer in time: see its log"),
        ("{plugin: late, meaning: connected}", &[], here, OK),
        ("{plugin: b, meaning: connected}", &[], here, WITHOUT),
        ("{plugin: id}", &[], here, OK),
        ("{plugin: 40-id}", &[], here, "\"40-id\", which is connected, does not prove"),
        ("{plugin: a, meaning: owns, fields: [env]}", &[], here, OK),
        ("{plugin: a, meaning: owns, fields: [env, mounts]}", &[], here, "whose changes of mounts were not"),
        // A later plugin took it over; one that lost another of the same field does not own it.
        ("{plugin: a, meaning: owns, fields: [annotations]}", &[], here, "whose changes of annotations"),
        ("{plugin: lost, meaning: owns, fields: [annotations]}", &[], here, "whose changes of annotations"),
        ("{plugin: b, meaning: owns, fields: [env]}", &[], (true, true), OK),
        ("{plugin: b}", &[], (true, true), WITHOUT),
        ("{plugin: b, namespaces: {exclude: [infra-*]}}", &[], here, OK),
        ("{plugin: b, namespaces: {include: [infra-*]}}", &[], here, WITHOUT),
        // Toleration: the annotation, true, as it holds for the container, and the namespace.
        (tolerant, &[], here, WITHOUT),
        (tolerant, &[("t", "true")], here, OK),
        (tolerant, &[("t", "yes")], here, WITHOUT),
        (tolerant, &[("t", "true"), ("t/container.c", "false")], here, WITHOUT),
        (tolerant, &[("t/container.d", "true")], here, WITHOUT),
        (tolerant, &[("t/container.c", "1")], here, OK),
        (tolerant, &[("t/container.c", "1")], (true, true), WITHOUT),
        ("{plugin: b, tolerate: {annotation: t, namespaces: [web]}}", &[("t", "true")], here, WITHOUT),
        ("{plugin: b, tolerate: {annotation: t}}", &[("t", "true")], here, WITHOUT),
        // The host was started 60 s ago.
        (&graceful("2m"), &[], here, OK),
        (&graceful("1m"), &[], here, WITHOUT),
        (&graceful("2m"), &[], (false, false), WITHOUT),
        ("{plugin: b, graceAfterBoot: 2m, tolerate: {annotation: t, namespaces: [web]}}", &[], here, WITHOUT),
        // Pods ask for more.
        ("", &[(REQUIRED_PLUGINS, "[a, 10-a]")], here, OK),
        ("", &[(REQUIRED_PLUGINS, "[b]")], here, "asks for plugin \"b\", which is not connected"),
        ("", &[(REQUIRED_PLUGINS, "[late]")], here, "which did not answer in time"),
        ("", &[(REQUIRED_PLUGINS, "[id]")], here, WITHOUT),
        ("", &[(REQUIRED_PLUGINS, "{b: c}")], here, "cannot be read"),
        ("{plugin: b}", &[(REQUIRED_PLUGINS, "[]")], here, WITHOUT),
    ] {
        let found = said(entry, annotations, scene);
        assert!(
            found.contains(expect) && found.is_empty() == expect.is_empty(),
            "{entry} {annotations:?}: {found}"
        );
        assert!(found.lines().count() <= 1, "{entry} {annotations:?}: {found}");
    }
    assert!(
        said("{plugin: b}", &[], here).starts_with("policy \"p0\" (p0.yaml:4:"),
        "{}",
        said("{plugin: b}", &[], here)
    );
}

/// What is only recorded rejects nothing; without policies nothing is asked for.
#[test]
fn modes() {
    let pod = PodSandbox {
        annotations: [(REQUIRED_PLUGINS.to_owned(), "[x]".to_owned())].into(),
        ..Default::default()
    };
    let ended = Ended { pod: Some(&pod), product: None, chain: &[], refused: &[], is_live: true };
    for (specs, expect) in [
        (&["{require: [{plugin: a}]}"][..], json!([["a", "reject"], ["x", "reject"]])),
        (&["{mode: warn, require: [{plugin: a}]}"], json!([["a", "warn"], ["x", "warn"]])),
        (&["{mode: audit, require: [{plugin: a}]}", "{mode: warn}"], json!([["a", "audit"], ["x", "warn"]])),
        (&["{scope: {namespaces: {include: [web]}}, require: [{plugin: a}]}"], json!([])),
    ] {
        let found = judge(specs).conclude(&ended);
        let list: Vec<_> = found.missing.iter().map(|absent| (&absent.plugin, absent.action)).collect();
        assert_eq!(json!(list), expect, "{specs:?}");
        assert_eq!(found.lacking().len(), list.iter().filter(|(_, a)| json!(a) == "reject").count());
    }
    assert!(Judge::allow_all().conclude(&ended).missing.is_empty());
}
