//! ttRPC as NRI uses it: unary calls only (`spec/wire.md` 3).
//!
//! This module knows single messages: their headers, envelopes and statuses. Which message may follow
//! which is known by [`crate::connection`].

mod envelope;
mod message;
mod status;

pub use envelope::{Request, Response};
pub use message::{Header, Kind, Message, MessageReader};
pub use status::{Code, Status};

pub(crate) use envelope::{request_len, response_len, write_request, write_response_head};
