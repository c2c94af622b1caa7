//! The lock end to end: what an administrator's policy lets plugins change, as recorded requests, with real processes, and in
//! real containers.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a test a panic is how a failure is reported"
)]

mod containers;
mod end_result;
mod kit;
mod processes;
mod tables;
