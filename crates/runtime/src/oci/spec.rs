//! The OCI spec as JSON: typed ways into it that keep what they do not know.
//!
//! [`Spec`] is the copy that is being adjusted, [`Node`] a place in a spec that is only read. Both take a member
//! that is `null` for one that is absent, as the reference's decoder does, and answer a value of another shape
//! with a [`SpecError`] that names it.

use std::fmt;

use serde_json::{Map, Value};

/// A value in the caller's OCI spec that has another shape than the OCI runtime specification gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError {
    /// Where it is, as a JSON pointer; empty for the spec as a whole.
    pub pointer: String,
    /// What the specification wants there.
    pub expected: &'static str,
    /// What is there.
    pub found: &'static str,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pointer, expected, found } = self;
        let whole = if pointer.is_empty() { "the whole" } else { "" };
        write!(f, "read {whole}{pointer} of the OCI spec: it is {found}, it must be {expected}")
    }
}

impl std::error::Error for SpecError {}

impl SpecError {
    pub(super) fn new(pointer: impl Into<String>, expected: &'static str, found: &Value) -> Self {
        Self { pointer: pointer.into(), expected, found: name_of(found) }
    }
}

pub(super) const OBJECT: &str = "an object";
pub(super) const LIST: &str = "a list";
pub(super) const TEXT: &str = "a string";

/// The copy of a spec that adjustments are written into. Pointers are those of [`nri_wire::field::Info::oci`]:
/// plain member names, nothing escaped.
pub(super) struct Spec {
    root: Value,
}

impl Spec {
    pub(super) fn new(root: Value) -> Self {
        Self { root }
    }

    pub(super) fn into_json(self) -> Value {
        self.root
    }

    pub(super) fn json(&mut self) -> &mut Value {
        &mut self.root
    }

    /// The object at `pointer`, created with its parents where it is absent.
    pub(super) fn object(&mut self, pointer: &str) -> Result<&mut Map<String, Value>, SpecError> {
        let mut map = as_object(&mut self.root, "")?;
        for (so_far, name) in steps(pointer) {
            map = as_object(created(map, name, || Value::Object(Map::new())), so_far)?;
        }
        Ok(map)
    }

    /// The object at `pointer`, if there is one.
    pub(super) fn existing(&mut self, pointer: &str) -> Result<Option<&mut Map<String, Value>>, SpecError> {
        let mut map = as_object(&mut self.root, "")?;
        for (so_far, name) in steps(pointer) {
            match map.get_mut(name) {
                None | Some(Value::Null) => return Ok(None),
                Some(value) => map = as_object(value, so_far)?,
            }
        }
        Ok(Some(map))
    }

    /// The list at `pointer`, created with its parents where it is absent.
    pub(super) fn list(&mut self, pointer: &str) -> Result<&mut Vec<Value>, SpecError> {
        let (parent, name) = split(pointer);
        let list = created(self.object(parent)?, name, || Value::Array(Vec::new()));
        as_list(list, pointer)
    }

    /// The list at `pointer`, if there is one.
    pub(super) fn existing_list(&mut self, pointer: &str) -> Result<Option<&mut Vec<Value>>, SpecError> {
        let (parent, name) = split(pointer);
        match self.existing(parent)?.and_then(|map| map.get_mut(name)) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => as_list(value, pointer).map(Some),
        }
    }

    /// Sets the member at `pointer`, whatever was there; its parents are created where they are absent.
    pub(super) fn put(&mut self, pointer: &str, value: impl Into<Value>) -> Result<(), SpecError> {
        let (parent, name) = split(pointer);
        self.object(parent)?.insert(name.to_owned(), value.into());
        Ok(())
    }

    /// Takes the member at `pointer` out; the others keep their order.
    pub(super) fn remove(&mut self, pointer: &str) -> Result<(), SpecError> {
        let (parent, name) = split(pointer);
        if let Some(map) = self.existing(parent)? {
            map.shift_remove(name);
        }
        Ok(())
    }

    /// The string at `pointer`, if there is one.
    pub(super) fn text(&mut self, pointer: &str) -> Result<Option<&str>, SpecError> {
        let (parent, name) = split(pointer);
        match self.existing(parent)?.and_then(|map| map.get(name)) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(SpecError::new(pointer, TEXT, other)),
        }
    }
}

fn created<'v>(map: &'v mut Map<String, Value>, name: &str, empty: impl FnOnce() -> Value) -> &'v mut Value {
    let value = map.entry(name).or_insert(Value::Null);
    if value.is_null() {
        *value = empty();
    }
    value
}

fn as_object<'v>(value: &'v mut Value, pointer: &str) -> Result<&'v mut Map<String, Value>, SpecError> {
    match value {
        Value::Object(map) => Ok(map),
        other => Err(SpecError::new(pointer, OBJECT, other)),
    }
}

fn as_list<'v>(value: &'v mut Value, pointer: &str) -> Result<&'v mut Vec<Value>, SpecError> {
    match value {
        Value::Array(list) => Ok(list),
        other => Err(SpecError::new(pointer, LIST, other)),
    }
}

