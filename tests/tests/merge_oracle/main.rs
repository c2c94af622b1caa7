//! The same cases on the reference's own adaptation: equal outcomes, but where a deviation is on the list.

mod random;

use nri_tests::merge::{Outcome, cases};
use nri_tests::oracle::Oracle;
use nri_tests::proto::json;
use nri_wire::api::{Container, ContainerAdjustment};
use nri_wire::field::is_marked;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::Value as Json;

use random::{creation, reasons};

/// Where a case names no reason to differ, the reference does what we do; where it names one, it does something else, or
/// the list is out of date. Cases whose reason is that the reference is random (D16) may agree by chance.
#[test]
fn every_case() {
    let Some(mut oracle) = Oracle::start(&[]) else { return };
    let mut wrong = Vec::new();
    for case in cases() {
        let (ours, line) = (case.run(), oracle.ask(&case.line()));
        let theirs = Outcome::of_reference(&line);
        let differs = difference(case.event, ours, theirs);
        match (case.differs, differs) {
            (None, Some(difference)) => wrong.push(format!("{}: {difference}", case.id)),
            (Some(why), None) if why != "D16" => wrong.push(format!("{}: {why} does not show", case.id)),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Random answers, always the same ones: where no quirk is in play, outcome, owners, errors and what each plugin was shown
/// are the reference's.
#[test]
fn random_answers() {
    const CASES: usize = 3000;
    let Some(mut oracle) = Oracle::start(&[]) else { return };
    let mut runner = TestRunner::deterministic();
    let (mut compared, mut merged) = (0, 0);
    for n in 0..CASES {
        let Ok(tree) = creation().new_tree(&mut runner) else { continue };
        let (case, answers) = tree.current();
        let line = oracle.ask(&case.line());
        let (ours, theirs) = (case.run(), Outcome::of_reference(&line));
        if reasons(&answers).is_empty() {
            compared += 1;
            merged += usize::from(ours.error.is_none());
            if let Some(difference) = difference("create", ours, theirs) {
                panic!("case {n}: {difference}\n{}", case.line());
            }
        }
    }
    assert!(compared > CASES / 4 && merged > CASES / 10, "{compared} compared, {merged} of them merged");
}

/// How the outcomes differ, order of marks and names of equal conflicts apart.
fn difference(event: &str, ours: Outcome, theirs: Outcome) -> Option<String> {
    let (mut ours, mut theirs) = (canonical(ours), canonical(theirs));
    if event != "create" {
        // Owners and views are known of creations only.
        ours.owners.owners.clear();
        theirs.owners.owners.clear();
        ours.shown.clear();
        theirs.shown.clear();
    }
    let parts = |outcome: &Outcome| {
        [
            ("adjust", outcome.adjust.iter().map(json).collect::<Vec<_>>().into()),
            ("update", outcome.updates.iter().map(json).collect::<Vec<_>>().into()),
            ("evict", outcome.evictions.iter().map(json).collect::<Vec<_>>().into()),
            ("owners", json(&outcome.owners)),
            ("shown", outcome.shown.iter().map(json).collect::<Vec<_>>().into()),
            ("error", outcome.error.clone().into()),
        ]
    };
    let pairs: [(&str, Json); 6] = parts(&ours);
    let differing: Vec<_> = pairs
        .iter()
        .zip(parts(&theirs))
        .filter(|(ours, theirs)| *ours != theirs)
        .map(|((part, ours), (_, theirs))| format!("{part}\n  ours   {ours}\n  theirs {theirs}"))
        .collect();
    (!differing.is_empty()).then(|| format!("differs in {}", differing.join("; ")))
}

/// Marks and namespaces come in an order that the reference leaves to chance; what each plugin was shown has RDT and CDI
/// devices in ours only (D11).
fn canonical(mut outcome: Outcome) -> Outcome {
    if let Some(adjust) = &mut outcome.adjust {
        sort_marks(adjust);
    }
    outcome.shown.iter_mut().for_each(sort_view);
    if let Some(error) = &mut outcome.error {
        unname(error);
        // The reference prints what was seen also of a failed request; how far it got is in the error.
        outcome.shown.clear();
    }
    outcome
}

/// Which of several keys of a map conflicts first, and with whom, is left to chance in the reference (D16).
fn unname(error: &mut String) {
    for field in ["Annotations", "Sysctl", "LinuxNetDevices", "CgroupsUnified"] {
        if let Some((plugins, _)) = error.split_once(&format!(" both tried to set {field} ")) {
            let plugin = plugins.split(" and ").next().unwrap_or_default();
            *error = format!("{plugin} {field}");
            return;
        }
    }
}

fn sort_marks(adjust: &mut ContainerAdjustment) {
    let rank = |key: &str| is_marked(key).map_or((1, String::new()), |key| (0, key.to_owned()));
    adjust.mounts.sort_by_key(|mount| rank(&mount.destination));
    if let Some(linux) = &mut adjust.linux {
        linux.namespaces.sort_by_key(|namespace| rank(&namespace.r#type));
    }
}

fn sort_view(container: &mut Container) {
    container.cdi_devices.clear();
    if let Some(linux) = &mut container.linux {
        linux.rdt = None;
        linux.namespaces.sort_by(|a, b| a.r#type.cmp(&b.r#type));
    }
}
