//! Messages from and to proto3 JSON, the form that the Go peers speak and in which cases are written.

use std::sync::LazyLock;

use nri_wire::api::DESCRIPTOR_SET;
use prost::{Message, Name};
use prost_reflect::{
    DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage as _, SerializeOptions,
};
use serde_json::Value as Json;

/// The message that a JSON value means.
///
/// # Panics
/// Where the value is no such message: cases are written by hand, and the peers' lines are theirs to get right.
#[must_use]
pub fn message<T: Message + Name + Default>(value: &Json) -> T {
    let dynamic = DynamicMessage::deserialize(descriptor::<T>(), value)
        .unwrap_or_else(|error| panic!("no {}: {error}: {value}", T::full_name()));
    dynamic.transcode_to().unwrap_or_else(|error| panic!("no {}: {error}: {value}", T::full_name()))
}

/// The messages of a JSON list; of nothing or `null`, none.
#[must_use]
pub fn messages<T: Message + Name + Default>(value: &Json) -> Vec<T> {
    value.as_array().into_iter().flatten().map(message).collect()
}

/// A message as JSON.
///
/// # Panics
/// Never for messages of this protocol, whose descriptors are complete.
#[must_use]
pub fn json<T: Message + Name>(message: &T) -> Json {
    let mut dynamic = DynamicMessage::new(descriptor::<T>());
    dynamic.transcode_from(message).unwrap_or_else(|error| panic!("{}: {error}", T::full_name()));
    dynamic
        .serialize_with_options(serde_json::value::Serializer, &SerializeOptions::new())
        .unwrap_or_else(|error| panic!("{}: {error}", dynamic.descriptor().full_name()))
}

fn descriptor<T: Name>() -> MessageDescriptor {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
        DescriptorPool::decode(DESCRIPTOR_SET).unwrap_or_else(|error| panic!("descriptors: {error}"))
    });
    POOL.get_message_by_name(&T::full_name()).unwrap_or_else(|| panic!("no descriptor of {}", T::full_name()))
}
