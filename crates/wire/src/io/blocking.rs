//! The driver for threads: the standard library only, and no thread of its own.
//!
//! Whoever waits for something reads the socket: the reader's place goes with the read buffer, which one waiting thread
//! at a time takes. What it reads for others it leaves for them and wakes them. So one thread suffices, a handler may
//! itself make calls, and N threads in [`Peer::next_request`] serve N requests at once.
//!
//! No lock is held over a system call; the right to write goes with a flag, the right to read with the buffer.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice, Read as _, Write as _};
use std::marker::PhantomData;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use super::Request;
use super::{Answers, Reply, Trace};
pub use crate::connection::Role;
use crate::connection::{
    CallFailure, CallId, CallRefused, Closed, Connection, Event, Incoming, Outgoing, Output, RequestId,
};
use crate::limits::{ANSWER_WRITE_TIMEOUT, READ_SIZE};
use crate::service::Rpc;
use crate::ttrpc::{Code, Status};

/// Why a call has no response.
pub type CallError<R> = super::CallError<LateAnswer<R>>;

/// Most bytes that are given to one write, and how long one may wait: the kernel's time-out for writing starts
/// afresh with each buffer that it fills, so a deadline is kept only by short writes.
const WRITE_SIZE: usize = 128 << 10;
const WRITE_WAIT: Duration = Duration::from_millis(250);
/// The kernel's shortest time-out; zero would mean none.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// One end of a connection. Clones are the same end; the socket closes when the last of them, of its requests and
/// late answers is gone.
#[derive(Clone)]
pub struct Peer {
    inner: Arc<Inner>,
}

/// Where the answer to a call can be had that came to its deadline. Dropping it drops the answer.
pub struct LateAnswer<R> {
    call: Forget,
    rpc: PhantomData<fn() -> R>,
}

impl Peer {
    /// Takes the connection over. Nothing is read before somebody waits for something.
    #[must_use]
    pub fn new(stream: UnixStream, role: Role) -> Self {
        Self::with_trace(stream, role, None)
    }

    /// The same, and shows every message to `trace`.
    #[must_use]
    pub fn with_trace(stream: UnixStream, role: Role, trace: Option<Arc<dyn Trace>>) -> Self {
        let state = State {
            connection: Connection::new(role),
            answers: BTreeMap::new(),
            requests: VecDeque::new(),
            reader: Some(Reader::default()),
            writer: Some(Writer::default()),
            sleepers: 0,
            broken: None,
        };
        Self { inner: Arc::new(Inner { stream, state: Mutex::new(state), turn: Condvar::new(), trace }) }
    }

    /// Calls the peer and waits for its answer until the deadline. Writing counts, too; a peer that does not read in
    /// time loses the connection.
    ///
    /// # Errors
    /// See [`CallError`](super::CallError).
    pub fn call<R: Rpc>(
        &self,
        request: &R::Request,
        deadline: Instant,
    ) -> Result<Reply<R::Response>, CallError<R>> {
        self.call_with(request, &[], deadline)
    }

    /// The same, with bytes that are put behind the encoded request: unknown fields of a message that is passed
    /// on ([`Unknown::appendix`](crate::scan::Unknown::appendix)).
    ///
    /// # Errors
    /// See [`CallError`](super::CallError).
    pub fn call_with<R: Rpc>(
        &self,
        request: &R::Request,
        appendix: &[u8],
        deadline: Instant,
    ) -> Result<Reply<R::Response>, CallError<R>> {
        let inner = &self.inner;
        let left = deadline.saturating_duration_since(Instant::now());
        let message = super::call::<R, _>(request, appendix, left, inner.trace())?;
        let call = {
            let mut state = inner.lock();
            if let Some(broken) = &state.broken {
                return Err(CallError::Closed(broken.clone()));
            }
            match state.connection.call(message) {
                Ok(id) => {
                    state.answers.insert(id, None);
                    Forget { inner: Arc::clone(inner), call: id }
                }
                Err(CallRefused::Closed(closed)) => return Err(CallError::Closed(closed)),
                Err(CallRefused::TooMany) => {
                    let status = Status::new(Code::ResourceExhausted, "too many calls wait for an answer");
                    return Err(CallError::Status(status));
                }
            }
        };
        inner.flush(deadline);
        LateAnswer { call, rpc: PhantomData }.wait(deadline)
    }

    /// Waits for the next request of the peer.
    ///
    /// # Errors
    /// The connection has ended, and every request that came before has been handed out.
    pub fn next_request(&self) -> Result<Request, Closed> {
        match self.inner.wait(None, |state| state.requests.pop_front()) {
            Ok(incoming) => {
                super::trace_request(&incoming, self.inner.trace());
                Ok(Request::new(Arc::<Inner>::clone(&self.inner), incoming))
            }
            Err(Missed::Closed(closed)) => Err(closed),
            Err(Missed::Late) => Err(self.inner.reason()),
        }
    }

