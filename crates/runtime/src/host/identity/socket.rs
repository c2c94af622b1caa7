//! What a unix socket knows of its peer (unix(7), socket(7)) and no safe interface asks for.
#![expect(unsafe_code, reason = "two socket options that rustix does not have")]

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd};

use crate::limits::GROUPS_MAX;

/// A descriptor of the process that connected (Linux 6.5 and later).
pub(super) fn peer_pidfd(socket: impl AsFd) -> io::Result<OwnedFd> {
    let mut word = [u32::MAX];
    words(socket, libc::SO_PEERPIDFD, &mut word)?;
    let [word] = word;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(word.cast_signed()) })
}

/// The supplementary groups of the process when it connected (Linux 4.13 and later).
pub(super) fn peer_groups(socket: impl AsFd) -> io::Result<Vec<u32>> {
    let mut groups = vec![0; 32];
    let count = match words(&socket, libc::SO_PEERGROUPS, &mut groups) {
        Err(error) if error.raw_os_error() == Some(libc::ERANGE) => {
            groups.resize(GROUPS_MAX, 0);
            words(&socket, libc::SO_PEERGROUPS, &mut groups)?
        }
        other => other?,
    };
    groups.truncate(count);
    Ok(groups)
}

/// An option whose value is a number of 32-bit words. Gives how many came.
fn words(socket: impl AsFd, option: libc::c_int, words: &mut [u32]) -> io::Result<usize> {
    let mut length = libc::socklen_t::try_from(size_of_val(words)).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `length` bytes, all of which are in `words`, where any value is valid; the
    // descriptor is borrowed, and so open.
    let result = unsafe {
        let value = words.as_mut_ptr().cast();
        libc::getsockopt(socket.as_fd().as_raw_fd(), libc::SOL_SOCKET, option, value, &raw mut length)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(length).unwrap_or_default() / size_of::<u32>())
}
