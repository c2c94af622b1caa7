//! What is about an answer as a whole: identities, reserved names, limits, scope, what is unknown.

use nri_wire::api::{
    Container, ContainerAdjustment, CreateContainerResponse, KeyValue, LinuxContainer,
    LinuxContainerAdjustment, LinuxSeccomp, LinuxSyscall, SecurityProfile,
};

use super::kit::{Case, fields, judge, judge_with, left, level, line, lines};
use crate::identity::{Facts, PodFacts};
use crate::judge::{Action, OnMissing, Options};

fn env(name: &str) -> ContainerAdjustment {
    let env = vec![KeyValue { key: name.into(), value: "secret".into() }];
    ContainerAdjustment { env, ..Default::default() }
}

fn none() -> Container {
    Container::default()
}

/// Priority, ambiguity, too weak a proof; facts that are not known do not hold.
#[test]
fn identities() {
    let digest = "ab".repeat(32);
    let spec = format!(
        "{{defaultLevel: none, identities: [\
         {{name: weak, level: named, match: {{pluginName: \"gpu*\"}}}}, \
         {{name: strong, level: trusted, priority: 1, match: {{pluginName: gpu, launched: {{path: \"/opt/**\", sha256: \"{digest}\"}}}}}}, \
         {{name: peer, level: trusted, match: {{peer: {{uid: [0, 7], exe: /bin/x}}}}}}, \
         {{name: pod, level: other, priority: 2, match: {{anyOf: [{{pod: {{namespace: \"gpu-*\", labels: {{a: b}}}}}}, {{index: 99}}]}}}}], \
         levels: [{{name: none, fields: {{}}}}, {{name: named, fields: {{}}}}, {{name: trusted, fields: {{}}}}, \
         {{name: other, requireProof: weak, fields: {{}}}}]}}"
    );
    let judge = judge(&[&spec]);
    let file =
        Facts { launched: true, exe: Some("/opt/a/b".into()), sha256: Some(digest), ..Facts::default() };
    let peer = Facts { uid: Some(7), exe: Some("/bin/x".into()), ..Facts::default() };
    let pod = |labels: &[(&str, &str)]| Facts {
        pod: Some(PodFacts {
            namespace: Some("gpu-1".into()),
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..PodFacts::default()
        }),
        ..Facts::default()
    };
    for (plugin, facts, expect) in [
        ("10-x", Facts::default(), (None, "none")),
        ("10-gpu2", Facts::default(), (Some("weak"), "named")),
        ("10-gpu", file.clone(), (Some("strong"), "trusted")),
        ("10-gpu", Facts { launched: false, ..file.clone() }, (Some("weak"), "named")),
        ("10-gpu", Facts { sha256: None, ..file.clone() }, (Some("weak"), "named")),
        ("10-x", peer.clone(), (Some("peer"), "trusted")),
        // Of a launched plugin nothing is said about a peer (F2).
        ("10-x", Facts { launched: true, ..peer.clone() }, (None, "none")),
        // Two identities with different levels.
        ("10-gpu", peer, (None, "none")),
        ("10-x", pod(&[("a", "b"), ("c", "d")]), (Some("pod"), "other")),
        ("10-x", pod(&[("a", "c")]), (None, "none")),
        ("99-x", Facts::default(), (Some("pod"), "other")),
    ] {
        let plugin = plugin.parse().unwrap();
        let standings = judge.standings(&plugin, &facts);
        let found: Vec<_> =
            standings.iter().map(|standing| (standing.identity, standing.level.unwrap())).collect();
        assert_eq!(found, [expect], "{plugin} {facts:?}");
    }
}

/// A plugin under a reserved name that is another one has no say; the one it is reserved for has.
#[test]
fn reserved_names() {
    let spec = "{defaultLevel: l, identities: [{name: i, level: l, reserve: [a], match: {peer: {uid: 0}}}], \
                levels: [{name: l, fields: {env: allow}}]}";
    let judge = judge(&[spec]);
    let mut case = Case::new(none());
    let verdict = case.adjust(&judge, env("A"));
    assert_eq!(lines(&verdict), ["* p0/reserve/i drop-plugin"]);
    assert_eq!(left(&verdict), Some(ContainerAdjustment::default()));
    assert_eq!(lines(&case.adjust(&judge, ContainerAdjustment::default())), [""; 0]);
    case.facts = Facts { uid: Some(0), ..Facts::default() };
    assert_eq!(lines(&case.adjust(&judge, env("A"))), [""; 0]);
}

