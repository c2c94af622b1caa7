//! Merged policies: what libseccomp makes of them answers each call with the meet (`spec/seccomp.md` 7.2).

use nri_seccomp::merge::{Mode, merge};
use nri_tests::seccomp::library::Driver;
use nri_tests::seccomp::order::Order;
use nri_tests::seccomp::policies::HOSTS;
use nri_tests::seccomp::solver::{Solver, Verdict};
use serde_json::{Value, json};

use crate::kit::{Oracle, call, pair, points, random, times};
use crate::model::{host, read};

/// No call is answered more loosely than by either side, says the solver; and, where the result is exact, none other than
/// with the meet, as far as trying shows.
#[test]
fn random_pairs() {
    let (Some(mut oracle), Some(mut solver)) = (Oracle::start(), Solver::start()) else { return };
    let mut random = random(12);
    let archs = HOSTS[0];
    let (mut merged, mut approximate, mut failed) = (0, 0, 0);
    for n in 0..times(120) {
        let (a, b) = pair(&mut random, archs);
        let policies = [&a, &b].map(|policy| (!policy.is_null()).then(|| read(policy)));
        let run = |mode| merge(policies[0].as_ref(), policies[1].as_ref(), &host(archs), mode);
        let exact = run(Mode::Exact);
        let is_exact = exact.is_ok();
        let Ok(m) = exact.or_else(|_| run(Mode::Approximate)) else {
            failed += 1;
            continue;
        };
        let m = m.policy.map_or(Value::Null, |policy| policy.to_json());
        let show = || format!("pair {n}\na {a}\nb {b}\nmerged {m}");
        let sides = (oracle.filter(&a, archs, Driver::OldRunc), oracle.filter(&b, archs, Driver::OldRunc));
        let (Ok(side_a), Ok(side_b)) = sides else { continue };
        let both = oracle.filter(&m, archs, Driver::OldRunc);
        let both = both.unwrap_or_else(|refused| panic!("{refused:?}: {}", show()));
        let calls = oracle.calls(&[&a, &b, &m], archs);
        let points = points(&calls);
        for (side, policy) in [(&side_a, &a), (&side_b, &b)] {
            let order = Order::new(&json!({}), policy, &m);
            let verdict = solver.find(side, &both, &points, |old, new| order.loosens(old, new));
            assert!(!matches!(verdict, Verdict::Exists(_)), "{verdict:x?}: {}", show());
            assert!(!order.flags_loosen(policy, &m), "flags: {}", show());
        }
        if !is_exact {
            approximate += 1;
            continue;
        }
        let order = Order::new(&json!({}), &a, &b);
        for _ in 0..400 {
            let call = call(&mut random, &calls, &points);
            let (one, two, answer) = (side_a.answer(&call), side_b.answer(&call), both.answer(&call));
            let meet = if !order.loosens(two, one) {
                one
            } else if !order.loosens(one, two) {
                two
            } else {
                ERRNO | 1
            };
            assert!(is_same(meet, answer), "{call}: {meet:#x} and {answer:#x}: {}", show());
        }
        merged += 1;
    }
    println!("{merged} merged, {approximate} approximately, {failed} not; z3 {:?}", solver.spent);
    assert!(merged > times(30), "{merged} merged, {failed} not");
}

const ERRNO: u32 = 0x0005_0000;

/// Numbers of refusals are not graded, but for 0.
fn is_same(one: u32, other: u32) -> bool {
    let refuses = |answer: u32| answer & 0xffff_0000 == ERRNO && answer != ERRNO;
    one == other || refuses(one) && refuses(other)
}
