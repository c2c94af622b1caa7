//! Required plugins.

use std::fmt;

use nri_wire::field::Field;
use nri_wire::name::PluginName;

use super::{Ended, Member, action};
use crate::annotation::{self, REQUIRED_PLUGINS};
use crate::change::{Subject, comparable};
use crate::document::policy::Require;
use crate::document::word::Meaning;
use crate::judge::Rules;
use crate::judge::compiled::{Policy, Required};
use crate::judge::refusal::Action;
use crate::rule::glob::Glob;

/// A plugin that is required and was not there, or did not do what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    /// The policy that requires it; `None`: an annotation of the pod does.
    pub policy: Option<String>,
    /// Where that is said, `file:line:column`.
    pub at: Option<String>,
    /// An identity of the policy, or a plugin's name with or without index.
    pub plugin: String,
    /// What is wrong.
    pub lack: Lack,
    /// [`Action::Reject`]: the request fails. Else it is recorded.
    pub action: Action,
}

/// What is wrong with a plugin that is required.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lack {
    /// It is not there.
    NotConnected,
    /// A plugin of this name is there, but not as the identity.
    Unproven(PluginName),
    /// It is there, and what became of its answer.
    Unanswered(&'static str),
    /// It answered, but its changes of this field were not applied.
    NotOwned(Field),
    /// The annotation of the pod cannot be read.
    Unreadable(&'static str),
}

/// The plugins of a policy that are missing.
pub(super) fn missing(rules: &Rules, policy: &Policy, ended: &Ended<'_>) -> Vec<Absent> {
    let applies = |required: &&Required| {
        let entry = &required.entry;
        let owns_of_pod = entry.meaning == Meaning::Owns && ended.product.is_none();
        !owns_of_pod
            && ended.pod.is_none_or(|pod| entry.namespaces.contain(&pod.namespace))
            && !is_tolerated(entry, ended)
            && !is_in_grace(rules, entry, ended)
    };
    let lacking = policy.require.iter().filter(applies).filter_map(|required| {
        let lack = lack(policy, &required.entry, ended)?;
        Some(Absent {
            policy: Some(policy.name.to_string()),
            at: Some(required.at.to_string()),
            plugin: required.entry.plugin.value.to_string(),
            lack,
            action: action(policy.mode),
        })
    });
    lacking.collect()
}

/// The plugins that the pod itself asks for and that are missing. Never asks for less.
pub(super) fn asked_by_pod(rules: &Rules, ended: &Ended<'_>, action: Action) -> Vec<Absent> {
    let Some(text) = annotation(ended, REQUIRED_PLUGINS) else { return Vec::new() };
    let absent =
        |plugin: &str, lack| Absent { policy: None, at: None, plugin: plugin.to_owned(), lack, action };
    let names = match annotation::list(text) {
        Ok(names) => names,
        Err(why) => return vec![absent(text, Lack::Unreadable(why))],
    };
    let is_itself = |member: &Member<'_>| {
        let mut seats = rules.policies.iter().map(|policy| policy.seat(member.plugin, member.facts));
        seats.all(|seat| seat.policy.reserved_for(&seat, member.plugin).is_none())
    };
    let lacking = names.iter().filter_map(|name| {
        let named = ended.chain.iter().filter(|member| is_called(member.plugin, name));
        let lack = best(named.filter(|member| is_itself(member)).map(answered))?;
        Some(absent(name, lack))
    });
    lacking.collect()
}

/// What is wrong with the one that does best; nothing if that does all.
fn best(each: impl Iterator<Item = Option<Lack>>) -> Option<Lack> {
    let mut found = Some(Lack::NotConnected);
    for lack in each {
        lack.as_ref()?;
        found = lack;
    }
    found
}

fn lack(policy: &Policy, entry: &Require, ended: &Ended<'_>) -> Option<Lack> {
    let name = &*entry.plugin.value;
    let is_identity = policy.has_identity(name);
    let is_it = |member: &&Member<'_>| {
        let seat = policy.seat(member.plugin, member.facts);
        if is_identity {
            seat.identity == Some(name)
        } else {
            is_called(member.plugin, name) && policy.reserved_for(&seat, member.plugin).is_none()
        }
    };
    let does = |member: &Member<'_>| match entry.meaning {
        Meaning::Connected => None,
        Meaning::Answered => answered(member),
        Meaning::Owns => answered(member).or_else(|| {
            entry
                .fields
                .iter()
                .find(|field| !owns(ended, member.plugin, **field))
                .copied()
                .map(Lack::NotOwned)
        }),
    };
    let lack = best(ended.chain.iter().filter(is_it).map(does))?;
    let namesake = ended.chain.iter().find(|member| is_called(member.plugin, name));
    match (lack, namesake) {
        (Lack::NotConnected, Some(member)) => Some(Lack::Unproven(member.plugin.clone())),
        (lack, _) => Some(lack),
    }
}

