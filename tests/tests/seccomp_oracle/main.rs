//! `nri-seccomp` against others: libseccomp's programs, z3, and what runc and crun really install.
//!
//! How much is tried is `NRI_ORACLE_FACTOR` times what CI tries; `cargo xtask nightly` sets it. `NRI_ORACLE_SEED` gives
//! other random policies.

#![expect(clippy::panic, clippy::indexing_slicing, reason = "in a test a panic is how a failure is reported")]

mod containers;
mod kit;
mod merged;
mod model;
mod oracles;
mod properties;
mod reader;
mod verdicts;
