//! Laws on random policies, and against trying everything.

use proptest::prelude::*;

use super::*;
use crate::model::Key;

/// A rule in short: few syscalls, arguments and values, so that rules meet.
fn rule() -> impl Strategy<Value = String> {
    let action = prop_oneof![
        6 => Just("ALLOW"), 2 => Just("LOG"), 1 => Just("KILL"), 1 => Just("TRAP"), 1 => Just("ERRNO(0)"),
        1 => Just("ERRNO(2)"), 1 => Just("TRACE"), 1 => Just("NOTIFY")
    ];
    let name = prop_oneof![Just("read"), Just("mkdir"), Just("ptrace"), Just("socket"), Just("frobnicate")];
    let value =
        (0u64..4, prop_oneof![3 => Just(0u64), 1 => 0u64..2]).prop_map(|(low, high)| high << 32 | low);
    let condition = (0u32..2, 0usize..7, value.clone(), value).prop_map(|(index, op, one, two)| {
        match ["==", "!=", "<", "<=", ">", ">="].get(op) {
            Some(sign) => format!("a{index}{sign}{one}"),
            None => format!("a{index}&{two}=={one}"),
        }
    });
    let conditions = prop_oneof![
        1 => Just(Vec::new()),
        3 => proptest::collection::vec(condition.clone(), 1),
        1 => proptest::collection::vec(condition, 2..4),
    ];
    (action, name, conditions).prop_map(|(action, name, conditions)| {
        format!("{action} {name}{}{}", if conditions.is_empty() { "" } else { ": " }, conditions.join(" "))
    })
}

/// A policy in short.
fn written() -> impl Strategy<Value = String> {
    let default =
        prop_oneof![4 => Just("ERRNO"), 1 => Just("KILL"), 1 => Just("ALLOW"), 1 => Just("ERRNO(2)")];
    let archs = prop_oneof![3 => Just(""), 2 => Just("arch X86;"), 1 => Just("arch X86,X32;")];
    let head = prop_oneof![6 => Just(""), 1 => Just("flags TSYNC;"), 1 => Just("flags LOG;")];
    let listener = prop_oneof![4 => Just("listener /l"), 1 => Just("listener /m")];
    (default, archs, head, listener, proptest::collection::vec(rule(), 0..5)).prop_map(
        |(default, archs, head, listener, rules)| {
            format!("default {default}; {archs} {head} {listener}; {}", rules.join("; "))
        },
    )
}

/// Two policies that have most in common.
fn pair() -> impl Strategy<Value = (String, String)> {
    prop_oneof![
        2 => (written(), written()),
        3 => (written(), rule()).prop_map(|(one, rule)| (one.clone(), format!("{one}; {rule}"))),
        2 => (written(), rule()).prop_map(|(one, rule)| (format!("{one}; {rule}"), one)),
    ]
}

fn config() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        4 => Just(""),
        1 => Just("errno=exact"),
        1 => Just("kill=merged fake_success=allow"),
        1 => Just("log=ignored delegation=rank"),
        1 => Just("runtime=runc"),
    ]
}

/// Every combination of values of two arguments that any condition above tells apart.
fn points(narrow: bool) -> impl Iterator<Item = [u64; 6]> {
    let values = move || {
        (0..if narrow { 1u64 } else { 3 }).flat_map(|high| (0..9u64).map(move |low| high << 32 | low))
    };
    values().flat_map(move |one| values().map(move |two| [one, two, 0, 0, 0, 0]))
}

fn model<'p>(policy: &'p Option<Policy>, settings: &Settings) -> Model<'p> {
    Model::new(policy.as_ref(), &Host::x86_64(), settings, Reading::All).unwrap()
}

/// A call that loosens, outside groups with a hazard; and whether some group that a side names has one.
fn tried(old: &Model<'_>, new: &Model<'_>, order: Order) -> (Option<String>, bool) {
    let mut hazards = false;
    for arch in [Arch::X86_64, Arch::X86, Arch::X32] {
        let (before, after) = (old.abi(arch), new.abi(arch));
        let others = [1, 2, 400, 500].map(|nr| Key::Number(arch.base() + nr));
        let keys: BTreeSet<Key<'_>> = before.keys().chain(after.keys()).chain(others).collect();
        for key in keys {
            let groups = [before.group(key), after.group(key)];
            if groups.iter().flatten().any(|group| !group.hazards().is_empty()) {
                hazards = true;
                continue;
            }
            for args in points(!arch.is_64()) {
                let (a, b) = (before.evaluate(key, &args).unwrap(), after.evaluate(key, &args).unwrap());
                if order.loosens(a, b) {
                    return (Some(format!("{arch} {key:?} {args:x?}: {a} -> {b}")), hazards);
                }
            }
        }
    }
    (None, hazards)
}

