//! Each warning at least twice where it is due, and where it is not.

use super::{check, file, found, loaded, policy};
use crate::document::load::load;
use crate::document::preset::PRESETS;
use crate::host::{Host, Unknown};

const LEVEL: &str = "levels:\n  - name: a\n    fields:\n";

/// A policy whose level has this one line among its fields, in line 8 from column 9.
fn field(rule: &str) -> String {
    policy(&format!("{LEVEL}      {rule}"))
}

/// `spec`, which starts in line 5 and column 3, and what is said.
const SPECS: &[(&str, &[&str])] = &[
    (
        "defaultLevel: a\nlevels:\n  - name: a\n    fields: {\"*\": allow}\n  - name: b\n    fields: {\"*\": allow}",
        &["W101 8:16-8:19 spec.levels[0].fields.*"],
    ),
    (
        "levels:\n  - name: a\n    fields:\n      \"*\": {ops: [add, remove]}\nidentities:\n  - {name: i, level: a, match: {pluginName: x, index: 10}}",
        &["W101 8:9-8:12 spec.levels[0].fields.*", "W122 10:8-10:15 spec.identities[0].name"],
    ),
    (
        "mode: warn\ndefaultLevel: b\nlevels:\n  - name: a\n    fields: {\"*\": allow}\n  - {name: b, extends: a}",
        &["W101 9:16-9:19 spec.levels[0].fields.*"],
    ),
    ("defaultLevel: a\nlevels:\n  - name: a\n    fields: {\"*\": {ops: []}, env: allow}", &[]),
    ("scope: {labels: {a: b}}", &["W103 5:3-5:8 spec.scope"]),
    ("mode: warn\nscope:\n  labels: {a: b}\n  namespaces: {}", &["W103 6:3-6:8 spec.scope"]),
    ("scope: {labels: {a: b}, namespaces: {include: [\"*\"]}}", &[]),
    (
        "require:\n  - plugin: a\n    tolerate: {annotation: x}\n  - {plugin: b, tolerate: {annotation: x, namespaces: []}}",
        &["W104 7:7-7:15 spec.require[0].tolerate", "W104 8:19-8:27 spec.require[1].tolerate"],
    ),
    ("require: [{plugin: a, tolerate: {annotation: x, namespaces: [\"*\"]}}]", &[]),
    ("scope: {namespaces: {exclude: [\"kube-*\"]}}", &["W105 5:3-5:8 spec.scope"]),
    ("scope:\n  namespaces: {include: [prod, \"dev-*\"]}", &["W105 5:3-5:8 spec.scope"]),
    ("scope: {namespaces: {include: [\"*\"]}}", &[]),
    (
        "identities:\n  - name: i\n    match: {pluginName: x}\n    level: a\n  - {name: j, level: a, match: {anyOf: [{index: \"10\"}, {listener: x}]}}\n  - {name: k, level: a, match: {pluginName: y, listener: x}}\nlevels: [{name: a}]",
        &["W122 6:7-6:14 spec.identities[0].name", "W122 9:8-9:15 spec.identities[1].name"],
    ),
];

