//! The reference's plugins under our host: what reaches them, what comes of their answers, and what becomes of those
//! that fail. The plugins are the Go peers (`tests/go/README.md`), each a process of its own.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed unwrap is the failure report"
)]

mod answers;
mod events;
mod failures;
mod joining;
mod kit;
mod sample;
