//! Finding rules for one syscall whose answers are given: for each call that the default action does not answer
//! rightly, a rule as wide as it can be without answering any call wrongly, on any ABI.
//!
//! Such rules never contradict each other, so that libseccomp's order among them (`spec/seccomp.md` 1.4) does not matter.
//! What cannot be said that way is left to [`repair`](super::repair).

use std::collections::{BTreeMap, BTreeSet};

use super::diagram::{Diagram, Diagrams, NO, TooComplex};
use super::meet::{Grade, code, effect};
use super::rule::{Limit, Rule};
use crate::decision::ARGUMENTS;
use crate::term::{Effect, Operator};

/// Starting points that are tried for one rule.
const SEEDS: usize = 512;

/// What a syscall answers on one ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct View {
    /// Whether the ABI's arguments have 64 bits.
    pub(super) wide: bool,
    /// The answers, as codes of effects.
    pub(super) want: Diagram,
}

/// Conditions that may be used beside equalities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparisons {
    /// All, on any argument.
    Anywhere,
    /// All, on the last argument of a rule (`spec/seccomp.md` 1.5 A).
    Last,
    /// None.
    Never,
}

/// How rules are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) grade: Grade,
    pub(super) comparisons: Comparisons,
    /// Whether the conditions on lower arguments are widened first.
    pub(super) ascending: bool,
    /// How many rules there may be.
    pub(super) rules: usize,
}

/// A syscall for which rules are wanted.
pub(super) struct Problem {
    /// Its answers: each kind of ABI with each function once.
    pub(super) views: Vec<View>,
    /// What answers where no rule does.
    pub(super) default: Effect,
    /// Conditions of both sides, and those next to them, by argument: the widest first.
    pub(super) natural: [Vec<Limit>; ARGUMENTS],
    /// Arguments on which an answer depends.
    pub(super) arguments: Vec<usize>,
}

/// An answer of one view, as far as a grade tells answers apart.
pub(super) struct Goal {
    pub(super) view: View,
    /// What counts of the answers.
    pub(super) graded: Diagram,
    /// For an answer: where another one is wanted.
    others: BTreeMap<u32, Diagram>,
}

impl Problem {
    /// A problem whose views differ, with the conditions that both sides' rules have.
    pub(super) fn new(
        diagrams: &Diagrams,
        mut views: Vec<View>,
        default: Effect,
        conditions: impl IntoIterator<Item = (usize, Limit)>,
    ) -> Self {
        // The wide ones first: what they need, the others often need too.
        views.sort_unstable_by_key(|view| (!view.wide, view.want));
        views.dedup();
        let mut arguments: Vec<usize> = views.iter().flat_map(|view| diagrams.arguments(view.want)).collect();
        arguments.sort_unstable();
        arguments.dedup();
        Self { views, default, natural: natural(conditions), arguments }
    }

    /// The same with only the ABIs of 64 bits, if there are others as well.
    pub(super) fn wide(&self) -> Option<Self> {
        let views: Vec<View> = self.views.iter().filter(|view| view.wide).copied().collect();
        (!views.is_empty() && views.len() < self.views.len()).then(|| Self {
            views,
            default: self.default,
            natural: self.natural.clone(),
            arguments: self.arguments.clone(),
        })
    }

    /// Whether the grades make no difference here.
    pub(super) fn is_plain(&self, diagrams: &Diagrams) -> bool {
        let mut answers: BTreeSet<u32> =
            self.views.iter().flat_map(|view| diagrams.answers(view.want)).collect();
        answers.insert(code(self.default));
        let kinds: BTreeSet<u32> = answers.iter().map(|answer| Grade::Order.code(*answer)).collect();
        kinds.len() == answers.len()
    }

    /// What every ABI answers everywhere, if that is one effect.
    pub(super) fn constant(&self) -> Option<Effect> {
        let mut answers = self.views.iter().map(|view| view.want.constant());
        let first = answers.next()??;
        answers.all(|answer| answer == Some(first)).then(|| effect(first))
    }

