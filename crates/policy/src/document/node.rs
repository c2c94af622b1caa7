//! The text of a file as a tree in which everything knows where it stands.
//!
//! YAML without what makes two readers see two documents: anchors, aliases, merge keys, tags and duplicate keys are
//! errors (`policy.md`, D1). JSON is a subset. A place that cannot be used becomes [`Value::Broken`], of which nobody
//! complains again.

mod read;
#[cfg(test)]
mod tests;

pub use self::read::{BYTES, DEPTH, DOCUMENTS, read};
use super::source::Span;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// From its first to after its last character; of a block, from its first key or dash to the end of its last value.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing, or the word `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A plain decimal number.
    Number(Number),
    /// Any other text, quoted or not.
    Text(Box<str>),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping with distinct keys, in the order of the file.
    Map(Vec<Entry>),
    /// Something that has been complained about already.
    Broken,
}

/// A number as it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Number {
    /// As written: `0644` has its zero.
    pub text: Box<str>,
    /// Its value, if it is whole and fits.
    pub whole: Option<i128>,
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: Box<str>,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The entries of a mapping; of anything else none.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; of anything else none.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The entry of a mapping with this key.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| &*entry.key == key)
    }

    /// The value of a mapping for this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The text, if it is one.
    #[must_use]
    pub const fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text, or a number as it is written: for what may look like a number but is a name.
    #[must_use]
    pub const fn word(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Number(number) => Some(&number.text),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    #[must_use]
    pub const fn bool(&self) -> Option<bool> {
        match self.value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// Whether it has been complained about already.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        matches!(self.value, Value::Broken)
    }

    /// The same as JSON, without places. Numbers that are not whole or do not fit are texts.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null | Value::Broken => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(number) => {
                let whole = number.whole.and_then(|whole| i64::try_from(whole).ok()).map(Json::from);
                whole
                    .or_else(|| number.text.parse().ok().map(Json::Number))
                    .unwrap_or_else(|| Json::from(&*number.text))
            }
            Value::Text(text) => Json::from(&**text),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => {
                entries.iter().map(|entry| (entry.key.to_string(), entry.value.to_json())).collect()
            }
        }
    }

    /// What it is, for people: `a list`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a truth value",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
            Value::Broken => "something unreadable",
        }
    }
}

impl Entry {
    /// Key and value together.
    #[must_use]
    pub const fn span(&self) -> Span {
        self.key_span.to(self.value.span)
    }
}
