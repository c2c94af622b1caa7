//! Updates of containers: of others in answers to CreateContainer, UpdateContainer and StopContainer, and of the container
//! that the client updates (`spec/adaptation.md` 9).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nri_policy::change::Recorded;
use nri_policy::judge::{self, Answer, Permitted, Targets};
use nri_wire::api::{
    ContainerUpdate, LinuxContainerUpdate, LinuxResources, StopContainerRequest, StopContainerResponse,
    SynchronizeResponse, UpdateContainerRequest, UpdateContainerResponse, UpdateContainersRequest,
};
use nri_wire::field::{self, Entry, Field};
use nri_wire::name::PluginName;

use super::keys::Keys;
use super::ledger::{Conflict, Ledger};
use super::reply::set_resource;
use super::{Attributed, Evicted, MergeError};

/// One UpdateContainer request on its way through the plugins. Used like [`Creation`](super::Creation).
#[derive(Clone, Debug)]
pub struct Update {
    request: Arc<UpdateContainerRequest>,
    requested: LinuxResources,
    own: Own,
    updates: Updates,
    ledger: Ledger,
    evictions: Vec<Evicted>,
    changes: Vec<Attributed>,
}

/// What all plugins together made of an update.
#[derive(Clone, Debug)]
pub struct MergedUpdate {
    /// Updates of other containers, in order of first mention.
    pub updates: Vec<ContainerUpdate>,
    /// The update of the requested container: the client's resources with the plugins' over them. `None`: no plugin
    /// touched it, the client's stand (D6, D7).
    pub own: Option<ContainerUpdate>,
    /// Evictions, in the order of the answers.
    pub evictions: Vec<Evicted>,
    /// Every change that counts, in the order of the answers.
    pub changes: Vec<Attributed>,
    /// Who owns what.
    pub ledger: Ledger,
}

/// One StopContainer request on its way through the plugins. Used like [`Creation`](super::Creation).
#[derive(Clone, Debug)]
pub struct Stop {
    request: Arc<StopContainerRequest>,
    updates: Updates,
    ledger: Ledger,
    changes: Vec<Attributed>,
}

/// What all plugins together asked for when a container stopped.
#[derive(Clone, Debug)]
pub struct MergedStop {
    /// Updates of containers, in order of first mention.
    pub updates: Vec<ContainerUpdate>,
    /// Every change that counts, in the order of the answers.
    pub changes: Vec<Attributed>,
    /// Who owns what.
    pub ledger: Ledger,
}

/// Updates and evictions that plugins asked for by themselves.
#[derive(Clone, Debug, Default)]
pub struct Passed {
    /// The updates, as they stand in the message.
    pub updates: Vec<ContainerUpdate>,
    /// The evictions.
    pub evictions: Vec<Evicted>,
    /// The changes.
    pub changes: Vec<Attributed>,
}

/// Messages whose updates nobody merges: answers to Synchronize and unsolicited updates.
pub trait Unmerged: Answer {
    /// The updates and evictions of the message.
    fn take(self) -> UpdateContainersRequest;
}

impl Unmerged for SynchronizeResponse {
    fn take(self) -> UpdateContainersRequest {
        UpdateContainersRequest { update: self.update, evict: Vec::new() }
    }
}

impl Unmerged for UpdateContainersRequest {
    fn take(self) -> UpdateContainersRequest {
        self
    }
}

/// Passes on what one plugin asked for by itself; it is not merged with anything (`spec/adaptation.md` 9).
#[must_use]
pub fn pass<A: Unmerged>(plugin: &PluginName, message: Permitted<A>) -> Passed {
    let (message, recorded) = message.into_parts();
    let message = message.take();
    let mut changes = Vec::new();
    attribute(&mut changes, plugin, recorded, &BTreeSet::new());
    let evictions =
        message.evict.into_iter().map(|eviction| Evicted { plugin: plugin.clone(), eviction }).collect();
    Passed { updates: message.update, evictions, changes }
}

impl Extend<Self> for Passed {
    /// What several plugins asked for, one after the other.
    fn extend<I: IntoIterator<Item = Self>>(&mut self, others: I) {
        for other in others {
            self.updates.extend(other.updates);
            self.evictions.extend(other.evictions);
            self.changes.extend(other.changes);
        }
    }
}

