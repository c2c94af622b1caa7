//! What rules ask about the host. This crate does no I/O; whoever judges brings a [`Host`].

use std::fmt;
use std::time::Duration;

/// Why something about the host is not known: a fragment that completes "failed to …".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown(pub String);

/// A device node of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceNode {
    /// Its path.
    pub path: String,
    /// `b` or `c`.
    pub kind: char,
    /// The major number.
    pub major: i64,
    /// The minor number.
    pub minor: i64,
}

/// Answers questions about the host. What a host does not know cannot be judged (`policy.md` 6, `failurePolicy`).
pub trait Host: fmt::Debug + Send + Sync {
    /// The path with every symbolic link followed.
    ///
    /// # Errors
    /// Why it is not known.
    fn real_path(&self, path: &str) -> Result<String, Unknown> {
        Err(unknown(path))
    }

    /// Whether a component of the path is a symbolic link.
    ///
    /// # Errors
    /// Why it is not known.
    fn has_symlink(&self, path: &str) -> Result<bool, Unknown> {
        Err(unknown(path))
    }

    /// Whether a user other than root can write to a folder, or put another one in its place (W131).
    ///
    /// # Errors
    /// Why it is not known.
    fn is_writable_by_others(&self, path: &str) -> Result<bool, Unknown> {
        Err(unknown(path))
    }

    /// The SHA-256 of a file.
    ///
    /// # Errors
    /// Why it is not known.
    fn sha256(&self, path: &str) -> Result<[u8; 32], Unknown> {
        Err(unknown(path))
    }

    /// What a file holds.
    ///
    /// # Errors
    /// Why it is not known.
    fn read(&self, path: &str) -> Result<Vec<u8>, Unknown> {
        Err(unknown(path))
    }

    /// All device nodes below a folder, at any depth.
    ///
    /// # Errors
    /// Why they are not known.
    fn device_nodes(&self, folder: &str) -> Result<Vec<DeviceNode>, Unknown> {
        Err(unknown(folder))
    }

    /// The memory that there is, in bytes.
    ///
    /// # Errors
    /// Why it is not known.
    fn memory_total(&self) -> Result<u64, Unknown> {
        Err(unknown("the host's memory"))
    }

    /// `kernel.pid_max`.
    ///
    /// # Errors
    /// Why it is not known.
    fn pid_max(&self) -> Result<u64, Unknown> {
        Err(unknown("kernel.pid_max"))
    }

    /// Our own hard limit of this type (`RLIMIT_NOFILE`).
    ///
    /// # Errors
    /// Why it is not known.
    fn hard_limit(&self, kind: &str) -> Result<u64, Unknown> {
        Err(unknown(kind))
    }

    /// The CPUs that are online, as a list of ranges.
    ///
    /// # Errors
    /// Why they are not known.
    fn cpus(&self) -> Result<String, Unknown> {
        Err(unknown("the host's CPUs"))
    }

    /// The memory nodes that are online, as a list of ranges.
    ///
    /// # Errors
    /// Why they are not known.
    fn memory_nodes(&self) -> Result<String, Unknown> {
        Err(unknown("the host's memory nodes"))
    }

    /// Whether a path is that of a namespace that the host's first process is in. One where nothing is, is not.
    ///
    /// # Errors
    /// Why it is not known.
    fn is_host_namespace(&self, path: &str) -> Result<bool, Unknown> {
        Err(unknown(path))
    }

    /// How long ago the host was started.
    ///
    /// # Errors
    /// Why it is not known.
    fn since_boot(&self) -> Result<Duration, Unknown> {
        Err(unknown("the time since boot"))
    }

    /// Annotations that the node's OCI runtimes report as potentially unsafe through `features`. Names that end with `.` are
    /// prefixes.
    fn unsafe_annotations(&self) -> &[String] {
        &[]
    }
}

/// A host of which nothing is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHost;

impl Host for NoHost {}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn unknown(what: &str) -> Unknown {
    Unknown(format!("look up {what}: nobody can be asked about the host here"))
}
