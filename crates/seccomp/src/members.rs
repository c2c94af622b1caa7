//! Reading an object member by member, with the path of what is wrong.

use serde_json::Value;

use crate::policy::{Extra, Invalid, Reason};
use crate::term::UnknownTerm;

/// An object whose known members are taken out one by one.
pub(crate) struct Members(Extra);

impl Members {
    pub(crate) fn of(json: Value, known: &'static [&'static str]) -> Result<Self, Invalid> {
        let Value::Object(object) = json else { return Err(Invalid::at("", Reason::Type("an object"))) };
        for key in object.keys() {
            if let Some(name) = known.iter().find(|name| name.eq_ignore_ascii_case(key) && *name != key) {
                return Err(Invalid::at(key, Reason::Case(name)));
            }
        }
        Ok(Self(object))
    }

    /// Null counts as absent, as it does for every runtime.
    pub(crate) fn optional<T>(&mut self, key: &str, read: Read<T>) -> Result<Option<T>, Invalid> {
        match self.0.shift_remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value).map(Some).map_err(|invalid| invalid.within(key)),
        }
    }

    pub(crate) fn required<T>(&mut self, key: &str, read: Read<T>) -> Result<T, Invalid> {
        self.optional(key, read)?.ok_or_else(|| Invalid::at(key, Reason::Missing))
    }

    pub(crate) fn list<T>(&mut self, key: &str, read: Read<T>) -> Result<Vec<T>, Invalid> {
        let list = match self.0.shift_remove(key) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(Invalid::at(key, Reason::Type("a list"))),
        };
        let element = |(at, value)| read(value).map_err(|invalid| invalid.within(&format!("{key}[{at}]")));
        list.into_iter().enumerate().map(element).collect()
    }

    pub(crate) fn rest(self) -> Extra {
        self.0
    }
}

/// Reads one value; paths in its errors are within that value.
pub(crate) type Read<T> = fn(Value) -> Result<T, Invalid>;

pub(crate) fn text(json: Value) -> Result<String, Invalid> {
    if let Value::String(text) = json { Ok(text) } else { Err(Invalid::at("", Reason::Type("a string"))) }
}

pub(crate) fn term<T: std::str::FromStr<Err = UnknownTerm>>(json: Value) -> Result<T, Invalid> {
    text(json)?.parse().map_err(|unknown| Invalid::at("", Reason::Term(unknown)))
}

#[expect(clippy::needless_pass_by_value, reason = "a `Read`")]
pub(crate) fn unsigned32(json: Value) -> Result<u32, Invalid> {
    json.as_u64()
        .and_then(|number| u32::try_from(number).ok())
        .ok_or_else(|| Invalid::at("", Reason::Type("a whole number of 32 bits without sign")))
}

#[expect(clippy::needless_pass_by_value, reason = "a `Read`")]
pub(crate) fn unsigned64(json: Value) -> Result<u64, Invalid> {
    json.as_u64().ok_or_else(|| Invalid::at("", Reason::Type("a whole number of 64 bits without sign")))
}