    /// The peer has registered: its messages may have full length from now on.
    pub fn admit(&self) {
        self.inner.lock().connection.admit();
    }

    /// Ends the connection; whoever waits is told.
    pub fn close(&self, why: &str) {
        self.inner.close(Closed::local(why));
    }

    /// Why the connection has ended, if it has.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        self.inner.lock().connection.closed().cloned()
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("closed", &self.closed()).finish_non_exhaustive()
    }
}

impl Answers for Inner {
    fn trace(&self) -> Option<&dyn Trace> {
        self.trace.as_deref()
    }

    fn answer(&self, request: RequestId, message: Outgoing) {
        self.lock().connection.answer(request, message);
        self.flush(Instant::now() + ANSWER_WRITE_TIMEOUT);
    }
}

impl<R: Rpc> LateAnswer<R> {
    /// Waits on, until another deadline.
    ///
    /// # Errors
    /// As those of the call; `Late` gives this back.
    pub fn wait(self, deadline: Instant) -> Result<Reply<R::Response>, CallError<R>> {
        let id = self.call.call;
        let inner = Arc::clone(&self.call.inner);
        match inner.wait(Some(deadline), |state| state.answers.get_mut(&id).and_then(Option::take)) {
            Ok(result) => super::response::<R, _>(result, inner.trace()),
            Err(Missed::Late) => Err(CallError::Late(self)),
            Err(Missed::Closed(closed)) => Err(CallError::Closed(closed)),
        }
    }
}

impl<R> std::fmt::Debug for LateAnswer<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LateAnswer({:?})", self.call.call)
    }
}

struct Inner {
    stream: UnixStream,
    state: Mutex<State>,
    /// The reader has left something for others, or its place.
    turn: Condvar,
    trace: Option<Arc<dyn Trace>>,
}

struct State {
    connection: Connection,
    /// A place for each open call; its answer, once it is there.
    answers: BTreeMap<CallId, Option<Result<Bytes, CallFailure>>>,
    requests: VecDeque<Incoming>,
    /// Absent while somebody reads.
    reader: Option<Reader>,
    /// Absent while somebody writes.
    writer: Option<Writer>,
    /// Threads that wait for their turn: without any, nobody needs to be woken.
    sleepers: usize,
    /// Writing has failed: what can still be read is read, then this is the end.
    broken: Option<Closed>,
}

/// The reader's place.
struct Reader {
    buffer: Vec<u8>,
    /// The socket's time-out as it is set now. It costs a system call, so one that is too short is left alone.
    timeout: Option<Duration>,
    has_expired: bool,
}

/// The writer's place.
#[derive(Default)]
struct Writer {
    messages: VecDeque<Output>,
    written: usize,
    timeout: Option<Duration>,
}

enum Missed {
    Late,
    Closed(Closed),
}

/// Lets go of a call whose answer nobody waits for any more.
struct Forget {
    inner: Arc<Inner>,
    call: CallId,
}

impl Drop for Forget {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        state.answers.remove(&self.call);
        state.connection.forget(self.call);
    }
}

impl Default for Reader {
    fn default() -> Self {
        Self { buffer: vec![0; READ_SIZE], timeout: None, has_expired: false }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reason(&self) -> Closed {
        self.lock().connection.closed().cloned().unwrap_or(Closed::ByPeer)
    }

    fn close(&self, why: Closed) {
        let mut state = self.lock();
        state.connection.close(why);
        self.wake(&state);
        drop(state);
        self.shut();
    }

    /// Ends both directions, which also wakes who reads or writes now. What the peer has sent can still be read.
    fn shut(&self) {
        // It fails only if the peer has been faster.
        drop(self.stream.shutdown(Shutdown::Both));
    }

    fn wake(&self, state: &State) {
        if state.sleepers > 0 {
            self.turn.notify_all();
        }
    }

    /// Waits until `ready` finds what it looks for, and reads the socket meanwhile unless another thread does.
    fn wait<T>(
        &self,
        deadline: Option<Instant>,
        mut ready: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, Missed> {
        let mut state = self.lock();
        loop {
            if let Some(found) = ready(&mut state) {
                return Ok(found);
            }
            if let Some(closed) = state.connection.closed() {
                return Err(Missed::Closed(closed.clone()));
            }
            let left = match deadline {
                None => None,
                Some(deadline) => match deadline.checked_duration_since(Instant::now()) {
                    None | Some(Duration::ZERO) => return Err(Missed::Late),
                    left => left,
                },
            };
            state = match state.reader.take() {
                Some(reader) => self.read(state, reader, left),
                None => self.sleep(state, left),
            };
        }
    }

    fn sleep<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        left: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        state.sleepers += 1;
        let mut state = match left {
            None => self.turn.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(left) => self.turn.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
        };
        state.sleepers -= 1;
        state
    }

    /// Reads once, for everybody, and gives the reader's place back.
    fn read<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        mut reader: Reader,
        left: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        let partial = state.connection.poll_timeout();
        drop(state);
        let partial = partial.map(|due| due.saturating_duration_since(Instant::now()));
        let result = reader.read(&self.stream, [left, partial].into_iter().flatten().min());
        let now = Instant::now();
        let mut state = self.lock();
        let State { connection, broken, .. } = &mut *state;
        let is_over = match &result {
            Ok(0) => true,
            Ok(n) => {
                connection.handle_input(now, reader.buffer.get(..*n).unwrap_or_default());
                false
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => false,
                io::ErrorKind::ConnectionReset => true,
                _ => {
                    connection.close(Closed::from(error));
                    false
                }
            },
        };
        if is_over {
            match broken.take() {
                Some(broken) => connection.close(broken),
                None => connection.handle_eof(),
            }
        }
        connection.handle_timeout(now);
        state.reader = Some(reader);
        while let Some(event) = state.connection.poll_event() {
            match event {
                Event::Request(incoming) => state.requests.push_back(incoming),
                Event::Answer { call, result } => {
                    if let Some(place) = state.answers.get_mut(&call) {
                        *place = Some(result);
                    }
                }
            }
        }
        self.wake(&state);
        if state.connection.closed().is_some() {
            drop(state);
            self.shut();
            return self.lock();
        }
        if state.connection.output_len() > 0 {
            drop(state);
            self.flush(now + ANSWER_WRITE_TIMEOUT);
            return self.lock();
        }
        state
    }

