//! Merging: what several plugins answered to one request becomes one result.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`ledger`] | who set, removed and shares what; conflicts |
//! | [`creation`] | answers to CreateContainer |
//! | [`update`] | answers to UpdateContainer and StopContainer, updates of other containers |
//! | `keys` | which keys an answer sets and removes |
//! | `reply`, `view` | how one entry is written into the merged adjustment, and into the container that the next plugin sees |
//!
//! Everything here is a pure function of the request and the answers in calling order: the same input gives the same
//! bytes. An answer gets in only as [`Permitted`](nri_policy::judge::Permitted), a result comes out as [`Owned`].
//!
//! ```
//! use nri_policy::identity::Facts;
//! use nri_policy::judge::{Asked, Judge};
//! use nri_runtime::merge::Creation;
//! use nri_wire::api::{Container, ContainerAdjustment, CreateContainerRequest, CreateContainerResponse};
//!
//! let container = Container { id: "c1".into(), args: vec!["sleep".into()], ..Default::default() };
//! let mut creation = Creation::new(CreateContainerRequest { container: Some(container), ..Default::default() });
//! for (plugin, word) in [("10-a", "1"), ("20-b", "2")] {
//!     let plugin = plugin.parse()?;
//!     let adjust = ContainerAdjustment { args: vec!["sleep".into(), word.into()], ..Default::default() };
//!     let answer = CreateContainerResponse { adjust: Some(adjust), ..Default::default() };
//!     let basis = creation.basis(&());
//!     let asked = Asked { plugin: &plugin, facts: Facts::nothing(), basis, unknown: &[] };
//!     let Some(permitted) = Judge::allow_all().judge(&asked, answer).permitted else { continue };
//!     if let Err(error) = creation.apply(&plugin, permitted) {
//!         assert_eq!(error.to_string(), r#"plugins "20-b" and "10-a" both tried to set Args"#);
//!     }
//! }
//! # Ok::<(), nri_wire::name::NameError>(())
//! ```

#![forbid(unsafe_code)]

pub mod creation;
mod invalid;
mod keys;
pub mod ledger;
mod reply;
pub mod strip;
#[cfg(test)]
mod tests;
pub mod update;
mod view;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use nri_policy::change::Recorded;
use nri_policy::rule::Access;
use nri_wire::api::ContainerEviction;
use nri_wire::field::Field;
use nri_wire::name::PluginName;
use serde::ser::{Serialize, SerializeStruct as _, Serializer};

pub use self::creation::{Creation, Merged};
pub use self::ledger::{Conflict, Holder, Ledger};
pub use self::update::{MergedStop, MergedUpdate, Passed, Stop, Unmerged, Update, pass};

/// A merged result whose every value has an owner. Only merging makes one; the OCI application takes nothing else. An
/// answer that no judge has let through is not merged
///
/// ```compile_fail,E0308
/// use nri_runtime::merge::{Creation, MergeError};
/// use nri_wire::api::CreateContainerResponse;
/// use nri_wire::name::PluginName;
/// fn unjudged(
///     creation: &mut Creation,
///     plugin: &PluginName,
///     answer: CreateContainerResponse,
/// ) -> Result<(), MergeError> {
///     creation.apply(plugin, answer)
/// }
/// ```
///
/// what was not merged is not applied to a spec
///
/// ```compile_fail,E0308
/// use nri_runtime::oci::{Applied, ApplyError, Resolvers, apply};
/// use nri_wire::api::ContainerAdjustment;
/// fn unmerged(
///     spec: &serde_json::Value,
///     adjust: &ContainerAdjustment,
/// ) -> Result<Applied, ApplyError> {
///     apply(spec, adjust, &Resolvers::default())
/// }
/// ```
///
/// and nobody else can say that it was.
///
/// ```compile_fail,E0451
/// use nri_runtime::merge::{Cuts, Owned};
/// fn forged<T>(value: T) -> Owned<T> {
///     Owned { value, cuts: Cuts::new() }
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Owned<T> {
    value: T,
    cuts: Cuts,
}

/// What the device rules that come with devices are cut to (`policy.md` 4, `devices`), by the devices' paths. No message
/// of the protocol can carry it.
pub type Cuts = BTreeMap<String, Access>;

impl<T> Owned<T> {
    const fn new(value: T, cuts: Cuts) -> Self {
        Self { value, cuts }
    }

    /// The value without its proof: what goes on the wire.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// What the device rules that come with devices are cut to.
    #[must_use]
    pub const fn cuts(&self) -> &Cuts {
        &self.cuts
    }
}

impl<T> Deref for Owned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A change and who made it (`cli.md`, `changes`).
#[derive(Clone, Debug, PartialEq)]
pub struct Attributed {
    /// The plugin.
    pub plugin: PluginName,
    /// The change.
    pub change: Recorded,
}

/// An eviction and who asks for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Evicted {
    /// The plugin.
    pub plugin: PluginName,
    /// The container, and why.
    pub eviction: ContainerEviction,
}

/// Why a plugin's answer cannot be merged. The request fails, and what was merged of it is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MergeError {
    /// Two plugins, or one twice, set the same thing.
    Conflict(Conflict),
    /// An answer that cannot be carried out; the plugin's fault.
    Invalid {
        /// The plugin.
        plugin: PluginName,
        /// The field that is wrong.
        field: Field,
        /// Its key.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// An update of the container that is being created (`spec/adaptation.md` 9).
    SelfUpdate {
        /// The plugin.
        plugin: PluginName,
        /// The container.
        id: String,
    },
}

impl MergeError {
    /// The plugin whose answer failed.
    #[must_use]
    pub const fn plugin(&self) -> &PluginName {
        match self {
            Self::Conflict(conflict) => &conflict.plugin,
            Self::Invalid { plugin, .. } | Self::SelfUpdate { plugin, .. } => plugin,
        }
    }

    /// The `error.kind` of decisions (`cli.md`).
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Conflict(_) => "conflict",
            Self::Invalid { .. } | Self::SelfUpdate { .. } => "invalid",
        }
    }
}

impl fmt::Display for MergeError {
    /// The reference's texts, where it has one (`spec/api.md` 9.1, `spec/adaptation.md` 9).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(conflict) => conflict.fmt(f),
            Self::Invalid { plugin, field, key, reason } if key.is_empty() => {
                write!(f, "plugin \"{plugin}\" gave an invalid {field}: {reason}")
            }
            Self::Invalid { plugin, field, key, reason } => {
                write!(f, "plugin \"{plugin}\" gave an invalid {field} {key:?}: {reason}")
            }
            Self::SelfUpdate { plugin, id } => {
                write!(f, "plugin \"{plugin}\" asked update of {id:?} during creation")
            }
        }
    }
}

impl std::error::Error for MergeError {}

impl From<Conflict> for MergeError {
    fn from(conflict: Conflict) -> Self {
        Self::Conflict(conflict)
    }
}

impl Serialize for Attributed {
    /// `{"plugin","field","key","op","before","after"}`, and `container` where it is an update of one.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let update = self.change.update.as_ref();
        let mut members = serializer.serialize_struct("Attributed", 6 + usize::from(update.is_some()))?;
        members.serialize_field("plugin", self.plugin.full())?;
        if let Some((_, id)) = update {
            members.serialize_field("container", id)?;
        }
        members.serialize_field("field", &self.change.subject)?;
        members.serialize_field("key", &self.change.key)?;
        members.serialize_field("op", &self.change.op)?;
        members.serialize_field("before", &self.change.before)?;
        members.serialize_field("after", &self.change.after)?;
        members.end()
    }
}
