//! Drivers: what moves the bytes of a [`Connection`](crate::connection::Connection) through a socket.
//!
//! `io::tokio` serves a host: many plugins, calls with deadlines, late answers. `io::blocking` serves a plugin: the
//! standard library and the caller's threads are all it needs. Both speak of the same things, which are here.

#[cfg(feature = "blocking")]
pub mod blocking;
mod request;
#[cfg(feature = "tokio")]
pub mod tokio;

use std::fmt;

use bytes::Bytes;
use prost::Message;

use self::request::Answers;
pub use self::request::Request;
use crate::connection::{CallFailure, Closed, Incoming, Outgoing};
use crate::scan::{Row, ScanError, Unknown, scan, scan_before_decoding};
use crate::service::Rpc;
use crate::ttrpc::{Code, Status};

/// A decoded message.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply<T> {
    /// The message.
    pub message: T,
    /// What it carried besides, that this version does not know.
    pub unknown: Unknown,
}

/// Why a call has no response. `L` is where an answer that comes after its deadline can be had.
#[derive(Debug)]
pub enum CallError<L> {
    /// The peer refused it.
    Status(Status),
    /// The deadline has passed here, perhaps while the request was still being written.
    Late(L),
    /// The connection has ended.
    Closed(Closed),
    /// The request was longer than any peer takes; nothing was sent.
    TooLong {
        /// Its length with its envelope, bytes.
        len: usize,
        /// The most that is taken, bytes.
        max: usize,
    },
    /// The peer's answer cannot be used.
    Invalid(Invalid),
}

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invalid {
    /// It is longer than this side takes.
    TooLong {
        /// Its length with its envelope, bytes.
        len: usize,
        /// The most that is taken, bytes.
        max: usize,
    },
    /// It is no ttRPC answer.
    Envelope(String),
    /// The scanner refused its payload.
    Scan(ScanError),
    /// Its payload does not decode.
    Decode(String),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len, max } => write!(f, "an answer of {len} bytes, more than {max}"),
            Self::Envelope(what) | Self::Decode(what) => f.write_str(what),
            Self::Scan(error) => error.fmt(f),
        }
    }
}

impl<L> fmt::Display for CallError<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => status.fmt(f),
            Self::Late(_) => f.write_str("the deadline has passed without an answer"),
            Self::Closed(closed) => write!(f, "the connection has ended: {closed}"),
            Self::TooLong { len, max } => write!(f, "the request has {len} bytes, more than {max}"),
            Self::Invalid(invalid) => write!(f, "the answer cannot be used: {invalid}"),
        }
    }
}

impl<L: fmt::Debug> std::error::Error for CallError<L> {}

/// Sees every message of a connection, encoded, before it is judged in any way. It runs where the message is
/// sent or decoded and should be quick.
pub trait Trace: Send + Sync {
    /// A message goes out or has come in.
    fn message(&self, message: &Traced<'_>);
}

/// A message as a [`Trace`] sees it.
#[derive(Clone, Copy, Debug)]
pub struct Traced<'a> {
    /// Whether it goes out or has come in.
    pub direction: Direction,
    /// Full name of the service.
    pub service: &'a str,
    /// Name of the method.
    pub method: &'a str,
    /// What it is.
    pub part: Part<'a>,
}

/// The way of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the peer.
    Out,
    /// From the peer.
    In,
}

/// What a message is, with its encoded content.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// A request.
    Request(&'a [u8]),
    /// A response.
    Response(&'a [u8]),
    /// An answer without a response.
    Failure(&'a Status),
}

/// What an answer comes to for the caller.
fn response<R: Rpc, L>(
    result: Result<Bytes, CallFailure>,
    trace: Option<&dyn Trace>,
) -> Result<Reply<R::Response>, CallError<L>> {
    if let Some(trace) = trace {
        let part = match &result {
            Ok(payload) => Some(Part::Response(payload)),
            Err(CallFailure::Status(status)) => Some(Part::Failure(status)),
            Err(_) => None,
        };
        if let Some(part) = part {
            let (service, method) = (R::SERVICE, R::METHOD);
            trace.message(&Traced { direction: Direction::In, service, method, part });
        }
    }
    let payload = match result {
        Ok(payload) => payload,
        Err(CallFailure::Status(status)) => return Err(CallError::Status(status)),
        Err(CallFailure::TooLong(too_long)) => {
            let (len, max) = (too_long.len, too_long.max);
            return Err(CallError::Invalid(Invalid::TooLong { len, max }));
        }
        Err(CallFailure::Garbage(what)) => return Err(CallError::Invalid(Invalid::Envelope(what))),
    };
    decode(const { Row::named(R::RESPONSE_NAME) }, &payload).map_err(CallError::Invalid)
}

/// Decodes a request for its handler; the status is what the peer is to be told.
fn request<R: Rpc>(incoming: &Incoming) -> Result<Reply<R::Request>, Status> {
    decode(const { Row::named(R::REQUEST_NAME) }, &incoming.payload).map_err(|invalid| {
        Status::new(Code::Internal, format!("ttrpc: error unmarshalling payload: {invalid}"))
    })
}

fn decode<M: Message + Default>(row: Row, payload: &[u8]) -> Result<Reply<M>, Invalid> {
    let unknown = scan_before_decoding(row, payload).map_err(Invalid::Scan)?;
    let message = M::decode(payload).map_err(|error| match scan(row, payload) {
        Err(named) => Invalid::Scan(named),
        Ok(_) => Invalid::Decode(error.to_string()),
    })?;
    Ok(Reply { message, unknown })
}

/// Encodes an answer. One that is too long becomes a refusal: the peer must not wait in vain (quirk C6).
fn answer<M: Message>(
    incoming: &Incoming,
    result: &Result<M, Status>,
    appendix: &[u8],
    trace: Option<&dyn Trace>,
) -> Outgoing {
    let (message, failure) = match result {
        Ok(response) => match Outgoing::response(response, appendix) {
            Ok(message) => (message, None),
            Err(too_long) => {
                let status = Status::too_long(too_long.len, too_long.max);
                (Outgoing::failure(&status), Some(status))
            }
        },
        Err(status) => (Outgoing::failure(status), Some(status.clone())),
    };
    if let Some(trace) = trace {
        let part = match &failure {
            None => Part::Response(message.payload()),
            Some(status) => Part::Failure(status),
        };
        let (service, method) = (&incoming.service, &incoming.method);
        trace.message(&Traced { direction: Direction::Out, service, method, part });
    }
    message
}

/// Encodes a call.
fn call<R: Rpc, L>(
    request: &R::Request,
    appendix: &[u8],
    left: std::time::Duration,
    trace: Option<&dyn Trace>,
) -> Result<Outgoing, CallError<L>> {
    let message = Outgoing::call::<R>(request, appendix, Some(left))
        .map_err(|too_long| CallError::TooLong { len: too_long.len, max: too_long.max })?;
    if let Some(trace) = trace {
        let (service, method) = (R::SERVICE, R::METHOD);
        let part = Part::Request(message.payload());
        trace.message(&Traced { direction: Direction::Out, service, method, part });
    }
    Ok(message)
}

/// Shows a request to the trace.
fn trace_request(incoming: &Incoming, trace: Option<&dyn Trace>) {
    if let Some(trace) = trace {
        let (service, method) = (&incoming.service, &incoming.method);
        let part = Part::Request(&incoming.payload);
        trace.message(&Traced { direction: Direction::In, service, method, part });
    }
}
