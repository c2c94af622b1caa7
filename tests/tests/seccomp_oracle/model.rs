//! The model against the programs that libseccomp emits (`spec/seccomp.md` 1).

use std::collections::BTreeMap;

use nri_seccomp::model::hazard::Hazard;
use nri_seccomp::model::{Key, Model, Reading};
use nri_seccomp::policy::{Condition, Entry, Policy};
use nri_seccomp::settings::{Host, Runtime, Settings};
use nri_seccomp::term::{Arch, Effect, Operator};
use nri_tests::random::Random;
use nri_tests::seccomp::compiler::Compiled;
use nri_tests::seccomp::filter::Filter;
use nri_tests::seccomp::library::{Driver, Library};
use nri_tests::seccomp::policies::{self, Calls};
use nri_tests::seccomp::profiles;
use serde_json::Value;

use crate::kit::{Oracle, call, points, random, times};

/// What came of the calls.
#[derive(Debug, Default)]
pub(crate) struct Count {
    policies: usize,
    equal: usize,
    hazards: usize,
    deviating: usize,
    refused: usize,
    hanging: usize,
}

/// Random policies, each as one of the runtimes loads it: where there is no hazard, the program answers as the model does,
/// and where there is one, it gives one of the answers that the model says are possible.
#[test]
fn random_policies() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut random = random(2);
    let mut count = Count::default();
    for n in 0..times(2500) {
        let host = oracle.host(&mut random);
        let policy = policies::policy(&mut random, host);
        let driver = *random.pick(&Driver::ALL);
        if let Err(difference) = check(&mut oracle, &mut random, &policy, host, driver, 400, &mut count) {
            let kind = |text: &str| text.contains("Refused");
            let smaller = shrink(&policy, |smaller| {
                let mut random = Random(n as u64);
                check(&mut oracle, &mut random, smaller, host, driver, 3000, &mut Count::default())
                    .is_err_and(|other| kind(&other) == kind(&difference))
            });
            panic!("policy {n} under {driver:?} on {host:?}: {difference}\n{policy}\nsmaller: {smaller}");
        }
    }
    println!("{count:?}");
    assert!(count.equal > times(300_000) && count.hazards > times(10_000), "{count:?}");
}

/// The engines' profiles and edits of them.
#[test]
fn real_policies() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut random = random(3);
    let mut count = Count::default();
    let host = policies::HOSTS[0];
    for (name, profile) in profiles::all() {
        let profile = known(&oracle.library, &profile);
        for n in 0..times(12) {
            let policy = if n == 0 { profile.clone() } else { policies::edited(&mut random, &profile, host) };
            for driver in Driver::ALL {
                if let Err(difference) =
                    check(&mut oracle, &mut random, &policy, host, driver, 2000, &mut count)
                {
                    panic!("{name}, edit {n}, under {driver:?}: {difference}\n{policy}");
                }
            }
        }
    }
    println!("{count:?}");
}

/// The policy, valid or not.
pub(crate) fn read(policy: &Value) -> Policy {
    Policy::from_json(policy).unwrap_or_else(|invalid| panic!("{invalid}: {policy}"))
}

/// The machine.
pub(crate) fn host(archs: &[&str]) -> Host {
    let archs: Vec<Arch> = archs.iter().filter_map(|arch| arch.parse().ok()).collect();
    Host::new(archs).unwrap_or_else(|| panic!("a host without architectures"))
}

/// The model of a policy as a runtime loads it.
pub(crate) fn model<'p>(policy: &'p Policy, archs: &[&str], driver: Driver) -> Model<'p> {
    let (runtime, reading) = match driver {
        Driver::OldRunc => (Runtime::Plain, Reading::All),
        Driver::Runc => (Runtime::Runc, Reading::All),
        Driver::Crun => (Runtime::Plain, Reading::FirstSix),
        Driver::Youki => (Runtime::Youki, Reading::All),
    };
    let settings = Settings { runtime, ..Settings::default() };
    Model::new(Some(policy), &host(archs), &settings, reading)
        .unwrap_or_else(|invalid| panic!("{invalid}: {}", policy.to_json()))
}

