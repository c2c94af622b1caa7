//! Policies as the judge uses them: for each field the one rule that decides, with its name in decisions.

use std::collections::BTreeMap;
use std::sync::Arc;

use nri_wire::api::PodSandbox;
use nri_wire::field::FIELDS;
use nri_wire::name::PluginName;

use crate::change::Subject;
use crate::document::load::PolicySet;
use crate::document::policy::{self, At, Limits};
use crate::document::source::{Sources, Span};
use crate::document::word::{ClientOverride, FailurePolicy, Invariant, Proof, UnconfinedMeans, UpdateKind};
use crate::identity::{self, Facts, Matcher};
use crate::rule::glob::Glob;
use crate::rule::{FieldKey, Mode, Named, OnViolation, Rule};

/// One policy.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) name: Arc<str>,
    pub(super) mode: Mode,
    /// What cannot be judged passes.
    pub(super) is_open: bool,
    pub(super) client_override: ClientOverride,
    pub(super) unconfined_means: UnconfinedMeans,
    pub(super) limits: Limits,
    /// The file of the seccomp policy that stands for the runtime's default.
    pub(super) assumed_base: Option<Box<str>>,
    /// Said where the client's word is overridden.
    pub(super) client: Arc<str>,
    /// Said where nobody speaks for a plugin.
    pub(super) no_level: Source,
    /// What must hold of end results.
    pub(super) invariants: Vec<(Invariant, Source)>,
    /// Which plugins must be there.
    pub(super) require: Vec<Required>,
    scope: Scope,
    identities: Vec<Identity>,
    levels: Vec<Level>,
    default_level: Option<usize>,
}

#[derive(Debug)]
struct Scope {
    include: Option<Vec<Glob>>,
    exclude: Vec<Glob>,
    labels: BTreeMap<Box<str>, Box<str>>,
}

#[derive(Debug)]
struct Identity {
    name: Box<str>,
    level: Option<usize>,
    wanted: policy::Match,
    matcher: Matcher,
    priority: i64,
    reserve: Vec<Box<str>>,
    /// Said where another plugin takes a reserved name.
    reserved: Source,
}

/// A plugin that must be there.
#[derive(Debug)]
pub(super) struct Required {
    pub(super) entry: policy::Require,
    /// Where that is said.
    pub(super) at: Arc<str>,
}

/// What plugins with a level may do.
#[derive(Debug)]
pub(super) struct Level {
    pub(super) name: Box<str>,
    pub(super) mode: Mode,
    pub(super) on_violation: Option<OnViolation>,
    pub(super) may_override_client: bool,
    /// Said where no key covers a field.
    pub(super) no_key: Source,
    require_proof: Proof,
    rules: Vec<Decider>,
    /// Which of them decides.
    deciding: BTreeMap<Subject, usize>,
    updates: BTreeMap<UpdateKind, Grant>,
}

/// A rule and what it is called.
#[derive(Debug)]
pub(super) struct Decider {
    pub(super) rule: Rule,
    pub(super) source: Source,
}

/// What a level says about a kind of updates.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) source: Source,
    pub(super) mode: Mode,
    pub(super) on_violation: Option<OnViolation>,
    /// `None`: everybody's, if it is granted at all.
    namespaces: Option<Vec<Glob>>,
    allow: bool,
}

/// A rule's name in decisions, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Source {
    pub(super) id: Arc<str>,
    pub(super) at: Option<Arc<str>>,
}

/// A pod, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PodOf<'a> {
    pub(super) namespace: Option<&'a str>,
    pub(super) labels: Option<&'a BTreeMap<String, String>>,
}

/// Who a plugin is to a policy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat<'p> {
    pub(super) policy: &'p Policy,
    pub(super) identity: Option<&'p str>,
    /// `None`: the policy does not speak for it.
    pub(super) level: Option<&'p Level>,
}

/// Every policy of a set.
pub(super) fn compile(set: &PolicySet) -> Vec<Policy> {
    set.policies.iter().map(|policy| Policy::new(policy, &set.sources)).collect()
}

