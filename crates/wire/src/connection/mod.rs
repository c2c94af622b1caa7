//! One NRI connection as a state machine: multiplexer and both ttRPC endpoints, without socket and clock.
//!
//! A driver does, in any order that suits it:
//!
//! * [`Connection::handle_input`] with what it read, [`Connection::handle_eof`] at the end;
//! * [`Connection::poll_event`] until there is none: requests of the peer, answers to our calls;
//! * [`Connection::call`], [`Connection::answer`] with messages that it has encoded as [`Outgoing`];
//! * [`Connection::poll_output`] until there is none, and [`Connection::handle_sent`] for each that is written;
//! * [`Connection::handle_timeout`] at [`Connection::poll_timeout`].
//!
//! Nothing that a peer sends can panic, block, or take more memory than the limits say. Events that came
//! before the end are handed out after it, too (quirk C9).

mod calls;
mod closed;
mod outgoing;
mod requests;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::limits::{
    MESSAGE_MAX, MESSAGE_MAX_UNREGISTERED, OUTPUT_MAX, PARTIAL_FRAME_TIMEOUT, PROTOCOL_ERRORS_MAX,
    REFUSALS_UNSENT_MAX,
};
use crate::mux::{FrameReader, PLUGIN_CONNECTION, RUNTIME_CONNECTION};
use crate::ttrpc::{Kind, Status};
use calls::Calls;
pub use closed::{Closed, Fault};
pub use outgoing::{Outgoing, Output, TooLong};
use requests::Requests;

/// Which end of the connection this is. It follows the service, not who dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Serves `Plugin` on logical connection 1, calls `Runtime` on 2.
    Plugin,
    /// Serves `Runtime` on logical connection 2, calls `Plugin` on 1.
    Runtime,
}

impl Role {
    const fn serves(self) -> u32 {
        match self {
            Self::Plugin => PLUGIN_CONNECTION,
            Self::Runtime => RUNTIME_CONNECTION,
        }
    }

    const fn calls(self) -> u32 {
        match self {
            Self::Plugin => RUNTIME_CONNECTION,
            Self::Runtime => PLUGIN_CONNECTION,
        }
    }
}

/// One of our calls. Later calls compare greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(u32);

/// One request of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(u32);

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer asks.
    Request(Incoming),
    /// The peer has answered a call, or its answer was unusable. Each call has at most one.
    Answer {
        /// The call.
        call: CallId,
        /// The encoded response message.
        result: Result<Bytes, CallFailure>,
    },
}

/// A request of the peer, to be answered with [`Connection::answer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Names the request in the answer.
    pub id: RequestId,
    /// Full name of the service.
    pub service: String,
    /// Name of the method.
    pub method: String,
    /// The encoded request message.
    pub payload: Bytes,
    /// How long the peer will wait, if it said so; zero if it has already given up.
    pub timeout: Option<Duration>,
}

/// Why a call has no response, though the peer answered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallFailure {
    /// The peer refused it.
    Status(Status),
    /// The answer was longer than this side takes.
    TooLong(TooLong),
    /// The answer was no answer: why.
    Garbage(String),
}

/// Why a call could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallRefused {
    /// The connection has ended.
    Closed(Closed),
    /// [`crate::limits::CALLS_IN_FLIGHT_MAX`] calls wait for their answers.
    TooMany,
}

/// The state of one connection. The calling order is in the text of this module.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    frames: FrameReader,
    requests: Requests,
    calls: Calls,
    message_max: usize,
    output: VecDeque<Output>,
    output_len: usize,
    refusals: usize,
    events: VecDeque<Event>,
    errors: u32,
    last_input: Option<Instant>,
    closed: Option<Closed>,
}

