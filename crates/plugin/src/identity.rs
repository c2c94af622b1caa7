//! Who a plugin is (`spec/stub.md` 1, quirk F8): name and index from the builder, the environment, or the program's name.

use std::fmt;

use nri_wire::name::{NameError, PluginName};

/// A name and an index, each if known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) index: Option<&'a str>,
}

/// Why a plugin has no name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentityError {
    /// There is no index.
    NoIndex,
    /// There is no name.
    NoName,
    /// The name or the index is refused.
    Name(NameError),
}

/// Name and index are looked for one by one: what the builder says, else the environment, else the program's
/// name, which is split as `NN-name` where it has that form.
pub(crate) fn resolve(
    explicit: Identity<'_>,
    environment: Identity<'_>,
    program: &str,
) -> Result<PluginName, IdentityError> {
    let base = program.rsplit('/').next().unwrap_or(program);
    let from_program = match base.split_once('-') {
        Some((index, name)) if index.len() == 2 && index.bytes().all(|b| b.is_ascii_digit()) => {
            Identity { name: Some(name), index: Some(index) }
        }
        _ => Identity { name: Some(base), index: None },
    };
    let said = |part: fn(Identity<'_>) -> Option<&str>| {
        let said = |identity| part(identity).filter(|text| !text.is_empty()).map(str::to_owned);
        [explicit, environment, from_program].into_iter().find_map(said)
    };
    let name = said(|identity| identity.name).ok_or(IdentityError::NoName)?;
    let index = said(|identity| identity.index).ok_or(IdentityError::NoIndex)?;
    PluginName::new(&index, &name).map_err(IdentityError::Name)
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoIndex => f.write_str(
                "no plugin index: name the program `NN-name` (two digits), set NRI_PLUGIN_IDX, or call Builder::index",
            ),
            Self::NoName => f.write_str("no plugin name: set NRI_PLUGIN_NAME or call Builder::name"),
            Self::Name(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for IdentityError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quirk F8: what is said explicitly wins, each part for itself.
    #[test]
    fn names_and_where_they_come_from() {
        let id = |name, index| Identity { name, index };
        let none = Identity::default();
        for (explicit, environment, program, expect) in [
            (none, none, "/opt/nri/plugins/10-logger", Ok("10-logger")),
            (none, none, "10-topology-aware", Ok("10-topology-aware")),
            (id(Some("a"), None), none, "10-logger", Ok("10-a")),
            (id(None, Some("20")), none, "10-logger", Ok("20-logger")),
            (id(Some("a"), Some("20")), id(Some("b"), Some("30")), "10-logger", Ok("20-a")),
            (none, id(Some("b"), Some("30")), "10-logger", Ok("30-b")),
            (none, id(Some(""), Some("")), "10-logger", Ok("10-logger")),
            (none, id(None, Some("30")), "logger", Ok("30-logger")),
            (none, none, "logger", Err(IdentityError::NoIndex)),
            (none, none, "1x-logger", Err(IdentityError::NoIndex)),
            (none, none, "", Err(IdentityError::NoName)),
            (
                id(None, Some("123")),
                none,
                "logger",
                Err(IdentityError::Name(NameError::IndexLength("123".to_owned()))),
            ),
        ] {
            let found = resolve(explicit, environment, program);
            assert_eq!(found.as_ref().map(PluginName::full), expect.as_ref().copied(), "{program}");
        }
    }
}
