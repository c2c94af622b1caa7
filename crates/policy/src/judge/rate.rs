//! How many updates a plugin may ask for by itself in a second (`policy.md` 1, `limits`).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Plugins that are remembered. The one that has been quiet for longest is forgotten first.
pub(super) const PLUGINS: usize = 1024;

/// What each plugin has asked for lately, by its name and the policy's number.
#[derive(Debug, Default)]
pub(super) struct Rates(pub(super) Mutex<BTreeMap<(String, usize), Second>>);

/// A second that began with an update.
#[derive(Clone, Copy, Debug)]
pub(super) struct Second {
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
