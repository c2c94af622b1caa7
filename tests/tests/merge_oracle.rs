//! The same cases on the reference's own adaptation: equal outcomes, but where a deviation is on the list.

mod oracle;

use nri_tests::merge::{Outcome, cases};

use oracle::Oracle;

/// Where a case names no reason to differ, the reference does what we do; where it names one, it does something else, or
/// the list is out of date. Cases whose reason is that the reference is random (D16) may agree by chance.
#[test]
fn every_case() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut wrong = Vec::new();
    for case in cases() {
        let (ours, line) = (case.run(), oracle.ask(&case.line()));
        let theirs = Outcome::of_reference(&line);
        let equal = agree(case.event, &ours, &theirs);
        match case.differs {
            None if !equal => {
                wrong.push(format!("{}: differs\n  ours   {ours:?}\n  theirs {theirs:?}\n  {line}", case.id));
            }
            Some(why) if equal && why != "D16" => wrong.push(format!("{}: {why} does not show", case.id)),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Owners are known of creations only.
fn agree(event: &str, ours: &Outcome, theirs: &Outcome) -> bool {
    ours.adjust == theirs.adjust
        && ours.updates == theirs.updates
        && ours.evictions == theirs.evictions
        && ours.error == theirs.error
        && (event != "create" || ours.owners == theirs.owners)
}
