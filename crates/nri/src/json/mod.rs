//! The proto3 JSON form of the protocol's messages (`cli.md`, "Protobuf as JSON").
//!
//! Written in lowerCamelCase with 64-bit numbers as strings; read in lowerCamelCase or with the names of `nri.proto`,
//! numbers as numbers or strings. A member that a message does not know is left out and reported by its path.

mod read;
#[cfg(test)]
mod tests;
mod write;

use std::sync::LazyLock;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::Value;

pub(crate) use read::JsonError;

/// A message that was read, and what it did not know.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Read<M> {
    pub(crate) message: M,
    /// Paths of unknown members, such as `linux.resources.memory.hint`.
    pub(crate) unknown: Vec<String>,
}

/// The JSON form of a message. Fields with their default value are left out, as proto3 JSON says.
#[expect(clippy::expect_used, reason = "a message that was just encoded decodes; tested for every message")]
pub(crate) fn to_json<M: Message + Name>(message: &M) -> Value {
    let mut dynamic = DynamicMessage::new(descriptor::<M>());
    dynamic.transcode_from(message).expect("what was just encoded decodes");
    write::message(&dynamic)
}

/// The JSON form of an encoded message of this name, as far as it decodes.
pub(crate) fn decoded(name: &str, bytes: &[u8]) -> Option<Value> {
    let descriptor = pool().get_message_by_name(&format!("nri.pkg.api.v1alpha1.{name}"))?;
    DynamicMessage::decode(descriptor, bytes).ok().map(|message| write::message(&message))
}

/// Reads the JSON form of a message.
///
/// # Errors
/// The first value of a wrong type or out of range, an unknown name of an enumeration, a member that is there under both names.
pub(crate) fn from_json<M: Message + Name + Default>(json: &Value) -> Result<Read<M>, JsonError> {
    let mut unknown = Vec::new();
    let dynamic = read::message(&descriptor::<M>(), json, "", &mut unknown)?;
    let message = dynamic.transcode_to().map_err(|_| JsonError::new("", "a message"))?;
    Ok(Read { message, unknown })
}

#[expect(clippy::expect_used, reason = "the embedded descriptors hold every message; tested")]
fn descriptor<M: Name>() -> MessageDescriptor {
    pool().get_message_by_name(&M::full_name()).expect("the embedded descriptors hold every message")
}

#[expect(clippy::expect_used, reason = "the embedded descriptors decode; tested")]
fn pool() -> &'static DescriptorPool {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
        DescriptorPool::decode(nri_wire::api::DESCRIPTOR_SET).expect("the embedded descriptors decode")
    });
    &POOL
}