impl Connection {
    /// A fresh connection. A runtime takes messages of 64 KiB at most until it has admitted its peer; a
    /// plugin knows whom it connected to.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self {
            role,
            frames: FrameReader::default(),
            requests: Requests::default(),
            calls: Calls::default(),
            message_max: match role {
                Role::Plugin => MESSAGE_MAX,
                Role::Runtime => MESSAGE_MAX_UNREGISTERED,
            },
            output: VecDeque::new(),
            output_len: 0,
            refusals: 0,
            events: VecDeque::new(),
            errors: 0,
            last_input: None,
            closed: None,
        }
    }

    /// The peer has registered: its messages may have full length from now on.
    pub fn admit(&mut self) {
        self.message_max = MESSAGE_MAX;
    }

    /// Why the connection has ended, if it has.
    #[must_use]
    pub const fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }

    /// Ends the connection. The first reason stays.
    pub fn close(&mut self, why: Closed) {
        if self.closed.is_none() {
            self.closed = Some(why);
            self.output.clear();
            self.output_len = 0;
            self.requests.forget_all();
        }
    }

    /// Takes bytes that were read, in any cut. After the end they are ignored.
    pub fn handle_input(&mut self, now: Instant, mut input: &[u8]) {
        self.last_input = Some(now);
        while self.closed.is_none() {
            match self.frames.read(&mut input) {
                Ok(Some((connection, piece))) if connection == self.role.serves() => self.serve(piece),
                Ok(Some((connection, piece))) if connection == self.role.calls() => self.receive(piece),
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(too_long) => self.close(Closed::FrameTooLong { len: too_long.len }),
            }
        }
    }

    /// The peer has closed its end.
    pub fn handle_eof(&mut self) {
        self.close(if self.is_partial() { Closed::Truncated } else { Closed::ByPeer });
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, unless more input comes before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.closed.is_some() || !self.is_partial() {
            return None;
        }
        self.last_input.and_then(|last| last.checked_add(PARTIAL_FRAME_TIMEOUT))
    }

    /// Ends the connection if a frame or message was begun and nothing came for too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|due| due <= now) {
            self.close(Closed::Stalled);
        }
    }

    /// The next event. Also after the end, until there is none.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next message to write. What is handed out is to be written whole, in this order, and then given
    /// to [`handle_sent`](Self::handle_sent).
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.output.pop_front()?;
        self.output_len = self.output_len.saturating_sub(output.len());
        Some(output)
    }

    /// The message has been written. Only now does a request that it answers no longer count as in flight: who
    /// does not read does not get more.
    pub fn handle_sent(&mut self, output: &Output) {
        if let Some(id) = output.answers {
            self.requests.finish(id);
        }
        if self.output.is_empty() {
            self.refusals = 0;
        }
    }

    /// Bytes that wait for [`poll_output`](Self::poll_output).
    #[must_use]
    pub const fn output_len(&self) -> usize {
        self.output_len
    }

    /// Whether less than [`OUTPUT_MAX`] bytes wait to be written. A driver makes a call wait for this,
    /// answers do not need to.
    #[must_use]
    pub const fn has_room(&self) -> bool {
        self.output_len < OUTPUT_MAX
    }

    /// Puts a call in the queue and numbers it, so that numbers rise on the wire.
    ///
    /// # Errors
    /// The connection has ended, or too many calls are open.
    pub fn call(&mut self, mut message: Outgoing) -> Result<CallId, CallRefused> {
        if let Some(closed) = &self.closed {
            return Err(CallRefused::Closed(closed.clone()));
        }
        let id = self.calls.begin()?;
        message.address(self.role.calls(), id, Kind::Request);
        self.queue(message, None);
        Ok(CallId(id))
    }

    /// Nobody waits for the answer any more: it will be dropped. Tells whether the call was still open.
    pub fn forget(&mut self, call: CallId) -> bool {
        self.calls.end(call.0)
    }

    /// Puts the answer to a request in the queue. A request that was answered before is not answered again.
    pub fn answer(&mut self, request: RequestId, mut message: Outgoing) {
        if self.closed.is_none() && self.requests.answer(request) {
            message.address(self.role.serves(), request.0, Kind::Response);
            self.queue(message, Some(request));
        }
    }

    fn serve(&mut self, mut piece: &[u8]) {
        while let Some(message) = self.requests.reader.read(&mut piece, self.message_max) {
            match self.requests.handle(message, self.message_max) {
                requests::Step::Nothing => {}
                requests::Step::Request(request) => self.events.push_back(Event::Request(request)),
                requests::Step::Busy { stream, status } => self.refuse(stream, &status),
                requests::Step::Error { stream, status } => {
                    self.refuse(stream, &status);
                    self.count_error(&status.message);
                }
            }
            if self.closed.is_some() {
                return;
            }
        }
    }

    fn receive(&mut self, mut piece: &[u8]) {
        while let Some(message) = self.calls.reader.read(&mut piece, self.message_max) {
            let step = self.calls.handle(message, self.message_max);
            if let Some((call, result)) = step.answer {
                self.events.push_back(Event::Answer { call: CallId(call), result });
            }
            if let Some(error) = step.error {
                self.count_error(&error);
            }
            if self.closed.is_some() {
                return;
            }
        }
    }

    /// Answers a stream that never became a request.
    fn refuse(&mut self, stream: u32, status: &Status) {
        self.refusals += 1;
        if self.refusals > REFUSALS_UNSENT_MAX {
            self.close(Closed::NotReading);
            return;
        }
        let mut message = Outgoing::failure(status);
        message.address(self.role.serves(), stream, Kind::Response);
        self.queue(message, None);
    }

    fn count_error(&mut self, error: &str) {
        self.errors += 1;
        if self.errors > PROTOCOL_ERRORS_MAX {
            self.close(Closed::ProtocolErrors { last: error.into() });
        }
    }

    fn queue(&mut self, message: Outgoing, answers: Option<RequestId>) {
        let output = message.into_output(answers);
        self.output_len += output.len();
        self.output.push_back(output);
    }

    fn is_partial(&self) -> bool {
        !(self.frames.is_between_frames()
            && self.requests.reader.is_between_messages()
            && self.calls.reader.is_between_messages())
    }
}
