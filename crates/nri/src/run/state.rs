//! `/run/nri/run/ID`: what a run needs on disk, with a lock that the live process holds.
//!
//! A run that was killed leaves its directory with nobody holding the lock; the next run, or `nri run --clean`,
//! takes it away together with the container, its cgroup, its mounts and its sockets.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::rootfs::mount_points;
use crate::failure::Failure;

/// Where runs keep their state.
pub(crate) const BASE: &str = "/run/nri/run";

/// Socket paths below the directory must fit into 108 bytes.
const ID_BYTES: usize = 48;

/// The file that says that somebody is removing what a killed run left, and how long its id is waited for.
const LEAVING: &str = "leaving";
const REMOVAL: Duration = Duration::from_secs(10);

/// How often, and after what pause, something is removed again that a process still holds which is going away.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// The state of this run. Dropping it releases the lock; [`State::remove`] takes everything away.
pub(crate) struct State {
    pub(crate) id: String,
    pub(crate) dir: PathBuf,
    record: Record,
    _lock: File,
}

/// What a later run must know to clean up.
#[derive(Default, Serialize, Deserialize)]
struct Record {
    /// The OCI runtime; absent until one was going to be started.
    runtime: Option<PathBuf>,
    /// The container's cgroup in the form of `linux.cgroupsPath`.
    cgroup: Option<String>,
    /// The cgroup hierarchies that the run saw; whoever does not see them all cannot clean up after it.
    #[serde(default)]
    hierarchies: Vec<PathBuf>,
    /// Sockets outside the directory.
    sockets: Vec<PathBuf>,
    /// Kept on request: only `--clean` takes it away.
    keep: bool,
}

impl State {
    /// Takes an id and its directory.
    ///
    /// # Errors
    /// The id is malformed or in use, or the directory cannot be made.
    pub(crate) fn create(id: Option<&str>) -> Result<Self, Failure> {
        let id = match id {
            Some(id) => check_id(id)?.to_owned(),
            None => {
                format!("{:012x}", std::hash::RandomState::new().build_hasher().finish() & 0xffff_ffff_ffff)
            }
        };
        let dir = Path::new(BASE).join(&id);
        let end = Instant::now() + REMOVAL;
        while dir.join(LEAVING).exists() && Instant::now() < end {
            std::thread::sleep(PAUSE);
        }
        let _base = lock_base()?;
        match fs::DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(Failure::usage(format!(
                    "container id {id:?} is in use ({}); choose another --id, or run `nri run --clean` if it was kept",
                    dir.display()
                )));
            }
            Err(error) => return Err(cannot("create", &dir, &error)),
        }
        let lock =
            try_lock(&dir)?.ok_or_else(|| Failure::unavailable(format!("{} is locked", dir.display())))?;
        let state = Self { id, dir, record: Record::default(), _lock: lock };
        state.save()?;
        Ok(state)
    }

    /// Notes what the OCI runtime is going to make, before it does.
    ///
    /// # Errors
    /// The note cannot be written.
    pub(crate) fn expect_container(&mut self, runtime: &Path, cgroup: Option<&str>) -> Result<(), Failure> {
        self.record.runtime = Some(runtime.to_owned());
        self.record.cgroup = cgroup.map(str::to_owned);
        self.record.hierarchies = hierarchies();
        self.save()
    }

    /// Notes sockets outside the directory, before they are made.
    ///
    /// # Errors
    /// The note cannot be written.
    pub(crate) fn expect_sockets(&mut self, sockets: Vec<PathBuf>) -> Result<(), Failure> {
        self.record.sockets = sockets;
        self.save()
    }

    /// Has the runtime delete the container, if there is one.
    pub(crate) fn delete_container(&self) {
        if let Some(runtime) = &self.record.runtime {
            delete_container(runtime, &self.dir, &self.id);
        }
    }

    /// Keeps the directory from being removed by anything but `--clean`.
    ///
    /// # Errors
    /// The note cannot be written.
    pub(crate) fn keep(&mut self) -> Result<(), Failure> {
        self.record.keep = true;
        self.save()
    }

    /// Takes away whatever there is of this run.
    ///
    /// # Errors
    /// What could not be removed; the next run tries again.
    pub(crate) fn remove(self) -> Result<(), Failure> {
        remove(&self.id, &self.dir, &self.record)
    }

    fn save(&self) -> Result<(), Failure> {
        let file = self.dir.join("state.json");
        let text =
            serde_json::to_vec(&self.record).map_err(|error| Failure::unavailable(error.to_string()))?;
        fs::write(&file, text).map_err(|error| cannot("write", &file, &error))
    }
}

/// Removes what killed runs left; with `kept`, also what was kept on request. Returns the ids.
///
/// # Errors
/// The base directory cannot be read. What cannot be removed is logged and left for the next time.
pub(crate) fn sweep(kept: bool) -> Result<Vec<String>, Failure> {
    let mut dead = Vec::new();
    {
        let _base = lock_base()?;
        let entries = fs::read_dir(BASE).map_err(|error| cannot("read", Path::new(BASE), &error))?;
        for dir in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
            let record = record(&dir);
            let seen = hierarchies();
            if record.keep && !kept || !record.hierarchies.iter().all(|hierarchy| seen.contains(hierarchy)) {
                continue;
            }
            if let Some(lock) = try_lock(&dir)? {
                drop(File::create(dir.join(LEAVING)));
                dead.push((dir, record, lock));
            }
        }
    }
    let mut removed = Vec::new();
    for (dir, record, _lock) in dead {
        let id = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match remove(&id, &dir, &record) {
            Ok(()) => removed.push(id),
            Err(error) => tracing::warn!("cannot clean up after container {id}: {error}"),
        }
    }
    Ok(removed)
}

