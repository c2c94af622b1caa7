//! Adjustments as data: a spec, an adjustment, the spec that must come out.

mod cases;
mod conformance;
mod described;
mod properties;
mod refused;

use std::collections::BTreeMap;

use nri_wire::api::{
    ContainerAdjustment, Hook, Hooks, KeyValue, LinuxContainerAdjustment, LinuxResources, Mount, PosixRlimit,
};
use serde_json::Value;

use super::{Resolvers, write as apply};

/// Builds an adjustment.
fn adjust(build: impl FnOnce(&mut ContainerAdjustment)) -> ContainerAdjustment {
    let mut adjust = ContainerAdjustment::default();
    build(&mut adjust);
    adjust
}

/// Builds one of the Linux part.
fn linux(build: impl FnOnce(&mut LinuxContainerAdjustment)) -> ContainerAdjustment {
    adjust(|a| build(a.linux.get_or_insert_default()))
}

/// Builds one of resources.
fn resources(build: impl FnOnce(&mut LinuxResources)) -> ContainerAdjustment {
    linux(|l| build(l.resources.get_or_insert_default()))
}

fn env(list: &[(&str, &str)]) -> Vec<KeyValue> {
    list.iter().map(|(key, value)| KeyValue { key: (*key).to_owned(), value: (*value).to_owned() }).collect()
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn mount(destination: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.to_owned(),
        r#type: "bind".to_owned(),
        source: source.to_owned(),
        options: strings(options),
    }
}

fn hook(path: &str) -> Hook {
    Hook { path: path.to_owned(), ..Default::default() }
}

fn prestart(paths: &[&str]) -> Option<Hooks> {
    Some(Hooks { prestart: paths.iter().map(|path| hook(path)).collect(), ..Default::default() })
}

/// The adjusted spec must be `expect`, member order included, and applying once more must change nothing.
fn check_with(name: &str, spec: &Value, adjust: &ContainerAdjustment, with: &Resolvers, expect: &Value) {
    let applied = apply(spec, adjust, with).unwrap_or_else(|error| panic!("{name}: failed to {error}"));
    assert_eq!(applied.spec, *expect, "{name}");
    assert_eq!(applied.spec.to_string(), expect.to_string(), "{name}: order");
    let again = apply(&applied.spec, adjust, with).unwrap();
    assert_eq!(again.spec.to_string(), expect.to_string(), "{name}: applied twice");
}

fn check(name: &str, spec: &Value, adjust: &ContainerAdjustment, expect: &Value) {
    check_with(name, spec, adjust, &Resolvers::default(), expect);
}

fn texts(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn rlimit(kind: &str, hard: u64, soft: u64) -> PosixRlimit {
    PosixRlimit { r#type: kind.to_owned(), hard, soft }
}

type Case = (&'static str, Value, ContainerAdjustment, Value);

fn check_all(cases: Vec<Case>) {
    for (name, spec, adjust, expect) in cases {
        check(name, &spec, &adjust, &expect);
    }
}
