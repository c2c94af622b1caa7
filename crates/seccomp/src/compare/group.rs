//! What two policies say about one syscall on one ABI (`spec/seccomp.md` 3.1, 3.2, 3.6).

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::decision::{ARGUMENTS, Path};
use crate::model::group::Group;
use crate::model::hazard::Hazards;
use crate::order::Order;
use crate::search::{Budget, find};
use crate::term::Effect;
use crate::word::arguments;

/// One side's answers.
#[derive(Clone, Copy)]
pub(super) struct Answers<'m> {
    /// What its rules for the syscall are, if it has any.
    pub(super) group: Option<Group<'m>>,
    /// The answer if it has none.
    pub(super) otherwise: Effect,
    /// Its default action's.
    pub(super) default: Effect,
}

impl<'m> Answers<'m> {
    /// The answer, where it is one for all arguments and certain.
    fn constant(&self) -> Option<Effect> {
        self.group.map_or(Some(self.otherwise), |group| group.constant())
    }

    /// What the answer can be.
    fn effects(&self) -> impl Iterator<Item = Effect> + Clone {
        let otherwise = self.group.is_none().then_some(self.otherwise);
        self.group.into_iter().flat_map(|group| group.effects()).chain(otherwise)
    }

    /// What tells its list from those of other answers of this side.
    fn source(&self) -> Source {
        match self.group.map(|group| (group.place(), group.constant())) {
            Some((Some(place), _)) => Source::Rules(place),
            Some((None, Some(effect))) => Source::One(effect),
            _ => Source::One(self.otherwise),
        }
    }

    pub(super) fn hazards(&self) -> Hazards {
        self.group.map_or(Hazards::NONE, |group| group.hazards())
    }

    pub(super) fn rule_count(&self) -> usize {
        self.group.map_or(0, |group| group.rule_count())
    }

    fn list(&self) -> Option<Cow<'m, [Path]>> {
        match self.group {
            Some(group) => group.list(),
            None => Some(vec![Path { tests: Vec::new(), effect: self.otherwise }].into()),
        }
    }

    /// By the evaluator of `spec/seccomp.md` 1.4.
    fn evaluate(&self, args: &[u64; ARGUMENTS]) -> Option<Effect> {
        self.group.map_or(Some(self.otherwise), |group| group.evaluate(args))
    }
}

/// Where a list comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    /// These rules of the policy.
    Rules(usize),
    /// There is but one answer.
    One(Effect),
}

/// What was found already: many names, and ABIs of one width, often have the same rules.
#[derive(Default)]
pub(super) struct Known(BTreeMap<(Source, Source), Finding>);

/// What is found about one pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing loosens.
    Fine,
    /// This call does.
    Loosens(Loosening),
    /// Nothing is known to loosen, and it cannot be told that nothing does.
    Doubt(Doubt),
}

/// Arguments at which the answer loosens, and both answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Loosening {
    pub(super) args: [u64; ARGUMENTS],
    pub(super) old: Effect,
    pub(super) new: Effect,
}

/// Why something cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The program that libseccomp makes may not do what the rules say.
    Hazard,
    /// There are more rules than can be loaded.
    Rules,
    /// It takes too many steps.
    Steps,
    /// What was found did not stand its test: a fault of this crate. Refused like everything that is not proved.
    Unproved,
}

/// What two policies say about one syscall.
pub(super) struct Pair<'m> {
    pub(super) old: Answers<'m>,
    pub(super) new: Answers<'m>,
    pub(super) order: Order,
}

impl Pair<'_> {
    /// Whether the new answers loosen. `same_program` says whether both policies are the same program apart from the default
    /// action and the listener; it is asked only if that matters.
    pub(super) fn find(
        &self,
        known: &mut Known,
        budget: &mut Budget,
        same_program: impl FnOnce() -> bool,
    ) -> Finding {
        if let (Some(old), Some(new)) = (self.old.constant(), self.new.constant()) {
            if !self.order.loosens(old, new) {
                return Finding::Fine;
            }
            return Finding::Loosens(Loosening { args: [0; ARGUMENTS], old, new });
        }
        if !self.any_loosens() {
            return Finding::Fine;
        }
        if self.old.hazards() != Hazards::NONE || self.new.hazards() != Hazards::NONE {
            return self.uncertain(same_program);
        }
        let sources = (self.old.source(), self.new.source());
        *known.0.entry(sources).or_insert_with(|| self.search(budget))
    }

    /// Whether some answer that is possible with the old policy is loosened by one that is possible with the new one.
    fn any_loosens(&self) -> bool {
        self.old.effects().any(|old| self.new.effects().any(|new| self.order.loosens(old, new)))
    }

    fn all_loosen(&self) -> bool {
        self.old.effects().all(|old| self.new.effects().all(|new| self.order.loosens(old, new)))
    }

    /// With a hazard on a side, only sets of answers are known (`spec/seccomp.md` 3.6). On the side of no: a loosening
    /// between any two of them refuses, unless the two programs are one, whose answers come from the same places.
    fn uncertain(&self, same_program: impl FnOnce() -> bool) -> Finding {
        if self.all_loosen() {
            return self.proved([0; ARGUMENTS]).map_or(Finding::Doubt(Doubt::Hazard), Finding::Loosens);
        }
        // Without the same letters one of them is cut off by runc's stub, and the places are not the same.
        let same_places = self.old.hazards() == self.new.hazards() && same_program();
        let looser_place = self.order.loosens(self.old.default, self.new.default)
            || self.old.effects().any(|effect| self.order.loosens(effect, effect));
        if same_places && !looser_place { Finding::Fine } else { Finding::Doubt(Doubt::Hazard) }
    }

    fn search(&self, budget: &mut Budget) -> Finding {
        budget.next_group();
        let (Some(old), Some(new)) = (self.old.list(), self.new.list()) else {
            return Finding::Doubt(Doubt::Rules);
        };
        if old == new && !self.old.effects().any(|effect| self.order.loosens(effect, effect)) {
            return Finding::Fine;
        }
        match find(&old, &new, |old, new| self.order.loosens(old, new), budget) {
            Ok(None) => Finding::Fine,
            Ok(Some(point)) => {
                let proved = self.proved(arguments(&point));
                proved.map_or(Finding::Doubt(Doubt::Unproved), |found| Finding::Loosens(self.plain(found)))
            }
            Err(_) => Finding::Doubt(Doubt::Steps),
        }
    }

    /// What both policies answer there, if that loosens.
    fn proved(&self, args: [u64; ARGUMENTS]) -> Option<Loosening> {
        let (old, new) = (self.old.evaluate(&args)?, self.new.evaluate(&args)?);
        self.order.loosens(old, new).then_some(Loosening { args, old, new })
    }

    /// The same loosening with arguments of 0, or small ones, where they do not matter.
    fn plain(&self, mut found: Loosening) -> Loosening {
        for at in 0..ARGUMENTS {
            for keep in [0, 0xffff_ffff] {
                let mut args = found.args;
                if let Some(arg) = args.get_mut(at) {
                    *arg &= keep;
                }
                if let Some(plainer) = self.proved(args) {
                    found = plainer;
                    break;
                }
            }
        }
        found
    }
}
