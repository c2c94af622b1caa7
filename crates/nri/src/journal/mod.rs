//! A file of lines that a thread of its own writes: recordings and audit lines. Nothing that plugins or engines do waits
//! for the disk.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `queue` | what waits to be written |
//! | `file` | the file: mode 0600, whole lines |

pub(crate) mod file;
pub(crate) mod queue;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use self::file::{Lines, Sink};
use self::queue::{Next, Queue, Weigh};
use crate::failure::Failure;

/// Most that waits to be written, in bytes of what it is made of.
pub(crate) const QUEUE_MAX: usize = 16 * 1024 * 1024;
/// How long a file that could not be written is left alone. What comes meanwhile waits in the queue.
const PAUSE: Duration = Duration::from_secs(5);
/// How long the end of a command waits for the rest to be written.
const END_MAX: Duration = Duration::from_secs(2);

/// What messages say of a journal.
#[derive(Debug)]
pub(crate) struct Kind {
    /// "failed to VERB FILE".
    pub(crate) verb: &'static str,
    /// What such a file is, with an article.
    pub(crate) noun: &'static str,
    /// This one.
    pub(crate) name: &'static str,
    /// What it consists of.
    pub(crate) entries: &'static str,
    /// What its thread is called.
    pub(crate) thread: &'static str,
}

/// A journal under way.
#[derive(Debug)]
pub(crate) struct Journal<T: Weigh> {
    kind: &'static Kind,
    queue: Arc<Queue<T>>,
    path: PathBuf,
    closed: AtomicBool,
}

impl<T: Weigh + Send + 'static> Journal<T> {
    /// Starts a journal, or goes on with one. `text` makes a line of each entry, without its end; it runs on the thread
    /// that writes. A limit on the size of files must have been [outlived](outlive_file_size_limit).
    ///
    /// # Errors
    /// The file cannot be a journal, or no thread can be started.
    pub(crate) fn open(
        kind: &'static Kind,
        path: &Path,
        text: impl FnMut(&T) -> String + Send + 'static,
    ) -> Result<Self, Failure> {
        let lines = file::open(path, kind).map_err(|error| Failure::usage(format!("failed to {error}")))?;
        let queue = Arc::new(Queue::new(QUEUE_MAX));
        let writer = Writer { kind, queue: Arc::clone(&queue), path: path.to_owned(), text, pause: PAUSE };
        std::thread::Builder::new()
            .name(kind.thread.to_owned())
            .spawn(move || writer.run(lines, |path| file::open(path, kind)))
            .map_err(|error| {
                Failure::unavailable(format!("failed to start {} {}: {error}", kind.name, path.display()))
            })?;
        Ok(Self { kind, queue, path: path.to_owned(), closed: AtomicBool::new(false) })
    }
}

impl<T: Weigh> Journal<T> {
    /// Puts something in. Never waits.
    pub(crate) fn put(&self, entry: T) {
        if self.queue.push(entry) {
            let Kind { name, entries, .. } = self.kind;
            tracing::warn!(
                "{name} {} does not keep up; {entries} are dropped from it until it does: is its disk slow or hung?",
                self.path.display()
            );
        }
    }

    /// Opens the file anew by its name: it has been renamed, or there is room again.
    pub(crate) fn reopen(&self) {
        self.queue.reopen();
    }

    /// Writes what waits, for a moment at most, and says what is missing. Also done when it is dropped.
    pub(crate) fn close(&self) {
        if self.closed.swap(true, Ordering::Relaxed) {
            return;
        }
        let lost = self.queue.close(END_MAX);
        if lost > 0 {
            let Kind { name, entries, .. } = self.kind;
            tracing::warn!("{lost} {entries} are not in {name} {}", self.path.display());
        }
    }
}

impl<T: Weigh> Drop for Journal<T> {
    fn drop(&mut self) {
        self.close();
    }
}

/// The thread that writes.
pub(crate) struct Writer<T, F> {
    pub(crate) kind: &'static Kind,
    pub(crate) queue: Arc<Queue<T>>,
    pub(crate) path: PathBuf,
    pub(crate) text: F,
    pub(crate) pause: Duration,
}

impl<T: Weigh, F: FnMut(&T) -> String> Writer<T, F> {
    pub(crate) fn run<S: Sink, E: std::fmt::Display>(
        mut self,
        mut lines: Lines<S>,
        open: impl Fn(&Path) -> Result<Lines<S>, E>,
    ) {
        loop {
            match self.queue.next() {
                Next::Write(entry) => self.write(&mut lines, &entry),
                Next::Reopen => match open(&self.path) {
                    Ok(new) => lines = new,
                    Err(error) => {
                        tracing::warn!("failed to {error}; {} goes on in the old file", self.kind.name);
                    }
                },
                Next::End => return self.queue.end(),
            }
        }
    }

    pub(crate) fn write<S: Sink>(&mut self, lines: &mut Lines<S>, entry: &T) {
        let Kind { name, entries, .. } = self.kind;
        let text = (self.text)(entry);
        match lines.append(format!("{text}\n").as_bytes()) {
            Ok(()) => {
                if let Some(lost) = self.queue.recovered() {
                    let path = self.path.display();
                    tracing::warn!("{name} {path} goes on; {lost} {entries} are missing from it");
                }
            }
            Err(error) => {
                if self.queue.lose() {
                    tracing::warn!(
                        "{name} {} cannot be written: {error}; {entries} are dropped from it until it can: {}",
                        self.path.display(),
                        remedy(&error)
                    );
                }
                self.queue.pause(self.pause);
            }
        }
    }
}

/// What to do about it.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room on its file system",
        io::ErrorKind::FileTooLarge => "raise the limit on the size of files, or rename it and send SIGHUP",
        _ => "look after its file system, or rename it and send SIGHUP",
    }
}

/// A limit on the size of files must fail a write, not end the process: its signal gets a handler that does nothing.
/// Processes that we start are not affected, since handlers do not outlive an exec. Must be called under tokio.
///
/// # Errors
/// No handler can be set.
pub(crate) fn outlive_file_size_limit() -> Result<(), Failure> {
    let signal = rustix::process::Signal::XFSZ.as_raw();
    // The handler stays when the listener is gone.
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::from_raw(signal))
        .map(drop)
        .map_err(|error| Failure::unavailable(format!("cannot set a handler for SIGXFSZ: {error}")))
}
