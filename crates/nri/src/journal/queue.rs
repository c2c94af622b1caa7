//! What waits to be written. Whoever puts something in never waits; what does not fit is dropped and counted.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Something that waits to be written.
pub(crate) trait Weigh {
    /// About how much memory it takes, in bytes.
    fn weight(&self) -> usize;
}

/// Between requests and the thread that writes them.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    /// Most that waits, in bytes.
    max: usize,
}

#[derive(Debug)]
struct State<T> {
    entries: VecDeque<(Box<T>, usize)>,
    bytes: usize,
    /// Dropped since it last worked.
    lost: u64,
    reopen: bool,
    closing: bool,
    ended: bool,
}

/// What the thread is to do next.
#[derive(Debug)]
pub(crate) enum Next<T> {
    Write(Box<T>),
    Reopen,
    End,
}

impl<T: Weigh> Queue<T> {
    pub(crate) fn new(max: usize) -> Self {
        let state = State {
            entries: VecDeque::new(),
            bytes: 0,
            lost: 0,
            reopen: false,
            closing: false,
            ended: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), max }
    }

    /// Puts something in. True: it is the first that is dropped since it last worked.
    pub(crate) fn push(&self, entry: T) -> bool {
        let weight = entry.weight();
        let mut state = self.lock();
        if state.closing {
            return false;
        }
        // One that is too heavy alone still goes through an empty queue: the state of a large node.
        if state.bytes + weight > self.max && !state.entries.is_empty() {
            return state.lose();
        }
        state.bytes += weight;
        state.entries.push_back((Box::new(entry), weight));
        self.changed.notify_all();
        false
    }

    /// Waits for something to do.
    pub(crate) fn next(&self) -> Next<T> {
        let mut state = self.lock();
        loop {
            if std::mem::take(&mut state.reopen) {
                return Next::Reopen;
            }
            if let Some((entry, weight)) = state.entries.pop_front() {
                state.bytes -= weight;
                return Next::Write(entry);
            }
            if state.closing {
                return Next::End;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Something could not be written. True: it is the first since it last worked.
    pub(crate) fn lose(&self) -> bool {
        self.lock().lose()
    }

    /// Something was written: how many were lost before, told once, when the queue has room again.
    pub(crate) fn recovered(&self) -> Option<u64> {
        let mut state = self.lock();
        if state.lost == 0 || state.bytes > self.max / 2 {
            return None;
        }
        Some(std::mem::take(&mut state.lost))
    }

    /// Waits before the next attempt, unless somebody changes something about the file, or it is over.
    pub(crate) fn pause(&self, time: Duration) {
        let until = |state: &mut State<T>| !state.reopen && !state.closing;
        drop(self.changed.wait_timeout_while(self.lock(), time, until));
    }

    pub(crate) fn reopen(&self) {
        self.lock().reopen = true;
        self.changed.notify_all();
    }

    /// The thread has ended.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Takes nothing more and waits until the rest is written, for so long at most. How many were lost at the end.
    pub(crate) fn close(&self, time: Duration) -> u64 {
        let by = Instant::now() + time;
        let mut state = self.lock();
        state.closing = true;
        self.changed.notify_all();
        while !state.ended {
            let left = by.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let waiting = u64::try_from(state.entries.len()).unwrap_or(u64::MAX);
        std::mem::take(&mut state.lost) + waiting
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn lose(&mut self) -> bool {
        self.lost += 1;
        self.lost == 1
    }
}
