//! OCI application against the reference's generator: random specs and adjustments, the same result but for the
//! deviations that are listed by quirk.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a test a panic is how a failure is reported"
)]

mod case;
mod deviation;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use case::Case;
use deviation::DEVIATIONS;
use nri_runtime::oci::{self, Resolvers};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

const CASES: usize = 2500;

#[test]
fn the_same_as_the_reference_but_for_the_quirks() {
    let peers = match nri_tests::go::peers() {
        Ok(peers) => peers,
        Err(why) => return nri_tests::skipped(why),
    };
    let mut runner = TestRunner::deterministic();
    let strategy = case::strategy();
    let cases: Vec<Case> = (0..CASES).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect();
    let mut child = Command::new(peers)
        .args(["oracle", "generate"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text: String = cases.iter().map(|case| case.line().to_string() + "\n").collect();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()).unwrap());
    let theirs: Vec<Value> = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(theirs.len(), cases.len());

    let mut seen = BTreeSet::new();
    let mut same = 0;
    for (case, theirs) in cases.iter().zip(&theirs) {
        let differences = differences(&ours(case), &canonical(theirs));
        same += usize::from(differences.is_empty());
        for (pointer, both) in &differences {
            let known = DEVIATIONS.iter().find(|deviation| deviation.explains(pointer, both, case));
            let Some(known) = known else {
                let (ours, theirs) = both;
                panic!("{pointer} differs\nours   {ours}\ntheirs {theirs}\nof     {}", case.line());
            };
            seen.insert(known.id);
        }
    }
    // Without a shared mount on the host every mount that propagates fails, on both sides.
    let shared = std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(" shared:");
    let gone: Vec<&str> = DEVIATIONS
        .iter()
        .map(|deviation| deviation.id)
        .filter(|id| !seen.contains(id) && (shared || !id.starts_with("E4")))
        .collect();
    assert!(gone.is_empty(), "deviations that do not occur are none: {gone:?}");
    assert!(same > CASES / 10, "only {same} of {CASES} cases are the same: too few without a quirk");
}

/// Our outcome in the oracle's form.
fn ours(case: &Case) -> Value {
    let mut with = Resolvers::default().mountinfo(|| Ok(std::fs::read_to_string("/proc/self/mountinfo")?));
    let known = |class: &str, section: Value| match class {
        "gold" => Ok(section),
        other => Err(format!("unknown class {other}").into()),
    };
    if case.resolves {
        with = with
            .blockio(move |class| known(class, case::blockio()))
            .rdt(move |class| known(class, case::rdt_class()));
    }
    canonical(&match oci::apply_unmerged(&case.spec, &case.adjust, &with) {
        Ok(applied) => json!({"spec": applied.spec}),
        Err(error) => json!({"error": error.to_string()}),
    })
}

/// What remains of an outcome if it does not matter how Go writes what is not set. Texts of errors are not compared.
fn canonical(outcome: &Value) -> Value {
    let mut outcome = outcome.clone();
    if let Some(error) = outcome.get_mut("error") {
        *error = json!("some");
    }
    if let Some(panic) = outcome.get_mut("panic") {
        *panic = json!("some");
    }
    if let Some(process) = outcome.pointer_mut("/spec/process").and_then(Value::as_object_mut) {
        process.remove("user");
    }
    stripped(&outcome).unwrap_or_default()
}

fn stripped(value: &Value) -> Option<Value> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::String(text) if text.is_empty() => None,
        Value::Array(list) if list.is_empty() => None,
        Value::Array(list) => {
            Some(list.iter().map(|element| stripped(element).unwrap_or_default()).collect())
        }
        Value::Object(map) => {
            let map: Map<_, _> =
                map.iter().filter_map(|(name, value)| Some((name.clone(), stripped(value)?))).collect();
            (!map.is_empty()).then_some(Value::Object(map))
        }
        other => Some(other.clone()),
    }
}

/// Where two outcomes differ; lists are compared as a whole.
fn differences(ours: &Value, theirs: &Value) -> BTreeMap<String, (Value, Value)> {
    let mut found = BTreeMap::new();
    // Of an error only that it is one: the rest would be the whole spec.
    let kinds = |value: &Value| value.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>());
    let failed = |value: &Value| value.get("error").is_some() || value.get("panic").is_some();
    if failed(ours) || failed(theirs) {
        if kinds(ours) != kinds(theirs) {
            found.insert(String::new(), (ours.clone(), theirs.clone()));
        }
        return found;
    }
    let null = Value::Null;
    compare(ours.get("spec").unwrap_or(&null), theirs.get("spec").unwrap_or(&null), "", &mut found);
    found
}

fn compare(ours: &Value, theirs: &Value, pointer: &str, found: &mut BTreeMap<String, (Value, Value)>) {
    if let (Value::Object(a), Value::Object(b)) = (ours, theirs) {
        let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        for name in names {
            let null = Value::Null;
            let (a, b) = (a.get(name).unwrap_or(&null), b.get(name).unwrap_or(&null));
            compare(a, b, &format!("{pointer}/{name}"), found);
        }
    } else if (ours.is_null() && theirs.is_object()) || (theirs.is_null() && ours.is_object()) {
        let empty = json!({});
        let (a, b) =
            (if ours.is_null() { &empty } else { ours }, if theirs.is_null() { &empty } else { theirs });
        compare(a, b, pointer, found);
    } else if ours != theirs {
        found.insert(pointer.to_owned(), (ours.clone(), theirs.clone()));
    }
}
