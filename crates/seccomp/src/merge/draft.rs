//! The merged policy as a whole: its frame, the rules of all syscalls, and the check of what they come to.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::{Answer, Place, answer};
use super::cover::{Problem, View};
use super::diagram::{Diagram, Diagrams, NO, TooComplex};
use super::meet::{Grade, code, effect, meet, twin};
use super::phrase::{Goal, Phrasing, Trial};
use super::rule::{Rule, action, entries};
use super::sought::{Sides, Sought, behind};
use super::{Failure, Merged, Mode, TOO_MANY, Unsayable};
use crate::model::hazard::{Hazard, Hazards};
use crate::model::{Model, Reading};
use crate::policy::Policy;
use crate::settings::{Host, Settings};
use crate::syscall;
use crate::term::{Arch, Effect, Flag, Operator};

/// Steps for one merge; no real pair of policies takes a hundredth.
const STEPS: u32 = 40_000_000;
/// Steps for one syscall.
const STEPS_OF_ONE: u32 = 8_000_000;
/// Steps for checking what was found for one syscall.
const STEPS_OF_A_CHECK: u32 = 1_000_000;
/// Names that are looked at.
const NAMES: usize = 20_000;
/// How often the draft is changed because of what its check has found.
const ROUNDS: usize = 24;
/// Instructions that a kernel takes.
const INSTRUCTIONS: usize = 4096;

/// A policy in the making.
struct Draft<'a> {
    sides: &'a Sides<'a>,
    mode: Mode,
    /// The ABIs of the filter, the native one first.
    filter: Host,
    host: &'a Host,
    frame: Policy,
    default: Effect,
    sought: Vec<Sought>,
    rules: BTreeMap<String, Vec<Rule>>,
    /// How many results for a syscall have been found wanting in the whole.
    skip: BTreeMap<String, usize>,
    stricter: Vec<Unsayable>,
}

/// What is wrong with a draft.
struct Flaw {
    arch: Arch,
    /// Its place in [`Draft::sought`].
    syscall: usize,
    hazards: Hazards,
}

pub(super) fn draft(sides: &Sides<'_>, host: &Host, mode: Mode) -> Result<Merged, Failure> {
    let sought = match sought(sides, host, mode) {
        Err(Failure::Unsayable(unsayable)) if mode == Mode::Approximate => {
            return Ok(constant(sides, host, Effect::KillProcess, vec![unsayable]));
        }
        sought => sought?,
    };
    let unnamed = sides.unnamed(host);
    let filter = filter(sides, host, &unnamed, &sought);
    let bounded = sought.iter().filter(|sought| sought.is_bounded);
    let mut stricter: Vec<Unsayable> = bounded
        .map(|sought| Unsayable {
            arch: host.native(),
            syscall: Some(sought.name.clone()),
            why: TOO_MANY.to_owned(),
        })
        .collect();
    let default = default(sides, host, &filter, &unnamed, mode, &mut stricter)?;
    let frame = frame(sides, &filter, default, &sought);
    let mut draft = Draft {
        sides,
        mode,
        filter,
        host,
        frame,
        default,
        sought,
        rules: BTreeMap::new(),
        skip: BTreeMap::new(),
        stricter,
    };
    let unsayable = match draft.settle() {
        Ok(policy) => return Ok(Merged { policy: Some(policy), stricter: draft.stricter }),
        Err(Failure::Unsayable(unsayable)) if mode == Mode::Approximate => unsayable,
        Err(failure) => return Err(failure),
    };
    let wanted = draft.sought.iter().flat_map(|sought| {
        sought.goals.iter().flat_map(|goal| sought.diagrams.answers(goal.want)).map(effect)
    });
    let strictest = wanted.chain(unnamed).reduce(|one, other| meet(&sides.order, one, other));
    draft.stricter.push(unsayable);
    Ok(constant(sides, host, strictest.unwrap_or(Effect::KillProcess), draft.stricter))
}

/// A policy that answers everything alike: the last resort of an approximation.
fn constant(sides: &Sides<'_>, host: &Host, effect: Effect, stricter: Vec<Unsayable>) -> Merged {
    Merged { policy: Some(frame(sides, host, effect, &[])), stricter }
}