/// The steps of a pointer, each with the pointer up to it.
fn steps(pointer: &str) -> impl Iterator<Item = (&str, &str)> {
    pointer.split('/').skip(1).scan(0, move |end, name| {
        *end += 1 + name.len();
        Some((pointer.get(..*end).unwrap_or(pointer), name))
    })
}

fn split(pointer: &str) -> (&str, &str) {
    pointer.rsplit_once('/').unwrap_or(("", pointer))
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A place in a spec that is read. It knows the way to itself, so that an error can name it, and costs
/// nothing for that while all is well.
#[derive(Clone, Copy)]
pub(super) struct Node<'v, 'p> {
    value: Option<&'v Value>,
    parent: Option<&'p Node<'v, 'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Root,
    Name(&'p str),
    Index(usize),
}

impl<'v, 'p> Node<'v, 'p> {
    pub(super) fn root(value: &'v Value) -> Result<Self, SpecError> {
        let node = Self { value: Some(value), parent: None, step: Step::Root };
        match value {
            Value::Object(_) => Ok(node),
            _ => Err(node.wrong(OBJECT)),
        }
    }

    pub(super) fn is_absent(&self) -> bool {
        self.value.is_none()
    }

    /// The member with this name; an absent one of an absent object.
    pub(super) fn get<'s>(&'s self, name: &'s str) -> Result<Node<'v, 's>, SpecError> {
        let value = match self.value {
            None => None,
            Some(Value::Object(map)) => map.get(name).filter(|value| !value.is_null()),
            Some(_) => return Err(self.wrong(OBJECT)),
        };
        Ok(Node { value, parent: Some(self), step: Step::Name(name) })
    }

    pub(super) fn text(&self) -> Result<Option<&'v str>, SpecError> {
        self.value.map(|value| value.as_str().ok_or_else(|| self.wrong(TEXT))).transpose()
    }

    /// The string, or the empty one.
    pub(super) fn string(&self) -> Result<String, SpecError> {
        Ok(self.text()?.unwrap_or_default().to_owned())
    }

    pub(super) fn bool(&self) -> Result<Option<bool>, SpecError> {
        self.value.map(|value| value.as_bool().ok_or_else(|| self.wrong("true or false"))).transpose()
    }

    pub(super) fn i64(&self) -> Result<Option<i64>, SpecError> {
        self.value
            .map(|value| value.as_i64().ok_or_else(|| self.wrong("a signed integer of 64 bits")))
            .transpose()
    }

    pub(super) fn u64(&self) -> Result<Option<u64>, SpecError> {
        self.value
            .map(|value| value.as_u64().ok_or_else(|| self.wrong("an unsigned integer of 64 bits")))
            .transpose()
    }

    pub(super) fn i32(&self) -> Result<Option<i32>, SpecError> {
        self.i64()?
            .map(|n| i32::try_from(n).map_err(|_| self.wrong("a signed integer of 32 bits")))
            .transpose()
    }

    pub(super) fn u32(&self) -> Result<Option<u32>, SpecError> {
        self.u64()?
            .map(|n| u32::try_from(n).map_err(|_| self.wrong("an unsigned integer of 32 bits")))
            .transpose()
    }

    /// Reads each element of a list.
    pub(super) fn each<T>(
        &self,
        read: impl for<'s> Fn(Node<'v, 's>) -> Result<T, SpecError>,
    ) -> Result<Vec<T>, SpecError> {
        match self.value {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => list
                .iter()
                .enumerate()
                .map(|(index, value)| {
                    let value = Some(value).filter(|value| !value.is_null());
                    read(Node { value, parent: Some(self), step: Step::Index(index) })
                })
                .collect(),
            Some(_) => Err(self.wrong(LIST)),
        }
    }

    pub(super) fn strings(&self) -> Result<Vec<String>, SpecError> {
        self.each(|element| element.string())
    }

    /// Reads each member of an object of which the names are keys.
    pub(super) fn members<T, M: FromIterator<(String, T)>>(
        &self,
        read: impl for<'s> Fn(Node<'v, 's>) -> Result<T, SpecError>,
    ) -> Result<M, SpecError> {
        match self.value {
            None => Ok(M::from_iter(None)),
            Some(Value::Object(map)) => map
                .iter()
                .map(|(name, value)| {
                    let value = Some(value).filter(|value| !value.is_null());
                    let node = Node { value, parent: Some(self), step: Step::Name(name) };
                    Ok((name.clone(), read(node)?))
                })
                .collect(),
            Some(_) => Err(self.wrong(OBJECT)),
        }
    }

    fn wrong(&self, expected: &'static str) -> SpecError {
        SpecError::new(self.pointer(), expected, self.value.unwrap_or(&Value::Null))
    }

    fn pointer(&self) -> String {
        let mut pointer = self.parent.map(Self::pointer_of).unwrap_or_default();
        match self.step {
            Step::Root => {}
            // Names that are keys may hold anything (RFC 6901, 3).
            Step::Name(name) => {
                pointer.push('/');
                pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
            }
            Step::Index(index) => {
                pointer.push('/');
                pointer.push_str(&index.to_string());
            }
        }
        pointer
    }

    fn pointer_of(node: &Node<'v, 'p>) -> String {
        node.pointer()
    }
}
