//! The gateway before real engines: containerd 2.3 and 2.2 (`cargo xtask test` builds them), real pods and containers, a
//! Go plugin and ours. What a plugin and a client of CRI can see must be the same with the gateway between and without.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed unwrap is the failure report"
)]

mod bad_plugins;
mod crash;
mod joining;
mod kit;
mod policy;
mod recorded;
mod refused;
mod required;
mod restart;
mod same;
mod updates;
