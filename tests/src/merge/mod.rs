//! Cases of merging, and what our merging makes of one. The same cases run on the reference.

mod adjustments;
mod quirks;
mod updates;

use nri_policy::identity::Facts;
use nri_policy::judge::{Answer, Asked, Judge, Other, Permitted};
use nri_runtime::merge::strip::Strip;
use nri_runtime::merge::{Creation, MergeError, Stop, Update};
use nri_wire::api::{
    Container, ContainerAdjustment, ContainerEviction, ContainerUpdate, CreateContainerRequest,
    OwningPlugins, StopContainerRequest, UpdateContainerRequest,
};
use nri_wire::name::PluginName;
use serde_json::{Value as Json, json};

use crate::proto;

/// One request, its answers, and what comes of them.
#[derive(Clone, Debug)]
pub struct Case {
    /// CONF-, EXT- or quirk id, and what tells cases of one id apart.
    pub id: String,
    /// `create`, `update` or `stop`.
    pub event: &'static str,
    /// The request's container, as JSON.
    pub container: Json,
    /// The request's resources, of an update.
    pub resources: Json,
    /// `{"plugin", "adjust", "update", "evict"}` in calling order.
    pub answers: Vec<Json>,
    /// Members of `{"adjust", "update", "evict", "owners", "error"}` that are expected; absent ones may be anything. Parts
    /// that say nothing do not count.
    pub expect: Json,
    /// The id of the reason why the reference's outcome is another one.
    pub differs: Option<&'static str>,
}

/// What came of a case, with nothing in it that says nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The merged adjustment.
    pub adjust: Option<ContainerAdjustment>,
    /// The updates; an element that says nothing but its id counts.
    pub updates: Vec<ContainerUpdate>,
    /// The evictions.
    pub evictions: Vec<ContainerEviction>,
    /// The owners, as validators get them.
    pub owners: OwningPlugins,
    /// What each plugin was shown of the created container, as far as it was called.
    pub shown: Vec<Container>,
    /// The error; with it there is only what was shown before.
    pub error: Option<String>,
}

/// All cases.
#[must_use]
pub fn cases() -> Vec<Case> {
    [adjustments::cases(), updates::cases(), quirks::cases()].concat()
}

impl Case {
    /// Answers to CreateContainer of [`container`].
    #[must_use]
    pub fn create(id: impl Into<String>, answers: &[(&str, Json)], expect: Json) -> Self {
        Self {
            id: id.into(),
            event: "create",
            container: container(),
            resources: Json::Null,
            answers: answers
                .iter()
                .map(|(plugin, answer)| {
                    let mut answer = answer.clone();
                    answer["plugin"] = (*plugin).into();
                    answer
                })
                .collect(),
            expect,
            differs: None,
        }
    }

    /// The same for another event.
    #[must_use]
    pub const fn on(mut self, event: &'static str) -> Self {
        self.event = event;
        self
    }

    /// With this in the container.
    #[must_use]
    pub fn with(mut self, container: &Json) -> Self {
        overlay(&mut self.container, container);
        self
    }

    /// With these resources in the request.
    #[must_use]
    pub fn resources(mut self, resources: Json) -> Self {
        self.resources = resources;
        self
    }

    /// The reference does something else, because of this.
    #[must_use]
    pub const fn differs(mut self, why: &'static str) -> Self {
        self.differs = Some(why);
        self
    }

    /// The line that the Go oracle reads.
    #[must_use]
    pub fn line(&self) -> Json {
        let mut line = json!({
            "event": self.event, "pod": {"id": "pod0"}, "container": self.container, "answers": self.answers,
            "seen": true,
        });
        if !self.resources.is_null() {
            line["resources"] = self.resources.clone();
        }
        line
    }

    /// What our merging makes of it.
    ///
    /// # Panics
    /// Where the case itself is wrong.
    #[must_use]
    pub fn run(&self) -> Outcome {
        let mut shown = Vec::new();
        let result = match self.event {
            "create" => self.run_create(&mut shown),
            "update" => self.run_update(),
            "stop" => self.run_stop(),
            other => panic!("{}: unknown event {other}", self.id),
        };
        let outcome =
            result.unwrap_or_else(|error| Outcome { error: Some(error.to_string()), ..Outcome::default() });
        Outcome { shown, ..outcome }
    }

    fn run_create(&self, shown: &mut Vec<Container>) -> Result<Outcome, MergeError> {
        let container = Some(proto::message(&self.container));
        let mut creation = Creation::new(CreateContainerRequest { container, ..Default::default() });
        for (plugin, answer) in self.answers() {
            shown.extend(creation.request().container.clone());
            let permitted = permit(&plugin, creation.basis(&()), proto::message(&answer));
            creation.apply(&plugin, permitted)?;
        }
        let merged = creation.finish();
        Ok(Outcome {
            adjust: merged.adjust.into_inner().strip(),
            updates: merged.updates.into_iter().map(stripped).collect(),
            evictions: merged.evictions.into_iter().map(|e| e.eviction).collect(),
            owners: merged.ledger.owners(),
            ..Outcome::default()
        })
    }

