//! Reading an OCI runtime spec, and JSON files in general, with messages that name the place.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::failure::Failure;

/// Reads a spec from a file.
///
/// # Errors
/// The file cannot be read or holds no JSON object; the message names the place.
pub(crate) fn read(file: &Path) -> Result<Value, Failure> {
    let shown = file.display();
    let text =
        std::fs::read(file).map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
    parse(&text, &shown.to_string())
}

/// Parses a spec; `name` is what messages call it.
///
/// # Errors
/// The text is no JSON object.
pub(crate) fn parse(text: &[u8], name: &str) -> Result<Value, Failure> {
    let spec = json(text, name, "an OCI runtime spec")?;
    for member in ["", "/root", "/process", "/linux"] {
        if spec.pointer(member).is_some_and(|value| !value.is_object()) {
            let what = member.strip_prefix('/').unwrap_or("an OCI runtime spec");
            return Err(Failure::usage(format!("{name}: {what} must be a JSON object")));
        }
    }
    Ok(spec)
}

/// Parses JSON.
///
/// # Errors
/// The text is no JSON; the message names line and column, and what is expected.
pub(crate) fn json(text: &[u8], name: &str, expected: &str) -> Result<Value, Failure> {
    serde_json::from_slice(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let text = text.split(" at line ").next().unwrap_or_default();
        Failure::usage(format!("{name}:{line}:{column}: not JSON: {text}; {expected} is expected"))
    })
}

/// A section of a spec, made where it is missing.
pub(crate) fn section<'a>(spec: &'a mut Value, name: &str) -> Option<&'a mut Map<String, Value>> {
    spec.as_object_mut()?.entry(name).or_insert_with(|| json!({})).as_object_mut()
}
