//! Rules that are nearly right, with exceptions in front of them.
//!
//! Where rules with different actions overlap, libseccomp's order decides (`spec/seccomp.md` 1.4). So a rule may take too
//! much if another one, which is right wherever it holds, is asked before it. With a refusal as default action also the
//! default can be such an exception: as the same refusal with another number. Each step asks the model which calls are
//! answered wrongly; nothing here needs to know the order.

use super::cover::{Comparisons, Finder, Goal as Wanted, Highs, Problem, Style};
use super::diagram::{Diagram, Diagrams, NO, TooComplex};
use super::meet::{Grade, effect, twin};
use super::phrase::{Goal, Trial};
use super::rule::{Limit, Rule};
use crate::decision::ARGUMENTS;
use crate::term::{Effect, Operator};

/// More rules than this are not looked through for one that is not needed.
const FEW: usize = 24;

/// What became of a base.
pub(super) enum Repaired {
    /// These rules answer everything as wanted.
    Done(Vec<Rule>),
    /// No exception helps.
    Stuck,
}

/// The base with at most `limit` exceptions in front, so that everything is answered as wanted. `None` if more are needed.
pub(super) fn repair(
    problem: &Problem,
    trial: &Trial<'_>,
    diagrams: &mut Diagrams,
    base: &[Rule],
    grade: Grade,
    limit: usize,
) -> Result<Option<Repaired>, TooComplex> {
    const STUCK: Result<Option<Repaired>, TooComplex> = Ok(Some(Repaired::Stuck));
    let mut repair = Repair { problem, trial, grade, wanted: problem.goals(diagrams, grade)?, diagrams };
    let mut rules = base.to_vec();
    // An exception is right wherever it holds: the goal that was missed last is looked at until it is reached.
    let (mut place, mut reached) = (0, 0);
    while reached < trial.goals.len() {
        let Some(goal) = trial.goals.get(place) else { return STUCK };
        let Some(mut wrong) = repair.wrong(goal, &rules)? else { return STUCK };
        if wrong == NO {
            (place, reached) = ((place + 1) % trial.goals.len(), reached + 1);
            continue;
        }
        reached = 0;
        while let Some(call) = repair.diagrams.first(wrong) {
            let Some(exception) = repair.exception(goal, &call, &rules)? else { return STUCK };
            let right = exception.set(repair.diagrams, goal.wide)?;
            wrong = repair.diagrams.minus(wrong, right)?;
            rules.insert(0, exception);
            if rules.len() > base.len() + limit {
                return Ok(None);
            }
        }
    }
    let rules = if rules.len() > FEW { rules } else { repair.shortened(rules)? };
    Ok(Some(Repaired::Done(rules)))
}

struct Repair<'a> {
    problem: &'a Problem,
    trial: &'a Trial<'a>,
    grade: Grade,
    wanted: Vec<Wanted>,
    diagrams: &'a mut Diagrams,
}

impl Repair<'_> {
    /// The calls that the rules answer wrongly. `None` where a runtime refuses the rules.
    fn wrong(&mut self, goal: &Goal, rules: &[Rule]) -> Result<Option<Diagram>, TooComplex> {
        let Some(answer) = self.trial.answer(self.diagrams, goal, rules)? else { return Ok(None) };
        let grade = self.grade;
        let wrong = self
            .diagrams
            .combine(goal.want, answer, &|want, got| u32::from(grade.code(want) != grade.code(got)))?;
        Ok(Some(wrong))
    }

    /// A rule that answers the call as wanted when it stands before the others, and no call wrongly; a wide one if it can
    /// be.
    fn exception(
        &mut self,
        goal: &Goal,
        call: &[u64; ARGUMENTS],
        rules: &[Rule],
    ) -> Result<Option<Rule>, TooComplex> {
        let wanted = effect(self.diagrams.evaluate(goal.want, call));
        let default = self.trial.default;
        let Some(effect) = (if wanted == default { twin(default) } else { Some(wanted) }) else {
            return Ok(None);
        };
        for comparisons in [Comparisons::Last, Comparisons::Never] {
            for ascending in [true, false] {
                let style = Style { grade: self.grade, comparisons, ascending, rules: 1 };
                for rule in self.rules(style, goal, call, effect)? {
                    let mut with = vec![rule];
                    with.extend_from_slice(rules);
                    let answer = self.trial.evaluate(goal, &with, call);
                    if answer.map(|answer| self.grade.of(answer)) == Some(self.grade.of(wanted)) {
                        return Ok(with.into_iter().next());
                    }
                }
            }
        }
        Ok(None)
    }

    /// Rules for the call that answer no call wrongly, the widest first.
    fn rules(
        &mut self,
        style: Style,
        goal: &Goal,
        call: &[u64; ARGUMENTS],
        effect: Effect,
    ) -> Result<Vec<Rule>, TooComplex> {
        let mut highs = Highs::new(&self.problem.views);
        let mut finder = Finder {
            problem: self.problem,
            diagrams: self.diagrams,
            goals: &mut self.wanted,
            style,
            highs: &mut highs,
        };
        let Some(seed) = finder.seed(call, goal.wide, effect)? else { return Ok(Vec::new()) };
        let mut found = vec![finder.widen(seed.clone(), call, goal.wide)?];
        if style.comparisons == Comparisons::Never {
            for ones in [true, false] {
                let mut fewest = seed.clone();
                for argument in self.problem.arguments.iter().rev() {
                    fewest = finder.fewest_bits(&fewest, *argument, ones)?;
                }
                found.push(fewest);
            }
            // The widest may be the same test as another rule's; then one that is a little narrower helps.
            let finer: Vec<Rule> = found.iter().flat_map(|rule| finer(rule, call)).collect();
            found.extend(finer);
            let low = low_halves(&seed);
            if finder.fits(&low)? {
                found.push(low);
            }
            found.push(seed);
        }
        Ok(found)
    }

    /// Without the rules that are not needed.
    fn shortened(&mut self, mut rules: Vec<Rule>) -> Result<Vec<Rule>, TooComplex> {
        let mut at = 0;
        while at < rules.len() {
            let mut fewer = rules.clone();
            fewer.remove(at);
            let mut right = true;
            for goal in &self.trial.goals {
                right = right && self.wrong(goal, &fewer)? == Some(NO);
            }
            if right {
                rules = fewer;
            } else {
                at += 1;
            }
        }
        Ok(rules)
    }
}

/// The rule with one more bit fixed.
fn finer(rule: &Rule, call: &[u64; ARGUMENTS]) -> Vec<Rule> {
    let finer = rule.conditions().filter_map(|(argument, limit)| {
        let free = !limit.value & u64::from(u32::MAX);
        let value = *call.get(argument)?;
        let bit = 1u64.checked_shl(free.checked_ilog2()?)?;
        let narrower = Limit::masked(limit.value | bit, limit.datum | value & bit);
        (limit.op == Operator::MaskedEq).then(|| rule.with(argument, Some(narrower)))
    });
    finer.collect()
}

/// The lower halves of all values as masks: the same on an ABI of 32 bits, and yet another test than `EQ`.
fn low_halves(rule: &Rule) -> Rule {
    rule.conditions().fold(rule.clone(), |changed, (argument, limit)| match limit.op {
        Operator::Eq => changed.with(argument, Some(Limit::masked(u64::from(u32::MAX), limit.value))),
        _ => changed,
    })
}
