//! `linux.intelRdt`, beyond the class.

use nri_wire::field::{self, Entry, Field};

use super::error::ApplyError;
use super::resources::scalar;
use super::spec::Spec;

/// "Remove and set" starts from an empty section: nothing of the old class of service is left behind (quirk E12). It
/// runs after the RDT class, so it refines or overrides the class. An empty CLOS id, and empty schemata, clear the
/// member (`spec/README.md` correction 12) and create no section, which would be a class of its own to a runtime.
pub(super) fn apply(spec: &mut Spec, entries: &[Entry<'_>]) -> Result<(), ApplyError> {
    if entries.iter().any(|entry| entry.field == Field::RdtRemove) {
        spec.remove(Field::RdtRemove.info().oci)?;
    }
    for entry in entries {
        let pointer = entry.field.info().oci;
        match &entry.value {
            None => {}
            Some(field::Value::Text("") | field::Value::Lines([])) => spec.remove(pointer)?,
            Some(field::Value::Lines(lines)) => spec.put(pointer, *lines)?,
            Some(value) => {
                if let Some(value) = scalar(value) {
                    spec.put(pointer, value)?;
                }
            }
        }
    }
    Ok(())
}
