//! Rules that are nearly right, with exceptions in front of them.
//!
//! Where rules with different actions overlap, libseccomp's order decides (`spec/seccomp.md` 1.4). So a rule may take too
//! much if another one, which is right wherever it holds, is asked before it. With a refusal as default action also the
//! default can be such an exception: as the same refusal with another number. Each step asks the model which calls are
//! answered wrongly; nothing here needs to know the order.

use super::cover::{Comparisons, Finder, Highs, Problem, Style};
use super::diagram::{Diagram, Diagrams, TooComplex};
use super::meet::{Grade, code, effect, twin};
use super::phrase::Trial;
use super::rule::{Limit, Rule};
use crate::decision::ARGUMENTS;
use crate::term::{Effect, Operator};

/// A call that is answered wrongly.
struct Fault {
    call: [u64; ARGUMENTS],
    wide: bool,
    place: usize,
    wanted: Effect,
}

/// The base with at most `limit` exceptions in front, so that everything is answered as wanted. `None` if that was not reached.
pub(super) fn repair(
    problem: &Problem,
    trial: &Trial<'_>,
    diagrams: &mut Diagrams,
    base: &[Rule],
    grade: Grade,
    limit: usize,
) -> Result<Option<Vec<Rule>>, TooComplex> {
    let mut rules = base.to_vec();
    for _ in 0..=limit {
        let Some(answers) = trial.answers(diagrams, &rules)? else { return Ok(None) };
        let Some(fault) = fault(trial, diagrams, &answers, grade)? else {
            return shortened(trial, diagrams, rules, grade).map(Some);
        };
        let default = trial.default;
        let Some(effect) = (if fault.wanted == default { twin(default) } else { Some(fault.wanted) }) else {
            return Ok(None);
        };
        let mut helped = false;
        for exception in exceptions(problem, diagrams, &fault, effect, grade)? {
            let mut with = vec![exception];
            with.extend(rules.iter().cloned());
            let Some(answers) = trial.answers(diagrams, &with)? else { continue };
            let answer = answers.get(fault.place).map(|answer| diagrams.evaluate(*answer, &fault.call));
            if answer.map(|answer| grade.code(answer)) == Some(code(grade.of(fault.wanted))) {
                rules = with;
                helped = true;
                break;
            }
        }
        if !helped {
            return Ok(None);
        }
    }
    Ok(None)
}

/// The first call that is answered wrongly.
fn fault(
    trial: &Trial<'_>,
    diagrams: &mut Diagrams,
    answers: &[Diagram],
    grade: Grade,
) -> Result<Option<Fault>, TooComplex> {
    for (place, (goal, answer)) in trial.goals().zip(answers).enumerate() {
        let wrong = diagrams
            .combine(goal.want, *answer, &|want, got| u32::from(grade.code(want) != grade.code(got)))?;
        if let Some(call) = diagrams.first(wrong) {
            let wanted = effect(diagrams.evaluate(goal.want, &call));
            return Ok(Some(Fault { call, wide: goal.wide, place, wanted }));
        }
    }
    Ok(None)
}

/// Rules for the call that answer no call wrongly, the widest first.
fn exceptions(
    problem: &Problem,
    diagrams: &mut Diagrams,
    fault: &Fault,
    effect: Effect,
    grade: Grade,
) -> Result<Vec<Rule>, TooComplex> {
    let mut goals = problem.goals(diagrams, grade)?;
    let mut found = Vec::new();
    for comparisons in [Comparisons::Last, Comparisons::Never] {
        for ascending in [true, false] {
            let style = Style { grade, comparisons, ascending, rules: 1 };
            let mut highs = Highs::new(&problem.views);
            let mut finder = Finder { problem, diagrams, goals: &mut goals, style, highs: &mut highs };
            let Some(seed) = finder.seed(&fault.call, fault.wide, effect)? else { continue };
            found.push(finder.widen(seed.clone(), &fault.call, fault.wide)?);
            if comparisons == Comparisons::Never {
                let mut fewest = seed.clone();
                for argument in problem.arguments.iter().rev() {
                    fewest = finder.fewest_bits(&fewest, *argument)?;
                }
                found.push(fewest);
                let low = low_halves(&seed);
                if finder.fits(&low)? {
                    found.push(low);
                }
                found.push(seed);
            }
        }
    }
    let finer: Vec<Rule> = found.iter().flat_map(|rule| finer(rule, &fault.call)).collect();
    found.extend(finer);
    let mut distinct = Vec::new();
    for rule in found {
        if !distinct.contains(&rule) {
            distinct.push(rule);
        }
    }
    Ok(distinct)
}

/// The rule with one more bit fixed: it may be the same test as another rule's.
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

/// Without the rules that are not needed.
fn shortened(
    trial: &Trial<'_>,
    diagrams: &mut Diagrams,
    mut rules: Vec<Rule>,
    grade: Grade,
) -> Result<Vec<Rule>, TooComplex> {
    let mut at = 0;
    while at < rules.len() {
        let mut fewer = rules.clone();
        fewer.remove(at);
        let answers = trial.answers(diagrams, &fewer)?;
        let right = match answers {
            Some(answers) => fault(trial, diagrams, &answers, grade)?.is_none(),
            None => false,
        };
        if right {
            rules = fewer;
        } else {
            at += 1;
        }
    }
    Ok(rules)
}
