//! Limits by the second.

use std::time::{Duration, Instant};

use crate::judge::rate::{PLUGINS, Rates};

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
        assert_eq!(rates.admits(plugin, policy, updates, 5, now), expect, "{plugin} {policy} at {millis}");
    }
    for number in 0..2 * PLUGINS {
        rates.admits(&number.to_string(), 0, 1, 5, start);
    }
    assert!(rates.0.lock().unwrap().len() <= PLUGINS);
}
