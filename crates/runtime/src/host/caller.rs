//! Whoever makes a request: how long it waits, and what it said that we do not know.

use nri_wire::scan::Unknown;
use tokio::time::Instant;

/// What every request brings along besides its pod and container. A deadline alone is enough for callers that write
/// their requests themselves.
///
/// ```
/// use std::time::Duration;
/// use nri_runtime::host::Caller;
/// use tokio::time::Instant;
///
/// let caller = Caller::from(Instant::now() + Duration::from_secs(2));
/// assert!(caller.unknown.is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct Caller {
    /// When the caller stops waiting. The result comes earlier, by the larger of 50 ms and a tenth.
    pub deadline: Instant,
    /// Fields of the caller's own request message that this version does not know, as scanning it reported them:
    /// they are passed on to the plugins (`design.md` 3, invariant 8), in the form of the message that each of them
    /// gets. An event may have come as StateChange or as a call of its own. What stands inside elements of lists cannot be
    /// passed on: it is logged, once for each place, and counted in [`Totals::unforwarded`](super::Totals).
    pub unknown: Unknown,
}

impl From<Instant> for Caller {
    fn from(deadline: Instant) -> Self {
        Self { deadline, unknown: Unknown::default() }
    }
}
