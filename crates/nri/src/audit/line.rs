//! One audit line: what it is made of when something is decided, and its JSON, which is made on the thread that writes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nri_policy::change::Recorded;
use nri_policy::judge::{Action, Judged, Refused};
use nri_policy::rule::Mode;
use nri_runtime::host::{Assurance, Judgement, Outcome};
use nri_runtime::merge::{Attributed, Holder, Ledger};
use nri_wire::api::{Container, PodSandbox};
use nri_wire::name::PluginName;
use serde_json::{Map, Value, json};

use super::{Id, Operation, Point};
use crate::decision::Problem;
use crate::journal::queue::Weigh;
use crate::policy::lock::InForce;
use crate::record::hide::{self, Key};
use crate::timestamp;

/// The form of the lines.
const SCHEMA: &str = "nri.audit/v1";

/// Annotations in which engines tell the image.
const IMAGES: [&str; 2] = ["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"];

/// One line.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) time: SystemTime,
    pub(super) seq: u64,
    pub(super) id: Id,
    pub(super) node: Arc<str>,
    pub(super) operation: Operation,
    pub(super) place: Place,
    pub(super) mode: Mode,
    pub(super) hash: Option<Box<str>>,
    pub(super) generation: u64,
    pub(super) point: Point,
    pub(super) runtime: Box<str>,
    pub(super) gap: Vec<String>,
    pub(super) took: Duration,
    pub(super) body: Body,
}

/// What a line says.
#[derive(Debug)]
pub(super) enum Body {
    Decision(Box<Decision>),
    Final(Box<Final>),
    Loaded,
    Rejected(String),
}

/// About one plugin's answer.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) plugin: Plugin,
    pub(super) outcome: Outcome,
    pub(super) judgement: Option<Arc<Judgement>>,
    pub(super) refused: Vec<Refused>,
    pub(super) error: Option<Problem>,
}

/// About all of them.
#[derive(Debug)]
pub(super) struct Final {
    pub(super) changes: Vec<Attributed>,
    pub(super) owners: Vec<Value>,
    pub(super) error: Option<Problem>,
}

/// Who a plugin is.
#[derive(Debug)]
pub(super) struct Plugin {
    name: PluginName,
    identity: Option<String>,
    level: Option<String>,
    proofs: Vec<&'static str>,
    assurance: Assurance,
    pid: Option<u32>,
}

/// Which container of which pod.
#[derive(Debug, Default)]
pub(super) struct Place {
    pod: Option<[String; 3]>,
    container: Option<(String, String, Option<String>)>,
}

impl Plugin {
    /// Its identity and level are those in the policy that refused something, else in the first one that speaks for it.
    pub(super) fn new(
        name: &PluginName,
        judgement: Option<&Judgement>,
        refused: &[&Refused],
        policies: &InForce,
    ) -> Self {
        let who = judgement.map(|judgement| judgement.identity.clone()).unwrap_or_default();
        let (identity, level) = match refused.first() {
            Some(refused) => (refused.identity.clone(), refused.level.clone()),
            None => {
                let standings = policies.judge().standings(name, &who.facts());
                let first = standings.iter().find(|standing| standing.level.is_some());
                let text = |text: Option<&str>| text.map(str::to_owned);
                (text(first.and_then(|s| s.identity)), text(first.and_then(|s| s.level)))
            }
        };
        Self {
            name: name.clone(),
            identity,
            level,
            proofs: who.proofs(),
            assurance: who.assurance(),
            pid: judgement.and_then(|judgement| judgement.pid),
        }
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name.base(), "index": self.name.index(), "identity": self.identity, "level": self.level,
            "proofs": self.proofs, "assurance": self.assurance, "pid": self.pid,
        })
    }
}

impl Place {
    pub(super) fn new(pod: Option<&PodSandbox>, container: Option<&Container>) -> Self {
        let image =
            |container: &Container| IMAGES.iter().find_map(|key| container.annotations.get(*key)).cloned();
        Self {
            pod: pod.map(|pod| [&pod.namespace, &pod.name, &pod.uid].map(String::clone)),
            container: container
                .map(|container| (container.name.clone(), container.id.clone(), image(container))),
        }
    }

    fn write(&self, line: &mut Map<String, Value>) {
        if let Some([namespace, name, uid]) = &self.pod {
            let mut pod = json!({ "namespace": namespace, "name": name });
            if let (false, Some(pod)) = (uid.is_empty(), pod.as_object_mut()) {
                pod.insert("uid".to_owned(), uid.as_str().into());
            }
            line.insert("pod".to_owned(), pod);
        }
        if let Some((name, id, image)) = &self.container {
            let mut container = json!({ "name": name, "id": id });
            if let (Some(image), Some(container)) = (image, container.as_object_mut()) {
                container.insert("image".to_owned(), image.as_str().into());
            }
            line.insert("container".to_owned(), container);
        }
    }
}

