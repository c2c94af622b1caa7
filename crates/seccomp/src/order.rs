//! When an answer of a new policy, in place of an old one's, loosens (`spec/seccomp.md` 2.1).

use crate::settings::{Delegation, Errno, FakeSuccess, Kill, Log, Settings};
use crate::term::{Effect, Flag};

/// The order of answers under an administrator's settings, for two policies whose agents are the same or not.
///
/// It is no total order, and `loosens` is not the complement of "tighter": from ALLOW to NOTIFY loosens, since somebody
/// else decides then, and from NOTIFY to ALLOW does too.
///
/// ```
/// use nri_seccomp::order::Order;
/// use nri_seccomp::settings::Settings;
/// use nri_seccomp::term::Effect;
///
/// let order = Order::new(&Settings::default(), true);
/// assert!(order.loosens(Effect::Errno(1), Effect::Allow));
/// assert!(!order.loosens(Effect::Allow, Effect::Log));
/// assert!(!order.loosens(Effect::Errno(1), Effect::Errno(38)));
/// assert!(order.loosens(Effect::Errno(1), Effect::Errno(0))); // a call that seems to have been made
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    settings: Settings,
    same_agent: bool,
}

impl Order {
    /// The order under these settings. `same_agent` says whether both policies have the same `listenerPath` and
    /// `listenerMetadata` (absent and empty are the same).
    #[must_use]
    pub const fn new(settings: &Settings, same_agent: bool) -> Self {
        Self { settings: *settings, same_agent }
    }

    /// Whether the answer `new` where it was `old` loosens.
    #[must_use]
    pub fn loosens(&self, old: Effect, new: Effect) -> bool {
        use Effect::{Allow, Errno as Error, Log as Logged, Notify, Trace};
        match (old, new) {
            (Error(0), Error(0)) => false,
            (_, Error(0)) if self.settings.fake_success == FakeSuccess::Deny => true,
            (Error(old), Error(new)) | (Trace(old), Trace(new)) => {
                self.settings.errno == Errno::Exact && old != new
            }
            (Notify, Notify) => !self.same_agent,
            (Allow | Logged | Trace(_), Notify) | (Allow | Logged, Trace(_))
                if self.settings.delegation == Delegation::Deny =>
            {
                true
            }
            (Logged, Allow) => self.settings.log == Log::Strict,
            _ => self.rank(old) < self.rank(new),
        }
    }

    /// Whether a flag that was in force, or not, and now is, or not, loosens.
    #[must_use]
    pub fn flag_loosens(&self, flag: Flag, old: bool, new: bool) -> bool {
        match flag {
            Flag::SpecAllow => !old && new,
            Flag::Log => old && !new && self.settings.log == Log::Strict,
            Flag::Tsync | Flag::WaitKillableRecv => false,
        }
    }

    /// The kernel's precedence among the answers of several filters, the most restrictive first.
    fn rank(&self, effect: Effect) -> u8 {
        let rank = match effect {
            Effect::KillProcess => 0,
            Effect::KillThread => 1,
            Effect::Trap => 2,
            Effect::Errno(_) => 3,
            Effect::Notify => 4,
            Effect::Trace(_) => 5,
            Effect::Log => 6,
            Effect::Allow => 7,
        };
        // Merged, all refusals are one. That ERRNO(0) is among them does no harm: where pretended success is no refusal,
        // `loosens` has dealt with every way into it, and every way out of it to a refusal tightens.
        if self.settings.kill == Kill::Merged && rank <= 3 { 3 } else { rank }
    }
}

#[cfg(test)]
mod tests;
