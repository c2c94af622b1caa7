//! Names of arguments and of their values, so that people read `flags & CLONE_NEWUSER == 0` and not
//! `arg0 & 0x10000000 == 0`.
//!
//! ```
//! use nri_seccomp::constant::argument;
//! use nri_seccomp::term::Arch;
//!
//! let flags = argument("clone", 0, Arch::X86_64);
//! assert_eq!((flags.name(), flags.bits(0x1000_0000).as_str()), ("flags", "CLONE_NEWUSER"));
//! assert_eq!(argument("socket", 0, Arch::X86_64).value(16), "AF_NETLINK");
//! assert_eq!(argument("read", 1, Arch::X86_64).name(), "arg1");
//! ```

mod table;

use table as t;
use table::Table;

use crate::term::Arch;

/// An argument of a syscall as people know it.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    name: &'static str,
    kind: Kind,
}

/// What the values of an argument are: one of `values` within `field`, and `flags` beside it.
#[derive(Clone, Copy, Debug)]
struct Kind {
    values: Table,
    field: u64,
    flags: Table,
    /// Whether the numbers differ on ABIs that have other numbers than the generic ones.
    varies: bool,
    octal: bool,
}

const fn one(values: Table) -> Kind {
    Kind { values, field: u64::MAX, flags: &[], varies: false, octal: false }
}

const fn flags(flags: Table) -> Kind {
    Kind { values: &[], field: 0, flags, varies: false, octal: false }
}

const fn both(values: Table, field: u64, flags: Table) -> Kind {
    Kind { values, field, flags, varies: false, octal: false }
}

const fn varying(kind: Kind) -> Kind {
    Kind { varies: true, ..kind }
}

const PLAIN: Kind = one(&[]);
const CLONE: Kind = both(t::SIGNAL, 0xff, t::CLONE);
const NAMESPACE: Kind = flags(t::CLONE);
const FAMILY: Kind = one(t::FAMILY);
const SOCKET: Kind = varying(both(t::SOCKET_TYPE, 0xf, t::SOCKET_FLAG));
const PERSONALITY: Kind = both(t::PERSONALITY, 0xff, t::PERSONALITY_FLAG);
const MODE: Kind = Kind { octal: true, ..both(t::FILE_TYPE, 0o170_000, t::MODE) };
const SIGNAL: Kind = varying(one(t::SIGNAL));
const CLOCK: Kind = one(t::CLOCK);
const PROT: Kind = flags(t::PROT);
const OPEN: Kind = varying(flags(t::OPEN));
const SCHEDULER: Kind = one(t::SCHEDULER);