    /// The goals under a grade.
    pub(super) fn goals(&self, diagrams: &mut Diagrams, grade: Grade) -> Result<Vec<Goal>, TooComplex> {
        self.views
            .iter()
            .map(|view| {
                let graded = diagrams.map(view.want, &|answer| grade.code(answer))?;
                Ok(Goal { view: *view, graded, others: BTreeMap::new() })
            })
            .collect()
    }

    /// Rules that answer as wanted, none of them wrongly anywhere. `None` if there are none of this style.
    pub(super) fn cover(
        &self,
        diagrams: &mut Diagrams,
        style: Style,
    ) -> Result<Option<Vec<Rule>>, TooComplex> {
        let mut goals = self.goals(diagrams, style.grade)?;
        let default = code(style.grade.of(self.default));
        let mut open = Vec::new();
        for goal in &goals {
            open.push(diagrams.set(goal.graded, &|answer| answer != default)?);
        }
        let mut rules: Vec<Rule> = Vec::new();
        let mut highs = Highs::new(&self.views);
        while let Some((place, call)) =
            open.iter().enumerate().find_map(|(place, set)| Some((place, diagrams.first(*set)?)))
        {
            let Some(view) = goals.get(place).map(|goal| goal.view) else { return Ok(None) };
            let wanted = effect(diagrams.evaluate(view.want, &call));
            let mut finder = Finder { problem: self, diagrams, goals: &mut goals, style, highs: &mut highs };
            let Some(rule) = finder.rule(&call, view.wide, wanted)? else { return Ok(None) };
            for (set, view) in open.iter_mut().zip(&self.views) {
                let covered = rule.set(diagrams, view.wide)?;
                *set = diagrams.minus(*set, covered)?;
            }
            rules.push(rule);
            if rules.len() > style.rules {
                return Ok(None);
            }
        }
        self.thin(diagrams, &mut rules)?;
        Ok(Some(rules))
    }

    /// Takes out the rules for which others answer.
    fn thin(&self, diagrams: &mut Diagrams, rules: &mut Vec<Rule>) -> Result<(), TooComplex> {
        let mut at = 0;
        while let Some(rule) = rules.get(at) {
            let mut needed = false;
            for view in &self.views {
                let mut rest = rule.set(diagrams, view.wide)?;
                for (place, other) in rules.iter().enumerate() {
                    if place != at && other.effect == rule.effect && rest != NO {
                        let covered = other.set(diagrams, view.wide)?;
                        rest = diagrams.minus(rest, covered)?;
                    }
                }
                needed |= rest != NO;
            }
            if needed {
                at += 1;
            } else {
                rules.remove(at);
            }
        }
        Ok(())
    }
}

/// Looks for one rule.
pub(super) struct Finder<'a> {
    pub(super) problem: &'a Problem,
    pub(super) diagrams: &'a mut Diagrams,
    pub(super) goals: &'a mut [Goal],
    pub(super) style: Style,
    pub(super) highs: &'a mut Highs,
}

