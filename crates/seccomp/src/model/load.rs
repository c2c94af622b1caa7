//! From the entries of a policy to what each number of each ABI answers (`spec/seccomp.md` 1.1, 1.2, 1.9).
//!
//! A name is looked up once. On each ABI of the filter its number gets a [`Slot`]: one answer, or the conditional group
//! with these rules, which names and ABIs share where they say the same. So a policy of 400 names is little more than
//! 400 look-ups, and an entry of many names and many conditions is worked out once.

use std::collections::BTreeMap;

use super::group::{Conditional, Group};
use super::rule::{Clause, Conditions, Width};
use super::{Model, NO_SUCH_CALL, Reading};
use crate::policy::Policy;
use crate::settings::Runtime;
use crate::syscall::{self, Gate, Row};
use crate::term::{Arch, Effect};

/// More conditional rules than this for one syscall cannot be loaded into a kernel (`spec/seccomp.md` 3.5).
const RULES_OF_A_GROUP: usize = 1_000;
/// The same for all groups of a policy together, in squares of the numbers of rules, which is what sorting them costs;
/// and in tests, which is what they take up. Both are far above what a kernel loads; past them groups are too complex.
const SQUARES: usize = 16_000_000;
const TESTS: usize = 250_000;
/// Rules that are compared one by one to find two programs equal.
const RULES_OF_A_PROGRAM: usize = 1_000_000;
/// runc 1.2 and later lays out a policy with more names than this as a binary tree.
const NAMES_OF_A_LINEAR_PROGRAM: usize = 32;

/// The entries of a policy as a runtime takes them in.
#[derive(Debug)]
pub(super) struct Loaded<'p> {
    /// The answer of an ABI of the filter where no rule names the call.
    pub(super) default: Effect,
    pub(super) entries: Vec<Entry<'p>>,
    /// One for each ABI of the filter, the native one first; without a policy none.
    pub(super) tables: Vec<Table>,
    /// Names that are in no table, sorted.
    pub(super) strangers: Vec<Stranger<'p>>,
    /// Groups whose answer depends on arguments.
    pub(super) conditional: Vec<Conditional>,
    is_binary_tree: bool,
}

/// An element of `syscalls`.
#[derive(Debug)]
pub(super) struct Entry<'p> {
    names: &'p [String],
    pub(super) effect: Effect,
    pub(super) conditions: Conditions<'p>,
    /// Its action is not the default action.
    is_kept: bool,
}

/// One ABI of the filter.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) arch: Arch,
    /// Sorted by number.
    pub(super) numbers: Vec<(u32, Slot)>,
    /// A rule names a syscall that exists elsewhere and not here.
    lacks: bool,
    /// A syscall that exists here has an unconditional rule.
    has_unconditional: bool,
    /// Hazard E.
    pub(super) is_void: bool,
    /// Where runc's stub begins.
    pub(super) border: Option<u32>,
}

/// What a number answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Constant(Effect),
    /// Place of the group in [`Loaded::conditional`].
    Conditional(u32),
}

/// A name that is in no table.
#[derive(Debug)]
pub(super) struct Stranger<'p> {
    pub(super) name: &'p str,
    wide: Option<Slot>,
    narrow: Option<Slot>,
}

impl Stranger<'_> {
    pub(super) fn slot(&self, width: Width) -> Option<Slot> {
        match width {
            Width::Wide => self.wide,
            Width::Narrow => self.narrow,
        }
    }
}

/// Where the rules of a group come from: an entry, and the call number where it is one of `socketcall` or `ipc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source {
    pub(super) entry: usize,
    pub(super) call: Option<u8>,
}

impl Table {
    fn new(arch: Arch) -> Self {
        Self {
            arch,
            numbers: Vec::new(),
            lacks: false,
            has_unconditional: false,
            is_void: false,
            border: None,
        }
    }

    pub(super) fn width(&self) -> Width {
        if self.arch.is_64() { Width::Wide } else { Width::Narrow }
    }

