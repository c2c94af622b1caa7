//! A line of a recording: a request, what plugins answered, and what was known (`cli.md`, "nri replay").

use std::collections::BTreeMap;

use nri_policy::identity::Facts;
use nri_policy::judge::{Target, Targets};
use nri_wire::api::{
    Container, ContainerAdjustment, ContainerEviction, ContainerUpdate, CreateContainerRequest,
    CreateContainerResponse, LinuxResources, PodSandbox, StopContainerRequest, UpdateContainerRequest,
};
use nri_wire::name::PluginName;
use prost::{Message, Name};
use serde_json::{Map, Value};

use super::hidden;
use crate::json;

/// The form of lines that this version reads.
const VERSION: u64 = 1;

/// A request as it was recorded.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) request: Request,
    /// The OCI spec before the adjustment, where one was recorded.
    pub(super) spec: Option<Value>,
    /// In calling order.
    pub(super) answers: Vec<Answer>,
    pub(super) validators: Vec<Validator>,
    pub(super) targets: Known,
}

#[derive(Debug)]
pub(super) enum Request {
    Create(Box<CreateContainerRequest>),
    Update(Box<UpdateContainerRequest>),
    Stop(Box<StopContainerRequest>),
    Synchronize,
    /// A plugin's own.
    UpdateContainers,
}

/// What one plugin made of the request.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) plugin: PluginName,
    /// Who it was; nothing is proved without them.
    pub(super) facts: Facts,
    pub(super) said: Said,
}

#[derive(Debug)]
pub(super) enum Said {
    /// An answer, and the paths of what it has that we do not know. Not every request's answer has everything in it.
    Answer(Box<CreateContainerResponse>, Vec<String>),
    Veto(String),
    Invalid(String),
    Gone,
    Late,
}

/// What one validator made of it.
#[derive(Debug)]
pub(super) struct Validator {
    pub(super) plugin: PluginName,
    pub(super) outcome: nri_runtime::host::Outcome,
}

/// What is known of other containers.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<String, nri_runtime::host::Known>);

impl Targets for Known {
    fn target(&self, id: &str) -> Option<Target<'_>> {
        self.0.get(id).map(|known| Target {
            namespace: known.namespace.as_deref(),
            labels: known.labels.as_ref(),
            resources: known.resources.as_ref(),
        })
    }
}

/// The id of a line, as far as it has one.
pub(super) fn id(line: &Value) -> String {
    line.get("id").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Reads a line.
///
/// # Errors
/// The place of the first thing that is wrong, and what is expected there.
pub(super) fn read(mut line: Value) -> Result<Line, String> {
    hidden::into_texts(&mut line);
    let line = line.as_object().ok_or("a recorded request must be a JSON object")?;
    match line.get("version") {
        None => {}
        Some(version) if version.as_u64() == Some(VERSION) => {}
        Some(version) => {
            return Err(format!(
                "version: {version} is not a version that this program reads, expected {VERSION}"
            ));
        }
    }
    let request = request(line)?;
    let answers = list(line, "answers")?
        .iter()
        .enumerate()
        .map(|(at, answer)| self::answer(answer, &request, &format!("answers[{at}]")))
        .collect::<Result<_, _>>()?;
    let validators = list(line, "validators")?
        .iter()
        .enumerate()
        .map(|(at, json)| validator(json, &format!("validators[{at}]")))
        .collect::<Result<_, _>>()?;
    let spec = line.get("spec").filter(|spec| !spec.is_null());
    if spec.is_some_and(|spec| !spec.is_object()) {
        return Err("spec: expected an OCI runtime spec as an object".to_owned());
    }
    Ok(Line { request, spec: spec.cloned(), answers, validators, targets: targets(line)? })
}

fn request(line: &Map<String, Value>) -> Result<Request, String> {
    let event = line
        .get("event")
        .ok_or("event: missing, expected the name of a request such as \"CreateContainer\"")?;
    let pod = || known::<PodSandbox>(line, "pod");
    let container = || known::<Container>(line, "container");
    Ok(match event.as_str().unwrap_or_default() {
        "CreateContainer" => Request::Create(Box::new(CreateContainerRequest {
            pod: Some(pod()?),
            container: Some(container()?),
        })),
        "UpdateContainer" => Request::Update(Box::new(UpdateContainerRequest {
            pod: Some(pod()?),
            container: Some(container()?),
            linux_resources: optional::<LinuxResources>(line.get("resources"), "resources")?,
        })),
        "StopContainer" => {
            Request::Stop(Box::new(StopContainerRequest { pod: Some(pod()?), container: Some(container()?) }))
        }
        "Synchronize" => Request::Synchronize,
        "UpdateContainers" => Request::UpdateContainers,
        _ => {
            return Err(format!(
                "event: {event} is none whose answers change something, expected CreateContainer, UpdateContainer, StopContainer, Synchronize or UpdateContainers"
            ));
        }
    })
}

/// A message of the request; it must be there, if only as `{}`.
fn known<M: Message + Name + Default>(line: &Map<String, Value>, member: &str) -> Result<M, String> {
    optional(line.get(member), member)?.ok_or_else(|| format!("{member}: missing, expected a {}", M::NAME))
}

fn optional<M: Message + Name + Default>(value: Option<&Value>, path: &str) -> Result<Option<M>, String> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
    // What a newer engine told and this version does not know has no bearing on what plugins change.
    message(value, path, &mut Vec::new()).map(Some)
}

