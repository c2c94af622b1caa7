//! The oracles against each other, without any code of ours under test.

use nri_tests::seccomp::bpf::{EQ, GE, GT, half};
use nri_tests::seccomp::filter::{Graph, Node};
use nri_tests::seccomp::library::Driver;
use nri_tests::seccomp::order::Order;
use nri_tests::seccomp::solver::{Solver, Verdict};
use serde_json::json;

use crate::kit::{Oracle, call, pair, points, random, times};

/// The solver finds a loosening call exactly where there is one, as far as trying shows, and its graphs are the programs.
#[test]
fn solver_and_interpreter() {
    let (Some(mut oracle), Some(mut solver)) = (Oracle::start(), Solver::start()) else { return };
    let mut random = random(1);
    let (mut exists, mut none, mut refused) = (0, 0, 0);
    for n in 0..times(150) {
        let host = oracle.host(&mut random);
        let (old, new) = pair(&mut random, host);
        let filters = (oracle.filter(&old, host, Driver::Crun), oracle.filter(&new, host, Driver::Crun));
        let (Ok(before), Ok(after)) = &filters else {
            refused += 1;
            continue;
        };
        let order = Order::new(&json!({}), &old, &new);
        let calls = oracle.calls(&[&old, &new], host);
        let points = points(&calls);
        let verdict = solver.find(before, after, &points, |a, b| order.loosens(a, b));
        match verdict {
            Verdict::Exists(_) => exists += 1,
            Verdict::None => none += 1,
            Verdict::Unknown => continue,
        }
        for _ in 0..500 {
            let call = call(&mut random, &calls, &points);
            let answers = (before.answer(&call), after.answer(&call));
            let followed = follow(&before.graph(call.arch, call.nr), &call.args);
            assert_eq!(followed, answers.0, "pair {n}: {call}\n{old}");
            if verdict == Verdict::None {
                assert!(!order.loosens(answers.0, answers.1), "pair {n}: {call}\nold {old}\nnew {new}");
            }
        }
    }
    assert!(
        exists > times(20) && none > times(20) && refused < times(40),
        "{exists} with a call, {none} without, {refused} refused"
    );
}

fn follow(graph: &Graph, args: &[u64; 6]) -> u32 {
    let mut at = graph.nodes.len() - 1;
    loop {
        match graph.nodes[at] {
            Node::Answer(answer) => return answer,
            Node::Test((argument, upper, mask), code, k, yes, no) => {
                let word = half(args[argument], upper) & mask;
                let holds = match code {
                    EQ => word == k,
                    GT => word > k,
                    GE => word >= k,
                    _ => word & k != 0,
                };
                at = if holds { yes } else { no };
            }
        }
    }
}
