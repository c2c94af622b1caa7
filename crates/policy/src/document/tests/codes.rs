//! Each error at least twice: code, place, path (`policy.md` 14).

use super::{check, file, found, policy};
use crate::diagnostic::{CODES, Severity};
use crate::document::load::load;
use crate::host::NoHost;

/// `spec`, which starts in line 5 and column 3, and what is said.
const SPECS: &[(&str, &[&str])] = &[
    // E011
    ("mode: warn\nmode: audit", &["E011 6:3-6:7 spec.mode"]),
    (
        "levels:\n  - name: a\n    fields: {env: deny, args: deny, \"env\": allow}",
        &["E011 7:39-7:44 spec.levels[0].fields.env"],
    ),
    // E012
    ("levels:\n  - &a {name: a}\n  - *a", &["E012 6:7-6:9 spec.levels[0]", "E012 7:7-7:9 spec.levels[1]"]),
    (
        "levels:\n  - name: !!str a\n  - name: b\n    <<: {mode: warn}",
        &["E012 6:13-6:18 spec.levels[0].name", "E012 8:7-8:9 spec.levels[1]"],
    ),
    // E021
    ("modes: warn", &["E021 5:3-5:8 spec.modes"]),
    (
        "levels:\n  - name: a\n    fields:\n      mount: deny\n      \"@cpus\": deny",
        &["E021 8:9-8:14 spec.levels[0].fields.mount", "E021 9:9-9:16 spec.levels[0].fields.@cpus"],
    ),
    ("scope: {namespace: [a]}", &["E021 5:11-5:20 spec.scope.namespace"]),
    (
        "identities:\n  - {name: i, level: l, match: {exe: /x}, levels: []}\nlevels: [{name: l}]",
        &[
            "W122 6:8-6:15 spec.identities[0].name",
            "E021 6:35-6:38 spec.identities[0].match.exe",
            "E021 6:45-6:51 spec.identities[0].levels",
        ],
    ),
    (
        "levels:\n  - name: a\n    updates: {other: allow, self: {target: {}}}",
        &["E021 7:17-7:22 spec.levels[0].updates.other", "E021 7:38-7:44 spec.levels[0].updates.self.target"],
    ),
    (
        "require:\n  - {plugin: a, fields: [env]}\n  - {plugin: b, meaning: owns, fields: [env, envs]}",
        &["E021 6:19-6:25 spec.require[0].fields", "E021 7:48-7:52 spec.require[1].fields[1]"],
    ),
    // E022
    ("extends: preset/base@v1", &["E022 5:12-5:26 spec.extends"]),
    ("extends: preset/baseline@v2", &["E022 5:12-5:30 spec.extends"]),
    ("extends: baseline", &["E022 5:12-5:20 spec.extends"]),
    ("invariants:\n  - no-seccomp-loosening\n  - no-hooks", &["E022 7:7-7:15 spec.invariants[1]"]),
    // E023
    (
        "identities:\n  - name: i\n    match: {pluginName: x}",
        &["E023 4:1-4:5 spec.identities[0].level", "W122 6:7-6:14 spec.identities[0].name"],
    ),
    ("levels:\n  - mode: warn", &["E023 4:1-4:5 spec.levels[0].name"]),
    (
        "require:\n  - meaning: connected\n  - {plugin: a, tolerate: {namespaces: [a]}}",
        &["E023 4:1-4:5 spec.require[0].plugin", "E023 4:1-4:5 spec.require[1].tolerate.annotation"],
    ),
    // E024
    ("mode: enforced", &["E024 5:9-5:17 spec.mode"]),
    ("mode: [enforce]", &["E024 5:9-5:18 spec.mode"]),
    ("levels: {name: a}", &["E024 5:11-5:20 spec.levels"]),
    ("levels:\n  - a\n  - name: 3", &["E024 6:7-6:8 spec.levels[0]", "E024 7:13-7:14 spec.levels[1].name"]),
    (
        "levels:\n  - name: a\n    mayOverrideClient: yes\n    requireProof: sure\n    fields: deny",
        &[
            "E024 7:26-7:29 spec.levels[0].mayOverrideClient",
            "E024 8:21-8:25 spec.levels[0].requireProof",
            "E024 9:15-9:19 spec.levels[0].fields",
        ],
    ),
    (
        "levels:\n  - name: a\n    updates: {self: maybe, evict: {onViolation: drop}}",
        &[
            "E024 7:23-7:28 spec.levels[0].updates.self",
            "E024 7:51-7:55 spec.levels[0].updates.evict.onViolation",
        ],
    ),
    (
        "scope:\n  labels: {tier: 1}\n  namespaces: {include: a}",
        &["E024 6:20-6:21 spec.scope.labels.tier", "E024 7:27-7:28 spec.scope.namespaces.include"],
    ),
    ("defaultLevel:", &["E024 5:15-5:15 spec.defaultLevel"]),
    (
        "identities:\n  - name: i\n    level: l\n    match:\n      index: 7\n      peer: {uid: root, gid: [0, -1], exeSha256: abc}\nlevels: [{name: l}]",
        &[
            "E024 9:16-9:17 spec.identities[0].match.index",
            "E024 10:21-10:25 spec.identities[0].match.peer.uid",
            "E024 10:36-10:38 spec.identities[0].match.peer.gid[1]",
            "E024 10:52-10:55 spec.identities[0].match.peer.exeSha256",
        ],
    ),
    ("securityProfileEditRule: tighten", &["E024 5:28-5:35 spec.securityProfileEditRule"]),
    // E030
    (
        "identities:\n  - {name: i, level: l, match: {launched: {path: /opt/**x}}}\nlevels: [{name: l}]",
        &["E030 6:52-6:60 spec.identities[0].match.launched.path"],
    ),
    (
        "identities:\n  - {name: i, level: l, match: {peer: {exe: \"/a/b**/c\"}}}\nlevels: [{name: l}]",
        &["E030 6:47-6:57 spec.identities[0].match.peer.exe"],
    ),
    // E031
    (
        "limits: {responseBytes: 1MiB, changesPerContainer: -1, updatesPerSecond: 1.5}",
        &[
            "E031 5:27-5:31 spec.limits.responseBytes",
            "E031 5:54-5:56 spec.limits.changesPerContainer",
            "E031 5:76-5:79 spec.limits.updatesPerSecond",
        ],
    ),
    (
        "require:\n  - {plugin: a, graceAfterBoot: 2}\n  - {plugin: b, graceAfterBoot: soon}",
        &["E031 6:35-6:36 spec.require[0].graceAfterBoot", "E031 7:35-7:39 spec.require[1].graceAfterBoot"],
    ),
    // E040
    ("defaultLevel: untrusted\nlevels:\n  - {name: untrustd}", &["E040 5:17-5:26 spec.defaultLevel"]),
    (
        "levels:\n  - {name: a, extends: b}\nidentities:\n  - {name: i, level: c, match: {listener: x}}",
        &["E040 6:26-6:27 spec.levels[0].extends", "E040 8:24-8:25 spec.identities[0].level"],
    ),
    ("levels:\n  - {name: a, extends: authenticated}", &["E040 6:26-6:39 spec.levels[0].extends"]),
    // E041
    ("levels:\n  - {name: a, extends: a}", &["E041 6:26-6:27 spec.levels[0].extends"]),
    (
        "levels:\n  - {name: x, extends: b}\n  - {name: c, extends: b}\n  - {name: b, extends: a}\n  - {name: a, extends: c}",
        &["E041 7:26-7:27 spec.levels[1].extends"],
    ),
    (
        "levels:\n  - {name: a, extends: b}\n  - {name: b, extends: a}\n  - {name: c, extends: d}\n  - {name: d, extends: c}",
        &["E041 6:26-6:27 spec.levels[0].extends", "E041 8:26-8:27 spec.levels[2].extends"],
    ),
    // E042
    (
        "levels:\n  - {name: a}\n  - name: b\n  - mode: warn\n    name: a",
        &["E042 9:7-9:14 spec.levels[2].name"],
    ),
    (
        "levels: [{name: l}]\nidentities:\n  - {name: i, level: l, match: {listener: x}}\n  - {name: i, level: l, match: {listener: y}}",
        &["E042 8:8-8:15 spec.identities[1].name"],
    ),
    // E043
    (
        "levels: [{name: a}, {name: b}]\nidentities:\n  - {name: i, level: a, match: {peer: {uid: [1, 2]}}}\n  - {name: j, level: b, match: {peer: {uid: [2, 1]}}}",
        &["E043 8:8-8:15 spec.identities[1].name"],
    ),
    (
        "levels: [{name: a}, {name: b}]\nidentities:\n  - {name: i, level: a, match: {listener: x}, priority: 1}\n  - {name: j, level: b, match: {listener: x}}\n  - {name: k, level: b, match: {listener: x}, priority: 1}\n  - {name: l, level: a, match: {listener: x}, priority: 1}",
        &["E043 9:8-9:15 spec.identities[2].name"],
    ),
    // E044
    (
        "levels: [{name: a, requireProof: strong}]\nidentities:\n  - name: gpu\n    level: a\n    match: {pod: {namespace: n}}",
        &["E044 7:7-7:16 spec.identities[0].name"],
    ),
    (
        "levels:\n  - {name: a, requireProof: medium}\n  - {name: b, extends: a}\nidentities:\n  - {name: i, level: b, match: {pluginName: x}}",
        &["E044 9:8-9:15 spec.identities[0].name", "W122 9:8-9:15 spec.identities[0].name"],
    ),
    (
        "levels: [{name: a, requireProof: strong}]\nidentities:\n  - {name: i, level: a, match: {anyOf: [{launched: {path: /a}}, {pod: {imageDigest: \"sha256:9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c\"}}]}}",
        &["E044 7:8-7:15 spec.identities[0].name"],
    ),
    // E061
    (
        "conditions: []\nrepeat: {violations: 2}",
        &["E061 5:3-5:13 spec.conditions", "E061 6:3-6:9 spec.repeat"],
    ),
    (
        "provenance: annotation\nparams: {}\naudit: {}",
        &["E061 5:3-5:13 spec.provenance", "E061 6:3-6:9 spec.params", "E061 7:3-7:8 spec.audit"],
    ),
    (
        "levels: [{name: a}]\nidentities:\n  - {name: i, level: a, match: {key: k, peer: {exeVerity: x}, launched: {verity: y}}}",
        &[
            "E061 7:35-7:38 spec.identities[0].match.key",
            "E061 7:50-7:59 spec.identities[0].match.peer.exeVerity",
            "E061 7:76-7:82 spec.identities[0].match.launched.verity",
        ],
    ),
];

