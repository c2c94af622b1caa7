//! Writing: our own walk, since the keys of maps must come in order for equal messages to give equal text.

use std::collections::BTreeMap;

use prost_reflect::{DynamicMessage, Kind, MapKey, Value as Field};
use serde_json::Value;

/// Fields in the order of their numbers; those with their default value are left out.
pub(super) fn message(message: &DynamicMessage) -> Value {
    let members =
        message.fields().map(|(field, value)| (field.json_name().to_owned(), value_of(&field.kind(), value)));
    Value::Object(members.collect())
}

fn value_of(kind: &Kind, field: &Field) -> Value {
    match field {
        Field::List(list) => list.iter().map(|value| value_of(kind, value)).collect(),
        Field::Map(map) => {
            let values = kind.as_message().map(|entry| entry.map_entry_value_field().kind());
            let ordered: BTreeMap<&MapKey, &Field> = map.iter().collect();
            let member = |(key, value)| (key_text(key), value_of(values.as_ref().unwrap_or(kind), value));
            Value::Object(ordered.into_iter().map(member).collect())
        }
        Field::Message(inner) => message(inner),
        Field::String(text) => text.as_str().into(),
        Field::Bool(value) => (*value).into(),
        Field::I32(number) => (*number).into(),
        Field::U32(number) => (*number).into(),
        Field::I64(number) => number.to_string().into(),
        Field::U64(number) => number.to_string().into(),
        Field::EnumNumber(number) => {
            let name = kind.as_enum().and_then(|names| names.get_value(*number));
            name.map_or_else(|| (*number).into(), |value| value.name().into())
        }
        // `nri.proto` has neither bytes nor floating-point numbers.
        Field::Bytes(_) | Field::F32(_) | Field::F64(_) => Value::Null,
    }
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::String(text) => text.clone(),
        MapKey::Bool(value) => value.to_string(),
        MapKey::I32(number) => number.to_string(),
        MapKey::I64(number) => number.to_string(),
        MapKey::U32(number) => number.to_string(),
        MapKey::U64(number) => number.to_string(),
    }
}
