//! Envelopes: what stands around the payload of a request and of an answer (`spec/wire.md` 3.3).
//!
//! The metadata of requests and the details of statuses are not used by NRI. They are skipped, not kept:
//! 4 MiB of empty entries would become a hundred megabytes.

use bytes::{BufMut as _, Bytes};
use prost::encoding::{encode_varint, encoded_len_varint};

use super::{Code, Status};

/// A request as it stands in a message.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    /// Full name of the service.
    #[prost(string, tag = "1")]
    pub service: String,
    /// Name of the method.
    #[prost(string, tag = "2")]
    pub method: String,
    /// The encoded request message. Shares the memory of the message that it came in.
    #[prost(bytes = "bytes", tag = "3")]
    pub payload: Bytes,
    /// Nanoseconds that the caller will wait; 0 for ever, negative: it has already given up.
    #[prost(int64, tag = "4")]
    pub timeout_nano: i64,
}

/// An answer as it stands in a message.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Response {
    #[prost(message, optional, tag = "1")]
    status: Option<RawStatus>,
    /// The encoded response message. Shares the memory of the message that it came in.
    #[prost(bytes = "bytes", tag = "2")]
    pub payload: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RawStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

impl Response {
    /// The failure that the answer tells, or its payload.
    ///
    /// # Errors
    /// The status, unless it is absent or its code is 0.
    pub fn into_result(self) -> Result<Bytes, Status> {
        match self.status {
            Some(status) if status.code != 0 => {
                Err(Status { code: Code::from_number(status.code), message: status.message })
            }
            _ => Ok(self.payload),
        }
    }
}

impl From<&Status> for Response {
    fn from(status: &Status) -> Self {
        let raw = RawStatus { code: status.code.number(), message: status.text().to_owned() };
        Self { status: Some(raw), payload: Bytes::new() }
    }
}

/// Bytes of the envelope of a request with a payload of `payload` bytes.
pub(crate) fn request_len(service: &str, method: &str, timeout_nano: i64, payload: usize) -> usize {
    let timeout = if timeout_nano == 0 { 0 } else { 1 + encoded_len_varint(timeout_nano.cast_unsigned()) };
    field_len(service.len()) + field_len(method.len()) + field_len(payload) + timeout
}

/// Writes the envelope of a request around the payload that `payload` appends, in one go: the payload is
/// encoded in its place. The order of fields is that of the reference.
pub(crate) fn write_request(
    out: &mut Vec<u8>,
    service: &str,
    method: &str,
    timeout_nano: i64,
    payload_len: usize,
    payload: impl FnOnce(&mut Vec<u8>),
) {
    write_field(out, 0x0a, service.len(), |out| out.put_slice(service.as_bytes()));
    write_field(out, 0x12, method.len(), |out| out.put_slice(method.as_bytes()));
    write_field(out, 0x1a, payload_len, payload);
    if timeout_nano != 0 {
        out.put_u8(0x20);
        encode_varint(timeout_nano.cast_unsigned(), out);
    }
}

/// Bytes of the envelope of a successful answer with a payload of `payload` bytes.
pub(crate) fn response_len(payload: usize) -> usize {
    field_len(payload)
}

/// Writes what stands before the payload of a successful answer: nothing, if that is empty.
pub(crate) fn write_response_head(out: &mut Vec<u8>, payload_len: usize) {
    write_field(out, 0x12, payload_len, |_| ());
}

fn field_len(len: usize) -> usize {
    if len == 0 { 0 } else { 1 + encoded_len_varint(len as u64) + len }
}

fn write_field(out: &mut Vec<u8>, tag: u8, len: usize, content: impl FnOnce(&mut Vec<u8>)) {
    if len != 0 {
        out.put_u8(tag);
        encode_varint(len as u64, out);
        content(out);
    }
}
