//! Digests of executables (`policy.md` 2). A file can be long, slow, or served by somebody who never answers: each is read
//! once, one at a time, on a thread of its own. A thread of the runtime's pool that does not come back would keep the
//! runtime from ending; here there are a few of them at most, and nobody waits for them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::{FsWord, Stat, fstat, fstatfs};
use sha2::Digest as _;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use tracing::debug;

use super::Sha256;
use crate::limits::{DIGEST_FILE_MAX, DIGEST_THREADS_MAX, DIGEST_TIMEOUT, DIGESTS_MAX};

/// statfs(2)
const FUSE_SUPER_MAGIC: FsWord = 0x6573_5546;

/// Gives the digests of files, and remembers them. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Hasher {
    known: Arc<Mutex<BTreeMap<Version, Sha256>>>,
    /// One reads at a time.
    turn: Arc<Semaphore>,
    /// Threads that read, or have been given up.
    threads: Arc<Semaphore>,
    pub(super) patience: Duration,
}

/// One state of one file, as far as the system shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Default for Hasher {
    fn default() -> Self {
        Self {
            known: Arc::default(),
            turn: Arc::new(Semaphore::new(1)),
            threads: Arc::new(Semaphore::new(DIGEST_THREADS_MAX)),
            patience: DIGEST_TIMEOUT,
        }
    }
}

impl Hasher {
    /// The digest of a file that is open for its path only. None: it has none that would mean anything, or it took too long.
    pub(crate) async fn digest(&self, image: OwnedFd) -> Option<Sha256> {
        let _turn = self.turn.acquire().await.ok()?;
        let thread = Arc::clone(&self.threads).try_acquire_owned().ok()?;
        let this = self.clone();
        let (sender, digest) = oneshot::channel();
        let reading = std::thread::Builder::new().name("digest".to_owned()).spawn(move || {
            let digest = this.reopened(&image, &|| sender.is_closed());
            drop(sender.send(digest));
            drop(thread);
        });
        let why = match (reading, timeout(self.patience, digest).await) {
            (Err(error), _) | (_, Ok(Ok(Err(error)))) => error.to_string(),
            (_, Ok(Err(_)) | Err(_)) => "reading it takes too long".to_owned(),
            (_, Ok(Ok(Ok(digest)))) => return Some(digest),
        };
        debug!("no digest of an executable: {why}");
        None
    }

    fn reopened(&self, image: &OwnedFd, is_over: &dyn Fn() -> bool) -> io::Result<Sha256> {
        // Whoever serves such a file may show another content to us than to the kernel that executes it.
        if fstatfs(image)?.f_type == FUSE_SUPER_MAGIC {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "its file system is a process"));
        }
        self.read(&mut File::open(format!("/proc/self/fd/{}", image.as_raw_fd()))?, is_over)
    }

    /// The digest of an open file that nothing has been read of. Blocks, until it is over for whoever asked.
    pub(crate) fn read(&self, file: &mut File, is_over: &dyn Fn() -> bool) -> io::Result<Sha256> {
        let version = Version::of(&fstat(&*file)?);
        if let Some(digest) = self.lock().get(&version) {
            return Ok(*digest);
        }
        if version.size > DIGEST_FILE_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too long to be read"));
        }
        let digest = content(file, is_over)?;
        if Version::of(&fstat(&*file)?) != version {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "it changes while it is read"));
        }
        if version.is_settled(SystemTime::now()) {
            let mut known = self.lock();
            if known.len() >= DIGESTS_MAX {
                known.pop_first();
            }
            known.insert(version, digest);
        }
        Ok(digest)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Version, Sha256>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.lock().len()
    }
}

impl Version {
    fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            modified: (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or_default()),
            changed: (stat.st_ctime, i64::try_from(stat.st_ctime_nsec).unwrap_or_default()),
        }
    }

    /// Whether another change would show: times of files have a grain, two changes in one look like one.
    fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        u64::try_from(self.changed.0).is_ok_and(|changed| changed.saturating_add(2) <= now)
    }
}

fn content(file: &mut File, is_over: &dyn Fn() -> bool) -> io::Result<Sha256> {
    let mut hash = sha2::Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    while !is_over() {
        match file.read(&mut buffer)? {
            0 => return Ok(Sha256(hash.finalize().into())),
            count => hash.update(buffer.get(..count).unwrap_or_default()),
        }
    }
    Err(io::ErrorKind::Interrupted.into())
}