/// What each name is to answer.
fn sought(sides: &Sides<'_>, host: &Host, mode: Mode) -> Result<Vec<Sought>, Failure> {
    if sides.names.len() > NAMES {
        let why = format!("there are more than {NAMES} names");
        return Err(Failure::Unsayable(Unsayable { arch: host.native(), syscall: None, why }));
    }
    let mut left = STEPS;
    let mut all = Vec::new();
    for name in sides.names.keys() {
        let steps = left.min(STEPS_OF_ONE);
        let sought = sides.sought(host, name, steps, mode == Mode::Approximate)?;
        left -= steps - sought.diagrams.left();
        all.push(sought);
    }
    Ok(all)
}

/// The ABIs that the policy is to have: those that both have, and those on which not everything is killed anyway.
fn filter(sides: &Sides<'_>, host: &Host, unnamed: &[Effect], sought: &[Sought]) -> Host {
    let killed = Effect::KillThread;
    let is_needed = |arch: Arch, unnamed: Effect| {
        arch == host.native()
            || sides
                .models
                .iter()
                .zip(sides.policies)
                .all(|(model, policy)| policy.is_none() || model.abi(arch).is_in_filter())
            || unnamed != killed
            || sought
                .iter()
                .flat_map(|sought| &sought.goals)
                .any(|goal| goal.place.arch == arch && goal.want != Diagram::leaf(code(killed)))
    };
    let archs = host.archs().iter().zip(unnamed);
    Host::new(archs.filter(|(arch, unnamed)| is_needed(**arch, **unnamed)).map(|(arch, _)| *arch))
        .unwrap_or_else(|| host.clone())
}

/// The default action: what the ABIs of the filter answer where nobody names the call.
fn default(
    sides: &Sides<'_>,
    host: &Host,
    filter: &Host,
    unnamed: &[Effect],
    mode: Mode,
    stricter: &mut Vec<Unsayable>,
) -> Result<Effect, Failure> {
    let mut wanted = host.archs().iter().zip(unnamed).filter(|(arch, _)| filter.archs().contains(arch));
    let Some((native, first)) = wanted.next() else { return Ok(Effect::KillProcess) };
    let mut default = *first;
    for (arch, unnamed) in wanted.filter(|(_, other)| Grade::Order.of(**other) != Grade::Order.of(*first)) {
        let why =
            format!("{unnamed} is wanted here and {first} on {native}, but there is one default action");
        let unsayable = Unsayable { arch: *arch, syscall: None, why };
        if mode == Mode::Exact {
            return Err(Failure::Unsayable(unsayable));
        }
        stricter.push(unsayable);
        default = meet(&sides.order, default, *unnamed);
    }
    Ok(default)
}

/// The policy without its rules.
fn frame(sides: &Sides<'_>, filter: &Host, default: Effect, sought: &[Sought]) -> Policy {
    let (default_action, default_errno) = action(default);
    let mut frame = Policy { default_errno, ..Policy::new(default_action) };
    if sides.policies.iter().flatten().any(|policy| !policy.architectures.is_empty()) {
        frame.architectures = filter.archs().to_vec();
    }
    // A NOTIFY survives against the same agent's only, so that it does not matter whose listener this is.
    let notifies = sought.iter().any(|sought| {
        sought.goals.iter().any(|goal| sought.diagrams.answers(goal.want).contains(&code(Effect::Notify)))
    });
    if notifies && let Some(policy) = sides.policies.iter().flatten().next() {
        frame.listener_path.clone_from(&policy.listener_path);
        frame.listener_metadata.clone_from(&policy.listener_metadata);
    }
    frame.flags = flags(sides, notifies);
    frame
}

