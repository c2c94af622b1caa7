//! What the service manager is told, if there is one that listens (`sd_notify(3)`).

use std::path::Path;

use sd_notify::NotifyState;
use tracing::warn;

/// It listens, and the engine is not there yet.
pub(crate) fn waiting(engine: &Path) {
    let status = format!("waiting for the engine at {}", engine.display());
    tell(&[NotifyState::Status(&status)]);
}

/// Everything is there.
pub(crate) fn ready(engine: &str) {
    let status = format!("relaying {engine}");
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// The settings are being read again.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => warn!("the time cannot be told to the service manager: {error}"),
    }
}

/// They are.
pub(crate) fn reloaded() {
    tell(&[NotifyState::Ready]);
}

/// The end in order begins.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Whom it is told to is in the environment; without that nobody wants to know.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!("the service manager cannot be told: {error}");
    }
}
