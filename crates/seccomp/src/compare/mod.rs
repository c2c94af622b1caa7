//! Is a new policy at least as restrictive as the one that it replaces (`spec/seccomp.md` 2 and 3)?
//!
//! [`compare`] goes over every ABI of the host, every syscall that a side names and one that neither names, and all values
//! of the arguments. A "no" comes with a call or flag that proves it, which both policies were asked about. What cannot be
//! told (hazards of libseccomp, too much work) is a "no" of its own kind. Nothing that is not proved is a "yes".
//!
//! | module | what it does |
//! | --- | --- |
//! | `direction` | one way: does the new policy loosen the old one anywhere? |
//! | [`changes`] | everything that differs, for people |
//! | `group` | the same for what two policies say about one syscall on one ABI |
//! | `result` | what is found |
//! | `text` | what people are told |
//! | `warning` | what may happen to the runtime, whatever the verdict |

pub mod changes;
mod direction;
mod group;
mod result;
mod text;
mod warning;

use std::collections::BTreeSet;

use crate::digest::Digest;
use crate::model::{Model, Reading};
use crate::order::Order;
use crate::policy::{Invalid, Policy};
use crate::settings::{Host, Settings};

use self::direction::{Outcome, decide};

pub use self::result::{Call, Comparison, Counterexample, Relation, Side};
pub use self::warning::{Warning, warnings};

/// Compares two policies, or the absence of one, on a host and under settings.
///
/// ```
/// use nri_seccomp::compare::{Counterexample, Relation, compare};
/// use nri_seccomp::policy::{Entry, Policy};
/// use nri_seccomp::settings::{Host, Settings};
/// use nri_seccomp::term::{Action, Effect};
///
/// let mut old = Policy::new(Action::Errno);
/// old.syscalls.push(Entry::new(["read", "mkdir"], Action::Allow));
/// let mut new = old.clone();
/// new.syscalls[0].names.pop();
///
/// let (host, settings) = (Host::x86_64(), Settings::default());
/// let tighter = compare(Some(&old), Some(&new), &host, &settings);
/// assert_eq!(tighter.relation, Relation::Tighter);
/// assert!(tighter.contained.is_some_and(|proof| proof.binds(Some(&old), Some(&new))));
///
/// let looser = compare(Some(&new), Some(&old), &host, &settings);
/// assert_eq!(looser.relation, Relation::Looser);
/// let Some(Counterexample::Call(call)) = looser.counterexample else { panic!("a call is expected") };
/// assert_eq!((call.syscall.as_deref(), call.nr, call.new), (Some("mkdir"), Some(83), Effect::Allow));
/// ```
#[must_use]
pub fn compare(old: Option<&Policy>, new: Option<&Policy>, host: &Host, settings: &Settings) -> Comparison {
    let readings = match readings(old, new, host, settings) {
        Ok(readings) => readings,
        Err((side, invalid)) => return Comparison::invalid(side, &invalid),
    };
    let decide = |old: &Model<'_>, new: &Model<'_>| {
        decide(old, new, host, Order::new(settings, old.listener() == new.listener()))
    };
    let forward = readings.iter().map(|(old, new)| decide(old, new));
    let backward = || readings.iter().all(|(old, new)| matches!(decide(new, old), Outcome::Contained));
    match worst(forward) {
        Outcome::Contained => {
            let relation = if backward() { Relation::Equal } else { Relation::Tighter };
            let proof = Contained { old: Digest::of(old), new: Digest::of(new), settings: *settings };
            Comparison { relation, counterexample: None, reason: None, contained: Some(proof) }
        }
        Outcome::Loosens(counterexample) => {
            let relation = if backward() { Relation::Looser } else { Relation::Incomparable };
            Comparison {
                relation,
                reason: Some(text::counterexample(&counterexample)),
                counterexample: Some(counterexample),
                contained: None,
            }
        }
        Outcome::Undecidable(why) => Comparison::refused(Relation::Undecidable, why),
    }
}

/// The models of both sides: read in full, and with the first six conditions of each rule only where that may differ
/// (`spec/seccomp.md` 1.1, step 5). Each time both sides are read the same way.
fn readings<'p>(
    old: Option<&'p Policy>,
    new: Option<&'p Policy>,
    host: &Host,
    settings: &Settings,
) -> Result<Vec<(Model<'p>, Model<'p>)>, (Side, Invalid)> {
    let readings: BTreeSet<Reading> =
        [old, new].into_iter().flatten().flat_map(Reading::of).copied().collect();
    let readings = if readings.is_empty() { [Reading::All].into() } else { readings };
    let model = |side, policy, reading| {
        Model::new(policy, host, settings, reading).map_err(|invalid| (side, invalid))
    };
    readings
        .into_iter()
        .map(|reading| Ok((model(Side::Old, old, reading)?, model(Side::New, new, reading)?)))
        .collect()
}

/// What all readings come to: contained only if each says so, and a counterexample of one suffices.
fn worst(outcomes: impl Iterator<Item = Outcome>) -> Outcome {
    let mut worst = Outcome::Contained;
    for outcome in outcomes {
        match (&worst, &outcome) {
            (_, Outcome::Loosens(_)) => return outcome,
            (Outcome::Contained, Outcome::Undecidable(_)) => worst = outcome,
            _ => {}
        }
    }
    worst
}

/// The proof that one policy is at least as restrictive as another. Only [`compare`] makes it.
///
/// ```compile_fail,E0451
/// fn forged(old: nri_seccomp::digest::Digest) -> nri_seccomp::compare::Contained {
///     nri_seccomp::compare::Contained { old, new: old, settings: Default::default() }
/// }
/// ```
///
/// Nor does it come out of nothing:
///
/// ```compile_fail,E0277
/// fn forged() -> nri_seccomp::compare::Contained {
///     Default::default()
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contained {
    old: Digest,
    new: Digest,
    settings: Settings,
}

impl Contained {
    /// Whether it is about these two policies.
    #[must_use]
    pub fn binds(&self, old: Option<&Policy>, new: Option<&Policy>) -> bool {
        self.old == Digest::of(old) && self.new == Digest::of(new)
    }

    /// The digest of the policy that contains the other.
    #[must_use]
    pub const fn outer(&self) -> Digest {
        self.old
    }

    /// The digest of the policy that is contained.
    #[must_use]
    pub const fn inner(&self) -> Digest {
        self.new
    }

    /// The settings under which it holds.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }
}

#[cfg(test)]
mod tests;
