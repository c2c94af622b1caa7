//! Verdicts against the solver, which is asked about the programs of both sides (`spec/seccomp.md` 2, 3 and 7.1).

use nri_seccomp::compare::{Comparison, Counterexample, Relation, compare};
use nri_seccomp::model::{Key, Model};
use nri_seccomp::policy::Policy;
use nri_seccomp::settings::Settings;
use nri_seccomp::term::Arch;
use nri_tests::random::Random;
use nri_tests::seccomp::bpf::Call;
use nri_tests::seccomp::filter::Filter;
use nri_tests::seccomp::library::Driver;
use nri_tests::seccomp::order::Order;
use nri_tests::seccomp::policies::{self, HOSTS, X32_BIT, X86_64_TOKEN};
use nri_tests::seccomp::profiles;
use nri_tests::seccomp::solver::{Solver, Verdict};
use serde_json::{Map, Value, json};

use crate::kit::{Oracle, pair, points, random, times};
use crate::model::{answer, host, known, model, read, stub};

/// What came of the pairs.
#[derive(Debug, Default)]
struct Count {
    equal: usize,
    tighter: usize,
    looser: usize,
    incomparable: usize,
    undecidable: usize,
    /// The program of a side could not be made under some driver.
    refused: usize,
    /// The solver was asked and knew.
    solved: usize,
    unknown: usize,
    /// Counterexamples that are true on the programs.
    proved: usize,
}

/// Random pairs: no loosening call exists where we say "contained", one exists where we say that there is one, and each
/// counterexample is true on libseccomp's own programs.
#[test]
fn random_pairs() {
    let (Some(mut oracle), Some(mut solver)) = (Oracle::start(), Solver::start()) else { return };
    let mut random = random(6);
    let mut count = Count::default();
    for n in 0..times(500) {
        let host = oracle.host(&mut random);
        let (old, new) = pair(&mut random, host);
        let config = config(&mut random);
        let pair = Pair { old: &old, new: &new, host, config: &config };
        if let Err(failure) = pair.check(&mut oracle, &mut solver, &mut count) {
            panic!("pair {n}: {failure}\nhost {host:?}\nconfig {config}\nold {old}\nnew {new}");
        }
    }
    println!("{count:?}, {} questions in {:?}", solver.asked, solver.spent);
    let enough = [count.equal, count.tighter, count.looser, count.incomparable];
    assert!(enough.iter().all(|seen| *seen > times(20)) && count.unknown < times(5), "{count:?}");
}

/// The engines' profiles against each other, and edits of them.
#[test]
fn real_pairs() {
    let (Some(mut oracle), Some(mut solver)) = (Oracle::start(), Solver::start()) else { return };
    let mut random = random(7);
    let mut count = Count::default();
    let host = HOSTS[0];
    let all: Vec<(&str, Value)> =
        profiles::all().into_iter().map(|(name, profile)| (name, known(&oracle.library, &profile))).collect();
    let mut check = |name: &str, old: &Value, new: &Value, config: &Value| {
        let pair = Pair { old, new, host, config };
        if let Err(failure) = pair.check(&mut oracle, &mut solver, &mut count) {
            panic!("{name}: {failure}\nconfig {config}\nold {old}\nnew {new}");
        }
    };
    for (name, profile) in &all {
        for (other, another) in &all {
            check(&format!("{name} to {other}"), profile, another, &json!({}));
        }
        for _ in 0..times(4) {
            let edited = policies::edited(&mut random, profile, host);
            let config = config(&mut random);
            check(name, profile, &edited, &config);
            check(name, &edited, profile, &config);
        }
    }
    println!("{count:?}, {} questions in {:?}", solver.asked, solver.spent);
}

/// Settings as an administrator might have them: mostly the default ones.
fn config(random: &mut Random) -> Value {
    let mut config = Map::new();
    for (name, values) in Settings::NAMES {
        if random.once_in(5) {
            config.insert((*name).to_owned(), (*random.pick(values)).into());
        }
    }
    config.into()
}

