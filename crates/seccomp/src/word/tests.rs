use proptest::prelude::*;

use super::*;

/// Tests about words of few bits, so that all values can be tried.
fn tests(bits: u32) -> impl Strategy<Value = Vec<(Test, bool)>> {
    let check = prop_oneof![Just(Check::Eq), Just(Check::MaskedEq), Just(Check::Gt), Just(Check::Ge)];
    let top = (1u32 << bits) - 1;
    let one = (check, 0..=top, 0..=top, any::<bool>()).prop_map(|(check, mask, datum, outcome)| {
        let word = Word::lower(0).unwrap();
        let mask = if check == Check::MaskedEq { mask } else { u32::MAX };
        (Test { word, check, mask, datum: datum & mask }, outcome)
    });
    proptest::collection::vec(one, 0..12)
}

/// Keeps a word within its low bits.
fn within(bits: u32) -> (Test, bool) {
    (Test { word: Word::lower(0).unwrap(), check: Check::Gt, mask: u32::MAX, datum: (1 << bits) - 1 }, false)
}

proptest! {
    /// A witness satisfies every test, and there is none only if no value does.
    #[test]
    fn witnesses_are_found_exactly_where_there_are_any(tests in tests(5)) {
        let tests: Vec<(Test, bool)> = tests.into_iter().chain([within(5)]).collect();
        let holds = |x: u32| tests.iter().all(|(test, outcome)| test.holds(x) == *outcome);
        let mut words = Words::new();
        let found = if words.assume_all(&tests) { words.point(&mut Budget::new()).unwrap() } else { None };
        match found {
            Some(point) => prop_assert!(holds(point[0]), "{}", point[0]),
            None => prop_assert_eq!((0..32).find(|&x| holds(x)), None),
        }
    }

    /// What is said to be decided comes out so for every value left.
    #[test]
    fn what_is_decided_is_so(tests in tests(5)) {
        let mut words = Words::new();
        let tests: Vec<(Test, bool)> = tests.into_iter().chain([within(4)]).collect();
        let (last, before) = tests.split_last().unwrap();
        if words.assume_all(before) && let Some(decided) = words.decided(&last.0) {
            for x in 0..64 {
                if before.iter().all(|(test, outcome)| test.holds(x) == *outcome) {
                    prop_assert_eq!(last.0.holds(x), decided);
                }
            }
        }
    }

    /// Going back forgets what was assumed since and nothing else.
    #[test]
    fn going_back(first in tests(5), then in tests(5)) {
        let first: Vec<(Test, bool)> = [within(5)].into_iter().chain(first).collect();
        let mut words = Words::new();
        if words.assume_all(&first) {
            let mark = words.mark();
            if words.assume_all(&then) {
                words.point(&mut Budget::new()).unwrap();
            }
            words.back_to(mark);
            let found = words.point(&mut Budget::new()).unwrap();
            let holds = |x: u32| first.iter().all(|(test, outcome)| test.holds(x) == *outcome);
            prop_assert_eq!(found.is_some(), (0..32).any(holds));
            prop_assert!(found.is_none_or(|point| holds(point[0])));
        }
    }

    #[test]
    fn smallest_value_of_a_cube(mask in 0u32..64, value in 0u32..64, from in 0u32..64) {
        let cube = Cube { mask, value: value & mask };
        let expect = (from..=u32::MAX).take(256).find(|&x| cube.holds(x));
        prop_assert_eq!(cube.smallest(from), expect);
    }
}

#[test]
fn the_ends_of_a_word() {
    let word = Word::upper(5).unwrap();
    let test = |check, mask, datum| Test { word, check, mask, datum };
    let max = u32::MAX;
    let found = |tests: &[(Test, bool)]| {
        let mut words = Words::new();
        let point = if words.assume_all(tests) { words.point(&mut Budget::new()).unwrap() } else { None };
        point.map(|point| point[11])
    };
    for (tests, expect) in [
        (vec![(test(Check::Gt, max, max), true)], None),
        (vec![(test(Check::Gt, max, max), false)], Some(0)),
        (vec![(test(Check::Ge, max, 0), true)], Some(0)),
        (vec![(test(Check::Ge, max, 0), false)], None),
        (vec![(test(Check::Ge, max, max), true)], Some(max)),
        (vec![(test(Check::Ge, max, max), true), (test(Check::Eq, max, max), false)], None),
        (vec![(test(Check::MaskedEq, 0, 0), true)], Some(0)),
        (vec![(test(Check::MaskedEq, 0, 0), false)], None),
        // A datum with bits outside the mask never comes up.
        (vec![(test(Check::MaskedEq, 1, 3), true)], None),
        (vec![(test(Check::MaskedEq, 1, 3), false)], Some(0)),
        (vec![(test(Check::MaskedEq, 1 << 31, 1 << 31), true)], Some(1 << 31)),
        (vec![(test(Check::Eq, max, 0), false), (test(Check::MaskedEq, 1, 1), false)], Some(2)),
        (vec![(test(Check::MaskedEq, 1, 1), false), (test(Check::MaskedEq, 1, 0), false)], None),
        (vec![(test(Check::Ge, max, 7), true), (test(Check::Gt, max, 6), false)], None),
    ] {
        assert_eq!(found(&tests), expect, "{tests:?}");
    }
}