#[test]
fn limits() {
    let spec = |limits: &str| {
        format!("{{limits: {{{limits}}}, defaultLevel: l, levels: [{{name: l, fields: {{env: allow}}}}]}}")
    };
    let mut adjust = env("A");
    adjust.env.extend(env("B").env);
    for (limits, expect) in [
        ("changesPerContainer: 2", &[][..]),
        ("changesPerContainer: 1", &["* p0/limits/changesPerContainer drop-plugin"]),
        ("responseBytes: 10", &["* p0/limits/responseBytes drop-plugin"]),
    ] {
        let verdict = Case::new(none()).adjust(&judge(&[&spec(limits)]), adjust.clone());
        assert_eq!(lines(&verdict), expect);
        assert_eq!(left(&verdict).unwrap() == adjust, expect.is_empty());
    }
}

/// Where no scope covers a container (`policy.md` 9).
#[test]
fn on_missing_policy() {
    let spec =
        "{scope: {namespaces: {exclude: [\"def*\"]}}, defaultLevel: l, levels: [{name: l, fields: {}}]}";
    let case = Case::new(Container { env: vec!["A=secret".into()], ..none() });
    let deny = Options { on_missing: OnMissing::Deny, ..Options::default() };
    let verdict = case.adjust(&judge_with(&[spec], deny), env("B"));
    assert_eq!(lines(&verdict), ["env B add on-missing-policy reject"]);
    let verdict = case.adjust(&judge(&[spec]), env("A"));
    // Not governed: not even what says nothing is taken out.
    assert_eq!((lines(&verdict).len(), left(&verdict)), (0, Some(env("A"))));
}

/// What is unknown is refused without a key of its own, unless what cannot be judged passes.
#[test]
fn unknown_fields() {
    let mut case = Case::new(none());
    case.unknown = vec!["adjust.linux.13".into()];
    let open = "{failurePolicy: open, defaultLevel: l, levels: [{name: l, fields: {}}]}";
    for (judge, expect) in [
        (fields("\"*\": allow"), &["unknown linux.13 add p0/l reject"][..]),
        (fields("unknown: deny"), &["unknown linux.13 add p0/l/unknown reject"]),
        (fields("unknown: allow"), &[]),
        (judge(&[open]), &["unknown linux.13 add p0/l warn"]),
    ] {
        assert_eq!(lines(&case.adjust(&judge, ContainerAdjustment::default())), expect);
    }
}

/// What cannot be judged is a violation of the change at hand, or passes with a warning.
#[test]
fn what_cannot_be_judged() {
    let rule = "pids.limit: {bound: {max: host}}";
    let open = level(rule).replacen('{', "{failurePolicy: open, ", 1);
    let resources = nri_wire::api::LinuxResources {
        pids: Some(nri_wire::api::LinuxPids { limit: 1 }),
        ..Default::default()
    };
    let linux = LinuxContainerAdjustment { resources: Some(resources), ..Default::default() };
    let adjust = ContainerAdjustment { linux: Some(linux), ..Default::default() };
    for (spec, expect) in [(level(rule), "drop-entry"), (open, "warn")] {
        let verdict = Case::new(none()).adjust(&judge(&[&spec]), adjust.clone());
        assert_eq!(lines(&verdict), [format!("pids.limit add p0/l/pids.limit {expect}")]);
    }
}

/// Reasons stay on one line and show no values of variables and arguments.
#[test]
fn reasons() {
    let judge = fields(
        "env: {allow: [{name: A, value: x}, {maxBytes: 0}], message: \"ask\\nus\"}, args: {allow: [{argv0: /x}, {startsWith: requested}]}",
    );
    let mut adjust = env("A");
    adjust.args = vec!["secret".into()];
    let verdict = Case::new(Container { args: vec!["a".into()], ..none() }).adjust(&judge, adjust);
    assert_eq!(verdict.refused.len(), 2);
    for refused in &verdict.refused {
        assert!(!refused.reason.contains("secret") && !refused.reason.contains('\n'), "{}", refused.reason);
    }
    assert!(verdict.refused.iter().any(|refused| refused.reason.starts_with("ask us: ")));
    let long = fields(&format!("env: {{allow: [], message: {}}}", "ä".repeat(600)));
    let verdict = Case::new(none()).adjust(&long, env("A"));
    assert!(verdict.refused.iter().all(|refused| refused.reason.len() <= 512));
}

