//! Merged policies against their sides, call by call. The judge here is the evaluator of the model on single calls, not the
//! diagrams that the merge itself works with.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::compare::{Relation, compare};
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
        ("a0>=0x100000005", "a0<=0x300000009"),
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

/// Rules of which each side has several, on several arguments.
#[test]
fn conditions_on_several_arguments_are_joined() {
    use Action::{Allow, Errno, Kill};
    let host = Host::x86_64();
    for (default, archs, a, b) in [
        (Kill, [].as_slice(), ["a1>=0x7e020000", "a0>0xff"].as_slice(), ["a2<7"].as_slice()),
        (Errno, ALL, &["a0&0x28==8", "a1>1"], &["a0<7", "a2&0x7e020000==0"]),
        (Errno, &[], &["a1<=5", "a0<=5"], &["a0==0xffffffff", "a0>9"]),
    ] {
        let [a, b] = [a, b].map(|texts| {
            let rules: Vec<_> = texts.iter().map(|text| (*text, Allow)).collect();
            keyctl(default, archs, &rules)
        });
        let merged = merge(Some(&a), Some(&b), &host, Mode::Exact).unwrap();
        verify(Some(&a), Some(&b), merged.policy.as_ref(), &host, true);
    }
}

fn merged(a: Value, b: Value) -> Result<Value, String> {
    let host = Host::x86_64();
    let [a, b] = [a, b].map(|json| (!json.is_null()).then(|| Policy::from_json(&json).unwrap()));
    let merged = merge(a.as_ref(), b.as_ref(), &host, Mode::Exact).map_err(|failure| failure.to_string())?;
    verify(a.as_ref(), b.as_ref(), merged.policy.as_ref(), &host, true);
    if let Some(policy) = &merged.policy {
        for side in [&a, &b] {
            let comparison = compare(side.as_ref(), Some(policy), &host, &Settings::default());
            assert!(comparison.relation.accepts(), "{:?}", comparison.reason);
        }
    }
    Ok(merged.policy.as_ref().map(Policy::to_json).unwrap_or_default())
}

