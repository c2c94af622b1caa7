//! All that a policy says of one syscall on one ABI.

use std::borrow::Cow;
use std::sync::OnceLock;

use super::Model;
use super::hazard::{Hazard, Hazards};
use super::load::{Loaded, Slot, Source};
use super::rule::{Rule, Width};
use super::trie::Trie;
use crate::decision::{ARGUMENTS, List, Path};
use crate::term::Effect;

/// All that a policy says of one syscall on one ABI.
#[derive(Clone, Copy, Debug)]
pub struct Group<'m> {
    model: &'m Model<'m>,
    slot: Slot,
    is_void: bool,
}

impl<'m> Group<'m> {
    pub(super) const fn new(model: &'m Model<'m>, slot: Slot, is_void: bool) -> Self {
        Self { model, slot, is_void }
    }

    /// The answer, where it is one for all arguments and certain.
    #[must_use]
    pub fn constant(&self) -> Option<Effect> {
        match self.slot {
            Slot::Constant(effect) if !self.is_void => Some(effect),
            _ => None,
        }
    }

    /// What the answer can be, hazards included: the actions of the rules, and the default action where it may answer. None
    /// comes twice.
    pub fn effects(&self) -> impl Iterator<Item = Effect> + Clone + use<'m> {
        let (one, more): (_, &'m [Effect]) = match self.slot {
            Slot::Constant(effect) => (Some(effect), &[]),
            Slot::Conditional(_) => (None, self.conditional().map_or(&[], |group| &group.actions)),
        };
        let default = self.constant().is_none().then_some(self.model.loaded.default);
        one.into_iter().chain(more.iter().copied()).chain(default)
    }

    /// Why the real filter may answer otherwise than the rules say.
    #[must_use]
    pub fn hazards(&self) -> Hazards {
        let own = self.place().and_then(|place| self.model.letters().get(place)).copied().unwrap_or_default();
        if self.is_void { own.with(Hazard::E) } else { own }
    }

    /// Whether there are so many conditional rules, here or in the whole policy, that no kernel loads them. Then there is
    /// neither a list nor an answer.
    #[must_use]
    pub fn is_too_complex(&self) -> bool {
        self.conditional().is_some_and(|group| group.is_too_complex)
    }

    /// Where its conditional rules are: groups of one model that have a place in common say the same, apart from letter E.
    pub(crate) fn place(&self) -> Option<usize> {
        match self.slot {
            Slot::Constant(_) => None,
            Slot::Conditional(place) => usize::try_from(place).ok(),
        }
    }

    /// How many conditional rules there are; none where an unconditional one decides.
    #[must_use]
    pub fn rule_count(&self) -> usize {
        self.conditional().map_or(0, |group| group.count)
    }

    /// The conditional rules in load order; none where an unconditional one decides, and none where it is too complex.
    #[must_use]
    pub fn rules(&self) -> &'m [Rule] {
        self.conditional().map_or(&[], |group| group.rules(&self.model.loaded))
    }

    /// The decision list, as if there were no hazard.
    #[must_use]
    pub fn list(&self) -> Option<Cow<'m, [Path]>> {
        match self.slot {
            Slot::Constant(effect) => Some(Cow::Owned(vec![Path { tests: Vec::new(), effect }])),
            Slot::Conditional(_) => {
                let group = self.conditional().filter(|group| !group.is_too_complex)?;
                Some(Cow::Borrowed(group.list(&self.model.loaded)))
            }
        }
    }

    /// The answer to these arguments, as if there were no hazard.
    #[must_use]
    pub fn evaluate(&self, args: &[u64; ARGUMENTS]) -> Option<Effect> {
        match self.slot {
            Slot::Constant(effect) => Some(effect),
            Slot::Conditional(_) => {
                let group = self.conditional().filter(|group| !group.is_too_complex)?;
                let loaded = &self.model.loaded;
                Some(group.trie(loaded).evaluate(args).unwrap_or(loaded.default))
            }
        }
    }

    fn conditional(&self) -> Option<&'m Conditional> {
        self.model.loaded.conditional.get(self.place()?)
    }
}

/// A group without an unconditional rule. Several names and ABIs may have it.
#[derive(Debug)]
pub(super) struct Conditional {
    pub(super) width: Width,
    /// In load order.
    sources: Vec<Source>,
    count: usize,
    pub(super) is_too_complex: bool,
    /// The rules' actions, each once.
    actions: Vec<Effect>,
    rules: OnceLock<Vec<Rule>>,
    trie: OnceLock<Trie>,
    list: OnceLock<List>,
}

impl Conditional {
    pub(super) const fn new(
        width: Width,
        sources: Vec<Source>,
        count: usize,
        is_too_complex: bool,
        actions: Vec<Effect>,
    ) -> Self {
        Self {
            width,
            sources,
            count,
            is_too_complex,
            actions,
            rules: OnceLock::new(),
            trie: OnceLock::new(),
            list: OnceLock::new(),
        }
    }

    /// Empty where it is too complex: an entry of many conditions and many names would take up too much.
    pub(super) fn rules(&self, loaded: &Loaded<'_>) -> &[Rule] {
        self.rules.get_or_init(|| {
            let sources = self.sources.iter().filter(|_| !self.is_too_complex);
            sources
                .filter_map(|source| Some((loaded.entries.get(source.entry)?, source.call)))
                .flat_map(|(entry, call)| {
                    let rules = entry.conditions.rules(self.width, call);
                    rules.map(|clauses| Rule { clauses, effect: entry.effect })
                })
                .collect()
        })
    }

    pub(super) fn trie(&self, loaded: &Loaded<'_>) -> &Trie {
        self.trie.get_or_init(|| Trie::new(self.rules(loaded), self.width))
    }

    fn list(&self, loaded: &Loaded<'_>) -> &[Path] {
        self.list.get_or_init(|| self.trie(loaded).flatten(loaded.default))
    }
}