    /// Sorts plain integers, number above and place below, which takes a third of the time that sorting pairs does.
    fn sort(&mut self) {
        let places = self.numbers.iter().zip(0u64..);
        let mut order: Vec<u64> =
            places.map(|((number, _), place)| u64::from(*number) << 32 | place).collect();
        order.sort_unstable();
        let at = |key: &u64| self.numbers.get(usize::try_from(key & 0xffff_ffff).ok()?).copied();
        self.numbers = order.iter().filter_map(at).collect();
    }

    /// Whether runc's stub answers, before any rule is asked.
    pub(super) fn is_cut_off(&self, number: u32) -> bool {
        self.border.is_some_and(|border| number > border)
    }

    pub(super) fn group<'m>(&self, model: &'m Model<'m>, number: u32, slot: Slot) -> Group<'m> {
        if self.is_cut_off(number) {
            Group::new(model, Slot::Constant(NO_SUCH_CALL), false)
        } else {
            Group::new(model, slot, self.is_void)
        }
    }

    /// Whether this name counts for the border of runc's stub.
    fn raise_border(&mut self, row: &Row) {
        let behind_gate = row.gate.is_some_and(|gate| gate.is_on(self.arch));
        if let Some(number) = row.number(self.arch).filter(|number| *number > 0 && !behind_gate) {
            self.border = self.border.max(Some(number));
        }
    }
}

impl Loaded<'_> {
    /// Without a policy.
    pub(super) const fn unconfined() -> Self {
        Self {
            default: Effect::Allow,
            entries: Vec::new(),
            tables: Vec::new(),
            strangers: Vec::new(),
            conditional: Vec::new(),
            is_binary_tree: false,
        }
    }

    /// See [`Model::is_same_program`].
    pub(super) fn is_same_program(&self, other: &Loaded<'_>) -> bool {
        let archs = |loaded: &Loaded<'_>| loaded.tables.iter().map(|table| table.arch).collect::<Vec<_>>();
        let count = self.rule_count();
        archs(self) == archs(other)
            && self.is_binary_tree == other.is_binary_tree
            && count == other.rule_count()
            && count <= RULES_OF_A_PROGRAM
            && [Width::Wide, Width::Narrow].into_iter().all(|width| {
                !self.tables.iter().any(|table| table.width() == width)
                    || self.program(width).eq(other.program(width))
            })
    }

    fn rule_count(&self) -> usize {
        let kept = self.entries.iter().filter(|entry| entry.is_kept);
        kept.map(|entry| entry.names.len().saturating_mul(entry.conditions.count())).sum()
    }

    /// Every rule in load order.
    fn program(&self, width: Width) -> impl Iterator<Item = (&str, Effect, Vec<Clause>)> {
        self.entries.iter().filter(|entry| entry.is_kept).flat_map(move |entry| {
            entry.names.iter().flat_map(move |name| {
                let rules = entry.conditions.rules(width, None);
                rules.map(move |clauses| (name.as_str(), entry.effect, clauses))
            })
        })
    }
}

/// Reads a policy that has been checked.
pub(super) fn load(policy: &Policy, native: Arch, runtime: Runtime, reading: Reading) -> Loaded<'_> {
    let default = policy.default_effect();
    let entries: Vec<Entry<'_>> = policy
        .syscalls
        .iter()
        .map(|entry| {
            let effect = entry.effect();
            let args = entry.args.get(..reading.limit()).unwrap_or(&entry.args);
            let conditions = Conditions::new(args, runtime == Runtime::Youki);
            Entry { names: &entry.names, effect, conditions, is_kept: effect != default }
        })
        .collect();
    let is_binary_tree = runtime == Runtime::Runc
        && policy.syscalls.iter().map(|entry| entry.names.len()).sum::<usize>() > NAMES_OF_A_LINEAR_PROGRAM;
    let mut loader = Loader::new(&entries, tables(policy, native));
    let strangers = loader.fill();
    if runtime == Runtime::Runc && !matches!(default, Effect::Allow | Effect::Log | Effect::Trace(_)) {
        loader.raise_borders();
    }
    if !is_binary_tree {
        loader.find_void();
    }
    let Loader { mut tables, conditional, .. } = loader;
    for table in &mut tables {
        table.sort();
    }
    Loaded { default, entries, tables, strangers, conditional, is_binary_tree }
}

