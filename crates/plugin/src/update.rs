//! Updates: what a plugin changes in containers that exist already.

use nri_wire::api::{ContainerEviction, ContainerUpdate, LinuxContainerUpdate};
use nri_wire::field::{Entry, Field, Value, set_resource};

use crate::adjustment::check::{self, Invalid, Verdict};
use crate::adjustment::resource::resource_setters;

/// New resources for one container.
///
/// ```
/// use nri_plugin::Update;
/// let update = Update::new("4f1c…").cpu_shares(512).cpuset_cpus("0-1").ignore_failure();
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Update {
    message: ContainerUpdate,
    invalid: Option<Invalid>,
}

impl Update {
    /// No change yet, of the container with this id.
    pub fn new(container_id: impl Into<String>) -> Self {
        let message = ContainerUpdate { container_id: container_id.into(), ..ContainerUpdate::default() };
        Self { message, invalid: None }
    }

    resource_setters!();

    /// Lets the operation go on if this update cannot be carried out.
    pub fn ignore_failure(mut self) -> Self {
        self.message.ignore_failure = true;
        self
    }

    /// The message behind it, as it is sent.
    ///
    /// # Errors
    /// The first value that cannot work.
    pub fn into_message(self) -> Result<ContainerUpdate, Invalid> {
        self.invalid.map_or(Ok(self.message), Err)
    }

    fn resource(mut self, field: Field, key: &str, value: &Value<'_>, verdict: Verdict) -> Self {
        if let (None, Some(why)) = (&self.invalid, verdict) {
            self.invalid = Some(Invalid { field, key: key.to_owned(), why });
        }
        let linux: &mut LinuxContainerUpdate = self.message.linux.get_or_insert_default();
        let entry = Entry { field, key, value: Some(value.clone()) };
        set_resource(linux.resources.get_or_insert_default(), &entry);
        self
    }
}

/// An update that was made elsewhere; it is sent as it is.
impl From<ContainerUpdate> for Update {
    fn from(message: ContainerUpdate) -> Self {
        Self { message, invalid: None }
    }
}

/// Updates and evictions together.
///
/// ```
/// use nri_plugin::{Update, Updates};
/// let both = Updates::new().update(Update::new("a").cpu_shares(2)).evict("b", "makes room");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Updates {
    updates: Vec<Update>,
    evictions: Vec<ContainerEviction>,
}

impl Updates {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more update.
    pub fn update(mut self, update: Update) -> Self {
        self.updates.push(update);
        self
    }

    /// One more eviction. Reference runtimes ignore evictions.
    pub fn evict(mut self, container_id: impl Into<String>, reason: impl Into<String>) -> Self {
        let eviction = ContainerEviction { container_id: container_id.into(), reason: reason.into() };
        self.evictions.push(eviction);
        self
    }

    /// The messages behind it, as they are sent.
    ///
    /// # Errors
    /// The first value that cannot work.
    pub fn into_messages(self) -> Result<(Vec<ContainerUpdate>, Vec<ContainerEviction>), Invalid> {
        Ok((messages(self.updates)?, self.evictions))
    }
}

impl From<Vec<Update>> for Updates {
    fn from(updates: Vec<Update>) -> Self {
        Self { updates, evictions: Vec::new() }
    }
}

impl From<Update> for Updates {
    fn from(update: Update) -> Self {
        vec![update].into()
    }
}

pub(crate) fn messages(updates: Vec<Update>) -> Result<Vec<ContainerUpdate>, Invalid> {
    updates.into_iter().map(Update::into_message).collect()
}