impl Policy {
    fn new(policy: &policy::Policy, sources: &Sources) -> Self {
        let name = &*policy.name.value;
        let level_at = |wanted: &str| policy.levels.iter().position(|level| &*level.name.value == wanted);
        let source = |id: String, at: Option<Span>| Source::new(id, at, sources);
        let identity = |identity: &policy::Identity| Identity {
            name: identity.name.value.clone(),
            level: level_at(&identity.level.value),
            matcher: Matcher::new(&identity.matches),
            wanted: identity.matches.clone(),
            priority: identity.priority,
            reserve: identity.reserve.clone(),
            reserved: source(format!("{name}/reserve/{}", identity.name.value), Some(identity.name.at)),
        };
        Self {
            name: Arc::from(name),
            mode: policy.mode,
            is_open: policy.failure == FailurePolicy::Open,
            client_override: policy.client_override,
            unconfined_means: policy.unconfined_means,
            limits: policy.limits,
            assumed_base: policy.assumed_base.as_ref().map(|path| path.value.clone()),
            client: format!("{name}/clientOverride").into(),
            no_level: source(format!("{name}/defaultLevel"), policy.default_level_at),
            invariants: policy
                .invariants
                .iter()
                .map(|(invariant, at)| {
                    (*invariant, source(format!("{name}/invariants/{invariant}"), Some(*at)))
                })
                .collect(),
            require: policy
                .require
                .iter()
                .map(|entry| Required { entry: entry.clone(), at: place(entry.plugin.at, sources) })
                .collect(),
            scope: Scope {
                include: policy.scope.namespaces.include.as_deref().map(globs),
                exclude: globs(&policy.scope.namespaces.exclude),
                labels: policy.scope.labels.clone(),
            },
            identities: policy.identities.iter().map(identity).collect(),
            levels: policy.levels.iter().map(|level| Level::new(level, policy, sources)).collect(),
            default_level: policy.default_level.as_ref().and_then(|At { value, .. }| level_at(value)),
        }
    }

    /// Whether a container is in the policy's scope. One of which too little is known is.
    pub(super) fn covers(&self, pod: PodOf<'_>) -> bool {
        let Scope { include, exclude, labels } = &self.scope;
        let any = |globs: &[Glob], namespace: &str| globs.iter().any(|glob| glob.is_match(namespace));
        let namespace = pod.namespace.is_none_or(|namespace| {
            include.as_ref().is_none_or(|include| any(include, namespace)) && !any(exclude, namespace)
        });
        namespace
            && pod.labels.is_none_or(|found| {
                labels.iter().all(|(key, value)| found.get(&**key).is_some_and(|found| **found == **value))
            })
    }

    /// Whether an identity goes by a digest.
    pub(super) fn wants_digests(&self) -> bool {
        self.identities.iter().any(|identity| identity.wanted.wants_digest())
    }

    /// Who a plugin is (`policy.md` 2): of the identities that match, the one with the highest priority. If that is none, if
    /// several tie with different levels, or if it is not proven well enough, it has the default level.
    pub(super) fn seat(&self, plugin: &PluginName, facts: &Facts) -> Seat<'_> {
        let default = || Seat {
            policy: self,
            identity: None,
            level: self.default_level.and_then(|level| self.levels.get(level)),
        };
        let mut found: Vec<&Identity> =
            self.identities.iter().filter(|identity| identity.matcher.holds(plugin, facts)).collect();
        let Some(priority) = found.iter().map(|identity| identity.priority).max() else { return default() };
        found.retain(|identity| identity.priority == priority);
        let Some(first) = found.first() else { return default() };
        let level = first.level.and_then(|level| self.levels.get(level));
        match level {
            Some(level)
                if found.iter().all(|other| other.level == first.level)
                    && found.iter().any(|one| identity::proof(&one.wanted, facts) >= level.require_proof) =>
            {
                Seat { policy: self, identity: Some(&first.name), level: Some(level) }
            }
            _ => default(),
        }
    }

    /// Whether one of its identities has this name.
    pub(super) fn has_identity(&self, name: &str) -> bool {
        self.identities.iter().any(|identity| &*identity.name == name)
    }

    /// The identity that a plugin's name is reserved for, unless it is that one.
    pub(super) fn reserved_for(&self, seat: &Seat<'_>, plugin: &PluginName) -> Option<&Source> {
        self.identities
            .iter()
            .find(|identity| {
                identity.reserve.iter().any(|name| &**name == plugin.base())
                    && seat.identity != Some(&*identity.name)
            })
            .map(|identity| &identity.reserved)
    }
}

