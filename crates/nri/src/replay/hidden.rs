//! Values that a recording keeps to itself (`record`): what stands in their place in a message (`nri_policy::hidden`), and in a
//! decision.

use nri_policy::hidden::{self, MARK};
use serde_json::{Value, json};

/// Puts texts in the place of the objects that stand for hidden values.
pub(super) fn into_texts(json: &mut Value) {
    if let Some(text) = text(json) {
        *json = text.into();
        return;
    }
    match json {
        Value::Array(list) => list.iter_mut().for_each(into_texts),
        Value::Object(members) => members.values_mut().for_each(into_texts),
        _ => {}
    }
}

/// Puts the objects back, as a recording has them.
pub(super) fn into_objects(json: &mut Value) {
    match json {
        Value::String(text) => {
            if let Some(object) = object(text) {
                *json = object;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(into_objects),
        Value::Object(members) => members.values_mut().for_each(into_objects),
        _ => {}
    }
}

fn text(json: &Value) -> Option<String> {
    let members = json.as_object()?;
    let (code, len) = (members.get("hmac")?.as_str()?, members.get("len")?.as_u64()?);
    let hidden = hidden::text(code, len);
    match members.get("key") {
        Some(key) if members.len() == 3 => Some(format!("{}={hidden}", key.as_str()?)),
        None if members.len() == 2 => Some(hidden),
        _ => None,
    }
}

fn object(text: &str) -> Option<Value> {
    let (before, hidden) = text.split_at(text.find(MARK)?);
    let (code, len) = hidden::value(hidden)?;
    match before.strip_suffix('=') {
        Some(key) => Some(json!({ "key": key, "hmac": code, "len": len })),
        None => before.is_empty().then(|| json!({ "hmac": code, "len": len })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let hidden = json!({"hmac": "h1:5d0f", "len": 6});
        let lines = json!({
            "args": ["", hidden], "env": [{"key": "A", "hmac": "h1:aa", "len": 2}, "B="],
            "adjust": {"env": [{"key": "A", "value": hidden}, {"key": "C", "value": "plain"}]},
            "other": {"hmac": "x", "len": 1, "more": true}
        });
        let mut json = lines.clone();
        into_texts(&mut json);
        assert_eq!(json["args"][1], "\0h1:5d0f/6");
        assert_eq!(json["env"][0], "A=\0h1:aa/2");
        into_objects(&mut json);
        assert_eq!(json, lines);
    }
}
