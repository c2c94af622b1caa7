//! The schema says yes to what loads and no to what does not.

use serde_json::{Value as Json, json};

use super::{loaded, policy};
use crate::diagnostic::Diagnostics;
use crate::document::node::read;
use crate::document::preset::PRESETS;
use crate::document::schema;
use crate::document::source::FileId;

/// As much of JSON Schema as our schema uses, and nothing that it does not know.
fn fits(value: &Json, schema: &Json, root: &Json) -> bool {
    schema.as_object().unwrap().iter().all(|(word, says)| match word.as_str() {
        "$schema" | "title" | "description" | "$defs" | "pattern" => true,
        "$ref" => fits(value, root.pointer(&says.as_str().unwrap()[1..]).unwrap(), root),
        "anyOf" => says.as_array().unwrap().iter().any(|schema| fits(value, schema, root)),
        "enum" => says.as_array().unwrap().contains(value),
        "const" => says == value,
        "type" => match says {
            Json::Array(types) => types.iter().any(|kind| is_a(value, kind.as_str().unwrap())),
            kind => is_a(value, kind.as_str().unwrap()),
        },
        "minLength" => value.as_str().is_none_or(|text| !text.is_empty()),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| fits(item, says, root))),
        "required" => {
            let names = says.as_array().unwrap();
            value
                .as_object()
                .is_none_or(|object| names.iter().all(|name| object.contains_key(name.as_str().unwrap())))
        }
        "properties" => value.as_object().is_none_or(|object| {
            object.iter().all(|(name, value)| says.get(name).is_none_or(|schema| fits(value, schema, root)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|object| match says {
            Json::Bool(false) => object.keys().all(|name| schema["properties"].get(name).is_some()),
            says => object.values().all(|value| fits(value, says, root)),
        }),
        word => panic!("{word}"),
    })
}

fn is_a(value: &Json, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64(),
        "number" => value.is_number(),
        kind => panic!("{kind}"),
    }
}

fn fits_document(text: &str) -> bool {
    let schema = schema::document();
    let documents = read(FileId::default(), text, &mut Diagnostics::default());
    documents.iter().all(|document| fits(&document.to_json(), &schema, &schema))
}

#[test]
fn presets_fit() {
    for preset in PRESETS {
        assert!(fits_document(preset.text), "{}", preset.name);
    }
    assert!(schema::document()["$defs"].as_object().unwrap().values().all(|def| *def != json!(null)));
}

/// The schema and the reader are of one opinion.
#[test]
fn schema_and_reader_agree() {
    let levels = "levels:\n  - {name: a, fields: FIELDS}";
    let fields = |fields: &str| levels.replace("FIELDS", fields);
    for (spec, good) in [
        ("mode: warn", true),
        ("mode: warned", false),
        ("modes: warn", false),
        ("extends: preset/baseline", true),
        ("extends: preset/none", false),
        ("levels: [{}]", false),
        ("levels: [{name: a, updates: {self: allow, others: {targets: {namespaces: [a]}}}}]", true),
        ("levels: [{name: a, updates: {self: yes}}]", false),
        (
            "levels: [{name: l}]\nidentities: [{name: i, level: l, match: {anyOf: [{peer: {uid: [0, 1]}}]}}]",
            true,
        ),
        ("levels: [{name: l}]\nidentities: [{name: i, level: l, match: {anyOf: [{peers: {}}]}}]", false),
        (&fields("{\"*\": {ops: [add]}, \"@cpu\": deny, unknown: deny}"), true),
        (&fields("{env: {allow: [{name: \"A*\", maxBytes: 1k}], deny: [\"@loader-injection\"]}}"), true),
        (&fields("{env: {deny: [\"@k8s-safe\"]}}"), false),
        (&fields("{env: {allow: [{key: a}]}}"), false),
        (&fields("{scheduler: {allow: [{policy: [SCHED_OTHER, IDLE], nice: {min: 0, max: 5}}]}}"), true),
        (&fields("{scheduler: {allow: [{policy: BUSY}]}}"), false),
        (&fields("{\"@cpu\": {allow: [{}]}}"), false),
        (&fields("{memory.limit: {bound: {max: 50%, min: 1Mi}}}"), true),
        (
            &fields("{seccomp: {runtimeDefault: any, localhost: listener, listener: {paths: [\"/run/*\"]}}}"),
            true,
        ),
        (&fields("{seccomp: {runtimeDefault: some}}"), false),
        (&fields("{mount: deny}"), false),
        ("limits: {responseBytes: 1Mi}", true),
        ("require: [{plugin: a, meaning: owns, fields: [env], graceAfterBoot: 2m}]", true),
    ] {
        let text = policy(spec);
        assert_eq!(fits_document(&text), good, "{text}");
        assert_eq!(loaded(&[&text]).diagnostics.errors() == 0, good, "{text}");
    }
}
