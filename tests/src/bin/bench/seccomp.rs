//! What comparing seccomp policies costs: `cargo xtask bench seccomp` runs `bench seccomp`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nri_seccomp::compare::{Comparison, Relation, compare};
use nri_seccomp::policy::Policy;
use nri_seccomp::profile::{Target, read};
use nri_seccomp::settings::{Host, Settings};
use nri_seccomp::term::Arch;
use nri_tests::random::Random;
use nri_tests::seccomp::compiler::Compiler;
use nri_tests::seccomp::filter::Filter;
use nri_tests::seccomp::library::{Driver, Library};
use nri_tests::seccomp::order::Order;
use nri_tests::seccomp::policies::{self, Calls, HOSTS};
use nri_tests::seccomp::profiles;
use nri_tests::seccomp::solver::Solver;
use serde_json::{Value, json};

use crate::Failure;
use crate::compare::{Row, progress, settle};

/// Comparisons of one pair; the median counts.
const TIMES: usize = 501;

pub(crate) fn run(json: bool) -> Result<(), Failure> {
    let profiles = profiles::all();
    let find = |name: &str| profiles.iter().find(|(other, _)| *other == name).map(|(_, policy)| policy);
    let (Some(docker), Some(podman)) = (find("docker"), find("podman")) else {
        return Err("the profiles are absent; run `cargo xtask setup`".into());
    };
    progress("profiles");
    let mut rows = vec![
        Row {
            what: "Docker's profile against Podman's ÷ 1 ms, p50",
            ratio: share(compared(docker, podman)?, Duration::from_millis(1)),
            must: 1.0,
        },
        Row {
            what: "Docker's profile against one with a call less ÷ 1 ms, p50",
            ratio: share(compared(docker, &without_one(docker))?, Duration::from_millis(1)),
            must: 1.0,
        },
        Row {
            what: "reading Docker's resolved profile ÷ 300 µs, p50",
            ratio: share(parsed(docker)?, Duration::from_micros(300)),
            must: 1.0,
        },
    ];
    progress("argument rules");
    rows.push(Row {
        what: "40 random argument rules on one call, slowest of 100 ÷ 50 ms",
        ratio: share(argument_rules()?, Duration::from_millis(50)),
        must: 1.0,
    });
    progress("hard cases");
    let (slowest, undecidable) = hard_cases()?;
    rows.push(Row {
        what: "hard cases, slowest of 30 ÷ 100 ms",
        ratio: share(slowest, Duration::from_millis(100)),
        must: 1.0,
    });
    rows.push(Row {
        what: "hard cases that ended otherwise than undecidable ÷ 30",
        ratio: 1.0 - f64::from(undecidable) / 30.0,
        must: 0.0,
    });
    rows.push(Row { what: "200 random pairs, ours ÷ z3, total", ratio: against_z3()?, must: 0.1 });
    settle(&rows, json)
}

fn share(took: Duration, of: Duration) -> f64 {
    took.as_secs_f64() / of.as_secs_f64()
}

fn policy(json: &Value) -> Result<Policy, Failure> {
    Ok(Policy::from_json(json)?)
}

fn timed(old: &Policy, new: &Policy) -> (Duration, Comparison) {
    let (host, settings) = (Host::x86_64(), Settings::default());
    let start = Instant::now();
    let comparison = compare(Some(old), Some(new), &host, &settings);
    (start.elapsed(), comparison)
}

fn median(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took.get(took.len() / 2).copied().unwrap_or_default()
}

fn compared(old: &Value, new: &Value) -> Result<Duration, Failure> {
    let (old, new) = (policy(old)?, policy(new)?);
    Ok(median((0..TIMES).map(|_| timed(&old, &new).0).collect()))
}

fn without_one(policy: &Value) -> Value {
    let mut policy = policy.clone();
    let entries = policy.get_mut("syscalls").and_then(Value::as_array_mut);
    for entry in entries.into_iter().flatten() {
        if let Some(names) = entry.get_mut("names").and_then(Value::as_array_mut) {
            names.retain(|name| name != "mkdir");
        }
    }
    policy
}

