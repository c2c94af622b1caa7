//! Reading: our own walk over the descriptors, since it names the path of what is wrong and of what is unknown.

use std::collections::BTreeMap;
use std::fmt;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value as Field};
use serde_json::{Map, Number, Value};

/// JSON that is no form of the message: where, and what is expected there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonError {
    path: String,
    expected: String,
}

impl JsonError {
    pub(super) fn new(path: &str, expected: impl Into<String>) -> Self {
        Self { path: path.to_owned(), expected: expected.into() }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "expected {}", self.expected)
    }
}

impl std::error::Error for JsonError {}

pub(super) fn message(
    descriptor: &MessageDescriptor,
    json: &Value,
    path: &str,
    unknown: &mut Vec<String>,
) -> Result<DynamicMessage, JsonError> {
    let mut message = DynamicMessage::new(descriptor.clone());
    for (key, value) in object(json, path)? {
        let path = member(path, key);
        let Some(field) =
            descriptor.get_field_by_json_name(key).or_else(|| descriptor.get_field_by_name(key))
        else {
            unknown.push(path);
            continue;
        };
        let twin = if field.name() == key { field.json_name() } else { field.name() };
        if twin != key && json.get(twin).is_some() {
            return Err(JsonError::new(&path, format!("either this or {twin:?}, both are there")));
        }
        // Null is the default value, whatever the field.
        if !value.is_null() {
            let value = value_of(&field, value, &path, unknown)?;
            message.set_field(&field, value);
        }
    }
    Ok(message)
}

fn value_of(
    field: &FieldDescriptor,
    json: &Value,
    path: &str,
    unknown: &mut Vec<String>,
) -> Result<Field, JsonError> {
    let kind = field.kind();
    match (&kind, field.is_map(), field.is_list()) {
        (Kind::Message(entry), true, _) => {
            let (key, value) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
            let mut map = BTreeMap::new();
            for (name, json) in object(json, path)? {
                let path = format!("{path}[{name:?}]");
                map.insert(map_key(&key, name, &path)?, single(&value, json, &path, unknown)?);
            }
            Ok(Field::Map(map.into_iter().collect()))
        }
        (_, _, true) => {
            let Value::Array(list) = json else { return Err(JsonError::new(path, "a list")) };
            let element = |(at, json)| single(&kind, json, &format!("{path}[{at}]"), unknown);
            list.iter().enumerate().map(element).collect::<Result<_, _>>().map(Field::List)
        }
        _ => single(&kind, json, path, unknown),
    }
}

fn single(kind: &Kind, json: &Value, path: &str, unknown: &mut Vec<String>) -> Result<Field, JsonError> {
    let expected = |what: &str| JsonError::new(path, what);
    match kind {
        Kind::String => {
            json.as_str().map(|text| Field::String(text.to_owned())).ok_or_else(|| expected("a string"))
        }
        Kind::Bool => json.as_bool().map(Field::Bool).ok_or_else(|| expected("true or false")),
        Kind::Int32 => number(json, Number::as_i64)
            .and_then(|n| n.try_into().ok())
            .map(Field::I32)
            .ok_or_else(|| expected("a whole number of 32 bits")),
        Kind::Uint32 => number(json, Number::as_u64)
            .and_then(|n| n.try_into().ok())
            .map(Field::U32)
            .ok_or_else(|| expected("a whole number of 32 bits without sign")),
        Kind::Int64 => {
            number(json, Number::as_i64).map(Field::I64).ok_or_else(|| expected("a whole number of 64 bits"))
        }
        Kind::Uint64 => number(json, Number::as_u64)
            .map(Field::U64)
            .ok_or_else(|| expected("a whole number of 64 bits without sign")),
        Kind::Enum(names) => match json.as_str() {
            Some(name) => names.get_value_by_name(name).map(|value| value.number()),
            None => number(json, Number::as_i64).and_then(|n| n.try_into().ok()),
        }
        .map(Field::EnumNumber)
        .ok_or_else(|| {
            let names: Vec<String> = names.values().map(|value| value.name().to_owned()).collect();
            expected(&format!("one of {}", names.join(", ")))
        }),
        Kind::Message(descriptor) => message(descriptor, json, path, unknown).map(Field::Message),
        // `nri.proto` has none of these.
        _ => Err(expected("a type that this program knows")),
    }
}

/// A whole number, as number or string; `1.0` and `1e3` are whole too (proto3 JSON).
fn number<T>(json: &Value, read: fn(&Number) -> Option<T>) -> Option<T> {
    /// Up to here a double holds every whole number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number = match json {
        Value::Number(number) => number.clone(),
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    read(&number).or_else(|| {
        let float = number.as_f64().filter(|f| f.fract() == 0.0 && f.abs() <= EXACT)?;
        read(&format!("{float:.0}").parse().ok()?)
    })
}

fn map_key(kind: &Kind, name: &str, path: &str) -> Result<MapKey, JsonError> {
    match kind {
        Kind::String => Ok(MapKey::String(name.to_owned())),
        Kind::Int32 => name
            .parse()
            .map(MapKey::I32)
            .map_err(|_| JsonError::new(path, "a whole number of 32 bits as key")),
        _ => Err(JsonError::new(path, "a type of key that this program knows")),
    }
}

fn object<'a>(json: &'a Value, path: &str) -> Result<&'a Map<String, Value>, JsonError> {
    json.as_object().ok_or_else(|| JsonError::new(path, "an object"))
}

fn member(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
