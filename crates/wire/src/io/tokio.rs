//! The driver for tokio.
//!
//! One task a connection reads, expires deadlines, and writes what could not be written at once. Everything else happens
//! in the task of the caller: it encodes, writes directly if nothing else is being written, and decodes. The code of users never
//! runs in the connection's task, so a slow handler delays nobody's answers.
//!
//! No lock is held over a system call: whoever finds messages to write takes them out together with the right to
//! write, and looks again when done.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Reply, Trace};
pub use crate::connection::Role;
use crate::connection::{
    CallFailure, CallId, CallRefused, Closed, Connection, Event, Incoming, Outgoing, Output,
};
use crate::limits::READ_SIZE;
use crate::service::Rpc;
use crate::ttrpc::{Code, Status};

/// Why a call has no response.
pub type CallError<R> = super::CallError<LateAnswer<R>>;

/// Most messages that are given to one system call.
const BATCH_MAX: usize = 16;

/// One end of a connection. Clones are the same end; it closes when the last clone and its [`Requests`] are gone.
#[derive(Clone)]
pub struct Peer {
    open: Arc<Open>,
}

/// The requests of the peer, in the order in which they came.
pub struct Requests {
    receiver: mpsc::UnboundedReceiver<Request>,
    _open: Arc<Open>,
}

/// A request of the peer. Dropping it unanswered answers `Internal`.
pub struct Request {
    inner: Arc<Inner>,
    incoming: Incoming,
    answered: bool,
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
        let (reader, writer) = stream.into_split();
        let inner = Arc::new(Inner {
            state: Mutex::new(State {
                connection: Connection::new(role),
                writer: Some(Arc::new(writer)),
                waiting: BTreeMap::new(),
                armed: None,
                batch: Batch::default(),
                is_writing: false,
                is_blocked: false,
                broken: None,
                is_over: false,
            }),
            wake: Notify::new(),
            room: Notify::new(),
            over: Notify::new(),
            trace,
        });
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(drive(Arc::clone(&inner), reader, sender));
        let open = Arc::new(Open(inner));
        (Self { open: Arc::clone(&open) }, Requests { receiver, _open: open })
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
        self.open.0.lock().connection.admit();
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
        self.open.0.lock().is_over
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
        self.receiver.recv().await
    }
}

impl std::fmt::Debug for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Requests").finish_non_exhaustive()
    }
}

