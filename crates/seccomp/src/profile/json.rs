//! JSON as strict as it gets: one meaning or none, and bounded.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{Fault, Unreadable};

/// The largest file that is read.
pub const BYTES: usize = 8 << 20;
/// The most values that one may hold: the largest real profiles have a few thousand, and 8 MiB of `[[],[],…` would be
/// hundreds of megabytes in memory.
const VALUES: u32 = 1 << 20;

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// In bytes, from 1.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Reads one JSON value and nothing behind it.
///
/// # Errors
/// More than [`BYTES`] or too many values, not JSON, nested more than 127 deep, a member that stands twice in its object, a number
/// that no 64-bit type holds.
pub fn parse(bytes: &[u8]) -> Result<Value, Unreadable> {
    if bytes.len() > BYTES {
        let message = format!("larger than {BYTES} bytes, the most that is read");
        return Err(Unreadable { position: None, fault: Fault::Json(message) });
    }
    let left = Cell::new(VALUES);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict(&left).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| {
        let position = Position { line: error.line(), column: error.column() };
        let text = error.to_string();
        let suffix = format!(" at line {} column {}", position.line, position.column);
        let message = text.strip_suffix(&suffix).unwrap_or(&text).to_owned();
        Unreadable { position: Some(position), fault: Fault::Json(message) }
    })
}

/// Reads a value while some are left.
#[derive(Clone, Copy)]
struct Strict<'a>(&'a Cell<u32>);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let left =
            self.0.get().checked_sub(1).ok_or_else(|| D::Error::custom("more values than a policy has"))?;
        self.0.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        // A whole number beyond 64 bits comes here as well, rounded: what it was is lost.
        if value.abs() >= 18_446_744_073_709_551_616.0 {
            return Err(E::custom("number out of range"));
        }
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(self)? {
            list.push(element);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format!("member {key:?} stands twice")));
            }
            let value = members.next_value_seed(self)?;
            object.insert(key, value);
        }
        Ok(object.into())
    }
}

/// Where the value of a path such as `syscalls[3].args[0].op` begins in a text that [`parse`] has read; of one that is
/// not there, the innermost value around it.
pub(super) fn locate(text: &[u8], path: &str) -> Position {
    let mut scan = Scan { text, at: 0 };
    scan.blank();
    for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
        let from = scan.at;
        let found = match step.strip_suffix(']').map(str::parse) {
            Some(Ok(index)) => scan.element(index),
            _ => scan.member(step),
        };
        if found.is_none() {
            scan.at = from;
            break;
        }
    }
    let before = text.get(..scan.at).unwrap_or(text);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    Position { line, column }
}

/// A place in valid JSON; `at` stands on a value's first byte between steps.
struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn here(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blank(&mut self) {
        while self.here().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Steps over this byte and the space behind it.
    fn token(&mut self, token: u8) -> Option<()> {
        (self.here() == Some(token)).then_some(())?;
        self.at += 1;
        self.blank();
        Some(())
    }

    /// From an object to a member's value.
    fn member(&mut self, name: &str) -> Option<()> {
        self.token(b'{')?;
        loop {
            let from = self.at;
            self.value();
            let key =
                self.text.get(from..self.at).and_then(|key| serde_json::from_slice::<String>(key).ok())?;
            self.blank();
            self.token(b':')?;
            if key == name {
                return Some(());
            }
            self.value();
            self.blank();
            self.token(b',')?;
        }
    }

    /// From a list to an element.
    fn element(&mut self, index: usize) -> Option<()> {
        self.token(b'[')?;
        for _ in 0..index {
            self.value();
            self.blank();
            self.token(b',')?;
        }
        self.here().filter(|byte| *byte != b']').map(|_| ())
    }

    /// Steps over a value, without the space behind it.
    fn value(&mut self) {
        let mut depth = 0_u32;
        while let Some(byte) = self.here() {
            match byte {
                b'"' => self.string(),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth == 0 => return,
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b':' if depth == 0 => return,
                _ if depth == 0 && byte.is_ascii_whitespace() => return,
                _ => {
                    self.at += 1;
                    continue;
                }
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.here() {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                return;
            }
        }
    }
}
