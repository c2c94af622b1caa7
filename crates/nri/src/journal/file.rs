//! The file of a journal: who may have it, and that it consists of whole lines.

use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::Kind;

/// Read and written by its owner alone, since pods' names and annotations are nobody else's business either.
const MODE: u32 = 0o600;

/// Why a file cannot be a journal.
#[derive(Debug)]
pub(crate) struct OpenError {
    kind: &'static Kind,
    path: PathBuf,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Link,
    NotRegular,
    Foreign(u32),
    Other,
    NoDirectory,
    Io(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Kind { verb, noun, .. } = self.kind;
        write!(f, "{verb} {}: ", self.path.display())?;
        match &self.why {
            Why::Link => f.write_str("it is a symbolic link; name the file itself"),
            Why::NotRegular => {
                write!(f, "it is no regular file; name a new file, or {noun} to go on with")
            }
            Why::Foreign(uid) => write!(f, "it belongs to user {uid}, who could read it; name another file"),
            Why::Other => write!(f, "it holds something that is not {noun}; name another file"),
            Why::NoDirectory => f.write_str("its directory does not exist; create that first"),
            Why::Io(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<io::Error> for Why {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Opens a journal to go on with it, or makes one.
///
/// # Errors
/// It is a link, no regular file, somebody else's, no journal, or cannot be opened.
pub(crate) fn open(path: &Path, kind: &'static Kind) -> Result<Lines<File>, OpenError> {
    regular(path).map_err(|why| OpenError { kind, path: path.to_owned(), why })
}

fn regular(path: &Path) -> Result<Lines<File>, Why> {
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC
        // A pipe or a terminal must neither hold us up nor become ours before we see that it is one.
        | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match rustix::fs::open(path, flags, Mode::from_raw_mode(MODE)) {
        Ok(file) => File::from(file),
        Err(Errno::LOOP) => return Err(Why::Link),
        Err(Errno::ISDIR | Errno::NXIO | Errno::NODEV) => return Err(Why::NotRegular),
        Err(Errno::NOENT) => return Err(Why::NoDirectory),
        Err(error) => return Err(Why::Io(error.into())),
    };
    let data = file.metadata()?;
    if !data.is_file() {
        return Err(Why::NotRegular);
    }
    if data.uid() != rustix::process::geteuid().as_raw() {
        return Err(Why::Foreign(data.uid()));
    }
    let mut torn = false;
    if let Some(last) = data.len().checked_sub(1) {
        if byte(&file, 0)? != b'{' {
            return Err(Why::Other);
        }
        // Whoever wrote the last line did not finish it.
        torn = byte(&file, last)? != b'\n';
    }
    if data.mode() & 0o7777 != MODE {
        file.set_permissions(std::fs::Permissions::from_mode(MODE))?;
    }
    Ok(Lines { sink: file, torn })
}

fn byte(file: &File, at: u64) -> io::Result<u8> {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    Ok(byte[0])
}

/// Something that bytes are appended to.
pub(crate) trait Sink {
    fn len(&self) -> io::Result<u64>;
    /// Appends some of the bytes; how many.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize>;
    fn cut(&mut self, len: u64) -> io::Result<()>;
}

impl Sink for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
}

/// A file of whole lines.
#[derive(Debug)]
pub(crate) struct Lines<S> {
    sink: S,
    /// It ends within a line that could not be taken back.
    torn: bool,
}

impl<S: Sink> Lines<S> {
    #[cfg(test)]
    pub(crate) fn new(sink: S) -> Self {
        Self { sink, torn: false }
    }

    /// Appends one line with its end, whole or not at all. What cannot be taken back gets an end before the next line.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.all(b"\n").map_err(|(_, error)| error)?;
            self.torn = false;
        }
        let before = self.sink.len()?;
        self.all(line).map_err(|(written, error)| {
            let end = before + written;
            // Somebody else may have appended meanwhile: theirs is not ours to cut.
            let untouched = self.sink.len().is_ok_and(|len| len == end);
            self.torn = written > 0 && !(untouched && self.sink.cut(before).is_ok());
            error
        })
    }

    /// How much was written, if not all.
    fn all(&mut self, bytes: &[u8]) -> Result<(), (u64, io::Error)> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.sink.append(rest) {
                Ok(count) if count > 0 => rest = rest.get(count..).unwrap_or_default(),
                Ok(_) => return Err((written(bytes, rest), io::ErrorKind::WriteZero.into())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((written(bytes, rest), error)),
            }
        }
        Ok(())
    }
}

fn written(bytes: &[u8], rest: &[u8]) -> u64 {
    u64::try_from(bytes.len() - rest.len()).unwrap_or(u64::MAX)
}