fn check(
    oracle: &mut Oracle,
    random: &mut Random,
    policy: &Value,
    host: &[&str],
    driver: Driver,
    calls: usize,
    count: &mut Count,
) -> Result<(), String> {
    let read = read(policy);
    let model = model(&read, host, driver);
    count.policies += 1;
    // Also for a name that no ABI here has: libseccomp builds its rules all the same, as under any other name.
    let meets = |letters: &[Hazard]| {
        let here = Policy::from_json(&renamed(policy)).unwrap_or_else(|invalid| panic!("{invalid}"));
        [&read, &here].iter().any(|policy| has_hazard(policy, host, driver, letters))
    };
    let mut filter = match oracle.filter(policy, host, driver) {
        Ok(filter) => filter,
        Err(Compiled::Hangs) => {
            count.hanging += 1;
            return if meets(&[Hazard::A]) { Ok(()) } else { Err("hangs without hazard A".to_owned()) };
        }
        Err(refused) => {
            count.refused += 1;
            // Sub-trees that are shared (A) may conflict where the rules do not.
            let explained = meets(&[Hazard::A, Hazard::D]);
            return if explained { Ok(()) } else { Err(format!("{refused:?} without hazard A or D")) };
        }
    };
    if driver == Driver::Runc {
        filter.stub = stub(&oracle.library, policy, host);
    }
    let values = oracle.calls(&[policy], host);
    compare(&model, &filter, random, &values, calls, count)
}

/// Random calls on both.
pub(crate) fn compare(
    model: &Model<'_>,
    filter: &Filter,
    random: &mut Random,
    values: &Calls,
    calls: usize,
    count: &mut Count,
) -> Result<(), String> {
    let points = points(values);
    for n in 0..calls {
        let call = if n % 4 == 0 { values.any(random) } else { call(random, values, &points) };
        let Some(arch) = Arch::of_call(call.arch, call.nr) else { continue };
        let Some(effect) = model.evaluate(arch, call.nr, &call.args) else { continue };
        let (theirs, ours) = (filter.answer(&call), answer(effect));
        let group = model.abi(arch).group(Key::Number(call.nr));
        match group.filter(|group| !group.hazards().is_empty()) {
            None if theirs == ours => count.equal += 1,
            None => return Err(format!("{call}: ours {ours:#x}, libseccomp's {theirs:#x}")),
            Some(group) => {
                count.hazards += 1;
                count.deviating += usize::from(theirs != ours);
                let possible: Vec<u32> = group.effects().map(answer).collect();
                if !possible.contains(&theirs) && theirs != ours {
                    return Err(format!(
                        "{call}: {theirs:#x} is none of {possible:x?} ({:?})",
                        group.hazards()
                    ));
                }
            }
        }
    }
    Ok(())
}

/// The policy with other names, which every ABI has, one for one.
fn renamed(policy: &Value) -> Value {
    let others = ["read", "close", "mmap", "munmap", "fchdir", "fchmod", "getuid", "getgid"];
    let names = policies::names(policy);
    let mut renamed = policy.clone();
    for entry in renamed["syscalls"].as_array_mut().into_iter().flatten() {
        for name in entry["names"].as_array_mut().into_iter().flatten() {
            let at = names.iter().position(|other| name == other).unwrap_or_default();
            *name = others[at % others.len()].into();
        }
    }
    renamed
}

/// Whether libseccomp meets a hazard while it builds the program: also behind runc's stub, and also beside a rule that
/// decides a group, where the order of loading tells whether it is refused. On a 32-bit ABI a mask without lower half
/// decides, too.
fn has_hazard(policy: &Policy, host: &[&str], driver: Driver, letters: &[Hazard]) -> bool {
    let driver = if driver == Driver::Runc { Driver::OldRunc } else { driver };
    let has = |policy: &Policy| {
        let model = model(policy, host, driver);
        model.archs().any(|arch| {
            model
                .abi(arch)
                .groups()
                .any(|(_, group)| letters.iter().any(|letter| group.hazards().contains(*letter)))
        })
    };
    let mask = |one: &Condition| if driver == Driver::Youki { one.value_two } else { one.value };
    let decides = |one: &Condition| one.op == Operator::MaskedEq && mask(one) & 0xffff_ffff == 0;
    let mut rest = policy.clone();
    rest.syscalls = policy.syscalls.iter().flat_map(|entry| without(entry, decides)).collect();
    // What is behind these two has conditions of its own.
    let mut behind = policy.clone();
    for entry in &mut behind.syscalls {
        entry.names.retain(|name| name != "socketcall" && name != "ipc");
    }
    has(policy) || has(&rest) || has(&behind)
}