/// A rule in line 8, from column 9, and what is said.
const RULES: &[(&str, &[&str])] = &[
    ("env: {deny: [\"@loader\"]}", &["E022 8:22-8:31 spec.levels[0].fields.env.deny[0]"]),
    ("sysctl: {allow: [\"@loader-injection\"]}", &["E022 8:26-8:45 spec.levels[0].fields.sysctl.allow[0]"]),
    ("env: {allow: [{key: a}]}", &["E021 8:24-8:27 spec.levels[0].fields.env.allow[0].key"]),
    ("\"@cpu\": {allow: [{}]}", &["E021 8:18-8:23 spec.levels[0].fields.@cpu.allow"]),
    ("seccomp: {mode: warn}", &["E023 4:1-4:5 spec.levels[0].fields.seccomp"]),
    ("seccomp: {localhost: listener}", &["E023 4:1-4:5 spec.levels[0].fields.seccomp"]),
    ("pids.limit: maybe", &["E024 8:21-8:26 spec.levels[0].fields.pids.limit"]),
    (
        "env: {mode: enforced, ops: [ad]}",
        &["E024 8:21-8:29 spec.levels[0].fields.env.mode", "E024 8:37-8:39 spec.levels[0].fields.env.ops[0]"],
    ),
    (
        "mounts: {deny: [{source: \"/a/b**\"}]}",
        &["E030 8:34-8:42 spec.levels[0].fields.mounts.deny[0].source"],
    ),
    ("memory.swap: {bound: {max: 3MiB}}", &["E031 8:36-8:40 spec.levels[0].fields.memory.swap.bound.max"]),
    ("args: {bound: {max: 3}}", &["E032 8:16-8:21 spec.levels[0].fields.args.bound"]),
    ("cpu.shares: {bound: {max: host}}", &["E032 8:30-8:33 spec.levels[0].fields.cpu.shares.bound.max"]),
    ("env: {when: \"true\"}", &["E061 8:15-8:19 spec.levels[0].fields.env.when"]),
];

