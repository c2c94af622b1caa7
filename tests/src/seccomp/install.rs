//! Starting a program under filters of our own.

#![expect(
    unsafe_code,
    reason = "no crate of ours wraps prctl, and what runs between fork and exec is unsafe"
)]

use std::io::Error;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nri_seccomp::bpf::Instruction;

/// `PR_SET_NO_NEW_PRIVS` and `PR_SET_SECCOMP` with `SECCOMP_MODE_FILTER`, in the calling thread.
///
/// # Errors
/// What the kernel says of the filter.
pub fn here(instructions: &[Instruction]) -> std::io::Result<()> {
    let words = words(instructions);
    set(&words)
}

/// Has a program start under filters, the first one installed first. `spawn` fails with what the kernel says of them.
pub fn before_exec(command: &mut Command, filters: &[&[Instruction]]) {
    let filters: Vec<_> = filters.iter().map(|filter| words(filter)).collect();
    // SAFETY: nothing is allocated and no lock taken; prctl may be called between fork and exec.
    unsafe { command.pre_exec(move || filters.iter().try_for_each(|words| set(words))) };
}

fn words(instructions: &[Instruction]) -> Vec<libc::sock_filter> {
    let words = instructions.iter();
    words.map(|it| libc::sock_filter { code: it.code, jt: it.jt, jf: it.jf, k: it.k }).collect()
}

fn set(words: &[libc::sock_filter]) -> std::io::Result<()> {
    let Ok(len) = u16::try_from(words.len()) else { return Err(Error::from_raw_os_error(libc::EINVAL)) };
    let program = libc::sock_fprog { len, filter: words.as_ptr().cast_mut() };
    // SAFETY: takes no memory.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: the kernel copies as many instructions as the program says, and they are there.
    match unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) } {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}