/// A rule in line 8, from column 9, and what is said.
const FIELDS: &[(&str, &[&str])] = &[
    ("hooks: allow", &["W102 8:9-8:14 spec.levels[0].fields.hooks"]),
    (
        "hooks: {mode: warn, allow: [{path: /a, sha256: 4be1c0de4be1c0de4be1c0de4be1c0de4be1c0de4be1c0de4be1c0de4be1c0de}, {path: /b}]}",
        &["W102 8:9-8:14 spec.levels[0].fields.hooks"],
    ),
    ("hooks: {allow: [{sha256: 4be1c0de4be1c0de4be1c0de4be1c0de4be1c0de4be1c0de4be1c0de4be1c0de}]}", &[]),
    ("hooks: {allow: []}", &[]),
    ("hooks: deny", &[]),
    ("devices: {allow: [{path: /dev/x}]}", &["W111 8:9-8:16 spec.levels[0].fields.devices"]),
    (
        "devices: {allow: [{host: /dev/x}, {path: \"/dev/**\", access: r}]}",
        &["W111 8:9-8:16 spec.levels[0].fields.devices"],
    ),
    ("devices: {allow: [{host: /dev/x, path: /dev/y}, {path: /dev/z, number: \"c 1:3\"}]}", &[]),
    ("cdiDevices: allow", &["W112 8:9-8:19 spec.levels[0].fields.cdiDevices"]),
    ("cdiDevices: {allow: [{name: \"a.b/c=*\"}]}", &["W112 8:9-8:19 spec.levels[0].fields.cdiDevices"]),
    ("cdiDevices: {allow: [{name: \"a.b/c=*\"}], expand: {}}", &[]),
    ("annotations: allow", &["W113 8:9-8:20 spec.levels[0].fields.annotations"]),
    (
        "annotations: {allow: [{key: \"*\"}], deny: [{key: x}]}",
        &["W113 8:9-8:20 spec.levels[0].fields.annotations"],
    ),
    ("annotations: {deny: [\"@runtime-control\"]}", &[]),
    ("mounts: {allow: [{source: /a}]}", &["W132 8:9-8:15 spec.levels[0].fields.mounts"]),
    (
        "mounts: {allow: [{source: /a, resolve: real}, {source: \"/b/**\"}]}",
        &["W132 8:9-8:15 spec.levels[0].fields.mounts"],
    ),
    ("mounts: {allow: [{source: /a/b, resolve: no-symlinks}, {type: tmpfs}]}", &[]),
];

#[test]
fn warnings_and_where_they_stand() {
    check(SPECS.iter().map(|(spec, expect)| (policy(spec), *expect)));
    check(FIELDS.iter().map(|(rule, expect)| (field(rule), *expect)));
}

#[test]
fn warnings_between_files() {
    let named = |name: &str, spec: &str| policy(spec).replace("name: p", &format!("name: {name}"));
    let one = named("one", "defaultLevel: a\nlevels: [{name: a}]");
    let other = named("other", "mode: warn\nlevels: [{name: a}]\ndefaultLevel: a");
    assert_eq!(found(&[&one, &other]), ["W107 1.yaml:7:3-7:15 spec.defaultLevel"]);
    let preset = named("preset", "extends: preset/baseline@v1");
    assert_eq!(found(&[&one, &preset]), ["W107 1.yaml:5:12-5:30 spec.extends"]);
    let some = named("some", "scope: {namespaces: {exclude: [a, \"b*\"]}}");
    let rest = named("rest", "scope: {namespaces: {include: [a]}}");
    assert_eq!(found(&[&some, &rest]), ["W105 0.yaml:5:3-5:8 spec.scope"]);
    assert_eq!(found(&[&some, &rest.replace("[a]", "[a, b, \"b?*\"]")]), [""; 0]);
    assert_eq!(found(&[&some, &one]), [""; 0]);
}

#[test]
fn presets_are_clean() {
    for preset in PRESETS {
        assert_eq!(found(&[preset.text]), [""; 0], "{}", preset.name);
        let extended = policy(&format!("extends: {}", preset.full_name()));
        assert_eq!(found(&[&extended]), [""; 0], "{}", preset.name);
    }
}

#[derive(Debug)]
struct Folders;

impl Host for Folders {
    fn is_writable_by_others(&self, path: &str) -> Result<bool, Unknown> {
        Ok(path == "/home/u")
    }
}

#[test]
fn sources_that_others_can_write_to() {
    let count = |rule: &str| {
        let loaded = load(vec![file("a", &field(rule))], &Folders);
        loaded.diagnostics.list().iter().filter(|d| d.code.name() == "W131").count()
    };
    assert_eq!(count("mounts: {allow: [{source: \"/home/u/**\", resolve: no-symlinks}]}"), 1);
    assert_eq!(count("mounts: {allow: [{source: /usr/lib/x}, {source: \"/home/u/a?\"}]}"), 1);
    assert_eq!(count("mounts: {allow: [{source: \"/usr/**\"}, {destination: \"/home/u/**\"}]}"), 0);
}

/// Warnings do not keep a policy from loading.
#[test]
fn warnings_load() {
    assert!(loaded(&[&field("hooks: allow")]).into_set().is_ok());
}
