//! Rules that do not overlap answer as their conditions say, whatever the trie does with them.

use proptest::prelude::*;

use super::*;
use crate::model::hazard::Hazard;
use crate::policy::{Condition, Entry, Extra};
use crate::term::{Action, Operator};

const ACTIONS: [Action; 4] = [Action::Allow, Action::Log, Action::Trap, Action::KillProcess];
/// Values whose halves meet at all kinds of borders.
const VALUES: [u64; 8] = [0, 1, 2, 3, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0002, u64::MAX];

fn conditions() -> impl Strategy<Value = Vec<Condition>> {
    let condition = (0..3u32, 0..Operator::ALL.len(), 0..VALUES.len(), 0..VALUES.len()).prop_map(
        |(index, op, value, value_two)| Condition {
            index,
            value: VALUES[value],
            value_two: VALUES[value_two],
            op: Operator::ALL[op],
            extra: Extra::new(),
        },
    );
    proptest::collection::vec(condition, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 3_000 } else { 100_000 }))]

    /// The oracle: of the plain rules those that match. Where their actions agree, that is the answer, with or without a
    /// trie; where none matches, the default action.
    #[test]
    fn agree_with_plain_rules(
        rules in proptest::collection::vec((conditions(), 0..ACTIONS.len()), 1..6),
        calls in proptest::collection::vec(proptest::array::uniform3(0..VALUES.len()), 40),
    ) {
        let mut policy = Policy::new(Action::Errno);
        policy.architectures = vec![Arch::X86];
        for (args, action) in rules {
            policy.syscalls.push(Entry { args, ..Entry::new(["keyctl"], ACTIONS[action]) });
        }
        let model =
            Model::new(Some(&policy), &Host::x86_64(), &Settings::default(), Reading::All).unwrap();
        for arch in [Arch::X86_64, Arch::X86] {
            let group = model.abi(arch).group(Key::Number(syscall::number(arch, "keyctl").unwrap())).unwrap();
            let list = group.list().unwrap();
            for call in &calls {
                let args = args(call.map(|at| VALUES[at]));
                let answer = group.evaluate(&args).unwrap();
                prop_assert_eq!(crate::decision::evaluate(&list, &args), Some(answer));
                prop_assert!(group.effects().any(|effect| effect == answer));
                // Of two rules that claim the same place, one is rejected.
                let claimed_twice = group.hazards().contains(Hazard::D);
                if let Some(expect) = plain(&policy, arch, &args).filter(|_| !claimed_twice) {
                    prop_assert_eq!(answer, expect, "{} {:x?}", arch, args);
                }
            }
        }
    }
}

/// What the rules say where those that match agree, and no unconditional one stands among others.
fn plain(policy: &Policy, arch: Arch, args: &[u64; ARGUMENTS]) -> Option<Effect> {
    let width = |number: u64| if arch.is_64() { number } else { number & 0xffff_ffff };
    let holds = |arg: &Condition| {
        let given = width(args[arg.index as usize]);
        let value = width(arg.value);
        match arg.op {
            Operator::Ne => given != value,
            Operator::Lt => given < value,
            Operator::Le => given <= value,
            Operator::Eq => given == value,
            Operator::Ge => given >= value,
            Operator::Gt => given > value,
            Operator::MaskedEq => given & value == arg.value_two & value,
        }
    };
    let always = |arg: &Condition| arg.op == Operator::MaskedEq && width(arg.value) == 0;
    let mut matching = Vec::new();
    for entry in &policy.syscalls {
        let twice = (0..3).any(|index| entry.args.iter().filter(|arg| arg.index == index).count() > 1);
        let (matches, unconditional) = if twice {
            (entry.args.iter().any(holds), entry.args.iter().any(always))
        } else {
            (entry.args.iter().all(holds), entry.args.iter().all(always))
        };
        if unconditional {
            return Some(entry.effect());
        }
        if matches {
            matching.push(entry.effect());
        }
    }
    matching.dedup();
    match matching.as_slice() {
        [] => Some(policy.default_effect()),
        [one] => Some(*one),
        _ => None,
    }
}
