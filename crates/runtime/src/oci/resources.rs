//! `linux.resources`, of an adjustment and of an update.

use nri_wire::api::ContainerUpdate;
use nri_wire::field::{self, Entry, Field};
use serde_json::{Value, json};

use super::device;
use super::error::ApplyError;
use super::keyed::{Wishes, check_keys, key_of, put_member};
use super::resolver::{Failure, Resolvers};
use super::spec::Spec;
use super::stage::Stage;

/// What runtimes write for "no limit of processes".
const UNLIMITED: i64 = -1;

type Resolve = dyn Fn(&str) -> Result<Value, Failure> + Send + Sync;

/// Memory, CPU, processes, huge pages, unified keys and device rules of an adjustment.
///
/// A memory limit of 0 says nothing (`spec/README.md` correction 14). Another one is the limit of memory and swap
/// together too, unless the adjustment sets that itself (quirk E3).
pub(super) fn apply(spec: &mut Spec, entries: &[Entry<'_>]) -> Result<(), ApplyError> {
    let sets_swap = entries.iter().any(|entry| entry.field == Field::MemorySwap);
    for entry in entries.iter().filter(|entry| entry.field == Field::MemoryLimit) {
        if let Some(field::Value::Int(limit)) = entry.value
            && limit != 0
        {
            spec.put(Field::MemoryLimit.info().oci, limit)?;
            if !sets_swap {
                spec.put(Field::MemorySwap.info().oci, limit)?;
            }
        }
    }
    let others: Vec<Entry<'_>> =
        entries.iter().filter(|entry| entry.field != Field::MemoryLimit).cloned().collect();
    values(spec, &others)
}

/// Everything that an adjustment and an update have in common.
fn values(spec: &mut Spec, entries: &[Entry<'_>]) -> Result<(), ApplyError> {
    let (keyed, scalar): (Vec<_>, Vec<_>) = entries.iter().cloned().partition(|entry| {
        matches!(entry.field, Field::Hugepages | Field::Unified | Field::DeviceCgroup | Field::PidsLimit)
    });
    scalars(spec, &scalar)?;
    let of = |field| keyed.iter().filter(|entry| entry.field == field).cloned().collect::<Vec<_>>();
    hugepages(spec, &of(Field::Hugepages))?;
    Wishes::of(&of(Field::Unified))
        .patch_map(spec, Field::Unified.info().oci, |value| self::scalar(value).unwrap_or_default())?;
    for entry in of(Field::PidsLimit) {
        // Quirk E6: written out, "unlimited" lifts a limit that the spec has.
        if let Some(field::Value::Int(limit)) = entry.value {
            spec.put(entry.field.info().oci, limit.max(UNLIMITED))?;
        }
    }
    let rules = of(Field::DeviceCgroup);
    device::add_rules(
        spec,
        rules.iter().filter_map(|entry| match entry.value {
            Some(field::Value::DeviceRule(rule)) => Some(device::Rule::of(rule)),
            _ => None,
        }),
    )
}

/// Fields of one plain value, each at its place.
pub(super) fn scalars(spec: &mut Spec, entries: &[Entry<'_>]) -> Result<(), ApplyError> {
    for entry in entries {
        if let Some(value) = entry.value.as_ref().and_then(scalar) {
            spec.put(entry.field.info().oci, value)?;
        }
    }
    Ok(())
}

/// A plain value as JSON.
pub(super) fn scalar(value: &field::Value<'_>) -> Option<Value> {
    match *value {
        field::Value::Int(n) => Some(n.into()),
        field::Value::UInt(n) => Some(n.into()),
        field::Value::Bool(b) => Some(b.into()),
        field::Value::Text(text) => Some(text.into()),
        _ => None,
    }
}

fn hugepages(spec: &mut Spec, entries: &[Entry<'_>]) -> Result<(), ApplyError> {
    let wishes = Wishes::of(entries);
    let pointer = Field::Hugepages.info().oci;
    let Some(list) = wishes.list(spec, pointer)? else { return Ok(()) };
    check_keys(list, pointer, "pageSize")?;
    wishes.patch(
        list,
        |element| key_of(element, "pageSize"),
        |element, size, value| {
            put_member(element, "pageSize", size);
            put_member(element, "limit", scalar(value).unwrap_or_default());
        },
    );
    Ok(())
}

/// A block I/O or RDT class: the empty one removes the section, another one is resolved into it (quirk E11).
pub(super) fn class(
    spec: &mut Spec,
    entries: &[Entry<'_>],
    resolve: Option<&Resolve>,
) -> Result<(), ApplyError> {
    for entry in entries {
        let Some(field::Value::Text(class)) = entry.value else { continue };
        let (field, pointer) = (entry.field, entry.field.info().oci);
        if class.is_empty() {
            spec.remove(pointer)?;
            continue;
        }
        let Some(resolve) = resolve else {
            return Err(ApplyError::Unresolved {
                field,
                name: class.to_owned(),
                remedy: "give classes to whoever runs the container, or take the class out of the plugin's answer",
            });
        };
        let section = resolve(class).map_err(|source| ApplyError::Refused { field: Some(field), source })?;
        spec.put(pointer, section)?;
    }
    Ok(())
}

/// The resources of an update as the `LinuxResources` of the OCI specification, which `runc update --resources` reads.
/// Only what the update sets is in it; a memory limit stands alone, as in the reference. Device rules of updates
/// have no effect and are left out (`spec/adaptation.md` 9).
///
/// # Errors
///
/// [`ApplyError::Unresolved`] for a block I/O class without a resolver, and for an RDT class other than the empty one:
/// OCI resources have no place for it.
///
/// ```
/// use nri_runtime::oci::{Resolvers, update};
/// use nri_wire::api::{ContainerUpdate, LinuxContainerUpdate, LinuxCpu, LinuxResources};
///
/// let cpu = LinuxCpu { shares: Some(512.into()), ..Default::default() };
/// let resources = Some(LinuxResources { cpu: Some(cpu), ..Default::default() });
/// let change = ContainerUpdate { linux: Some(LinuxContainerUpdate { resources }), ..Default::default() };
/// assert_eq!(update(&change, &Resolvers::default())?.to_string(), r#"{"cpu":{"shares":512}}"#);
/// # Ok::<(), nri_runtime::oci::ApplyError>(())
/// ```
pub fn update(update: &ContainerUpdate, with: &Resolvers) -> Result<Value, ApplyError> {
    let mut spec = Spec::new(json!({"linux": {"resources": {}}}));
    let (plain, classes): (Vec<_>, Vec<_>) =
        field::update(update).into_iter().partition(|entry| Stage::of(entry.field) == Stage::Resources);
    values(&mut spec, &plain)?;
    for entry in &classes {
        match (entry.field, &entry.value) {
            (Field::BlockioClass, _) => {
                class(&mut spec, std::slice::from_ref(entry), with.blockio.as_deref())?;
            }
            (field, Some(field::Value::Text(class))) if !class.is_empty() => {
                return Err(ApplyError::Unresolved {
                    field,
                    name: (*class).to_owned(),
                    remedy: "move the container's tasks in resctrl, the resources of an OCI runtime have no place for it",
                });
            }
            _ => {}
        }
    }
    Ok(spec.object("/linux/resources")?.clone().into())
}
