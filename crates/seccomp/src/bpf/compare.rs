//! Filters against a policy, or against other filters, by the search that compares policies.
//!
//! A compiled filter has numbers where a policy has names, and nothing of flags or of who is asked by NOTIFY. So two
//! [`Source`]s are compared number by number, over ranges that neither treats in two ways, and an agent counts as the same
//! one on both sides.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::graph::Why;
use super::stack::{self, Stack, Table};
use crate::compare::{Call, Relation};
use crate::decision::{ARGUMENTS, Path};
use crate::model::hazard::Hazard;
use crate::model::{Key, Model};
use crate::order::Order;
use crate::search::{Budget, find};
use crate::settings::{Host, Settings};
use crate::syscall;
use crate::term::{Arch, Effect};
use crate::word::arguments;

/// What answers calls: filters, or a policy.
pub trait Source {
    /// Numbers of an ABI at which the treatment may change; between two of them it does not.
    fn borders(&self, arch: Arch) -> Vec<u32>;

    /// What happens to a call with this number.
    fn says(&self, arch: Arch, number: u32) -> Says<'_>;

    /// The answer to one call, worked out without the decision list. `None` where it is not known.
    fn evaluate(&self, arch: Arch, number: u32, args: &[u64; ARGUMENTS]) -> Option<Effect>;
}

/// What a source says about one number.
#[derive(Clone, Debug)]
pub struct Says<'a> {
    /// How the arguments decide, or why that is not known.
    pub list: Result<Cow<'a, [Path]>, String>,
    /// Every answer that is possible; empty where that is not known either.
    pub effects: BTreeSet<Effect>,
}

/// What a comparison finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How the new side stands to the old one.
    pub relation: Relation,
    /// A call that the new side answers more loosely: there exactly with looser and incomparable.
    pub counterexample: Option<Call>,
    /// A call that the new side answers more strictly, where one is known.
    pub stricter: Option<Call>,
    /// Why it cannot be told: there exactly with undecidable.
    pub reason: Option<String>,
}

/// Filters, read for the ABIs of a host.
#[derive(Clone, Debug)]
pub struct Filters {
    stack: Stack,
    tables: Vec<(Arch, Table)>,
}

impl Filters {
    /// Reads what filters say on every ABI of a host.
    #[must_use]
    pub fn read(stack: Stack, host: &Host) -> Self {
        let tables = host.archs().iter().map(|&arch| (arch, stack.read(arch))).collect();
        Self { stack, tables }
    }

    fn table(&self, arch: Arch) -> Option<&Table> {
        self.tables.iter().find(|(known, _)| *known == arch).map(|(_, table)| table)
    }
}

impl Source for Filters {
    fn borders(&self, arch: Arch) -> Vec<u32> {
        self.table(arch).into_iter().flat_map(Table::ranges).map(|range| *range.numbers.start()).collect()
    }

    fn says(&self, arch: Arch, number: u32) -> Says<'_> {
        let range = self.table(arch).and_then(|table| table.find(number));
        let list = range.map_or(Err(Why::TooMuch), |range| range.list.as_ref().map_err(|why| *why));
        let effects = list.iter().flat_map(|list| list.iter()).map(|path| path.effect).collect();
        Says { list: list.map(|list| Cow::Borrowed(list.as_slice())).map_err(|why| why.to_string()), effects }
    }

    fn evaluate(&self, arch: Arch, number: u32, args: &[u64; ARGUMENTS]) -> Option<Effect> {
        Some(self.stack.evaluate(arch, number, args))
    }
}

impl Source for Model<'_> {
    fn borders(&self, arch: Arch) -> Vec<u32> {
        let abi = self.abi(arch);
        let numbers = abi.keys().filter_map(|key| match key {
            Key::Number(number) => Some(number),
            Key::Name(_) => None,
        });
        let after = |number: u32| number.saturating_add(1);
        numbers.flat_map(|number| [number, after(number)]).chain(abi.border().map(after)).collect()
    }

    fn says(&self, arch: Arch, number: u32) -> Says<'_> {
        let abi = self.abi(arch);
        let Some(group) = abi.group(Key::Number(number)) else {
            let effect = abi.unnamed(number);
            let path = Path { tests: Vec::new(), effect };
            return Says { list: Ok(Cow::Owned(vec![path])), effects: BTreeSet::from([effect]) };
        };
        let hazards: Vec<&str> = group.hazards().iter().map(Hazard::as_str).collect();
        let list = if hazards.is_empty() {
            group.list().ok_or_else(|| "the policy has more rules for it than a kernel loads".to_owned())
        } else {
            // What libseccomp makes of them is not what they say (`spec/seccomp.md` 3.6).
            Err(format!(
                "the policy's rules for it {}; libseccomp does not compile that reliably",
                hazards.join(", and ")
            ))
        };
        Says { list, effects: group.effects().collect() }
    }

    fn evaluate(&self, arch: Arch, number: u32, args: &[u64; ARGUMENTS]) -> Option<Effect> {
        Model::evaluate(self, arch, number, args)
    }
}

