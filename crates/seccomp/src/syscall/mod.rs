//! Names and numbers of syscalls on every ABI that the OCI spec has a word for.
//!
//! Numbers are those that a filter sees in `seccomp_data.nr`. Per ABI no two names share one, as in libseccomp,
//! whose spelling of names this is.
//!
//! ```
//! use nri_seccomp::syscall;
//! use nri_seccomp::term::Arch;
//!
//! let socket = syscall::row("socket").unwrap();
//! assert_eq!(socket.number(Arch::X86_64), Some(41));
//! assert_eq!(socket.number(Arch::Aarch64), Some(198));
//! assert_eq!(socket.gate, Some(syscall::Gate::Socketcall(1)));
//! assert_eq!(syscall::name(Arch::X86, 102), Some("socketcall"));
//! ```

mod abi;
mod table;
#[cfg(test)]
mod tests;

use crate::term::Arch;
use table::TABLE;

/// A name with its numbers on all ABIs.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// In libseccomp's spelling.
    pub name: &'static str,
    /// How older 32-bit ABIs reach it as well.
    pub gate: Option<Gate>,
    numbers: [u32; COLUMNS],
}

/// One syscall that stands for many: its argument 0 says which (`spec/seccomp.md` 1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// `socketcall`, where [`Arch::has_socketcall`], with this argument.
    Socketcall(u8),
    /// `ipc`, where [`Arch::has_ipc`], with this argument.
    Ipc(u8),
}

impl Gate {
    /// The syscall that it is.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Socketcall(_) => "socketcall",
            Self::Ipc(_) => "ipc",
        }
    }

    /// The syscall that it stands for with this argument; `None` for an argument without a meaning.
    ///
    /// ```
    /// assert_eq!(nri_seccomp::syscall::Gate::Socketcall(1).target(), Some("socket"));
    /// ```
    #[must_use]
    pub fn target(self) -> Option<&'static str> {
        GATES.iter().find(|(_, gate)| *gate == self).map(|(name, _)| *name)
    }

    /// The value of argument 0.
    #[must_use]
    pub const fn call(self) -> u8 {
        match self {
            Self::Socketcall(call) | Self::Ipc(call) => call,
        }
    }

    /// Whether this ABI has it.
    #[must_use]
    pub const fn is_on(self, arch: Arch) -> bool {
        match self {
            Self::Socketcall(_) => arch.has_socketcall(),
            Self::Ipc(_) => arch.has_ipc(),
        }
    }
}

impl Row {
    const fn new(name: &'static str, numbers: [u32; COLUMNS]) -> Self {
        Self { name, gate: gate(name), numbers }
    }

    /// The number of its own that the syscall has on an ABI; `None` where there is no such syscall, or only behind its
    /// [gate](Row::gate).
    #[must_use]
    pub fn number(&self, arch: Arch) -> Option<u32> {
        let number = self.numbers.get(arch.column()).copied()?;
        (number != ABSENT).then(|| number + arch.base())
    }
}

/// The row of a name; `None` for one that no ABI has. A runtime takes such a name without an error and does nothing
/// for it (`spec/seccomp.md` 1.1), so a typing error is worth a question.
#[must_use]
pub fn row(name: &str) -> Option<&'static Row> {
    at(place(name)?)
}

/// The place of a name's row in the table: a small number for a name, in the order of names.
pub(crate) fn place(name: &str) -> Option<usize> {
    let mut slot = hash(name.as_bytes());
    loop {
        let place = usize::from(*INDEX.get(slot)?);
        if TABLE.get(place)?.name == name {
            return Some(place);
        }
        slot = (slot + 1) % SLOTS;
    }
}

/// The row at a place.
pub(crate) fn at(place: usize) -> Option<&'static Row> {
    TABLE.get(place)
}

/// Every row, in the order of names.
pub fn rows() -> impl ExactSizeIterator<Item = &'static Row> {
    TABLE.iter()
}

/// The number of a syscall on an ABI, if it is there.
///
/// ```
/// use nri_seccomp::syscall::number;
/// use nri_seccomp::term::Arch;
/// assert_eq!(number(Arch::X86_64, "mkdir"), Some(83));
/// assert_eq!(number(Arch::X32, "mkdir"), Some(0x4000_0053));
/// assert_eq!(number(Arch::Aarch64, "mkdir"), None); // only mkdirat
/// ```
#[must_use]
pub fn number(arch: Arch, name: &str) -> Option<u32> {
    row(name)?.number(arch)
}

