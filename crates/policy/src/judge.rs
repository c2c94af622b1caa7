//! The judgement of one answer, and its proof.
//!
//! A host asks a [`Judge`] about every answer of a plugin. What comes back is a [`Verdict`]: the answer, wrapped in
//! [`Permitted`], and what was refused. Merging takes a `Permitted` answer and nothing else, and only a judge makes one,
//! so that a forgotten judgement does not compile (`design.md` 3).
//!
//! ```
//! use nri_policy::change::Containers;
//! use nri_policy::identity::Facts;
//! use nri_policy::judge::{Asked, Creation, Judge};
//! use nri_wire::api::{Container, CreateContainerResponse};
//!
//! let (judge, container) = (Judge::allow_all(), Container::default());
//! let plugin = "10-a".parse()?;
//! let creation = Creation { containers: Containers { pristine: &container, running: &container }, pod: None, targets: &() };
//! let asked = Asked { plugin: &plugin, facts: Facts::nothing(), basis: creation, unknown: &[] };
//! let verdict = judge.judge(&asked, CreateContainerResponse::default());
//! assert!(verdict.refused.is_empty() && verdict.permitted.is_some());
//! # Ok::<(), nri_wire::name::NameError>(())
//! ```

mod answer;
mod apply;
mod compiled;
mod conclusion;
mod decide;
mod rate;
mod refusal;
#[cfg(test)]
mod tests;
mod tighten;
mod violation;

use std::sync::Arc;
use std::time::Instant;

use nri_wire::name::PluginName;

pub use self::answer::{Answer, Creation, Other, Scene, Target, Targets, Update};
use self::compiled::{Policy, Source, compile};
pub use self::conclusion::{Absent, Conclusion, Ended, Lack, Member, Product};
use self::decide::{Inquiry, unknown};
use self::rate::Rates;
pub use self::refusal::{Action, Judged, Refused};
use self::tighten::Comparisons;
use crate::change::{Change, Place, Recorded};
use crate::document::load::PolicySet;
use crate::host::{Host, NoHost};
use crate::identity::Facts;
use crate::rule::{Access, Mode};

/// Judges answers by the policies in force. Cheap to clone; clones share what they remember of comparisons of seccomp
/// policies, which no verdict depends on.
#[derive(Clone, Debug)]
pub struct Judge(Option<Arc<Rules>>);

/// What a judge is made with beside the policies.
#[derive(Clone, Debug)]
pub struct Options {
    /// What becomes of changes of containers that no policy has in its scope.
    pub on_missing: OnMissing,
    /// Whom to ask about the host.
    pub host: Arc<dyn Host>,
    /// Whether verdicts list what is said about each change, the allowed ones too: for audit.
    pub records: bool,
}

/// What becomes of changes of containers that no policy has in its scope (`policy.md` 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnMissing {
    /// They count: what no scope covers is not governed.
    #[default]
    Allow,
    /// They are refused, by the rule `on-missing-policy`.
    Deny,
}

/// What a judge goes by.
#[derive(Debug)]
struct Rules {
    policies: Vec<Policy>,
    comparisons: Comparisons,
    on_missing: OnMissing,
    host: Arc<dyn Host>,
    records: bool,
    /// Whether what says nothing new is taken out of answers: not where nobody wrote a policy.
    takes_out: bool,
    rates: Rates,
    /// What is said where no policy has the container in its scope.
    uncovered: Source,
}

/// One answer that waits for its judgement, without the answer itself.
#[derive(Debug)]
pub struct Asked<'a, B> {
    /// Who answered.
    pub plugin: &'a PluginName,
    /// What is known of it.
    pub facts: &'a Facts,
    /// What its changes are taken against.
    pub basis: B,
    /// Paths of the protobuf fields in the answer that we do not know, `adjust.linux.99`
    /// ([`UnknownField::path`](nri_wire::scan::UnknownField)).
    pub unknown: &'a [String],
}

