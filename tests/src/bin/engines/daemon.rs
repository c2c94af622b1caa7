//! A daemon in a folder of its own, taken down with all that it mounted.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nri_tests::process;
use nri_tests::wait::PATIENCE;

use crate::Failure;

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
        process::end(&mut self.process, PATIENCE);
        // Monitors and shims of a run that failed.
        let below = format!("{}/", self.folder.path().display());
        process::kill_those_with(|argument| argument.starts_with(below.as_bytes()));
        process::unmount_below(self.folder.path());
    }
}