impl Request {
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
        let message = super::answer(&self.incoming, &result, appendix, self.inner.trace());
        self.send(message);
    }

    /// Answers with a failure.
    pub fn refuse(mut self, status: Status) {
        let message = super::answer::<()>(&self.incoming, &Err(status), &[], self.inner.trace());
        self.send(message);
    }

    fn send(&mut self, message: Outgoing) {
        self.answered = true;
        self.inner.lock().connection.answer(self.incoming.id, message);
        self.inner.flush();
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if !self.answered {
            self.send(Outgoing::failure(&Status::new(Code::Internal, "the request was dropped")));
        }
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Request({} {:?})", self.incoming.method, self.incoming.id)
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

struct Inner {
    state: Mutex<State>,
    /// For the connection's task: look at the state again.
    wake: Notify,
    /// For calls: there may be room again.
    room: Notify,
    /// For everybody: the connection has ended.
    over: Notify,
    trace: Option<Arc<dyn Trace>>,
}

struct State {
    connection: Connection,
    /// Taken out at the end, so that the socket closes though handles live on.
    writer: Option<Arc<OwnedWriteHalf>>,
    waiting: BTreeMap<CallId, Waiting>,
    /// When the task will look for expired deadlines: never later than the first of them.
    armed: Option<Instant>,
    /// Messages that have been taken for writing and are not all written.
    batch: Batch,
    is_writing: bool,
    /// The socket takes no more for now; the task waits until it does.
    is_blocked: bool,
    /// Writing has failed: what can still be read is read, then this is the end.
    broken: Option<Closed>,
    is_over: bool,
}

struct Waiting {
    deadline: Option<Instant>,
    answer: oneshot::Sender<Outcome>,
}

#[derive(Debug)]
enum Outcome {
    Answer(Result<Bytes, CallFailure>),
    Late(oneshot::Receiver<Outcome>),
    Closed(Closed),
}

#[derive(Default)]
struct Batch {
    messages: VecDeque<Output>,
    /// Bytes of the first that are written.
    written: usize,
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
            let mut state = self.inner.lock();
            state.connection.forget(call);
            state.waiting.remove(&call);
        }
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("closed", &self.lock().connection.closed()).finish_non_exhaustive()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trace(&self) -> Option<&dyn Trace> {
        self.trace.as_deref()
    }

    fn begin(
        &self,
        message: Outgoing,
        deadline: Instant,
    ) -> Result<(CallId, oneshot::Receiver<Outcome>), CallRefused> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        if let Some(broken) = &state.broken {
            return Err(CallRefused::Closed(broken.clone()));
        }
        let id = state.connection.call(message)?;
        state.waiting.insert(id, Waiting { deadline: Some(deadline), answer: sender });
        // Deadlines mostly come in order: the task is woken for the first only, and finds the others itself.
        if state.armed.is_none_or(|armed| deadline < armed) {
            state.armed = Some(deadline);
            self.wake.notify_one();
        }
        Ok((id, receiver))
    }

    async fn wait_for_room(&self) {
        loop {
            let room = self.room.notified();
            let mut room = pin!(room);
            room.as_mut().enable();
            {
                let state = self.lock();
                if state.connection.has_room()
                    || state.connection.closed().is_some()
                    || state.broken.is_some()
                {
                    return;
                }
            }
            room.await;
        }
    }

    fn close(&self, why: &str) {
        self.flush();
        self.lock().connection.close(Closed::local(why));
        self.wake.notify_one();
        self.room.notify_waiters();
    }

    async fn closed(&self) -> Closed {
        loop {
            let over = self.over.notified();
            let mut over = pin!(over);
            over.as_mut().enable();
            if self.lock().is_over {
                return self.reason();
            }
            over.await;
        }
    }

    fn reason(&self) -> Closed {
        self.lock().connection.closed().cloned().unwrap_or(Closed::ByPeer)
    }

    /// Writes what waits, as far as the socket takes it now, unless somebody else is at it.
    fn flush(&self) {
        while let Some((writer, mut batch)) = self.take_batch() {
            let result = batch.write(&writer);
            drop(writer);
            let mut state = self.lock();
            state.is_writing = false;
            while let Some(sent) = batch.pop_written() {
                state.connection.handle_sent(&sent);
            }
            let had_room = state.connection.has_room();
            state.batch = batch;
            match result {
                Ok(()) if had_room => self.room.notify_waiters(),
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    state.is_blocked = true;
                    self.wake.notify_one();
                }
                Err(error) => {
                    state.broken.get_or_insert(Closed::from(&error));
                    self.wake.notify_one();
                    self.room.notify_waiters();
                }
            }
        }
    }

    fn take_batch(&self) -> Option<(Arc<OwnedWriteHalf>, Batch)> {
        let mut state = self.lock();
        if state.is_writing || state.is_blocked || state.broken.is_some() {
            return None;
        }
        while state.batch.messages.len() < BATCH_MAX
            && let Some(output) = state.connection.poll_output()
        {
            state.batch.messages.push_back(output);
        }
        if state.batch.messages.is_empty() {
            return None;
        }
        let writer = state.writer.clone()?;
        state.is_writing = true;
        Some((writer, std::mem::take(&mut state.batch)))
    }

    /// Hands out what has come in.
    fn deliver(self: &Arc<Self>, requests: &mpsc::UnboundedSender<Request>) {
        loop {
            let mut state = self.lock();
            let Some(event) = state.connection.poll_event() else { return };
            match event {
                Event::Request(incoming) => {
                    drop(state);
                    super::trace_request(&incoming, self.trace());
                    let request = Request { inner: Arc::clone(self), incoming, answered: false };
                    // If nobody takes requests, the request is dropped, which answers it.
                    drop(requests.send(request));
                }
                Event::Answer { call, result } => {
                    let waiting = state.waiting.remove(&call);
                    drop(state);
                    if let Some(waiting) = waiting {
                        drop(waiting.answer.send(Outcome::Answer(result)));
                    }
                }
            }
        }
    }

    /// Tells the callers whose deadlines have passed, and arms for the next.
    fn expire(&self, now: Instant) {
        let mut state = self.lock();
        state.connection.handle_timeout(now.into_std());
        let mut next: Option<Instant> = None;
        let mut late = Vec::new();
        for waiting in state.waiting.values_mut() {
            let Some(deadline) = waiting.deadline else { continue };
            if deadline <= now {
                let (sender, receiver) = oneshot::channel();
                waiting.deadline = None;
                late.push((std::mem::replace(&mut waiting.answer, sender), receiver));
            } else {
                next = Some(next.map_or(deadline, |next| next.min(deadline)));
            }
        }
        state.armed = next;
        drop(state);
        for (caller, answer) in late {
            drop(caller.send(Outcome::Late(answer)));
        }
    }

    /// The end: everybody who waits is told.
    fn finish(&self) {
        let mut state = self.lock();
        let closed = state.connection.closed().cloned().unwrap_or(Closed::ByPeer);
        let waiting = std::mem::take(&mut state.waiting);
        state.batch = Batch::default();
        state.writer = None;
        state.is_over = true;
        drop(state);
        for (_, waiting) in waiting {
            drop(waiting.answer.send(Outcome::Closed(closed.clone())));
        }
        self.over.notify_waiters();
        self.room.notify_waiters();
    }
}