/// The flags in force: a record that either side makes is made, a mitigation that either side has stays.
fn flags(sides: &Sides<'_>, notifies: bool) -> Vec<Flag> {
    let [a, b] = &sides.models;
    let (a, b) = (a.flags_in_force(), b.flags_in_force());
    let given = |flag| sides.policies.iter().flatten().any(|policy| policy.flags.contains(&flag));
    let mut flags: Vec<Flag> = [
        (Flag::Tsync, given(Flag::Tsync)),
        (Flag::Log, a.log || b.log),
        (Flag::SpecAllow, a.spec_allow && b.spec_allow),
        // Without a listener the kernel refuses it.
        (Flag::WaitKillableRecv, notifies && given(Flag::WaitKillableRecv)),
    ]
    .into_iter()
    .filter_map(|(flag, wanted)| wanted.then_some(flag))
    .collect();
    let given_any = sides.policies.iter().flatten().any(|policy| !policy.flags.is_empty());
    match flags.as_slice() {
        // An empty list would bring SPEC_ALLOW (`spec/seccomp.md` 1.10); this one changes nothing.
        [] => flags.push(Flag::Tsync),
        [Flag::SpecAllow] if !given_any => flags.clear(),
        _ => {}
    }
    flags
}

impl Draft<'_> {
    /// The gates come last: what is behind them adds to their rules.
    fn order(&self) -> Vec<usize> {
        let is_gate = |place: &usize| {
            self.sought.get(*place).is_some_and(|sought| behind(&sought.name).next().is_some())
        };
        let (gates, others): (Vec<usize>, Vec<usize>) = (0..self.sought.len()).partition(is_gate);
        [others, gates].concat()
    }

    /// Finds the rules of one syscall.
    fn phrase(&mut self, place: usize) -> Result<(), Failure> {
        let Some(sought) = self.sought.get_mut(place) else { return Ok(()) };
        let goals: Vec<Goal> = sought
            .goals
            .iter()
            .filter(|goal| self.filter.archs().contains(&goal.place.arch))
            .cloned()
            .collect();
        if goals.is_empty() {
            return Ok(());
        }
        let views = goals.iter().map(|goal| View { wide: goal.wide, want: goal.want }).collect();
        let problem =
            Problem::new(&sought.diagrams, views, self.default, self.sides.conditions(&sought.name));
        let beside: BTreeMap<String, Vec<Rule>> = behind(&sought.name)
            .filter_map(|(name, _)| Some((name.to_owned(), self.rules.get(name)?.clone())))
            .collect();
        let skip = self.skip.get(&sought.name).copied().unwrap_or(0);
        if let Some(constant) = problem.constant().filter(|_| beside.is_empty() && skip == 0) {
            if constant != self.default {
                self.rules.insert(sought.name.clone(), vec![Rule::always(constant)]);
            }
            return Ok(());
        }
        let rules = [0, 1].map(|side| self.sides.rules(side, &sought.name));
        let [rules_a, rules_b] = &rules;
        let [default_a, default_b] = &self.sides.models;
        let trial = Trial {
            host: &self.filter,
            frame: &self.frame,
            default: self.default,
            name: &sought.name,
            goals,
            beside,
        };
        let phrasing = Phrasing {
            trial: &trial,
            problem: &problem,
            diagrams: &mut sought.diagrams,
            order: &self.sides.order,
            sides: [(rules_a, default_a.default_effect()), (rules_b, default_b.default_effect())],
            skip,
        };
        let why = match phrasing.find() {
            Ok(Some(rules)) => {
                self.rules.insert(sought.name.clone(), rules);
                return Ok(());
            }
            Ok(None) => None,
            Err(TooComplex) => Some("finding rules that answer so is too much work".to_owned()),
        };
        let (arch, obstacle) = obstacle(&trial.goals);
        let why = why.unwrap_or(obstacle);
        let unsayable = Unsayable { arch, syscall: Some(sought.name.clone()), why };
        self.give_up(place, unsayable)
    }

    /// Something stricter for one syscall, and where it is a gate for all that is behind it.
    fn give_up(&mut self, place: usize, unsayable: Unsayable) -> Result<(), Failure> {
        if self.mode == Mode::Exact {
            return Err(Failure::Unsayable(unsayable));
        }
        let Some(name) = self.sought.get(place).map(|sought| sought.name.clone()) else { return Ok(()) };
        let mut names: Vec<String> = behind(&name).map(|(name, _)| name.to_owned()).collect();
        names.retain(|name| self.rules.contains_key(name));
        names.push(name);
        let concerned = self.sought.iter().filter(|sought| names.contains(&sought.name));
        let answers = concerned.flat_map(|sought| {
            sought.goals.iter().flat_map(|goal| sought.diagrams.answers(goal.want)).map(effect)
        });
        let strictest = answers.fold(self.default, |one, other| meet(&self.sides.order, one, other));
        for name in names {
            let rules = if strictest == self.default { Vec::new() } else { vec![Rule::always(strictest)] };
            self.rules.insert(name.clone(), rules);
            self.stricter.push(Unsayable { syscall: Some(name), ..unsayable.clone() });
        }
        Ok(())
    }

    fn policy(&self) -> Policy {
        let mut policy = self.frame.clone();
        policy.syscalls = entries(&self.rules);
        policy
    }

    /// Finds all rules, checks what they make as a whole, and mends it while there is something to mend.
    fn settle(&mut self) -> Result<Policy, Failure> {
        for place in self.order() {
            self.phrase(place)?;
        }
        for _ in 0..ROUNDS {
            let policy = self.policy();
            match self.flaw(&policy)? {
                Some(flaw) => self.mend(&flaw)?,
                None if self.fits(&policy) => return Ok(policy),
                None => self.shorten()?,
            }
        }
        let why = "no rules were found that have no hazard beside those of other syscalls".to_owned();
        Err(Failure::Unsayable(Unsayable { arch: self.host.native(), syscall: None, why }))
    }

    /// The first place where the policy does not answer as it is to.
    fn flaw(&mut self, policy: &Policy) -> Result<Option<Flaw>, Failure> {
        let invalid = |arch, why: String| Failure::Unsayable(Unsayable { arch, syscall: None, why });
        let model = Model::new(Some(policy), self.host, &Settings::default(), Reading::All)
            .map_err(|error| invalid(self.host.native(), error.to_string()))?;
        let order = self.sides.order;
        let exact = self.mode == Mode::Exact;
        for (syscall, sought) in self.sought.iter_mut().enumerate() {
            sought.diagrams.grant(STEPS_OF_A_CHECK);
            for Goal { place, want, .. } in &sought.goals {
                let hazards =
                    right(&mut sought.diagrams, &model, (place, &sought.name), *want, |want, got| {
                        !order.loosens(want, got) && (!exact || !order.loosens(got, want))
                    })
                    .map_err(|TooComplex| Failure::too_complex(place, &sought.name))?;
                if let Err(hazards) = hazards {
                    return Ok(Some(Flaw { arch: place.arch, syscall, hazards }));
                }
            }
        }
        Ok(None)
    }

    fn mend(&mut self, flaw: &Flaw) -> Result<(), Failure> {
        if flaw.hazards.contains(Hazard::E) {
            return self.anchor(flaw);
        }
        let Some(sought) = self.sought.get(flaw.syscall) else { return Ok(()) };
        *self.skip.entry(sought.name.clone()).or_default() += 1;
        self.rules.remove(&sought.name);
        self.phrase(flaw.syscall)
    }

    /// Whether a kernel takes the policy; one that is no longer than those of both sides is not looked at.
    fn fits(&self, policy: &Policy) -> bool {
        let size = |model: &Model<'_>| {
            self.filter.archs().iter().map(|arch| instructions(model, *arch)).sum::<usize>()
        };
        let Ok(model) = Model::new(Some(policy), self.host, &Settings::default(), Reading::All) else {
            return false;
        };
        let most = self.sides.models.iter().map(size).max().unwrap_or(0);
        size(&model) <= most.max(INSTRUCTIONS)
    }

    /// Gives up the syscall with the most rules.
    fn shorten(&mut self) -> Result<(), Failure> {
        let longest = |place: &usize| {
            self.sought.get(*place).and_then(|sought| self.rules.get(&sought.name)).map_or(0, Vec::len)
        };
        let place = (0..self.sought.len()).max_by_key(longest).unwrap_or(0);
        let syscall = self.sought.get(place).map(|sought| sought.name.clone());
        let why =
            format!("with its rules the filter has more than the {INSTRUCTIONS} instructions of a kernel");
        self.give_up(place, Unsayable { arch: self.host.native(), syscall, why })
    }

    /// An answer that is stricter than the default action, where there may be one.
    fn stricter(&self) -> Option<Effect> {
        let stricter = [Effect::Log, Effect::Errno(1), Effect::Trap, Effect::KillThread, Effect::KillProcess];
        let order = &self.sides.order;
        stricter.into_iter().find(|effect| {
            self.mode == Mode::Approximate
                && !order.loosens(self.default, *effect)
                && order.loosens(*effect, self.default)
        })
    }

    /// An unconditional rule that changes nothing, so that the rules of the ABI's table are in force
    /// (`spec/seccomp.md` 1.5 E).
    fn anchor(&mut self, flaw: &Flaw) -> Result<(), Failure> {
        let free = syscall::rows().find(|row| {
            row.gate.is_none()
                && behind(row.name).next().is_none()
                && !self.sides.names.contains_key(row.name)
                && !self.rules.contains_key(row.name)
                && self.filter.archs().iter().all(|arch| row.number(*arch).is_some())
        });
        let effect = twin(self.default).or_else(|| self.stricter());
        let Some((row, effect)) = free.zip(effect) else {
            let why = format!("the rules {}, and nothing can be added to change that", Hazard::E.as_str());
            let syscall = self.sought.get(flaw.syscall).map(|sought| sought.name.clone());
            return Err(Failure::Unsayable(Unsayable { arch: flaw.arch, syscall, why }));
        };
        self.rules.insert(row.name.to_owned(), vec![Rule::always(effect)]);
        Ok(())
    }
}

