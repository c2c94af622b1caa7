//! Classic BPF filters: what the kernel takes, what it does with a call, and what a filter says about every call.
//!
//! A compiled or live filter is read into the decision lists that [`crate::decision`] describes, so that it is compared
//! by the same search as a policy is. What cannot be read exactly is said to be so ([`Why`]), never guessed.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `instruction` | words, meaning and text of one instruction |
//! | `program` | the kernel's checks, the interpreter |
//! | `stack` | several filters of one process |
//! | `graph`, `list` | the symbolic reader |
//! | `stub` | runc's ENOSYS stub |
//! | `compare` | filters against a policy or other filters |

mod compare;
mod graph;
mod instruction;
mod list;
mod program;
mod stack;
mod stub;
#[cfg(test)]
mod tests;

pub use compare::{Filters, Says, Source, Verdict, compare};
pub use graph::Why;
pub use instruction::Instruction;
pub use program::{INSTRUCTIONS_MAX, Program, Refused};
pub use stack::{Range, Stack, Table};
pub use stub::Stub;

use crate::term::{Arch, Effect};

/// `SECCOMP_RET_KILL_PROCESS`.
const KILL_PROCESS: u32 = 0x8000_0000;
const KILL_THREAD: u32 = 0;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const USER_NOTIF: u32 = 0x7fc0_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;
/// The upper half is the action, the lower half its number.
const ACTION: u32 = 0xffff_0000;
/// A larger errno is cut to this one (`MAX_ERRNO`).
const ERRNO_MAX: u16 = 4095;

/// How a machine lays out words of more than one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// x86, ARM, RISC-V, ppc64le, …
    Little,
    /// s390x, ppc64, …
    Big,
}

impl ByteOrder {
    /// That of the machine this runs on.
    pub const HERE: Self = if cfg!(target_endian = "little") { Self::Little } else { Self::Big };

    /// That of a machine that runs this ABI.
    #[must_use]
    pub const fn of(arch: Arch) -> Self {
        if arch.is_little_endian() { Self::Little } else { Self::Big }
    }
}

/// `struct seccomp_data`: what a filter sees of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// The number of the call (x32: with bit 30).
    pub nr: u32,
    /// `AUDIT_ARCH_…`.
    pub arch: u32,
    /// Where the call was made.
    pub instruction_pointer: u64,
    /// The arguments.
    pub args: [u64; 6],
}

impl Data {
    /// The sixteen words that a program can load.
    #[must_use]
    pub fn words(&self, order: ByteOrder) -> [u32; 16] {
        let mut words = [0; 16];
        let pairs = std::iter::once(self.instruction_pointer).chain(self.args).map(|value| {
            let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
            let (low, high) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
            if order == ByteOrder::Little { [low, high] } else { [high, low] }
        });
        let all = [self.nr, self.arch].into_iter().chain(pairs.flatten());
        words.iter_mut().zip(all).for_each(|(word, value)| *word = value);
        words
    }
}

/// What the kernel makes of a program's return value: an action that it does not know kills the process, an errno is at
/// most 4095 (`__seccomp_filter`).
///
/// ```
/// use nri_seccomp::{bpf, term::Effect};
/// assert_eq!(bpf::effect(0x0005_0026), Effect::Errno(38));
/// assert_eq!(bpf::effect(0x0005_ffff), Effect::Errno(4095));
/// assert_eq!(bpf::effect(0x1234_0000), Effect::KillProcess);
/// ```
#[must_use]
pub fn effect(value: u32) -> Effect {
    let [low, high, ..] = value.to_le_bytes();
    let number = u16::from_le_bytes([low, high]);
    match value & ACTION {
        KILL_THREAD => Effect::KillThread,
        TRAP => Effect::Trap,
        ERRNO => Effect::Errno(number.min(ERRNO_MAX)),
        USER_NOTIF => Effect::Notify,
        TRACE => Effect::Trace(number),
        LOG => Effect::Log,
        ALLOW => Effect::Allow,
        _ => Effect::KillProcess,
    }
}

/// Of two answers the one that stands when a call passed both filters: the smaller action as a signed number, the first
/// one's where they are the same (`seccomp_run_filters`; the filter installed last answers first).
#[must_use]
pub fn stricter(first: u32, then: u32) -> u32 {
    if (then & ACTION).cast_signed() < (first & ACTION).cast_signed() { then } else { first }
}
