//! The meet of two policies: a policy that answers each call as the stricter of both does (`spec/seccomp.md` 7.2).
//!
//! What each syscall is to answer on each ABI is worked out exactly, then rules are looked for that say so, and the policy
//! that they make is read by the model again. Only what has passed that is handed out: however rules were found, they
//! are right.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `diagram` | functions of arguments, with equality |
//! | `meet` | the meet of two answers |
//! | `answer`, `sought` | what is to be answered |
//! | `rule` | rules as a policy can say them |
//! | `cover`, `repair`, `phrase` | looking for the rules of one syscall |
//! | `draft` | the policy as a whole |
//!
//! ```
//! use nri_seccomp::merge::{Mode, merge};
//! use nri_seccomp::policy::{Entry, Policy};
//! use nri_seccomp::settings::Host;
//! use nri_seccomp::term::Action;
//!
//! let mut a = Policy::new(Action::Errno);
//! a.syscalls.push(Entry::new(["mkdir", "read"], Action::Allow));
//! let mut b = Policy::new(Action::Errno);
//! b.syscalls.push(Entry::new(["read", "write"], Action::Allow));
//!
//! let merged = merge(Some(&a), Some(&b), &Host::x86_64(), Mode::Exact)?.policy.unwrap();
//! assert_eq!(merged.syscalls.len(), 1);
//! assert_eq!(merged.syscalls[0].names, ["read"]);
//! # Ok::<(), nri_seccomp::merge::Failure>(())
//! ```

mod answer;
mod cover;
mod diagram;
mod draft;
mod meet;
mod phrase;
mod repair;
mod rule;
mod sought;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::model::hazard::{Hazard, Hazards};
use crate::model::{Model, Reading};
use crate::order::Order;
use crate::policy::{Invalid, Policy};
use crate::settings::{Host, Settings};
use crate::term::Arch;
use answer::Place;
use sought::Sides;

/// What to do where the meet cannot be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Fail.
    Exact,
    /// Say something stricter for the syscall.
    Approximate,
}

/// A merged policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// The policy; `None` when neither side has one.
    pub policy: Option<Policy>,
    /// Where it is stricter than needed; nowhere with [`Mode::Exact`].
    pub stricter: Vec<Unsayable>,
}

/// One of the two policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "the first policy",
            Self::B => "the second policy",
        })
    }
}

/// Why there is no merged policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Runtimes refuse one of the policies.
    Invalid {
        /// Which.
        side: Side,
        /// Where and why.
        invalid: Invalid,
    },
    /// What one of the policies answers is not known, and the meet depends on it.
    Open {
        /// Which.
        side: Side,
        /// On which ABI.
        arch: Arch,
        /// For which syscall.
        syscall: String,
        /// Why.
        hazards: Hazards,
    },
    /// The meet cannot be said.
    Unsayable(Unsayable),
}

/// Something that cannot be said as an OCI policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsayable {
    /// On which ABI.
    pub arch: Arch,
    /// For which syscall; `None` for those that nobody names.
    pub syscall: Option<String>,
    /// Why, as a clause that goes on after the name.
    pub why: String,
}

impl fmt::Display for Unsayable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let syscall = self.syscall.as_deref().unwrap_or("syscalls that no policy names");
        write!(f, "{}: {syscall}: {}", self.arch, self.why)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { side, invalid } => write!(f, "{side} is invalid: {invalid}"),
            Self::Open { side, arch, syscall, hazards } => {
                let shapes: Vec<&str> = hazards.iter().map(Hazard::as_str).collect();
                let shapes = shapes.join(" and ");
                write!(f, "{arch}: {syscall}: what {side} answers is not known, since its rules {shapes}")
            }
            Self::Unsayable(unsayable) => write!(f, "no policy says exactly what both allow: {unsayable}"),
        }
    }
}

impl std::error::Error for Failure {}

/// Why something is not looked into.
const TOO_MANY: &str = "its conditions are too many to be worked out";

/// A side whose answers a hazard hides.
#[derive(Clone, Copy)]
struct Open {
    side: Side,
    hazards: Hazards,
}

impl Failure {
    fn open(place: &Place, name: &str, open: Open) -> Self {
        let Open { side, hazards } = open;
        Self::Open { side, arch: place.arch, syscall: name.to_owned(), hazards }
    }

    fn too_complex(place: &Place, name: &str) -> Self {
        let syscall = Some(name.to_owned());
        Self::Unsayable(Unsayable { arch: place.arch, syscall, why: TOO_MANY.to_owned() })
    }
}

/// The policy that answers each call with the meet of what `a` and `b` answer, under the default settings and on the ABIs of
/// this host. Where both refuse and the numbers differ, the number is that of `a`, or where that cannot be said
/// another one.
///
/// # Errors
/// A policy is invalid or its meaning hidden by a hazard, or the meet cannot be said, which [`Mode::Approximate`] turns
/// into a stricter policy.
pub fn merge(a: Option<&Policy>, b: Option<&Policy>, host: &Host, mode: Mode) -> Result<Merged, Failure> {
    if a.is_none() && b.is_none() {
        return Ok(Merged { policy: None, stricter: Vec::new() });
    }
    let settings = Settings::default();
    let model = |policy, side| {
        Model::new(policy, host, &settings, Reading::All)
            .map_err(|invalid| Failure::Invalid { side, invalid })
    };
    let models = [model(a, Side::A)?, model(b, Side::B)?];
    let [model_a, model_b] = &models;
    let order = Order::new(&settings, model_a.listener() == model_b.listener());
    draft::draft(&Sides::new([a, b], models, order), host, mode)
}
