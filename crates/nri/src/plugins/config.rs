//! Configuration texts of bundled plugins: YAML, strict, errors with position.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// The file of `--config`, if there is one. It holds until the runtime sends a text of its own.
#[derive(Default)]
pub(super) struct Given(Option<(PathBuf, String)>);

impl Given {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Self(Some((path.to_owned(), text)))),
            Err(error) => Err(Failure::usage(format!("failed to read {}: {error}", path.display()))),
        }
    }

    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        let Some((path, text)) = &self.0 else { return Ok(None) };
        parse(text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
    }
}

/// Reads a text. One without content, or with comments only, is `None`.
///
/// # Errors
/// What is wrong, with line and column.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<Option<T>, String> {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options::<Option<T>>(text, options)
        .map_err(|error| error.without_snippet().to_string())
}

/// The configuration that is in force: handlers take it, Configure changes it.
pub(super) struct Current<T>(RwLock<Arc<T>>);

impl<T> Current<T> {
    pub(super) fn new(value: T) -> Self {
        Self(RwLock::new(Arc::new(value)))
    }

    pub(super) fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}
