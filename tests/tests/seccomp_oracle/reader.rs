//! The reader of filters against two interpreters, the model and libseccomp (`nri_seccomp::bpf`).

use nri_seccomp::bpf::{self, Filters, Instruction, Program, Stack};
use nri_seccomp::compare::{self, Relation};
use nri_seccomp::decision::evaluate;
use nri_seccomp::model::{Model, Reading};
use nri_seccomp::settings::{Host, Settings};
use nri_seccomp::term::Arch;
use nri_tests::random::Random;
use nri_tests::seccomp::filter::Filter;
use nri_tests::seccomp::library::Driver;
use nri_tests::seccomp::policies;
use nri_tests::seccomp::profiles;
use serde_json::Value;

use crate::kit::{Oracle, call, pair, points, random, times};
use crate::model::{answer, host, known, model, read};

/// The filter as ours.
fn stack(filter: &Filter) -> Stack {
    let Some(program) = &filter.program else { return Stack::default() };
    let instructions = program.code.iter();
    let instructions = instructions.map(|it| Instruction { code: it.code, jt: it.yes, jf: it.no, k: it.k });
    let program = Program::new(instructions.collect());
    Stack::new(vec![
        program.unwrap_or_else(|error| panic!("libseccomp made what the kernel refuses: {error}")),
    ])
}

/// What the lists of every number say is what the program does, by our interpreter and by another.
fn same(filter: &Filter, host: &Host, policy: &Value, oracle: &Oracle, random: &mut Random, calls: usize) {
    let stack = stack(filter);
    let tables: Vec<_> = host.archs().iter().map(|arch| (*arch, stack.read(*arch))).collect();
    let names: Vec<&str> = host.archs().iter().map(|arch| arch.as_str()).collect();
    let values = oracle.calls(&[policy], &names);
    let points = points(&values);
    for n in 0..calls {
        let call = if n % 4 == 0 { values.any(random) } else { call(random, &values, &points) };
        let Some(arch) = Arch::of_call(call.arch, call.nr) else { continue };
        let Some((_, table)) = tables.iter().find(|(known, _)| *known == arch) else { continue };
        let range = table.find(call.nr).unwrap_or_else(|| panic!("{call}: no range"));
        let list = match &range.list {
            Ok(list) => list,
            // Hazard F: a word that should have been loaded anew is compared with the mask of the one before.
            Err(bpf::Why::MaskedOrder) => continue,
            Err(why) => panic!("{call}: {why}: {policy}"),
        };
        let effect = stack.evaluate(arch, call.nr, &call.args);
        assert_eq!(answer(effect), filter.answer(&call), "{call}: two interpreters: {policy}");
        assert_eq!(evaluate(list, &call.args), Some(effect), "{call}: {policy}");
    }
}

fn has_hazards(model: &Model<'_>) -> bool {
    model.archs().any(|arch| model.abi(arch).groups().any(|(_, group)| !group.hazards().is_empty()))
}

/// Settings under which every difference counts.
fn exact() -> Settings {
    let mut settings = Settings::default();
    settings.set("errno", "exact").unwrap_or_else(|error| panic!("{error}"));
    settings
}

/// The filter does exactly what the model says, for every number and every argument.
fn verify(policy: &Value, archs: &[&str], driver: Driver, filter: &Filter) -> Relation {
    let (policy, host) = (read(policy), host(archs));
    let model = match driver {
        // The stub is not libseccomp's, and here it is left out.
        Driver::Runc => Model::new(Some(&policy), &host, &Settings::default(), Reading::All)
            .unwrap_or_else(|invalid| panic!("{invalid}")),
        _ => model(&policy, archs, driver),
    };
    let filters = Filters::read(stack(filter), &host);
    let verdict = bpf::compare(&model, &filters, &host, &exact());
    let expected = has_hazards(&model) || verdict.relation == Relation::Equal;
    assert!(expected, "{driver:?} {verdict:?}\n{}", policy.to_json());
    verdict.relation
}

#[test]
fn random_filters() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut random = random(40);
    let (mut equal, mut other) = (0, 0);
    for _ in 0..times(500) {
        let archs = oracle.host(&mut random);
        let policy = policies::policy(&mut random, archs);
        let driver = *random.pick(&Driver::ALL);
        let Ok(filter) = oracle.filter(&policy, archs, driver) else { continue };
        same(&filter, &host(archs), &policy, &oracle, &mut random, 100);
        match verify(&policy, archs, driver, &filter) {
            Relation::Equal => equal += 1,
            _ => other += 1,
        }
    }
    println!("{equal} equal, {other} not, with hazards");
    assert!(equal > other, "{equal} {other}");
}

#[test]
fn real_filters() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut random = random(41);
    let archs = policies::HOSTS[0];
    for (name, profile) in profiles::all() {
        let profile = known(&oracle.library, &profile);
        for driver in [Driver::Runc, Driver::Crun] {
            let filter =
                oracle.filter(&profile, archs, driver).unwrap_or_else(|error| panic!("{name}: {error:?}"));
            same(&filter, &host(archs), &profile, &oracle, &mut random, 5000);
            assert_eq!(verify(&profile, archs, driver, &filter), Relation::Equal, "{name}");
        }
    }
}

/// Two filters stand to each other as their policies do.
#[test]
fn pairs() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut random = random(42);
    let mut compared = 0;
    for _ in 0..times(400) {
        let archs = oracle.host(&mut random);
        let (old, new) = pair(&mut random, archs);
        let (Ok(before), Ok(after)) =
            (oracle.filter(&old, archs, Driver::Crun), oracle.filter(&new, archs, Driver::Crun))
        else {
            continue;
        };
        let policy = |value: &Value| (!value.is_null()).then(|| read(value));
        let (old, new) = (policy(&old), policy(&new));
        let (host, settings) = (host(archs), exact());
        let model = |policy| Model::new(policy, &host, &settings, Reading::FirstSix);
        let (Ok(one), Ok(other)) = (model(old.as_ref()), model(new.as_ref())) else { continue };
        let long = |policy: &Option<nri_seccomp::policy::Policy>| {
            policy.as_ref().is_some_and(|policy| policy.syscalls.iter().any(|entry| entry.args.len() > 6))
        };
        let stranger = |model: &Model<'_>| {
            let keys =
                |arch| model.abi(arch).keys().any(|key| matches!(key, nri_seccomp::model::Key::Name(_)));
            model.archs().any(keys)
        };
        // Filters have no flags, agents or names, and are read in one way.
        let alike = one.flags_in_force() == other.flags_in_force() && one.listener() == other.listener();
        if has_hazards(&one)
            || has_hazards(&other)
            || stranger(&one)
            || stranger(&other)
            || !alike
            || long(&old)
            || long(&new)
        {
            continue;
        }
        let expect = compare::compare(old.as_ref(), new.as_ref(), &host, &settings).relation;
        let filters = |filter: &Filter| Filters::read(stack(filter), &host);
        let verdict = bpf::compare(&filters(&before), &filters(&after), &host, &settings);
        assert_eq!(verdict.relation, expect, "{verdict:?}\n{old:?}\n{new:?}");
        compared += 1;
    }
    println!("{compared} pairs");
    assert!(compared > times(50), "{compared}");
}