/// Syscall, argument, its name and what it holds, in the order of syscalls.
const ARGUMENTS: &[(&str, u32, &str, Kind)] = &[
    ("accept4", 3, "flags", varying(flags(t::SOCKET_FLAG))),
    ("arch_prctl", 0, "op", one(t::ARCH_PRCTL)),
    ("bpf", 0, "cmd", one(t::BPF)),
    ("chmod", 1, "mode", MODE),
    ("clock_adjtime", 0, "clock", CLOCK),
    ("clock_adjtime64", 0, "clock", CLOCK),
    ("clock_settime", 0, "clock", CLOCK),
    ("clock_settime64", 0, "clock", CLOCK),
    ("clone", 0, "flags", CLONE),
    ("creat", 1, "mode", MODE),
    ("fchmod", 1, "mode", MODE),
    ("fchmodat", 2, "mode", MODE),
    ("fchmodat2", 2, "mode", MODE),
    ("fcntl", 1, "op", varying(one(t::FCNTL))),
    ("fcntl64", 1, "op", varying(one(t::FCNTL))),
    ("getsockopt", 1, "level", varying(one(t::LEVEL))),
    ("ioctl", 1, "request", varying(one(t::IOCTL))),
    ("ipc", 0, "call", PLAIN),
    ("keyctl", 0, "op", one(t::KEYCTL)),
    ("kill", 1, "sig", SIGNAL),
    ("madvise", 2, "advice", one(t::ADVICE)),
    ("membarrier", 0, "cmd", one(t::MEMBARRIER)),
    ("memfd_create", 1, "flags", flags(t::MEMFD)),
    ("mkdir", 1, "mode", MODE),
    ("mkdirat", 2, "mode", MODE),
    ("mknod", 1, "mode", MODE),
    ("mknodat", 2, "mode", MODE),
    ("mmap", 2, "prot", PROT),
    ("mmap", 3, "flags", varying(flags(t::MAP))),
    ("mmap2", 2, "prot", PROT),
    ("mmap2", 3, "flags", varying(flags(t::MAP))),
    ("mount", 3, "flags", flags(t::MOUNT)),
    ("mprotect", 2, "prot", PROT),
    ("open", 1, "flags", OPEN),
    ("open", 2, "mode", MODE),
    ("openat", 2, "flags", OPEN),
    ("openat", 3, "mode", MODE),
    ("personality", 0, "persona", PERSONALITY),
    ("pkey_mprotect", 2, "prot", PROT),
    ("prctl", 0, "op", one(t::PRCTL)),
    ("prlimit64", 1, "resource", varying(one(t::RESOURCE))),
    ("ptrace", 0, "request", varying(one(t::PTRACE))),
    ("sched_setscheduler", 1, "policy", SCHEDULER),
    ("seccomp", 0, "op", one(t::SECCOMP)),
    ("seccomp", 1, "flags", flags(t::SECCOMP_FLAG)),
    ("setns", 1, "nstype", NAMESPACE),
    ("setrlimit", 0, "resource", varying(one(t::RESOURCE))),
    ("setsockopt", 1, "level", varying(one(t::LEVEL))),
    ("socket", 0, "domain", FAMILY),
    ("socket", 1, "type", SOCKET),
    ("socket", 2, "protocol", PLAIN),
    ("socketcall", 0, "call", PLAIN),
    ("socketpair", 0, "domain", FAMILY),
    ("socketpair", 1, "type", SOCKET),
    ("socketpair", 2, "protocol", PLAIN),
    ("tgkill", 2, "sig", SIGNAL),
    ("tkill", 1, "sig", SIGNAL),
    ("umount2", 1, "flags", flags(t::UMOUNT)),
    ("unshare", 0, "flags", NAMESPACE),
];

/// Names for arguments that nothing is known of.
const UNNAMED: [&str; 6] = ["arg0", "arg1", "arg2", "arg3", "arg4", "arg5"];

/// What is known of an argument of a syscall on an ABI.
#[must_use]
pub fn argument(syscall: &str, index: u32, arch: Arch) -> Argument {
    // There the first two arguments of clone change places.
    let swapped = syscall == "clone" && matches!(arch, Arch::S390 | Arch::S390X);
    let place = if swapped && index < 2 { 1 - index } else { index };
    let known = ARGUMENTS.iter().find(|(name, at, ..)| *name == syscall && *at == place);
    match known {
        Some(&(_, _, name, kind)) if !kind.varies || is_generic(arch) => Argument { name, kind },
        Some(&(_, _, name, _)) => Argument { name, kind: PLAIN },
        None => {
            let unnamed = usize::try_from(index).ok().and_then(|index| UNNAMED.get(index));
            Argument { name: unnamed.copied().unwrap_or("arg?"), kind: PLAIN }
        }
    }
}

/// Whether an ABI has the generic numbers of ioctls, flags and signals.
const fn is_generic(arch: Arch) -> bool {
    !matches!(
        arch,
        Arch::Mips
            | Arch::Mipsel
            | Arch::Mips64
            | Arch::Mipsel64
            | Arch::Mips64N32
            | Arch::Mipsel64N32
            | Arch::Ppc
            | Arch::Ppc64
            | Arch::Ppc64Le
            | Arch::Parisc
            | Arch::Parisc64
            | Arch::Sh
            | Arch::Sheb
    )
}