/// What comes out where nothing depends on arguments.
#[test]
fn whole_policies() {
    let named = |default: &str, names: &[&str], action: &str| json!({"defaultAction": format!("SCMP_ACT_{default}"), "syscalls": [{"names": names, "action": format!("SCMP_ACT_{action}")}]});
    let with = |mut policy: Value, member: &str, value: Value| {
        policy[member] = value;
        policy
    };
    let allow = json!({"defaultAction": "SCMP_ACT_ALLOW"});
    let spec_allow = json!(["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]);
    let log = json!(["SECCOMP_FILTER_FLAG_LOG"]);
    let tsync = json!(["SECCOMP_FILTER_FLAG_TSYNC"]);
    for (a, b, expect) in [
        (Value::Null, Value::Null, Value::Null),
        (Value::Null, allow.clone(), allow.clone()),
        (
            named("ERRNO", &["read", "write"], "ALLOW"),
            named("ERRNO", &["write", "mkdir"], "ALLOW"),
            with(named("ERRNO", &["write"], "ALLOW"), "defaultErrnoRet", json!(1)),
        ),
        (named("ALLOW", &["read"], "KILL"), allow.clone(), named("ALLOW", &["read"], "KILL_THREAD")),
        (
            named("ALLOW", &["read"], "LOG"),
            named("LOG", &["read"], "ALLOW"),
            json!({"defaultAction": "SCMP_ACT_LOG"}),
        ),
        // Of two refusals that differ in their number, the number of the first.
        (
            with(
                allow.clone(),
                "syscalls",
                json!([{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]),
            ),
            named("ALLOW", &["read"], "ERRNO"),
            with(
                allow.clone(),
                "syscalls",
                json!([{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]),
            ),
        ),
        // Pretended success and delegation meet what was allowed in a plain refusal.
        (
            with(
                allow.clone(),
                "syscalls",
                json!([{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0}]),
            ),
            allow.clone(),
            with(
                allow.clone(),
                "syscalls",
                json!([{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]),
            ),
        ),
        (
            with(named("ALLOW", &["read"], "NOTIFY"), "listenerPath", json!("/a")),
            allow.clone(),
            with(
                allow.clone(),
                "syscalls",
                json!([{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]),
            ),
        ),
        (
            with(named("ALLOW", &["read"], "NOTIFY"), "listenerPath", json!("/a")),
            with(named("ALLOW", &["read"], "NOTIFY"), "listenerPath", json!("/a")),
            with(
                with(allow.clone(), "listenerPath", json!("/a")),
                "syscalls",
                json!([{"names": ["read"], "action": "SCMP_ACT_NOTIFY"}]),
            ),
        ),
        // Flags: an empty list would bring SPEC_ALLOW.
        (
            with(allow.clone(), "flags", tsync.clone()),
            allow.clone(),
            with(allow.clone(), "flags", tsync.clone()),
        ),
        (with(allow.clone(), "flags", log.clone()), allow.clone(), with(allow.clone(), "flags", log.clone())),
        (
            with(allow.clone(), "flags", spec_allow.clone()),
            allow.clone(),
            with(allow.clone(), "flags", spec_allow),
        ),
        // An ABI that one of them lacks.
        (
            with(allow.clone(), "architectures", json!(["SCMP_ARCH_X86", "SCMP_ARCH_X32"])),
            with(allow.clone(), "architectures", json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])),
            with(allow.clone(), "architectures", json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])),
        ),
    ] {
        assert_eq!(merged(a.clone(), b.clone()), Ok(expect), "{a} {b}");
    }
}

/// `spec/seccomp.md` 1.2: what is allowed on `socketcall` and what on the calls behind it is not the same.
#[test]
fn gates() {
    let archs = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    let policy = |default: &str, rules: Value| json!({"defaultAction": format!("SCMP_ACT_{default}"), "architectures": archs, "syscalls": rules});
    let rule = |names: &[&str], action: &str, args: Value| json!({"names": names, "action": format!("SCMP_ACT_{action}"), "args": args});
    let domain = |op: &str, value: u64| json!([{"index": 0, "op": format!("SCMP_CMP_{op}"), "value": value}]);
    let getpid = rule(&["getpid"], "ALLOW", json!([]));
    for (a, b) in [
        (rule(&["socket"], "ALLOW", json!([])), rule(&["socketcall", "socket"], "ALLOW", json!([]))),
        (rule(&["socket"], "ALLOW", domain("LE", 5)), rule(&["socket"], "ALLOW", domain("GE", 10))),
        (rule(&["socket"], "ALLOW", domain("EQ", 1)), rule(&["socket", "bind"], "ALLOW", json!([]))),
        (
            rule(&["socket", "semget"], "ALLOW", json!([])),
            rule(&["ipc", "socketcall"], "ALLOW", domain("EQ", 1)),
        ),
        (rule(&["shmget", "shmat"], "ALLOW", json!([])), rule(&["shmat"], "ALLOW", domain("EQ", 3))),
    ] {
        let [a, b] = [a, b].map(|rule| policy("ERRNO", json!([getpid, rule])));
        merged(a, b).unwrap();
    }
    // A rule for socket lets socketcall through on x86, where it is to be killed.
    let a = policy("KILL", json!([getpid, rule(&["socket"], "ALLOW", json!([]))]));
    let b = policy("ALLOW", json!([rule(&["socketcall"], "KILL_PROCESS", json!([]))]));
    let failure = merged(a, b);
    assert!(failure.is_ok() || failure.unwrap_err().contains("socketcall"));
}

#[test]
fn what_cannot_be_merged() {
    let archs = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    let native = json!({"defaultAction": "SCMP_ACT_KILL", "syscalls": [{"names": ["getpid"], "action": "SCMP_ACT_ALLOW"}]});
    let process = json!({"defaultAction": "SCMP_ACT_KILL", "architectures": archs, "syscalls": [
        {"names": ["getpid"], "action": "SCMP_ACT_ALLOW"}, {"names": ["mkdir"], "action": "SCMP_ACT_KILL_PROCESS"}]});
    let hidden = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["keyctl"], "action": "SCMP_ACT_ALLOW", "args": [
            {"index": 0, "op": "SCMP_CMP_NE", "value": 1}, {"index": 1, "op": "SCMP_CMP_NE", "value": 5}]},
        {"names": ["keyctl"], "action": "SCMP_ACT_ALLOW", "args": [
            {"index": 0, "op": "SCMP_CMP_NE", "value": 1}, {"index": 2, "op": "SCMP_CMP_EQ", "value": 1}]}]});
    let killed = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["keyctl"], "action": "SCMP_ACT_KILL"}]});
    for (a, b, expect) in [
        (
            native,
            process,
            "no policy says exactly what both allow: SCMP_ARCH_X86: getpid: KILL_THREAD is wanted here and ALLOW on \
             SCMP_ARCH_X86_64, but a rule goes to every ABI",
        ),
        (
            json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4095}),
            Value::Null,
            "the first policy is invalid: defaultErrnoRet: error number 4095 cannot be returned, expected 0 to 4094",
        ),
        (
            Value::Null,
            hidden.clone(),
            "SCMP_ARCH_X86_64: keyctl: what the second policy answers is not known, since its rules mix `!=`, `<` or `>` \
             on an earlier argument with other rules",
        ),
    ] {
        assert_eq!(merged(a, b), Err(expect.to_owned()));
    }
    // Where the meet does not depend on what is hidden there is no question.
    merged(hidden, killed).unwrap();
}

/// A policy with itself, and in either order.
#[test]
fn laws() {
    let rules = |texts: &[&'static str]| -> Vec<(&'static str, Action)> {
        texts.iter().map(|text| (*text, Action::Allow)).collect()
    };
    let host = Host::x86_64();
    let settings = Settings::default();
    let a = keyctl(Action::Errno, ALL, &rules(&["a0<=0x1f", "a1&0xf==3"]));
    let b = keyctl(Action::Errno, ALL, &rules(&["a0>=3"]));
    let say = |a, b| merge(Some(a), Some(b), &host, Mode::Exact).unwrap().policy.unwrap();
    let (met, turned) = (say(&a, &b), say(&b, &a));
    for (one, other) in [(&say(&a, &a), &a), (&met, &turned), (&say(&met, &a), &met)] {
        assert_eq!(compare(Some(one), Some(other), &host, &settings).relation, Relation::Equal);
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
        for _ in 0..4 {
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
    assert!(said > 8 && unsayable * 2 < said, "{said} said, {unsayable} not");
}
