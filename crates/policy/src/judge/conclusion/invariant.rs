//! The three invariants.

use std::collections::BTreeMap;

use nri_wire::api::{Container, LinuxNamespace, LinuxSeccomp};
use nri_wire::field::Field;
use nri_wire::name::PluginName;
use serde_json::Value as Json;

use super::{Ended, Product, action};
use crate::change::{Subject, comparable};
use crate::document::word::Invariant;
use crate::identity::Facts;
use crate::judge::Rules;
use crate::judge::compiled::Policy;
use crate::judge::refusal::{Action, Refused, one_line};
use crate::path::clean;
use crate::rule::set::{reaches_runtime_sockets, steers_runtimes};

/// Where the namespaces of the host's first process are.
const HOST_NAMESPACES: &str = "/proc/1/ns/";

/// One way in which an end result breaks an invariant.
struct Breach {
    field: Field,
    key: String,
    reason: String,
    counterexample: Option<Json>,
    /// It cannot be told, and the policy lets that pass.
    passes: bool,
}

/// Everything that breaks an invariant of a policy. What nobody changed breaks none.
pub(super) fn broken(
    rules: &Rules,
    policy: &Policy,
    ended: &Ended<'_>,
    product: &Product<'_>,
) -> Vec<Refused> {
    let Some((last, _)) = product.changes.last() else { return Vec::new() };
    let mut refused = Vec::new();
    for (invariant, source) in &policy.invariants {
        let breaches = match invariant {
            Invariant::NoSeccompLoosening => {
                let mut breaches = annotations(rules, product);
                breaches.extend(seccomp(rules, policy, ended, product));
                breaches
            }
            Invariant::NoHostNamespaceJoin => namespaces(rules, policy, product),
            Invariant::NoRuntimeSocketMount => mounts(product),
        };
        refused.extend(breaches.into_iter().map(|breach| {
            let owner = owner(product, breach.field, &breach.key).unwrap_or(last);
            let seat = policy.seat(owner, facts(ended, owner));
            let action = action(policy.mode);
            Refused {
                plugin: owner.full().to_owned(),
                identity: seat.identity.map(str::to_owned),
                level: seat.level.map(|level| level.name.to_string()),
                field: breach.field.name().to_owned(),
                key: breach.key,
                op: None,
                rule: source.id.to_string(),
                at: source.at.as_deref().map(str::to_owned),
                action: if breach.passes { action.min(Action::Warn) } else { action },
                reason: one_line(&breach.reason),
                counterexample: breach.counterexample,
            }
        }));
    }
    refused
}

/// The last plugin that changed a key.
fn owner<'a>(product: &Product<'a>, field: Field, key: &str) -> Option<&'a PluginName> {
    let key = comparable(field, key);
    let is_it =
        |subject, changed: &str| subject == Subject::Field(field) && comparable(field, changed) == key;
    let mut changes = product.changes.iter().rev().filter(|(_, change)| change.update.is_none());
    changes.find(|(_, change)| is_it(change.subject, &change.key)).map(|(plugin, _)| *plugin)
}

fn facts<'a>(ended: &Ended<'a>, plugin: &PluginName) -> &'a Facts {
    ended.chain.iter().find(|member| member.plugin == plugin).map_or(Facts::nothing(), |member| member.facts)
}

/// Runtimes take a seccomp policy from annotations too.
fn annotations(rules: &Rules, product: &Product<'_>) -> Vec<Breach> {
    let (old, new) = (&product.pristine.annotations, &product.container.annotations);
    let added = new.keys().filter(|key| !old.contains_key(*key));
    let touched = old.keys().filter(|key| new.get(*key) != old.get(*key)).chain(added);
    let steering = touched.filter(|key| steers_runtimes(key, rules.host()));
    steering
        .map(|key| Breach {
            field: Field::Annotations,
            key: key.clone(),
            reason: format!(
                "annotation {key} steers the OCI runtime, which could then use another seccomp policy than the client's; \
                 the plugin must leave it as it is"
            ),
            counterexample: None,
            passes: false,
        })
        .collect()
}

fn seccomp(rules: &Rules, policy: &Policy, ended: &Ended<'_>, product: &Product<'_>) -> Option<Breach> {
    let new = seccomp_policy(product.container);
    if new == seccomp_policy(product.pristine) {
        return None;
    }
    let breach = |reason: String, counterexample| {
        Some(Breach { field: Field::Seccomp, key: String::new(), reason, counterexample, passes: false })
    };
    let Some(new) = new else {
        return breach("the client's seccomp policy is gone".to_owned(), None);
    };
    let owner = owner(product, Field::Seccomp, "");
    let seat = owner.map(|owner| policy.seat(owner, facts(ended, owner)));
    let level = seat.and_then(|seat| seat.level);
    let rule =
        level.and_then(|level| Some((level, level.decider(Subject::Field(Field::Seccomp))?.rule.seccomp())));
    match rules.comparisons.end(policy, rule, product.pristine, new) {
        Ok(_) => None,
        Err(why) => breach(format!("the container's seccomp policy: {}", why.reason), why.counterexample),
    }
}

fn seccomp_policy(container: &Container) -> Option<&LinuxSeccomp> {
    container.linux.as_ref()?.seccomp_policy.as_ref()
}

fn namespaces(rules: &Rules, policy: &Policy, product: &Product<'_>) -> Vec<Breach> {
    let by_type = |container: &'_ nri_wire::api::Container| -> BTreeMap<String, String> {
        let list = container.linux.iter().flat_map(|linux| &linux.namespaces);
        list.map(|LinuxNamespace { r#type, path }| (r#type.clone(), path.clone())).collect()
    };
    let (old, new) = (by_type(product.pristine), by_type(product.container));
    let breach = |key: &str, reason: String, passes| Breach {
        field: Field::Namespaces,
        key: key.to_owned(),
        reason,
        counterexample: None,
        passes,
    };
    let gone = old.keys().filter(|kind| !new.contains_key(*kind));
    let mut breaches: Vec<Breach> = gone
        .map(|kind| {
            let reason = format!("without a {kind} namespace of its own the container is in the host's");
            breach(kind, reason, false)
        })
        .collect();
    for (kind, path) in new.iter().filter(|(kind, path)| !path.is_empty() && old.get(*kind) != Some(path)) {
        let found = if clean(path).starts_with(HOST_NAMESPACES) {
            Ok(true)
        } else {
            rules.host().is_host_namespace(path)
        };
        match found {
            Ok(false) => {}
            Ok(true) => {
                let reason = format!("{} is the host's {kind} namespace", crate::rule::matching::shown(path));
                breaches.push(breach(kind, reason, false));
            }
            Err(why) => {
                let reason =
                    format!("whether the {kind} namespace is the host's cannot be told: failed to {why}");
                breaches.push(breach(kind, reason, policy.is_open));
            }
        }
    }
    breaches
}

fn mounts(product: &Product<'_>) -> Vec<Breach> {
    let is_clients = |mount| product.pristine.mounts.contains(mount);
    let touched = product.container.mounts.iter().filter(|mount| !is_clients(mount));
    touched
        .filter(|mount| reaches_runtime_sockets(mount))
        .map(|mount| Breach {
            field: Field::Mounts,
            key: mount.destination.clone(),
            reason: format!(
                "{} reaches the socket of a container runtime, through which everything on the host can be changed",
                crate::rule::matching::shown(&mount.source)
            ),
            counterexample: None,
            passes: false,
        })
        .collect()
}