/// The judgement of one answer.
#[derive(Debug)]
#[must_use = "an answer without its verdict is lost"]
pub struct Verdict<A> {
    /// What may be merged: the answer, less what was dropped. `None`: the request fails, because of the entries of
    /// `refused` whose action is [`Action::Reject`].
    pub permitted: Option<Permitted<A>>,
    /// Everything that violates a rule, also where the rule only warns.
    pub refused: Vec<Refused>,
    /// What is said about each change, if the judge [`records`](Options::records) that.
    pub judged: Vec<Judged>,
}

/// An answer that a judge has let through, with its changes. Nobody but a judge makes one: neither of its parts
///
/// ```compile_fail,E0451
/// use nri_policy::judge::Permitted;
/// fn forged<A>(answer: A) -> Permitted<A> {
///     Permitted { answer, changes: Vec::new(), cuts: Vec::new() }
/// }
/// ```
///
/// nor of nothing
///
/// ```compile_fail,E0277
/// use nri_policy::judge::Permitted;
/// fn forged<A: Default>() -> Permitted<A> {
///     Default::default()
/// }
/// ```
///
/// and what has been let through cannot be changed any more.
///
/// ```compile_fail,E0308
/// use nri_policy::judge::Permitted;
/// fn forge<A: Default>(permitted: &mut Permitted<A>) {
///     std::mem::take(permitted.answer());
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Permitted<A> {
    answer: A,
    changes: Vec<Recorded>,
    cuts: Vec<(String, Access)>,
}

/// Who a plugin is to a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing<'j> {
    /// The policy.
    pub policy: &'j str,
    /// The identity that it matches.
    pub identity: Option<&'j str>,
    /// The level that it has; `None`: the policy does not speak for it.
    pub level: Option<&'j str>,
    /// The id of the rule that reserves its name for another plugin, if one does.
    pub reserved: Option<&'j str>,
}

impl Default for Options {
    fn default() -> Self {
        Self { on_missing: OnMissing::default(), host: Arc::new(NoHost), records: false }
    }
}

impl Judge {
    /// The judge that lets everything through.
    #[must_use]
    pub const fn allow_all() -> Self {
        Self(None)
    }

    /// The judge that goes by these policies.
    ///
    /// ```
    /// use nri_policy::document::load::PolicySet;
    /// use nri_policy::judge::{Judge, Options};
    /// let judge = Judge::new(&PolicySet::compat(), Options::default());
    /// # drop(judge);
    /// ```
    #[must_use]
    pub fn new(set: &PolicySet, options: Options) -> Self {
        let Options { on_missing, host, records } = options;
        let policies = compile(set);
        let takes_out = set.hash != PolicySet::compat().hash;
        let comparisons = Comparisons::new(&policies, &*host);
        let uncovered = Source { id: "on-missing-policy".into(), at: None };
        Self(Some(Arc::new(Rules {
            policies,
            comparisons,
            on_missing,
            host,
            records,
            takes_out,
            rates: Rates::default(),
            uncovered,
        })))
    }

    /// Whether it lets everything through, whoever asks.
    #[must_use]
    pub const fn is_allow_all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether verdicts list what is said about each change ([`Options::records`]).
    #[must_use]
    pub fn records(&self) -> bool {
        self.0.as_ref().is_some_and(|rules| rules.records)
    }

    /// Whether an identity goes by the digest of an executable, which may take its time to be known.
    #[must_use]
    pub fn wants_digests(&self) -> bool {
        self.0.iter().flat_map(|rules| &rules.policies).any(Policy::wants_digests)
    }