/// For audit: what is said about each change, allowed or not.
#[test]
fn records() {
    let options = Options { records: true, ..Options::default() };
    let judge = judge_with(&[&level("env: {deny: [{name: A}], onViolation: drop-entry}")], options);
    let mut adjust = env("A");
    adjust.env.extend(env("B").env);
    let verdict = Case::new(none()).adjust(&judge, adjust);
    let found: Vec<_> = verdict
        .judged
        .iter()
        .map(|judged| (&*judged.change.key, judged.action, judged.rule.as_deref(), judged.reason.is_some()))
        .collect();
    assert_eq!(
        found,
        [("A", Some(Action::DropEntry), Some("p0/l/env"), true), ("B", None, Some("p0/l/env"), false)]
    );
    assert!(
        verdict
            .judged
            .iter()
            .all(|judged| judged.at.as_deref().is_some_and(|at| at.starts_with("p0.yaml:4:")))
    );
}

fn seccomp(default: &str, names: &[&str], listener: &str) -> LinuxSeccomp {
    LinuxSeccomp {
        default_action: default.into(),
        listener_path: listener.into(),
        syscalls: names
            .iter()
            .map(|&name| LinuxSyscall {
                names: vec![name.into()],
                action: if listener.is_empty() { "SCMP_ACT_ALLOW" } else { "SCMP_ACT_NOTIFY" }.into(),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

/// Every class under every value, and what the client's word makes of `any` (`policy.md` 5).
#[test]
fn seccomp_by_class() {
    let strict = || seccomp("SCMP_ACT_ERRNO", &["read", "mkdir"], "");
    let tighter = || seccomp("SCMP_ACT_ERRNO", &["read"], "");
    let looser = || seccomp("SCMP_ACT_ERRNO", &["read", "mkdir", "rmdir"], "");
    let classes = [
        ("unknown", None, true),
        ("runtimeDefault", Some(0), true),
        ("localhost", Some(2), true),
        ("unconfined", Some(1), false),
        ("privileged", Some(0), false),
    ];
    for (class, profile, has_policy) in classes {
        let linux = LinuxContainer {
            seccomp_profile: profile
                .map(|profile_type| SecurityProfile { profile_type, ..Default::default() }),
            seccomp_policy: has_policy.then(strict),
            ..Default::default()
        };
        let client = Container { linux: Some(linux), ..Default::default() };
        let explicit = matches!(class, "localhost" | "unconfined");
        for client_override in ["ignore", "security", "honour", "honour-unless-tighter"] {
            let word = |rule: &str| {
                let spec = format!(
                    "{{clientOverride: {client_override}, defaultLevel: l, levels: [{{name: l, fields: {{{rule}}}}}]}}"
                );
                judge(&[&spec])
            };
            for (rule, allowed) in [
                ("none", "none"),
                ("tighten", "tighten"),
                ("any", "any"),
                ("allow", "any"),
                ("allSecurityProfileEditsAllowed", "all"),
            ] {
                for (rule, key) in [
                    (format!("seccomp: {rule}"), "seccomp"),
                    (format!("seccomp: {{{class}: {allowed}}}"), "seccomp"),
                ] {
                    if allowed == "all" && rule.contains(class) {
                        continue;
                    }
                    let judge = word(&rule);
                    let limit = match (allowed, client_override) {
                        ("any", "security" | "honour") if explicit => "none",
                        ("any", "honour-unless-tighter") if explicit => "tighten",
                        (allowed, _) => allowed,
                    };
                    for (new, is_tighter) in [(tighter(), true), (looser(), !has_policy)] {
                        let linux =
                            LinuxContainerAdjustment { seccomp_policy: Some(new), ..Default::default() };
                        let adjust = ContainerAdjustment { linux: Some(linux), ..Default::default() };
                        let verdict = Case::new(client.clone()).adjust(&judge, adjust);
                        let granted = match limit {
                            "none" => false,
                            "tighten" => is_tighter,
                            _ => true,
                        };
                        let what = format!("{class} {client_override} {rule}");
                        assert_eq!(verdict.refused.is_empty(), granted, "{what}: {:?}", verdict.refused);
                        let by =
                            if limit == allowed { format!("p0/l/{key}") } else { "p0/clientOverride".into() };
                        assert!(verdict.refused.iter().all(|refused| refused.rule == by), "{what}");
                        if limit == "tighten" && !granted {
                            assert!(
                                verdict.refused.iter().all(|refused| refused.counterexample.is_some()),
                                "{what}"
                            );
                        }
                    }
                }
            }
        }
    }
}

/// The use case of PR #123: a local profile whose agent's socket depends on the pod.
#[test]
fn listeners() {
    let old = || seccomp("SCMP_ACT_ALLOW", &["mkdir"], "/run/agent/old.sock");
    let linux = LinuxContainer {
        seccomp_profile: Some(SecurityProfile { profile_type: 2, ..Default::default() }),
        seccomp_policy: Some(old()),
        ..Default::default()
    };
    let client = Container { linux: Some(linux), ..Default::default() };
    let more = || seccomp("SCMP_ACT_ALLOW", &["mkdir", "rmdir"], "/run/agent/a.sock");
    let moved =
        |path: &str| LinuxSeccomp { listener_path: path.into(), listener_metadata: "pod".into(), ..old() };
    let paths = "listener: {paths: [\"/run/agent/*.sock\"]}";
    for (rule, new, expect) in [
        (format!("{{localhost: listener, {paths}}}"), moved("/run/agent/a.sock"), true),
        (format!("{{localhost: listener, {paths}}}"), moved("/run/other/a.sock"), false),
        (format!("{{localhost: listener, {paths}}}"), moved("/run/agent/../x/a.sock"), false),
        (format!("{{localhost: listener, {paths}}}"), more(), false),
        (format!("{{localhost: tighten, {paths}}}"), moved("/run/agent/a.sock"), true),
        (format!("{{localhost: tighten, {paths}}}"), moved("/elsewhere"), false),
        ("tighten".to_owned(), moved("/run/agent/a.sock"), false),
        (format!("{{localhost: none, {paths}}}"), moved("/run/agent/a.sock"), false),
    ] {
        let spec = format!("{{defaultLevel: l, levels: [{{name: l, fields: {{seccomp: {rule}}}}}]}}");
        let linux = LinuxContainerAdjustment { seccomp_policy: Some(new), ..Default::default() };
        let adjust = ContainerAdjustment { linux: Some(linux), ..Default::default() };
        let verdict = Case::new(client.clone()).adjust(&judge(&[&spec]), adjust);
        assert_eq!(
            verdict.refused.is_empty(),
            expect,
            "{rule}: {:?}",
            verdict.refused.iter().map(line).collect::<Vec<_>>()
        );
    }
}

/// The short form names its own rule.
#[test]
fn the_short_form() {
    let spec = "{securityProfileEditRule: noSecurityProfileEdits, defaultLevel: l, levels: [{name: l, fields: {\"*\": allow}}]}";
    let linux = LinuxContainerAdjustment {
        seccomp_policy: Some(seccomp("SCMP_ACT_ALLOW", &[], "")),
        ..Default::default()
    };
    let answer = CreateContainerResponse {
        adjust: Some(ContainerAdjustment { linux: Some(linux), ..Default::default() }),
        ..Default::default()
    };
    let verdict = Case::new(none()).answer(&judge(&[spec]), "10-a", answer, &());
    assert_eq!(lines(&verdict), ["seccomp add p0/securityProfileEditRule reject"]);
}

/// Updates of a plugin's own are counted by the second.
#[test]
fn floods_of_updates() {
    let spec = |mode: &str| {
        format!(
            "{{mode: {mode}, limits: {{updatesPerSecond: 2}}, defaultLevel: l, levels: [{{name: l, fields: {{}}}}]}}"
        )
    };
    let (plugin, now) = ("10-a".parse().unwrap(), std::time::Instant::now());
    for (mode, expect) in [("enforce", "drop-plugin"), ("warn", "warn")] {
        let judge = judge(&[&spec(mode)]);
        assert_eq!(judge.count_updates(&plugin, Facts::nothing(), 2, now), []);
        let refused = judge.count_updates(&plugin, Facts::nothing(), 1, now);
        let found: Vec<_> = refused.iter().map(line).collect();
        assert_eq!(found, [format!("* p0/limits/updatesPerSecond {expect}")]);
    }
}

/// Where nobody wrote a policy everything counts as it is said.
#[test]
fn without_any_policy() {
    use crate::document::load::PolicySet;
    use crate::judge::Judge;
    let judge = Judge::new(&PolicySet::compat(), Options::default());
    let mut case = Case::new(Container { env: vec!["A=secret".into()], ..none() });
    case.unknown = vec!["adjust.99".into()];
    let verdict = case.adjust(&judge, env("A"));
    assert_eq!((lines(&verdict).len(), left(&verdict)), (0, Some(env("A"))));
    let changes = verdict.permitted.unwrap().changes().len();
    assert_eq!(changes, 1);
}
