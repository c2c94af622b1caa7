//! Policies that the seccomp commands read (`spec/seccomp.md` 7.1).

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use nri_seccomp::policy::{Invalid, Policy};
use nri_seccomp::profile::{self, Target, Unreadable};
use serde_json::Value;

use crate::failure::Failure;

/// A policy, none, or one that `spec/seccomp.md` 1.1 calls invalid: no bad input but something to answer about.
pub(crate) type Input = Result<Option<Policy>, Invalid>;

/// Whether this is the name of stdin.
pub(crate) fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

/// What messages call a file.
pub(crate) fn name(file: &Path) -> String {
    if is_stdin(file) { "stdin".to_owned() } else { file.display().to_string() }
}

/// Opens a file, or stdin for `-`.
pub(crate) fn open(file: &Path) -> Result<Box<dyn Read>, Failure> {
    if is_stdin(file) {
        return Ok(Box::new(io::stdin()));
    }
    let opened = File::open(file)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))?;
    Ok(Box::new(opened))
}

/// Reads a policy from a file of any form that [`profile::read`] knows.
///
/// # Errors
/// It cannot be read, or it is no policy by its form; the message names file and place.
pub(crate) fn read(file: &Path, target: &Target) -> Result<Input, Failure> {
    policy(profile::read(&bytes(file)?, target)).map_err(|unreadable| bad(file, &unreadable))
}

/// As [`read`], for those who have no use for an invalid policy.
///
/// # Errors
/// As there, or the policy means nothing; the message names file, place and member.
pub(crate) fn read_valid(file: &Path, target: &Target) -> Result<Option<Policy>, Failure> {
    profile::read(&bytes(file)?, target).map_err(|unreadable| bad(file, &unreadable))
}

fn bad(file: &Path, unreadable: &Unreadable) -> Failure {
    Failure::usage(format!("{}: {unreadable}", name(file)))
}

fn bytes(file: &Path) -> Result<Vec<u8>, Failure> {
    let name = name(file);
    let mut text = Vec::new();
    // One more than is taken is enough to say that it is too much.
    let most = u64::try_from(profile::BYTES).unwrap_or(u64::MAX).saturating_add(1);
    open(file)?
        .take(most)
        .read_to_end(&mut text)
        .map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))?;
    Ok(text)
}

/// The policy in a value of a larger document.
pub(crate) fn from_value(value: Value, target: &Target) -> Result<Input, Unreadable> {
    policy(profile::from_value(value, target))
}

/// What is a policy by its form and means nothing is no error of the input.
fn policy(read: Result<Option<Policy>, Unreadable>) -> Result<Input, Unreadable> {
    match read {
        Ok(policy) => Ok(Ok(policy)),
        Err(unreadable) => match unreadable.invalid() {
            Some(invalid) => Ok(Err(invalid.clone())),
            None => Err(unreadable),
        },
    }
}
