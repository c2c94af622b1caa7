//! Processes of a test, and what they leave behind.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};

/// Sends a signal to a process that has not been waited for.
pub fn signal(process: &Child, signal: Signal) {
    kill_process(Pid::from_child(process), signal).ok();
}

/// Has a process end in order, and kills it when that takes longer than this.
pub fn end(process: &mut Child, patience: Duration) {
    // One that has been waited for has no number any more.
    if matches!(process.try_wait(), Ok(None)) {
        signal(process, Signal::TERM);
    }
    let deadline = Instant::now() + patience;
    while matches!(process.try_wait(), Ok(None)) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    process.kill().ok();
    process.wait().ok();
}

/// Kills the processes that have an argument of this kind on their command line.
pub fn kill_those_with(argument: impl Fn(&[u8]) -> bool) {
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = number.and_then(Pid::from_raw) else { continue };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if line.split(|byte| *byte == 0).any(&argument) {
            kill_process(pid, Signal::KILL).ok();
        }
    }
}

/// Takes away what is mounted below a folder, the last mounted first.
pub fn unmount_below(folder: &Path) {
    let below = folder.to_string_lossy();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for target in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)) {
        if target.starts_with(&*below) {
            unmount(target, UnmountFlags::DETACH).ok();
        }
    }
}
