//! The judgement of a change of the seccomp policy (`policy.md` 5).

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use nri_seccomp::compare::{Call, Comparison, Contained, Counterexample, Side, compare};
use nri_seccomp::policy::Policy as Seccomp;
use nri_seccomp::profile::{self, Target};
use nri_seccomp::settings::{Host as Archs, Settings};
use nri_wire::api::{Container, LinuxSeccomp};
use nri_wire::field::Value;
use serde_json::{Value as Json, json};

use super::compiled::{Level, Policy};
use crate::change::json as shape;
use crate::document::word::{ClientOverride, UnconfinedMeans};
use crate::host::Host;
use crate::rule::seccomp::{Allowed, Base, Class, SeccompRule};

/// Comparisons that are kept. More are made anew.
const KEPT: usize = 64;
/// Larger policies are compared anew each time, so that what is kept has a bound.
const KEPT_RULES: usize = 4096;

/// Compares seccomp policies, and remembers what came of it.
#[derive(Debug)]
pub(super) struct Comparisons {
    archs: Archs,
    /// Policies that stand for the runtime's default, by file.
    assumed: BTreeMap<Box<str>, Result<Seccomp, String>>,
    made: Mutex<VecDeque<Arc<Made>>>,
}

#[derive(Debug)]
struct Made {
    old: Old,
    new: LinuxSeccomp,
    found: Comparison,
}

/// What a new policy is compared with.
#[derive(Clone, Debug, PartialEq)]
enum Old {
    None,
    Policy(LinuxSeccomp),
    /// The file that it is from, and the listener that was put into it.
    Assumed(Box<str>, Option<(String, String)>),
}

/// What is said about a new seccomp policy.
#[derive(Debug)]
pub(super) enum Said {
    Allowed,
    /// Against the rule.
    Violated(Why),
    /// Against the client's word.
    ByClient(Why),
}

/// Why a new seccomp policy is not allowed.
#[derive(Debug)]
pub(super) struct Why {
    pub(super) reason: String,
    pub(super) counterexample: Option<Json>,
}

impl Comparisons {
    /// Reads the files that policies name as `assumedBase`.
    pub(super) fn new(policies: &[Policy], host: &dyn Host) -> Self {
        let read = |path: &str| {
            let bytes = host.read(path).map_err(|unknown| unknown.0)?;
            let policy = profile::read(&bytes, &Target::this()).map_err(|error| error.to_string())?;
            policy.ok_or_else(|| "it holds no policy".to_owned())
        };
        let paths = policies.iter().filter_map(|policy| policy.assumed_base.as_ref());
        Self {
            archs: Archs::this(),
            assumed: paths.map(|path| (path.clone(), read(path))).collect(),
            made: Mutex::default(),
        }
    }

    /// Judges a new seccomp policy by a rule.
    pub(super) fn judge(
        &self,
        policy: &Policy,
        level: &Level,
        rule: &SeccompRule,
        pristine: &Container,
        new: &LinuxSeccomp,
    ) -> Said {
        let (class, base) = Class::of(pristine, policy.assumed_base.is_some());
        if !new.listener_path.is_empty() && !rule.permits_listener(&new.listener_path) {
            return Said::Violated(Why::plain(format!(
                "listenerPath {:?} is not among `listener.paths`",
                crate::rule::matching::shown(&new.listener_path)
            )));
        }
        let given = rule.allowed(class);
        let allowed = match by_client(policy, level, rule, class) {
            Some(limit) if given == Allowed::Any => limit,
            _ => given,
        };
        let why = match allowed {
            Allowed::Any => return Said::Allowed,
            Allowed::None => Why::plain(format!("seccomp of class {} is `none`", class.name())),
            Allowed::Listener => match base {
                Base::Policy(old) if differs_in_listener_only(old, new) => return Said::Allowed,
                _ => Why::plain(format!(
                    "more than the listener differs, and seccomp of class {} is `listener`",
                    class.name()
                )),
            },
            Allowed::Tighten => match self.contained(policy, rule.listener.is_some(), base, new) {
                Ok(proof) => return tightened(&proof),
                Err(why) => why,
            },
        };
        if allowed == given { Said::Violated(why) } else { Said::ByClient(why) }
    }

    /// The proof that the policy of an end result is at least as restrictive as the base, once the listener that the rule of
    /// its owner permits has been taken into it (`policy.md` 7, `no-seccomp-loosening`).
    pub(super) fn end(
        &self,
        policy: &Policy,
        owner: Option<(&Level, &SeccompRule)>,
        pristine: &Container,
        new: &LinuxSeccomp,
    ) -> Result<Contained, Why> {
        let (class, base) = Class::of(pristine, policy.assumed_base.is_some());
        let permits_listener = owner.is_some_and(|(level, rule)| {
            let given = rule.allowed(class);
            let allowed =
                by_client(policy, level, rule, class).filter(|_| given == Allowed::Any).unwrap_or(given);
            allowed != Allowed::None && rule.listener.is_some() && rule.permits_listener(&new.listener_path)
        });
        self.contained(policy, permits_listener, base, new)
    }

