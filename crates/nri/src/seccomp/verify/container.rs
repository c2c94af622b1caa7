//! Finding a container's first process and its bundle in the state that runc and crun keep.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::failure::Failure;
use crate::run::state;

/// Where runtimes keep the state of containers: `*` stands for every directory there.
const ROOTS: &[&str] = &[
    "/run/runc",
    "/run/crun",
    "/run/containerd/runc/*",
    "/run/docker/runtime-runc/*",
    "/run/docker/runtime-crun/*",
];

/// Longest state file that is read.
const STATE_MAX: u64 = 8 << 20;

/// A container that a runtime knows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) pid: i32,
    /// When the process started, in the kernel's ticks: a number that is used again is not taken for it.
    start: Option<u64>,
    pub(super) bundle: Option<PathBuf>,
}

impl Container {
    /// Looks for a container by its id, or by the beginning of an id that only one has.
    ///
    /// # Errors
    /// There is none, or there are several; its process has ended.
    pub(super) fn find(id: &str) -> Result<Self, Failure> {
        if id.is_empty() || id.contains('/') || id.starts_with('.') {
            return Err(Failure::usage(format!("invalid container id {id:?}")));
        }
        let roots: Vec<PathBuf> = ROOTS.iter().flat_map(|root| directories(root)).chain(own()).collect();
        let found = matching(&roots, id);
        let states = match found.as_slice() {
            [] => {
                return Err(Failure::unavailable(format!(
                    "no container {id:?} of runc or crun ({}); give the PID of its process",
                    ROOTS.join(", ")
                )));
            }
            [one] => one,
            [one, more @ ..] => {
                let others: Vec<String> = more.iter().map(|path| path.display().to_string()).collect();
                return Err(Failure::usage(format!(
                    "{id:?} is the container of several states: {}, {}; give the whole id, or the PID of its process",
                    one.display(),
                    others.join(", ")
                )));
            }
        };
        let container = Self::read(states).map_err(|error| {
            Failure::unavailable(format!(
                "cannot read the state of container {id:?} in {}: {error}",
                states.display()
            ))
        })?;
        if container.start.is_some_and(|start| started(container.pid) != Some(start)) {
            return Err(Failure::unavailable(format!("the process of container {id:?} has ended")));
        }
        Ok(container)
    }

    /// Reads `state.json` of runc, `status` of crun.
    fn read(dir: &Path) -> Result<Self, String> {
        let file = ["state.json", "status"].map(|name| dir.join(name));
        let file = file.iter().find(|file| file.is_file()).ok_or("neither state.json nor status is there")?;
        let mut text = Vec::new();
        let opened = fs::File::open(file).map_err(|error| error.to_string())?;
        opened.take(STATE_MAX).read_to_end(&mut text).map_err(|error| error.to_string())?;
        let json: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        Self::of(&json).ok_or_else(|| format!("{} has no process", file.display()))
    }

    fn of(json: &Value) -> Option<Self> {
        let number = |names: [&str; 2]| names.iter().find_map(|name| json.get(*name)?.as_u64());
        let labels = json.pointer("/config/labels").and_then(Value::as_array).into_iter().flatten();
        let label = labels.filter_map(Value::as_str).find_map(|label| label.strip_prefix("bundle="));
        let bundle = json.get("bundle").and_then(Value::as_str).or(label);
        Some(Self {
            pid: number(["init_process_pid", "pid"])
                .and_then(|pid| i32::try_from(pid).ok())
                .filter(|pid| *pid > 0)?,
            start: number(["init_process_start", "process-start-time"]),
            bundle: bundle.map(PathBuf::from),
        })
    }
}

/// Field 22 of `/proc/PID/stat`; the name in field 2 may hold anything, a parenthesis too.
fn started(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

fn directories(root: &str) -> Vec<PathBuf> {
    match root.strip_suffix("/*") {
        Some(above) => below(Path::new(above)),
        None => vec![PathBuf::from(root)],
    }
}

/// What `nri run` keeps: a root of its own for each container.
fn own() -> Vec<PathBuf> {
    below(Path::new(state::BASE)).into_iter().map(|dir| dir.join("runtime")).collect()
}

fn below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut below: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    below.sort();
    below
}

/// The states of this id; if there are none, those whose id begins so.
fn matching(roots: &[PathBuf], id: &str) -> Vec<PathBuf> {
    let all = || roots.iter().flat_map(|root| below(root));
    let named = |path: &PathBuf, fits: fn(&str, &str) -> bool| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| fits(name, id))
    };
    let exact: Vec<PathBuf> = all().filter(|path| named(path, |name, id| name == id)).collect();
    if exact.is_empty() {
        all().filter(|path| named(path, |name, id| name.starts_with(id))).collect()
    } else {
        exact
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn states_of_both_runtimes() {
        let runc = json!({"id": "a", "init_process_pid": 7, "init_process_start": 9, "config": {"labels": ["x", "bundle=/b"]}});
        let crun = json!({"pid": 7, "process-start-time": 9, "bundle": "/b"});
        let expect = Container { pid: 7, start: Some(9), bundle: Some("/b".into()) };
        assert_eq!(Container::of(&runc).as_ref(), Some(&expect));
        assert_eq!(Container::of(&crun).as_ref(), Some(&expect));
        assert_eq!(Container::of(&json!({"pid": 7})).unwrap().bundle, None);
        for stopped in
            [json!({"pid": 0}), json!({}), json!({"pid": -1}), json!({"pid": 1_u64 << 40}), json!([])]
        {
            assert_eq!(Container::of(&stopped), None, "{stopped}");
        }
    }

    #[test]
    fn ids_and_their_beginnings() {
        let root = tempfile::tempdir().unwrap();
        for id in ["abc1", "abc", "abd1", "x"] {
            fs::create_dir(root.path().join(id)).unwrap();
        }
        let roots = [root.path().to_owned(), "/nowhere".into()];
        for (id, expect) in [("abc", 1), ("ab", 3), ("abd", 1), ("x", 1), ("y", 0)] {
            assert_eq!(matching(&roots, id).len(), expect, "{id}");
        }
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(started(pid).is_some_and(|start| start > 0));
    }
}
