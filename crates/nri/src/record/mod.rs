//! `--record FILE`: every request and what plugins said to it, one line of JSON each, in the form that `nri replay`
//! reads (`cli.md`, "nri replay").
//!
//! | module | what it holds |
//! | --- | --- |
//! | `line` | a request as a line |
//! | `hide` | what stands in the place of secrets |
//!
//! The file and the way to it are [`crate::journal`].
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

pub(crate) mod hide;
mod line;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nri_runtime::host::{Consulted, Created, Failure as HostFailure, Given, Outcome, Stopped, Updated};
use nri_wire::api::{Container, LinuxResources, PodSandbox};
use nri_wire::name::PluginName;
use serde_json::Value;

use self::hide::Key;
use self::line::{Entry, Recorded};
use crate::failure::Failure;
use crate::journal::{self, Journal, Kind};

/// What messages call it.
pub(crate) const KIND: Kind = Kind {
    verb: "record to",
    noun: "a recording",
    name: "the recording",
    entries: "requests",
    thread: "record",
};

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
            journal::outlive_file_size_limit()?;
            Recorder::open(file, secrets).map(Arc::new).map(Some)
        }
        None if secrets => Err(Failure::usage("--record-secrets needs --record FILE, which it is about")),
        None => Ok(None),
    }
}

/// A recording under way. Nothing here waits for the file: a thread of its own writes it.
#[derive(Debug)]
pub(crate) struct Recorder(Journal<Entry>);

impl Recorder {
    /// Starts a recording, or goes on with one. `secrets`: values of variables and command lines are kept.
    ///
    /// # Errors
    /// The file cannot be a recording, or no thread can be started.
    fn open(path: &Path, secrets: bool) -> Result<Self, Failure> {
        let key = Key::random().map_err(|error| {
            Failure::unavailable(format!("failed to make a key for the recording: {error}"))
        })?;
        Journal::open(&KIND, path, text(key, secrets)).map(Self)
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
        self.0.reopen();
    }

    /// Writes what waits, for a moment at most, and says what is missing. Also done when the recorder is dropped.
    pub(crate) fn close(&self) {
        self.0.close();
    }

    fn put(&self, entry: Entry) {
        self.0.put(entry);
    }
}

/// Makes lines of entries: numbered, and without secrets unless those are wanted.
fn text(key: Key, secrets: bool) -> impl FnMut(&Entry) -> String + Send {
    let mark = key.mark();
    let mut number = 0_u64;
    move |entry| {
        number += 1;
        let mut line = entry.line(&format!("{number}-{mark}"));
        if !secrets {
            hide::secrets(&mut line, line::TEXTS, &key);
        }
        line.to_string()
    }
}

fn about(event: Recorded, pod: Option<&PodSandbox>, container: Option<&Container>) -> Entry {
    let mut entry = Entry::new(event);
    entry.pod = pod.cloned();
    entry.container = container.cloned();
    entry
}
