//! A request of the peer, whichever driver has read it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Reply, Trace};
use crate::connection::{Incoming, Outgoing, RequestId};
use crate::service::Rpc;
use crate::ttrpc::{Code, Status};

/// The end of a connection that a request came in at, and that its answer goes out of.
pub(super) trait Answers: Send + Sync {
    /// Who sees every message.
    fn trace(&self) -> Option<&dyn Trace>;

    /// Sends the answer to a request.
    fn answer(&self, request: RequestId, message: Outgoing);
}

/// A request of the peer. Dropping it unanswered answers `Internal`.
pub struct Request {
    end: Arc<dyn Answers>,
    incoming: Incoming,
    answered: bool,
}

impl Request {
    pub(super) fn new(end: Arc<dyn Answers>, incoming: Incoming) -> Self {
        Self { end, incoming, answered: false }
    }

    /// Full name of the service.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.incoming.service
    }

    /// Name of the method.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.incoming.method
    }

    /// How long the peer waits, counted from when it sent the request; zero if it has given up.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.incoming.timeout
    }

    /// The encoded request.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.incoming.payload
    }

    /// The request, scanned and decoded.
    ///
    /// # Errors
    /// What the peer is to be told.
    pub fn decode<R: Rpc>(&self) -> Result<Reply<R::Request>, Status> {
        super::request::<R>(&self.incoming)
    }

    /// Answers. One that is too long becomes `ResourceExhausted`.
    pub fn answer<R: Rpc>(self, result: Result<R::Response, Status>) {
        self.answer_with::<R>(result, &[]);
    }

    /// Answers, with bytes that are put behind the encoded response.
    #[expect(clippy::needless_pass_by_value, reason = "an answer is given away, as in `answer`")]
    pub fn answer_with<R: Rpc>(mut self, result: Result<R::Response, Status>, appendix: &[u8]) {
        let message = super::answer(&self.incoming, &result, appendix, self.end.trace());
        self.send(message);
    }

    /// Answers with a failure.
    pub fn refuse(mut self, status: Status) {
        let message = super::answer::<()>(&self.incoming, &Err(status), &[], self.end.trace());
        self.send(message);
    }

    fn send(&mut self, message: Outgoing) {
        self.answered = true;
        self.end.answer(self.incoming.id, message);
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if !self.answered {
            self.send(Outgoing::failure(&Status::new(Code::Internal, "the request was dropped")));
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} {:?})", self.incoming.method, self.incoming.id)
    }
}
