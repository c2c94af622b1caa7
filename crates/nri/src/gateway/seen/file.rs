//! The file of ids, in a directory that one live gateway holds.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use tracing::warn;

/// Longest id that is taken, in bytes: far more than any engine's.
const ID_MAX: usize = 256;
/// Most bytes that are read of a file: a quarter of a million ids of 64 digits.
const FILE_MAX: u64 = 16 << 20;

/// The file, open for appending, and the lock of its directory, which goes with the process.
#[derive(Debug)]
pub(super) struct SeenFile {
    path: PathBuf,
    _lock: File,
    file: File,
    /// It lacks something, or has half a line at its end.
    spoilt: bool,
}

/// Why there is no file.
#[derive(Debug)]
pub(super) enum OpenError {
    /// A live gateway holds the directory.
    Held,
    /// It belongs to somebody else, who could change what is in it.
    Owner(u32),
    Io(&'static str, io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held => f.write_str("another gateway that runs holds it; give each its own --state-dir"),
            Self::Owner(uid) => write!(f, "the directory belongs to user {uid}"),
            Self::Io(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

/// Whether a text can be an id: one word of a line.
pub(super) fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID_MAX && id.bytes().all(|byte| byte.is_ascii_graphic())
}

impl SeenFile {
    /// Gives also the ids that it has.
    ///
    /// # Errors
    /// The directory cannot be had, or the file in it not be read.
    pub(super) fn open(dir: &Path) -> Result<(Self, BTreeSet<String>), OpenError> {
        let io = |what| move |error| OpenError::Io(what, error);
        make(dir).map_err(io("create the directory"))?;
        let lock = OpenOptions::new()
            .read(true)
            .custom_flags(flags(OFlags::DIRECTORY | OFlags::NOFOLLOW))
            .open(dir)
            .map_err(io("open the directory"))?;
        let data = lock.metadata().map_err(io("open the directory"))?;
        if data.uid() != rustix::process::geteuid().as_raw() {
            return Err(OpenError::Owner(data.uid()));
        }
        if data.mode() & 0o077 != 0 {
            lock.set_permissions(Permissions::from_mode(0o700))
                .map_err(io("close the directory to others"))?;
        }
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => OpenError::Held,
            error => OpenError::Io("lock the directory", error.into()),
        })?;
        let path = dir.join("seen");
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
            .open(&path)
            .map_err(io("open the file `seen`"))?;
        if !file.metadata().is_ok_and(|data| data.is_file()) {
            return Err(OpenError::Io("open the file `seen`", io::Error::other("it is no file")));
        }
        let (seen, ignored) = read(&file).map_err(io("read the file `seen`"))?;
        if ignored > 0 {
            warn!("{}: {ignored} lines that are no container's id are ignored", path.display());
        }
        Ok((Self { path, _lock: lock, file, spoilt: ignored > 0 }, seen))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether only [`Self::replace`] makes it right again.
    pub(super) fn is_spoilt(&self) -> bool {
        self.spoilt
    }

    /// Adds lines at the end.
    ///
    /// # Errors
    /// They are not there, or in part.
    pub(super) fn append(&mut self, lines: &str) -> io::Result<()> {
        let result = self.file.write_all(lines.as_bytes());
        self.spoilt |= result.is_err();
        result
    }

    /// Replaces all lines. A reader sees the old ones or the new ones.
    ///
    /// # Errors
    /// The old ones are still there.
    pub(super) fn replace(&mut self, lines: &str) -> io::Result<()> {
        let temporary = self.path.with_extension("tmp");
        let result = write(&temporary, lines).and_then(|file| {
            fs::rename(&temporary, &self.path)?;
            self.file = file;
            Ok(())
        });
        self.spoilt = result.is_err();
        if self.spoilt {
            drop(fs::remove_file(&temporary));
        }
        result
    }
}

fn write(temporary: &Path, lines: &str) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(flags(OFlags::NOFOLLOW))
        .open(temporary)?;
    // What a gateway left that was killed while it wrote.
    file.set_len(0)?;
    file.write_all(lines.as_bytes())?;
    Ok(file)
}

/// The ids, and how many lines are none. A last line without its end was cut short, so what it says is not an id.
fn read(file: &File) -> io::Result<(BTreeSet<String>, usize)> {
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes)?;
    let (mut seen, mut ignored) = (BTreeSet::new(), 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let id = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
        match id.filter(|id| is_id(id)) {
            Some(id) => drop(seen.insert(id.to_owned())),
            None => ignored += 1,
        }
    }
    Ok((seen, ignored))
}

/// The directory for us alone, those above it for everybody.
fn make(dir: &Path) -> io::Result<()> {
    if let Some(parent) = dir.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}