impl Level {
    fn new(level: &policy::Level, policy: &policy::Policy, sources: &Sources) -> Self {
        let place = format!("{}/{}", policy.name.value, level.name.value);
        let mode = level.mode.unwrap_or(policy.mode);
        let source = |id: String, at: Option<Span>| Source::new(id, at, sources);
        let named = |id: &str| format!("{}/{id}", policy.name.value);
        let rules: Vec<Decider> = level
            .fields
            .iter()
            .filter_map(|(key, rule)| {
                let read = rule.rule.as_ref()?;
                let id = match &read.named {
                    Named::Key => format!("{place}/{key}"),
                    Named::Id(id) => named(id),
                    Named::EditRule => named("securityProfileEditRule"),
                };
                Some(Decider { rule: read.clone(), source: source(id, Some(rule.key_at)) })
            })
            .collect();
        let decides = |subject: Subject| {
            let find = |key: FieldKey| rules.iter().position(|decider| decider.rule.key == key);
            FieldKey::deciding(subject).find_map(find).map(|rule| (subject, rule))
        };
        let subjects = FIELDS.iter().map(|info| Subject::Field(info.field)).chain([Subject::Unknown]);
        let deciding = subjects.filter_map(decides).collect();
        let grant = |(kind, grant): (&UpdateKind, &Arc<policy::Grant>)| {
            let id = match &grant.id {
                Some(id) => named(id),
                None => format!("{place}/{}", update_field(*kind)),
            };
            let grant = Grant {
                source: source(id, Some(grant.at)),
                mode: grant.mode.unwrap_or(mode),
                on_violation: grant.on_violation,
                namespaces: grant.namespaces.as_deref().map(globs),
                allow: grant.allow,
            };
            (*kind, grant)
        };
        Self {
            name: level.name.value.clone(),
            mode,
            on_violation: level.on_violation,
            may_override_client: level.may_override_client.unwrap_or(false),
            no_key: source(place.clone(), Some(level.name.at)),
            require_proof: level.require_proof.as_ref().map_or(Proof::Weak, |proof| proof.value),
            rules,
            deciding,
            updates: level.updates.iter().map(grant).collect(),
        }
    }

    /// The rule that decides about a subject.
    pub(super) fn decider(&self, subject: Subject) -> Option<&Decider> {
        self.rules.get(*self.deciding.get(&subject)?)
    }

    /// What is said about a kind of updates.
    pub(super) fn grant(&self, kind: UpdateKind) -> Option<&Grant> {
        self.updates.get(&kind)
    }
}

impl Grant {
    /// Whether a container in this namespace may be updated.
    pub(super) fn covers(&self, namespace: Option<&str>) -> bool {
        self.allow
            && self.namespaces.as_ref().is_none_or(|globs| {
                namespace.is_some_and(|namespace| globs.iter().any(|glob| glob.is_match(namespace)))
            })
    }
}

impl Grant {
    /// Whether it is for some namespaces only.
    pub(super) const fn is_limited(&self) -> bool {
        self.allow && self.namespaces.is_some()
    }
}

impl Source {
    fn new(id: String, at: Option<Span>, sources: &Sources) -> Self {
        Self { id: id.into(), at: at.map(|at| place(at, sources)) }
    }
}

impl<'a> PodOf<'a> {
    pub(super) fn of(pod: Option<&'a PodSandbox>) -> Self {
        Self { namespace: pod.map(|pod| pod.namespace.as_str()), labels: pod.map(|pod| &pod.labels) }
    }
}

/// `file:line:column`.
fn place(at: Span, sources: &Sources) -> Arc<str> {
    format!("{}:{}", sources.name(at.file), at.start).into()
}

/// The field of refusals that are about an update or eviction as a whole.
pub(super) const fn update_field(kind: UpdateKind) -> &'static str {
    match kind {
        UpdateKind::Own => "updates.self",
        UpdateKind::Others => "updates.others",
        UpdateKind::OnStop => "updates.onStop",
        UpdateKind::Sync => "updates.sync",
        UpdateKind::Unsolicited => "updates.unsolicited",
        UpdateKind::Evict => "updates.evict",
    }
}

fn globs(patterns: &[Box<str>]) -> Vec<Glob> {
    patterns.iter().map(|pattern| Glob::text(pattern)).collect()
}