/// Whether a policy answers a syscall as wanted, whatever its hazards come to. If not, the hazards.
fn right(
    diagrams: &mut Diagrams,
    model: &Model<'_>,
    (place, name): (&Place, &str),
    want: Diagram,
    fits: impl Fn(Effect, Effect) -> bool,
) -> Result<Result<(), Hazards>, TooComplex> {
    match answer(diagrams, model, place, name)? {
        Answer::Known(got) => {
            let wrong =
                diagrams.combine(want, got, &|want, got| u32::from(!fits(effect(want), effect(got))))?;
            Ok(if wrong == NO { Ok(()) } else { Err(Hazards::NONE) })
        }
        Answer::OneOf(effects, hazards) => {
            let mut wanted = diagrams.answers(want).into_iter();
            let fits = wanted.all(|want| effects.iter().all(|got| fits(effect(want), *got)));
            Ok(if fits { Ok(()) } else { Err(hazards) })
        }
    }
}

/// Why rules for these goals may not be there, and on which ABI.
fn obstacle(goals: &[Goal]) -> (Arch, String) {
    let answers = || goals.iter().map(|goal| (goal.place.arch, goal.want.constant().map(effect)));
    let first = answers().next().unwrap_or((Arch::X86_64, None));
    if let Some((arch, answer)) = answers().find(|(_, answer)| *answer != first.1)
        && let (Some(here), Some(there)) = (answer, first.1)
    {
        let why = format!("{here} is wanted here and {there} on {}, but a rule goes to every ABI", first.0);
        return (arch, why);
    }
    let arch = answers().find(|(_, answer)| answer.is_none()).map_or(first.0, |(arch, _)| arch);
    let mixed = goals.iter().any(|goal| goal.wide) && goals.iter().any(|goal| !goal.wide);
    let also = if mixed { ", here and on ABIs of 32 bits at once" } else { "" };
    (arch, format!("no rules without a hazard were found that answer so{also}"))
}

/// About how many instructions the rules of an ABI take: two for each test that no other rule shares.
fn instructions(model: &Model<'_>, arch: Arch) -> usize {
    const OF_AN_ABI: usize = 4;
    const OF_A_SYSCALL: usize = 2;
    let groups = model.abi(arch).groups().map(|(_, group)| {
        let mut prefixes = BTreeSet::new();
        let mut tests = 0;
        for rule in group.rules() {
            for (end, clause) in rule.clauses.iter().enumerate() {
                if prefixes.insert(rule.clauses.get(..=end)) {
                    tests += match clause.operator {
                        _ if !arch.is_64() => 1,
                        Operator::Eq | Operator::Ne | Operator::MaskedEq => 2,
                        _ => 3,
                    };
                }
            }
        }
        OF_A_SYSCALL + 2 * tests
    });
    OF_AN_ABI + groups.sum::<usize>()
}