/// Whether `new` is at least as restrictive as `old` on a host.
///
/// Flags are not compared: a filter does not have them.
#[must_use]
pub fn compare(old: &impl Source, new: &impl Source, host: &Host, settings: &Settings) -> Verdict {
    let order = Order::new(settings, true);
    let found = direction(old, new, host, order);
    let (is_back, stricter) = match direction(new, old, host, order) {
        Outcome::Contained => (true, None),
        Outcome::Loosens(call) => (false, Some(Call { old: call.new, new: call.old, ..call })),
        Outcome::Undecidable(_) => (false, None),
    };
    let relation = match (&found, is_back) {
        (Outcome::Contained, true) => Relation::Equal,
        (Outcome::Contained, false) => Relation::Tighter,
        (Outcome::Loosens(_), true) => Relation::Looser,
        (Outcome::Loosens(_), false) => Relation::Incomparable,
        (Outcome::Undecidable(_), _) => Relation::Undecidable,
    };
    let (counterexample, reason) = match found {
        Outcome::Contained => (None, None),
        Outcome::Loosens(call) => (Some(call), None),
        Outcome::Undecidable(why) => (None, Some(why)),
    };
    Verdict { relation, counterexample, stricter, reason }
}

enum Outcome {
    Contained,
    Loosens(Call),
    Undecidable(String),
}

/// Whether `new` loosens `old` anywhere. A call that proves it is the better message than that something else is not known.
fn direction(old: &impl Source, new: &impl Source, host: &Host, order: Order) -> Outcome {
    let mut budget = Budget::new();
    let mut doubt = None;
    for &arch in host.archs() {
        let numbers = stack::numbers(arch);
        let mut borders: BTreeSet<u32> = old.borders(arch).into_iter().chain(new.borders(arch)).collect();
        borders.insert(*numbers.start());
        for &number in borders.range(numbers) {
            budget.next_group();
            match loosening(old, new, (arch, number), order, &mut budget) {
                Ok(None) => {}
                Ok(Some(call)) => return Outcome::Loosens(call),
                Err(why) => {
                    let name = Key::Number(number).shown(arch);
                    doubt.get_or_insert_with(|| format!("{}: {name}: {why}", arch.short()));
                }
            }
        }
    }
    doubt.map_or(Outcome::Contained, Outcome::Undecidable)
}

/// A call with this number that `new` answers more loosely.
///
/// # Errors
/// It cannot be told: why. Nothing that is not proved counts as contained.
fn loosening(
    old: &impl Source,
    new: &impl Source,
    (arch, number): (Arch, u32),
    order: Order,
    budget: &mut Budget,
) -> Result<Option<Call>, String> {
    let (before, after) = (old.says(arch, number), new.says(arch, number));
    let loosens = |old: &Effect, new: &Effect| order.loosens(*old, *new);
    let known = !before.effects.is_empty() && !after.effects.is_empty();
    if known && !before.effects.iter().any(|old| after.effects.iter().any(|new| loosens(old, new))) {
        return Ok(None);
    }
    let call = |args: [u64; ARGUMENTS]| {
        let (old, new) = (old.evaluate(arch, number, &args)?, new.evaluate(arch, number, &args)?);
        let syscall = syscall::name(arch, number).map(str::to_owned);
        let proved = order.loosens(old, new);
        proved.then_some(Call { arch, syscall, nr: Some(number), unnamed: false, args, old, new })
    };
    let (one, other) = match (&before.list, &after.list) {
        (Ok(one), Ok(other)) => (one, other),
        (Err(why), _) | (_, Err(why)) => {
            let all =
                known && before.effects.iter().all(|old| after.effects.iter().all(|new| loosens(old, new)));
            return if all { Ok(call([0; ARGUMENTS])) } else { Err(why.clone()) };
        }
    };
    match find(one, other, |old, new| order.loosens(old, new), budget) {
        Ok(None) => Ok(None),
        Ok(Some(point)) => {
            // Both sides are asked before it is said; a call that does not stand its test proves nothing either way.
            call(arguments(&point))
                .map(Some)
                .ok_or_else(|| "a call that was found did not stand its test".to_owned())
        }
        Err(_) => Err("comparing its conditions takes too much work".to_owned()),
    }
}

#[cfg(test)]
mod tests;
