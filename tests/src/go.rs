//! The Go peers (`tests/go`): built from source once for each state of it, with the reference as an ordinary dependency.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

/// The program of `tests/go`, or why it could not be built.
///
/// # Errors
/// A text for [`crate::skipped`] where Go is absent.
///
/// # Panics
/// Where Go is there and the module does not build: that is a failure, not a reason to skip.
pub fn peers() -> Result<&'static Path, &'static str> {
    static BUILT: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| build("go", "go-peers"));
    BUILT.as_deref().map_err(String::as_str)
}

/// The CRI client of `tests/go-cri`, as [`peers`].
///
/// # Errors
/// As [`peers`].
///
/// # Panics
/// As [`peers`].
pub fn cri() -> Result<&'static Path, &'static str> {
    static BUILT: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| build("go-cri", "go-cri"));
    BUILT.as_deref().map_err(String::as_str)
}

fn build(module: &str, name: &str) -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(module);
    let folder = crate::cache().join("peers");
    let digest = digest(&source).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
    // Named by what it is built from: another checkout with the same cache has another program.
    let program = folder.join(format!("{name}-{digest}"));
    if program.is_file() {
        return Ok(program);
    }
    // Test processes build at the same time: each under a name of its own, then one rename.
    let own = folder.join(format!("{name}.{}", std::process::id()));
    let output = std::fs::create_dir_all(&folder).and_then(|()| {
        Command::new("go").args(["build", "-trimpath", "-o"]).arg(&own).arg(".").current_dir(&source).output()
    });
    match output {
        Err(error) => Err(format!("go does not start ({error}); install Go 1.26")),
        Ok(output) if !output.status.success() => {
            panic!("{} does not build:\n{}", source.display(), String::from_utf8_lossy(&output.stderr))
        }
        Ok(_) => match std::fs::rename(&own, &program) {
            Ok(()) => Ok(program),
            Err(error) => panic!("failed to move {}: {error}", own.display()),
        },
    }
}

/// Of the files of a module's main package, which are all that go into its program beside the modules that `go.sum` pins.
fn digest(module: &Path) -> std::io::Result<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(module)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| ["go", "mod", "sum"].iter().any(|known| extension == *known))
        {
            files.push(path);
        }
    }
    files.sort();
    let mut digest = Sha256::new();
    for path in files {
        digest.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        digest.update(std::fs::read(&path)?);
    }
    Ok(digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}
