//! The JSON Schema of policy documents, from the tables by which they are read.

use nri_wire::field::FIELDS;
use serde_json::{Map, Value as Json, json};

use super::load::API_VERSION;
use super::preset::PRESETS;
use super::shape::{self, Kind, Member, Need, Shape};
use super::word::Invariant;
use crate::change::Subject;
use crate::rule::table::{self, Kind as Pattern, Words};
use crate::rule::{FieldKey, seccomp};

/// The schema, draft 2020-12.
#[must_use]
pub fn document() -> Json {
    let mut defs = Map::new();
    let root = reference(&shape::DOCUMENT, &mut defs);
    defs.insert("quantity".to_owned(), json!({
        "description": "a number, with k M G T or Ki Mi Gi Ti; where a bound allows it, requested, host or a percentage",
        "anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^(-?[0-9]+([kMGT]|[KMGT]i)?|[0-9]+%|requested|host)$"}],
    }));
    defs.insert(
        "strings".to_owned(),
        json!({
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        }),
    );
    defs.insert(
        "numbers".to_owned(),
        json!({
            "anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}],
        }),
    );
    defs.insert("range".to_owned(), range());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "PluginPolicy",
        "$ref": root,
        "$defs": defs,
    })
}

/// The name under which a shape is defined; defines it if need be.
fn reference(shape: &'static Shape, defs: &mut Map<String, Json>) -> String {
    let words = shape
        .name
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !matches!(*word, "" | "a" | "an" | "of"));
    let name = words.collect::<Vec<_>>().join("-");
    if !defs.contains_key(&name) {
        defs.insert(name.clone(), Json::Null);
        let built = shape.members.iter().filter(|member| member.need != Need::Later);
        let properties: Map<String, Json> =
            built.map(|member| (member.name.to_owned(), described(member, defs))).collect();
        let required = shape.members.iter().filter(|member| member.need == Need::Required);
        let required: Vec<&str> = required.map(|member| member.name).collect();
        let mut object = json!({"type": "object", "additionalProperties": false, "properties": properties});
        if let (Some(object), false) = (object.as_object_mut(), required.is_empty()) {
            object.insert("required".to_owned(), json!(required));
        }
        defs.insert(name.clone(), object);
    }
    format!("#/$defs/{name}")
}

fn described(member: &'static Member, defs: &mut Map<String, Json>) -> Json {
    let mut schema = match member.name {
        "apiVersion" => json!({"const": API_VERSION}),
        "kind" => json!({"const": "PluginPolicy"}),
        _ => value(member.kind, defs),
    };
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".to_owned(), Json::from(member.about));
    }
    schema
}

fn value(kind: Kind, defs: &mut Map<String, Json>) -> Json {
    match kind {
        Kind::Text | Kind::Glob | Kind::PathGlob => json!({"type": "string"}),
        Kind::Name => json!({"type": "string", "minLength": 1}),
        Kind::Index => json!({"anyOf": [{"type": "string", "pattern": "^[0-9]{2}$"}, {"type": "integer"}]}),
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Integer => json!({"type": "integer"}),
        Kind::Ids => json!({"$ref": "#/$defs/numbers"}),
        Kind::Amount => json!({"$ref": "#/$defs/quantity"}),
        Kind::Duration => json!({"type": "string", "pattern": "^([0-9]+(h|m|s|ms))+$"}),
        Kind::Words(words) => json!({"enum": words}),
        Kind::Invariant => json!({"enum": Invariant::WORDS}),
        Kind::Field => json!({"enum": FIELDS.iter().map(|info| info.name).collect::<Vec<_>>()}),
        Kind::Preset => {
            let both =
                |preset: &super::preset::Preset| [preset.full_name(), format!("preset/{}", preset.name)];
            json!({"enum": PRESETS.iter().flat_map(both).collect::<Vec<_>>()})
        }
        Kind::Digest => json!({"type": "string", "pattern": "^(sha256:)?[0-9a-fA-F]{64}$"}),
        Kind::Labels => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        Kind::List(kind) => json!({"type": "array", "items": value(*kind, defs)}),
        Kind::Object(shape) => json!({"$ref": reference(shape, defs)}),
        Kind::Grant(shape) => {
            json!({"anyOf": [{"enum": ["allow", "deny"]}, {"$ref": reference(shape, defs)}]})
        }
        Kind::Rules => rules(),
        Kind::Any => json!({}),
    }
}

fn rules() -> Json {
    let rules: Map<String, Json> = FieldKey::all().map(|key| (key.name().to_owned(), rule(key))).collect();
    json!({"type": "object", "additionalProperties": false, "properties": rules})
}

fn common() -> Map<String, Json> {
    let mut members = Map::new();
    members.insert("mode".to_owned(), json!({"enum": ["enforce", "warn", "audit"]}));
    members.insert("onViolation".to_owned(), json!({"enum": ["reject", "drop-entry", "drop-plugin"]}));
    members.insert("id".to_owned(), json!({"type": "string", "minLength": 1}));
    members.insert("message".to_owned(), json!({"type": "string"}));
    members
}