fn true_counterexample(found: &Counterexample, old: &Model<'_>, new: &Model<'_>, order: Order) -> bool {
    match found {
        Counterexample::Flag { flag, old, new } => order.flag_loosens(*flag, *old, *new),
        Counterexample::Call(call) => {
            let answer = |model: &Model<'_>| match call.nr {
                Some(nr) => model.evaluate(call.arch, nr, &call.args),
                None => {
                    model.abi(call.arch).evaluate(Key::Name(call.syscall.as_deref().unwrap()), &call.args)
                }
            };
            let narrow = call.arch.is_64() || call.args.iter().all(|arg| *arg <= u64::from(u32::MAX));
            // Which unnamed point a name in no table would be is open where there is a stub.
            let answers = call.nr.is_none() || (answer(old), answer(new)) == (Some(call.old), Some(call.new));
            narrow && answers && order.loosens(call.old, call.new)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// What is accepted loosens nowhere; what is refused has a true counterexample, or a hazard.
    #[test]
    fn as_trying_everything((old, new) in pair(), config in config()) {
        let found = compared(&old, &new, config);
        let (one, two) = (policy(&old), policy(&new));
        let settings = settings(config);
        if found.relation == Invalid {
            return Ok(());
        }
        let (one, two) = (model(&one, &settings), model(&two, &settings));
        let order = Order::new(&settings, one.listener() == two.listener());
        let (loosens, hazards) = tried(&one, &two, order);
        match found.relation {
            Equal | Tighter => prop_assert_eq!(loosens, None, "{} to {} {}", old, new, config),
            Looser | Incomparable => {
                let example = found.counterexample.unwrap();
                prop_assert!(true_counterexample(&example, &one, &two, order), "{old} to {new}: {example:?}");
            }
            Relation::Undecidable => {
                prop_assert!(hazards, "{old} to {new}: {:?}", found.reason);
                prop_assert_eq!(loosens, None, "{} to {} {}", old, new, config);
            }
            Invalid => {}
        }
        if found.relation == Looser {
            let back = Order::new(&settings, one.listener() == two.listener());
            prop_assert_eq!(tried(&two, &one, back).0, None);
        }
    }

    /// Each policy is as restrictive as itself, whatever hazards it has.
    #[test]
    fn reflexive(text in written(), config in config()) {
        let found = compared(&text, &text, config);
        prop_assert!(matches!(found.relation, Equal | Invalid), "{text}: {found:?}");
    }

    /// Equal is accepted both ways, tighter and looser are each other's backs.
    #[test]
    fn antisymmetric((old, new) in pair(), config in config()) {
        let (there, back) = (relation(&old, &new, config), relation(&new, &old, config));
        match there {
            Equal | Incomparable | Invalid if there != back => {
                prop_assert!(there == Incomparable && back == Relation::Undecidable, "{there:?} {back:?}");
            }
            Looser => prop_assert_eq!(back, Tighter),
            Tighter => prop_assert!(matches!(back, Looser | Relation::Undecidable), "{:?}", back),
            _ => {}
        }
    }

    /// Tighter than tighter is tighter, apart from hazards.
    #[test]
    fn transitive(base in written(), more in proptest::collection::vec(rule(), 2), config in config()) {
        let [one, two] = [format!("{base}; {}", more[0]), format!("{base}; {}; {}", more[0], more[1])];
        let all = [base, one, two];
        for a in &all {
            for b in &all {
                for c in &all {
                    if relation(a, b, config).accepts() && relation(b, c, config).accepts() {
                        let direct = relation(a, c, config);
                        prop_assert!(!matches!(direct, Looser | Incomparable), "{a} / {b} / {c}: {direct:?}");
                    }
                }
            }
        }
    }

    /// Of an allow-list without hazards any rule may go, and any syscall may be refused altogether.
    #[test]
    fn monotone(rules in proptest::collection::vec(rule(), 1..5), at in any::<proptest::sample::Index>()) {
        let rules: Vec<String> =
            rules.iter().map(|rule| format!("ALLOW {}", rule.split_once(' ').unwrap().1)).collect();
        let mut fewer = rules.clone();
        let gone = fewer.remove(at.index(rules.len()));
        let name = gone.split([' ', ':']).nth(1).unwrap();
        let without: Vec<&String> =
            rules.iter().filter(|rule| rule.split([' ', ':']).nth(1) != Some(name)).collect();
        let refused: Vec<String> = without.into_iter().cloned().chain([format!("KILL {name}")]).collect();
        for tighter in [fewer, refused] {
            let found = relation(&rules.join("; "), &tighter.join("; "), "");
            prop_assert!(matches!(found, Equal | Tighter | Relation::Undecidable), "{rules:?} to {tighter:?}: {found:?}");
        }
    }
}
