//! The words of a policy: actions, operators, architectures and flags, spelled as the OCI runtime spec spells them.

use std::fmt;
use std::str::FromStr;

/// A word that is none of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownTerm {
    /// What it should have been: `action`, `operator`, `architecture`, `flag`.
    pub kind: &'static str,
    /// What it is.
    pub word: String,
}

impl fmt::Display for UnknownTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown {} {:?}", self.kind, self.word)
    }
}

impl std::error::Error for UnknownTerm {}

macro_rules! terms {
    ($(#[$doc:meta])* $kind:literal $name:ident { $($variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $(
                #[doc = concat!("`", $word, "`")]
                $variant,
            )*
        }

        impl $name {
            /// Every word of this kind.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As the OCI runtime spec writes it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownTerm;

            fn from_str(word: &str) -> Result<Self, UnknownTerm> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(UnknownTerm { kind: $kind, word: word.to_owned() }),
                }
            }
        }
    };
}

terms! {
    /// What happens to a call. What it comes to together with a number is an [`Effect`].
    "action" Action {
        Kill = "SCMP_ACT_KILL",
        KillProcess = "SCMP_ACT_KILL_PROCESS",
        KillThread = "SCMP_ACT_KILL_THREAD",
        Trap = "SCMP_ACT_TRAP",
        Errno = "SCMP_ACT_ERRNO",
        Trace = "SCMP_ACT_TRACE",
        Allow = "SCMP_ACT_ALLOW",
        Log = "SCMP_ACT_LOG",
        Notify = "SCMP_ACT_NOTIFY",
    }
}

terms! {
    /// How an argument is compared: unsigned (`spec/seccomp.md` 1.3).
    "operator" Operator {
        Ne = "SCMP_CMP_NE",
        Lt = "SCMP_CMP_LT",
        Le = "SCMP_CMP_LE",
        Eq = "SCMP_CMP_EQ",
        Ge = "SCMP_CMP_GE",
        Gt = "SCMP_CMP_GT",
        MaskedEq = "SCMP_CMP_MASKED_EQ",
    }
}

terms! {
    /// An ABI that a filter covers beside the native one.
    "architecture" Arch {
        X86 = "SCMP_ARCH_X86",
        X86_64 = "SCMP_ARCH_X86_64",
        X32 = "SCMP_ARCH_X32",
        Arm = "SCMP_ARCH_ARM",
        Aarch64 = "SCMP_ARCH_AARCH64",
        Mips = "SCMP_ARCH_MIPS",
        Mips64 = "SCMP_ARCH_MIPS64",
        Mips64N32 = "SCMP_ARCH_MIPS64N32",
        Mipsel = "SCMP_ARCH_MIPSEL",
        Mipsel64 = "SCMP_ARCH_MIPSEL64",
        Mipsel64N32 = "SCMP_ARCH_MIPSEL64N32",
        Ppc = "SCMP_ARCH_PPC",
        Ppc64 = "SCMP_ARCH_PPC64",
        Ppc64Le = "SCMP_ARCH_PPC64LE",
        S390 = "SCMP_ARCH_S390",
        S390X = "SCMP_ARCH_S390X",
        Parisc = "SCMP_ARCH_PARISC",
        Parisc64 = "SCMP_ARCH_PARISC64",
        Riscv64 = "SCMP_ARCH_RISCV64",
        Loongarch64 = "SCMP_ARCH_LOONGARCH64",
        M68K = "SCMP_ARCH_M68K",
        Sh = "SCMP_ARCH_SH",
        Sheb = "SCMP_ARCH_SHEB",
    }
}

terms! {
    /// A flag for loading the filter (`spec/seccomp.md` 1.10).
    "flag" Flag {
        Tsync = "SECCOMP_FILTER_FLAG_TSYNC",
        Log = "SECCOMP_FILTER_FLAG_LOG",
        SpecAllow = "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        WaitKillableRecv = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    }
}

/// What an action comes to once a runtime has read it: spellings of one thing are one, the number is in
/// (`spec/seccomp.md` 1.1, step 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// The process dies.
    KillProcess,
    /// The thread dies; `SCMP_ACT_KILL` is this one.
    KillThread,
    /// The thread gets SIGSYS.
    Trap,
    /// The call is not made and returns this error; with 0 it looks as if it had been made.
    Errno(u16),
    /// A tracer is asked, with this number.
    Trace(u16),
    /// The call is made.
    Allow,
    /// The call is made and recorded.
    Log,
    /// The holder of the listener's descriptor is asked.
    Notify,
}

impl Effect {
    /// The effect of an action with its number, if it has one: cut to 16 bits, and EPERM where absent.
    ///
    /// ```
    /// use nri_seccomp::term::{Action, Effect};
    /// assert_eq!(Effect::of(Action::Errno, None), Effect::Errno(1));
    /// assert_eq!(Effect::of(Action::Errno, Some(65536)), Effect::Errno(0));
    /// assert_eq!(Effect::of(Action::Kill, Some(7)), Effect::KillThread);
    /// ```
    #[must_use]
    pub fn of(action: Action, number: Option<u32>) -> Self {
        let [low, high, ..] = number.unwrap_or(1).to_le_bytes();
        let number = u16::from_le_bytes([low, high]);
        match action {
            Action::Kill | Action::KillThread => Self::KillThread,
            Action::KillProcess => Self::KillProcess,
            Action::Trap => Self::Trap,
            Action::Errno => Self::Errno(number),
            Action::Trace => Self::Trace(number),
            Action::Allow => Self::Allow,
            Action::Log => Self::Log,
            Action::Notify => Self::Notify,
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillProcess => f.write_str("KILL_PROCESS"),
            Self::KillThread => f.write_str("KILL_THREAD"),
            Self::Trap => f.write_str("TRAP"),
            Self::Errno(number) => write!(f, "ERRNO({number})"),
            Self::Trace(number) => write!(f, "TRACE({number})"),
            Self::Allow => f.write_str("ALLOW"),
            Self::Log => f.write_str("LOG"),
            Self::Notify => f.write_str("NOTIFY"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        for action in Action::ALL {
            assert_eq!(action.as_str().parse(), Ok(*action));
        }
        for operator in Operator::ALL {
            assert_eq!(operator.as_str().parse(), Ok(*operator));
        }
        for arch in Arch::ALL {
            assert_eq!(arch.as_str().parse(), Ok(*arch));
        }
        for flag in Flag::ALL {
            assert_eq!(flag.as_str().parse(), Ok(*flag));
        }
        for word in ["", "scmp_act_allow", "ALLOW", "SCMP_ACT_ALLOW "] {
            assert!(word.parse::<Action>().is_err(), "{word:?}");
        }
    }
}
