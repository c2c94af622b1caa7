//! The kernel's side: a notification and its answer (`seccomp_unotify(2)`).

#![expect(
    unsafe_code,
    reason = "two ioctls and the registration have no safe form; each says why it is sound"
)]

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nri_seccomp::syscall;
use nri_seccomp::term::Arch;
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::answer::Answer;

/// `SECCOMP_IOCTL_NOTIF_RECV`; the size of the structure is part of the number.
const RECEIVE: Opcode = opcode::read_write::<Notification>(b'!', 0);
/// `SECCOMP_IOCTL_NOTIF_SEND`.
const SEND: Opcode = opcode::read_write::<Response>(b'!', 1);
/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`.
const CONTINUE: u32 = 1;

/// `struct seccomp_notif`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Notification {
    id: u64,
    /// The calling thread as our pid namespace sees it; 0 where it does not.
    pub(super) pid: u32,
    flags: u32,
    pub(super) call: Call,
}

/// `struct seccomp_data`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Call {
    pub(super) number: u32,
    pub(super) arch: u32,
    instruction: u64,
    pub(super) args: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// Lets the runtime say when the listener has something to read, or is closed.
pub(super) fn register(listener: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open and stays the same descriptor for as long as the `AsyncFd` owns it.
    unsafe { AsyncFd::register_with_interest(listener, Interest::READABLE) }.map_err(io::Error::from)
}

impl Notification {
    /// Takes the next notification. Blocks where none waits: poll first.
    ///
    /// # Errors
    /// `NOENT` where the caller is gone meanwhile.
    pub(super) fn receive(descriptor: impl AsFd) -> Result<Self, Errno> {
        let mut notification = Self::default();
        // SAFETY: the opcode encodes the size of the value, which is laid out as `struct seccomp_notif` and, as the
        // kernel demands, all zero; the kernel writes that many bytes and keeps no reference. On a descriptor of another
        // kind the call fails: `sender` takes listeners only.
        unsafe { ioctl(descriptor, Updater::<RECEIVE, Self>::new(&mut notification)) }?;
        Ok(notification)
    }

    /// Answers. `Err(NOENT)` where the caller is gone.
    pub(super) fn answer(&self, descriptor: impl AsFd, answer: Answer) -> Result<(), Errno> {
        let (value, error, flags) = match answer {
            Answer::Log | Answer::Continue => (0, 0, CONTINUE),
            Answer::Errno(number) => (0, -i32::from(number), 0),
            Answer::Return(value) => (value, 0, 0),
        };
        let mut response = Response { id: self.id, value, error, flags };
        // SAFETY: the opcode encodes the size of the value, which is laid out as `struct seccomp_notif_resp`; the
        // kernel reads it and keeps no reference.
        unsafe { ioctl(descriptor, Updater::<SEND, Response>::new(&mut response)) }
    }

    pub(super) fn arch(&self) -> Option<Arch> {
        Arch::of_call(self.call.arch, self.call.number)
    }

    pub(super) fn name(&self) -> Option<&'static str> {
        syscall::name(self.arch()?, self.call.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of linux/seccomp.h, which hold the sizes of the structures.
    #[test]
    fn ioctl_numbers() {
        assert_eq!((RECEIVE, SEND), (0xc050_2100, 0xc018_2101));
    }
}