    /// Writes everything that waits, unless another thread is at it. A peer that does not take it in time loses the
    /// connection: half a message cannot be taken back.
    fn flush(&self, deadline: Instant) {
        while let Some(mut writer) = self.take_writer() {
            let result = writer.write(&self.stream, deadline);
            let mut state = self.lock();
            for sent in writer.messages.drain(..) {
                state.connection.handle_sent(&sent);
            }
            writer.written = 0;
            state.writer = Some(writer);
            let Err(error) = result else { continue };
            match error.kind() {
                io::ErrorKind::TimedOut => {
                    state.connection.close(Closed::NotReading);
                    self.wake(&state);
                }
                _ => state.broken = Some(Closed::from(&error)),
            }
            drop(state);
            self.shut();
            return;
        }
    }

    fn take_writer(&self) -> Option<Writer> {
        let mut state = self.lock();
        if state.broken.is_some() || state.connection.output_len() == 0 {
            return None;
        }
        let mut writer = state.writer.take()?;
        while let Some(output) = state.connection.poll_output() {
            writer.messages.push_back(output);
        }
        Some(writer)
    }
}

impl Reader {
    fn read(&mut self, mut stream: &UnixStream, timeout: Option<Duration>) -> io::Result<usize> {
        let is_too_long = match (self.timeout, timeout) {
            (None, Some(_)) => true,
            (Some(set), Some(wanted)) => set > wanted,
            (_, None) => false,
        };
        if is_too_long || self.has_expired {
            let timeout = timeout.map(|timeout| timeout.max(WAIT_MIN));
            stream.set_read_timeout(timeout)?;
            self.timeout = timeout;
        }
        let result = stream.read(&mut self.buffer);
        self.has_expired = matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        result
    }
}

impl Writer {
    fn write(&mut self, mut stream: &UnixStream, deadline: Instant) -> io::Result<()> {
        let total: usize = self.messages.iter().map(|message| message.len()).sum();
        while self.written < total {
            self.keep(stream, deadline)?;
            let n = match self.write_once(&mut stream) {
                Ok(0) => return Err(io::ErrorKind::BrokenPipe.into()),
                Ok(n) => n,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock if Instant::now() >= deadline => {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => 0,
                    _ => return Err(error),
                },
            };
            self.written += n;
            if self.written < total && Instant::now() >= deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    fn write_once(&self, stream: &mut &UnixStream) -> io::Result<usize> {
        let mut skip = self.written;
        let mut room = WRITE_SIZE;
        let mut slices = [IoSlice::new(&[]); 16];
        let mut used = 0;
        for message in &self.messages {
            let rest = message.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(message.len());
            let piece = rest.get(..room).unwrap_or(rest);
            room -= piece.len();
            if piece.is_empty() {
                continue;
            }
            let Some(slice) = slices.get_mut(used) else { break };
            *slice = IoSlice::new(piece);
            used += 1;
        }
        match slices.get(..used).unwrap_or_default() {
            [one] => stream.write(one),
            many => stream.write_vectored(many),
        }
    }

    /// Sets the socket's time-out so that the deadline can be kept. It rarely has to be changed.
    fn keep(&mut self, stream: &UnixStream, deadline: Instant) -> io::Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        let wanted = left.clamp(WAIT_MIN, WRITE_WAIT);
        if self.timeout != Some(wanted) {
            stream.set_write_timeout(Some(wanted))?;
            self.timeout = Some(wanted);
        }
        Ok(())
    }
}