fn tables(policy: &Policy, native: Arch) -> Vec<Table> {
    let mut tables = vec![Table::new(native)];
    for arch in &policy.architectures {
        let fits = arch.is_little_endian() == native.is_little_endian();
        if fits && !tables.iter().any(|table| table.arch == *arch) {
            tables.push(Table::new(*arch));
        }
    }
    tables
}

struct Loader<'a, 'p> {
    entries: &'a [Entry<'p>],
    tables: Vec<Table>,
    conditional: Vec<Conditional>,
    /// The groups by what they are made of.
    made: BTreeMap<(Width, Vec<Source>), u32>,
    squares_left: usize,
    tests_left: usize,
}

/// A name of an entry, in load order.
#[derive(Clone, Copy)]
struct Occurrence<K> {
    key: K,
    turn: usize,
    entry: usize,
}

impl<'a, 'p> Loader<'a, 'p> {
    fn new(entries: &'a [Entry<'p>], tables: Vec<Table>) -> Self {
        Self {
            entries,
            tables,
            conditional: Vec::new(),
            made: BTreeMap::new(),
            squares_left: SQUARES,
            tests_left: TESTS,
        }
    }

    /// Gives every number of every table its slot; what is left over are the names in no table.
    fn fill(&mut self) -> Vec<Stranger<'p>> {
        let mut known = Vec::new();
        let mut strange = Vec::new();
        let kept = self.entries.iter().enumerate().filter(|(_, entry)| entry.is_kept);
        let names = kept.flat_map(|(at, entry)| entry.names.iter().map(move |name| (at, name)));
        for (turn, (entry, name)) in names.enumerate() {
            match syscall::place(name) {
                Some(place) => known.push(Occurrence { key: place, turn, entry }),
                None => strange.push(Occurrence { key: name.as_str(), turn, entry }),
            }
        }
        // Stable, so that occurrences of one name stay in load order.
        known.sort_by_key(|occurrence| occurrence.key);
        strange.sort_by_key(|occurrence| occurrence.key);
        self.fill_known(&known);
        strange
            .chunk_by(|one, other| one.key == other.key)
            .filter_map(|rules| {
                let name = rules.first()?.key;
                let mut slot = |width| {
                    let is_there = self.tables.iter().any(|table| table.width() == width);
                    is_there.then(|| self.slot(width, rules.iter().map(|rule| Source::direct(rule.entry))))
                };
                Some(Stranger { name, wide: slot(Width::Wide), narrow: slot(Width::Narrow) })
            })
            .collect()
    }

    fn fill_known(&mut self, known: &[Occurrence<usize>]) {
        let mut gates = ["socketcall", "ipc"].map(|name| (name, syscall::place(name), Vec::new()));
        let mut tables = std::mem::take(&mut self.tables);
        for rules in known.chunk_by(|one, other| one.key == other.key) {
            let Some(row) = rules.first().and_then(|rule| syscall::at(rule.key)) else { continue };
            let sources = rules.iter().map(|rule| Source::direct(rule.entry));
            let mut slots = [None, None];
            let own = rules.first().map(|rule| rule.key);
            let is_gate = gates.iter().any(|(_, place, _)| *place == own);
            for table in &mut tables {
                let Some(number) = row.number(table.arch) else {
                    table.lacks = true;
                    continue;
                };
                // These have more rules than those in their own name, and come below.
                if is_gate && table.arch.has_socketcall() {
                    continue;
                }
                let [wide, narrow] = &mut slots;
                let slot = match table.width() {
                    Width::Wide => *wide.get_or_insert_with(|| self.slot(Width::Wide, sources.clone())),
                    Width::Narrow => *narrow.get_or_insert_with(|| self.slot(Width::Narrow, sources.clone())),
                };
                table.has_unconditional |= matches!(slot, Slot::Constant(_));
                table.numbers.push((number, slot));
            }
            for (name, place, sources) in &mut gates {
                let call = row.gate.filter(|gate| gate.name() == *name).map(Gate::call);
                if call.is_some() || *place == own {
                    sources.extend(rules.iter().map(|rule| (rule.turn, Source { entry: rule.entry, call })));
                }
            }
        }
        for (_, place, mut sources) in gates {
            sources.sort_by_key(|(turn, _)| *turn);
            let Some(row) = place.and_then(syscall::at).filter(|_| !sources.is_empty()) else { continue };
            for table in tables.iter_mut().filter(|table| table.arch.has_socketcall()) {
                let Some(number) = row.number(table.arch) else { continue };
                let slot = self.slot(table.width(), sources.iter().map(|(_, source)| *source));
                table.has_unconditional |= matches!(slot, Slot::Constant(_));
                table.numbers.push((number, slot));
            }
        }
        self.tables = tables;
    }

    /// What these rules come to on ABIs of this width (`spec/seccomp.md` 1.4): the first unconditional one decides.
    fn slot(&mut self, width: Width, sources: impl Iterator<Item = Source> + Clone) -> Slot {
        let entry = |source: &Source| self.entries.get(source.entry);
        let always = |source: &Source| {
            source.call.is_none()
                && entry(source).is_some_and(|entry| entry.conditions.is_unconditional(width))
        };
        if let Some(first) = sources.clone().find(always).and_then(|source| self.entries.get(source.entry)) {
            return Slot::Constant(first.effect);
        }
        let key = (width, sources.collect::<Vec<_>>());
        if let Some(made) = self.made.get(&key) {
            return Slot::Conditional(*made);
        }
        let place = u32::try_from(self.conditional.len()).unwrap_or(u32::MAX);
        let group = self.conditional(width, &key.1);
        self.conditional.push(group);
        self.made.insert(key, place);
        Slot::Conditional(place)
    }

    fn conditional(&mut self, width: Width, sources: &[Source]) -> Conditional {
        let (mut count, mut tests, mut actions) = (0usize, 0usize, Vec::new());
        for entry in sources.iter().filter_map(|source| self.entries.get(source.entry)) {
            count = count.saturating_add(entry.conditions.count());
            tests = tests.saturating_add(entry.conditions.tests(width));
            actions.push(entry.effect);
        }
        actions.sort_unstable();
        actions.dedup();
        let left = self
            .squares_left
            .checked_sub(count.saturating_mul(count))
            .zip(self.tests_left.checked_sub(tests));
        let fits = left.filter(|_| count <= RULES_OF_A_GROUP);
        if let Some((squares, tests)) = fits {
            (self.squares_left, self.tests_left) = (squares, tests);
        }
        Conditional::new(width, sources.to_vec(), count, fits.is_none(), actions)
    }

    /// runc's stub: every name counts, also of entries that are dropped (`spec/seccomp.md` 1.9).
    fn raise_borders(&mut self) {
        let names = self.entries.iter().flat_map(|entry| entry.names);
        for row in names.filter_map(|name| syscall::row(name)) {
            for table in &mut self.tables {
                table.raise_border(row);
            }
        }
    }

    /// Hazard E: the missing entry comes first in the table, and with it the load of the number is left out.
    fn find_void(&mut self) {
        let of = |arch: Arch| self.tables.iter().find(|table| table.arch == arch);
        // With x32 it is one table with x86_64, whose unconditional rules count; without it x86_64 is immune.
        let joint = of(Arch::X32)
            .zip(of(Arch::X86_64))
            .map(|(x32, x86_64)| (x32.lacks || x86_64.lacks) && !x86_64.has_unconditional);
        for table in &mut self.tables {
            table.is_void = match (table.arch, joint) {
                (Arch::X86_64, None) => false,
                (Arch::X86_64 | Arch::X32, Some(is_void)) => is_void,
                _ => table.lacks && !table.has_unconditional,
            };
        }
    }
}

impl Source {
    const fn direct(entry: usize) -> Self {
        Self { entry, call: None }
    }
}
