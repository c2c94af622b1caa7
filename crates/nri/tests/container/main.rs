//! Real containers under runc and crun. Needs root and the runtimes; crun runs beside a hidden cgroup2 hierarchy.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a failed unwrap is the failure report; `skipped: …` says what could not run"
)]

mod lifecycle;
mod record;
mod support;
mod terminal;