fn answered(member: &Member<'_>) -> Option<Lack> {
    member.answered.err().map(Lack::Unanswered)
}

/// Whether a plugin's changes of a field were applied: it made one that still holds, and lost none to a drop.
fn owns(ended: &Ended<'_>, plugin: &PluginName, field: Field) -> bool {
    let Some(product) = &ended.product else { return false };
    let lost = ended.refused.iter().any(|refused| {
        refused.plugin == plugin.full()
            && (refused.field == field.name() || refused.field == "*")
            && matches!(refused.action, Action::DropEntry | Action::DropPlugin)
    });
    let mut holders = std::collections::BTreeMap::new();
    for (by, change) in product.changes.iter().filter(|(_, change)| change.update.is_none()) {
        if change.subject == Subject::Field(field) {
            holders.insert(comparable(field, &change.key), *by);
        }
    }
    !lost && holders.values().any(|holder| *holder == plugin)
}

fn is_called(plugin: &PluginName, name: &str) -> bool {
    plugin.full() == name || plugin.base() == name
}

/// Whether a pod may go without the plugin: it says so, and it is in a namespace that may say so.
fn is_tolerated(entry: &Require, ended: &Ended<'_>) -> bool {
    let Some(tolerate) = &entry.tolerate else { return false };
    let says_so = annotation(ended, &tolerate.annotation).and_then(annotation::truth);
    says_so == Some(true) && is_listed(&tolerate.namespaces, ended)
}

/// Whether the host was started so lately that the plugin may not be there yet; where namespaces are listed that may go
/// without it, in these alone.
fn is_in_grace(rules: &Rules, entry: &Require, ended: &Ended<'_>) -> bool {
    let Some(grace) = entry.grace.filter(|_| ended.is_live) else { return false };
    entry.tolerate.as_ref().is_none_or(|tolerate| is_listed(&tolerate.namespaces, ended))
        && rules.host().since_boot().is_ok_and(|passed| passed < grace)
}

fn is_listed(namespaces: &[Box<str>], ended: &Ended<'_>) -> bool {
    let matches = |namespace: &str| namespaces.iter().any(|glob| Glob::text(glob).is_match(namespace));
    ended.pod.is_some_and(|pod| matches(&pod.namespace))
}

/// The annotation as it holds for what is to run.
fn annotation<'a>(ended: &Ended<'a>, key: &str) -> Option<&'a str> {
    let annotations = &ended.pod?.annotations;
    match &ended.product {
        Some(product) => annotation::effective(annotations, key, &product.pristine.name),
        None => annotation::effective_for_pod(annotations, key),
    }
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, at, plugin, lack, action: _ } = self;
        match (policy, at) {
            (Some(policy), Some(at)) => write!(f, "policy {policy:?} ({at}) requires plugin {plugin:?}, ")?,
            (Some(policy), None) => write!(f, "policy {policy:?} requires plugin {plugin:?}, ")?,
            (None, _) if matches!(lack, Lack::Unreadable(_)) => {
                write!(f, "the pod's annotation {REQUIRED_PLUGINS} ({plugin:?}) ")?;
            }
            (None, _) => write!(f, "the pod's annotation {REQUIRED_PLUGINS} asks for plugin {plugin:?}, ")?,
        }
        match lack {
            Lack::NotConnected => f.write_str("which is not connected: start it"),
            Lack::Unproven(name) => write!(
                f,
                "and {:?}, which is connected, does not prove to be that identity: see `match` of the identity",
                name.full()
            ),
            Lack::Unanswered(why) => write!(f, "which {why}: see its log"),
            Lack::NotOwned(field) => {
                write!(
                    f,
                    "whose changes of {field} were not applied: see its log, and what the policy refuses it"
                )
            }
            Lack::Unreadable(why) => {
                write!(f, "cannot be read: {why}; a YAML list of plugin names is expected")
            }
        }
    }
}
