//! The test kit: what integration tests share, and the peers they run against.
//!
//! Nothing depends on this package. A test that needs something which is absent says so with [`skipped`] and
//! returns; `cargo xtask test` counts these lines, and CI, where everything is installed, fails on one.

#![expect(clippy::print_stdout, reason = "the line `skipped: …` is how a test reports that it could not run")]
#![expect(
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test kit a panic is how a failure is reported"
)]

pub mod bundle;
pub mod cri;
pub mod engine;
pub mod fake_engine;
pub mod fuzz;
pub mod gateway;
pub mod go;
pub mod image;
pub mod merge;
pub mod openmetrics;
pub mod oracle;
pub mod ours;
pub mod plugin;
pub mod process;
pub mod proto;
pub mod random;
pub mod seccomp;
pub mod wait;

use std::path::PathBuf;

/// Reports that a test could not run: what is absent, and how to install it.
pub fn skipped(what: &str) {
    println!("skipped: {what}");
}

/// The folder for what tests build or download, outside the repository: `$NRI_CACHE`, else `nri-rs` in the user's cache.
#[must_use]
pub fn cache() -> PathBuf {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    var("NRI_CACHE")
        .or_else(|| var("XDG_CACHE_HOME").map(|dir| dir.join("nri-rs")))
        .or_else(|| var("HOME").map(|dir| dir.join(".cache/nri-rs")))
        .unwrap_or_else(|| std::env::temp_dir().join("nri-rs"))
}

/// Whether the test runs as root, which containers need.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