impl Update {
    /// Begins. A request without a container or resources is taken as one with empty ones (A14).
    #[must_use]
    pub fn new(mut request: UpdateContainerRequest) -> Self {
        let resources = request.linux_resources.get_or_insert_default();
        resources.normalise();
        let requested = resources.clone();
        let id = request.container.get_or_insert_default().id.clone();
        Self {
            request: Arc::new(request),
            requested,
            own: Own { id, ignore_failure: None, touched: false },
            updates: Updates::default(),
            ledger: Ledger::default(),
            evictions: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// The request as the next plugin must see it.
    #[must_use]
    pub const fn request(&self) -> &Arc<UpdateContainerRequest> {
        &self.request
    }

    /// What the next answer is judged against.
    #[must_use]
    pub fn basis<'a>(&'a self, targets: &'a dyn Targets) -> judge::Update<'a> {
        judge::Update {
            id: &self.own.id,
            pod: self.request.pod.as_ref(),
            requested: Some(&self.requested),
            targets,
        }
    }

    /// Merges the answer of one plugin.
    ///
    /// # Errors
    /// The first conflict of an update that may not be dropped.
    pub fn apply(
        &mut self,
        plugin: &PluginName,
        answer: Permitted<UpdateContainerResponse>,
    ) -> Result<(), MergeError> {
        let (answer, changes) = answer.into_parts();
        let shared = Arc::new(plugin.clone());
        let own = (&mut self.own, Arc::make_mut(&mut self.request).linux_resources.get_or_insert_default());
        let dropped = self.updates.apply(&mut self.ledger, &shared, &answer.update, None, Some(own))?;
        attribute(&mut self.changes, plugin, changes, &dropped);
        self.evictions
            .extend(answer.evict.into_iter().map(|eviction| Evicted { plugin: plugin.clone(), eviction }));
        Ok(())
    }

    /// Ends.
    #[must_use]
    pub fn finish(self) -> MergedUpdate {
        let own = self.own.touched.then(|| ContainerUpdate {
            container_id: self.own.id,
            linux: Some(LinuxContainerUpdate {
                resources: Arc::unwrap_or_clone(self.request).linux_resources,
            }),
            ignore_failure: self.own.ignore_failure.unwrap_or(false),
        });
        MergedUpdate {
            updates: self.updates.into_others(),
            own,
            evictions: self.evictions,
            changes: self.changes,
            ledger: self.ledger,
        }
    }
}

impl MergedUpdate {
    /// The list that decisions and the protocol show: others first, the requested container's own last, if there is one.
    #[must_use]
    pub fn into_list(self) -> Vec<ContainerUpdate> {
        self.updates.into_iter().chain(self.own).collect()
    }
}

impl Stop {
    /// Begins.
    #[must_use]
    pub fn new(request: StopContainerRequest) -> Self {
        Self {
            request: Arc::new(request),
            updates: Updates::default(),
            ledger: Ledger::default(),
            changes: Vec::new(),
        }
    }

    /// The request, which is the same for every plugin.
    #[must_use]
    pub const fn request(&self) -> &Arc<StopContainerRequest> {
        &self.request
    }

    /// Merges the answer of one plugin.
    ///
    /// # Errors
    /// The first conflict of an update that may not be dropped.
    pub fn apply(
        &mut self,
        plugin: &PluginName,
        answer: Permitted<StopContainerResponse>,
    ) -> Result<(), MergeError> {
        let (answer, changes) = answer.into_parts();
        let dropped =
            self.updates.apply(&mut self.ledger, &Arc::new(plugin.clone()), &answer.update, None, None)?;
        attribute(&mut self.changes, plugin, changes, &dropped);
        Ok(())
    }

    /// Ends.
    #[must_use]
    pub fn finish(self) -> MergedStop {
        MergedStop { updates: self.updates.into_others(), changes: self.changes, ledger: self.ledger }
    }
}

/// The updates of other containers, merged.
#[derive(Clone, Debug, Default)]
pub(super) struct Updates {
    /// By container id; the number is the place in the order of first mention.
    others: BTreeMap<String, (usize, ContainerUpdate)>,
}

/// What is known of the requested container's own update; its resources stand in the request.
#[derive(Clone, Debug)]
pub(super) struct Own {
    id: String,
    ignore_failure: Option<bool>,
    touched: bool,
}

impl Updates {
    /// Merges the updates of one answer; returns the numbers of those that were dropped. `created`: the container that is
    /// being created, which nobody may update. `own`: the container that the client updates, and its resources.
    pub(super) fn apply(
        &mut self,
        ledger: &mut Ledger,
        plugin: &Arc<PluginName>,
        updates: &[ContainerUpdate],
        created: Option<&str>,
        mut own: Option<(&mut Own, &mut LinuxResources)>,
    ) -> Result<BTreeSet<usize>, MergeError> {
        let mut dropped = BTreeSet::new();
        for (index, update) in updates.iter().enumerate() {
            let id = update.container_id.as_str();
            if created == Some(id) {
                return Err(MergeError::SelfUpdate { plugin: PluginName::clone(plugin), id: id.to_owned() });
            }
            let entries = field::update(update);
            let claimed = claim_all(ledger, id, &entries, plugin);
            let (resources, touched) = match &mut own {
                Some((own, resources)) if own.id == id => {
                    own.mention(update.ignore_failure);
                    (&mut **resources, Some(&mut own.touched))
                }
                _ => (self.mention(update), None),
            };
            match claimed {
                Ok(()) => {
                    let keys = Keys::of(&entries);
                    keys.clear(Field::Hugepages, &mut resources.hugepage_limits, |limit| &limit.page_size);
                    for entry in &entries {
                        set_resource(resources, entry);
                    }
                    if let Some(touched) = touched {
                        *touched |= !entries.is_empty();
                    }
                }
                Err(_) if update.ignore_failure => {
                    dropped.insert(index);
                }
                Err(conflict) => return Err(conflict.into()),
            }
        }
        Ok(dropped)
    }

    pub(super) fn into_others(self) -> Vec<ContainerUpdate> {
        let mut others: Vec<_> = self.others.into_values().collect();
        others.sort_by_key(|(place, _)| *place);
        others.into_iter().map(|(_, update)| update).collect()
    }

    /// The resources of a container's entry, which its first update makes. A failure may be ignored only if every update
    /// of the container says so, also those that are empty or dropped (`spec/README.md`, correction 5).
    fn mention(&mut self, update: &ContainerUpdate) -> &mut LinuxResources {
        let place = self.others.len();
        let (_, entry) = self.others.entry(update.container_id.clone()).or_insert_with(|| {
            let id = update.container_id.clone();
            (place, ContainerUpdate { container_id: id, linux: None, ignore_failure: true })
        });
        entry.ignore_failure &= update.ignore_failure;
        entry.linux.get_or_insert_default().resources.get_or_insert_default()
    }
}

impl Own {
    fn mention(&mut self, ignore_failure: bool) {
        self.ignore_failure = Some(self.ignore_failure.unwrap_or(true) && ignore_failure);
    }
}

/// Claims all entries of an update, or none (D5).
fn claim_all(
    ledger: &mut Ledger,
    id: &str,
    entries: &[Entry<'_>],
    plugin: &Arc<PluginName>,
) -> Result<(), Conflict> {
    let mut claimed: Vec<(Field, &str)> = Vec::with_capacity(entries.len());
    for entry in entries {
        if let Err(conflict) = ledger.claim(id, entry.field, entry.key, plugin) {
            for (field, key) in claimed {
                ledger.release(id, field, key);
            }
            return Err(conflict);
        }
        claimed.push((entry.field, entry.key));
    }
    Ok(())
}

/// Adds the changes of one plugin, but those of dropped updates.
pub(super) fn attribute(
    changes: &mut Vec<Attributed>,
    plugin: &PluginName,
    recorded: Vec<Recorded>,
    dropped: &BTreeSet<usize>,
) {
    changes.extend(
        recorded
            .into_iter()
            .filter(|change| !matches!(&change.update, Some((index, _)) if dropped.contains(index)))
            .map(|change| Attributed { plugin: plugin.clone(), change }),
    );
}