fn parsed(policy: &Value) -> Result<Duration, Failure> {
    let (text, target) = (policy.to_string(), Target::new(Arch::X86_64));
    let mut took = Vec::new();
    for _ in 0..TIMES {
        let start = Instant::now();
        let policy = read(text.as_bytes(), &target).map_err(|error| error.to_string())?;
        took.push(start.elapsed());
        drop(policy);
    }
    Ok(median(took))
}

/// Rules with one condition each on few values, against the same with one changed.
fn argument_rules() -> Result<Duration, Failure> {
    let mut random = Random(1);
    let mut slowest = Duration::ZERO;
    for _ in 0..100 {
        let mut rules: Vec<Value> = (0..40)
            .map(|_| {
                let op = *random.pick(&["EQ", "NE", "LT", "GE", "MASKED_EQ"]);
                json!({"names": ["keyctl"], "action": "SCMP_ACT_ALLOW", "args": [{"index": random.below(2),
                    "op": format!("SCMP_CMP_{op}"), "value": 1000 + random.below(5000), "valueTwo": random.below(5000)}]})
            })
            .collect();
        let build = |rules: &[Value]| policy(&json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}));
        let old = build(&rules)?;
        let at = random.below(rules.len());
        rules.remove(at);
        let new = build(&rules)?;
        slowest = slowest.max(timed(&old, &new).0).max(timed(&new, &old).0);
    }
    Ok(slowest)
}

/// Is what random clauses of three bits exclude everything? That is satisfiability, where it is hardest.
fn hard_cases() -> Result<(Duration, u32), Failure> {
    const BITS: usize = 64;
    const CLAUSES: usize = 320;
    let mut random = Random(2);
    let (mut slowest, mut undecidable) = (Duration::ZERO, 0);
    for _ in 0..30 {
        let cubes: Vec<Value> = (0..CLAUSES)
            .map(|_| {
                let mut bits = BTreeSet::new();
                while bits.len() < 3 {
                    bits.insert(random.below(BITS));
                }
                let mask = bits.iter().fold(0u64, |mask, bit| mask | 1 << bit);
                json!({"names": ["keyctl"], "action": "SCMP_ACT_ALLOW",
                    "args": [{"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": mask, "valueTwo": random.next() & mask}]})
            })
            .collect();
        let old = policy(&json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": cubes}))?;
        let all = json!([{"names": ["keyctl"], "action": "SCMP_ACT_ALLOW"}]);
        let new = policy(&json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": all}))?;
        let (took, comparison) = timed(&old, &new);
        slowest = slowest.max(took);
        undecidable += u32::from(comparison.relation == Relation::Undecidable);
    }
    Ok((slowest, undecidable))
}

/// The same question for z3: the programs of both sides, and whether a call loosens, each way.
fn against_z3() -> Result<f64, Failure> {
    let library = Library::load()?;
    let (Some(mut compiler), Some(mut solver)) = (Compiler::start(), Solver::start()) else {
        return Err("run `cargo xtask setup`".into());
    };
    let host = HOSTS.first().copied().unwrap_or_default();
    let mut random = Random(3);
    let mut ours = Duration::ZERO;
    let mut pairs = 0;
    while pairs < 200 {
        let old = policies::policy(&mut random, host);
        let new = policies::edited(&mut random, &old, host);
        let mut filter = |policy: &Value| {
            let program = compiler.compile(policy, host.first()?, Driver::OldRunc).program()?;
            Some(Filter { program: Some(program), ..Filter::default() })
        };
        let (Some(before), Some(after)) = (filter(&old), filter(&new)) else { continue };
        let (took, comparison) = timed(&policy(&old)?, &policy(&new)?);
        if comparison.relation == Relation::Undecidable {
            continue;
        }
        let calls = Calls::new(
            &[&old, &new],
            host,
            |arch| library.token(arch),
            |arch, name| library.number(arch, name),
        );
        let points: Vec<(u32, u32)> =
            calls.points().iter().flat_map(|(arch, numbers)| numbers.iter().map(|nr| (*arch, *nr))).collect();
        for (one, two, order) in [
            (&before, &after, Order::new(&json!({}), &old, &new)),
            (&after, &before, Order::new(&json!({}), &new, &old)),
        ] {
            solver.find(one, two, &points, |a, b| order.loosens(a, b));
        }
        ours += took;
        pairs += 1;
        progress(&format!("z3: pair {pairs} of 200"));
    }
    Ok(share(ours, solver.spent))
}
