//! What a unix socket knows of its peer (unix(7), socket(7)) and no safe interface asks for.
#![expect(
    unsafe_code,
    reason = "two socket options that rustix does not have, and senders, whose process may be 0, which it rules out"
)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd};

use crate::limits::{GROUPS_MAX, LABEL_MAX};

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

/// The security label of the process when it connected (`SO_PEERSEC`); an error where no security module has any.
pub(super) fn peer_label(socket: impl AsFd) -> io::Result<String> {
    let mut label = vec![0_u8; LABEL_MAX];
    let length = option(socket, libc::SO_PEERSEC, &mut label)?;
    label.truncate(length);
    // Some modules end it with a zero, AppArmor adds its mode and a line's end to some.
    let label = String::from_utf8(label).map_err(io::Error::other)?;
    Ok(label.trim_end_matches(['\0', '\n']).to_owned())
}

/// An option whose value is a number of 32-bit words. Gives how many came.
fn words(socket: impl AsFd, name: libc::c_int, words: &mut [u32]) -> io::Result<usize> {
    option(socket, name, words).map(|length| length / size_of::<u32>())
}

/// An option of the socket itself. Gives how many bytes came.
fn option<T: Word>(socket: impl AsFd, name: libc::c_int, value: &mut [T]) -> io::Result<usize> {
    let mut length = libc::socklen_t::try_from(size_of_val(value)).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `length` bytes, all of which are in `value`, where any bytes are valid (`Word`);
    // the descriptor is borrowed, and so open.
    let result = unsafe {
        let value = value.as_mut_ptr().cast();
        libc::getsockopt(socket.as_fd().as_raw_fd(), libc::SOL_SOCKET, name, value, &raw mut length)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(length).unwrap_or_default())
}

/// Numbers: any bytes are one.
trait Word {}
impl Word for u8 {}
impl Word for u32 {}

/// Reads what is there without waiting, and says which process sent it: 0 if that is in a PID namespace that we do not
/// see, `None` if the kernel does not say (`SO_PASSCRED`, unix(7)). Descriptors that come along are closed.
pub(super) fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Option<i32>)> {
    let mut room = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // Room for the sender alone, so that the kernel makes no descriptors for us.
    let mut control = MaybeUninit::<Control>::zeroed();
    // SAFETY: a `msghdr` of zeros is a valid one that has no room for anything.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut room;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of::<Control>();
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the kernel writes into `buffer` and `control` no more than the lengths given, and both outlive the call.
    let length = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, flags) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: all bytes of `control` are zero or were written by the kernel, and any value is valid for its integers.
    let control = unsafe { control.assume_init() };
    let told = message.msg_controllen >= size_of::<Control>()
        && (control.level, control.kind) == (libc::SOL_SOCKET, libc::SCM_CREDENTIALS);
    Ok((length, told.then_some(control.sender.pid)))
}

/// A control message with a sender (cmsg(3)), as the kernel lays it out.
#[repr(C)]
struct Control {
    length: usize,
    level: libc::c_int,
    kind: libc::c_int,
    sender: libc::ucred,
}