/// The rules of an entry that do not decide a group, as entries.
fn without(entry: &Entry, decides: impl Fn(&Condition) -> bool) -> Vec<Entry> {
    let twice = |one: &Condition| entry.args.iter().filter(|other| other.index == one.index).count() > 1;
    if entry.args.iter().any(twice) {
        let single = |one: &Condition| Entry { args: vec![one.clone()], ..entry.clone() };
        entry.args.iter().filter(|one| !decides(one)).map(single).collect()
    } else if entry.args.iter().all(decides) {
        Vec::new()
    } else {
        vec![entry.clone()]
    }
}

/// What a filter returns for it.
pub(crate) fn answer(effect: Effect) -> u32 {
    match effect {
        Effect::KillProcess => 0x8000_0000,
        Effect::KillThread => 0,
        Effect::Trap => 0x0003_0000,
        Effect::Errno(number) => 0x0005_0000 | u32::from(number),
        Effect::Notify => 0x7fc0_0000,
        Effect::Trace(number) => 0x7ff0_0000 | u32::from(number),
        Effect::Log => 0x7ffc_0000,
        Effect::Allow => 0x7fff_0000,
    }
}

/// The policy without the names that this libseccomp does not know: they are newer than it is, and skipped there.
pub(crate) fn known(library: &Library, policy: &Value) -> Value {
    let mut policy = policy.clone();
    for entry in policy["syscalls"].as_array_mut().into_iter().flatten() {
        if let Some(names) = entry["names"].as_array_mut() {
            names.retain(|name| name.as_str().is_some_and(|name| library.knows(name)));
        }
    }
    policy
}

/// runc's stub (`spec/seccomp.md` 1.9): the highest number that an entry names, by architecture.
pub(crate) fn stub(library: &Library, policy: &Value, host: &[&str]) -> BTreeMap<(u32, bool), u32> {
    let mut borders = BTreeMap::new();
    let executes = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"];
    if executes.iter().any(|action| policy["defaultAction"] == *action) {
        return borders;
    }
    let listed = policy["architectures"].as_array().into_iter().flatten().filter_map(Value::as_str);
    for arch in std::iter::once(host[0]).chain(listed) {
        let Some(token) = library.token(arch) else { continue };
        let has_socketcall = library.number(arch, "socketcall").is_some();
        let counts = |name: &&str| !has_socketcall || !policies::BEHIND_SOCKETCALL_OR_IPC.contains(name);
        let numbers =
            policies::names(policy).into_iter().filter(counts).filter_map(|name| library.number(arch, name));
        if let Some(highest) = numbers.max().filter(|highest| *highest > 0) {
            let x32 = token == policies::X32_TOKEN;
            borders.insert((if x32 { policies::X86_64_TOKEN } else { token }, x32), highest);
        }
    }
    borders
}

/// The same failure with fewer entries, names and conditions.
fn shrink(policy: &Value, mut fails: impl FnMut(&Value) -> bool) -> Value {
    let mut best = policy.clone();
    loop {
        let mut candidates = Vec::new();
        for at in 0..best["syscalls"].as_array().map_or(0, Vec::len) {
            let mut fewer = best.clone();
            fewer["syscalls"].as_array_mut().into_iter().for_each(|list| drop(list.remove(at)));
            candidates.push(fewer);
            for key in ["names", "args"] {
                for inner in 0..best["syscalls"][at][key].as_array().map_or(0, Vec::len) {
                    let mut fewer = best.clone();
                    fewer["syscalls"][at][key]
                        .as_array_mut()
                        .into_iter()
                        .for_each(|list| drop(list.remove(inner)));
                    candidates.push(fewer);
                }
            }
        }
        for key in ["architectures", "flags", "defaultErrnoRet"] {
            let mut fewer = best.clone();
            if fewer.as_object_mut().and_then(|members| members.shift_remove(key)).is_some() {
                candidates.push(fewer);
            }
        }
        match candidates.into_iter().find(|candidate| fails(candidate)) {
            Some(smaller) => best = smaller,
            None => return best,
        }
    }
}