fn message<M: Message + Name + Default>(
    value: &Value,
    path: &str,
    unknown: &mut Vec<String>,
) -> Result<M, String> {
    let read = json::from_json::<M>(value).map_err(|error| {
        let error = error.to_string();
        let separator = if error.starts_with("expected") { ": " } else { "." };
        format!("{path}{separator}{error}")
    })?;
    unknown.extend(read.unknown);
    Ok(read.message)
}

fn answer(json: &Value, request: &Request, path: &str) -> Result<Answer, String> {
    let members = json.as_object().ok_or_else(|| format!("{path}: expected an object"))?;
    let plugin = plugin(members, path)?;
    let text = |name: &str| match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("{path}.{name}: expected a string")),
    };
    let (error, invalid) = (text("error")?, text("invalid")?);
    let said = if let Some(reason) = error {
        Said::Veto(reason)
    } else if let Some(reason) = invalid {
        Said::Invalid(reason)
    } else if flag(members, "gone", path)? {
        Said::Gone
    } else if flag(members, "late", path)? {
        Said::Late
    } else {
        let (answer, unknown) = response(members, request, path)?;
        Said::Answer(Box::new(answer), unknown)
    };
    Ok(Answer { plugin, facts: facts(members, path)?, said })
}

/// The members of `facts` that policies know (`policy.md` 2); recordings say more.
fn facts(members: &Map<String, Value>, path: &str) -> Result<Facts, String> {
    let mut facts = match members.get("facts") {
        None | Some(Value::Null) => return Ok(Facts::default()),
        Some(Value::Object(facts)) => facts.clone(),
        Some(_) => return Err(format!("{path}.facts: expected an object")),
    };
    for more in ["containerId", "proofs", "assurance"] {
        facts.shift_remove(more);
    }
    serde_json::from_value(Value::Object(facts)).map_err(|error| format!("{path}.facts: {error}"))
}

