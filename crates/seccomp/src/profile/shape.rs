//! Whether every member has the JSON type that it must have, before any is given a meaning: a policy with a fault of each
//! kind is bad input, wherever they stand (`spec/seccomp.md` 7.1).

use serde_json::Value;

use crate::policy::{Invalid, Reason};

/// A type of JSON value. Null is absent for a member, and no element of a list.
enum Shape {
    Text,
    Number32,
    Number64,
    List(&'static Self),
    Object(&'static [(&'static str, Self)]),
}

use Shape::{List, Number32, Number64, Object, Text};

const CONDITION: Shape =
    Object(&[("index", Number32), ("value", Number64), ("valueTwo", Number64), ("op", Text)]);

const ENTRY: Shape = Object(&[
    ("names", List(&Text)),
    ("name", Text),
    ("action", Text),
    ("errnoRet", Number32),
    ("errno", Text),
    ("args", List(&CONDITION)),
    ("includes", WHEN),
    ("excludes", WHEN),
]);

/// What an entry of a profile with conditions depends on.
const WHEN: Shape = Object(&[("caps", List(&Text)), ("arches", List(&Text)), ("minKernel", Text)]);

const POLICY: Shape = Object(&[
    ("defaultAction", Text),
    ("defaultErrnoRet", Number32),
    ("defaultErrno", Text),
    ("architectures", List(&Text)),
    ("archMap", List(&Object(&[("architecture", Text), ("subArchitectures", List(&Text))]))),
    ("flags", List(&Text)),
    ("listenerPath", Text),
    ("listenerMetadata", Text),
    ("syscalls", List(&ENTRY)),
]);

/// Looks at the members of a policy.
///
/// # Errors
/// The first value of another type.
pub(super) fn check(policy: &Value) -> Result<(), Invalid> {
    POLICY.check(policy)
}

impl Shape {
    fn check(&self, value: &Value) -> Result<(), Invalid> {
        let expected = match (self, value) {
            (Text, Value::String(_)) => return Ok(()),
            (Number32, Value::Number(number))
                if number.as_u64().is_some_and(|n| u32::try_from(n).is_ok()) =>
            {
                return Ok(());
            }
            (Number64, Value::Number(number)) if number.is_u64() => return Ok(()),
            (List(element), Value::Array(list)) => {
                return list.iter().enumerate().try_for_each(|(at, value)| {
                    element.check(value).map_err(|invalid| invalid.within(&format!("[{at}]")))
                });
            }
            (Object(members), Value::Object(object)) => {
                return members.iter().try_for_each(|(name, shape)| match object.get(*name) {
                    None | Some(Value::Null) => Ok(()),
                    Some(value) => shape.check(value).map_err(|invalid| invalid.within(name)),
                });
            }
            (Text, _) => "a string",
            (Number32, _) => "a whole number of 32 bits without sign",
            (Number64, _) => "a whole number of 64 bits without sign",
            (List(_), _) => "a list",
            (Object(_), _) => "an object",
        };
        Err(Invalid::at("", Reason::Type(expected)))
    }
}
