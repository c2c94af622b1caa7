//! NRI versions: which features a peer has (`spec/api.md` 8, `spec/wire.md` 7).
//!
//! Nothing is negotiated on the wire. A runtime of NRI 0.12 or later says its version when it configures a plugin; for
//! older ones it follows from the engine's name and version.

mod engine;
mod semver;

use std::fmt;
use std::str::FromStr;

pub use engine::infer;
pub use semver::{Semver, closest, strip_git_suffix};

use crate::event::EventMask;
use crate::field::Field;

/// A version of the protocol's module. Features come with releases, so only releases are told apart.
///
/// ```
/// use nri_wire::field::Field;
/// use nri_wire::version::NriVersion;
/// let version: NriVersion = "0.11.0-37-g41b9c58".parse()?;
/// assert_eq!(version, NriVersion::new(0, 11, 0));
/// assert!(version.supports(Field::Sysctl) && !version.supports(Field::MemoryPolicy));
/// assert!("(devel)".parse::<NriVersion>().is_err());
/// # Ok::<(), nri_wire::version::NoVersion>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NriVersion {
    major: u16,
    minor: u16,
    patch: u16,
}

impl NriVersion {
    /// The version that this crate speaks, and names when it registers or configures.
    pub const CURRENT: Self = Self::new(0, 12, 5);

    /// A release.
    #[must_use]
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }

    /// The version of a runtime: the one that it tells, or else the one that its engine's version is known
    /// to have. `None` if neither says anything.
    ///
    /// ```
    /// use nri_wire::version::NriVersion;
    /// assert_eq!(NriVersion::of_runtime("", "containerd", "v2.2.4"), Some(NriVersion::new(0, 11, 0)));
    /// assert_eq!(NriVersion::of_runtime("v0.12.3", "docker", "29.1.0"), Some(NriVersion::new(0, 12, 3)));
    /// assert_eq!(NriVersion::of_runtime("(devel)", "mine", "1.0"), None);
    /// ```
    #[must_use]
    pub fn of_runtime(told: &str, runtime_name: &str, runtime_version: &str) -> Option<Self> {
        told.parse().ok().or_else(|| infer(runtime_name, runtime_version))
    }

    /// Whether adjustments carry the field. Older runtimes drop it without a word.
    #[must_use]
    pub fn supports(self, field: Field) -> bool {
        self >= field.info().since
    }

    /// The events that a runtime of this version knows; it refuses a subscription to others.
    #[must_use]
    pub fn events(self) -> EventMask {
        if self >= Self::new(0, 10, 0) { EventMask::ALL } else { EventMask::BEFORE_0_10 }
    }

    /// Whether each event has its own call; before, nine of them are `StateChange`.
    #[must_use]
    pub fn has_dedicated_calls(self) -> bool {
        self >= Self::new(0, 12, 0)
    }

    /// Whether state may be told in parts, and `Configure` carries the time-outs.
    #[must_use]
    pub fn splits_synchronize(self) -> bool {
        self >= Self::new(0, 7, 0)
    }

    /// Whether a runtime of this version survives a sysctl adjustment, and a seccomp rule with an errno. Before
    /// 0.12 either ends the engine's process (`spec/wire.md` 7.3, `engines.md` 5).
    #[must_use]
    pub fn survives_sysctl_and_errno(self) -> bool {
        self >= Self::new(0, 12, 0)
    }

    /// Whether the removal of a sysctl has an effect (`spec/wire.md` 7.3, `spec/README.md`).
    #[must_use]
    pub fn removes_sysctl(self) -> bool {
        self >= Self::new(0, 12, 3)
    }

    /// Whether a plugin may call `UpdateContainers` from within a handler. Before 0.12.1 that waits for the
    /// very request that is being handled.
    #[must_use]
    pub fn takes_updates_at_any_time(self) -> bool {
        self >= Self::new(0, 12, 1)
    }
}

impl fmt::Display for NriVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// What Go builds without a version call themselves.
const NOTHING: NriVersion = NriVersion::new(0, 0, 0);

/// A text that does not say a version: empty, `(devel)`, `0.0.0-unknown`, or something else altogether.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoVersion(pub String);

impl fmt::Display for NoVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} does not say an NRI version", self.0)
    }
}

impl std::error::Error for NoVersion {}

impl FromStr for NriVersion {
    type Err = NoVersion;

    /// With or without a leading `v`. Builds after a release count as that release. So do pre-releases of a
    /// release with new features; those of a patch release (Go's pseudo-versions) count as the one before.
    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let none = || NoVersion(text.to_owned());
        let version = Semver::parse(text).ok_or_else(none)?;
        let [major, minor, patch] = version.release.map(u16::try_from);
        let (Ok(major), Ok(minor), Ok(patch)) = (major, minor, patch) else { return Err(none()) };
        let is_before = version.is_pre_release() && patch > 0;
        match Self::new(major, minor, patch - u16::from(is_before)) {
            NOTHING => Err(none()),
            version => Ok(version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_from_text() {
        for (text, version) in [
            ("v0.12.5", Some((0, 12, 5))),
            ("0.12.5", Some((0, 12, 5))),
            ("v0.12", Some((0, 12, 0))),
            ("v0.11.0-37-g41b9c58", Some((0, 11, 0))),
            ("v0.3.1-0.20230504231226-94185418e253", Some((0, 3, 0))),
            ("v0.12.0-rc.1", Some((0, 12, 0))),
            ("v0.12.3+incompatible", Some((0, 12, 3))),
            ("", None),
            ("(devel)", None),
            ("0.0.0-unknown", None),
            ("v0.0.0-unknown", None),
            ("v0.0.1-0.20230504231226-94185418e253", None),
            ("v", None),
            ("v0.99999999999999999999", None),
            ("v0.70000.0", None),
        ] {
            let expect = version.map(|(major, minor, patch)| NriVersion::new(major, minor, patch));
            assert_eq!(text.parse().ok(), expect, "{text}");
        }
    }

    #[test]
    fn features() {
        let version = |minor, patch| NriVersion::new(0, minor, patch);
        assert_eq!(version(9, 0).events(), EventMask::BEFORE_0_10);
        assert_eq!(version(10, 0).events(), EventMask::ALL);
        assert!(!version(11, 0).has_dedicated_calls() && version(12, 0).has_dedicated_calls());
        assert!(!version(6, 1).splits_synchronize() && version(7, 0).splits_synchronize());
        assert!(!version(10, 0).supports(Field::Sysctl) && version(11, 0).supports(Field::Sysctl));
        assert!(!version(11, 0).survives_sysctl_and_errno());
        assert!(!version(12, 2).removes_sysctl() && version(12, 3).removes_sysctl());
        assert!(!version(12, 0).takes_updates_at_any_time());
    }
}
