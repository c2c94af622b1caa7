//! Plugin names and indices (`spec/api.md` 6): `NN-name`, two digits that order the plugins and a base name.

use std::fmt;
use std::str::FromStr;

use crate::limits::NAME_MAX;

/// Longest base name, without two digits and a dash.
const BASE_MAX: usize = NAME_MAX - 3;

/// A plugin's index and base name, checked. Ordered by index, then name.
///
/// ```
/// use nri_wire::name::PluginName;
/// let name: PluginName = "10-topology-aware".parse()?;
/// assert_eq!((name.index(), name.base()), ("10", "topology-aware"));
/// assert!("topology".parse::<PluginName>().is_err());
/// # Ok::<(), nri_wire::name::NameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginName {
    full: String,
}

/// Why a name or index is refused. The texts are the reference's, so that plugins' authors find them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// The index is not of length two.
    IndexLength(String),
    /// The index has something else than digits.
    IndexDigits(String),
    /// The base name is empty.
    Empty,
    /// The base name has so many bytes, which is more than a file's name may have with the index. The reference takes it.
    TooLong(usize),
    /// The base name has a character outside `A–Z a–z 0–9 - _ . +`.
    Character(String, char),
    /// There is no `-` between index and base name.
    NoIndex(String),
}

impl PluginName {
    /// Joins a checked index and a checked base name.
    ///
    /// # Errors
    /// A [`NameError`] for the first rule that is broken; the name is looked at first, as in the reference.
    pub fn new(index: &str, base: &str) -> Result<Self, NameError> {
        check_base(base)?;
        check_index(index)?;
        Ok(Self { full: format!("{index}-{base}") })
    }

    /// The two digits.
    #[must_use]
    pub fn index(&self) -> &str {
        self.full.split_once('-').map_or("", |(index, _)| index)
    }

    /// The name without its index.
    #[must_use]
    pub fn base(&self) -> &str {
        self.full.split_once('-').map_or("", |(_, base)| base)
    }

    /// `NN-name`, as it stands in ownership, conflicts and logs.
    #[must_use]
    pub fn full(&self) -> &str {
        &self.full
    }
}

impl FromStr for PluginName {
    type Err = NameError;

    /// Splits at the first `-`, as file names of plugins are split.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (index, base) = text.split_once('-').ok_or_else(|| NameError::NoIndex(text.to_owned()))?;
        check_index(index)?;
        check_base(base)?;
        Ok(Self { full: text.to_owned() })
    }
}

impl fmt::Display for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

impl fmt::Debug for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IndexLength(index) => write!(f, "invalid plugin index {index:?}, must be 2 digits"),
            Self::IndexDigits(index) => write!(f, "invalid plugin index {index:?} (not [0-9][0-9])"),
            Self::Empty => f.write_str("invalid plugin name: name is empty"),
            Self::TooLong(length) => {
                write!(f, "invalid plugin name: {length} bytes, at most {BASE_MAX} are taken")
            }
            Self::Character(name, c) => {
                write!(f, "invalid plugin name {name:?}: contains invalid character {c:?}")
            }
            Self::NoIndex(name) => write!(f, "invalid plugin name {name:?}, idx-pluginname expected"),
        }
    }
}

impl std::error::Error for NameError {}

fn check_index(index: &str) -> Result<(), NameError> {
    if index.len() != 2 {
        return Err(NameError::IndexLength(index.to_owned()));
    }
    if index.bytes().all(|b| b.is_ascii_digit()) {
        Ok(())
    } else {
        Err(NameError::IndexDigits(index.to_owned()))
    }
}

fn check_base(base: &str) -> Result<(), NameError> {
    if base.is_empty() {
        return Err(NameError::Empty);
    }
    if base.len() > BASE_MAX {
        return Err(NameError::TooLong(base.len()));
    }
    match base.chars().find(|&c| !(c.is_ascii_alphanumeric() || "-_.+".contains(c))) {
        Some(c) => Err(NameError::Character(base.to_owned(), c)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CONF-113 and the texts of `spec/api.md` 6.
    #[test]
    fn names() {
        let ok = PluginName::new("00", "abcd-0123+EFGH_4567.ijkl").unwrap();
        assert_eq!(ok.full(), "00-abcd-0123+EFGH_4567.ijkl");
        for (index, base, text) in [
            ("00", "foo,bar", "invalid plugin name \"foo,bar\": contains invalid character ','"),
            ("00", "", "invalid plugin name: name is empty"),
            ("0", "a", "invalid plugin index \"0\", must be 2 digits"),
            ("0x", "a", "invalid plugin index \"0x\" (not [0-9][0-9])"),
        ] {
            assert_eq!(PluginName::new(index, base).unwrap_err().to_string(), text);
        }
        let long = "x".repeat(BASE_MAX);
        assert_eq!(PluginName::new("00", &long).unwrap().full().len(), NAME_MAX);
        assert_eq!(PluginName::new("00", &format!("{long}x")), Err(NameError::TooLong(BASE_MAX + 1)));
        assert_eq!(
            "logger".parse::<PluginName>().unwrap_err().to_string(),
            "invalid plugin name \"logger\", idx-pluginname expected"
        );
    }
}
