//! NRI versions: which features a peer has (`spec/api.md` 8, `spec/wire.md` 7).

use std::fmt;

/// A version of the protocol's module. Features come with releases, so only releases are told apart.
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
}

impl fmt::Display for NriVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}", self.major, self.minor, self.patch)
    }
}
