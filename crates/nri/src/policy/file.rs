//! The files that `--policy FILE|DIR` names (`policy.md` 1, "Files").

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nri_policy::diagnostic::{Diagnostic, Severity};
use nri_policy::document::load::{self, Loaded, PolicySet};
use nri_policy::document::node::BYTES;
use nri_policy::host::{Host, Unknown};

use crate::failure::Failure;

/// Where policies lie by default.
pub(crate) const DIR: &str = "/etc/nri/policy.d";

/// Most files of a folder.
const FILES: usize = 1000;

/// Loads the policies of some paths; with none, those of [`DIR`].
///
/// # Errors
/// A path is absent, empty, or cannot be read.
pub(crate) fn load(paths: &[PathBuf]) -> Result<Loaded, Failure> {
    let mut files = Vec::new();
    if paths.is_empty() {
        files.extend(folder(Path::new(DIR), true)?.unwrap_or_default());
    }
    for path in paths {
        let found = match folder(path, false)? {
            Some(found) if found.is_empty() => {
                return Err(Failure::usage(format!(
                    "no policy in {}: no file ends with .yaml, .yml or .json",
                    path.display()
                )));
            }
            Some(found) => found,
            None => vec![read(path)?],
        };
        files.extend(found);
    }
    let loaded = load::load(files, &Folders);
    if !paths.is_empty()
        && loaded.policies.is_empty()
        && loaded.tests.is_empty()
        && loaded.diagnostics.is_empty()
    {
        let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(Failure::usage(format!("no policy in {}", names.join(", "))));
    }
    Ok(loaded)
}

/// Loads policies to enforce them.
///
/// # Errors
/// As [`load()`]; or a policy does not load: its diagnostics.
pub(crate) fn enforce(paths: &[PathBuf]) -> Result<PolicySet, Failure> {
    settle(load(paths)?, paths)
}

/// What is loaded from some paths, to enforce it.
///
/// # Errors
/// A policy does not load: its diagnostics.
pub(super) fn settle(loaded: Loaded, paths: &[PathBuf]) -> Result<PolicySet, Failure> {
    loaded.into_set().map_err(|loaded| {
        let first = errors(&loaded).next().map(|found| brief(&loaded, found));
        let more = match loaded.diagnostics.errors() {
            0 | 1 => String::new(),
            errors => format!("; and {} more errors", errors - 1),
        };
        let paths: String = paths.iter().map(|path| format!(" {}", path.display())).collect();
        Failure::usage(format!("{}{more}; see `nri policy check{paths}`", first.unwrap_or_default()))
    })
}

/// The errors in it, in their order.
pub(super) fn errors(loaded: &Loaded) -> impl Iterator<Item = &Diagnostic> {
    loaded.diagnostics.list().iter().filter(|found| found.code.severity() == Severity::Error)
}

/// One of them on a line: place, code and message.
pub(super) fn brief(loaded: &Loaded, found: &Diagnostic) -> String {
    let file = loaded.sources.name(found.span.file);
    format!("{file}:{}: {}: {}", found.span.start, found.code, found.message)
}

/// What shows that the policies of some paths are still the same: of each file its path, device, inode, length and times.
pub(crate) type Fingerprint = Vec<(PathBuf, Option<[i64; 5]>)>;

/// As they are now. What cannot be looked at is so as well.
pub(crate) fn fingerprint(paths: &[PathBuf]) -> Fingerprint {
    let mut files: Vec<PathBuf> = paths.to_vec();
    for path in paths {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        files.extend(entries.map(|entry| entry.path()).take(FILES));
    }
    files.sort();
    let seen = |path: &PathBuf| {
        let data = fs::metadata(path).ok()?;
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let changed = data.ctime().wrapping_mul(1_000_000_000).wrapping_add(data.ctime_nsec());
        Some([signed(data.dev()), signed(data.ino()), signed(data.len()), changed, i64::from(data.mode())])
    };
    files.into_iter().map(|path| (path.clone(), seen(&path))).collect()
}

/// The policies in a folder, by name; `None` if it is none.
fn folder(path: &Path, may_be_absent: bool) -> Result<Option<Vec<load::File>>, Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("cannot read {}: {error}", path.display()));
    match fs::metadata(path) {
        Ok(data) if data.is_dir() => {}
        Ok(_) => return Ok(None),
        Err(error) if may_be_absent && error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let text = name.to_string_lossy();
        let ours = [".yaml", ".yml", ".json"].iter().any(|ending| text.ends_with(ending));
        if ours && !text.starts_with('.') {
            names.push(name);
        }
    }
    if names.len() > FILES {
        return Err(Failure::usage(format!(
            "{} has {} policies, more than {FILES}",
            path.display(),
            names.len()
        )));
    }
    names.sort();
    names.iter().map(|name| read(&path.join(name))).collect::<Result<_, _>>().map(Some)
}

/// One file, with what speaks against trusting it. What is checked is what is read: both go over one descriptor.
fn read(path: &Path) -> Result<load::File, Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("cannot read {}: {error}", path.display()));
    // A fifo without a writer must not keep us.
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(nonblocking).open(path).map_err(failed)?;
    let data = file.metadata().map_err(failed)?;
    if !data.is_file() {
        return Err(Failure::usage(format!("cannot read {}: not a regular file", path.display())));
    }
    let mut content = Vec::new();
    let most = u64::try_from(BYTES).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut content).map_err(failed)?;
    Ok(load::File { name: path.display().to_string(), content, distrust: distrust(&data) })
}

/// Why a file cannot be trusted (E010).
fn distrust(data: &fs::Metadata) -> Option<String> {
    const WRITABLE_BY_OTHERS: u32 = 0o022;
    let user = rustix::process::geteuid().as_raw();
    if data.uid() != 0 && data.uid() != user {
        return Some(format!("owned by user {}, who is neither root nor the user that loads it", data.uid()));
    }
    let mode = data.mode() & 0o7777;
    (mode & WRITABLE_BY_OTHERS != 0).then(|| format!("writable by others than its owner (mode {mode:04o})"))
}

/// The folders of this host.
#[derive(Debug)]
struct Folders;

impl Host for Folders {
    fn is_writable_by_others(&self, path: &str) -> Result<bool, Unknown> {
        let real = fs::canonicalize(path).map_err(|error| Unknown(format!("look up {path}: {error}")))?;
        for (depth, folder) in real.ancestors().enumerate() {
            let data = fs::metadata(folder).map_err(|error| Unknown(format!("look up {path}: {error}")))?;
            // What lies in a sticky folder cannot be replaced by others, but more can be put there.
            let sticky = data.mode() & 0o1000 != 0 && depth > 0;
            let group = data.mode() & 0o020 != 0 && data.gid() != 0;
            if data.uid() != 0 || (!sticky && (group || data.mode() & 0o002 != 0)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
