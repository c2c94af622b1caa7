//! `linux.devices`, the device rules of `linux.resources`, and CDI devices.

use std::collections::{BTreeMap, BTreeSet};

use nri_wire::api::{LinuxDevice, LinuxDeviceCgroup};
use nri_wire::field::{self, Entry, Field};
use serde_json::{Map, Value};

use super::error::ApplyError;
use super::keyed::{Wishes, check_keys, key_of};
use super::resolver::Failure;
use super::spec::{OBJECT, Spec, SpecError};
use crate::merge::Cuts;

type Inject = dyn Fn(&mut Value, &[&str]) -> Result<(), Failure> + Send + Sync;

/// One call for all CDI devices, in their order. Unlike in the reference they are not dropped in silence where
/// nobody injects them (quirk E11).
pub(super) fn inject(
    spec: &mut Spec,
    entries: &[Entry<'_>],
    inject: Option<&Inject>,
) -> Result<(), ApplyError> {
    let names: Vec<&str> = entries.iter().map(|entry| entry.key).collect();
    match inject {
        Some(inject) => inject(spec.json(), &names)
            .map_err(|source| ApplyError::Refused { field: Some(Field::CdiDevices), source }),
        None => Err(ApplyError::Unresolved {
            field: Field::CdiDevices,
            name: names.join(", "),
            remedy: "run the container with a runtime that injects CDI devices, or take them out of the plugin's answer",
        }),
    }
}

/// Replaces devices by path and appends new ones, and allows access to each. The rule of a device that is removed
/// stays, as in the reference: other devices may live by it.
pub(super) fn replace(spec: &mut Spec, entries: &[Entry<'_>], cuts: &Cuts) -> Result<(), ApplyError> {
    let wishes = Wishes::of(entries);
    let pointer = Field::Devices.info().oci;
    let Some(list) = wishes.list(spec, pointer)? else { return Ok(()) };
    check_keys(list, pointer, "path")?;
    wishes.clear(list, |element| key_of(element, "path"));
    let devices: Vec<&LinuxDevice> = wishes
        .sets()
        .into_iter()
        .filter_map(|(_, value)| match value {
            field::Value::Device(device) => Some(*device),
            _ => None,
        })
        .collect();
    list.extend(devices.iter().map(|device| to_oci(device)));
    let letters: BTreeMap<&str, String> =
        cuts.iter().map(|(path, access)| (path.as_str(), access.letters())).collect();
    add_rules(spec, devices.iter().filter_map(|device| Rule::of_device(device, &letters)))
}

fn to_oci(device: &LinuxDevice) -> Value {
    let LinuxDevice { path, r#type, major, minor, file_mode, uid, gid } = device;
    let mut map = Map::from_iter([
        ("path".to_owned(), path.as_str().into()),
        ("type".to_owned(), r#type.as_str().into()),
        ("major".to_owned(), (*major).into()),
        ("minor".to_owned(), (*minor).into()),
    ]);
    let optional = [
        ("fileMode", file_mode.as_ref().map(|mode| mode.value)),
        ("uid", uid.as_ref().map(|id| id.value)),
        ("gid", gid.as_ref().map(|id| id.value)),
    ];
    map.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?)))));
    Value::Object(map)
}

/// A device rule; what is equal has the same effect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rule<'a> {
    allow: bool,
    kind: &'a str,
    major: Option<i64>,
    minor: Option<i64>,
    access: &'a str,
}

impl<'a> Rule<'a> {
    pub(super) fn of(rule: &'a LinuxDeviceCgroup) -> Self {
        let LinuxDeviceCgroup { allow, r#type, major, minor, access } = rule;
        let (major, minor) = (major.as_ref().map(|n| n.value), minor.as_ref().map(|n| n.value));
        Self { allow: *allow, kind: r#type, major, minor, access }
    }

    /// The rule that lets a container use a device that it is given: all of it, since the mode of the file
    /// says nothing about what the device is (quirk E7), unless the policy cuts that. A FIFO has no rules.
    fn of_device(device: &LinuxDevice, letters: &'a BTreeMap<&str, String>) -> Option<Self> {
        let kind = match device.r#type.as_str() {
            "b" => "b",
            "c" | "u" => "c",
            _ => return None,
        };
        let (major, minor) = (Some(device.major), Some(device.minor));
        let access = letters.get(device.path.as_str()).map_or("rwm", String::as_str);
        (!access.is_empty()).then_some(Rule { allow: true, kind, major, minor, access })
    }

    /// The rule of an element of the spec, if it is one and has nothing that we do not know.
    fn read(element: &'a Map<String, Value>) -> Option<Self> {
        let mut rule = Self { allow: false, kind: "", major: None, minor: None, access: "" };
        for (name, value) in element {
            match (name.as_str(), value) {
                (_, Value::Null) => {}
                ("allow", Value::Bool(allow)) => rule.allow = *allow,
                ("type", Value::String(kind)) => rule.kind = kind,
                ("major", number) => rule.major = Some(number.as_i64()?),
                ("minor", number) => rule.minor = Some(number.as_i64()?),
                ("access", Value::String(access)) => rule.access = access,
                _ => return None,
            }
        }
        Some(rule)
    }

    fn to_oci(&self) -> Value {
        let mut map = Map::from_iter([("allow".to_owned(), self.allow.into())]);
        let members = [
            ("type", Some(self.kind).filter(|kind| !kind.is_empty()).map(Value::from)),
            ("major", self.major.map(Value::from)),
            ("minor", self.minor.map(Value::from)),
            ("access", Some(self.access).filter(|access| !access.is_empty()).map(Value::from)),
        ];
        map.extend(members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Value::Object(map)
    }
}

/// Appends rules. One that is there already moves to the end instead of standing there twice: rules apply in order,
/// so the last of equal ones decides and the earlier ones have no effect.
pub(super) fn add_rules<'a>(
    spec: &mut Spec,
    rules: impl Iterator<Item = Rule<'a>>,
) -> Result<(), ApplyError> {
    let mut last = BTreeMap::new();
    for (at, rule) in rules.enumerate() {
        last.insert(rule, at);
    }
    if last.is_empty() {
        return Ok(());
    }
    let pointer = Field::DeviceCgroup.info().oci;
    let list = spec.list(pointer)?;
    if let Some((index, other)) = list.iter().enumerate().find(|(_, element)| !element.is_object()) {
        return Err(SpecError::new(format!("{pointer}/{index}"), OBJECT, other).into());
    }
    let known: BTreeSet<&Rule<'_>> = last.keys().collect();
    list.retain(|element| {
        let rule = element.as_object().and_then(Rule::read);
        !rule.is_some_and(|rule| known.contains(&rule))
    });
    let mut ordered: Vec<_> = last.iter().collect();
    ordered.sort_unstable_by_key(|(_, at)| **at);
    list.extend(ordered.into_iter().map(|(rule, _)| rule.to_oci()));
    Ok(())
}
