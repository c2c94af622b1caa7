//! The filters of a live process, read back from the kernel (`PTRACE_SECCOMP_GET_FILTER`).

#![expect(unsafe_code, reason = "no crate of ours wraps ptrace")]

use std::ffi::c_void;
use std::io::{Error, ErrorKind};

use super::bpf::Program;

/// `PTRACE_SECCOMP_GET_FILTER`
const GET_FILTER: libc::c_uint = 0x420c;

/// Longest program that the kernel takes.
const INSTRUCTIONS: usize = 4096;

/// Filters of a process, the one that was installed last first.
///
/// # Errors
/// What the kernel says: tracing needs `CAP_SYS_ADMIN` and a kernel with `CONFIG_CHECKPOINT_RESTORE`.
pub fn read(pid: i32) -> std::io::Result<Vec<Program>> {
    let stopped = Stopped::new(pid)?;
    let mut filters = Vec::new();
    loop {
        let mut bytes = vec![0u8; 8 * INSTRUCTIONS];
        // SAFETY: room for the longest program.
        let count =
            unsafe { libc::ptrace(GET_FILTER, stopped.0, filters.len() as *mut c_void, bytes.as_mut_ptr()) };
        let Ok(count) = usize::try_from(count) else {
            let error = Error::last_os_error();
            // The end of the list.
            let is_end = error.kind() == ErrorKind::NotFound;
            return if is_end { Ok(filters) } else { Err(error) };
        };
        bytes.truncate(8 * count);
        filters.push(Program::read(&bytes, cfg!(target_endian = "big")));
    }
}

/// A traced process that stands still, and goes on afterwards.
struct Stopped(libc::pid_t);

impl Stopped {
    fn new(pid: i32) -> std::io::Result<Self> {
        let none = std::ptr::null_mut::<c_void>();
        let check = |result| if result < 0 { Err(Error::last_os_error()) } else { Ok(()) };
        // SAFETY: these requests take no memory.
        check(unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, none, none) })?;
        let stopped = Self(pid);
        // SAFETY: as before.
        check(unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, pid, none, none) })?;
        // SAFETY: no status is wanted.
        check(unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL) }.into())?;
        Ok(stopped)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let none = std::ptr::null_mut::<c_void>();
        // SAFETY: takes no memory.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, none, none) };
    }
}
