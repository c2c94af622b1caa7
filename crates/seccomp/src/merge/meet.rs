//! The meet of two answers (`spec/seccomp.md` 7.2), and effects as leaves of diagrams.

use crate::order::Order;
use crate::term::Effect;

/// The least restrictive answer that is looser than neither; of two that are the same refusal, `a`.
pub(super) fn meet(order: &Order, a: Effect, b: Effect) -> Effect {
    if !order.loosens(b, a) {
        a
    } else if !order.loosens(a, b) {
        b
    } else {
        Effect::Errno(1)
    }
}

/// The effect as a number, for the leaves of diagrams.
pub(super) const fn code(effect: Effect) -> u32 {
    let (kind, number) = match effect {
        Effect::KillProcess => (0, 0),
        Effect::KillThread => (1, 0),
        Effect::Trap => (2, 0),
        Effect::Errno(number) => (3, number),
        Effect::Notify => (4, 0),
        Effect::Trace(number) => (5, number),
        Effect::Log => (6, 0),
        Effect::Allow => (7, 0),
    };
    kind << 16 | number as u32
}

/// The effect of a number that [`code`] made.
pub(super) const fn effect(code: u32) -> Effect {
    let [low, high, kind, _] = code.to_le_bytes();
    let number = u16::from_le_bytes([low, high]);
    match kind {
        0 => Effect::KillProcess,
        1 => Effect::KillThread,
        2 => Effect::Trap,
        3 => Effect::Errno(number),
        4 => Effect::Notify,
        5 => Effect::Trace(number),
        6 => Effect::Log,
        _ => Effect::Allow,
    }
}

/// How much of an answer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grade {
    /// All of it.
    Exact,
    /// The order of `spec/seccomp.md` 2.1: numbers of refusals and of tracers are all the same, but for `ERRNO(0)`.
    Order,
}

impl Grade {
    /// What counts of an effect.
    pub(super) const fn of(self, effect: Effect) -> Effect {
        match (self, effect) {
            (Self::Order, Effect::Errno(1..)) => Effect::Errno(1),
            (Self::Order, Effect::Trace(_)) => Effect::Trace(1),
            _ => effect,
        }
    }

    /// The same for codes.
    pub(super) const fn code(self, coded: u32) -> u32 {
        code(self.of(effect(coded)))
    }
}

/// An effect that is the same refusal as this one and yet another rule. A rule equal to the default action would be
/// dropped (`spec/seccomp.md` 1.1, step 2); this stands in front of others.
pub(super) const fn twin(effect: Effect) -> Option<Effect> {
    match effect {
        Effect::Errno(0) => None,
        Effect::Errno(1) => Some(Effect::Errno(13)),
        Effect::Errno(_) => Some(Effect::Errno(1)),
        Effect::Trace(number) => Some(Effect::Trace(number ^ 1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    const EFFECTS: [Effect; 13] = [
        Effect::KillProcess,
        Effect::KillThread,
        Effect::Trap,
        Effect::Errno(0),
        Effect::Errno(1),
        Effect::Errno(38),
        Effect::Errno(4094),
        Effect::Trace(0),
        Effect::Trace(1),
        Effect::Trace(u16::MAX),
        Effect::Log,
        Effect::Allow,
        Effect::Notify,
    ];

    #[test]
    fn codes_are_effects() {
        for one in EFFECTS {
            assert_eq!(effect(code(one)), one);
        }
    }

    /// `spec/seccomp.md` 7.2: at least as restrictive as both, and nothing looser is.
    #[test]
    fn it_is_the_greatest_lower_bound() {
        for same_agent in [true, false] {
            let order = Order::new(&Settings::default(), same_agent);
            for (a, b) in EFFECTS.iter().flat_map(|a| EFFECTS.map(|b| (*a, b))) {
                let met = meet(&order, a, b);
                // A refusal has no agent, and a NOTIFY that survives is the one of both.
                assert!(!order.loosens(a, met) && !order.loosens(b, met), "{a} {b} {met}");
                for other in EFFECTS.into_iter().filter(|other| same_agent || *other != Effect::Notify) {
                    let below = !order.loosens(a, other) && !order.loosens(b, other);
                    assert!(!below || !order.loosens(met, other), "{a} {b}: {other} is looser than {met}");
                }
                assert_eq!(Grade::Order.of(meet(&order, b, a)), Grade::Order.of(met), "{a} {b}");
            }
        }
    }

    #[test]
    fn examples() {
        use Effect::{Allow, Errno, KillProcess, Log, Notify, Trace, Trap};
        for (same_agent, a, b, expect) in [
            (true, Allow, Log, Log),
            (true, Errno(38), Errno(1), Errno(38)),
            (true, Errno(0), Errno(5), Errno(5)),
            (true, Errno(0), Allow, Errno(1)),
            (true, Errno(0), Errno(0), Errno(0)),
            (true, Errno(0), Trap, Trap),
            (true, Notify, Allow, Errno(1)),
            (true, Trace(3), Log, Errno(1)),
            (true, Trace(3), Notify, Errno(1)),
            (true, Trace(3), Trace(4), Trace(3)),
            (true, Notify, Notify, Notify),
            (false, Notify, Notify, Errno(1)),
            (true, Notify, KillProcess, KillProcess),
        ] {
            assert_eq!(meet(&Order::new(&Settings::default(), same_agent), a, b), expect, "{a} {b}");
        }
    }

    #[test]
    fn twins_are_the_same_refusal() {
        for one in EFFECTS {
            if let Some(other) = twin(one) {
                assert_ne!(one, other);
                assert_eq!(Grade::Order.of(one), Grade::Order.of(other));
            }
        }
    }
}
