//! Merged policies against their sides, call by call. The judge here is the evaluator of the model on single calls, not the
//! diagrams that the merge itself works with.

use std::collections::BTreeSet;

use super::*;
use crate::decision::ARGUMENTS;
use crate::model::Key;
use crate::policy::{Condition, Entry, Extra};
use crate::syscall;
use crate::term::{Action, Effect, Operator};

/// Numbers without a plan, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())].clone()
    }
}

const OPERATORS: [Operator; 7] =
    [Operator::Eq, Operator::Ne, Operator::Lt, Operator::Le, Operator::Ge, Operator::Gt, Operator::MaskedEq];

/// What random policies are made of.
struct Kind {
    defaults: &'static [Action],
    actions: &'static [Action],
    names: &'static [&'static str],
    values: &'static [u64],
    entries: usize,
    conditions: usize,
    archs: &'static [&'static [Arch]],
}

const SMALL: &[u64] = &[0, 1, 2, 3, 5, 7, 8, 16, 31, 40, 255, 0x7e02_0000];
const LARGE: &[u64] = &[
    0,
    1,
    5,
    9,
    0xff,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0005,
    0x3_0000_0009,
    0xffff_ffff_0000_0000,
    u64::MAX,
];
const ALL: &[Arch] = &[Arch::X86_64, Arch::X86, Arch::X32];

fn random(kind: &Kind, dice: &mut Dice) -> Policy {
    let mut policy = Policy::new(dice.pick(kind.defaults));
    policy.architectures = dice.pick(kind.archs).to_vec();
    // An unconditional rule on every ABI, against hazard E.
    policy.syscalls.push(Entry::new(["getpid"], Action::Allow));
    policy.syscalls.push(Entry::new(["getppid"], Action::Log));
    policy.listener_path = Some("/run/l.sock".into());
    for _ in 0..=dice.roll(kind.entries) {
        let mut entry = Entry::new([dice.pick(kind.names)], dice.pick(kind.actions));
        if dice.roll(4) == 0 {
            entry.errno = Some(dice.pick(&[0, 1, 38, 22]));
        }
        let mut indices = BTreeSet::new();
        let count = if dice.roll(10) == 0 { 0 } else { 1 + dice.roll(kind.conditions) };
        for _ in 0..count {
            indices.insert(dice.pick(&[0, 1, 2]));
        }
        for index in indices {
            let op = dice.pick(&OPERATORS);
            let value = dice.pick(kind.values);
            entry.args.push(Condition {
                index,
                value,
                value_two: dice.pick(kind.values) & value,
                op,
                extra: Extra::new(),
            });
        }
        policy.syscalls.push(entry);
    }
    policy
}

/// Values at which an answer may change, per argument.
fn edges(policies: &[&Policy]) -> [Vec<u64>; ARGUMENTS] {
    let mut edges: [BTreeSet<u64>; ARGUMENTS] = std::array::from_fn(|_| [0, u64::MAX].into());
    for condition in policies.iter().flat_map(|policy| &policy.syscalls).flat_map(|entry| &entry.args) {
        let set = &mut edges[condition.index as usize];
        for value in [condition.value, condition.value_two] {
            for near in [
                value,
                value.wrapping_add(1),
                value.wrapping_sub(1),
                !value,
                value ^ (1 << 32),
                value ^ (1 << 31),
            ] {
                set.insert(near);
                set.insert(near & 0xffff_ffff);
            }
        }
    }
    edges.map(|set| set.into_iter().collect())
}

fn calls(edges: &[Vec<u64>; ARGUMENTS], dice: &mut Dice, count: usize) -> Vec<[u64; ARGUMENTS]> {
    (0..count)
        .map(|_| {
            std::array::from_fn(|argument| {
                let mut value = dice.pick(&edges[argument]);
                if dice.roll(8) == 0 {
                    value = value & !0xffff | dice.roll(1 << 16) as u64;
                }
                value
            })
        })
        .collect()
}

/// `spec/seccomp.md` 7.2, literally.
fn expected(a: Effect, b: Effect, same_agent: bool) -> Effect {
    let order = Order::new(&Settings::default(), same_agent);
    if !order.loosens(b, a) {
        a
    } else if !order.loosens(a, b) {
        b
    } else {
        Effect::Errno(1)
    }
}

