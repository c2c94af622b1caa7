//! What each syscall is to answer: the meet of both sides (`spec/seccomp.md` 7.2).

use std::collections::{BTreeMap, BTreeSet};

use super::answer::{Answer, Place, answer};
use super::diagram::{Diagram, Diagrams, TooComplex};
use super::meet::{Grade, code, effect, meet};
use super::phrase::Goal;
use super::rule::{Limit, Rule};
use super::{Failure, Open, Side};
use crate::model::Model;
use crate::model::hazard::Hazards;
use crate::order::Order;
use crate::policy::Policy;
use crate::settings::Host;
use crate::syscall::{self, Gate};
use crate::term::{Effect, Operator};

/// Conditions of both sides that are looked at to find the rules of one syscall.
const CONDITIONS: usize = 400;

/// The two sides of a merge.
pub(super) struct Sides<'a> {
    pub(super) policies: [Option<&'a Policy>; 2],
    pub(super) models: [Model<'a>; 2],
    pub(super) order: Order,
    /// For each name the entries that name it.
    pub(super) names: BTreeMap<&'a str, [Vec<usize>; 2]>,
}

/// A syscall by name, with what it is to answer on each ABI of the host.
pub(super) struct Sought {
    pub(super) name: String,
    pub(super) diagrams: Diagrams,
    pub(super) goals: Vec<Goal>,
    /// Whether the goals are stricter than the meet, which was too much work.
    pub(super) is_bounded: bool,
}

impl<'a> Sides<'a> {
    pub(super) fn new(policies: [Option<&'a Policy>; 2], models: [Model<'a>; 2], order: Order) -> Self {
        let mut names: BTreeMap<&str, [Vec<usize>; 2]> = BTreeMap::new();
        let mut gates = BTreeSet::new();
        for (side, policy) in policies.iter().enumerate() {
            let entries = policy.map_or(&[] as &[_], |policy| &policy.syscalls);
            for (at, entry) in entries.iter().enumerate() {
                for name in &entry.names {
                    let there = names.entry(name).or_default().get_mut(side);
                    if let Some(there) = there.filter(|there| there.last() != Some(&at)) {
                        there.push(at);
                    }
                    gates.extend(syscall::row(name).and_then(|row| row.gate).map(Gate::name));
                }
            }
        }
        for gate in gates {
            names.entry(gate).or_default();
        }
        Self { policies, models, order, names }
    }

    /// What the ABIs answer where nobody names the call.
    pub(super) fn unnamed(&self, host: &Host) -> Vec<Effect> {
        let [a, b] = &self.models;
        let unnamed = |arch| meet(&self.order, a.abi(arch).unnamed(u32::MAX), b.abi(arch).unnamed(u32::MAX));
        host.archs().iter().map(|arch| unnamed(*arch)).collect()
    }

    /// The rules of a side for a name, those aside that have no effect because they equal the default action.
    pub(super) fn rules(&self, side: usize, name: &str) -> Vec<Rule> {
        let Some(policy) = self.policies.get(side).copied().flatten() else { return Vec::new() };
        let places = self.names.get(name).and_then(|places| places.get(side));
        let entries = places.into_iter().flatten().filter_map(|place| policy.syscalls.get(*place));
        let kept = entries.filter(|entry| entry.effect() != policy.default_effect());
        kept.flat_map(Rule::of).take(CONDITIONS).collect()
    }

    /// The conditions of both sides for a name, and behind a gate for all names of it.
    pub(super) fn conditions(&self, name: &str) -> Vec<(usize, Limit)> {
        let mut conditions = BTreeSet::new();
        let mut add = |name: &str, call: Option<u8>| {
            for rule in [0, 1].into_iter().flat_map(|side| self.rules(side, name)) {
                conditions.extend(rule.conditions().filter(|(argument, _)| call.is_none() || *argument > 0));
            }
            conditions.extend(call.map(|call| (0, Limit::new(Operator::Eq, call.into()))));
        };
        add(name, None);
        for behind in behind(name).filter(|behind| self.names.contains_key(behind.0)) {
            add(behind.0, Some(behind.1));
        }
        conditions.into_iter().take(CONDITIONS).collect()
    }

    /// What a syscall is to answer. With `bound`, what would take more than these steps gets a stricter answer.
    pub(super) fn sought(&self, host: &Host, name: &str, steps: u32, bound: bool) -> Result<Sought, Failure> {
        let mut sought = Sought {
            name: name.to_owned(),
            diagrams: Diagrams::new(steps),
            goals: Vec::new(),
            is_bounded: false,
        };
        for arch in host.archs().iter().copied() {
            let number = syscall::number(arch, name);
            if number.is_none() && syscall::is_known(name) {
                continue;
            }
            let place = Place { arch, number };
            let want = match self.want(&mut sought.diagrams, &place, name) {
                Ok(want) => want.map_err(|hidden| Failure::open(&place, name, hidden))?,
                Err(TooComplex) if bound => {
                    sought.is_bounded = true;
                    Diagram::leaf(code(self.bound(&place, name)))
                }
                Err(TooComplex) => return Err(Failure::too_complex(&place, name)),
            };
            sought.goals.push(Goal { place, wide: arch.is_64(), want });
        }
        Ok(sought)
    }

    fn want(
        &self,
        diagrams: &mut Diagrams,
        place: &Place,
        name: &str,
    ) -> Result<Result<Diagram, Open>, TooComplex> {
        let [model_a, model_b] = &self.models;
        let a = answer(diagrams, model_a, place, name)?;
        let b = answer(diagrams, model_b, place, name)?;
        let met = |a: u32, b: u32| code(meet(&self.order, effect(a), effect(b)));
        let both = match (a, b) {
            (Answer::Known(a), Answer::Known(b)) => return diagrams.combine(a, b, &met).map(Ok),
            (Answer::OneOf(a, hazards), Answer::Known(b)) => {
                self.known_from(diagrams, b, Side::A, &a, hazards, |one, other| met(code(other), one))?
            }
            (Answer::Known(a), Answer::OneOf(b, hazards)) => {
                self.known_from(diagrams, a, Side::B, &b, hazards, |one, other| met(one, code(other)))?
            }
            (Answer::OneOf(a, hazards), Answer::OneOf(b, _)) => {
                let answers: Vec<u32> =
                    a.iter().flat_map(|a| b.iter().map(|b| met(code(*a), code(*b)))).collect();
                same(&answers).map(Diagram::leaf).ok_or(Open { side: Side::A, hazards })
            }
        };
        Ok(both)
    }

    /// The meet where one side may answer any of `effects`: known only where it is the same for all of them.
    fn known_from(
        &self,
        diagrams: &mut Diagrams,
        known: Diagram,
        side: Side,
        effects: &BTreeSet<Effect>,
        hazards: Hazards,
        met: impl Fn(u32, Effect) -> u32,
    ) -> Result<Result<Diagram, Open>, TooComplex> {
        let mut table = BTreeMap::new();
        for one in diagrams.answers(known) {
            let answers: Vec<u32> = effects.iter().map(|other| met(one, *other)).collect();
            let Some(answer) = same(&answers) else { return Ok(Err(Open { side, hazards })) };
            table.insert(one, answer);
        }
        diagrams.map(known, &|one| table.get(&one).copied().unwrap_or(one)).map(Ok)
    }

    /// An answer that is at least as restrictive as any that the two sides' may come to.
    fn bound(&self, place: &Place, name: &str) -> Effect {
        let effects = self.models.iter().flat_map(|model| {
            let abi = model.abi(place.arch);
            let key = place.key(name);
            match abi.group(key) {
                Some(group) => group.effects().collect::<Vec<_>>(),
                None => vec![abi.otherwise(key)],
            }
        });
        effects.reduce(|one, other| meet(&self.order, one, other)).unwrap_or(Effect::KillProcess)
    }
}

/// The answer of all of them, if they are the same in the order.
fn same(answers: &[u32]) -> Option<u32> {
    let first = *answers.first()?;
    answers.iter().all(|answer| Grade::Order.code(*answer) == Grade::Order.code(first)).then_some(first)
}

/// The names of which `socketcall` or `ipc` is the gate, with their call numbers.
pub(super) fn behind(gate: &str) -> impl Iterator<Item = (&'static str, u8)> {
    let rows = syscall::rows().filter(move |_| matches!(gate, "socketcall" | "ipc"));
    rows.filter_map(move |row| Some((row.name, row.gate.filter(|there| there.name() == gate)?.call())))
}
