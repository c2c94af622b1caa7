//! What a policy is in the end: presets, `extends`, the short form, defaults, the hash.

use std::collections::BTreeMap;

use super::{loaded, policy};
use crate::document::load::PolicySet;
use crate::document::policy::{Match, Policy};
use crate::document::word::{ClientOverride, Invariant, Proof};
use crate::rule::Mode;

/// The fields of a level, each with its rule as JSON.
fn fields(policy: &Policy, level: &str) -> BTreeMap<&'static str, String> {
    let level = policy.level(level).unwrap();
    level.fields.iter().map(|(key, rule)| (key.name(), rule.node.to_json().to_string())).collect()
}

fn one(spec: &str) -> Policy {
    let loaded = loaded(&[&policy(spec)]);
    assert_eq!(loaded.diagnostics.errors(), 0, "{:?}", loaded.diagnostics.list());
    loaded.policies.into_iter().next().unwrap()
}

fn hash(texts: &[&str]) -> String {
    loaded(texts).into_set().unwrap().hash.into()
}

#[test]
fn levels_extend_key_by_key() {
    let policy = one(
        "levels:\n  - {name: c, extends: b, fields: {env: deny}, updates: {evict: deny}}\n  - name: a\n    requireProof: medium\n    mayOverrideClient: true\n    mode: warn\n    onViolation: reject\n    fields: {env: allow, args: allow, \"@cpu\": {bound: {max: requested}}}\n    updates: {self: allow, evict: allow}\n  - {name: b, extends: a, mode: audit, fields: {\"@cpu\": {ops: [add]}}}",
    );
    let c = policy.level("c").unwrap();
    assert_eq!(c.require_proof.as_ref().unwrap().value, Proof::Medium);
    assert_eq!((c.may_override_client, c.mode), (Some(true), Some(Mode::Audit)));
    assert!(c.on_violation.is_some());
    let expect = BTreeMap::from([
        ("env", "\"deny\"".to_owned()),
        ("args", "\"allow\"".to_owned()),
        ("@cpu", "{\"ops\":[\"add\"]}".to_owned()),
    ]);
    assert_eq!(fields(&policy, "c"), expect);
    let updates: Vec<_> = c.updates.iter().map(|(kind, grant)| (kind.word(), grant.allow)).collect();
    assert_eq!(updates, [("self", true), ("evict", false)]);
}

#[test]
fn presets_are_joined() {
    let policy = one(
        "extends: preset/baseline@v1\nclientOverride: ignore\ninvariants: [no-host-namespace-join]\nlevels:\n  - {name: unauthenticated, fields: {env: allow}}\n  - {name: gpu, extends: authenticated, fields: {devices: allow}}\nidentities: [{name: i, level: gpu, match: {listener: x}}]",
    );
    assert_eq!(policy.client_override, ClientOverride::Ignore);
    assert_eq!(policy.invariants.len(), 3);
    assert_eq!(fields(&policy, "unauthenticated"), BTreeMap::from([("env", "\"allow\"".to_owned())]));
    let gpu = fields(&policy, "gpu");
    assert_eq!(
        (&*gpu["devices"], &*gpu["hooks"], &*gpu["seccomp"]),
        ("\"allow\"", "\"deny\"", "\"tighten\"")
    );
    assert_eq!(&*policy.default_level.unwrap().value, "unauthenticated");
    assert!(one("extends: preset/compat").invariants.is_empty());
    assert!(one("extends: preset/restricted").invariants.contains_key(&Invariant::NoSeccompLoosening));
}

/// `securityProfileEditRule` is the key `seccomp` of every level that has none of the policy's own (`policy.md` 5).
#[test]
fn the_short_form_for_seccomp() {
    let rule = "noSecurityProfileEdits";
    let policy = one(&format!(
        "securityProfileEditRule: {rule}\nextends: preset/baseline@v1\nlevels:\n  - name: none\n  - {{name: group, fields: {{\"@security\": allow, \"*\": allow}}}}\n  - {{name: own, fields: {{seccomp: any}}}}\n  - {{name: inherited, extends: own}}\n  - {{name: preset, extends: authenticated}}",
    ));
    for (level, expect) in [
        ("none", rule),
        ("group", rule),
        ("own", "any"),
        ("inherited", "any"),
        ("preset", rule),
        ("authenticated", rule),
        ("unauthenticated", rule),
    ] {
        assert_eq!(fields(&policy, level)["seccomp"], format!("{expect:?}"), "{level}");
    }
}

