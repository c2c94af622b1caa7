//! Our own programs, built once per test process: `nri`, and the examples of `nri-plugin`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

/// The `nri` binary.
///
/// # Panics
/// Where it does not build.
#[must_use]
pub fn nri() -> PathBuf {
    static BUILT: LazyLock<()> = LazyLock::new(|| cargo(&["build", "--quiet", "--package", "nri"]));
    LazyLock::force(&BUILT);
    profile().join("nri")
}

/// An example plugin of the SDK.
///
/// # Panics
/// Where the examples do not build.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    static BUILT: LazyLock<()> =
        LazyLock::new(|| cargo(&["build", "--quiet", "--package", "nri-plugin", "--examples"]));
    LazyLock::force(&BUILT);
    profile().join("examples").join(name)
}

/// Our plugin that follows a script (`src/bin/scripted_plugin`): cargo builds it with the tests of this package.
#[must_use]
pub fn scripted_plugin() -> PathBuf {
    bin("scripted_plugin")
}

/// A program of this package.
#[must_use]
pub fn bin(name: &str) -> PathBuf {
    profile().join(name)
}

/// The folder of the profile that the caller itself was built with: a test runs from `PROFILE/deps`, a program from
/// `PROFILE`.
fn profile() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_else(|error| panic!("no path of the test itself: {error}"));
    let folder = own.parent().unwrap_or(&own);
    let is_test = folder.file_name().is_some_and(|name| name == "deps");
    let profile = if is_test { folder.parent().unwrap_or(folder) } else { folder };
    profile.to_owned()
}

fn cargo(args: &[&str]) {
    let target = profile().parent().map_or_else(PathBuf::new, PathBuf::from);
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(args)
        .env("CARGO_TARGET_DIR", target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    match status {
        Ok(status) if status.success() => {}
        other => panic!("cargo {} failed: {other:?}", args.join(" ")),
    }
}