/// An unreadable record is that of a run which was killed before it had made anything.
fn record(dir: &Path) -> Record {
    fs::read(dir.join("state.json"))
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default()
}

fn remove(id: &str, dir: &Path, record: &Record) -> Result<(), Failure> {
    if let Some(runtime) = &record.runtime {
        delete_container(runtime, dir, id);
    }
    if let Some(cgroup) = &record.cgroup {
        remove_cgroup(cgroup);
    }
    for socket in &record.sockets {
        drop(fs::remove_file(socket));
    }
    for point in mount_points().iter().rev().filter(|point| point.starts_with(dir)) {
        // A directory with a mount in it must not be removed: it could be the host's.
        unmount(point, UnmountFlags::DETACH).map_err(|error| cannot("unmount", point, &error.into()))?;
    }
    remove_all(dir).map_err(|error| cannot("remove", dir, &error))
}

/// What a runtime that was killed has started may still write there for a moment.
fn remove_all(dir: &Path) -> std::io::Result<()> {
    let mut tries = 0;
    loop {
        tries += 1;
        match fs::remove_dir_all(dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty && tries < TRIES => {
                std::thread::sleep(PAUSE);
            }
            result => return result,
        }
    }
}

/// Forced deletion by the runtime itself, which knows hooks and namespaces. A container that it does not know is fine.
fn delete_container(runtime: &Path, dir: &Path, id: &str) {
    let root = dir.join("runtime");
    if !root.join(id).exists() {
        return;
    }
    let status = Command::new(runtime)
        .arg("--root")
        .arg(&root)
        .args(["delete", "--force", id])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    tracing::debug!("{} delete --force {id}: {status:?}", runtime.display());
}

/// Kills what is left in the container's cgroup and removes it from every hierarchy. The paths are ours alone: only
/// the form that the default spec uses is touched.
fn remove_cgroup(cgroup: &str) {
    let Some(name) =
        cgroup.strip_prefix('/').filter(|name| name.starts_with("nri-run-") && !name.contains('/'))
    else {
        return;
    };
    for dir in hierarchies().into_iter().map(|hierarchy| hierarchy.join(name)) {
        for _ in 0..TRIES {
            kill_all(&dir);
            match fs::remove_dir(&dir) {
                Err(error) if error.kind() == ErrorKind::ResourceBusy => std::thread::sleep(PAUSE),
                _ => break,
            }
        }
    }
}

/// Where cgroups are mounted: the one directory of version 2, or one for each controller of version 1.
fn hierarchies() -> Vec<PathBuf> {
    let base = PathBuf::from("/sys/fs/cgroup");
    if base.join("cgroup.procs").exists() {
        return vec![base];
    }
    let entries = fs::read_dir(&base).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(|dir| dir.join("cgroup.procs").exists()).collect();
    found.sort();
    found
}

fn kill_all(cgroup: &Path) {
    let pids = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    for pid in pids.lines().filter_map(|pid| pid.parse().ok()).filter_map(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Only one process at a time makes directories or looks for dead ones.
fn lock_base() -> Result<File, Failure> {
    let base = Path::new(BASE);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(base)
        .map_err(|error| cannot("create", base, &error))?;
    let path = base.join(".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| cannot("open", &path, &error))?;
    rustix::fs::flock(&file, FlockOperation::LockExclusive)
        .map_err(|error| cannot("lock", &path, &error.into()))?;
    Ok(file)
}

/// Takes a run's lock, unless a live process has it.
fn try_lock(dir: &Path) -> Result<Option<File>, Failure> {
    let path = dir.join("lock");
    let file = match OpenOptions::new().create(true).truncate(false).write(true).open(&path) {
        Ok(file) => file,
        // The owner has just removed its directory.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot("open", &path, &error)),
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(cannot("lock", &path, &error.into())),
    }
}

fn check_id(id: &str) -> Result<&str, Failure> {
    let good = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let first = id.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if first && id.len() <= ID_BYTES && id.chars().all(good) {
        return Ok(id);
    }
    Err(Failure::usage(format!(
        "invalid container id {id:?}: 1 to {ID_BYTES} of the characters A-Z a-z 0-9 _ . - are expected, the first a letter or digit"
    )))
}

fn cannot(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::unavailable(format!("cannot {verb} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        for id in ["c1", "A.b_c-9", &"x".repeat(ID_BYTES)] {
            assert!(check_id(id).is_ok(), "{id}");
        }
        for id in ["", ".", "..", "-a", "a/b", "a b", "ä", &"x".repeat(ID_BYTES + 1)] {
            assert!(check_id(id).is_err(), "{id}");
        }
    }
}
