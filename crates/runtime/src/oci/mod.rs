//! Merged adjustments and OCI runtime specs (`spec/oci-apply.md`): [`apply`] writes the one into the other,
//! [`describe`] shows plugins a container by its spec, [`update`] turns an update into OCI resources, [`carried`] says
//! what the OCI runtime will ignore.
//!
//! A spec is JSON and stays JSON: it is patched in place, so that members, enum values and orders which nobody here
//! knows survive, and integers stay exact. Nothing in here reads a file or a clock; what has to be looked up is asked of [`Resolvers`].
//!
//! Where the reference has a defect (`spec/quirks.md` E), the text at the place says what is done instead.

#![forbid(unsafe_code)]

mod carried;
mod describe;
mod device;
mod error;
mod hook;
mod keyed;
mod linux;
mod mount;
mod process;
mod rdt;
mod resolver;
mod resources;
mod seccomp;
mod spec;
mod stage;

use nri_wire::api::ContainerAdjustment;
use nri_wire::field;
use serde_json::Value;

pub use carried::{Carried, OciRuntime, carried};
pub use describe::describe;
pub use error::ApplyError;
pub use mount::Propagation;
pub use resolver::{Failure, Resolvers};
pub use resources::update;
pub use spec::SpecError;

use crate::merge::{Cuts, Owned};
use spec::Spec;
use stage::Stage;

/// A spec with an adjustment in it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Applied {
    /// The adjusted spec.
    pub spec: Value,
    /// Sources of mounts that propagate and that nobody could check, for want of a mount table
    /// ([`Resolvers::mountinfo`]).
    pub unchecked: Vec<String>,
}

/// Applies a merged adjustment to a spec. The spec itself is not touched; applying the same adjustment to the result
/// changes nothing more (as far as the callbacks keep to that).
///
/// # Errors
///
/// [`ApplyError`] for the first thing that cannot be carried out.
///
/// ```
/// use nri_policy::identity::Facts;
/// use nri_policy::judge::{Asked, Judge};
/// use nri_runtime::merge::Creation;
/// use nri_runtime::oci::{Resolvers, apply, describe};
/// use nri_wire::api::{Container, ContainerAdjustment, CreateContainerRequest, CreateContainerResponse, KeyValue};
/// use serde_json::json;
///
/// let spec = json!({"process": {"env": ["A=1", "B=2"]}, "x-ours": 18446744073709551615u64});
/// let container = describe(&spec, Container { id: "c1".into(), ..Default::default() })?;
/// let mut creation = Creation::new(CreateContainerRequest { container: Some(container), ..Default::default() });
///
/// let plugin = "10-a".parse()?;
/// let env = vec![KeyValue { key: "A".into(), value: "3".into() }];
/// let adjust = Some(ContainerAdjustment { env, ..Default::default() });
/// let answer = CreateContainerResponse { adjust, ..Default::default() };
/// let asked = Asked { plugin: &plugin, facts: Facts::nothing(), basis: creation.basis(&()), unknown: &[] };
/// let permitted = Judge::allow_all().judge(&asked, answer).permitted.ok_or("refused")?;
/// creation.apply(&plugin, permitted)?;
///
/// let applied = apply(&spec, &creation.finish().adjust, &Resolvers::default())?;
/// assert_eq!(applied.spec, json!({"process": {"env": ["A=3", "B=2"]}, "x-ours": 18446744073709551615u64}));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn apply(
    spec: &Value,
    adjust: &Owned<ContainerAdjustment>,
    with: &Resolvers,
) -> Result<Applied, ApplyError> {
    write_cut(spec, adjust, adjust.cuts(), with)
}

/// [`apply`] for an adjustment that nobody judged or merged, and that therefore nobody answers for: for tests
/// that compare the application alone.
///
/// # Errors
///
/// As [`apply`].
#[cfg(feature = "danger")]
pub fn apply_unmerged(
    spec: &Value,
    adjust: &ContainerAdjustment,
    with: &Resolvers,
) -> Result<Applied, ApplyError> {
    write(spec, adjust, with)
}

/// Without anything cut.
#[cfg(any(test, feature = "danger"))]
fn write(spec: &Value, adjust: &ContainerAdjustment, with: &Resolvers) -> Result<Applied, ApplyError> {
    write_cut(spec, adjust, &Cuts::new(), with)
}

fn write_cut(
    spec: &Value,
    adjust: &ContainerAdjustment,
    cuts: &Cuts,
    with: &Resolvers,
) -> Result<Applied, ApplyError> {
    let mut entries = field::adjustment(adjust);
    entries.sort_by_key(|entry| Stage::of(entry.field));
    let (first, second) =
        entries.split_at(entries.partition_point(|entry| Stage::of(entry.field) <= Stage::Resources));

    let mut copy = Spec::new(spec.clone());
    let mut unchecked = Vec::new();
    copy.object("")?;
    stage::run(&mut copy, first, cuts, with, &mut unchecked)?;
    if let Some(check) = &with.resources
        && adjust.linux.as_ref().is_some_and(|linux| linux.resources.is_some())
    {
        check(copy.existing("/linux/resources")?)
            .map_err(|source| ApplyError::Refused { field: None, source })?;
    }
    stage::run(&mut copy, second, cuts, with, &mut unchecked)?;
    Ok(Applied { spec: copy.into_json(), unchecked })
}

#[cfg(test)]
mod tests;