/// Whole texts, and what is said.
const TEXTS: &[(&str, &[&str])] = &[
    // E013
    ("a: [1, 2\n", &["E013 1:4-1:4 a[1]"]),
    ("kind: \"x\n", &["E013 1:7-1:7 kind"]),
    // E020
    ("apiVersion: policy.nri-rs/v1\nkind: PluginPolicy\nmetadata: {}\n", &["E020 1:13-1:29 apiVersion"]),
    ("apiVersion: policy.nri-rs/v1alpha1\nkind: Policy\n", &["E020 2:7-2:13 kind"]),
    ("apiVersion: v1\nkind: ConfigMap\n", &["E020 1:13-1:15 apiVersion", "E020 2:7-2:16 kind"]),
    (
        "{\"apiVersion\": 1,\n \"kind\": [\"PluginPolicy\"]}\n",
        &["E020 1:16-1:17 apiVersion", "E020 2:10-2:26 kind"],
    ),
    // E023
    ("# words\n\nkind: PluginPolicy\nspec: {}\n", &["E023 3:1-3:5 apiVersion", "E023 3:1-3:5 metadata"]),
    (
        "---\napiVersion: policy.nri-rs/v1alpha1\nkind: PluginPolicy\nmetadata: {labels: {a: b}}\n",
        &["E023 2:1-2:11 metadata.name", "E023 2:1-2:11 spec"],
    ),
    ("{\"spec\": {}}", &["E023 1:1-1:8 apiVersion", "E023 1:1-1:8 kind", "E023 1:1-1:8 metadata"]),
    // E024
    ("just words\n", &["E024 1:1-1:11 "]),
    (
        "apiVersion: policy.nri-rs/v1alpha1\nkind: PluginPolicy\nmetadata: {name: \"\"}\nspec: []\n",
        &["E024 3:18-3:20 metadata.name", "E024 4:7-4:9 spec"],
    ),
    // Other kinds of ours are not looked into.
    ("apiVersion: policy.nri-rs/v1alpha1\nkind: PluginPolicyTest\nwhat: ever\n", &[]),
    ("", &[]),
];

