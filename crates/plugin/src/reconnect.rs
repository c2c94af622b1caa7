//! When a plugin connects again after its connection was lost (quirks F1 to F3).

use std::time::Duration;

use crate::limits::{RECONNECT_FIRST, RECONNECT_LONGEST};

/// Whether and how fast a plugin connects again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reconnect {
    /// Never: the run ends with the connection. The only choice for a connection that was handed over.
    Never,
    /// After a wait that doubles from `first` to `longest`.
    Backoff {
        /// The first wait.
        first: Duration,
        /// The longest wait. A connection that lasted this long starts the row anew.
        longest: Duration,
    },
}

impl Reconnect {
    /// After a wait that doubles from `first` to `longest`.
    #[must_use]
    pub const fn backoff(first: Duration, longest: Duration) -> Self {
        Self::Backoff { first, longest }
    }
}

impl Default for Reconnect {
    /// From 100 ms to 30 s.
    fn default() -> Self {
        Self::Backoff { first: RECONNECT_FIRST, longest: RECONNECT_LONGEST }
    }
}

/// The row of waits.
#[derive(Debug)]
pub(crate) struct Waits {
    policy: Reconnect,
    next: Duration,
}

impl Waits {
    pub(crate) fn new(policy: Reconnect) -> Self {
        let next = match policy {
            Reconnect::Never => Duration::ZERO,
            Reconnect::Backoff { first, .. } => first,
        };
        Self { policy, next }
    }

    /// How long to wait after a connection of this length; `None` is for ever.
    pub(crate) fn after(&mut self, lasted: Duration) -> Option<Duration> {
        let Reconnect::Backoff { first, longest } = self.policy else { return None };
        let wait = if lasted >= longest { first } else { self.next }.min(longest);
        self.next = wait.saturating_mul(2).min(longest);
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_start_anew() {
        let mut waits = Waits::new(Reconnect::default());
        let short = Duration::from_secs(1);
        let row: Vec<u128> = (0..11).map(|_| waits.after(short).unwrap().as_millis()).collect();
        assert_eq!(row, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]);
        assert_eq!(waits.after(Duration::from_secs(31)), Some(RECONNECT_FIRST));
        assert_eq!(waits.after(short), Some(RECONNECT_FIRST * 2));
        assert_eq!(Waits::new(Reconnect::Never).after(short), None);
    }
}
