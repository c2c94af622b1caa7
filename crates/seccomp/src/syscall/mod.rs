//! Names and numbers of syscalls on the ABIs that this crate has tables for.
//!
//! Numbers are those that a filter sees in `seccomp_data.nr`. Per ABI no two names share one, as in libseccomp,
//! whose spelling of names this is.

mod table;
#[cfg(test)]
mod tests;

use std::fmt;

use table::TABLE;

/// A name and its number on each ABI, in the order of [`Abi::ALL`].
type Row = (&'static str, [u32; Abi::ALL.len()]);

const ABSENT: u32 = u32::MAX;
/// What tells an x32 call from one of x86_64 (`spec/seccomp.md` 1.2).
const X32_BIT: u32 = 1 << 30;

/// An ABI with a table of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Abi {
    /// 64-bit PCs and servers.
    X86_64,
    /// 32-bit programs there.
    X86,
    /// 64-bit registers with 32-bit pointers; its numbers have bit 30 set.
    X32,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM (EABI).
    Arm,
}

impl Abi {
    /// Every ABI with a table.
    pub const ALL: [Self; 5] = [Self::X86_64, Self::X86, Self::X32, Self::Aarch64, Self::Arm];

    /// The ABI of a call as a filter or a listener sees it: `seccomp_data.arch` (an `AUDIT_ARCH_…` value) and
    /// `seccomp_data.nr`, which tells x32 from x86_64. `None` where there is no table for it.
    ///
    /// ```
    /// use nri_seccomp::syscall::Abi;
    /// assert_eq!(Abi::of_call(0xc000_003e, 83), Some(Abi::X86_64));
    /// assert_eq!(Abi::of_call(0xc000_003e, 0x4000_0053), Some(Abi::X32));
    /// ```
    #[must_use]
    pub fn of_call(arch: u32, number: u32) -> Option<Self> {
        // Machine number of ELF, with 0x8000_0000 for 64 bits and 0x4000_0000 for little endian (linux/audit.h).
        match arch {
            0xc000_003e if number & X32_BIT != 0 => Some(Self::X32),
            0xc000_003e => Some(Self::X86_64),
            0x4000_0003 => Some(Self::X86),
            0xc000_00b7 => Some(Self::Aarch64),
            0x4000_0028 => Some(Self::Arm),
            _ => None,
        }
    }

    /// The name for people, as `uname -m` and libseccomp's tools have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::X86 => "x86",
            Self::X32 => "x32",
            Self::Aarch64 => "aarch64",
            Self::Arm => "arm",
        }
    }
}

impl fmt::Display for Abi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The number of a syscall on an ABI, if it is there.
///
/// ```
/// use nri_seccomp::syscall::{Abi, number};
/// assert_eq!(number(Abi::X86_64, "mkdir"), Some(83));
/// assert_eq!(number(Abi::X32, "mkdir"), Some(0x4000_0053));
/// assert_eq!(number(Abi::Aarch64, "mkdir"), None); // only mkdirat
/// ```
#[must_use]
pub fn number(abi: Abi, name: &str) -> Option<u32> {
    let at = TABLE.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
    TABLE.get(at).and_then(|(_, numbers)| on(numbers, abi))
}

/// The name of the syscall with this number on an ABI.
///
/// ```
/// use nri_seccomp::syscall::{Abi, name};
/// assert_eq!(name(Abi::X86, 39), Some("mkdir"));
/// assert_eq!(name(Abi::X86, 9999), None);
/// ```
#[must_use]
pub fn name(abi: Abi, number: u32) -> Option<&'static str> {
    TABLE.iter().find(|(_, numbers)| on(numbers, abi) == Some(number)).map(|(name, _)| *name)
}

/// Whether some ABI of the tables has a syscall of this name. A runtime takes a name that exists nowhere without
/// an error and does nothing for it (`spec/seccomp.md` 1.1), so a typing error is worth a question.
#[must_use]
pub fn is_known(name: &str) -> bool {
    TABLE.binary_search_by(|(known, _)| (*known).cmp(name)).is_ok()
}

fn on(numbers: &[u32; Abi::ALL.len()], abi: Abi) -> Option<u32> {
    let bit = if abi == Abi::X32 { X32_BIT } else { 0 };
    numbers.get(abi as usize).filter(|&&number| number != ABSENT).map(|number| number | bit)
}
