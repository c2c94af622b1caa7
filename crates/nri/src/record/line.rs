//! One request as a line of a recording: the form that `nri replay` reads (`cli.md`, "nri replay").

use std::sync::Arc;
use std::time::SystemTime;

use nri_runtime::host::{Cause, Consulted, Failure, Given, Identity, Known, Outcome, Said};
use nri_wire::api::{Container, LinuxResources, PodSandbox};
use prost::Message as _;
use serde_json::{Map, Value, json};

use crate::journal::queue::Weigh;
use crate::json::to_json;
use crate::timestamp::timestamp;

/// Members of answers that are a plugin's own words.
pub(super) const TEXTS: &[&str] = &["error", "reason", "invalid"];

/// What a spec is taken to weigh in the queue, in bytes: many weigh less.
const SPEC: usize = 32 * 1024;

/// A request and what plugins said to it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) at: SystemTime,
    pub(super) event: Recorded,
    pub(super) pod: Option<PodSandbox>,
    pub(super) container: Option<Container>,
    pub(super) spec: Option<Value>,
    pub(super) answers: Vec<Consulted>,
    pub(super) validators: Vec<Consulted>,
    /// What is wrong with the last answer, if it cannot be read.
    pub(super) invalid: Option<String>,
    /// It failed before every plugin was asked.
    pub(super) incomplete: bool,
}

/// Which request, and what is in no other.
#[derive(Debug)]
pub(super) enum Recorded {
    Create,
    Update(Option<Box<LinuxResources>>),
    Stop,
    Synchronize { pods: Vec<PodSandbox>, containers: Vec<Container> },
    UpdateContainers,
}

impl Entry {
    pub(super) fn new(event: Recorded) -> Self {
        Self {
            at: SystemTime::now(),
            event,
            pod: None,
            container: None,
            spec: None,
            answers: Vec::new(),
            validators: Vec::new(),
            invalid: None,
            incomplete: false,
        }
    }

    /// Takes in the outcomes of a request that failed. Its last may be a validator's; those before it are if they
    /// answered as one.
    pub(super) fn failed(&mut self, failure: &Failure) {
        let validator = matches!(failure.cause, Cause::Validator { .. });
        self.incomplete = !validator && !matches!(failure.cause, Cause::Rejected(_));
        let last = failure.plugins.len().saturating_sub(1);
        for (at, consulted) in failure.plugins.iter().enumerate() {
            let validates = (validator && at == last)
                || consulted.given.as_deref().is_some_and(|given| matches!(given.said, Said::Validate(_)));
            let list = if validates { &mut self.validators } else { &mut self.answers };
            list.push(consulted.clone());
        }
        if let Cause::Invalid { reason, .. } = &failure.cause {
            self.invalid = Some(reason.clone());
        }
    }

    /// The line. `tail`: the end of its id, after the letter of the event.
    pub(super) fn line(&self, tail: &str) -> Value {
        let (letter, event) = match self.event {
            Recorded::Create => ('c', "CreateContainer"),
            Recorded::Update(_) => ('u', "UpdateContainer"),
            Recorded::Stop => ('s', "StopContainer"),
            Recorded::Synchronize { .. } => ('y', "Synchronize"),
            Recorded::UpdateContainers => ('n', "UpdateContainers"),
        };
        let mut line = Map::new();
        let mut put = |name: &str, value: Value| drop(line.insert(name.to_owned(), value));
        put("version", 1.into());
        put("id", format!("{letter}{tail}").into());
        put("time", timestamp(self.at).into());
        put("event", event.into());
        if let Some(pod) = &self.pod {
            put("pod", to_json(pod));
        }
        if let Some(container) = &self.container {
            put("container", to_json(container));
        }
        match &self.event {
            Recorded::Update(resources) => {
                put("resources", resources.as_ref().map_or(json!({}), |resources| to_json(&**resources)));
            }
            Recorded::Synchronize { pods, containers } => {
                put("pods", pods.iter().map(to_json).collect());
                put("containers", containers.iter().map(to_json).collect());
            }
            Recorded::Create | Recorded::Stop | Recorded::UpdateContainers => {}
        }
        if let Some(spec) = &self.spec {
            put("spec", spec.clone());
        }
        let invalid = |at: usize| self.invalid.as_ref().filter(|_| at + 1 == self.answers.len());
        put("answers", self.answers.iter().enumerate().map(|(at, a)| answer(a, invalid(at))).collect());
        if let Recorded::Create = self.event {
            put("validators", self.validators.iter().map(validator).collect());
        }
        put("targets", Value::Object(targets(&self.answers)));
        if self.incomplete {
            put("incomplete", true.into());
        }
        Value::Object(line)
    }
}

