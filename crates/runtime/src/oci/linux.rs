//! `annotations`, and of `linux`: namespaces, sysctl, network devices, memory policy.

use std::collections::BTreeMap;

use nri_wire::api::{LinuxMemoryPolicy, LinuxNetDevice, MpolFlag, MpolMode};
use nri_wire::field::{self, Entry, Field, is_marked};
use serde_json::{Value, json};

use super::error::ApplyError;
use super::keyed::{Wishes, check_keys, key_of, put_member};
use super::process::{names, unknown};
use super::resolver::Failure;
use super::spec::Spec;

type Filter = dyn Fn(BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Failure> + Send + Sync;

/// A map of texts: annotations, sysctl. Removals come first (quirks D3, E1).
pub(super) fn texts(
    spec: &mut Spec,
    entries: &[Entry<'_>],
    filter: Option<&Filter>,
) -> Result<(), ApplyError> {
    let Some(field) = entries.first().map(|entry| entry.field) else { return Ok(()) };
    let text = |entry: &Entry<'_>| match entry.value {
        Some(field::Value::Text(text)) => text.to_owned(),
        _ => String::new(),
    };
    let pointer = field.info().oci;
    let Some(filter) = filter else {
        let wishes = Wishes::of(entries);
        return Ok(wishes.patch_map(spec, pointer, |value| match value {
            field::Value::Text(text) => Value::from(*text),
            _ => Value::Null,
        })?);
    };
    let map = entries
        .iter()
        .map(|entry| match entry.value {
            Some(_) => (entry.key.to_owned(), text(entry)),
            None => (format!("-{}", entry.key), String::new()),
        })
        .collect();
    let map = filter(map).map_err(|source| ApplyError::Refused { field: Some(field), source })?;
    let wishes = Wishes::new(map.iter().map(|(key, text)| match is_marked(key) {
        Some(key) => (key, None),
        None => (key.as_str(), Some(text.as_str())),
    }));
    Ok(wishes.patch_map(spec, pointer, |text| Value::from(*text))?)
}

/// The types that the OCI specification knows. `time` is among them, other than in the editor that containerd 2.3 pins
/// (`spec/README.md` correction 1).
const NAMESPACES: [&str; 8] = ["pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"];

/// An empty path makes a new namespace.
pub(super) fn namespaces(spec: &mut Spec, entries: &[Entry<'_>]) -> Result<(), ApplyError> {
    if let Some(entry) = entries.iter().find(|entry| !NAMESPACES.contains(&entry.key)) {
        return Err(ApplyError::Invalid {
            field: entry.field,
            key: entry.key.to_owned(),
            why: format!("the types are {}", NAMESPACES.join(", ")),
        });
    }
    let wishes = Wishes::of(entries);
    let pointer = Field::Namespaces.info().oci;
    let Some(list) = wishes.list(spec, pointer)? else { return Ok(()) };
    check_keys(list, pointer, "type")?;
    wishes.patch(
        list,
        |element| key_of(element, "type"),
        |element, kind, value| {
            put_member(element, "type", kind);
            match value {
                field::Value::Text(path) if !path.is_empty() => put_member(element, "path", *path),
                _ => {
                    if let Some(map) = element.as_object_mut() {
                        map.shift_remove("path");
                    }
                }
            }
        },
    );
    Ok(())
}

pub(super) fn net_devices(spec: &mut Spec, entries: &[Entry<'_>]) -> Result<(), ApplyError> {
    Ok(Wishes::of(entries).patch_map(spec, Field::NetDevices.info().oci, |value| match value {
        field::Value::NetDevice(LinuxNetDevice { name }) if !name.is_empty() => json!({"name": name}),
        _ => json!({}),
    })?)
}

pub(super) fn memory_policy(spec: &mut Spec, entries: &[Entry<'_>]) -> Result<(), ApplyError> {
    for entry in entries {
        let Some(field::Value::MemoryPolicy(LinuxMemoryPolicy { mode, nodes, flags })) = entry.value else {
            continue;
        };
        let name = MpolMode::try_from(*mode).map_err(|_| unknown(entry.field, "mode", *mode))?;
        let flags = names(entry.field, flags, |n| MpolFlag::try_from(n).ok().map(|flag| flag.as_str_name()))?;
        let mut policy = json!({"mode": name.as_str_name(), "nodes": nodes});
        if !flags.is_empty() {
            put_member(&mut policy, "flags", flags);
        }
        spec.put(entry.field.info().oci, policy)?;
    }
    Ok(())
}
