//! The gateway between an engine and plugins that both do what the test says: what goes through it, and what it does
//! when one of them does not behave.

#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is the report of the failure")]

mod engine;
mod hostile;
mod kit;
mod plugins;
mod strange_engine;
mod updates;
mod wear;
