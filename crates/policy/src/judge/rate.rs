//! How many updates a plugin may ask for by itself in a second (`policy.md` 1, `limits`).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Plugins that are remembered. The one that has been quiet for longest is forgotten first.
const PLUGINS: usize = 1024;

/// What each plugin has asked for lately, by its name and the policy's number.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<BTreeMap<(String, usize), Second>>);

/// A second that began with an update.
#[derive(Clone, Copy, Debug)]
struct Second {
    began: Instant,
    updates: u64,
}

impl Rates {
    /// Counts updates of a plugin. False: with these it is over the limit, and they do not count.
    pub(super) fn admits(&self, plugin: &str, policy: usize, updates: u64, limit: u64, now: Instant) -> bool {
        let mut seconds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seconds.len() >= PLUGINS {
            let quietest = seconds.iter().min_by_key(|(_, second)| second.began).map(|(key, _)| key.clone());
            quietest.map(|key| seconds.remove(&key));
        }
        let second = seconds.entry((plugin.to_owned(), policy)).or_insert(Second { began: now, updates: 0 });
        if now.saturating_duration_since(second.began) >= Duration::from_secs(1) {
            *second = Second { began: now, updates: 0 };
        }
        let sum = second.updates.saturating_add(updates);
        if sum <= limit {
            second.updates = sum;
        }
        sum <= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_in_a_second() {
        let (rates, start) = (Rates::default(), Instant::now());
        for (plugin, policy, updates, millis, expect) in [
            ("a", 0, 3, 0, true),
            ("a", 0, 3, 10, false),
            ("a", 0, 2, 20, true),
            ("a", 0, 1, 999, false),
            ("b", 0, 5, 999, true),
            ("a", 1, 5, 999, true),
            ("a", 0, 5, 1000, true),
            ("a", 0, 6, 9000, false),
        ] {
            let now = start + Duration::from_millis(millis);
            assert_eq!(
                rates.admits(plugin, policy, updates, 5, now),
                expect,
                "{plugin} {policy} at {millis}"
            );
        }
        for number in 0..2 * PLUGINS {
            rates.admits(&number.to_string(), 0, 1, 5, start);
        }
        assert!(rates.0.lock().unwrap().len() <= PLUGINS);
    }
}
