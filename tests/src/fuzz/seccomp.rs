//! Targets for seccomp: policies to a verdict, and words to what a filter does.

use nri_seccomp::bpf::{ByteOrder, Data, Program, Stack};
use nri_seccomp::compare::{Counterexample, Relation, compare};
use nri_seccomp::decision;
use nri_seccomp::model::{Key, Model, Reading};
use nri_seccomp::policy::Policy;
use nri_seccomp::profile::{Target, read};
use nri_seccomp::settings::{Host, Settings};
use nri_seccomp::term::{Arch, Effect};

/// Two policies, the old one in the first line: reading and comparing them ends, a counterexample is what the model
/// answers, and what equals is equal the other way round, too.
///
/// # Panics
/// When that is not so.
pub fn fuzz_verdicts(data: &[u8]) {
    let target = Target::new(Arch::X86_64);
    let (old, new) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len()));
    let (Ok(old), Ok(new)) = (read(old, &target), read(new.get(1..).unwrap_or_default(), &target)) else {
        return;
    };
    let (host, settings) = (Host::x86_64(), Settings::default());
    let run = |old: Option<&Policy>, new: Option<&Policy>| compare(old, new, &host, &settings);
    let (forth, back) = (run(old.as_ref(), new.as_ref()), run(new.as_ref(), old.as_ref()));
    assert_eq!(forth.relation == Relation::Equal, back.relation == Relation::Equal, "{forth:?} {back:?}");
    assert_eq!(forth.relation == Relation::Invalid, back.relation == Relation::Invalid, "{forth:?} {back:?}");
    let rejects = matches!(forth.relation, Relation::Looser | Relation::Incomparable);
    assert_eq!(forth.counterexample.is_some(), rejects, "{forth:?}");
    assert_eq!(forth.contained.is_some(), forth.relation.accepts(), "{forth:?}");
    let Some(Counterexample::Call(call)) = &forth.counterexample else { return };
    let answers = |policy: Option<&Policy>| -> Vec<Effect> {
        let models =
            [Reading::All, Reading::FirstSix].map(|reading| Model::new(policy, &host, &settings, reading));
        let key = match (call.nr, &call.syscall) {
            (Some(nr), _) => Key::Number(nr),
            (None, name) => Key::Name(name.as_deref().unwrap_or_default()),
        };
        models
            .into_iter()
            .flatten()
            .filter_map(|model| model.abi(call.arch).evaluate(key, &call.args))
            .collect()
    };
    assert!(
        answers(old.as_ref()).contains(&call.old) && answers(new.as_ref()).contains(&call.new),
        "{call:?}"
    );
}

/// The words of a filter: it is refused, or run to an answer; and where the reader has a list, the list answers the same.
///
/// # Panics
/// When that is not so.
pub fn fuzz_filters(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else { return };
    let whole = data.len() / 8 * 8;
    let Ok(program) = Program::from_bytes(&data[..whole], ByteOrder::Little) else { return };
    let arch = [Arch::X86_64, Arch::X86, Arch::X32, Arch::Aarch64][usize::from(choice % 4)];
    let stack = Stack::new(vec![program]);
    let table = stack.read(arch);
    for range in table.ranges() {
        let Ok(list) = &range.list else { continue };
        for nr in [*range.numbers.start(), *range.numbers.end()] {
            for args in arguments(list) {
                let data = Data { nr, arch: arch.audit(), instruction_pointer: 0, args };
                let run = nri_seccomp::bpf::effect(stack.answer(&data, ByteOrder::Little));
                assert_eq!(decision::evaluate(list, &args), Some(run), "{nr} {args:x?} {list:?}");
            }
        }
    }
}

/// Arguments that the tests of a list tell apart, for the first of them.
fn arguments(list: &[decision::Path]) -> Vec<[u64; 6]> {
    let mut all = vec![[0; 6], [1; 6], [u64::MAX; 6]];
    for (test, _) in list.iter().flat_map(|path| &path.tests).take(16) {
        for datum in [test.datum, test.datum.wrapping_add(1), !test.datum] {
            let mut args = [0; 6];
            let upper = if test.word.is_upper() { 32 } else { 0 };
            args[test.word.argument()] = u64::from(datum) << upper;
            all.push(args);
        }
    }
    all
}