fn rule(key: FieldKey) -> Json {
    let mut members = common();
    if key == FieldKey::from_name("seccomp").unwrap_or(FieldKey::All) {
        let values: Vec<&str> = seccomp::Allowed::ALL.iter().map(|allowed| allowed.name()).collect();
        for class in seccomp::Class::ALL {
            members.insert(class.name().to_owned(), json!({"enum": values}));
        }
        members.insert(
            "listener".to_owned(),
            json!({
                "type": "object", "additionalProperties": false, "required": ["paths"],
                "properties": {"paths": {"type": "array", "items": {"type": "string"}}},
            }),
        );
        return json!({"anyOf": [{"enum": seccomp::words()}, object(&members)]});
    }
    members
        .insert("ops".to_owned(), json!({"type": "array", "items": {"enum": ["add", "replace", "remove"]}}));
    members.insert("bound".to_owned(), json!({"$ref": "#/$defs/range"}));
    if let FieldKey::Subject(subject) = key {
        let list = json!({"type": "array", "items": entry(subject)});
        members.insert("allow".to_owned(), list.clone());
        members.insert("deny".to_owned(), list);
        if subject.name() == "cdiDevices" {
            let what = json!({"enum": ["deny", "inherit", "allow"]});
            members.insert(
                "expand".to_owned(),
                json!({
                    "type": "object", "additionalProperties": false,
                    "properties": {"hooks": what, "mounts": what, "devices": what, "env": what},
                }),
            );
        }
    }
    json!({"anyOf": [{"enum": ["allow", "deny"]}, object(&members)]})
}

fn object(members: &Map<String, Json>) -> Json {
    json!({"type": "object", "additionalProperties": false, "properties": members})
}

/// A MATCH of a field, or the name of a set.
fn entry(subject: Subject) -> Json {
    let Subject::Field(field) = subject else { return object(&Map::new()) };
    let row = table::of(field);
    let members = row.members.iter().map(|member| (member.name.to_owned(), pattern(member.kind))).collect();
    let sets: Vec<&str> = row.sets.iter().map(|set| set.name()).collect();
    if sets.is_empty() { object(&members) } else { json!({"anyOf": [{"enum": sets}, object(&members)]}) }
}

fn pattern(kind: Pattern) -> Json {
    match kind {
        Pattern::Glob(_) | Pattern::PathGlob(_) => json!({"type": ["string", "number"]}),
        Pattern::Names(_, words) => names(words),
        Pattern::Flags(words) => names(words),
        Pattern::Truth => json!({"type": "boolean"}),
        Pattern::Effect => json!({"enum": ["allow", "deny"]}),
        Pattern::Min(_) | Pattern::Max(_) | Pattern::MaxBytes | Pattern::MinCount | Pattern::TimeoutMax => {
            json!({"$ref": "#/$defs/quantity"})
        }
        Pattern::Range(_) => json!({"$ref": "#/$defs/range"}),
        Pattern::Options => {
            let list = json!({"type": "array", "items": {"type": "string"}});
            json!({"type": "object", "additionalProperties": false, "properties": {"require": list, "forbid": list}})
        }
        Pattern::Resolve => json!({"enum": ["real", "no-symlinks"]}),
        Pattern::Sha256 => json!({"type": "string", "pattern": "^(sha256:)?[0-9a-fA-F]{64}$"}),
        Pattern::ArgGlobs | Pattern::EnvGlobs => json!({"type": "array", "items": {"type": "string"}}),
        Pattern::HostNode | Pattern::DeviceNumber => json!({"$ref": "#/$defs/strings"}),
        Pattern::FileMode => json!({"type": ["string", "integer"]}),
        Pattern::Uid | Pattern::Gid => json!({"$ref": "#/$defs/numbers"}),
        Pattern::Access | Pattern::CutAccess => json!({"type": "string", "pattern": "^[rwm]+$"}),
        Pattern::StartsWith | Pattern::EndsWith => json!({"const": "requested"}),
        Pattern::Ratio => json!({"type": ["number", "string"]}),
        Pattern::SubsetOf | Pattern::Exclude => json!({"type": ["string", "integer"]}),
        Pattern::Prefix => json!({"type": "string"}),
    }
}

fn names(words: Words) -> Json {
    if words.known.is_empty() {
        return json!({"$ref": "#/$defs/strings"});
    }
    let both = words.known.iter().flat_map(|word| [(*word).to_owned(), format!("{}{word}", words.prefix)]);
    let mut both: Vec<String> = both.collect();
    both.dedup();
    json!({"anyOf": [{"enum": both}, {"type": "array", "items": {"enum": both}}]})
}

fn range() -> Json {
    let quantity = json!({"$ref": "#/$defs/quantity"});
    json!({"type": "object", "additionalProperties": false, "properties": {"min": quantity, "max": quantity}})
}
