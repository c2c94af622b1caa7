//! `--record FILE`: every request and what plugins said to it, one line of JSON each, in the form that `nri replay`
//! reads (`cli.md`, "nri replay").
//!
//! | module | what it holds |
//! | --- | --- |
//! | `line` | a request as a line |
//! | `hide` | what stands in the place of secrets |
//! | `queue` | what waits to be written; nothing that plugins or engines do waits for the disk |
//! | `file` | the file: mode 0600, whole lines |
//!
//! Beyond the fixed form, a line may have:
//!
//! * `time`: when its result was known, RFC 3339 in UTC.
//! * `id`: the letter of its event, a running number, and a mark of the process that wrote it: `c17-9f03ac`.
//! * `answers[].facts`: who the plugin was when it answered (`policy.md` 2); absent where nothing was known.
//! * `answers[].unknown`: paths of fields of the answer that this version does not know.
//! * `answers[].invalid`: why an answer could not be read.
//! * `validators[]` with `gone` or `late`, as in `answers`.
//! * `incomplete`: the request failed before every plugin was asked; under another policy there might be more answers.
//!
//! A plugin's answer to Synchronize is a line of its own, without pods and containers; those that the engine told are
//! in a line without answers.
//!
//! Without `--record-secrets`, values are replaced wherever a line has variables or command lines:
//!
//! | place | before | after |
//! | --- | --- | --- |
//! | a word of `args` | `"sh"` | `{"hmac":"h1:…","len":2}` |
//! | a variable of `env`, as one text | `"A=secret"` | `{"key":"A","hmac":"h1:…","len":6}` |
//! | a variable of `env`, as name and value | `{"key":"A","value":"secret"}` | `{"key":"A","value":{"hmac":"h1:…","len":6}}` |
//! | a text in `env` without `=` | `"odd"` | `{"hmac":"h1:…","len":3}` |
//!
//! Empty values and words stay, since they are no secrets: an empty first word of `args` is a mark of the protocol.
//! The same holds for hooks, for an OCI spec's `commandLine`, and for the annotation in which kubectl leaves the whole
//! manifest. Where a plugin's own words quote such a value, `<hidden>` stands for it. `hmac` is the first half of
//! HMAC-SHA256 with a random key that only the process that writes has: among lines whose ids have the same mark, equal
//! values have equal codes.

mod file;
mod hide;
mod line;
mod queue;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nri_runtime::host::{Consulted, Created, Failure as HostFailure, Given, Outcome, Stopped, Updated};
use nri_wire::api::{Container, LinuxResources, PodSandbox};
use nri_wire::name::PluginName;
use serde_json::Value;

use self::file::{Lines, Sink};
use self::hide::Key;
use self::line::{Entry, Recorded};
use self::queue::{Next, Queue};
use crate::failure::Failure;

/// Most that waits to be written, in bytes of encoded messages.
const QUEUE_MAX: usize = 16 * 1024 * 1024;
/// How long a file that could not be written is left alone. What comes meanwhile waits in the queue.
const PAUSE: Duration = Duration::from_secs(5);
/// How long the end of a command waits for the rest to be written.
const END_MAX: Duration = Duration::from_secs(2);

/// The flags of commands that record.
#[derive(clap::Args)]
pub(crate) struct Flags {
    /// Append every request, and what plugins answer, to FILE (mode 0600), for `nri replay`; values of env and args are
    /// replaced by codes
    #[arg(long, value_name = "FILE", help_heading = "Recording")]
    pub(crate) record: Option<PathBuf>,
    /// Keep values of env and args in the recording
    #[arg(long, help_heading = "Recording")]
    pub(crate) record_secrets: bool,
}

/// The recording that flags or file ask for, if they do. Must be called under tokio.
///
/// # Errors
/// The file cannot be a recording.
pub(crate) fn open(file: Option<&Path>, secrets: bool) -> Result<Option<Arc<Recorder>>, Failure> {
    match file {
        Some(file) => {
            outlive_file_size_limit()?;
            Recorder::open(file, secrets).map(Arc::new).map(Some)
        }
        None if secrets => Err(Failure::usage("--record-secrets needs --record FILE, which it is about")),
        None => Ok(None),
    }
}

/// A recording under way. Nothing here waits for the file: a thread of its own writes it.
#[derive(Debug)]
pub(crate) struct Recorder {
    queue: Arc<Queue>,
    path: PathBuf,
    closed: AtomicBool,
}

impl Recorder {
    /// Starts a recording, or goes on with one. `secrets`: values of variables and command lines are kept.
    ///
    /// # Errors
    /// The file cannot be a recording, or no thread can be started.
    fn open(path: &Path, secrets: bool) -> Result<Self, Failure> {
        let lines = file::open(path).map_err(|error| Failure::usage(format!("failed to {error}")))?;
        let unavailable = |error: io::Error| {
            Failure::unavailable(format!("failed to start the recording {}: {error}", path.display()))
        };
        let key = Key::random().map_err(unavailable)?;
        let queue = Arc::new(Queue::new(QUEUE_MAX));
        let writer = Writer { queue: Arc::clone(&queue), path: path.to_owned(), key, secrets, pause: PAUSE };
        std::thread::Builder::new()
            .name("record".to_owned())
            .spawn(move || writer.run(lines, file::open))
            .map_err(unavailable)?;
        Ok(Self { queue, path: path.to_owned(), closed: AtomicBool::new(false) })
    }

