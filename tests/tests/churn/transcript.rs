//! What reached a plugin: the lines of all processes that ever had its name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use nri_tests::plugin::lines;
use serde_json::Value as Json;

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) at: u64,
    /// The process, or the file of one that does not say.
    pub(crate) process: String,
    pub(crate) event: String,
    pub(crate) pod: String,
    pub(crate) container: String,
    /// Of a Synchronize.
    pub(crate) pods: BTreeSet<String>,
    pub(crate) containers: BTreeSet<String>,
}

/// All calls in the order of their time.
pub(crate) fn read(files: &[PathBuf]) -> Vec<Call> {
    let mut calls: Vec<Call> = files.iter().flat_map(|file| read_one(file)).collect();
    calls.sort_by_key(|call| call.at);
    calls
}

fn read_one(file: &Path) -> Vec<Call> {
    // A validator's line has the whole request.
    let id = |line: &Json, of: &str| {
        let about = line.get("request").unwrap_or(line);
        about.pointer(&format!("/{of}/id")).and_then(Json::as_str).unwrap_or_default().to_owned()
    };
    let ids = |line: &Json, of: &str| -> BTreeSet<String> {
        let list = line.get(of).and_then(Json::as_array).cloned().unwrap_or_default();
        list.iter().filter_map(|one| Some(one.get("id")?.as_str()?.to_owned())).collect()
    };
    lines(file)
        .into_iter()
        // What a plugin says of itself has no time.
        .filter_map(|line| {
            Some(Call {
                at: line.get("at")?.as_u64()?,
                process: line.get("pid").map_or_else(|| file.display().to_string(), Json::to_string),
                event: line.get("event")?.as_str()?.to_owned(),
                pod: id(&line, "pod"),
                container: id(&line, "container"),
                pods: ids(&line, "pods"),
                containers: ids(&line, "containers"),
            })
        })
        .collect()
}

/// What a plugin that keeps books holds for there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Books {
    pub(crate) pods: BTreeSet<String>,
    pub(crate) containers: BTreeSet<String>,
}

impl Books {
    /// The books of the process that was synchronised last.
    pub(crate) fn of(calls: &[Call]) -> Self {
        let mut all: BTreeMap<&str, Self> = BTreeMap::new();
        let mut last = "";
        for call in calls {
            let books = all.entry(&call.process).or_default();
            match call.event.as_str() {
                "Synchronize" => {
                    *books = Self { pods: call.pods.clone(), containers: call.containers.clone() };
                    last = &call.process;
                }
                "RunPodSandbox" => drop(books.pods.insert(call.pod.clone())),
                "RemovePodSandbox" => drop(books.pods.remove(&call.pod)),
                "CreateContainer" => drop(books.containers.insert(call.container.clone())),
                "RemoveContainer" => drop(books.containers.remove(&call.container)),
                _ => {}
            }
        }
        all.remove(last).unwrap_or_default()
    }
}
