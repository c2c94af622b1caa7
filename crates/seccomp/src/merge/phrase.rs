//! Rules for one syscall that answer as wanted, tried out on the model.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::{Place, listed};
use super::cover::{Comparisons, Problem, Style};
use super::diagram::{Diagram, Diagrams, TooComplex};
use super::meet::{Grade, code, effect, twin};
use super::repair::{Repaired, repair};
use super::rule::{Limit, Rule, entries};
use crate::decision::ARGUMENTS;
use crate::model::hazard::Hazard;
use crate::model::{Model, Reading};
use crate::order::Order;
use crate::policy::Policy;
use crate::settings::{Host, Settings};
use crate::term::{Effect, Operator};

/// Ways through a diagram that are made rules.
const CUBES: usize = 96;
/// Rules that one syscall may get, at first and at last. A filter has room for some two thousand conditions.
const FEW: usize = 16;
const MANY: usize = 300;
/// Steps that one way of finding them may take.
const STEPS_OF_FEW: u32 = 200_000;
const STEPS_OF_MANY: u32 = 700_000;
/// What trying out costs, in steps of diagrams.
const TRIAL: u32 = 500;

/// What a syscall is to answer at a place.
#[derive(Clone, Debug)]
pub(super) struct Goal {
    pub(super) place: Place,
    pub(super) wide: bool,
    pub(super) want: Diagram,
}

/// The policy that is being made, as far as it matters to one syscall.
pub(super) struct Trial<'a> {
    /// The ABIs of the filter.
    pub(super) host: &'a Host,
    /// The policy without rules.
    pub(super) frame: &'a Policy,
    pub(super) default: Effect,
    pub(super) name: &'a str,
    pub(super) goals: Vec<Goal>,
    /// Rules that other names put into the same groups (`spec/seccomp.md` 1.2).
    pub(super) beside: BTreeMap<String, Vec<Rule>>,
}

