//! `cargo xtask tidy`: the rules of the repository that no lint knows. Each rule yields lines `path:line: what, and what to do`.

mod layers;
mod text;

use std::path::{Path, PathBuf};

use crate::{Failure, process};

/// Checks every rule on every file that git knows.
pub(crate) fn run() -> Result<(), Failure> {
    let files = tracked()?;
    let mut findings = layers::check()?;
    for path in &files {
        // A file that is deleted and not yet committed, or not text, has no lines to look at.
        if let Ok(content) = std::fs::read_to_string(crate::root().join(path)) {
            findings.extend(text::check(path, &content));
        }
    }
    if findings.is_empty() { Ok(()) } else { Err(format!("tidy:\n{}", findings.join("\n"))) }
}

fn tracked() -> Result<Vec<PathBuf>, Failure> {
    let mut command = process::program("git", &["ls-files", "--cached", "--others", "--exclude-standard"]);
    match process::capture(&mut command)? {
        (text, true) => Ok(text.lines().map(|line| Path::new(line).to_owned()).collect()),
        (text, false) => Err(format!("git ls-files: {text}")),
    }
}
