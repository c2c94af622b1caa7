//! Waiting for something that must happen, and saying what did not.

use std::time::{Duration, Instant};

/// Longest that a test waits for something that must happen: longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until something holds.
///
/// # Panics
/// Where that does not happen.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    until_some(|| holds().then_some(()), || format!("waited in vain until {what}"));
}

/// Waits until there is something, and gives it.
///
/// # Panics
/// Where that does not happen, with the text of `otherwise`.
pub fn until_some<T>(mut look: impl FnMut() -> Option<T>, otherwise: impl FnOnce() -> String) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{}", otherwise());
        std::thread::sleep(PAUSE);
    }
}

/// As [`until`], for a test whose own tasks, such as a fake engine's, must go on meanwhile.
///
/// # Panics
/// Where that does not happen.
pub async fn until_async(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
