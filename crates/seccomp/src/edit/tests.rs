use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::policy::{Condition, Extra};
use crate::term::Operator;

type Edit = fn(&mut Policy) -> Result<(), Ineffective>;

fn allow_list() -> Value {
    json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["mkdir", "read", "ptrace"], "action": "SCMP_ACT_ALLOW", "comment": "kept"},
        {"names": ["ptrace"], "action": "SCMP_ACT_ERRNO"},
        {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]}
    ]})
}

fn entry(names: &[&str], action: Action) -> Entry {
    Entry::new(names.iter().copied(), action)
}

#[test]
fn edits_that_take_effect() {
    let read = json!({"names": ["mkdir", "read", "ptrace"], "action": "SCMP_ACT_ALLOW", "comment": "kept"});
    let void = json!({"names": ["ptrace"], "action": "SCMP_ACT_ERRNO"});
    let personality = json!({"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]});
    let without_mkdir = json!({"names": ["read", "ptrace"], "action": "SCMP_ACT_ALLOW", "comment": "kept"});
    let check = |what: &str, edit: Edit, expect: &[&Value]| {
        let mut policy = Policy::from_json(&allow_list()).unwrap();
        edit(&mut policy).unwrap();
        assert_eq!(policy.to_json()["syscalls"], json!(expect), "{what}");
    };
    check(
        "add",
        |p| p.add(&[entry(&["bpf"], Action::Log)]),
        &[&read, &void, &personality, &json!({"names": ["bpf"], "action": "SCMP_ACT_LOG"})],
    );
    check("add what is there", |p| p.add(&[entry(&["read"], Action::Allow)]), &[&read, &void, &personality]);
    check(
        "add what the default says",
        |p| p.add(&[entry(&["bpf"], Action::Errno)]),
        &[&read, &void, &personality],
    );
    check(
        "add over conditions",
        |p| p.add(&[entry(&["personality"], Action::Log)]),
        &[&read, &void, &personality, &json!({"names": ["personality"], "action": "SCMP_ACT_LOG"})],
    );
    check(
        "remove",
        |p| {
            p.remove(["mkdir", "personality"]);
            Ok(())
        },
        &[&without_mkdir, &void],
    );
    check(
        "set to the default",
        |p| p.set(&[entry(&["mkdir"], Action::Errno)]),
        &[&without_mkdir, &void, &personality],
    );
    check(
        "set",
        |p| p.set(&[entry(&["mkdir"], Action::Notify)]),
        &[&without_mkdir, &void, &personality, &json!({"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"})],
    );
    // The void rule of ptrace goes, since after the switch it is still void and would mislead.
    check(
        "switch a name",
        |p| p.switch(None, Some(&["ptrace".to_owned()]), (Action::Log, None)).map(|_| ()),
        &[
            &json!({"names": ["mkdir", "read"], "action": "SCMP_ACT_ALLOW", "comment": "kept"}),
            &json!({"names": ["ptrace"], "action": "SCMP_ACT_LOG", "comment": "kept"}),
            &personality,
        ],
    );
    check(
        "switch a name that the default answers",
        |p| {
            p.switch(
                Some(Action::Errno),
                Some(&["bpf".to_owned(), "kcmp".to_owned()]),
                (Action::Notify, None),
            )
            .map(|_| ())
        },
        &[&read, &void, &personality, &json!({"names": ["bpf", "kcmp"], "action": "SCMP_ACT_NOTIFY"})],
    );
    check(
        "switch all of an action",
        |p| p.switch(Some(Action::Allow), None, (Action::Log, None)).map(|_| ()),
        &[
            &json!({"names": ["mkdir", "read", "ptrace"], "action": "SCMP_ACT_LOG", "comment": "kept"}),
            &json!({"names": ["personality"], "action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]}),
        ],
    );
    check(
        "switch the default: ptrace is not denied by its void rule",
        |p| p.switch_default((Action::Log, None)),
        &[&read, &personality],
    );
}

#[test]
fn edits_that_would_be_void() {
    let check = |edit: Edit, expect: Void| {
        let before = Policy::from_json(&allow_list()).unwrap();
        let mut policy = before.clone();
        assert_eq!(edit(&mut policy).unwrap_err().reason, expect);
        assert_eq!(policy, before, "a refused edit changes nothing");
    };
    check(|p| p.add(&[entry(&["mkdir"], Action::Errno)]), Void::EqualsDefault);
    check(|p| p.add(&[entry(&["bpf"], Action::Log), entry(&["mkdir"], Action::Log)]), Void::Hidden { by: 0 });
    check(
        |p| p.set(&[entry(&["mkdir"], Action::Log), entry(&["mkdir"], Action::Allow)]),
        Void::Contradiction,
    );
    check(
        |p| p.switch(Some(Action::Errno), Some(&["personality".to_owned()]), (Action::Log, None)).map(|_| ()),
        Void::Remainder,
    );
}

/// What a runtime makes of a call `name(first argument)`: the effects of the rules that match, else none. More than one
/// is libseccomp's own order and left out here.
fn decide(policy: &Policy, name: &str, arg: u64) -> BTreeSet<Effect> {
    let rules: Vec<&Entry> = policy
        .syscalls
        .iter()
        .filter(|entry| entry.effect() != policy.default_effect())
        .flat_map(|entry| entry.names.iter().filter(|n| *n == name).map(move |_| entry))
        .collect();
    match rules.iter().find(|entry| entry.args.is_empty()) {
        Some(rule) => BTreeSet::from([rule.effect()]),
        None => rules
            .into_iter()
            .filter(|entry| entry.args.iter().all(|c| c.value == arg))
            .map(Entry::effect)
            .collect(),
    }
}

const NAMES: [&str; 3] = ["a", "b", "c"];
const ACTIONS: [Action; 4] = [Action::Allow, Action::Errno, Action::Kill, Action::Log];

fn action() -> impl Strategy<Value = Action> {
    prop::sample::select(&ACTIONS[..])
}

fn policy() -> impl Strategy<Value = Policy> {
    let entry =
        (prop::collection::vec(prop::sample::select(&NAMES[..]), 0..3), action(), prop::option::of(0..2_u64))
            .prop_map(|(names, action, value)| {
                let mut entry = Entry::new(names, action);
                entry.args.extend(value.map(|value| Condition {
                    index: 0,
                    value,
                    value_two: 0,
                    op: Operator::Eq,
                    extra: Extra::new(),
                }));
                entry
            });
    (action(), prop::collection::vec(entry, 0..5))
        .prop_map(|(default, syscalls)| Policy { syscalls, ..Policy::new(default) })
}

fn answer(policy: &Policy, name: &str, arg: u64) -> Option<Effect> {
    let effects = decide(policy, name, arg);
    let first = effects.first().copied();
    (effects.len() < 2).then(|| first.unwrap_or(policy.default_effect()))
}

proptest! {
    /// Every edit does what it says to the calls it names, and nothing to any other.
    #[test]
    fn edits_do_what_they_say(policy in policy(), name in prop::sample::select(&NAMES[..]), from in action(), to in action(), which in 0..5) {
        let mut edited = policy.clone();
        let effect = Effect::of(to, None);
        let done = match which {
            0 => { edited.remove([name]); Ok(()) }
            1 => edited.set(&[Entry::new([name], to)]),
            2 => edited.add(&[Entry::new([name], to)]),
            3 => edited.switch(Some(from), Some(&[name.to_owned()]), (to, None)).map(|_| ()),
            _ => edited.switch_default((to, None)),
        };
        if done.is_err() {
            prop_assert_eq!(edited, policy);
            return Ok(());
        }
        for call in NAMES {
            for arg in 0..3 {
                let Some(before) = answer(&policy, call, arg) else { continue };
                let named = call == name;
                let expect = match which {
                    0 if named => policy.default_effect(),
                    1 | 2 if named => effect,
                    3 if named && before == Effect::of(from, None) => effect,
                    4 if decide(&policy, call, arg).is_empty() => effect,
                    _ => before,
                };
                prop_assert_eq!(answer(&edited, call, arg), Some(expect), "{} {} {}", which, call, arg);
            }
        }
    }
}
