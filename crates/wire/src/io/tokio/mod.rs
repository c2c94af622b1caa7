//! The driver for tokio.
//!
//! One task a connection reads, expires deadlines, and writes what could not be written at once. Everything else happens
//! in the task of the caller: it encodes, writes directly if nothing else is being written, and decodes. The code of users never
//! runs in the connection's task, so a slow handler delays nobody's answers.

mod driver;

use std::io;
use std::marker::PhantomData;
use std::sync::Arc;

use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

pub use super::Request;
use super::{Answers as _, Reply, Trace};
pub use crate::connection::Role;
use crate::connection::{CallId, CallRefused, Closed, Incoming};
use crate::service::Rpc;
use driver::{Inner, Outcome, Reader, drive};

/// Why a call has no response.
pub type CallError<R> = super::CallError<LateAnswer<R>>;

/// How a stream is read: for who wants to know more of every message than its bytes (unix(7), `SCM_CREDENTIALS`).
pub trait Receive: Send {
    /// Reads what is there, as `recv(2)` does; 0 is the end. The stream does not block.
    ///
    /// # Errors
    /// The system's; all but [`WouldBlock`](io::ErrorKind::WouldBlock) end the connection with their text.
    fn receive(&mut self, stream: &UnixStream, buffer: &mut [u8]) -> io::Result<usize>;
}

/// One end of a connection. Clones are the same end; it closes when the last clone and its [`Requests`] are gone.
#[derive(Clone)]
pub struct Peer {
    open: Arc<Open>,
}

/// The requests of the peer, in the order in which they came.
pub struct Requests {
    receiver: mpsc::UnboundedReceiver<Incoming>,
    open: Arc<Open>,
}

/// Where the answer to a call can be had that came to its deadline. Dropping it drops the answer.
#[derive(Debug)]
pub struct LateAnswer<R> {
    inner: Arc<Inner>,
    /// Absent if the request was never sent, for lack of room.
    waiting: Option<(oneshot::Receiver<Outcome>, Forget)>,
    rpc: PhantomData<fn() -> R>,
}

impl Peer {
    /// Takes the connection over and starts its task on the current runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start(stream: UnixStream, role: Role) -> (Self, Requests) {
        Self::start_with(stream, role, None)
    }

    /// The same, and shows every message to `trace`.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start_with(stream: UnixStream, role: Role, trace: Option<Arc<dyn Trace>>) -> (Self, Requests) {
        Self::start_received(stream, role, trace, None)
    }

    /// The same, and what the peer sends is read by `receive`.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start_received(
        stream: UnixStream,
        role: Role,
        trace: Option<Arc<dyn Trace>>,
        receive: Option<Box<dyn Receive>>,
    ) -> (Self, Requests) {
        let (half, writer) = stream.into_split();
        let reader = Reader { half, receive };
        let inner = Arc::new(Inner::new(role, writer, trace));
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(drive(Arc::clone(&inner), reader, sender));
        let open = Arc::new(Open(inner));
        (Self { open: Arc::clone(&open) }, Requests { receiver, open })
    }

    /// Calls the peer and waits for its answer until the deadline. Writing counts, too.
    ///
    /// # Errors
    /// See [`CallError`](super::CallError).
    pub async fn call<R: Rpc>(
        &self,
        request: &R::Request,
        deadline: Instant,
    ) -> Result<Reply<R::Response>, CallError<R>> {
        self.call_with(request, &[], deadline).await
    }

    /// The same, with bytes that are put behind the encoded request: unknown fields of a message that is passed
    /// on ([`Unknown::appendix`](crate::scan::Unknown::appendix)).
    ///
    /// # Errors
    /// See [`CallError`](super::CallError).
    pub async fn call_with<R: Rpc>(
        &self,
        request: &R::Request,
        appendix: &[u8],
        deadline: Instant,
    ) -> Result<Reply<R::Response>, CallError<R>> {
        let inner = &self.open.0;
        let left = deadline.saturating_duration_since(Instant::now());
        let message = super::call::<R, _>(request, appendix, left, inner.trace())?;
        let late =
            |waiting| CallError::Late(LateAnswer { inner: Arc::clone(inner), waiting, rpc: PhantomData });
        if timeout_at(deadline, inner.wait_for_room()).await.is_err() {
            return Err(late(None));
        }
        let (id, answer) = match inner.begin(message, deadline) {
            Ok(begun) => begun,
            Err(CallRefused::Closed(closed)) => return Err(CallError::Closed(closed)),
            Err(CallRefused::TooMany) => return Err(late(None)),
        };
        inner.flush();
        let mut forget = Forget { inner: Arc::clone(inner), call: Some(id) };
        match answer.await {
            Ok(Outcome::Answer(result)) => {
                forget.call = None;
                super::response::<R, _>(result, inner.trace())
            }
            Ok(Outcome::Late(answer)) => Err(late(Some((answer, forget)))),
            Ok(Outcome::Closed(closed)) => Err(CallError::Closed(closed)),
            Err(_) => Err(CallError::Closed(inner.reason())),
        }
    }

    /// The peer has registered: its messages may have full length from now on.
    pub fn admit(&self) {
        self.open.0.admit();
    }

    /// Ends the connection. What can be written at once still goes out.
    pub fn close(&self, why: &str) {
        self.open.0.close(why);
    }

    /// Waits for the end of the connection.
    pub async fn closed(&self) -> Closed {
        self.open.0.closed().await
    }

    /// Whether the connection has ended, and every request and answer that came before has been handed out.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.open.0.is_over()
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.open.0.fmt(f)
    }
}

impl Requests {
    /// The next request; `None` when the connection has ended and all are handed out.
    pub async fn next(&mut self) -> Option<Request> {
        let incoming = self.receiver.recv().await?;
        let inner = &self.open.0;
        super::trace_request(&incoming, inner.trace());
        Some(Request::new(Arc::<Inner>::clone(inner), incoming))
    }
}

impl Drop for Requests {
    /// What nobody will take any more is refused, not forgotten.
    fn drop(&mut self) {
        self.receiver.close();
        while let Ok(incoming) = self.receiver.try_recv() {
            drop(Request::new(Arc::<Inner>::clone(&self.open.0), incoming));
        }
    }
}

impl std::fmt::Debug for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Requests").finish_non_exhaustive()
    }
}

impl<R: Rpc> LateAnswer<R> {
    /// Waits for the answer, or for the end of the connection.
    ///
    /// # Errors
    /// As those of the call, but never `Late`. If the request could not be sent at all, only the end comes.
    pub async fn wait(self) -> Result<Reply<R::Response>, CallError<R>> {
        let Some((answer, mut forget)) = self.waiting else {
            return Err(CallError::Closed(self.inner.closed().await));
        };
        match answer.await {
            Ok(Outcome::Answer(result)) => {
                forget.call = None;
                super::response::<R, _>(result, self.inner.trace())
            }
            Ok(Outcome::Closed(closed)) => Err(CallError::Closed(closed)),
            Ok(Outcome::Late(_)) | Err(_) => Err(CallError::Closed(self.inner.reason())),
        }
    }
}

/// Closes the connection when nobody is left who could use it.
struct Open(Arc<Inner>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close("nobody uses the connection any more");
    }
}

/// Lets go of a call whose answer nobody waits for any more.
#[derive(Debug)]
struct Forget {
    inner: Arc<Inner>,
    call: Option<CallId>,
}

impl Drop for Forget {
    fn drop(&mut self) {
        if let Some(call) = self.call {
            self.inner.forget(call);
        }
    }
}