    /// The proof that a new policy is at least as restrictive as the base. `listener`: its listener has been permitted.
    fn contained(
        &self,
        policy: &Policy,
        listener: bool,
        base: Base<'_>,
        new: &LinuxSeccomp,
    ) -> Result<Contained, Why> {
        // A listener that was permitted is no loosening.
        let listener = (listener && !new.listener_path.is_empty())
            .then(|| (new.listener_path.clone(), new.listener_metadata.clone()));
        let old = match (base, &policy.assumed_base) {
            (Base::Unknown, _) | (Base::Assumed, None) => {
                return Err(Why::plain("the client's seccomp policy is not known here".to_owned()));
            }
            (Base::NoPolicy, _) => Old::None,
            (Base::Policy(old), _) => Old::Policy(match listener {
                Some((listener_path, listener_metadata)) => {
                    LinuxSeccomp { listener_path, listener_metadata, ..old.clone() }
                }
                None => old.clone(),
            }),
            (Base::Assumed, Some(path)) => Old::Assumed(path.clone(), listener),
        };
        self.comparison(old, new).and_then(|found| match (found.contained, &found.reason) {
            (Some(proof), _) => Ok(proof),
            (None, reason) => Err(Why {
                reason: format!(
                    "not at least as restrictive ({}): {}",
                    found.relation.as_str(),
                    reason.as_deref().unwrap_or_default()
                ),
                counterexample: found.counterexample.as_ref().map(counterexample),
            }),
        })
    }

    fn comparison(&self, old: Old, new: &LinuxSeccomp) -> Result<Comparison, Why> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = made.iter().position(|made| made.new == *new && made.old == old)
            && let Some(known) = made.remove(at)
        {
            let found = known.found.clone();
            made.push_front(known);
            return Ok(found);
        }
        drop(made);
        let found = self.compare(&old, new)?;
        let rules = |policy: &LinuxSeccomp| policy.syscalls.len();
        let size = rules(new) + if let Old::Policy(old) = &old { rules(old) } else { 0 };
        if size <= KEPT_RULES {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            made.push_front(Arc::new(Made { old, new: new.clone(), found: found.clone() }));
            made.truncate(KEPT);
        }
        Ok(found)
    }

    fn compare(&self, old: &Old, new: &LinuxSeccomp) -> Result<Comparison, Why> {
        let read = |side, policy: &LinuxSeccomp| {
            Seccomp::from_json(&shape(&Value::Seccomp(policy)))
                .map_err(|invalid| Box::new(Comparison::invalid(side, &invalid)))
        };
        let old = match old {
            Old::None => Ok(None),
            Old::Policy(old) => read(Side::Old, old).map(Some),
            Old::Assumed(path, listener) => match self.assumed.get(path) {
                Some(Ok(base)) => Ok(Some(with_listener(base, listener.as_ref()))),
                Some(Err(why)) => {
                    return Err(Why::plain(format!("assumedBase {path} cannot be used: {why}")));
                }
                None => return Err(Why::plain(format!("assumedBase {path} was not read"))),
            },
        };
        let new = read(Side::New, new);
        Ok(match (old, new) {
            (Ok(old), Ok(new)) => compare(old.as_ref(), Some(&new), &self.archs, &Settings::default()),
            (Err(invalid), _) | (_, Err(invalid)) => *invalid,
        })
    }
}

/// Only what is proved to be contained passes as a confinement.
const fn tightened(_: &Contained) -> Said {
    Said::Allowed
}

/// What `any` comes to because of what the client asked for itself.
fn by_client(policy: &Policy, level: &Level, rule: &SeccompRule, class: Class) -> Option<Allowed> {
    let explicit = match class {
        Class::Localhost => true,
        Class::Unconfined => policy.unconfined_means == UnconfinedMeans::Explicit,
        _ => false,
    };
    if !explicit || level.may_override_client || rule.overrides_client {
        return None;
    }
    match policy.client_override {
        ClientOverride::Security | ClientOverride::Honour => Some(Allowed::None),
        ClientOverride::HonourUnlessTighter => Some(Allowed::Tighten),
        ClientOverride::Ignore => None,
    }
}

fn differs_in_listener_only(old: &LinuxSeccomp, new: &LinuxSeccomp) -> bool {
    let LinuxSeccomp {
        default_action,
        default_errno,
        architectures,
        flags,
        listener_path: _,
        listener_metadata: _,
        syscalls,
    } = old;
    (default_action, default_errno, architectures, flags, syscalls)
        == (&new.default_action, &new.default_errno, &new.architectures, &new.flags, &new.syscalls)
}

fn with_listener(base: &Seccomp, listener: Option<&(String, String)>) -> Seccomp {
    let Some((path, metadata)) = listener else { return base.clone() };
    Seccomp {
        listener_path: Some(path.clone()),
        listener_metadata: (!metadata.is_empty()).then(|| metadata.clone()),
        ..base.clone()
    }
}

/// The form of `spec/seccomp.md` 7.1.
fn counterexample(found: &Counterexample) -> Json {
    match found {
        Counterexample::Call(Call { arch, syscall, nr, unnamed: _, args, old, new }) => json!({
            "arch": arch.as_str(), "syscall": syscall, "nr": nr, "args": args,
            "old": format!("SCMP_ACT_{old}"), "new": format!("SCMP_ACT_{new}"),
        }),
        Counterexample::Flag { flag, old, new } => json!({"flag": flag.as_str(), "old": old, "new": new}),
    }
}

impl Why {
    const fn plain(reason: String) -> Self {
        Self { reason, counterexample: None }
    }
}