#[test]
fn proofs() {
    let proof = |text: &str| {
        let policy =
            one(&format!("levels: [{{name: l}}]\nidentities: [{{name: i, level: l, match: {text}}}]"));
        policy.identities[0].matches.proof().word()
    };
    let digest = "9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c";
    for (text, expect) in [
        ("{}", "weak"),
        ("{pluginName: a, index: 10}", "weak"),
        ("{pluginName: a, listener: x}", "medium"),
        ("{peer: {uid: 0}}", "medium"),
        ("{peer: {}}", "weak"),
        ("{pod: {namespace: a, labels: {a: b}}}", "medium"),
        ("{launched: {path: /a}}", "medium"),
        ("{launched: {}}", "medium"),
    ] {
        assert_eq!(proof(text), expect, "{text}");
    }
    for (text, expect) in [
        ("{peer: {exeSha256: HASH}}", "medium"),
        ("{pod: {imageDigest: \"sha256:HASH\"}}", "strong"),
        ("{launched: {sha256: HASH}}", "strong"),
        ("{anyOf: [{launched: {sha256: HASH}}, {pluginName: a}]}", "weak"),
        ("{anyOf: [{launched: {sha256: HASH}}, {pod: {imageDigest: HASH}}]}", "strong"),
        ("{peer: {uid: 0}, anyOf: [{launched: {sha256: HASH}}, {pluginName: a}]}", "medium"),
        ("{launched: {sha256: HASH}, anyOf: [{pluginName: a}]}", "strong"),
    ] {
        assert_eq!(proof(&text.replace("HASH", digest)), expect, "{text}");
    }
    assert_eq!(Match::default().proof(), Proof::Weak);
}

/// The hash says what is in force, not how it was written (`policy.md` 9).
#[test]
fn the_hash() {
    let base = policy(
        "defaultLevel: a\nlevels:\n  - {name: a, fields: {env: {deny: [\"@loader-injection\"]}, args: allow}}",
    );
    let same = [
        policy(
            "mode: enforce\nlevels:\n  # words\n  - fields:\n      args: {}\n      env:\n        deny: ['@loader-injection']\n    name: a\n    requireProof: weak\ndefaultLevel: a",
        ),
        policy(
            "limits: {responseBytes: 1024Ki}\ndefaultLevel: a\nlevels:\n  - {name: a, fields: {env: {deny: [\"@loader-injection\"]}, args: allow}}",
        ),
    ];
    let others = [
        policy("defaultLevel: a\nlevels:\n  - {name: a, fields: {env: {deny: [\"@loader-injection\"]}}}"),
        policy(
            "mode: warn\ndefaultLevel: a\nlevels:\n  - {name: a, fields: {env: {deny: [\"@loader-injection\"]}, args: allow}}",
        ),
        base.replace("name: p", "name: q"),
    ];
    assert_eq!(hash(&[&base]).len(), 64);
    for text in &same {
        assert_eq!(hash(&[text]), hash(&[&base]), "{text}");
    }
    for text in &others {
        assert_ne!(hash(&[text]), hash(&[&base]), "{text}");
    }
    let other = &others[2];
    assert_eq!(hash(&[&base, other]), hash(&[other, &base]));
    assert_ne!(hash(&[&base, other]), hash(&[&base]));
}

#[test]
fn without_any_policy_compat_is_in_force() {
    let set = loaded(&[]).into_set().unwrap();
    assert_eq!(set.policies.len(), 1);
    assert_eq!((&*set.policies[0].name.value, set.policies[0].mode), ("compat", Mode::Audit));
    assert_eq!(set.short_hash().len(), 12);
    assert_eq!(set.hash, PolicySet::compat().hash);
}