    fn run_update(&self) -> Result<Outcome, MergeError> {
        let mut update = Update::new(UpdateContainerRequest {
            container: Some(proto::message(&self.container)),
            linux_resources: (!self.resources.is_null()).then(|| proto::message(&self.resources)),
            ..Default::default()
        });
        for (plugin, answer) in self.answers() {
            let permitted = permit(&plugin, update.basis(&()), proto::message(&answer));
            update.apply(&plugin, permitted)?;
        }
        let merged = update.finish();
        Ok(Outcome {
            evictions: merged.evictions.iter().map(|e| e.eviction.clone()).collect(),
            updates: merged.into_list().into_iter().map(stripped).collect(),
            ..Outcome::default()
        })
    }

    fn run_stop(&self) -> Result<Outcome, MergeError> {
        let container = Some(proto::message(&self.container));
        let mut stop = Stop::new(StopContainerRequest { container, ..Default::default() });
        for (plugin, answer) in self.answers() {
            let permitted = permit(&plugin, Other { targets: &() }, proto::message(&answer));
            stop.apply(&plugin, permitted)?;
        }
        let updates = stop.finish().updates.into_iter().map(stripped).collect();
        Ok(Outcome { updates, ..Outcome::default() })
    }

    /// Plugins and answers, the latter as response messages.
    fn answers(&self) -> impl Iterator<Item = (PluginName, Json)> {
        self.answers.iter().map(|answer| {
            let mut answer = answer.clone();
            let plugin = answer["plugin"].take();
            answer.as_object_mut().map(|members| members.remove("plugin"));
            let name = plugin.as_str().unwrap_or_default();
            (name.parse().unwrap_or_else(|error| panic!("{}: {error}", self.id)), answer)
        })
    }
}

impl Outcome {
    /// Reads what the Go oracle printed.
    #[must_use]
    pub fn of_reference(line: &Json) -> Self {
        let seen: std::collections::BTreeMap<_, _> = line["seen"].as_object().into_iter().flatten().collect();
        let shown: Vec<_> = seen
            .values()
            .filter(|request| line["adjust"].is_object() && request["container"].is_object())
            .map(|request| proto::message(&request["container"]))
            .collect();
        if let Some(error) = line["error"].as_str() {
            return Self { error: Some(error.trim_end().to_owned()), shown, ..Self::default() };
        }
        let adjust: Option<ContainerAdjustment> =
            line["adjust"].is_object().then(|| proto::message(&line["adjust"]));
        Self {
            adjust: adjust.and_then(Strip::strip),
            updates: updates(&line["update"]),
            evictions: proto::messages(&line["evict"]),
            owners: if line["owners"].is_null() {
                OwningPlugins::default()
            } else {
                proto::message(&line["owners"])
            },
            shown,
            error: None,
        }
    }

    /// Whether everything that is expected is so.
    #[must_use]
    pub fn is(&self, expect: &Json) -> bool {
        let wanted = Self::of_reference(expect);
        let has = |member: &str| expect.get(member).is_some();
        self.error == wanted.error
            && (!has("adjust") || self.adjust == wanted.adjust)
            && (!has("update") || self.updates == wanted.updates)
            && (!has("evict") || self.evictions == wanted.evictions)
            && (!has("owners") || self.owners == wanted.owners)
    }
}

/// A container that has something of most kinds.
#[must_use]
pub fn container() -> Json {
    json!({
        "id": "ctr1", "name": "ctr1", "podSandboxId": "pod0",
        "args": ["echo", "original", "argument", "list"],
        "env": ["ORIGINAL=1", "PATH=/bin"],
        "annotations": {"original": "1"},
        "mounts": [{"destination": "/original", "type": "bind", "source": "/host", "options": ["bind", "ro"]}],
        "linux": {
            "namespaces": [{"type": "cgroup", "path": "/"}],
            "devices": [{"path": "/dev/original", "type": "c", "major": "1", "minor": "3"}],
            "sysctl": {"original": "1"},
            "netDevices": {"original": {"name": "eth0"}},
            "resources": {"memory": {"limit": {"value": "11111"}}, "cpu": {"shares": {"value": "11"}, "cpus": "0"}},
        },
    })
}

/// Judges by the judge that allows everything.
fn permit<A: Answer>(plugin: &PluginName, basis: A::Basis<'_>, answer: A) -> Permitted<A> {
    let verdict =
        Judge::allow_all().judge(&Asked { plugin, facts: Facts::nothing(), basis, unknown: &[] }, answer);
    verdict.permitted.unwrap_or_else(|| panic!("the judge that allows everything refused {plugin}"))
}

fn updates(list: &Json) -> Vec<ContainerUpdate> {
    list.as_array()
        .into_iter()
        .flatten()
        .map(|update| if update.is_null() { ContainerUpdate::default() } else { proto::message(update) })
        .map(stripped)
        .collect()
}

fn stripped(update: ContainerUpdate) -> ContainerUpdate {
    update.strip().unwrap_or_default()
}

/// Writes the members of one object over those of another.
fn overlay(base: &mut Json, over: &Json) {
    match (base, over) {
        (Json::Object(base), Json::Object(over)) => {
            for (key, value) in over {
                overlay(base.entry(key.clone()).or_insert(Json::Null), value);
            }
        }
        (base, over) => base.clone_from(over),
    }
}