    /// Who a plugin is to each policy.
    #[must_use]
    pub fn standings(&self, plugin: &PluginName, facts: &Facts) -> Vec<Standing<'_>> {
        let policies = self.0.iter().flat_map(|rules| &rules.policies);
        policies
            .map(|policy| {
                let seat = policy.seat(plugin, facts);
                Standing {
                    policy: &policy.name,
                    identity: seat.identity,
                    level: seat.level.map(|level| &*level.name),
                    reserved: policy.reserved_for(&seat, plugin).map(|source| &*source.id),
                }
            })
            .collect()
    }

    /// Counts updates that a plugin asks for by itself. What comes back says which limits they exceed; with
    /// [`Action::DropPlugin`] among it they do not count, and need not be judged.
    #[must_use]
    pub fn count_updates(
        &self,
        plugin: &PluginName,
        facts: &Facts,
        updates: usize,
        now: Instant,
    ) -> Vec<Refused> {
        let Some(rules) = &self.0 else { return Vec::new() };
        let updates = u64::try_from(updates).unwrap_or(u64::MAX);
        let exceeds = |(number, policy): (usize, &Policy)| {
            let limit = policy.limits.updates_per_second;
            if rules.rates.admits(plugin.full(), number, updates, limit, now) {
                return None;
            }
            let seat = policy.seat(plugin, facts);
            Some(Refused {
                plugin: plugin.full().to_owned(),
                identity: seat.identity.map(str::to_owned),
                level: seat.level.map(|level| level.name.to_string()),
                field: "*".to_owned(),
                key: String::new(),
                op: None,
                rule: format!("{}/limits/updatesPerSecond", policy.name),
                at: None,
                action: match policy.mode {
                    Mode::Enforce => Action::DropPlugin,
                    Mode::Warn => Action::Warn,
                    Mode::Audit => Action::Audit,
                },
                reason: format!("updatesPerSecond is {limit}, and the plugin asks for more"),
                counterexample: None,
            })
        };
        rules.policies.iter().enumerate().filter_map(exceeds).collect()
    }

    /// Judges one answer.
    pub fn judge<A: Answer>(&self, asked: &Asked<'_, A::Basis<'_>>, mut answer: A) -> Verdict<A> {
        let Some(rules) = &self.0 else {
            let mut changes = answer
                .changes(&asked.basis, |changes| changes.iter().map(Change::record).collect::<Vec<_>>());
            changes.extend(asked.unknown.iter().map(|path| unknown(path, Place::Adjustment).record()));
            let permitted = Some(Permitted { answer, changes, cuts: Vec::new() });
            return Verdict { permitted, refused: Vec::new(), judged: Vec::new() };
        };
        let mut decision = answer.changes(&asked.basis, |changes| {
            let inquiry = Inquiry {
                rules,
                plugin: asked.plugin,
                facts: asked.facts,
                scene: A::scene(&asked.basis),
                changes,
                unknown: asked.unknown,
                updates: answer.updates(),
                evictions: answer.evictions(),
                size: answer.size(),
            };
            inquiry.decide()
        });
        let refused = std::mem::take(&mut decision.refused);
        let judged = std::mem::take(&mut decision.judged);
        let permitted = match decision.action {
            Some(Action::Reject) => None,
            Some(Action::DropPlugin) => {
                Some(Permitted { answer: A::default(), changes: Vec::new(), cuts: Vec::new() })
            }
            _ => {
                let mut changes = std::mem::take(&mut decision.changes);
                apply::apply(&mut answer, &decision, &mut changes);
                Some(Permitted { answer, changes, cuts: decision.cuts.into_iter().collect() })
            }
        };
        Verdict { permitted, refused, judged }
    }
}

impl<A> Permitted<A> {
    /// The answer.
    pub const fn answer(&self) -> &A {
        &self.answer
    }

    /// The changes that the answer makes.
    #[must_use]
    pub fn changes(&self) -> &[Recorded] {
        &self.changes
    }

    /// What the device rule that comes with a device is cut to, by the device's path as the plugin wrote it.
    #[must_use]
    pub fn cuts(&self) -> &[(String, Access)] {
        &self.cuts
    }

    /// Takes the proof apart. For merging alone, which gives the result a proof of its own.
    #[must_use]
    pub fn into_parts(self) -> (A, Vec<Recorded>) {
        (self.answer, self.changes)
    }
}
