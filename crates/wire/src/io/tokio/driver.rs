//! What the handles share, and the connection's task.
//!
//! No lock is held over a system call: whoever finds messages to write takes them out together with the right to
//! write, and looks again when done.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead as _, Interest, ReadBuf};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::super::{Answers, Trace};
use super::Receive;
use crate::connection::{
    CallFailure, CallId, CallRefused, Closed, Connection, Event, Incoming, Outgoing, Output, RequestId, Role,
};
use crate::limits::READ_SIZE;
use crate::ttrpc::{Code, Status};

/// Most messages that are given to one system call.
const BATCH_MAX: usize = 16;

pub(super) struct Inner {
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
pub(super) enum Outcome {
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

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("closed", &self.lock().connection.closed()).finish_non_exhaustive()
    }
}

impl Answers for Inner {
    fn trace(&self) -> Option<&dyn Trace> {
        self.trace.as_deref()
    }

    fn answer(&self, request: RequestId, message: Outgoing) {
        self.lock().connection.answer(request, message);
        self.flush();
    }
}

impl Inner {
    pub(super) fn new(role: Role, writer: OwnedWriteHalf, trace: Option<Arc<dyn Trace>>) -> Self {
        let state = State {
            connection: Connection::new(role),
            writer: Some(Arc::new(writer)),
            waiting: BTreeMap::new(),
            armed: None,
            batch: Batch::default(),
            is_writing: false,
            is_blocked: false,
            broken: None,
            is_over: false,
        };
        Self {
            state: Mutex::new(state),
            wake: Notify::new(),
            room: Notify::new(),
            over: Notify::new(),
            trace,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(
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

    pub(super) async fn wait_for_room(&self) {
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

    pub(super) fn close(&self, why: &str) {
        self.flush();
        self.lock().connection.close(Closed::local(why));
        self.wake.notify_one();
        self.room.notify_waiters();
    }

    pub(super) async fn closed(&self) -> Closed {
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

    pub(super) fn admit(&self) {
        self.lock().connection.admit();
    }

    pub(super) fn is_over(&self) -> bool {
        self.lock().is_over
    }

    /// Nobody waits for the answer any more.
    pub(super) fn forget(&self, call: CallId) {
        let mut state = self.lock();
        state.connection.forget(call);
        state.waiting.remove(&call);
    }

    pub(super) fn reason(&self) -> Closed {
        self.lock().connection.closed().cloned().unwrap_or(Closed::ByPeer)
    }

    /// Writes what waits, as far as the socket takes it now, unless somebody else is at it.
    pub(super) fn flush(&self) {
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
    fn deliver(&self, requests: &mpsc::UnboundedSender<Incoming>) {
        loop {
            let mut state = self.lock();
            let Some(event) = state.connection.poll_event() else { return };
            match event {
                Event::Request(incoming) => {
                    drop(state);
                    if let Err(mpsc::error::SendError(incoming)) = requests.send(incoming) {
                        let status = Status::new(Code::Unavailable, "requests are no longer taken");
                        self.answer(incoming.id, Outgoing::failure(&status));
                    }
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

/// The half of a stream that is read, and how.
pub(super) struct Reader {
    pub(super) half: OwnedReadHalf,
    pub(super) receive: Option<Box<dyn Receive>>,
}

impl Reader {
    fn poll<'a>(&mut self, cx: &mut Context<'_>, buffer: &'a mut [u8]) -> Poll<io::Result<&'a [u8]>> {
        let Some(receive) = &mut self.receive else {
            let mut room = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.half).poll_read(cx, &mut room))?;
            let length = room.filled().len();
            return Poll::Ready(Ok(buffer.get(..length).unwrap_or_default()));
        };
        let stream: &UnixStream = self.half.as_ref();
        loop {
            ready!(stream.poll_read_ready(cx))?;
            match stream.try_io(Interest::READABLE, || receive.receive(stream, buffer)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(length) => return Poll::Ready(Ok(buffer.get(..length).unwrap_or_default())),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// The connection's task.
pub(super) async fn drive(inner: Arc<Inner>, mut reader: Reader, requests: mpsc::UnboundedSender<Incoming>) {
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
fn read(inner: &Inner, reader: &mut Reader, cx: &mut Context<'_>) -> Poll<()> {
    thread_local! {
        static BUFFER: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(vec![0; READ_SIZE]);
    }
    BUFFER.with_borrow_mut(|buffer| {
        let result = ready!(reader.poll(cx, buffer));
        let connection = &mut inner.lock().connection;
        match result {
            Ok([]) => connection.handle_eof(),
            Ok(bytes) => connection.handle_input(Instant::now().into_std(), bytes),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => connection.handle_eof(),
            Err(error) => connection.close(Closed::from(&error)),
        }
        Poll::Ready(())
    })
}

/// Writing has failed: takes what the peer has sent before, then ends (quirk C9).
async fn drain(inner: &Inner, reader: &mut Reader) {
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
