//! The ledger: who owns which field of which container during one request.
//!
//! Everything is recorded, removals and device cgroup rules too (`design.md` 6); [`Ledger::owners`] gives validators what
//! the reference gives them (`spec/api.md` 9). A removal that stands alone is no claim: a later plugin may set the key
//! (`spec/README.md`, correction 2; D9, D10).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use nri_wire::api::OwningPlugins;
use nri_wire::field::{Field, Kind};
use nri_wire::name::PluginName;

/// The ownership of one request, by container, field and key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    containers: BTreeMap<String, BTreeMap<Field, BTreeMap<String, Holder>>>,
}

/// What the ledger says of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Set by this plugin.
    Set(Arc<PluginName>),
    /// Cleared by this plugin, which alone may set it now.
    Cleared(Arc<PluginName>),
    /// Removed by this plugin; anybody may set it.
    Removed {
        /// The plugin.
        by: Arc<PluginName>,
        /// Whether an earlier plugin had set it.
        earlier: bool,
    },
    /// Added to by these plugins, in this order.
    Shared(Vec<Arc<PluginName>>),
}

/// Two plugins that want the same thing. A plugin that asks twice conflicts with itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The later plugin.
    pub plugin: PluginName,
    /// The plugin that has it.
    pub other: PluginName,
    /// What both want.
    pub field: Field,
    /// Its key; empty where the field has none.
    pub key: String,
}

impl Ledger {
    /// Takes a key for a plugin.
    ///
    /// # Errors
    /// A [`Conflict`] with the plugin that set it, or with another one that cleared it.
    pub fn claim(
        &mut self,
        id: &str,
        field: Field,
        key: &str,
        plugin: &Arc<PluginName>,
    ) -> Result<(), Conflict> {
        let keys = self.keys(id, field);
        let other = match keys.get(key) {
            None | Some(Holder::Removed { .. }) => None,
            Some(Holder::Cleared(by)) => (by != plugin).then_some(by),
            Some(Holder::Set(by)) => Some(by),
            Some(Holder::Shared(by)) => by.first(),
        };
        match other {
            None => {
                keys.insert(key.to_owned(), Holder::Set(Arc::clone(plugin)));
                Ok(())
            }
            Some(other) => Err(Conflict {
                plugin: PluginName::clone(plugin),
                other: PluginName::clone(other),
                field,
                key: key.to_owned(),
            }),
        }
    }

    /// Opens a key to this plugin alone, whoever has it: the first half of "remove, then set".
    pub fn clear(&mut self, id: &str, field: Field, key: &str, plugin: &Arc<PluginName>) {
        self.keys(id, field).insert(key.to_owned(), Holder::Cleared(Arc::clone(plugin)));
    }

    /// Records a removal that stands alone. A key that is removed again keeps its first remover.
    pub fn remove(&mut self, id: &str, field: Field, key: &str, plugin: &Arc<PluginName>) {
        let keys = self.keys(id, field);
        let earlier = match keys.get(key) {
            Some(Holder::Removed { .. }) => return,
            holder => holder.is_some(),
        };
        keys.insert(key.to_owned(), Holder::Removed { by: Arc::clone(plugin), earlier });
    }

    /// Adds a plugin to those that share a key. Never conflicts.
    pub fn share(&mut self, id: &str, field: Field, key: &str, plugin: &Arc<PluginName>) {
        let keys = self.keys(id, field);
        match keys.get_mut(key) {
            Some(Holder::Shared(by)) if by.last() == Some(plugin) => {}
            Some(Holder::Shared(by)) => by.push(Arc::clone(plugin)),
            _ => {
                keys.insert(key.to_owned(), Holder::Shared(vec![Arc::clone(plugin)]));
            }
        }
    }

    /// Takes back a claim that succeeded, as if it had not been made. Only for keys that nobody had removed.
    pub(super) fn release(&mut self, id: &str, field: Field, key: &str) {
        self.keys(id, field).remove(key);
    }

    /// Who has a key.
    #[must_use]
    pub fn holder(&self, id: &str, field: Field, key: &str) -> Option<&Holder> {
        self.containers.get(id)?.get(&field)?.get(key)
    }

    /// Everything that is recorded, sorted by container, field and key.
    pub fn entries(&self) -> impl Iterator<Item = (&str, Field, &str, &Holder)> {
        self.containers.iter().flat_map(|(id, fields)| {
            fields.iter().flat_map(move |(field, keys)| {
                keys.iter().map(move |(key, holder)| (id.as_str(), *field, key.as_str(), holder))
            })
        })
    }

    /// The ownership tables as validators get them: `-NN-name` for what was cleared, nothing for the removal of what only
    /// the client had set (A11) and for fields without a number, the remover as owner of a removed namespace.
    #[must_use]
    pub fn owners(&self) -> OwningPlugins {
        let mut owning = OwningPlugins::default();
        for (id, field, key, holder) in self.entries() {
            let (Some(number), Some(owner)) = (field.number(), owner(field, holder)) else { continue };
            let owners = owning.owners.entry(id.to_owned()).or_default();
            if field.info().kind == Kind::Keyed {
                owners.compound.entry(number).or_default().owners.insert(key.to_owned(), owner);
            } else {
                owners.simple.insert(number, owner);
            }
        }
        owning
    }

    fn keys(&mut self, id: &str, field: Field) -> &mut BTreeMap<String, Holder> {
        self.containers.entry(id.to_owned()).or_default().entry(field).or_default()
    }
}

/// The owner's text in the reference's tables, if there is one.
fn owner(field: Field, holder: &Holder) -> Option<String> {
    match holder {
        Holder::Set(by) => Some(by.full().to_owned()),
        Holder::Removed { by, .. } if field == Field::Namespaces => Some(by.full().to_owned()),
        Holder::Removed { earlier: false, .. } if !is_rdt(field) => None,
        Holder::Cleared(by) | Holder::Removed { by, .. } => Some(format!("-{by}")),
        Holder::Shared(by) => Some(by.iter().map(|by| by.full()).collect::<Vec<_>>().join(",")),
    }
}

/// A removal of RDT clears its three fields whether or not they were set (`spec/api.md` 9.1).
const fn is_rdt(field: Field) -> bool {
    matches!(field, Field::RdtClosId | Field::RdtSchemata | Field::RdtMonitoring)
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plugin, other, field, key } = self;
        write!(f, "plugins \"{plugin}\" and \"{other}\" both tried to set {}", field.info().protocol_name)?;
        if key.is_empty() { Ok(()) } else { write!(f, " {key}") }
    }
}

impl std::error::Error for Conflict {}
