//! The messages of package `nri.pkg.api.v1alpha1`.
//!
//! Field numbers and types are those of `nri.proto`; the comment on each field is the NRI version that
//! introduced it. Maps are ordered, so that equal messages encode to equal bytes.

#![expect(
    missing_docs,
    reason = "generated: the protocol's own names, numbers and since-versions are the text"
)]

include!("generated.rs");

/// The encoded `FileDescriptorSet` of the messages, for whatever needs names at run time (proto3 JSON).
pub const DESCRIPTOR_SET: &[u8] = include_bytes!("descriptor.bin");

/// Makes optional wrappers from values: `OptionalInt64::from(3)`, and reads them back.
macro_rules! wrappers {
    ($($wrapper:ident: $value:ty),* $(,)?) => {$(
        impl From<$value> for $wrapper {
            fn from(value: $value) -> Self {
                Self { value }
            }
        }
    )*};
}

wrappers! {
    OptionalString: String,
    OptionalRepeatedString: Vec<String>,
    OptionalInt: i64,
    OptionalInt32: i32,
    OptionalInt64: i64,
    OptionalUInt32: u32,
    OptionalUInt64: u64,
    OptionalBool: bool,
    OptionalFileMode: u32,
}