    /// A CreateContainer. `spec`: the OCI spec before the adjustment, where there is one.
    pub(crate) fn created(
        &self,
        pod: Option<&PodSandbox>,
        container: Option<&Container>,
        spec: Option<&Value>,
        result: Result<&Created, &HostFailure>,
    ) {
        let mut entry = about(Recorded::Create, pod, container);
        entry.spec = spec.cloned();
        match result {
            Ok(created) => {
                entry.answers.clone_from(&created.plugins);
                entry.validators.clone_from(&created.validators);
            }
            Err(failure) => entry.failed(failure),
        }
        self.put(entry);
    }

    /// An UpdateContainer.
    pub(crate) fn updated(
        &self,
        pod: Option<&PodSandbox>,
        container: Option<&Container>,
        resources: Option<&LinuxResources>,
        result: Result<&Updated, &HostFailure>,
    ) {
        let mut entry = about(Recorded::Update(resources.cloned().map(Box::new)), pod, container);
        match result {
            Ok(updated) => entry.answers.clone_from(&updated.plugins),
            Err(failure) => entry.failed(failure),
        }
        self.put(entry);
    }

    /// A StopContainer.
    pub(crate) fn stopped(
        &self,
        pod: Option<&PodSandbox>,
        container: Option<&Container>,
        result: Result<&Stopped, &HostFailure>,
    ) {
        let mut entry = about(Recorded::Stop, pod, container);
        match result {
            Ok(stopped) => entry.answers.clone_from(&stopped.plugins),
            Err(failure) => entry.failed(failure),
        }
        self.put(entry);
    }

    /// The engine has told the state of the node.
    pub(crate) fn synchronized(&self, pods: &[PodSandbox], containers: &[Container]) {
        let (pods, containers) = (pods.to_vec(), containers.to_vec());
        self.put(Entry::new(Recorded::Synchronize { pods, containers }));
    }

    /// What a plugin asks for in its answer to Synchronize or on its own account.
    pub(crate) fn asked(&self, plugin: &PluginName, given: &Given) {
        let event = match given.said {
            nri_runtime::host::Said::Synchronize(_) => {
                Recorded::Synchronize { pods: Vec::new(), containers: Vec::new() }
            }
            _ => Recorded::UpdateContainers,
        };
        let mut entry = Entry::new(event);
        entry.answers.push(Consulted {
            given: Some(Arc::new(given.clone())),
            ..Consulted::new(plugin.clone(), Outcome::Answer)
        });
        self.put(entry);
    }

    /// Opens the file anew by its name: it has been renamed, or there is room again.
    pub(crate) fn reopen(&self) {
        self.queue.reopen();
    }

    /// Writes what waits, for a moment at most, and says what is missing. Also done when the recorder is dropped.
    pub(crate) fn close(&self) {
        if self.closed.swap(true, Ordering::Relaxed) {
            return;
        }
        let lost = self.queue.close(END_MAX);
        if lost > 0 {
            tracing::warn!("{lost} requests are not in the recording {}", self.path.display());
        }
    }

    fn put(&self, entry: Entry) {
        if self.queue.push(entry) {
            tracing::warn!(
                "the recording {} does not keep up; requests are dropped from it until it does: is its disk slow or hung?",
                self.path.display()
            );
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.close();
    }
}

fn about(event: Recorded, pod: Option<&PodSandbox>, container: Option<&Container>) -> Entry {
    let mut entry = Entry::new(event);
    entry.pod = pod.cloned();
    entry.container = container.cloned();
    entry
}

/// The thread that writes.
struct Writer {
    queue: Arc<Queue>,
    path: PathBuf,
    key: Key,
    secrets: bool,
    pause: Duration,
}

impl Writer {
    fn run<S: Sink, E: std::fmt::Display>(
        self,
        mut lines: Lines<S>,
        open: impl Fn(&Path) -> Result<Lines<S>, E>,
    ) {
        let mark = self.key.mark();
        let mut number = 0_u64;
        loop {
            match self.queue.next() {
                Next::Write(entry) => {
                    number += 1;
                    self.write(&mut lines, &entry, &format!("{number}-{mark}"));
                }
                Next::Reopen => match open(&self.path) {
                    Ok(new) => lines = new,
                    Err(error) => tracing::warn!("failed to {error}; the recording goes on in the old file"),
                },
                Next::End => return self.queue.end(),
            }
        }
    }

    fn write<S: Sink>(&self, lines: &mut Lines<S>, entry: &Entry, tail: &str) {
        let mut line = entry.line(tail);
        if !self.secrets {
            hide::secrets(&mut line, line::TEXTS, &self.key);
        }
        match lines.append(format!("{line}\n").as_bytes()) {
            Ok(()) => {
                if let Some(lost) = self.queue.recovered() {
                    tracing::warn!(
                        "the recording {} goes on; {lost} requests are missing from it",
                        self.path.display()
                    );
                }
            }
            Err(error) => {
                if self.queue.lose() {
                    tracing::warn!(
                        "the recording {} cannot be written: {error}; requests are dropped from it until it can: {}",
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
/// Processes that we start are not affected, since handlers do not outlive an exec.
///
/// # Errors
/// No handler can be set.
fn outlive_file_size_limit() -> Result<(), Failure> {
    let signal = rustix::process::Signal::XFSZ.as_raw();
    // The handler stays when the listener is gone.
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::from_raw(signal))
        .map(drop)
        .map_err(|error| Failure::unavailable(format!("cannot set a handler for SIGXFSZ: {error}")))
}