impl Batch {
    /// Writes until all is written or the socket refuses.
    fn write(&mut self, writer: &OwnedWriteHalf) -> io::Result<()> {
        let total: usize = self.messages.iter().map(|message| message.len()).sum();
        while self.written < total {
            let mut skip = self.written;
            let mut slices = [IoSlice::new(&[]); BATCH_MAX];
            let mut used = 0;
            for (message, slice) in self.messages.iter().zip(&mut slices) {
                *slice = IoSlice::new(message.get(skip..).unwrap_or_default());
                skip = skip.saturating_sub(message.len());
                used += 1;
            }
            let n = match slices.get(..used).unwrap_or_default() {
                [one] => writer.try_write(one)?,
                many => writer.try_write_vectored(many)?,
            };
            if n == 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.written += n;
        }
        Ok(())
    }

    fn pop_written(&mut self) -> Option<Output> {
        let first = self.messages.front()?.len();
        self.written = self.written.checked_sub(first)?;
        self.messages.pop_front()
    }
}

/// The connection's task.
async fn drive(inner: Arc<Inner>, mut reader: OwnedReadHalf, requests: mpsc::UnboundedSender<Request>) {
    let mut timer = pin!(sleep_until(Instant::now()));
    loop {
        let (due, blocked) = {
            let state = inner.lock();
            if state.connection.closed().is_some() {
                break;
            }
            let partial = state.connection.poll_timeout().map(Instant::from_std);
            let due = [state.armed, partial].into_iter().flatten().min();
            (due, state.writer.clone().filter(|_| state.is_blocked))
        };
        if let Some(due) = due
            && (timer.is_elapsed() || due < timer.deadline())
        {
            timer.as_mut().reset(due);
        }
        tokio::select! {
            () = poll_fn(|cx| read(&inner, &mut reader, cx)) => {}
            () = inner.wake.notified() => {}
            () = &mut timer, if due.is_some() => inner.expire(Instant::now()),
            () = writable(blocked.as_deref()), if blocked.is_some() => inner.lock().is_blocked = false,
        }
        if inner.lock().broken.is_some() {
            drain(&inner, &mut reader).await;
        }
        inner.deliver(&requests);
        inner.flush();
    }
    inner.deliver(&requests);
    inner.finish();
}

async fn writable(writer: Option<&OwnedWriteHalf>) {
    if let Some(writer) = writer {
        // A failure shows again at the next write, which reports it.
        drop(writer.writable().await);
    }
}

/// Reads once. The buffer belongs to the thread, not the connection: an idle plugin costs no buffer.
fn read(inner: &Inner, reader: &mut OwnedReadHalf, cx: &mut Context<'_>) -> Poll<()> {
    thread_local! {
        static BUFFER: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(vec![0; READ_SIZE]);
    }
    BUFFER.with_borrow_mut(|buffer| {
        let mut buffer = ReadBuf::new(buffer);
        let result = ready!(Pin::new(reader).poll_read(cx, &mut buffer));
        let connection = &mut inner.lock().connection;
        match result {
            Ok(()) if buffer.filled().is_empty() => connection.handle_eof(),
            Ok(()) => connection.handle_input(Instant::now().into_std(), buffer.filled()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => connection.handle_eof(),
            Err(error) => connection.close(Closed::from(&error)),
        }
        Poll::Ready(())
    })
}

/// Writing has failed: takes what the peer has sent before, then ends (quirk C9).
async fn drain(inner: &Inner, reader: &mut OwnedReadHalf) {
    loop {
        let more = poll_fn(|cx| match read(inner, reader, cx) {
            Poll::Ready(()) => Poll::Ready(inner.lock().connection.closed().is_none()),
            Poll::Pending => Poll::Ready(false),
        });
        if !more.await {
            break;
        }
    }
    let mut state = inner.lock();
    if let Some(broken) = state.broken.clone() {
        state.connection.close(broken);
    }
}