impl Argument {
    /// `flags`, or `arg3` where it has no name here.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// A value in words: `AF_NETLINK`, `SOCK_RAW | SOCK_CLOEXEC`; a number where nothing is known of it.
    #[must_use]
    pub fn value(&self, value: u64) -> String {
        let field = value & self.kind.field;
        let named = self.kind.values.iter().find(|(_, known)| u64::from(*known) == field);
        match named {
            Some((name, _)) if field == value => (*name).to_owned(),
            Some((name, _)) if field != 0 => format!("{name} | {}", self.bits(value & !self.kind.field)),
            _ => self.bits(value),
        }
    }

    /// Bits in words, of a mask for example: `CLONE_NEWNS | CLONE_NEWUSER`, what has no name as one number.
    #[must_use]
    pub fn bits(&self, bits: u64) -> String {
        // Bits that nobody named are meant as a whole: "all", or "all but".
        let named = self.kind.flags.iter().fold(0, |all, (_, flag)| all | u64::from(*flag));
        if (bits & !named).count_ones() > 8 {
            return self.number(bits);
        }
        let mut left = bits;
        let mut words = Vec::new();
        for (name, flag) in self.kind.flags {
            let flag = u64::from(*flag);
            if left & flag == flag {
                left &= !flag;
                words.push((*name).to_owned());
            }
        }
        if left != 0 || words.is_empty() {
            words.push(self.number(left));
        }
        words.join(" | ")
    }

    fn number(&self, number: u64) -> String {
        if self.kind.octal && number != 0 {
            format!("{number:#o}")
        } else if number < 1024 {
            number.to_string()
        } else {
            format!("{number:#x}")
        }
    }
}

/// The protocol of a netlink socket, where a condition beside it says that it is one.
#[must_use]
pub fn netlink_protocol(value: u64) -> Option<&'static str> {
    t::NETLINK.iter().find(|(_, known)| u64::from(*known) == value).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscall;

    #[test]
    fn arguments_are_those_of_syscalls() {
        for (at, (name, index, ..)) in ARGUMENTS.iter().enumerate() {
            assert!(syscall::is_known(name) && *index < 6, "{name}");
            let before = at.checked_sub(1).and_then(|before| ARGUMENTS.get(before));
            assert!(before.is_none_or(|(other, place, ..)| (*other, *place) < (*name, *index)), "{name}");
        }
    }

    #[test]
    fn values() {
        for (syscall, index, value, expect) in [
            ("socket", 0, 1, "AF_UNIX"),
            ("socket", 0, 40, "AF_VSOCK"),
            ("socket", 0, 200, "200"),
            ("socket", 1, 0x80003, "SOCK_RAW | SOCK_CLOEXEC"),
            ("socket", 1, 3, "SOCK_RAW"),
            ("clone", 0, 0, "0"),
            ("clone", 0, 17, "SIGCHLD"),
            ("clone", 0, 0x1000_0011, "SIGCHLD | CLONE_NEWUSER"),
            ("personality", 0, 0, "PER_LINUX"),
            ("personality", 0, 0x2_0008, "PER_LINUX32 | UNAME26"),
            ("personality", 0, 0xffff_ffff, "0xffffffff"),
            ("ioctl", 1, 0x5412, "TIOCSTI"),
            ("prctl", 0, 22, "PR_SET_SECCOMP"),
            ("mknod", 1, 0o20_640, "S_IFCHR | 0o640"),
            ("chmod", 1, 0o4755, "S_ISUID | 0o755"),
            ("mprotect", 2, 4, "PROT_EXEC"),
            ("read", 2, 4096, "0x1000"),
        ] {
            assert_eq!(
                argument(syscall, index, Arch::X86_64).value(value),
                expect,
                "{syscall} {index} {value:#x}"
            );
        }
        assert_eq!(argument("ioctl", 1, Arch::Mips).value(0x5412), "0x5412");
        assert_eq!(argument("clone", 1, Arch::S390X).name(), "flags");
        assert_eq!(argument("clone", 0, Arch::S390X).name(), "arg0");
        let mask = argument("clone", 0, Arch::X86_64).bits(0x7e02_0000);
        assert_eq!(
            mask,
            "CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET"
        );
        assert_eq!(argument("socket", 1, Arch::X86_64).bits(0xf), "15");
    }
}