/// The name of the syscall with this number on an ABI. Looks through the whole table: for messages.
///
/// ```
/// use nri_seccomp::syscall::name;
/// use nri_seccomp::term::Arch;
/// assert_eq!(name(Arch::X86, 39), Some("mkdir"));
/// assert_eq!(name(Arch::X86, 9999), None);
/// ```
#[must_use]
pub fn name(arch: Arch, number: u32) -> Option<&'static str> {
    TABLE.iter().find(|row| row.number(arch) == Some(number)).map(|row| row.name)
}

/// Whether some ABI has a syscall of this name.
#[must_use]
pub fn is_known(name: &str) -> bool {
    row(name).is_some()
}

const COLUMNS: usize = 18;
/// No such syscall on this ABI.
const ABSENT: u32 = u32::MAX;
/// Places of the index: four times the rows, so that a look-up rarely meets another name.
const SLOTS: usize = 2048;
/// A free place of the index.
const FREE: u16 = u16::MAX;

/// Where in the table a name stands: open addressing by [`hash`], since a policy asks for some 400 names.
static INDEX: [u16; SLOTS] = index();

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "runs in the compiler, where an overrun is a compile error; the table has fewer than 65,535 rows"
)]
const fn index() -> [u16; SLOTS] {
    let mut index = [FREE; SLOTS];
    let mut at = 0;
    while at < TABLE.len() {
        let mut slot = hash(TABLE[at].name.as_bytes());
        while index[slot] != FREE {
            slot = (slot + 1) % SLOTS;
        }
        index[slot] = at as u16;
        at += 1;
    }
    index
}

/// FNV-1a, folded to a place of the index.
const fn hash(mut name: &[u8]) -> usize {
    let mut hash: u32 = 0x811c_9dc5;
    while let [byte, rest @ ..] = name {
        hash = (hash ^ *byte as u32).wrapping_mul(0x0100_0193);
        name = rest;
    }
    ((hash >> 16) ^ hash) as usize % SLOTS
}

/// Call numbers of `socketcall` (linux/net.h) and `ipc` (linux/ipc.h).
const GATES: [(&str, Gate); 32] = [
    ("socket", Gate::Socketcall(1)),
    ("bind", Gate::Socketcall(2)),
    ("connect", Gate::Socketcall(3)),
    ("listen", Gate::Socketcall(4)),
    ("accept", Gate::Socketcall(5)),
    ("getsockname", Gate::Socketcall(6)),
    ("getpeername", Gate::Socketcall(7)),
    ("socketpair", Gate::Socketcall(8)),
    ("send", Gate::Socketcall(9)),
    ("recv", Gate::Socketcall(10)),
    ("sendto", Gate::Socketcall(11)),
    ("recvfrom", Gate::Socketcall(12)),
    ("shutdown", Gate::Socketcall(13)),
    ("setsockopt", Gate::Socketcall(14)),
    ("getsockopt", Gate::Socketcall(15)),
    ("sendmsg", Gate::Socketcall(16)),
    ("recvmsg", Gate::Socketcall(17)),
    ("accept4", Gate::Socketcall(18)),
    ("recvmmsg", Gate::Socketcall(19)),
    ("sendmmsg", Gate::Socketcall(20)),
    ("semop", Gate::Ipc(1)),
    ("semget", Gate::Ipc(2)),
    ("semctl", Gate::Ipc(3)),
    ("semtimedop", Gate::Ipc(4)),
    ("msgsnd", Gate::Ipc(11)),
    ("msgrcv", Gate::Ipc(12)),
    ("msgget", Gate::Ipc(13)),
    ("msgctl", Gate::Ipc(14)),
    ("shmat", Gate::Ipc(21)),
    ("shmdt", Gate::Ipc(22)),
    ("shmget", Gate::Ipc(23)),
    ("shmctl", Gate::Ipc(24)),
];

#[expect(clippy::indexing_slicing, reason = "runs in the compiler, where an overrun is a compile error")]
const fn gate(name: &str) -> Option<Gate> {
    let mut at = 0;
    while at < GATES.len() {
        if equal(GATES[at].0.as_bytes(), name.as_bytes()) {
            return Some(GATES[at].1);
        }
        at += 1;
    }
    None
}

/// `==`, which the compiler cannot run yet.
const fn equal(mut one: &[u8], mut other: &[u8]) -> bool {
    while let ([a, left @ ..], [b, right @ ..]) = (one, other) {
        if *a != *b {
            return false;
        }
        (one, other) = (left, right);
    }
    one.is_empty() && other.is_empty()
}
