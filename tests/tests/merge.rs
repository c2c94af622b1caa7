//! Merging, case by case (`spec/conformance-cases.md`, `spec/quirks.md` D).

use nri_tests::merge::cases;

/// Every case has the expected outcome, twice in a row: the same input gives the same bytes.
#[test]
fn every_case() {
    let mut wrong = Vec::new();
    for case in cases() {
        let outcome = case.run();
        assert_eq!(outcome, case.run(), "{}: not the same twice", case.id);
        if !outcome.is(&case.expect) {
            wrong.push(format!("{}\n  expected {}\n  got      {outcome:?}", case.id, case.expect));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
