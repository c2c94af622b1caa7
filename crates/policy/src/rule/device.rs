//! Devices and device rules: type and number, letters of access, nodes of the host (`policy.md` 4, rows 4 and `deviceCgroup`).

use nri_wire::field::Value;

use super::glob::Glob;
use crate::host::{Host, Unknown};
use crate::path::clean;

/// Letters of a device rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// `r`
    pub read: bool,
    /// `w`
    pub write: bool,
    /// `m`
    pub mknod: bool,
}

/// `c 195:*`; `None` is any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DevicePattern {
    pub(super) kind: Option<char>,
    pub(super) major: Option<i64>,
    pub(super) minor: Option<i64>,
}

/// A device's type and number, as far as they are given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    kind: Option<char>,
    major: Option<i64>,
    minor: Option<i64>,
}

impl Access {
    /// Everything.
    pub const ALL: Self = Self { read: true, write: true, mknod: true };
    /// Nothing.
    pub const NONE: Self = Self { read: false, write: false, mknod: false };

    /// Reads a set of the letters `rwm`.
    #[must_use]
    pub fn read(letters: &str) -> Option<Self> {
        let mut access = Self { read: false, write: false, mknod: false };
        for letter in letters.chars() {
            match letter {
                'r' => access.read = true,
                'w' => access.write = true,
                'm' => access.mknod = true,
                _ => return None,
            }
        }
        Some(access)
    }

    /// Of a rule: no letters are all letters.
    pub(super) fn of_rule(letters: &str) -> Option<Self> {
        if letters.is_empty() { Some(Self::ALL) } else { Self::read(letters) }
    }

    pub(super) const fn is_within(self, other: Self) -> bool {
        (!self.read || other.read) && (!self.write || other.write) && (!self.mknod || other.mknod)
    }

    /// What is in both.
    #[must_use]
    pub const fn meet(self, other: Self) -> Self {
        Self {
            read: self.read && other.read,
            write: self.write && other.write,
            mknod: self.mknod && other.mknod,
        }
    }

    /// What is in either.
    #[must_use]
    pub const fn join(self, other: Self) -> Self {
        Self {
            read: self.read || other.read,
            write: self.write || other.write,
            mknod: self.mknod || other.mknod,
        }
    }

    /// The letters, in the order `rwm`.
    #[must_use]
    pub fn letters(self) -> String {
        [(self.read, 'r'), (self.write, 'w'), (self.mknod, 'm')]
            .into_iter()
            .filter_map(|(given, letter)| given.then_some(letter))
            .collect()
    }
}

impl DevicePattern {
    /// What is absent, or of every type, is covered by `*` alone.
    pub(super) fn covers(self, number: Number) -> bool {
        let number_of = |wanted: Option<i64>, found: Option<i64>| wanted.is_none_or(|w| found == Some(w));
        self.kind.is_none_or(|kind| number.kind == Some(kind))
            && number_of(self.major, number.major)
            && number_of(self.minor, number.minor)
    }
}

impl Number {
    pub(super) fn of(value: &Value<'_>) -> Option<Self> {
        let kind = |kind: &str| match kind {
            "b" => Some('b'),
            "c" | "u" => Some('c'),
            "p" => Some('p'),
            _ => None,
        };
        match value {
            Value::Device(device) => Some(Self {
                kind: Some(kind(&device.r#type)?),
                major: Some(device.major),
                minor: Some(device.minor),
            }),
            Value::DeviceRule(rule) => {
                let given = |n: Option<i64>| n.filter(|n| *n >= 0);
                Some(Self {
                    kind: kind(&rule.r#type),
                    major: given(rule.major.as_ref().map(|n| n.value)),
                    minor: given(rule.minor.as_ref().map(|n| n.value)),
                })
            }
            _ => None,
        }
    }
}

/// Whether a device, or what a device rule is about, is a node of the host whose path matches: by numbers, not by its own path
/// (F15).
pub(super) fn is_host_node(glob: &Glob, value: &Value<'_>, host: &dyn Host) -> Result<bool, Unknown> {
    let Some(Number { kind: Some(kind), major: Some(major), minor: Some(minor) }) = Number::of(value) else {
        return Ok(false);
    };
    let nodes = host.device_nodes(glob.folder().unwrap_or("/dev"))?;
    Ok(nodes.iter().any(|node| {
        (node.kind, node.major, node.minor) == (kind, major, minor) && glob.is_match(&clean(&node.path))
    }))
}
