//! The descriptor that a runtime hands to a plugin that it launches (`spec/stub.md` 2, quirk F7).

#![expect(unsafe_code, reason = "a descriptor that is known by its number only")]

use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

/// The variable with the descriptor's number.
pub(crate) const VARIABLE: &str = "NRI_PLUGIN_SOCKET";

/// Why the inherited descriptor cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum InheritedError {
    /// The variable's value is no number of a descriptor.
    NoNumber(String),
    /// It has been taken already; by now the number may stand for something else.
    Taken,
    /// There is no such descriptor, or it is no unix socket.
    NoSocket(RawFd, io::Error),
}

/// Takes the descriptor with this number, once per process: the number is trusted only until then.
pub(crate) fn take(value: &str) -> Result<UnixStream, InheritedError> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let number = number(value)?;
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Err(InheritedError::Taken);
    }
    socket(number).map_err(|error| InheritedError::NoSocket(number, error))
}

fn number(value: &str) -> Result<RawFd, InheritedError> {
    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    match value.parse() {
        Ok(number) if digits => Ok(number),
        _ => Err(InheritedError::NoNumber(value.to_owned())),
    }
}

/// A duplicate (closed on exec) of the descriptor, which itself is closed once it has been seen to be a unix socket.
fn socket(number: RawFd) -> io::Result<UnixStream> {
    // SAFETY: the number is not negative. Whether it is open is just what the duplication finds out, and nobody
    // closes it in between: by the protocol the runtime opened it for this process's use.
    let inherited = unsafe { BorrowedFd::borrow_raw(number) };
    let stream = UnixStream::from(inherited.try_clone_to_owned()?);
    stream.peer_addr()?;
    // SAFETY: it is open (it could be duplicated) and this process's own: it came with its start, for this
    // purpose, and `take` runs once.
    drop(unsafe { OwnedFd::from_raw_fd(number) });
    Ok(stream)
}

impl fmt::Display for InheritedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNumber(value) => write!(f, "{VARIABLE}={value:?} is no descriptor number"),
            Self::Taken => {
                write!(f, "the descriptor of {VARIABLE} has been used up: a launched plugin connects once")
            }
            Self::NoSocket(number, _) => write!(f, "{VARIABLE}={number} is no connected unix socket"),
        }
    }
}

impl std::error::Error for InheritedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoSocket(_, error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::{AsRawFd, IntoRawFd};

    use super::*;

    /// CONF-224 ff. and F7: numbers, things that are no socket, and once only.
    #[test]
    fn only_a_socket_and_only_once() {
        for value in ["", "x", "-1", "+3", "3 ", "99999999999"] {
            assert!(matches!(number(value), Err(InheritedError::NoNumber(_))), "{value}");
        }
        let file = std::fs::File::open("/dev/null").unwrap();
        socket(file.as_raw_fd()).unwrap_err();
        file.metadata().unwrap();
        socket(1 << 20).unwrap_err();

        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let value = ours.into_raw_fd().to_string();
        let mut taken = take(&value).unwrap();
        theirs.write_all(b"x").unwrap();
        taken.read_exact(&mut [0]).unwrap();
        assert!(matches!(take(&value), Err(InheritedError::Taken)));
    }
}