/// Two policies (null: none), the machine, and the settings.
struct Pair<'a> {
    old: &'a Value,
    new: &'a Value,
    host: &'a [&'a str],
    config: &'a Value,
}

/// The programs of both sides under a driver.
struct Programs {
    old: Filter,
    new: Filter,
    points: Vec<(u32, u32)>,
}

impl Pair<'_> {
    fn check(&self, oracle: &mut Oracle, solver: &mut Solver, count: &mut Count) -> Result<(), String> {
        let policies = [self.old, self.new].map(|policy| (!policy.is_null()).then(|| read(policy)));
        let comparison = self.compare(&policies);
        let programs: Vec<Programs> =
            self.drivers().iter().filter_map(|driver| self.programs(oracle, *driver)).collect();
        count.refused += usize::from(programs.len() < self.drivers().len());
        let (forth, back) = (self.order(false), self.order(true));
        let (old, new) = (self.old, self.new);
        // Whether a loosening is known to exist, each way; nothing where the solver gave up or a program is absent.
        let complete = programs.len() == self.drivers().len();
        let mut ask = |backward: bool| -> Option<bool> {
            if if backward { back.flags_loosen(new, old) } else { forth.flags_loosen(old, new) } {
                return Some(true);
            }
            let mut known = Some(false);
            for Programs { old, new, points } in &programs {
                let verdict = if backward {
                    solver.find(new, old, points, |a, b| back.loosens(a, b))
                } else {
                    solver.find(old, new, points, |a, b| forth.loosens(a, b))
                };
                match verdict {
                    Verdict::Exists(_) => return Some(true),
                    Verdict::None => {}
                    Verdict::Unknown => known = None,
                }
            }
            known.filter(|_| complete)
        };
        let (forward, backward) = (ask(false), ask(true));
        count.solved += usize::from(forward.is_some()) + usize::from(backward.is_some());
        count.unknown += usize::from(complete && (forward.is_none() || backward.is_none()));
        // Where the model knows all, existence must be found, too. Names that are in no table are in no program.
        let hazardous = self.any_model(&policies, |model| {
            model.archs().any(|arch| model.abi(arch).groups().any(|(_, group)| !group.hazards().is_empty()))
        });
        let exact = !hazardous && !self.has_stranger(oracle);
        let contradicts = |claim: Option<bool>, exists: Option<bool>| match (claim, exists) {
            (Some(false), Some(true)) => true,
            (Some(true), Some(false)) => exact,
            _ => false,
        };
        let (claimed_forward, claimed_backward) = match comparison.relation {
            Relation::Equal => (Some(false), Some(false)),
            Relation::Tighter => (Some(false), Some(true)),
            Relation::Looser => (Some(true), Some(false)),
            Relation::Incomparable => (Some(true), Some(true)),
            Relation::Undecidable => (None, None),
            Relation::Invalid => return Err(format!("{comparison:?}")),
        };
        *match comparison.relation {
            Relation::Equal => &mut count.equal,
            Relation::Tighter => &mut count.tighter,
            Relation::Looser => &mut count.looser,
            Relation::Incomparable => &mut count.incomparable,
            _ => &mut count.undecidable,
        } += 1;
        if comparison.relation == Relation::Undecidable && exact {
            return Err(format!("undecidable without a hazard: {:?}", comparison.reason));
        }
        if contradicts(claimed_forward, forward) || contradicts(claimed_backward, backward) {
            return Err(format!("{comparison:?}, and a loosening exists: {forward:?}, back: {backward:?}"));
        }
        self.is_true(&comparison, &policies, oracle, &programs, complete)
            .map(|proved| count.proved += usize::from(proved))
    }

    fn compare(&self, [old, new]: &[Option<Policy>; 2]) -> Comparison {
        compare(old.as_ref(), new.as_ref(), &host(self.host), &self.settings())
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        for (name, value) in self.config.as_object().into_iter().flatten() {
            settings
                .set(name, value.as_str().unwrap_or_default())
                .unwrap_or_else(|unknown| panic!("{unknown}"));
        }
        settings
    }

    fn order(&self, backward: bool) -> Order {
        if backward {
            Order::new(self.config, self.new, self.old)
        } else {
            Order::new(self.config, self.old, self.new)
        }
    }

    /// Who loads policies so: where readings differ, the verdict is about both.
    fn drivers(&self) -> &'static [Driver] {
        match self.config["runtime"].as_str() {
            Some("runc") => &[Driver::Runc],
            Some("youki") => &[Driver::Youki],
            _ => &[Driver::OldRunc, Driver::Crun],
        }
    }

    fn programs(&self, oracle: &mut Oracle, driver: Driver) -> Option<Programs> {
        let mut old = oracle.filter(self.old, self.host, driver).ok()?;
        let mut new = oracle.filter(self.new, self.host, driver).ok()?;
        let mut points = points(&oracle.calls(&[self.old, self.new], self.host));
        if driver == Driver::Runc {
            for (filter, policy) in [(&mut old, self.old), (&mut new, self.new)] {
                if !policy.is_null() {
                    filter.stub = stub(&oracle.library, policy, self.host);
                    let borders = filter.stub.iter();
                    points.extend(borders.map(|((arch, _), border)| (*arch, border + 1)));
                }
            }
        }
        Some(Programs { old, new, points })
    }

    /// Whether something holds of the model of a side, under some driver.
    fn any_model(&self, policies: &[Option<Policy>; 2], holds: impl Fn(&Model<'_>) -> bool) -> bool {
        let drivers = self.drivers();
        policies
            .iter()
            .flatten()
            .any(|policy| drivers.iter().any(|driver| holds(&model(policy, self.host, *driver))))
    }

    fn has_stranger(&self, oracle: &Oracle) -> bool {
        [self.old, self.new]
            .iter()
            .any(|policy| policies::names(policy).iter().any(|name| !oracle.library.knows(name)))
    }

    /// Whether the counterexample, if there is one, is true on a pair of programs, and says what they answer.
    fn is_true(
        &self,
        comparison: &Comparison,
        policies: &[Option<Policy>; 2],
        oracle: &Oracle,
        programs: &[Programs],
        complete: bool,
    ) -> Result<bool, String> {
        let rejects = matches!(comparison.relation, Relation::Looser | Relation::Incomparable);
        let call = match &comparison.counterexample {
            None if rejects => return Err("no counterexample".to_owned()),
            None => return Ok(false),
            Some(_) if !rejects => return Err("a counterexample".to_owned()),
            Some(Counterexample::Flag { .. }) => {
                let loosens = self.order(false).flags_loosen(self.old, self.new);
                return if loosens { Ok(true) } else { Err(format!("{:?}", comparison.counterexample)) };
            }
            Some(Counterexample::Call(call)) => call,
        };
        let (old, new) = (answer(call.old), answer(call.new));
        if !self.order(false).loosens(old, new) {
            return Err(format!("{call:?} does not loosen"));
        }
        let Some(nr) = call.nr else { return Ok(false) };
        let token = oracle.library.token(call.arch.as_str()).ok_or("no such architecture")?;
        let arch = if call.arch == Arch::X32 { X86_64_TOKEN } else { token };
        let at = Call { arch, nr, args: call.args };
        let is_there = call.arch != Arch::X32 || nr & X32_BIT != 0;
        // In a group with a hazard, any answers that the programs may give must loosen.
        let hazardous = self.any_model(policies, |model| {
            model.abi(call.arch).group(Key::Number(nr)).is_some_and(|group| !group.hazards().is_empty())
        });
        let found = programs.iter().any(|programs| {
            let (before, after) = (programs.old.answer(&at), programs.new.answer(&at));
            (before, after) == (old, new) || hazardous && self.order(false).loosens(before, after)
        });
        match (is_there, found, complete) {
            (true, true, _) => Ok(true),
            (true, false, false) => Ok(false),
            _ => Err(format!("{call:?} is not what the programs answer")),
        }
    }
}
