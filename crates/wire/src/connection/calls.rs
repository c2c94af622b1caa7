//! Our calls: the client endpoint of ttRPC (`spec/wire.md` 3.6).

use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message as _;

use super::{CallFailure, CallRefused, Closed, TooLong};
use crate::limits::CALLS_IN_FLIGHT_MAX;
use crate::ttrpc::{Header, Kind, Message, MessageReader, Response};

#[derive(Debug)]
pub(super) struct Calls {
    pub(super) reader: MessageReader,
    /// Odd, rising by two (`spec/wire.md` 3.2). `None` when they are used up.
    next: Option<u32>,
    open: BTreeSet<u32>,
}

impl Default for Calls {
    fn default() -> Self {
        Self { reader: MessageReader::default(), next: Some(1), open: BTreeSet::new() }
    }
}

/// What a message came to.
#[derive(Default)]
pub(super) struct Step {
    pub(super) answer: Option<(u32, Result<Bytes, CallFailure>)>,
    pub(super) error: Option<String>,
}

impl Calls {
    pub(super) fn begin(&mut self) -> Result<u32, CallRefused> {
        if self.open.len() >= CALLS_IN_FLIGHT_MAX {
            return Err(CallRefused::TooMany);
        }
        let id = self.next.ok_or(CallRefused::Closed(Closed::OutOfStreams))?;
        self.next = id.checked_add(2);
        self.open.insert(id);
        Ok(id)
    }

    pub(super) fn end(&mut self, id: u32) -> bool {
        self.open.remove(&id)
    }

    /// Messages for calls that are not open are dropped: late answers end here. Those for calls that were never
    /// made are errors.
    pub(super) fn handle(&mut self, message: Message, max: usize) -> Step {
        let (header, body) = match message {
            Message::Whole(header, body) => (header, Some(body)),
            Message::TooLong(header) => (header, None),
        };
        if matches!(header.kind, Kind::Other(_)) {
            return Step::default();
        }
        if !self.end(header.stream) {
            let made = header.stream % 2 == 1 && self.next.is_none_or(|next| header.stream < next);
            let error = (!made).then(|| format!("an answer to call {}, which was not made", header.stream));
            return Step { answer: None, error };
        }
        let result = match body {
            None => Err(CallFailure::TooLong(TooLong { len: header.len as usize, max })),
            Some(body) => response(header, body),
        };
        let error = match &result {
            Err(CallFailure::Garbage(why)) => Some(why.clone()),
            _ => None,
        };
        Step { answer: Some((header.stream, result)), error }
    }
}

fn response(header: Header, body: Bytes) -> Result<Bytes, CallFailure> {
    if header.kind != Kind::Response {
        return Err(CallFailure::Garbage(format!("a message of type {} as answer", header.kind.number())));
    }
    match Response::decode(body) {
        Ok(response) => response.into_result().map_err(CallFailure::Status),
        Err(error) => Err(CallFailure::Garbage(format!("an answer that does not decode: {error}"))),
    }
}
