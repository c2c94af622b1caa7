//! Messages on their way out, with the frames around them.
//!
//! Two rules of framing protect Go peers (`spec/wire.md` 2.6): a frame with any byte of a message's header has
//! at most 4096 bytes, and no frame goes beyond the end of its message. So a short message is one frame, and
//! a longer one is a frame with the header and a frame with the payload. Both are encoded into one buffer, the
//! payload in its place; only the numbers are filled in when the message is queued.

use std::fmt;
use std::ops::{Deref, Range};
use std::time::Duration;

use prost::Message;

use super::RequestId;
use crate::limits::{FIRST_FRAME_MAX, FRAME_HEADER, MESSAGE_HEADER, MESSAGE_MAX};
use crate::mux;
use crate::service::Rpc;
use crate::ttrpc::{
    Header, Kind, Response, Status, request_len, response_len, write_request, write_response_head,
};

/// A message that is longer than the other side takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Its length with its envelope, bytes.
    pub len: usize,
    /// The most that is taken, bytes.
    pub max: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message length {} exceed maximum message size of {}", self.len, self.max)
    }
}

impl std::error::Error for TooLong {}

#[expect(clippy::cast_possible_truncation, reason = "it is ten")]
const HEADER_LEN: u32 = MESSAGE_HEADER as u32;

/// An encoded message that is not yet numbered.
#[derive(Debug)]
pub struct Outgoing {
    bytes: Vec<u8>,
    /// Bytes of the message without its header.
    len: u32,
    payload: Range<usize>,
}

impl Outgoing {
    /// A call. `timeout` is what is left until the caller's deadline: `None` for no deadline, zero if it has
    /// passed. `appendix` is put behind the encoded request (`scan::Unknown::appendix`).
    ///
    /// # Errors
    /// The request is longer than any peer takes; nothing must be sent.
    pub fn call<R: Rpc>(
        request: &R::Request,
        appendix: &[u8],
        timeout: Option<Duration>,
    ) -> Result<Self, TooLong> {
        // Zero on the wire would mean "no deadline"; a passed one is negative.
        let nanos = match timeout {
            None => 0,
            Some(Duration::ZERO) => -1,
            Some(left) => i64::try_from(left.as_nanos()).unwrap_or(i64::MAX),
        };
        let payload_len = request.encoded_len() + appendix.len();
        let mut this = Self::with_len(request_len(R::SERVICE, R::METHOD, nanos, payload_len))?;
        let mut at = 0;
        write_request(&mut this.bytes, R::SERVICE, R::METHOD, nanos, payload_len, |out| {
            at = out.len();
            request.encode_raw(out);
            out.extend_from_slice(appendix);
        });
        this.payload = at..at + payload_len;
        Ok(this)
    }

    /// A successful answer. An empty one is a header and nothing else (EXT-008).
    ///
    /// # Errors
    /// The response is longer than any peer takes. The request has to be answered with a status.
    pub fn response<M: Message>(response: &M, appendix: &[u8]) -> Result<Self, TooLong> {
        let payload_len = response.encoded_len() + appendix.len();
        let mut this = Self::with_len(response_len(payload_len))?;
        write_response_head(&mut this.bytes, payload_len);
        let at = this.bytes.len();
        this.payload = at..at + payload_len;
        response.encode_raw(&mut this.bytes);
        this.bytes.extend_from_slice(appendix);
        Ok(this)
    }

    /// The answer that a request failed.
    #[must_use]
    pub fn failure(status: &Status) -> Self {
        let response = Response::from(status);
        let mut this = Self::with_room(response.encoded_len());
        response.encode_raw(&mut this.bytes);
        this
    }

    /// The encoded NRI message within; empty for a failure.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(self.payload.clone()).unwrap_or_default()
    }

    fn with_len(len: usize) -> Result<Self, TooLong> {
        if len > MESSAGE_MAX { Err(TooLong { len, max: MESSAGE_MAX }) } else { Ok(Self::with_room(len)) }
    }

    /// An envelope of `len` bytes, at most [`MESSAGE_MAX`], is to be written behind the place for headers.
    #[expect(clippy::cast_possible_truncation, reason = "every caller keeps to MESSAGE_MAX, 4 MiB")]
    fn with_room(len: usize) -> Self {
        let head = if MESSAGE_HEADER + len <= FIRST_FRAME_MAX {
            FRAME_HEADER + MESSAGE_HEADER
        } else {
            FRAME_HEADER + MESSAGE_HEADER + FRAME_HEADER
        };
        let mut bytes = Vec::with_capacity(head + len);
        bytes.resize(head, 0);
        Self { bytes, len: len as u32, payload: 0..0 }
    }

    /// Fills in the headers.
    pub(super) fn address(&mut self, connection: u32, stream: u32, kind: Kind) {
        let message = Header { len: self.len, stream, kind, flags: 0 }.to_bytes();
        let is_one_frame = MESSAGE_HEADER + self.len as usize <= FIRST_FRAME_MAX;
        let first = mux::header(connection, if is_one_frame { HEADER_LEN + self.len } else { HEADER_LEN });
        let second = mux::header(connection, self.len);
        let second: &[u8] = if is_one_frame { &[] } else { &second };
        for (place, byte) in self.bytes.iter_mut().zip(first.iter().chain(&message).chain(second)) {
            *place = *byte;
        }
    }

    pub(super) fn into_output(self, answers: Option<RequestId>) -> Output {
        Output { bytes: self.bytes, answers }
    }
}

/// A message with its frames, ready to be written.
#[derive(Debug)]
pub struct Output {
    bytes: Vec<u8>,
    pub(super) answers: Option<RequestId>,
}

impl Deref for Output {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}
