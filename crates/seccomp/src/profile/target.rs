//! For whom a profile with conditions is resolved.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::settings::Host;
use crate::term::Arch;

/// Docker's and containerd's default bounding set.
pub const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Every capability of Linux (capabilities(7)).
#[rustfmt::skip]
const CAPABILITIES: [&str; 41] = [
    "AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE", "CHOWN",
    "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL", "LEASE", "LINUX_IMMUTABLE",
    "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW", "PERFMON",
    "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT", "SYS_MODULE", "SYS_NICE",
    "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "WAKE_ALARM",
];

/// The container and the machine that a profile with conditions is resolved for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The native ABI.
    pub arch: Arch,
    /// The kernel; without one every `minKernel` is met.
    pub kernel: Option<Kernel>,
    capabilities: BTreeSet<String>,
}

impl Target {
    /// A container with Docker's default capabilities on a current kernel.
    #[must_use]
    pub fn new(arch: Arch) -> Self {
        Self { arch, kernel: None, capabilities: DEFAULT_CAPABILITIES.map(str::to_owned).into() }
    }

    /// The same on the architecture that this program was built for.
    #[must_use]
    pub fn this() -> Self {
        Self::new(Host::this().native())
    }

    /// Names of the bounding set, `CAP_…`.
    pub fn capabilities(&self) -> impl Iterator<Item = &str> {
        self.capabilities.iter().map(String::as_str)
    }

    /// Whether a capability is in the bounding set.
    #[must_use]
    pub fn has_capability(&self, name: &str) -> bool {
        self.capabilities.contains(&canonical(name))
    }

    /// Adds a capability, written with or without `CAP_`.
    pub fn add_capability(&mut self, name: &str) {
        self.capabilities.insert(canonical(name));
    }

    /// Adds every capability there is.
    pub fn add_all_capabilities(&mut self) {
        self.capabilities.extend(CAPABILITIES.map(|name| format!("CAP_{name}")));
    }

    /// Takes a capability away.
    pub fn drop_capability(&mut self, name: &str) {
        self.capabilities.remove(&canonical(name));
    }

    /// Takes all capabilities away.
    pub fn drop_all_capabilities(&mut self) {
        self.capabilities.clear();
    }

    /// The same with the bounding set that a `config.json` has, if it has one.
    pub(super) fn with_bounding_set(&self, config: &Map<String, Value>) -> Self {
        let set = config.get("process").and_then(|process| process.pointer("/capabilities/bounding"));
        let names = set.and_then(Value::as_array);
        let capabilities = names.map(|names| names.iter().filter_map(Value::as_str).map(canonical).collect());
        Self { capabilities: capabilities.unwrap_or_else(|| self.capabilities.clone()), ..*self }
    }

    /// Whether a word of `arches` means the native ABI: engines compare with Go's name for it.
    pub(super) fn is_called(&self, arch: &str) -> bool {
        let go = match self.arch {
            Arch::X86_64 => "amd64",
            Arch::X86 => "386",
            Arch::Aarch64 => "arm64",
            Arch::Mipsel => "mipsle",
            Arch::Mipsel64 => "mips64le",
            Arch::Loongarch64 => "loong64",
            other => other.short(),
        };
        arch == go || arch == self.arch.short() || arch == self.arch.as_str()
    }
}

fn canonical(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    if name.starts_with("CAP_") { name } else { format!("CAP_{name}") }
}

/// A kernel's version, as far as profiles look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kernel {
    /// The 6 of 6.12.
    pub major: u32,
    /// The 12.
    pub minor: u32,
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Not a kernel's version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKernel(String);

impl fmt::Display for UnknownKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a kernel version such as 6.12", self.0)
    }
}

impl std::error::Error for UnknownKernel {}

impl FromStr for Kernel {
    type Err = UnknownKernel;

    /// Reads `6.12` and what `uname -r` says, `6.12.3-cloud-amd64`.
    fn from_str(text: &str) -> Result<Self, UnknownKernel> {
        let number = |digits: &str| {
            let end = digits.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(digits.len());
            digits.get(..end)?.parse().ok()
        };
        text.split_once('.')
            .filter(|(major, _)| major.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|(major, minor)| Some(Self { major: number(major)?, minor: number(minor)? }))
            .ok_or_else(|| UnknownKernel(text.to_owned()))
    }
}