impl Weigh for Entry {
    fn weight(&self) -> usize {
        let event = match &self.event {
            Recorded::Update(resources) => resources.as_ref().map_or(0, prost::Message::encoded_len),
            Recorded::Synchronize { pods, containers } => {
                pods.iter().map(PodSandbox::encoded_len).sum::<usize>()
                    + containers.iter().map(Container::encoded_len).sum::<usize>()
            }
            Recorded::Create | Recorded::Stop | Recorded::UpdateContainers => 0,
        };
        let given = |consulted: &Consulted| consulted.given.as_deref().map_or(0, weight) + 128;
        event
            + self.pod.as_ref().map_or(0, PodSandbox::encoded_len)
            + self.container.as_ref().map_or(0, Container::encoded_len)
            + self.spec.as_ref().map_or(0, |_| SPEC)
            + self.answers.iter().chain(&self.validators).map(given).sum::<usize>()
            + size_of::<Self>()
    }
}

fn weight(given: &Given) -> usize {
    let message = match &given.said {
        Said::Create(answer) => answer.encoded_len(),
        Said::Update(answer) => answer.encoded_len(),
        Said::Stop(answer) => answer.encoded_len(),
        Said::Validate(answer) => answer.encoded_len(),
        Said::Synchronize(answer) => answer.encoded_len(),
        Said::UpdateContainers(request) => request.encoded_len(),
    };
    let known = |known: &Known| {
        let labels = known.labels.iter().flatten().map(|(key, value)| key.len() + value.len());
        labels.sum::<usize>() + known.resources.as_ref().map_or(0, LinuxResources::encoded_len) + 128
    };
    message
        + given.unknown.iter().map(String::len).sum::<usize>()
        + given.targets.values().map(known).sum::<usize>()
}

/// One member of `answers`.
fn answer(consulted: &Consulted, invalid: Option<&String>) -> Value {
    let plugin = consulted.plugin.full();
    let mut answer = match &consulted.outcome {
        Outcome::Veto(reason) => return json!({ "plugin": plugin, "error": reason }),
        Outcome::Gone => return json!({ "plugin": plugin, "gone": true }),
        Outcome::Late => return json!({ "plugin": plugin, "late": true }),
        Outcome::Answer => match consulted.given.as_deref().map(|given| &given.said) {
            Some(Said::Create(answer)) => json!({
                "plugin": plugin, "adjust": answer.adjust.as_ref().map_or(json!({}), to_json),
                "update": list(&answer.update), "evict": list(&answer.evict),
            }),
            Some(Said::Update(answer)) => {
                json!({ "plugin": plugin, "update": list(&answer.update), "evict": list(&answer.evict) })
            }
            Some(Said::UpdateContainers(request)) => {
                json!({ "plugin": plugin, "update": list(&request.update), "evict": list(&request.evict) })
            }
            // The message has no evictions; the form has.
            Some(Said::Stop(answer)) => {
                json!({ "plugin": plugin, "update": list(&answer.update), "evict": [] })
            }
            Some(Said::Synchronize(answer)) => json!({ "plugin": plugin, "update": list(&answer.update) }),
            Some(Said::Validate(_)) | None => json!({ "plugin": plugin }),
        },
    };
    if let Some(reason) = invalid {
        put(&mut answer, "invalid", reason.as_str().into());
    }
    let Some(given) = consulted.given.as_deref() else { return answer };
    if !given.unknown.is_empty() {
        put(&mut answer, "unknown", given.unknown.iter().map(String::as_str).collect());
    }
    if given.identity != Identity::default() {
        put(&mut answer, "facts", serde_json::to_value(&given.identity).unwrap_or_default());
    }
    answer
}

/// One member of `validators`.
fn validator(consulted: &Consulted) -> Value {
    let plugin = consulted.plugin.full();
    match &consulted.outcome {
        Outcome::Answer => json!({ "plugin": plugin, "reject": false }),
        Outcome::Veto(reason) => json!({ "plugin": plugin, "reject": true, "reason": reason }),
        Outcome::Gone => json!({ "plugin": plugin, "gone": true }),
        Outcome::Late => json!({ "plugin": plugin, "late": true }),
    }
}

fn put(json: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = json {
        members.insert(name.to_owned(), value);
    }
}

fn list<M: prost::Message + prost::Name>(messages: &[M]) -> Value {
    messages.iter().map(to_json).collect()
}

/// What was known of the containers that answers update, as it was when the first of them came.
fn targets(answers: &[Consulted]) -> Map<String, Value> {
    let mut targets = Map::new();
    let given = answers.iter().filter_map(|consulted| consulted.given.as_ref());
    for (id, known) in given.map(Arc::as_ref).flat_map(|given: &Given| &given.targets) {
        targets.entry(id.clone()).or_insert_with(|| {
            let mut target = Map::new();
            if let Some(namespace) = &known.namespace {
                target.insert("namespace".to_owned(), namespace.as_str().into());
            }
            if let Some(labels) = &known.labels {
                target.insert("labels".to_owned(), json!(labels));
            }
            target.insert("resources".to_owned(), known.resources.as_ref().map_or(json!({}), to_json));
            Value::Object(target)
        });
    }
    targets
}
