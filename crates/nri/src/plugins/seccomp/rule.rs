//! From a container to the policy that it gets.

use std::collections::BTreeMap;
use std::fmt;

use nri_seccomp::edit::Ineffective;
use nri_seccomp::policy::{Invalid, Policy};
use nri_seccomp::term::Action;
use nri_wire::api::security_profile::ProfileType;
use nri_wire::api::{Container, PodSandbox};

use super::config::{Config, Listener, Match, Rule, Source, Unconfined};
use super::listener::{self, Directory, ListenerError};
use super::message;

/// Why a container cannot have the policy that its rule asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The rule's position in the configuration.
    rule: usize,
    reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reason {
    /// The runtime says that there is a policy, and not which.
    Untold,
    Unconfined,
    Own(Invalid),
    Edit(usize, Ineffective),
    Listener(ListenerError),
    Result(Invalid),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seccomp rules[{}]: ", self.rule)?;
        match &self.reason {
            Reason::Untold => f.write_str(
                "the runtime does not tell the container's policy, so that it cannot be edited; give a profile in the rule",
            ),
            Reason::Unconfined => {
                f.write_str("the container has no policy to edit; say in the rule's `unconfined` what is to happen then")
            }
            Reason::Own(invalid) => write!(f, "the container's own policy is invalid: {invalid}"),
            Reason::Edit(at, ineffective) => write!(f, "edits[{at}]: {ineffective}"),
            Reason::Listener(error) => write!(f, "listener refused: {error}"),
            Reason::Result(invalid) => write!(f, "the edited policy is invalid: {invalid}"),
        }
    }
}

impl std::error::Error for Refusal {}

impl Config {
    /// The policy that this container gets; `None` where it keeps what it has.
    pub(super) fn policy_for(
        &self,
        pod: &PodSandbox,
        container: &Container,
    ) -> Result<Option<Policy>, Refusal> {
        let Some((at, rule)) =
            self.rules.iter().enumerate().find(|(_, rule)| rule.matches.holds(pod, container))
        else {
            return Ok(None);
        };
        rule.policy_for(pod, container, &self.listener_directories)
            .map_err(|reason| Refusal { rule: at, reason })
    }
}

impl Rule {
    fn policy_for(
        &self,
        pod: &PodSandbox,
        container: &Container,
        directories: &[Directory],
    ) -> Result<Option<Policy>, Reason> {
        if self.changes_nothing() {
            return Ok(None);
        }
        let Some(mut policy) = self.base(container)? else { return Ok(None) };
        for (at, edit) in self.edits.iter().enumerate() {
            edit.apply(&mut policy).map_err(|ineffective| Reason::Edit(at, ineffective))?;
        }
        self.set_listener(&mut policy, pod, container, directories).map_err(Reason::Listener)?;
        policy.check().map_err(Reason::Result)?;
        Ok(Some(policy))
    }

    /// A listener that nothing is put before is not set: crun connects to it all the same, and fails where nobody listens.
    fn set_listener(
        &self,
        policy: &mut Policy,
        pod: &PodSandbox,
        container: &Container,
        directories: &[Directory],
    ) -> Result<(), ListenerError> {
        let path = self.listener.path(pod, container)?;
        let path = path.map(|path| listener::check(path, directories)).transpose()?;
        if !policy.syscalls.iter().any(|entry| entry.action == Action::Notify) {
            return Ok(());
        }
        if path.is_some() {
            policy.listener_path = path;
        }
        if let Some(metadata) = self.listener.metadata(pod, container) {
            policy.listener_metadata = Some(metadata);
        }
        Ok(())
    }

    /// A rule that only matches is how containers are exempted from later ones.
    fn changes_nothing(&self) -> bool {
        matches!(self.policy, Source::Container)
            && self.edits.is_empty()
            && self.listener == Listener::default()
    }

    fn base(&self, container: &Container) -> Result<Option<Policy>, Reason> {
        if let Source::Given(policy) = &self.policy {
            return Ok(Some(Policy::clone(policy)));
        }
        let linux = container.linux.as_ref();
        if let Some(own) = linux.and_then(|linux| linux.seccomp_policy.as_ref()) {
            return message::to_policy(own).map(Some).map_err(Reason::Own);
        }
        let profile = linux.and_then(|linux| linux.seccomp_profile.as_ref());
        if profile.is_some_and(|profile| profile.profile_type() != ProfileType::Unconfined) {
            return Err(Reason::Untold);
        }
        match self.unconfined {
            Unconfined::Error => Err(Reason::Unconfined),
            Unconfined::Leave => Ok(None),
            Unconfined::Allow => Ok(Some(Policy::new(Action::Allow))),
        }
    }
}

impl Match {
    fn holds(&self, pod: &PodSandbox, container: &Container) -> bool {
        let any = |patterns: &[String], name: &str| {
            patterns.is_empty()
                || patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
                    Some(beginning) => name.starts_with(beginning),
                    None => pattern == name,
                })
        };
        let all = |wanted: &BTreeMap<String, String>, there: &BTreeMap<String, String>| {
            wanted.iter().all(|(key, value)| there.get(key) == Some(value))
        };
        any(&self.namespaces, &pod.namespace)
            && any(&self.containers, &container.name)
            && all(&self.labels, &pod.labels)
            && all(&self.annotations, &pod.annotations)
    }
}

impl Listener {
    fn path(&self, pod: &PodSandbox, container: &Container) -> Result<Option<String>, ListenerError> {
        match annotation(pod, container, self.path_annotation.as_deref()) {
            Some(path) => Ok(Some(path.to_owned())),
            None => self.path.as_ref().map(|template| template.path(pod, container)).transpose(),
        }
    }

    fn metadata(&self, pod: &PodSandbox, container: &Container) -> Option<String> {
        match annotation(pod, container, self.metadata_annotation.as_deref()) {
            Some(text) => Some(text.to_owned()),
            None => self.metadata.as_ref().map(|template| template.text(pod, container)),
        }
    }
}

/// The effective annotation for a container: the key for this container, for the pod, or alone (`spec/api.md` 13).
fn annotation<'a>(pod: &'a PodSandbox, container: &Container, key: Option<&str>) -> Option<&'a str> {
    let key = key?;
    [format!("{key}/container.{}", container.name), format!("{key}/pod"), key.to_owned()]
        .iter()
        .find_map(|key| pod.annotations.get(key))
        .map(String::as_str)
}

#[cfg(test)]
mod tests;
