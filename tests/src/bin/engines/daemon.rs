//! A daemon in a folder of its own, taken down with all that it mounted.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};

use crate::Failure;

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Daemon {
    process: Child,
    folder: tempfile::TempDir,
}

impl Daemon {
    /// A new folder. Its path is short, because of the limit of unix sockets.
    pub(crate) fn folder(name: &str) -> Result<tempfile::TempDir, Failure> {
        Ok(tempfile::Builder::new().prefix(&format!("nri-{name}")).tempdir()?)
    }

    /// Starts a daemon, and waits until a socket in its folder can be connected to.
    pub(crate) fn start(
        mut command: Command,
        folder: tempfile::TempDir,
        socket: &str,
    ) -> Result<Self, Failure> {
        let log = OpenOptions::new().create(true).append(true).open(folder.path().join("log"))?;
        let process = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let mut daemon = Self { process, folder };
        let deadline = Instant::now() + PATIENCE;
        while std::os::unix::net::UnixStream::connect(daemon.path(socket)).is_err() {
            let ended = daemon.process.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                return Err(format!("it does not come up ({ended:?}):\n{}", daemon.log()).into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(daemon)
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        kill_process(Pid::from_child(&self.process), Signal::TERM).ok();
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.process.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                self.process.kill().ok();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        end_those_with(self.folder.path());
        let below = self.folder.path().to_string_lossy().into_owned();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        for target in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)) {
            if target.starts_with(&below) {
                unmount(target, UnmountFlags::DETACH).ok();
            }
        }
    }
}

/// Kills processes that have a path below the folder on their command line: monitors and shims of a run that failed.
fn end_those_with(folder: &Path) {
    let below = format!("{}/", folder.display());
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid =
            entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()).and_then(Pid::from_raw);
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let Some(pid) = pid else { continue };
        if line.split(|byte| *byte == 0).any(|arg| String::from_utf8_lossy(arg).starts_with(&below)) {
            kill_process(pid, Signal::KILL).ok();
        }
    }
}