impl Line {
    /// The line, with secrets replaced.
    pub(super) fn json(&self, key: &Key) -> Value {
        let mut line = Map::new();
        let mut put = |name: &str, value: Value| drop(line.insert(name.to_owned(), value));
        put("schema", SCHEMA.into());
        put("time", timestamp::precise(self.time).into());
        put("seq", self.seq.into());
        put("id", self.id.to_string().into());
        put("event", self.body.event().into());
        put("node", (*self.node).into());
        if self.body.is_of_request() {
            put("operation", self.operation.name().into());
        }
        put("mode", mode(self.mode).into());
        match &self.body {
            Body::Decision(decision) => {
                put("verdict", decision.verdict().into());
                put("plugin", decision.plugin.json());
            }
            Body::Final(end) => put("verdict", end.verdict().into()),
            Body::Loaded | Body::Rejected(_) => {}
        }
        self.place.write(&mut line);
        let mut put = |name: &str, value: Value| drop(line.insert(name.to_owned(), value));
        put("policy", json!({ "hash": self.hash, "generation": self.generation }));
        put("enforcement", json!({ "point": self.point.name(), "runtime": self.runtime, "gap": self.gap }));
        match &self.body {
            Body::Decision(decision) => decision.write(&mut line, key),
            Body::Final(end) => end.write(&mut line, key),
            Body::Loaded => {}
            Body::Rejected(why) => drop(line.insert("reason".to_owned(), why.as_str().into())),
        }
        if self.body.is_of_request() {
            let micros = u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX);
            line.insert("latency_us".to_owned(), micros.into());
        }
        Value::Object(line)
    }
}

impl Body {
    fn event(&self) -> &'static str {
        match self {
            Self::Decision(_) => "decision",
            Self::Final(_) => "final",
            Self::Loaded => "policy.load",
            Self::Rejected(_) => "policy.reject",
        }
    }

    fn is_of_request(&self) -> bool {
        matches!(self, Self::Decision(_) | Self::Final(_))
    }
}

impl Decision {
    fn changes(&self) -> &[Judged] {
        self.judgement.as_ref().map_or(&[], |judgement| &judgement.changes)
    }

    fn action(&self) -> Option<Action> {
        self.refused.iter().map(|refused| refused.action).max()
    }

    fn verdict(&self) -> &'static str {
        match (self.action(), &self.error, &self.outcome) {
            (Some(Action::Reject), ..) => action(Action::Reject),
            (_, Some(_), _) | (_, _, Outcome::Veto(_) | Outcome::Gone | Outcome::Late) => "error",
            (Some(found), ..) => action(found),
            (None, ..) => "allow",
        }
    }

    fn write(&self, line: &mut Map<String, Value>, key: &Key) {
        let changes = self.changes();
        let dropped = match self.action() {
            Some(Action::Reject) => 0,
            Some(Action::DropPlugin) => changes.len(),
            _ => changes.iter().filter(|judged| judged.action == Some(Action::DropEntry)).count(),
        };
        let counts =
            json!({ "changes": changes.len(), "violations": self.refused.len(), "dropped": dropped });
        line.insert("counts".to_owned(), counts);
        line.insert("changes".to_owned(), changes.iter().map(|judged| self.change(judged, key)).collect());
        let whole: Vec<&Refused> = self.refused.iter().filter(|refused| refused.op.is_none()).collect();
        if !whole.is_empty() {
            line.insert("refused".to_owned(), json!(whole));
        }
        match self.outcome {
            Outcome::Answer => {}
            Outcome::Veto(_) => drop(line.insert("outcome".to_owned(), "veto".into())),
            Outcome::Gone => drop(line.insert("outcome".to_owned(), "gone".into())),
            Outcome::Late => drop(line.insert("outcome".to_owned(), "late".into())),
        }
        if let Some(problem) = &self.error {
            line.insert("error".to_owned(), error(problem));
        }
    }

    fn change(&self, judged: &Judged, key: &Key) -> Value {
        let mut members = change(&judged.change, key);
        let mut put = |name: &str, value: Value| drop(members.insert(name.to_owned(), value));
        put("verdict", judged.action.map_or("allow", action).into());
        put("rule", json!(judged.rule.as_deref()));
        put("at", json!(judged.at.as_deref()));
        if judged.action.is_some() {
            put("reason", json!(judged.reason));
            put("exception", Value::Null);
            let same = |refused: &&Refused| {
                refused.field == judged.change.subject.name() && refused.key == judged.change.key
            };
            let shown = self.refused.iter().filter(same).find_map(|refused| refused.counterexample.clone());
            if let Some(shown) = shown {
                put("counterexample", shown);
            }
        }
        Value::Object(members)
    }
}