fn response(
    members: &Map<String, Value>,
    request: &Request,
    path: &str,
) -> Result<(CreateContainerResponse, Vec<String>), String> {
    let mut unknown = Vec::new();
    let adjust = members.get("adjust").filter(|adjust| !adjust.is_null());
    let adjust = match (adjust, request) {
        (None, _) => None,
        (Some(adjust), Request::Create(_)) => {
            let mut own = Vec::new();
            let adjust = message::<ContainerAdjustment>(adjust, &format!("{path}.adjust"), &mut own)?;
            unknown.extend(own.into_iter().map(|path| format!("adjust.{path}")));
            Some(adjust)
        }
        (Some(_), _) => return Err(format!("{path}.adjust: only an answer to CreateContainer has one")),
    };
    let update = messages::<ContainerUpdate>(members, "update", path, &mut unknown)?;
    let evict = messages::<ContainerEviction>(members, "evict", path, &mut unknown)?;
    for (at, path_of_unknown) in list(members, "unknown")?.iter().enumerate() {
        let text =
            path_of_unknown.as_str().ok_or_else(|| format!("{path}.unknown[{at}]: expected a string"))?;
        unknown.push(text.to_owned());
    }
    Ok((CreateContainerResponse { adjust, update, evict }, unknown))
}

fn messages<M: Message + Name + Default>(
    members: &Map<String, Value>,
    name: &str,
    path: &str,
    unknown: &mut Vec<String>,
) -> Result<Vec<M>, String> {
    let mut read = Vec::new();
    for (at, json) in list(members, name).map_err(|error| format!("{path}.{error}"))?.iter().enumerate() {
        let mut own = Vec::new();
        read.push(message(json, &format!("{path}.{name}[{at}]"), &mut own)?);
        unknown.extend(own.into_iter().map(|path| format!("{name}[{at}].{path}")));
    }
    Ok(read)
}

fn validator(json: &Value, path: &str) -> Result<Validator, String> {
    use nri_runtime::host::Outcome;
    let members = json.as_object().ok_or_else(|| format!("{path}: expected an object"))?;
    let reason = members.get("reason").and_then(Value::as_str).unwrap_or_default();
    let outcome = if flag(members, "gone", path)? {
        Outcome::Gone
    } else if flag(members, "late", path)? {
        Outcome::Late
    } else if flag(members, "reject", path)? {
        Outcome::Veto(reason.to_owned())
    } else {
        Outcome::Answer
    };
    Ok(Validator { plugin: plugin(members, path)?, outcome })
}

fn plugin(members: &Map<String, Value>, path: &str) -> Result<PluginName, String> {
    let name = members.get("plugin").and_then(Value::as_str);
    let name =
        name.ok_or_else(|| format!("{path}.plugin: expected a plugin's name with index, such as \"10-a\""))?;
    name.parse().map_err(|error| format!("{path}.plugin: {error}"))
}

fn flag(members: &Map<String, Value>, name: &str, path: &str) -> Result<bool, String> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(value)) => Ok(*value),
        Some(_) => Err(format!("{path}.{name}: expected true or false")),
    }
}

fn list<'a>(members: &'a Map<String, Value>, name: &str) -> Result<&'a [Value], String> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(format!("{name}: expected a list")),
    }
}

fn targets(line: &Map<String, Value>) -> Result<Known, String> {
    let targets = match line.get("targets") {
        None | Some(Value::Null) => return Ok(Known::default()),
        Some(Value::Object(targets)) => targets,
        Some(_) => return Err("targets: expected an object".to_owned()),
    };
    let known = targets.iter().map(|(id, json)| {
        let path = format!("targets[{id:?}]");
        let members = json.as_object().ok_or_else(|| format!("{path}: expected an object"))?;
        let namespace = match members.get("namespace") {
            None | Some(Value::Null) => None,
            Some(Value::String(namespace)) => Some(namespace.clone()),
            Some(_) => return Err(format!("{path}.namespace: expected a string")),
        };
        let labels = match members.get("labels").filter(|labels| !labels.is_null()) {
            None => None,
            Some(labels) => Some(
                serde_json::from_value(labels.clone())
                    .map_err(|_| format!("{path}.labels: expected an object with strings"))?,
            ),
        };
        let resources = optional(members.get("resources"), &format!("{path}.resources"))?;
        Ok((id.clone(), nri_runtime::host::Known { namespace, labels, resources }))
    });
    known.collect::<Result<_, _>>().map(Known)
}
