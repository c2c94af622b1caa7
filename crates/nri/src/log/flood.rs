//! What others can make us log has an end: whoever may connect could fill the disk else. Each place in the code that logs
//! has an allowance of its own, so that a flood of one kind leaves the other lines alone.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// What allowances are counted over.
const PERIOD: Duration = Duration::from_secs(10);
/// Most that one place logs in a period, in units of a line of [`UNIT`] bytes.
const ALLOWANCE: usize = 100;
/// A longer line counts for several.
const UNIT: usize = 256;

/// Lets through what the allowances permit, where others depend on us. What is debugging is wanted whole, and what launched plugins print has a limit
/// of its own.
#[derive(Debug, Default)]
pub(super) struct Flood {
    places: Mutex<BTreeMap<&'static str, Place>>,
}

/// A place in the code.
#[derive(Clone, Copy, Debug)]
struct Place {
    since: Instant,
    used: usize,
    left_out: u64,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It is logged; so many before it were not.
    Log(u64),
    /// The first that is left out.
    Full,
    LeftOut,
}

impl<S: Subscriber> Layer<S> for Flood {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        let exempt = [super::PRINTED, module_path!()].contains(&metadata.target());
        if exempt || *metadata.level() > Level::INFO || !super::SERVING.load(Ordering::Relaxed) {
            return true;
        }
        let mut length = Length::default();
        event.record(&mut length);
        let verdict = self.judge(metadata.name(), length.0, Instant::now());
        match verdict {
            Verdict::Log(0) | Verdict::LeftOut => {}
            Verdict::Log(left_out) => tracing::warn!("{left_out} lines like the next one were left out"),
            Verdict::Full => {
                tracing::warn!("too many lines like the last ones: the next are left out for a while");
            }
        }
        matches!(verdict, Verdict::Log(_))
    }
}

impl Flood {
    /// `place` is the file and line that tracing names an event after.
    fn judge(&self, place: &'static str, bytes: usize, now: Instant) -> Verdict {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.entry(place).or_insert(Place { since: now, used: 0, left_out: 0 });
        let mut left_out = 0;
        if now.saturating_duration_since(place.since) >= PERIOD {
            left_out = place.left_out;
            *place = Place { since: now, used: 0, left_out: 0 };
        }
        if place.used >= ALLOWANCE {
            place.left_out += 1;
            return if place.left_out == 1 { Verdict::Full } else { Verdict::LeftOut };
        }
        place.used += 1 + bytes / UNIT;
        Verdict::Log(left_out)
    }
}

/// Bytes of an event's message and fields, about.
#[derive(Default)]
struct Length(usize);

impl Visit for Length {
    fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
        // Counting cannot fail.
        let _ = write!(self, "{value:?}");
    }
}

impl fmt::Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the lines at these times (seconds) of these lengths come to.
    fn check(lines: &[(u64, usize, usize)], verdicts: &[(Verdict, usize)]) {
        let (flood, start) = (Flood::default(), Instant::now());
        let mut came: Vec<(Verdict, usize)> = Vec::new();
        for &(seconds, bytes, times) in lines {
            for _ in 0..times {
                let verdict = flood.judge("here", bytes, start + Duration::from_secs(seconds));
                match came.last_mut() {
                    Some((last, count)) if *last == verdict => *count += 1,
                    _ => came.push((verdict, 1)),
                }
            }
        }
        assert_eq!(came, verdicts);
    }

    #[test]
    fn a_flood_is_cut() {
        use Verdict::{Full, LeftOut, Log};
        check(&[(0, 10, 100)], &[(Log(0), 100)]);
        check(&[(0, 10, 150)], &[(Log(0), 100), (Full, 1), (LeftOut, 49)]);
        check(
            &[(0, 10, 150), (10, 10, 2)],
            &[(Log(0), 100), (Full, 1), (LeftOut, 49), (Log(50), 1), (Log(0), 1)],
        );
        check(&[(0, 16 << 10, 4)], &[(Log(0), 2), (Full, 1), (LeftOut, 1)]);
    }

    #[test]
    fn places_are_apart() {
        let (flood, now) = (Flood::default(), Instant::now());
        for _ in 0..=ALLOWANCE {
            flood.judge("here", 0, now);
        }
        assert_eq!(flood.judge("here", 0, now), Verdict::LeftOut);
        assert_eq!(flood.judge("there", 0, now), Verdict::Log(0));
    }
}
