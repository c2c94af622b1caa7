//! One way: does a new policy loosen an old one anywhere (`spec/seccomp.md` 3.1)?

use std::cmp::Ordering;
use std::iter::Peekable;

use crate::compare::group::{Answers, Finding, Known, Loosening, Pair};
use crate::compare::result::{Call, Counterexample};
use crate::compare::text;
use crate::decision::ARGUMENTS;
use crate::model::group::Group;
use crate::model::{Abi, Key, Model};
use crate::order::Order;
use crate::search::Budget;
use crate::settings::Host;
use crate::syscall;
use crate::term::{Arch, Effect, Flag};

/// What is found one way.
pub(super) enum Outcome {
    /// Nothing loosens.
    Contained,
    /// This does.
    Loosens(Counterexample),
    /// Nothing is known to loosen, and it cannot be told that nothing does: why.
    Undecidable(String),
}

/// Whether `new` loosens `old`.
///
/// Everything is looked at before it is said that something cannot be told, since a counterexample is the better message.
/// Named syscalls come first, by ABI, the native one first, and by number; then what no rule names, names that are in no
/// table, and flags.
pub(super) fn decide(old: &Model<'_>, new: &Model<'_>, host: &Host, order: Order) -> Outcome {
    let mut way = Way {
        old,
        new,
        order,
        known: Known::default(),
        budget: Budget::new(),
        same_program: None,
        doubt: None,
    };
    let archs = host.archs();
    let mut found = archs.iter().find_map(|&arch| way.numbers(arch));
    found = found.or_else(|| archs.iter().find_map(|&arch| way.unnamed(arch)));
    found = found.or_else(|| archs.iter().find_map(|&arch| way.names(arch)));
    match (found.map(Counterexample::Call).or_else(|| way.flags()), way.doubt) {
        (Some(counterexample), _) => Outcome::Loosens(counterexample),
        (None, Some(why)) => Outcome::Undecidable(why),
        (None, None) => Outcome::Contained,
    }
}

struct Way<'m> {
    old: &'m Model<'m>,
    new: &'m Model<'m>,
    order: Order,
    known: Known,
    budget: Budget,
    same_program: Option<bool>,
    /// The first thing that could not be told.
    doubt: Option<String>,
}

impl<'m> Way<'m> {
    /// Every number that a side has rules for.
    fn numbers(&mut self, arch: Arch) -> Option<Call> {
        let (old, new) = (self.old.abi(arch), self.new.abi(arch));
        Both::new(numbers(&old), numbers(&new)).find_map(|(nr, of_old, of_new)| {
            let key = Key::Number(nr);
            let found = self.pair(arch, key, (of_old, old.otherwise(key)), (of_new, new.otherwise(key)))?;
            Some(call(arch, Some(nr), syscall::name(arch, nr).map(str::to_owned), found))
        })
    }

    /// Names that are in no table may exist on every ABI (`spec/seccomp.md` 3.1, step 1).
    fn names(&mut self, arch: Arch) -> Option<Call> {
        let (old, new) = (self.old.abi(arch), self.new.abi(arch));
        Both::new(names(&old), names(&new)).find_map(|(name, of_old, of_new)| {
            let key = Key::Name(name);
            // Where it would stand among the numbers is not known: a side that does not name it may answer by default or,
            // with runc's stub, ENOSYS. Nothing may loosen either way.
            let answers = |model: &Model<'_>, abi: &Abi<'_>| {
                let default = if abi.is_in_filter() { model.default_effect() } else { abi.otherwise(key) };
                [default, abi.otherwise(key)]
            };
            let ways = answers(self.old, &old).into_iter().zip(answers(self.new, &new));
            let found = ways.into_iter().find_map(|(of_no_old, of_no_new)| {
                self.pair(arch, key, (of_old, of_no_old), (of_new, of_no_new))
            })?;
            Some(call(arch, None, Some(name.to_owned()), found))
        })
    }

