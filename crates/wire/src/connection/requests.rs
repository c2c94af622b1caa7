//! The peer's requests: the server endpoint of ttRPC (`spec/wire.md` 3.2, 3.5).

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;

use super::{Incoming, RequestId};
use crate::limits::{REQUEST_BYTES_IN_FLIGHT_MAX, REQUESTS_IN_FLIGHT_MAX};
use crate::ttrpc::{Code, Header, Kind, Message, MessageReader, Request, Status};

#[derive(Debug, Default)]
pub(super) struct Requests {
    pub(super) reader: MessageReader,
    last: u32,
    open: BTreeMap<u32, Open>,
    bytes: usize,
}

#[derive(Debug)]
struct Open {
    bytes: usize,
    answered: bool,
}

/// What a message came to.
pub(super) enum Step {
    Nothing,
    Request(Incoming),
    /// A good request for which there is no room now.
    Busy {
        stream: u32,
        status: Status,
    },
    /// The peer broke a rule. It is told, and the connection survives (EXT-005).
    Error {
        stream: u32,
        status: Status,
    },
}

impl Requests {
    pub(super) fn handle(&mut self, message: Message, max: usize) -> Step {
        let (header, body) = match message {
            Message::Whole(header, body) => (header, Some(body)),
            Message::TooLong(header) => (header, None),
        };
        let stream = header.stream;
        let invalid = |text: &str| Step::Error { stream, status: Status::new(Code::InvalidArgument, text) };
        if !matches!(header.kind, Kind::Request | Kind::Data) {
            return Step::Nothing;
        }
        if stream % 2 == 0 {
            return invalid("StreamID must be odd for client initiated streams");
        }
        let Some(body) = body else {
            return Step::Error { stream, status: Status::too_long(header.len as usize, max) };
        };
        match header.kind {
            // An answer to data of an open call would be taken for the answer to the call.
            Kind::Data if self.open.contains_key(&stream) => Step::Nothing,
            Kind::Data => invalid("StreamID is no longer active"),
            _ if stream <= self.last => invalid("StreamID cannot be re-used and must increment"),
            _ => self.request(header, body),
        }
    }

    fn request(&mut self, header: Header, body: Bytes) -> Step {
        let stream = header.stream;
        self.last = stream;
        let bytes = body.len();
        let request = match Request::decode(body) {
            Ok(request) => request,
            Err(error) => {
                let text = format!("unmarshal request error: {error}");
                return Step::Error { stream, status: Status::new(Code::InvalidArgument, text) };
            }
        };
        let full = self.open.len() >= REQUESTS_IN_FLIGHT_MAX
            || (self.bytes > 0 && self.bytes + bytes > REQUEST_BYTES_IN_FLIGHT_MAX);
        if full {
            let text = "too many requests wait for an answer on this connection";
            return Step::Busy { stream, status: Status::new(Code::ResourceExhausted, text) };
        }
        self.bytes += bytes;
        self.open.insert(stream, Open { bytes, answered: false });
        let timeout = match request.timeout_nano {
            0 => None,
            nanos => Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))),
        };
        Step::Request(Incoming {
            id: RequestId(stream),
            service: request.service,
            method: request.method,
            payload: request.payload,
            timeout,
        })
    }

    /// Whether the request still has to be answered; it has not, the second time.
    pub(super) fn answer(&mut self, id: RequestId) -> bool {
        self.open.get_mut(&id.0).is_some_and(|open| !std::mem::replace(&mut open.answered, true))
    }

    pub(super) fn finish(&mut self, id: RequestId) {
        if let Some(open) = self.open.remove(&id.0) {
            self.bytes -= open.bytes;
        }
    }

    pub(super) fn forget_all(&mut self) {
        self.open.clear();
        self.bytes = 0;
    }
}