#[test]
fn errors_and_where_they_stand() {
    check(SPECS.iter().map(|(spec, expect)| (policy(spec), *expect)));
    let rule = |rule: &str| policy(&format!("levels:\n  - name: a\n    fields:\n      {rule}"));
    check(RULES.iter().map(|(text, expect)| (rule(text), *expect)));
    check(TEXTS.iter().map(|(text, expect)| ((*text).to_owned(), *expect)));
}

#[test]
fn errors_between_files() {
    let one = policy("mode: warn");
    let other = one.replace("{name: p}", "\n  labels: {}\n  name: p");
    assert_eq!(found(&[&one, &other]), ["E042 1.yaml:5:3-5:10 metadata.name"]);
    assert_eq!(found(&[&format!("{one}---\n{one}")]), ["E042 9:12-9:19 metadata.name"]);
    let broken = format!("{one}---\nspec: [\n---\nmode\n");
    assert_eq!(
        found(&[&broken, &one.replace("name: p", "name: q")]),
        ["E013 0.yaml:7:7-7:7 spec[0]", "E024 0.yaml:9:1-9:5 "]
    );
}

#[test]
fn files_that_cannot_be_trusted_or_read() {
    let mut untrusted = file("a.yaml", &policy("mode: warn"));
    untrusted.distrust = Some("owned by user 1000".to_owned());
    let mut latin = file("b.yaml", "");
    latin.content = b"a: 1\nb: \xe4\n".to_vec();
    let mut large = file("c.yaml", "");
    large.content = vec![b'#'; (1 << 20) + 1];
    let loaded = load(vec![large, latin, untrusted], &NoHost);
    let found: Vec<_> =
        loaded.diagnostics.list().iter().map(|d| format!("{} {}", d.code, d.span.start)).collect();
    assert_eq!(found, ["E010 1:1", "E013 2:4", "E013 1:1"]);
    assert!(loaded.into_set().is_err());
}

/// Every code that the reading of documents has is in a table here, or among the warnings; rules have theirs.
#[test]
fn every_error_is_here() {
    let tables = SPECS.iter().chain(RULES).chain(TEXTS);
    let lines: Vec<&str> = tables.flat_map(|(_, expect)| expect.iter().copied()).collect();
    let elsewhere = ["E010", "E050", "E060", "E070"];
    for info in CODES.iter().filter(|info| info.code.severity() == Severity::Error) {
        let count = lines.iter().filter(|line| line.starts_with(info.name)).count();
        assert!(count >= 2 || elsewhere.contains(&info.name), "{} has {count} cases", info.name);
    }
}
