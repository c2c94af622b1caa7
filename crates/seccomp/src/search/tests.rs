use proptest::prelude::*;

use super::*;
use crate::decision::{Check, Word, evaluate};

const BITS: u32 = 3;

/// Words of three bits: arg0.lo, arg0.hi, arg1.lo.
fn word(at: u8) -> Word {
    if at == 1 { Word::upper(0).unwrap() } else { Word::lower(at / 2).unwrap() }
}

fn effect() -> impl Strategy<Value = Effect> {
    prop_oneof![Just(Effect::Allow), Just(Effect::Errno(1)), Just(Effect::Log), Just(Effect::KillThread)]
}

fn test() -> impl Strategy<Value = (Test, bool)> {
    let check = prop_oneof![Just(Check::Eq), Just(Check::MaskedEq), Just(Check::Gt), Just(Check::Ge)];
    (0u8..3, check, 0u32..8, 0u32..8, any::<bool>()).prop_map(|(at, check, mask, datum, outcome)| {
        let mask = if check == Check::MaskedEq { mask } else { u32::MAX };
        (Test { word: word(at), check, mask, datum: datum & mask }, outcome)
    })
}

fn list() -> impl Strategy<Value = Vec<Path>> {
    let path = (proptest::collection::vec(test(), 1..4), effect());
    (proptest::collection::vec(path, 0..6), effect()).prop_map(|(paths, default)| {
        let small = (0..3).map(|at| {
            // Beyond three bits both lists answer alike, so that every difference is within.
            let test = Test { word: word(at), check: Check::Gt, mask: u32::MAX, datum: (1 << BITS) - 1 };
            Path { tests: vec![(test, true)], effect: Effect::Trap }
        });
        small
            .chain(paths.into_iter().map(|(tests, effect)| Path { tests, effect }))
            .chain([Path { tests: Vec::new(), effect: default }])
            .collect()
    })
}

fn args(point: &Point) -> [u64; 6] {
    std::array::from_fn(|at| u64::from(point[2 * at]) | u64::from(point[2 * at + 1]) << 32)
}

fn looser(old: Effect, new: Effect) -> bool {
    old != new && (new == Effect::Allow || old == Effect::KillThread)
}

proptest! {
    /// Against all values of words of three bits.
    #[test]
    fn as_trying_everything(old in list(), new in list()) {
        let differs = |args: &[u64; 6]| {
            looser(evaluate(&old, args).unwrap(), evaluate(&new, args).unwrap())
        };
        match find(&old, &new, looser, &mut Budget::new()).unwrap() {
            Some(point) => prop_assert!(differs(&args(&point)), "{point:?}"),
            None => {
                for all in 0..512u64 {
                    let args = [all & 7 | (all >> 3 & 7) << 32, all >> 6, 0, 0, 0, 0];
                    prop_assert!(!differs(&args), "{args:?}");
                }
            }
        }
    }
}

/// Cubes that cover everything, each bit of the words in turn: no point is left, and each step is needed.
#[test]
fn a_cover_is_seen() {
    let test = |bit: u32, outcome| {
        (Test { word: word(0), check: Check::MaskedEq, mask: 1 << bit, datum: 1 << bit }, outcome)
    };
    let mut old: Vec<Path> = (0..32)
        .map(|bit| Path {
            tests: (0..bit).map(|lower| test(lower, false)).chain([test(bit, true)]).collect(),
            effect: Effect::Allow,
        })
        .collect();
    old.push(Path { tests: (0..32).map(|bit| test(bit, false)).collect(), effect: Effect::Allow });
    old.push(Path { tests: Vec::new(), effect: Effect::Errno(1) });
    let new = [Path { tests: Vec::new(), effect: Effect::Allow }];
    let loosens = |old, new| old == Effect::Errno(1) && new == Effect::Allow;
    assert_eq!(find(&old, &new, loosens, &mut Budget::new()), Ok(None));
    // Without one of them there is exactly one kind of point.
    old.remove(7);
    let point = find(&old, &new, loosens, &mut Budget::new()).unwrap().unwrap();
    assert_eq!(point[0] & 0xff, 0x80);
}

/// Random 3-SAT over 64 bits ends at the limit, always at the same place (`spec/seccomp.md` 3.5).
#[test]
fn hard_cases_end() {
    let mut state = 1u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut old: Vec<Path> = (0..290)
        .map(|_| {
            let (mut masks, mut data) = ([0u32; 2], [0u32; 2]);
            for _ in 0..3 {
                let bit = random(64);
                masks[usize::from(bit >= 32)] |= 1 << (bit % 32);
                data[usize::from(bit >= 32)] |= u32::try_from(random(2)).unwrap() << (bit % 32);
            }
            let half = |at: usize| {
                let word = if at == 1 { Word::upper(0).unwrap() } else { Word::lower(0).unwrap() };
                (Test { word, check: Check::MaskedEq, mask: masks[at], datum: data[at] & masks[at] }, true)
            };
            Path { tests: vec![half(1), half(0)], effect: Effect::Allow }
        })
        .collect();
    old.push(Path { tests: Vec::new(), effect: Effect::Errno(1) });
    let new = [Path { tests: Vec::new(), effect: Effect::Allow }];
    let loosens = |old, new| old == Effect::Errno(1) && new == Effect::Allow;
    let mut budget = Budget::new();
    assert_eq!(find(&old, &new, loosens, &mut budget), Err(Spent));
    let (mut again, left) = (Budget::new(), budget.policy);
    assert_eq!(find(&old, &new, loosens, &mut again), Err(Spent));
    assert_eq!(again.policy, left);
}
