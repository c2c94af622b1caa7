//! Under which settings, and on which host, two policies are compared (`spec/seccomp.md` 2.1 and 7.1).

use std::fmt;

use crate::term::Arch;

macro_rules! settings {
    ($(
        $(#[$doc:meta])*
        $field:ident: $choice:ident {
            $(#[$default_doc:meta])* $default:ident = $default_word:literal,
            $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)*
        }
    )*) => {
        /// What an administrator may have decided otherwise than the spec does. The default is the spec's. Settings come
        /// from the administrator, never from a plugin.
        ///
        /// ```
        /// use nri_seccomp::settings::{Errno, Settings};
        ///
        /// let mut settings = Settings::default();
        /// settings.set("errno", "exact")?;
        /// assert_eq!(settings, Settings { errno: Errno::Exact, ..Settings::default() });
        /// assert_eq!(
        ///     settings.set("errno", "some").unwrap_err().to_string(),
        ///     r#"unknown value "some" of setting errno, expected any or exact"#
        /// );
        /// # Ok::<(), nri_seccomp::settings::UnknownSetting>(())
        /// ```
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
        pub struct Settings {
            $($(#[$doc])* pub $field: $choice,)*
        }

        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
            pub enum $choice {
                $(#[$default_doc])*
                #[default]
                $default,
                $($(#[$variant_doc])* $variant,)*
            }

            impl $choice {
                /// Every value, the default first.
                pub const ALL: &[Self] = &[Self::$default, $(Self::$variant,)*];

                /// As `config` of `spec/seccomp.md` 7.1 writes it.
                #[must_use]
                pub const fn as_str(self) -> &'static str {
                    match self {
                        Self::$default => $default_word,
                        $(Self::$variant => $word,)*
                    }
                }
            }
        )*

        impl Settings {
            /// Names of the settings with the words for their values, the default first.
            pub const NAMES: &[(&str, &[&str])] =
                &[$((stringify!($field), &[$default_word, $($word,)*]),)*];

            /// Sets one by the names of `spec/seccomp.md` 7.1.
            ///
            /// # Errors
            /// There is no such setting, or no such value of it.
            pub fn set(&mut self, setting: &str, value: &str) -> Result<(), UnknownSetting> {
                let unknown = || UnknownSetting { setting: setting.to_owned(), value: value.to_owned() };
                match setting {
                    $(stringify!($field) => {
                        let chosen = $choice::ALL.iter().copied().find(|choice| choice.as_str() == value);
                        self.$field = chosen.ok_or_else(unknown)?;
                    })*
                    _ => return Err(unknown()),
                }
                Ok(())
            }
        }
    };
}

settings! {
    /// Whether a changed number of `ERRNO` or `TRACE` loosens.
    errno: Errno {
        /// All numbers are the same refusal.
        Any = "any",
        /// A changed number loosens.
        Exact = "exact",
    }
    /// How kinds of refusal are told apart.
    kill: Kill {
        /// By the kernel's precedence.
        Strict = "strict",
        /// `KILL_PROCESS`, `KILL_THREAD`, `TRAP` and `ERRNO` are all the same refusal.
        Merged = "merged",
    }
    /// Whether a record of what was allowed counts.
    log: Log {
        /// `LOG` is tighter than `ALLOW`.
        Strict = "strict",
        /// They are the same.
        Ignored = "ignored",
    }
    /// Whether a call may be handed to an agent.
    delegation: Delegation {
        /// The agent is not trusted: handing it a call that was allowed loosens.
        Deny = "deny",
        /// The agent is trusted: the kernel's precedence holds.
        Rank = "rank",
    }
    /// What `ERRNO(0)` is, which pretends that the call was made.
    fake_success: FakeSuccess {
        /// It loosens, whatever was there before.
        Deny = "deny",
        /// It is a refusal like any other.
        Allow = "allow",
    }
    /// Who loads the filter.
    runtime: Runtime {
        /// The filter alone, as crun and older versions of runc load it.
        Plain = "plain",
        /// With runc's ENOSYS stub in front, and its layout as a binary tree (`spec/seccomp.md` 1.9, 1.5 E).
        Runc = "runc",
        /// With the operands of `MASKED_EQ` swapped. Flags are read as everywhere.
        Youki = "youki",
    }
}

/// A setting or a value that `spec/seccomp.md` 7.1 does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSetting {
    /// Which setting was meant.
    pub setting: String,
    /// Which value was meant.
    pub value: String,
}

impl fmt::Display for UnknownSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Settings::NAMES.iter().find(|(name, _)| *name == self.setting) {
            Some((name, values)) => {
                write!(
                    f,
                    "unknown value {:?} of setting {name}, expected {}",
                    self.value,
                    values.join(" or ")
                )
            }
            None => write!(f, "unknown setting {:?}", self.setting),
        }
    }
}

impl std::error::Error for UnknownSetting {}

/// The ABIs that a kernel can run, the native one first. What two policies do is compared on these and no others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    archs: Vec<Arch>,
}

impl Host {
    /// A host with these ABIs, the native one first; repetitions count once. `None` for an empty list.
    #[must_use]
    pub fn new(archs: impl IntoIterator<Item = Arch>) -> Option<Self> {
        let mut distinct = Vec::new();
        for arch in archs {
            if !distinct.contains(&arch) {
                distinct.push(arch);
            }
        }
        (!distinct.is_empty()).then_some(Self { archs: distinct })
    }

    /// x86_64 with x86 and x32.
    #[must_use]
    pub fn x86_64() -> Self {
        Self { archs: vec![Arch::X86_64, Arch::X86, Arch::X32] }
    }

    /// aarch64 with arm.
    #[must_use]
    pub fn aarch64() -> Self {
        Self { archs: vec![Arch::Aarch64, Arch::Arm] }
    }

    /// The machine that this was built for; an unusual one counts as x86_64.
    #[must_use]
    pub fn this() -> Self {
        if cfg!(target_arch = "aarch64") { Self::aarch64() } else { Self::x86_64() }
    }

    /// The ABIs, the native one first.
    #[must_use]
    pub fn archs(&self) -> &[Arch] {
        &self.archs
    }

    /// The native ABI, which every filter has.
    #[must_use]
    pub fn native(&self) -> Arch {
        self.archs.first().copied().unwrap_or(Arch::X86_64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `spec/seccomp.md` 7.1, the table of settings.
    #[test]
    fn settings_have_the_names_of_the_spec() {
        let mut settings = Settings::default();
        for (name, values) in [
            ("errno", ["any", "exact"].as_slice()),
            ("kill", &["strict", "merged"]),
            ("log", &["strict", "ignored"]),
            ("delegation", &["deny", "rank"]),
            ("fake_success", &["deny", "allow"]),
            ("runtime", &["plain", "runc", "youki"]),
        ] {
            assert!(Settings::NAMES.contains(&(name, values)), "{name}");
            for value in values.iter().rev() {
                let before = settings;
                settings.set(name, value).unwrap();
                assert_ne!((value == &values[values.len() - 1], settings), (false, before), "{name} {value}");
            }
            assert!(settings.set(name, "other").is_err());
        }
        assert_eq!(settings, Settings::default());
        assert_eq!(settings.set("Errno", "any").unwrap_err().to_string(), "unknown setting \"Errno\"");
    }

    #[test]
    fn a_host_has_a_native_abi() {
        assert_eq!(Host::new([]), None);
        let host = Host::new([Arch::Arm, Arch::X86, Arch::Arm]).unwrap();
        assert_eq!((host.native(), host.archs()), (Arch::Arm, [Arch::Arm, Arch::X86].as_slice()));
    }
}