impl Finder<'_> {
    /// A rule for this call that answers no call wrongly, as wide as it gets.
    fn rule(
        &mut self,
        call: &[u64; ARGUMENTS],
        wide: bool,
        effect: Effect,
    ) -> Result<Option<Rule>, TooComplex> {
        let Some(seed) = self.seed(call, wide, effect)? else { return Ok(None) };
        let rule = self.widen(seed, call, wide)?;
        self.highs.note(&rule);
        Ok(Some(rule))
    }

    /// A narrow rule for this call that answers no call wrongly.
    pub(super) fn seed(
        &mut self,
        call: &[u64; ARGUMENTS],
        wide: bool,
        effect: Effect,
    ) -> Result<Option<Rule>, TooComplex> {
        // First one value per argument, then the conditions of both sides.
        for narrowest in [true, false] {
            let mut rules = vec![Rule::always(effect)];
            for argument in &self.problem.arguments {
                let value = call.get(*argument).copied().unwrap_or(0);
                let limits = if narrowest {
                    self.values(*argument, value, wide).into_iter().map(Some).collect()
                } else {
                    let mut limits: Vec<Option<Limit>> =
                        self.candidates(*argument, value, wide).map(Some).collect();
                    limits.extend(self.values(*argument, value, wide).into_iter().map(Some));
                    limits.push(None);
                    limits
                };
                rules = rules
                    .iter()
                    .flat_map(|rule| limits.iter().map(|limit| rule.with(*argument, *limit)))
                    .take(SEEDS)
                    .collect();
            }
            for rule in rules {
                if self.may(&rule) && self.fits(&rule)? {
                    return Ok(Some(rule));
                }
            }
        }
        Ok(None)
    }

    /// Equalities that take the value. Where 32 bits count, the upper ones are chosen among those that the policies speak
    /// of: on an ABI of 64 bits the rule is about these.
    fn values(&self, argument: usize, value: u64, wide: bool) -> Vec<Limit> {
        if wide {
            return vec![Limit::new(Operator::Eq, value)];
        }
        let low = value & u64::from(u32::MAX);
        let mut uppers = vec![0];
        for limit in self.problem.natural.get(argument).into_iter().flatten() {
            for near in [limit.value, limit.datum, limit.value.wrapping_add(1 << 32)] {
                uppers.push(near & !u64::from(u32::MAX));
            }
        }
        uppers.sort_unstable();
        uppers.dedup();
        uppers.into_iter().map(|upper| Limit::new(Operator::Eq, upper | low)).collect()
    }

    /// Conditions of both sides that take the value, the widest first.
    fn candidates(&self, argument: usize, value: u64, wide: bool) -> impl Iterator<Item = Limit> + use<> {
        let natural = self.problem.natural.get(argument).cloned().unwrap_or_default();
        natural.into_iter().filter(move |limit| limit.holds(value, wide))
    }

    /// Drops and widens conditions while the rule answers no call wrongly.
    pub(super) fn widen(
        &mut self,
        mut rule: Rule,
        call: &[u64; ARGUMENTS],
        wide: bool,
    ) -> Result<Rule, TooComplex> {
        let mut order = self.problem.arguments.clone();
        if !self.style.ascending {
            order.reverse();
        }
        for argument in order {
            if rule.limits.get(argument).is_none_or(Option::is_none) {
                continue;
            }
            let without = rule.with(argument, None);
            if self.may(&without) && self.fits(&without)? {
                rule = without;
                continue;
            }
            let value = call.get(argument).copied().unwrap_or(0);
            let mut widest = self.fewest_bits(&rule, argument, false)?;
            for limit in self.candidates(argument, value, wide) {
                if size(&widest, argument) >= limit.size() {
                    break;
                }
                let candidate = rule.with(argument, Some(limit));
                if self.may(&candidate) && self.fits(&candidate)? {
                    widest = candidate;
                    break;
                }
            }
            rule = widest;
        }
        Ok(rule)
    }

    /// The rule with as few fixed bits in one argument as it can have, if its condition there is an equality. With
    /// `ones`, ones are kept rather than zeros: a greater datum is asked first (`spec/seccomp.md` 1.4).
    pub(super) fn fewest_bits(
        &mut self,
        rule: &Rule,
        argument: usize,
        ones: bool,
    ) -> Result<Rule, TooComplex> {
        let limit = rule.limits.get(argument).copied().flatten();
        let Some((mut mask, datum)) = limit.and_then(Limit::bits) else { return Ok(rule.clone()) };
        let mut fewest = rule.clone();
        let passes: &[u64] = if ones { &[!datum, datum] } else { &[u64::MAX] };
        for pass in passes {
            // Ranges of bits, the last one first: a range that cannot be freed is halved.
            let mut open = vec![(0, u64::BITS)];
            while let Some((low, size)) = open.pop() {
                let range = ((u64::MAX >> (u64::BITS - size)) << low) & pass;
                let left = mask & !range;
                if left == mask {
                    continue;
                }
                let candidate = rule.with(argument, Some(Limit::masked(left, datum)));
                // No bit at all would be no condition.
                if left != 0 && self.fits(&candidate)? {
                    mask = left;
                    fewest = candidate;
                } else if size > 1 {
                    let halves = [(low, size / 2), (low + size / 2, size / 2)];
                    open.extend(halves);
                }
            }
        }
        Ok(fewest)
    }

    /// Whether the style and the other rules leave room for the rule's comparisons.
    fn may(&self, rule: &Rule) -> bool {
        let allowed = match self.style.comparisons {
            Comparisons::Anywhere => true,
            Comparisons::Last => rule.conditions().rev().skip(1).all(|(_, limit)| limit.is_plain()),
            Comparisons::Never => rule.conditions().all(|(_, limit)| limit.is_plain()),
        };
        allowed && self.highs.allow(rule)
    }

    /// Whether the rule answers no call wrongly on any ABI.
    pub(super) fn fits(&mut self, rule: &Rule) -> Result<bool, TooComplex> {
        let answer = code(self.style.grade.of(rule.effect));
        let cube = rule.cube();
        for goal in self.goals.iter_mut() {
            let other = match goal.others.get(&answer) {
                Some(other) => *other,
                None => {
                    let other = self.diagrams.set(goal.graded, &|wanted| wanted != answer)?;
                    goal.others.insert(answer, other);
                    other
                }
            };
            let is_right = match &cube {
                Some(cube) => self.diagrams.avoids(other, cube)?,
                None => {
                    let set = rule.set(self.diagrams, goal.view.wide)?;
                    self.diagrams.disjoint(set, other)?
                }
            };
            if !is_right {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The upper halves with which arguments of 64 bits are compared: one per argument (`spec/seccomp.md` 1.5 B).
pub(super) struct Highs {
    matter: bool,
    chosen: [Option<u64>; ARGUMENTS],
}

impl Highs {
    pub(super) fn new(views: &[View]) -> Self {
        Self { matter: views.iter().any(|view| view.wide), chosen: [None; ARGUMENTS] }
    }

    fn allow(&self, rule: &Rule) -> bool {
        !self.matter
            || rule.conditions().filter(|(_, limit)| limit.is_comparison()).all(|(argument, limit)| {
                self.chosen.get(argument).copied().flatten().is_none_or(|high| high == limit.value >> 32)
            })
    }

    pub(super) fn note(&mut self, rule: &Rule) {
        for (argument, limit) in rule.conditions().filter(|(_, limit)| limit.is_comparison()) {
            if let Some(place) = self.chosen.get_mut(argument) {
                *place = Some(limit.value >> 32);
            }
        }
    }
}

fn size(rule: &Rule, argument: usize) -> u128 {
    rule.limits.get(argument).copied().flatten().map_or(u128::MAX, Limit::size)
}

/// The conditions of both sides by argument, with what is next to them: all comparisons with the same value, and masks
/// joined by twos. The widest first.
fn natural(conditions: impl IntoIterator<Item = (usize, Limit)>) -> [Vec<Limit>; ARGUMENTS] {
    use Operator::{Eq, Ge, Gt, Le, Lt, MaskedEq, Ne};
    let mut natural: [Vec<Limit>; ARGUMENTS] = Default::default();
    let mut masks: [Vec<Limit>; ARGUMENTS] = Default::default();
    for (argument, limit) in conditions {
        let (Some(natural), Some(masks)) = (natural.get_mut(argument), masks.get_mut(argument)) else {
            continue;
        };
        if limit.op == MaskedEq {
            if !masks.contains(&limit) {
                masks.push(limit);
            }
        } else {
            natural.extend([Ne, Lt, Le, Ge, Gt, Eq].map(|op| Limit::new(op, limit.value)));
            // Above or below all values with these upper halves; on an ABI of 32 bits they never hold.
            const LOWER: u64 = 0xffff_ffff;
            natural.extend([Limit::new(Gt, limit.value | LOWER), Limit::new(Lt, limit.value & !LOWER)]);
        }
    }
    for (natural, masks) in natural.iter_mut().zip(&masks) {
        for (place, one) in masks.iter().enumerate() {
            natural.push(*one);
            for other in masks.iter().skip(place + 1) {
                let both = one.value & other.value;
                if one.datum & both == other.datum & both {
                    natural.push(Limit::masked(one.value | other.value, one.datum | other.datum));
                }
            }
        }
        natural.sort_unstable_by_key(|limit| (std::cmp::Reverse(limit.size()), *limit));
        natural.dedup();
    }
    natural
}