impl Trial<'_> {
    /// What the rules answer at a goal, hazards aside. `None` where a runtime refuses them.
    pub(super) fn answer(
        &self,
        diagrams: &mut Diagrams,
        goal: &Goal,
        rules: &[Rule],
    ) -> Result<Option<Diagram>, TooComplex> {
        diagrams.spend(TRIAL)?;
        let policy = self.policy(rules);
        self.model(&policy).map_or(Ok(None), |model| self.listed(diagrams, &model, goal))
    }

    /// The same for one call; nothing either where the rules have a hazard of their own.
    pub(super) fn evaluate(&self, goal: &Goal, rules: &[Rule], call: &[u64; ARGUMENTS]) -> Option<Effect> {
        let policy = self.policy(rules);
        let model = self.model(&policy)?;
        let is_sound = self.goals.iter().all(|goal| self.is_sound(&model, goal));
        is_sound.then(|| model.abi(goal.place.arch).evaluate(goal.place.key(self.name), call)).flatten()
    }

    /// Whether the rules have no hazard of their own. E and F depend on other syscalls.
    fn is_sound(&self, model: &Model<'_>, goal: &Goal) -> bool {
        model
            .abi(goal.place.arch)
            .group(goal.place.key(self.name))
            .is_none_or(|group| group.hazards().iter().all(|hazard| matches!(hazard, Hazard::E | Hazard::F)))
    }

    fn listed(
        &self,
        diagrams: &mut Diagrams,
        model: &Model<'_>,
        goal: &Goal,
    ) -> Result<Option<Diagram>, TooComplex> {
        match model.abi(goal.place.arch).group(goal.place.key(self.name)) {
            None => Ok(Some(Diagram::leaf(code(self.default)))),
            Some(group) if group.is_too_complex() => Ok(None),
            Some(group) => listed(diagrams, group).map(Some),
        }
    }

    fn model<'p>(&self, policy: &'p Policy) -> Option<Model<'p>> {
        Model::new(Some(policy), self.host, &Settings::default(), Reading::All).ok()
    }

    /// Whether the rules answer as wanted and have no hazard of their own.
    fn holds(&self, diagrams: &mut Diagrams, rules: &[Rule], grade: Grade) -> Result<bool, TooComplex> {
        diagrams.spend(TRIAL)?;
        let policy = self.policy(rules);
        let Some(model) = self.model(&policy) else { return Ok(false) };
        for goal in &self.goals {
            if !self.is_sound(&model, goal) {
                return Ok(false);
            }
            let Some(answer) = self.listed(diagrams, &model, goal)? else { return Ok(false) };
            let wanted = diagrams.map(goal.want, &|answer| grade.code(answer))?;
            if diagrams.map(answer, &|answer| grade.code(answer))? != wanted {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn policy(&self, rules: &[Rule]) -> Policy {
        let mut policy = self.frame.clone();
        let own = [(self.name.to_owned(), rules.to_vec())].into();
        policy.syscalls = entries(&own);
        policy.syscalls.extend(entries(&self.beside));
        policy
    }
}

/// Looks for rules for a syscall.
pub(super) struct Phrasing<'a> {
    pub(super) trial: &'a Trial<'a>,
    pub(super) problem: &'a Problem,
    pub(super) diagrams: &'a mut Diagrams,
    pub(super) order: &'a Order,
    /// The rules of both sides for this syscall, and what each of them answers elsewhere.
    pub(super) sides: [(&'a [Rule], Effect); 2],
    /// So many results are passed over.
    pub(super) skip: usize,
}

impl Phrasing<'_> {
    /// Rules that answer as wanted, the plainest first. `None` when nothing that was tried does.
    pub(super) fn find(mut self) -> Result<Option<Vec<Rule>>, TooComplex> {
        let own = self.own();
        for rules in own {
            if self.take(&rules, Grade::Exact)? {
                return Ok(Some(rules));
            }
        }
        let grades: &[Grade] = if self.problem.is_plain(self.diagrams) {
            &[Grade::Exact]
        } else {
            &[Grade::Exact, Grade::Order]
        };
        // A few rules are better than many, even with other numbers for refusals.
        let mut bases = Vec::new();
        for (limit, steps) in [(FEW, STEPS_OF_FEW), (MANY, STEPS_OF_MANY)] {
            for style in grades.iter().flat_map(|grade| styles(*grade, limit)) {
                let problem = self.problem;
                if let Some(rules) = self.diagrams.within(steps, |diagrams| problem.cover(diagrams, style))?
                    && self.take(&rules, style.grade)?
                {
                    return Ok(Some(rules));
                }
            }
            let more = if limit == FEW { self.simple_bases()? } else { self.long_bases()? };
            bases.extend(more);
            let mut left = Vec::new();
            for base in bases {
                let (problem, trial) = (self.problem, self.trial);
                let repaired = self
                    .diagrams
                    .within(steps, |diagrams| repair(problem, trial, diagrams, &base, Grade::Order, limit))?;
                match repaired {
                    Some(Repaired::Done(rules)) if self.take(&rules, Grade::Order)? => {
                        return Ok(Some(rules));
                    }
                    Some(_) => {}
                    None => left.push(base),
                }
            }
            bases = left;
        }
        Ok(None)
    }

    fn take(&mut self, rules: &[Rule], grade: Grade) -> Result<bool, TooComplex> {
        if !self.trial.holds(self.diagrams, rules, grade)? {
            return Ok(false);
        }
        let found = self.skip == 0;
        self.skip = self.skip.saturating_sub(1);
        Ok(found)
    }

    /// No rules, one answer, the rules of a side as they are.
    fn own(&self) -> Vec<Vec<Rule>> {
        let mut own = vec![Vec::new()];
        if let Some(constant) = self.problem.constant() {
            own.push(vec![Rule::always(constant)]);
            own.extend(twin(constant).map(|twin| vec![Rule::always(twin)]));
        }
        own.extend(self.sides.map(|(rules, _)| rules.to_vec()));
        own
    }

    /// Rules that are nearly right.
    fn simple_bases(&mut self) -> Result<Vec<Vec<Rule>>, TooComplex> {
        let [(a, _), (b, _)] = self.sides;
        let mut bases = vec![Vec::new()];
        for first in [true, false] {
            let products = self.products(first);
            bases.push(products.iter().map(lowest_only).collect());
            bases.push(products);
        }
        bases.extend([a.to_vec(), b.to_vec(), [a, b].concat(), [b, a].concat()]);
        bases.extend(self.expansions(self.problem)?);
        Ok(distinct(bases))
    }

    /// Rules that are right on ABIs of 64 bits.
    fn long_bases(&mut self) -> Result<Vec<Vec<Rule>>, TooComplex> {
        let mut bases = Vec::new();
        if let Some(wide) = self.problem.wide() {
            bases.extend(self.expansions(&wide)?);
            for comparisons in [Comparisons::Last, Comparisons::Never] {
                let style = Style { grade: Grade::Order, comparisons, ascending: false, rules: MANY };
                let rules = self.diagrams.within(STEPS_OF_MANY, |diagrams| wide.cover(diagrams, style))?;
                bases.extend(rules.map(|rules| rules.iter().flat_map(split).collect()));
            }
            let complete: Vec<Vec<Rule>> = bases.iter().map(|base| self.complete(base)).collect();
            bases.extend(complete.into_iter().filter(|base| base.len() <= MANY));
        }
        bases.extend(self.cubes());
        Ok(distinct(bases))
    }

    /// Few rules that are right but for their hazards, taken apart into equalities.
    fn expansions(&mut self, problem: &Problem) -> Result<Vec<Vec<Rule>>, TooComplex> {
        let mut bases = Vec::new();
        for ascending in [false, true] {
            let style =
                Style { grade: Grade::Order, comparisons: Comparisons::Anywhere, ascending, rules: FEW };
            let rules = self.diagrams.within(STEPS_OF_FEW, |diagrams| problem.cover(diagrams, style))?;
            for last in [true, false] {
                let expanded = rules.iter().flatten().flat_map(|rule| expanded(rule, last));
                let base: Vec<Rule> = expanded.flat_map(|rule| split(&rule)).take(MANY + 1).collect();
                bases.extend((!base.is_empty() && base.len() <= MANY).then_some(base));
            }
        }
        Ok(bases)
    }

    /// The same rules with a condition on every argument where that is harmless, so that none is asked before exceptions that need them all.
    fn complete(&self, base: &[Rule]) -> Vec<Rule> {
        self.problem.arguments.iter().fold(base.to_vec(), |rules, argument| {
            // A comparison has to stay the last condition (`spec/seccomp.md` 1.5 A).
            let is_free =
                |rule: &Rule| rule.conditions().all(|(at, limit)| at > *argument || limit.is_plain());
            let completed = rules.iter().flat_map(|rule| match rule.limits.get(*argument) {
                Some(None) if is_free(rule) => HALVES.map(|half| rule.with(*argument, Some(half))).to_vec(),
                _ => vec![rule.clone()],
            });
            completed.take(MANY + 1).collect()
        })
    }

    /// Each rule of one side with each of the other, or with its default action.
    fn products(&self, first: bool) -> Vec<Rule> {
        let [a, b] = self.sides.map(|(rules, default)| {
            let mut rules = rules.to_vec();
            rules.push(Rule::always(default));
            rules
        });
        let mut products = Vec::new();
        for (one, other) in a.iter().flat_map(|one| b.iter().map(move |other| (one, other))) {
            let effect = super::meet::meet(self.order, one.effect, other.effect);
            let mut product = Rule::always(effect);
            for argument in &self.problem.arguments {
                let [one, other] = [one, other].map(|rule| rule.limits.get(*argument).copied().flatten());
                product = product.with(*argument, joined(one, other, first));
            }
            if Grade::Order.of(effect) != Grade::Order.of(self.trial.default) && !products.contains(&product)
            {
                products.push(product);
            }
        }
        products
    }

    /// What the widest ABI answers, as bits of arguments.
    fn cubes(&self) -> Option<Vec<Rule>> {
        let view = self.problem.views.first()?;
        let cubes = self.diagrams.cubes(view.want, code(self.trial.default), CUBES)?;
        let rules = cubes.into_iter().map(|(cube, answer)| {
            let mut rule = Rule::always(effect(answer));
            for argument in &self.problem.arguments {
                let at = |values: &[u64; ARGUMENTS]| values.get(*argument).copied().unwrap_or(0);
                rule = rule.with(*argument, Some(Limit::masked(at(&cube.mask), at(&cube.value))));
            }
            rule
        });
        Some(rules.flat_map(|rule| split(&rule)).collect())
    }
}

/// The same rule as several whose conditions are equalities, but with `last` for the last one of a rule.
fn expanded(rule: &Rule, last: bool) -> Vec<Rule> {
    let kept = rule.conditions().next_back().filter(|_| last).map(|(argument, _)| argument);
    rule.conditions().fold(vec![rule.clone()], |rules, (argument, limit)| {
        if limit.is_plain() || kept == Some(argument) || rules.len() > MANY {
            return rules;
        }
        let cubes = limit.cubes();
        rules.iter().flat_map(|rule| cubes.iter().map(|cube| rule.with(argument, Some(*cube)))).collect()
    })
}

const TOP: u64 = 1 << 31;
/// Two conditions of which one holds.
const HALVES: [Limit; 2] = [Limit::masked(TOP, 0), Limit::masked(TOP, TOP)];

/// Each base once, and each rule in it.
fn distinct(bases: Vec<Vec<Rule>>) -> Vec<Vec<Rule>> {
    let mut distinct: Vec<Vec<Rule>> = Vec::new();
    for mut base in bases {
        let mut seen = BTreeSet::new();
        base.retain(|rule| seen.insert(rule.clone()));
        if !distinct.contains(&base) {
            distinct.push(base);
        }
    }
    distinct
}

/// The same rule as several, each of whose masks has a bit in the lower half: a condition without one would be none at
/// all on an ABI of 32 bits (`spec/seccomp.md` 1.3).
fn split(rule: &Rule) -> Vec<Rule> {
    rule.conditions().fold(vec![rule.clone()], |rules, (argument, limit)| {
        if limit.op != Operator::MaskedEq || limit.value & u64::from(u32::MAX) != 0 {
            return rules;
        }
        let halves = [0, TOP].map(|top| Limit::masked(limit.value | TOP, limit.datum | top));
        rules.iter().flat_map(|rule| halves.map(|half| rule.with(argument, Some(half)))).collect()
    })
}

fn styles(grade: Grade, rules: usize) -> impl Iterator<Item = Style> {
    [Comparisons::Anywhere, Comparisons::Last, Comparisons::Never].into_iter().flat_map(move |comparisons| {
        [false, true].map(|ascending| Style { grade, comparisons, ascending, rules })
    })
}

/// Both conditions in one, or where that cannot be said one of them.
fn joined(one: Option<Limit>, other: Option<Limit>, first: bool) -> Option<Limit> {
    let (Some(a), Some(b)) = (one, other) else { return one.or(other) };
    match (a.bits(), b.bits()) {
        (Some((mask_a, datum_a)), Some((mask_b, datum_b))) if (datum_a ^ datum_b) & mask_a & mask_b == 0 => {
            Some(Limit::masked(mask_a | mask_b, datum_a | datum_b))
        }
        _ if a.op == Operator::Eq && b.holds(a.value, true) => one,
        _ if b.op == Operator::Eq && a.holds(b.value, true) => other,
        _ if first => one,
        _ => other,
    }
}

/// Only with the condition on the lowest argument: the others are left to exceptions, which are asked before it.
fn lowest_only(rule: &Rule) -> Rule {
    let mut lowest = Rule::always(rule.effect);
    if let Some((argument, limit)) = rule.conditions().next() {
        lowest = lowest.with(argument, Some(limit));
    }
    lowest
}
