//! The threads of a process: each has filters of its own.

use std::fs;

use super::status::Status;

/// A thread that is under another number of filters than the one that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Other {
    pub(super) tid: i32,
    pub(super) status: Status,
}

/// Threads whose mode or number of filters differs, and how many threads there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Threads {
    pub(super) count: usize,
    pub(super) others: Vec<Other>,
}

/// Compares the threads of a process with what was read of one.
pub(super) fn others(pid: i32, status: &Status) -> Threads {
    let mut threads = Threads::default();
    for entry in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        // One that has just ended is none.
        let Ok(text) = fs::read_to_string(entry.path().join("status")) else { continue };
        let Some(tid) = entry.file_name().to_str().and_then(|tid| tid.parse().ok()) else { continue };
        threads.count += 1;
        let own = Status::of(&text);
        if (own.mode, own.filters) != (status.mode, status.filters) {
            threads.others.push(Other { tid, status: own });
        }
    }
    threads.others.sort_by_key(|other| other.tid);
    threads
}