fn verify(a: Option<&Policy>, b: Option<&Policy>, m: Option<&Policy>, host: &Host, exact: bool) {
    let settings = Settings::default();
    let models = [a, b, m].map(|policy| Model::new(policy, host, &settings, Reading::All).unwrap());
    let [model_a, model_b, model_m] = &models;
    let same_agent = model_a.listener() == model_b.listener();
    let order = Order::new(&settings, same_agent);
    let policies: Vec<&Policy> = [a, b, m].into_iter().flatten().collect();
    let edges = edges(&policies);
    let mut dice = Dice(0x1234_5678_9abc_def1);
    let calls = calls(&edges, &mut dice, 150);
    let names: BTreeSet<&str> = policies
        .iter()
        .flat_map(|policy| &policy.syscalls)
        .flat_map(|entry| &entry.names)
        .map(String::as_str)
        .chain(["socketcall", "ipc", "uname"])
        .collect();
    for arch in host.archs() {
        let [abi_a, abi_b, abi_m] = [model_a, model_b, model_m].map(|model| model.abi(*arch));
        for name in &names {
            let key = match syscall::number(*arch, name) {
                Some(number) => Key::Number(number),
                None if syscall::is_known(name) => continue,
                None => Key::Name(name),
            };
            let is_sure =
                |abi: &crate::model::Abi<'_>| abi.group(key).is_none_or(|group| group.hazards().is_empty());
            let hazards = abi_m.group(key).map(|group| group.hazards());
            for call in &calls {
                let [got_a, got_b, got] = [abi_a, abi_b, abi_m].map(|abi| abi.evaluate(key, call).unwrap());
                if !is_sure(&abi_a) || !is_sure(&abi_b) {
                    continue;
                }
                let wanted = expected(got_a, got_b, same_agent);
                let text = || {
                    format!(
                        "{arch} {name}({call:x?}): {got_a} and {got_b}: {got} instead of {wanted}, {hazards:?}\n{:#}\n{:#}\n{:#}",
                        a.map(Policy::to_json).unwrap_or_default(),
                        b.map(Policy::to_json).unwrap_or_default(),
                        m.map(Policy::to_json).unwrap_or_default()
                    )
                };
                assert!(!order.loosens(wanted, got), "{}", text());
                assert!(!exact || !order.loosens(got, wanted), "{}", text());
                assert!(is_sure(&abi_m) || (got_a == got && got == got_b), "{}", text());
            }
        }
    }
    let [flags_a, flags_b, flags_m] = [model_a, model_b, model_m].map(Model::flags_in_force);
    assert_eq!(flags_m.log, flags_a.log || flags_b.log);
    assert_eq!(flags_m.spec_allow, flags_a.spec_allow && flags_b.spec_allow);
}

/// Conditions as `a0>=0x10 a1&0xf0==0x20`.
fn conditions(text: &str) -> Vec<Condition> {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
        None => text.parse().unwrap(),
    };
    let condition = |word: &str| {
        let index = word[1..2].parse().unwrap();
        let rest = &word[2..];
        let made = |op, value, value_two| Condition { index, value, value_two, op, extra: Extra::new() };
        if let Some(masked) = rest.strip_prefix('&') {
            let (mask, datum) = masked.split_once("==").unwrap();
            return made(Operator::MaskedEq, number(mask), number(datum));
        }
        let signs = [
            ("==", Operator::Eq),
            ("!=", Operator::Ne),
            ("<=", Operator::Le),
            (">=", Operator::Ge),
            ("<", Operator::Lt),
            (">", Operator::Gt),
        ];
        let (sign, op) = signs.into_iter().find(|(sign, _)| rest.starts_with(sign)).unwrap();
        made(op, number(&rest[sign.len()..]), 0)
    };
    text.split_whitespace().map(condition).collect()
}

/// A policy with rules for `keyctl`, and one for another syscall against hazard E.
fn keyctl(default: Action, archs: &[Arch], rules: &[(&str, Action)]) -> Policy {
    let mut policy = Policy::new(default);
    policy.architectures = archs.to_vec();
    policy
        .syscalls
        .push(Entry::new(["getpid"], if default == Action::Allow { Action::Log } else { Action::Allow }));
    for (text, action) in rules {
        policy.syscalls.push(Entry { args: conditions(text), ..Entry::new(["keyctl"], *action) });
    }
    policy
}