impl Final {
    fn verdict(&self) -> &'static str {
        match &self.error {
            None => "allow",
            Some(problem) if problem.is_rejection() => action(Action::Reject),
            Some(_) => "error",
        }
    }

    fn write(&self, line: &mut Map<String, Value>, key: &Key) {
        if let Some(problem) = &self.error {
            line.insert("error".to_owned(), error(problem));
            return;
        }
        line.insert("counts".to_owned(), json!({ "changes": self.changes.len() }));
        let changes = self.changes.iter().map(|Attributed { plugin, change: recorded }| {
            let mut members = Map::new();
            members.insert("plugin".to_owned(), plugin.full().into());
            members.extend(change(recorded, key));
            Value::Object(members)
        });
        line.insert("changes".to_owned(), changes.collect());
        line.insert("owners".to_owned(), self.owners.iter().cloned().collect());
    }
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Stop => "stop",
            Self::Synchronize => "sync",
            Self::Unsolicited => "unsolicited",
        }
    }
}

impl Point {
    fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Adjust => "adjust",
            Self::Gateway => "gateway",
        }
    }
}

impl Weigh for Line {
    fn weight(&self) -> usize {
        let changes = match &self.body {
            Body::Decision(decision) => {
                let changes = decision.changes().iter().map(|judged| recorded(&judged.change));
                changes.sum::<usize>() + decision.refused.len() * 1024
            }
            Body::Final(end) => {
                let changes = end.changes.iter().map(|attributed| recorded(&attributed.change));
                changes.sum::<usize>() + end.owners.len() * 256
            }
            Body::Loaded => 0,
            Body::Rejected(why) => why.len(),
        };
        changes + self.gap.iter().map(String::len).sum::<usize>() + size_of::<Self>() + 1024
    }
}

fn recorded(change: &Recorded) -> usize {
    fn weight(value: &Value) -> usize {
        let own = size_of::<Value>();
        own + match value {
            Value::String(text) => text.len(),
            Value::Array(list) => list.iter().map(weight).sum(),
            Value::Object(members) => {
                members.iter().map(|(key, value)| key.len() + own + weight(value)).sum()
            }
            _ => 0,
        }
    }
    change.key.len() + weight(&change.before) + weight(&change.after) + 256
}

/// Who owns what. `created`: the container that needs not be named.
pub(super) fn owners(ledger: &Ledger, created: &str) -> Vec<Value> {
    let one = |(id, field, key, holder): (&str, nri_wire::field::Field, &str, &Holder)| {
        let (plugins, how) = match holder {
            Holder::Set(by) => (vec![by.full()], "set"),
            Holder::Cleared(by) => (vec![by.full()], "cleared"),
            Holder::Removed { by, .. } => (vec![by.full()], "removed"),
            Holder::Shared(by) => (by.iter().map(|by| by.full()).collect(), "shared"),
        };
        let mut owner = json!({ "field": field.name(), "key": key, "plugins": plugins, "how": how });
        if let (true, Some(owner)) = (id != created, owner.as_object_mut()) {
            owner.insert("container".to_owned(), id.into());
        }
        owner
    };
    ledger.entries().map(one).collect()
}

fn change(recorded: &Recorded, key: &Key) -> Map<String, Value> {
    let mut members = Map::new();
    let mut put = |name: &str, value: Value| drop(members.insert(name.to_owned(), value));
    if let Some((_, id)) = &recorded.update {
        put("container", id.as_str().into());
    }
    let field = recorded.subject.name();
    put("field", field.into());
    put("key", recorded.key.as_str().into());
    put("op", recorded.op.name().into());
    put("before", hide::value(field, &recorded.key, &recorded.before, key));
    put("after", hide::value(field, &recorded.key, &recorded.after, key));
    members
}

/// Without the message, in which plugins may quote what is secret.
fn error(problem: &Problem) -> Value {
    let mut error = serde_json::to_value(problem).unwrap_or_default();
    if let Some(members) = error.as_object_mut() {
        members.shift_remove("message");
        members.retain(|_, value| !value.is_null());
    }
    error
}

fn action(action: Action) -> &'static str {
    match action {
        Action::Audit => "audit",
        Action::Warn => "warn",
        Action::DropEntry => "drop-entry",
        Action::DropPlugin => "drop-plugin",
        Action::Reject => "reject",
    }
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Audit => "audit",
        Mode::Warn => "warn",
        Mode::Enforce => "enforce",
    }
}
