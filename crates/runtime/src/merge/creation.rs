//! Answers to CreateContainer (`spec/adaptation.md` 10).

use std::sync::Arc;

use nri_policy::change::Containers;
use nri_policy::judge::{self, Permitted, Targets};
use nri_wire::api::{
    Container, ContainerAdjustment, ContainerUpdate, CreateContainerRequest, CreateContainerResponse,
    PodSandbox,
};
use nri_wire::field::{self, Entry, Field, Kind, Value};
use nri_wire::name::PluginName;

use super::keys::Keys;
use super::ledger::Ledger;
use super::update::{Updates, attribute};
use super::{Attributed, Cuts, Evicted, MergeError, Owned, invalid, reply, view};

/// One CreateContainer request on its way through the plugins.
///
/// For each plugin in order: send [`request`](Self::request), have the answer judged against [`basis`](Self::basis),
/// [`apply`](Self::apply) it. After the first error only the error is of use.
#[derive(Clone, Debug)]
pub struct Creation {
    /// Shared with whoever is sending it; a change makes a copy only while it is being sent.
    request: Arc<CreateContainerRequest>,
    pristine: Container,
    adjust: ContainerAdjustment,
    updates: Updates,
    ledger: Ledger,
    evictions: Vec<Evicted>,
    changes: Vec<Attributed>,
    cuts: Cuts,
}

/// What all plugins together asked for.
#[derive(Clone, Debug)]
pub struct Merged {
    /// The adjustment of the created container.
    pub adjust: Owned<ContainerAdjustment>,
    /// Updates of other containers, in order of first mention.
    pub updates: Vec<ContainerUpdate>,
    /// Evictions, in the order of the answers.
    pub evictions: Vec<Evicted>,
    /// Every change that counts, in the order of the answers.
    pub changes: Vec<Attributed>,
    /// Who owns what, removals included. [`Ledger::owners`] is what validators get.
    pub ledger: Ledger,
    /// The pod of the request.
    pub pod: Option<PodSandbox>,
    /// The container as the client asked for it, normalised.
    pub pristine: Container,
    /// The container as a next plugin would see it.
    pub container: Container,
}

impl Creation {
    /// Begins. A request without a container is taken as one with an empty container (A14).
    #[must_use]
    pub fn new(mut request: CreateContainerRequest) -> Self {
        let container = request.container.get_or_insert_default();
        view::normalise(container);
        let pristine = container.clone();
        Self {
            request: Arc::new(request),
            pristine,
            adjust: ContainerAdjustment::default(),
            updates: Updates::default(),
            ledger: Ledger::default(),
            evictions: Vec::new(),
            changes: Vec::new(),
            cuts: Cuts::new(),
        }
    }

    /// The request as the next plugin must see it.
    #[must_use]
    pub const fn request(&self) -> &Arc<CreateContainerRequest> {
        &self.request
    }

    /// The container before any plugin, normalised.
    #[must_use]
    pub const fn pristine(&self) -> &Container {
        &self.pristine
    }

    /// What the next answer is judged against.
    #[must_use]
    pub fn basis<'a>(&'a self, targets: &'a dyn Targets) -> judge::Creation<'a> {
        let running = self.request.container.as_ref().unwrap_or(&self.pristine);
        let containers = Containers { pristine: &self.pristine, running };
        judge::Creation { containers, pod: self.request.pod.as_ref(), targets }
    }

    /// Merges the answer of one plugin.
    ///
    /// # Errors
    /// The first thing that conflicts or cannot be carried out, in the order of [`field::adjustment`], then of the updates.
    pub fn apply(
        &mut self,
        plugin: &PluginName,
        answer: Permitted<CreateContainerResponse>,
    ) -> Result<(), MergeError> {
        let cuts = answer.cuts().to_vec();
        let (answer, changes) = answer.into_parts();
        let plugin = Arc::new(plugin.clone());
        if let Some(adjust) = &answer.adjust {
            self.adjust(&plugin, adjust)?;
            for device in adjust.linux.iter().flat_map(|linux| &linux.devices) {
                self.cuts.remove(&device.path);
            }
        }
        self.cuts.extend(cuts);
        let dropped =
            self.updates.apply(&mut self.ledger, &plugin, &answer.update, Some(&self.pristine.id), None)?;
        attribute(&mut self.changes, &plugin, changes, &dropped);
        self.evictions.extend(
            answer.evict.into_iter().map(|eviction| Evicted { plugin: PluginName::clone(&plugin), eviction }),
        );
        Ok(())
    }

    /// Ends.
    #[must_use]
    pub fn finish(self) -> Merged {
        let request = Arc::unwrap_or_clone(self.request);
        Merged {
            adjust: Owned::new(self.adjust, self.cuts),
            updates: self.updates.into_others(),
            evictions: self.evictions,
            changes: self.changes,
            ledger: self.ledger,
            pod: request.pod,
            container: request.container.unwrap_or_default(),
            pristine: self.pristine,
        }
    }

    /// All removals of the answer, then all its values (`spec/api.md` 4.1: whatever their order, the value stands).
    fn adjust(&mut self, plugin: &Arc<PluginName>, adjust: &ContainerAdjustment) -> Result<(), MergeError> {
        let entries = field::adjustment(adjust);
        let keys = Keys::of(&entries);
        reply::drop_removed(&mut self.adjust, &keys);
        view::drop_touched(self.running(), &keys);
        for (field, key) in keys.removed() {
            self.remove(plugin, field, key, &keys);
        }
        for entry in &entries {
            if let Some(value) = &entry.value {
                self.set(plugin, entry, value)?;
            }
        }
        Ok(())
    }

    /// The container as the next plugin will see it.
    fn running(&mut self) -> &mut Container {
        Arc::make_mut(&mut self.request).container.get_or_insert_default()
    }

    fn remove(&mut self, plugin: &Arc<PluginName>, field: Field, key: &str, keys: &Keys<'_>) {
        let id = &self.pristine.id;
        let owned: &[Field] = match field {
            Field::RdtRemove => &[Field::RdtClosId, Field::RdtSchemata, Field::RdtMonitoring],
            _ => std::slice::from_ref(&field),
        };
        for &field in owned {
            if keys.sets(field, key) {
                self.ledger.clear(id, field, key, plugin);
            } else {
                self.ledger.remove(id, field, key, plugin);
            }
        }
        reply::mark(&mut self.adjust, field, key, keys.sets(field, key));
    }

    fn set(
        &mut self,
        plugin: &Arc<PluginName>,
        entry: &Entry<'_>,
        value: &Value<'_>,
    ) -> Result<(), MergeError> {
        let id = &self.pristine.id;
        if let Some(reason) = invalid::reason(entry.field, entry.key, value) {
            return Err(MergeError::Invalid {
                plugin: PluginName::clone(plugin),
                field: entry.field,
                key: entry.key.to_owned(),
                reason,
            });
        }
        match entry.field.info().kind {
            Kind::Single | Kind::Keyed => {
                if matches!(*value, Value::Args(list) if field::args(list).0) {
                    self.ledger.clear(id, entry.field, entry.key, plugin);
                }
                self.ledger.claim(id, entry.field, entry.key, plugin)?;
            }
            Kind::Accumulating => self.ledger.share(id, entry.field, entry.key, plugin),
            Kind::Unowned => self.ledger.share(id, entry.field, &entry.decision_key(), plugin),
        }
        let client_rdt = self.pristine.linux.as_ref().is_some_and(|linux| linux.rdt.is_some());
        reply::set(&mut self.adjust, entry, value, client_rdt);
        view::set(self.running(), entry, value);
        Ok(())
    }
}