    /// One number that no rule names: in every interval between the borders of runc's stub, if they are there.
    fn unnamed(&mut self, arch: Arch) -> Option<Call> {
        let (old, new) = (self.old.abi(arch), self.new.abi(arch));
        let mut starts = vec![arch.base()];
        starts.extend(
            [old.border(), new.border()].into_iter().flatten().map(|border| border.saturating_add(1)),
        );
        starts.sort_unstable();
        starts.dedup();
        let ends = starts.iter().skip(1).copied().chain([u32::MAX]);
        starts.iter().zip(ends).find_map(|(&start, end)| {
            let (of_old, of_new) = (old.unnamed(start), new.unnamed(start));
            if !self.order.loosens(of_old, of_new) {
                return None;
            }
            let named = |nr: u32| [&old, &new].iter().any(|abi| abi.group(Key::Number(nr)).is_some());
            let nr = (start..end).find(|&nr| !named(nr))?;
            let found = Loosening { args: [0; ARGUMENTS], old: of_old, new: of_new };
            let name = syscall::name(arch, nr).map(str::to_owned);
            Some(Call { unnamed: true, ..call(arch, Some(nr), name, found) })
        })
    }

    fn flags(&self) -> Option<Counterexample> {
        let (old, new) = (self.old.flags_in_force(), self.new.flags_in_force());
        [(Flag::SpecAllow, old.spec_allow, new.spec_allow), (Flag::Log, old.log, new.log)]
            .into_iter()
            .find(|&(flag, old, new)| self.order.flag_loosens(flag, old, new))
            .map(|(flag, old, new)| Counterexample::Flag { flag, old, new })
    }

    /// What is said about one syscall, by each side with its answer if it says nothing.
    fn pair(
        &mut self,
        arch: Arch,
        key: Key<'_>,
        old: (Option<Group<'m>>, Effect),
        new: (Option<Group<'m>>, Effect),
    ) -> Option<Loosening> {
        let answers = |(group, otherwise), model: &Model<'_>| Answers {
            group,
            otherwise,
            default: model.default_effect(),
        };
        let pair = Pair { old: answers(old, self.old), new: answers(new, self.new), order: self.order };
        let (one, other, same_program) = (self.old, self.new, &mut self.same_program);
        let same_program = || *same_program.get_or_insert_with(|| one.is_same_program(other));
        match pair.find(&mut self.known, &mut self.budget, same_program) {
            Finding::Fine => None,
            Finding::Loosens(found) => Some(found),
            Finding::Doubt(doubt) => {
                self.doubt.get_or_insert_with(|| text::doubt(arch, key, &pair, doubt));
                None
            }
        }
    }
}

pub(super) fn call(arch: Arch, nr: Option<u32>, syscall: Option<String>, found: Loosening) -> Call {
    let Loosening { args, old, new } = found;
    Call { arch, syscall, nr, unnamed: false, args, old, new }
}

fn numbers<'m>(abi: &Abi<'m>) -> impl Iterator<Item = (u32, Group<'m>)> + use<'m> {
    abi.groups().map_while(|(key, group)| match key {
        Key::Number(number) => Some((number, group)),
        Key::Name(_) => None,
    })
}

fn names<'m>(abi: &Abi<'m>) -> impl Iterator<Item = (&'m str, Group<'m>)> + use<'m> {
    abi.groups().filter_map(|(key, group)| match key {
        Key::Number(_) => None,
        Key::Name(name) => Some((name, group)),
    })
}

/// Two sorted lists as one: every key once, with what each list has for it.
pub(super) struct Both<I: Iterator, J: Iterator> {
    one: Peekable<I>,
    other: Peekable<J>,
}

impl<K: Ord, A, I: Iterator<Item = (K, A)>, J: Iterator<Item = (K, A)>> Both<I, J> {
    pub(super) fn new(one: I, other: J) -> Self {
        Self { one: one.peekable(), other: other.peekable() }
    }
}

impl<K: Ord, A, I: Iterator<Item = (K, A)>, J: Iterator<Item = (K, A)>> Iterator for Both<I, J> {
    type Item = (K, Option<A>, Option<A>);

    fn next(&mut self) -> Option<Self::Item> {
        let order = match (self.one.peek(), self.other.peek()) {
            (Some((one, _)), Some((other, _))) => one.cmp(other),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        let one = if order.is_le() { self.one.next() } else { None };
        let other = if order.is_ge() { self.other.next() } else { None };
        match (one, other) {
            (Some((key, one)), other) => Some((key, Some(one), other.map(|(_, other)| other))),
            (None, Some((key, other))) => Some((key, None, Some(other))),
            (None, None) => None,
        }
    }
}