/// `spec/seccomp.md` 7.2: the intersection of two ranges on one argument, of a range and a mask, of lists of values.
#[test]
fn conditions_on_one_argument_are_joined() {
    use Action::{Allow, Errno, Kill, Log};
    let host = Host::x86_64();
    for (a, b) in [
        (["a0>=5"].as_slice(), ["a0<=10"].as_slice()),
        (&["a0>=5"], &["a0>7"]),
        (&["a0>3"], &["a0<0x123456789abcdef0"]),
        (&["a0>0x25"], &["a0&0xf0==0x20"]),
        (&["a0<0x1234"], &["a0&0xf0==0x20"]),
        (&["a0<=0x25"], &["a0&1==1"]),
        (&["a0&0xf0==0x20"], &["a0&0xff00==0x100"]),
        (&["a0==1", "a0==2", "a0==3"], &["a0==2", "a0==3", "a0==4"]),
        (&["a0==1", "a0==2", "a0==30"], &["a0>=2"]),
        (&["a0!=5"], &["a0!=7"]),
        (&["a0<38", "a0==39", "a0>40"], &["a0!=41"]),
        (&["a0==1"], &["a1==1"]),
        (&["a0>=5"], &["a1<=3"]),
        (&["a0>=5"], &["a0<=10 a1==2"]),
        (&["a0==1", "a1==2"], &["a2>3"]),
        (&["a0==1 a1>=2"], &["a0==1 a1<=9"]),
    ] {
        for (default, action) in [(Errno, Allow), (Kill, Log), (Allow, Errno)] {
            for archs in [&[], ALL] {
                // Values above 32 bits that an ABI of 32 bits must not see may need a refusal as default.
                if default != Errno && !archs.is_empty() {
                    continue;
                }
                let rules = |texts: &[&'static str]| -> Vec<(&str, Action)> {
                    texts.iter().map(|text| (*text, action)).collect()
                };
                let (a, b) = (keyctl(default, archs, &rules(a)), keyctl(default, archs, &rules(b)));
                let merged = merge(Some(&a), Some(&b), &host, Mode::Exact).unwrap();
                verify(Some(&a), Some(&b), merged.policy.as_ref(), &host, true);
            }
        }
    }
}

/// Values whose upper halves differ cannot be compared in one filter (`spec/seccomp.md` 1.5 B), and ABIs of 32 bits see
/// only the lower ones.
#[test]
fn upper_halves_may_differ() {
    let host = Host::x86_64();
    for (a, b) in [
        ("a0>=0x100000005", "a0<=0x100000009"),
        ("a0>5", "a0<=0x300000009"),
        ("a0>0x7fffffffffffffff", "a0&1==1"),
        ("a0!=0x100000005", "a0!=5"),
        ("a0&0x100000001==1", "a0<0x800000000"),
    ] {
        for archs in [&[], ALL] {
            let [a, b] = [a, b].map(|text| keyctl(Action::Errno, archs, &[(text, Action::Allow)]));
            let merged = merge(Some(&a), Some(&b), &host, Mode::Exact).unwrap();
            verify(Some(&a), Some(&b), merged.policy.as_ref(), &host, true);
        }
        let [a, b] = [a, b].map(|text| keyctl(Action::Kill, &[], &[(text, Action::Allow)]));
        let merged = merge(Some(&a), Some(&b), &host, Mode::Exact).unwrap();
        verify(Some(&a), Some(&b), merged.policy.as_ref(), &host, true);
    }
}

/// Random pairs, of which nearly all can be said.
#[test]
fn random_pairs() {
    use Action::{Allow, Errno, Kill, KillProcess, Log, Notify, Trace, Trap};
    let (errno, kill): (&[Action], &[Action]) = (&[Errno], &[Kill]);
    let mixed: &[Action] = &[Errno, Kill, Allow, Log, Trap, Trace];
    let all_actions: &[Action] = &[Allow, Errno, Kill, KillProcess, Log, Trap, Trace, Notify];
    let host = Host::x86_64();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut said, mut unsayable) = (0, 0);
    for (defaults, actions, values, conditions, archs) in [
        (errno, [Allow].as_slice(), SMALL, 1, [&[] as &[Arch]].as_slice()),
        (errno, &[Allow, Log], LARGE, 1, &[ALL]),
        (kill, &[Allow], SMALL, 1, &[ALL]),
        (&[Allow], &[Errno, Kill, Log], SMALL, 2, &[&[]]),
        (mixed, all_actions, LARGE, 2, &[&[], ALL, &[Arch::X86]]),
    ] {
        let kind = Kind {
            defaults,
            actions,
            names: &["clone", "socket", "semget"],
            values,
            entries: 3,
            conditions,
            archs,
        };
        for _ in 0..6 {
            let (a, b) = (random(&kind, &mut dice), random(&kind, &mut dice));
            match merge(Some(&a), Some(&b), &host, Mode::Exact) {
                Ok(merged) => {
                    said += 1;
                    verify(Some(&a), Some(&b), merged.policy.as_ref(), &host, true);
                }
                Err(Failure::Unsayable(_)) => {
                    unsayable += 1;
                    let merged = merge(Some(&a), Some(&b), &host, Mode::Approximate).unwrap();
                    assert!(!merged.stricter.is_empty());
                    verify(Some(&a), Some(&b), merged.policy.as_ref(), &host, false);
                }
                Err(_) => {}
            }
        }
    }
    assert!(said > 10 && unsayable * 3 < said, "{said} said, {unsayable} not");
}
