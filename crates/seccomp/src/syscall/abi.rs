//! What an ABI is like, beside its numbers: width, byte order, the kernel's and other people's names for it.

use crate::term::Arch;

/// What tells an x32 call from one of x86_64 (`spec/seccomp.md` 1.2).
const X32_BIT: u32 = 1 << 30;
/// `__AUDIT_ARCH_64BIT` of linux/audit.h, and the two below.
const WIDE: u32 = 0x8000_0000;
const LITTLE: u32 = 0x4000_0000;
const N32: u32 = 0x2000_0000;

impl Arch {
    /// The ABI of a call as a filter or a listener sees it: `seccomp_data.arch` (an `AUDIT_ARCH_…` value) and
    /// `seccomp_data.nr`, which tells x32 from x86_64. `None` for an architecture that the OCI spec has no word for.
    ///
    /// ```
    /// use nri_seccomp::term::Arch;
    /// assert_eq!(Arch::of_call(0xc000_003e, 83), Some(Arch::X86_64));
    /// assert_eq!(Arch::of_call(0xc000_003e, 0x4000_0053), Some(Arch::X32));
    /// ```
    #[must_use]
    pub fn of_call(audit: u32, number: u32) -> Option<Self> {
        let native = Self::ALL.iter().copied().find(|arch| *arch != Self::X32 && arch.audit() == audit)?;
        Some(if native == Self::X86_64 && number & X32_BIT != 0 { Self::X32 } else { native })
    }

    /// The `AUDIT_ARCH_…` value that a filter sees in `seccomp_data.arch`: the machine number of ELF with marks for 64
    /// bits and little endian. x32 has that of x86_64.
    #[must_use]
    pub const fn audit(self) -> u32 {
        match self {
            Self::X86 => 3 | LITTLE,
            Self::X86_64 | Self::X32 => 62 | WIDE | LITTLE,
            Self::Arm => 40 | LITTLE,
            Self::Aarch64 => 183 | WIDE | LITTLE,
            Self::Mips => 8,
            Self::Mipsel => 8 | LITTLE,
            Self::Mips64 => 8 | WIDE,
            Self::Mipsel64 => 8 | WIDE | LITTLE,
            Self::Mips64N32 => 8 | WIDE | N32,
            Self::Mipsel64N32 => 8 | WIDE | LITTLE | N32,
            Self::Ppc => 20,
            Self::Ppc64 => 21 | WIDE,
            Self::Ppc64Le => 21 | WIDE | LITTLE,
            Self::S390 => 22,
            Self::S390X => 22 | WIDE,
            Self::Parisc => 15,
            Self::Parisc64 => 15 | WIDE,
            Self::Riscv64 => 243 | WIDE | LITTLE,
            Self::Loongarch64 => 258 | WIDE | LITTLE,
            Self::M68K => 4,
            // The plain word is the little-endian one, which is the usual one there.
            Self::Sh => 42 | LITTLE,
            Self::Sheb => 42,
        }
    }

    /// Whether conditions look at all 64 bits of an argument; on the others the low 32 count (`spec/seccomp.md` 1.3).
    #[must_use]
    pub const fn is_64(self) -> bool {
        match self {
            Self::X86_64
            | Self::Aarch64
            | Self::Mips64
            | Self::Mipsel64
            | Self::Ppc64
            | Self::Ppc64Le
            | Self::S390X
            | Self::Parisc64
            | Self::Riscv64
            | Self::Loongarch64 => true,
            Self::X86
            | Self::X32
            | Self::Arm
            | Self::Mips
            | Self::Mipsel
            | Self::Mips64N32
            | Self::Mipsel64N32
            | Self::Ppc
            | Self::S390
            | Self::Parisc
            | Self::M68K
            | Self::Sh
            | Self::Sheb => false,
        }
    }

    /// Whether `seccomp_data` is little endian there.
    #[must_use]
    pub const fn is_little_endian(self) -> bool {
        self.audit() & LITTLE != 0
    }

    /// Whether rules for sockets also go to `socketcall` there (`spec/seccomp.md` 1.2).
    #[must_use]
    pub const fn has_socketcall(self) -> bool {
        matches!(
            self,
            Self::X86
                | Self::S390
                | Self::S390X
                | Self::Ppc
                | Self::Ppc64
                | Self::Ppc64Le
                | Self::Mips
                | Self::Mipsel
                | Self::M68K
                | Self::Sh
                | Self::Sheb
        )
    }

    /// Whether rules for System V IPC also go to `ipc` there (`spec/seccomp.md` 1.2): the same ABIs.
    #[must_use]
    pub const fn has_ipc(self) -> bool {
        self.has_socketcall()
    }

    /// The name for people, as libseccomp's tools have it.
    ///
    /// ```
    /// use nri_seccomp::term::Arch;
    /// assert_eq!(Arch::Mipsel64N32.short(), "mipsel64n32");
    /// assert_eq!(Arch::from_short("aarch64"), Some(Arch::Aarch64));
    /// ```
    #[must_use]
    pub const fn short(self) -> &'static str {
        match self {
            Self::X86 => "x86",
            Self::X86_64 => "x86_64",
            Self::X32 => "x32",
            Self::Arm => "arm",
            Self::Aarch64 => "aarch64",
            Self::Mips => "mips",
            Self::Mips64 => "mips64",
            Self::Mips64N32 => "mips64n32",
            Self::Mipsel => "mipsel",
            Self::Mipsel64 => "mipsel64",
            Self::Mipsel64N32 => "mipsel64n32",
            Self::Ppc => "ppc",
            Self::Ppc64 => "ppc64",
            Self::Ppc64Le => "ppc64le",
            Self::S390 => "s390",
            Self::S390X => "s390x",
            Self::Parisc => "parisc",
            Self::Parisc64 => "parisc64",
            Self::Riscv64 => "riscv64",
            Self::Loongarch64 => "loongarch64",
            Self::M68K => "m68k",
            Self::Sh => "sh",
            Self::Sheb => "sheb",
        }
    }

    /// The ABI of such a name.
    #[must_use]
    pub fn from_short(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|arch| arch.short() == name)
    }

    /// What is added to the numbers of the table.
    pub(crate) const fn base(self) -> u32 {
        match self {
            Self::X32 => X32_BIT,
            Self::Mips | Self::Mipsel => 4000,
            Self::Mips64 | Self::Mipsel64 => 5000,
            Self::Mips64N32 | Self::Mipsel64N32 => 6000,
            _ => 0,
        }
    }

    /// The column of the table.
    pub(super) const fn column(self) -> usize {
        match self {
            Self::X86_64 => 0,
            Self::X86 => 1,
            Self::X32 => 2,
            Self::Aarch64 => 3,
            Self::Arm => 4,
            Self::Mips | Self::Mipsel => 5,
            Self::Mips64 | Self::Mipsel64 => 6,
            Self::Mips64N32 | Self::Mipsel64N32 => 7,
            Self::Ppc => 8,
            Self::Ppc64 | Self::Ppc64Le => 9,
            Self::S390 => 10,
            Self::S390X => 11,
            Self::Parisc => 12,
            Self::Parisc64 => 13,
            Self::Riscv64 => 14,
            Self::Loongarch64 => 15,
            Self::M68K => 16,
            Self::Sh | Self::Sheb => 17,
        }
    }
}
