//! Our gateway (`nri gateway`) before an engine, in a folder of its own.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::plugin::Launched;
use crate::process;
use crate::wait::until_some;

/// How a gateway is set up.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What it launches.
    pub plugins: Vec<Launched>,
    /// Further arguments; a flag among them stands in the place of the kit's own.
    pub args: Vec<OsString>,
    /// Further variables.
    pub env: Vec<(OsString, OsString)>,
}

/// A running gateway. It ends with this value, and its launched plugins with it.
pub struct Gateway {
    process: Child,
    folder: tempfile::TempDir,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
}

impl Gateway {
    /// Starts a gateway at the engine's NRI socket and waits until it is ready.
    ///
    /// # Panics
    /// Where it does not become ready: its log is in the message.
    #[must_use]
    pub fn start(engine_socket: &Path, settings: &Settings) -> Self {
        let gateway = Self::spawn(engine_socket, settings);
        gateway.wait_until_ready(1);
        gateway
    }

    /// Starts a gateway that may never become ready.
    ///
    /// # Panics
    /// Where its process does not start.
    #[must_use]
    pub fn spawn(engine_socket: &Path, settings: &Settings) -> Self {
        let start = || {
            let folder = tempfile::Builder::new().prefix("nri-gw").tempdir()?;
            let path = |name: &str| folder.path().join(name);
            for plugin in &settings.plugins {
                plugin.install(&path("plugins"), &path("conf.d"))?;
            }
            fs::create_dir_all(path("plugins"))?;
            fs::create_dir_all(path("conf.d"))?;
            let mut args: Vec<OsString> = vec!["gateway".into()];
            for (flag, value) in [
                ("--engine-socket", engine_socket.to_owned()),
                ("--listen", path("nri.sock")),
                ("--plugin-dir", path("plugins")),
                ("--plugin-config-dir", path("conf.d")),
                ("--state-dir", path("state")),
                ("--control", path("control.sock")),
            ] {
                if !settings.args.iter().any(|given| given == flag) {
                    args.extend([flag.into(), value.into()]);
                }
            }
            args.extend(settings.args.iter().cloned());
            let env = settings.env.clone();
            let process = Self::run(&args, &env, folder.path())?;
            Ok::<_, std::io::Error>(Self { process, folder, args, env })
        };
        start().unwrap_or_else(|error| panic!("the gateway does not start: {error}"))
    }

    /// The socket for plugins.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.path("nri.sock")
    }

    /// The control socket.
    #[must_use]
    pub fn control(&self) -> PathBuf {
        self.path("control.sock")
    }

    /// A file in its folder: `plugins`, `conf.d`, `state`, `log`.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// All that it has said so far, those before it in this folder included.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Waits until its log has so many lines `ready …`; the last one of them.
    ///
    /// # Panics
    /// Where that does not happen.
    pub fn wait_until_ready(&self, times: usize) -> String {
        self.wait_for("ready ", times)
    }

    /// Waits until its log has so many lines with this text; the last one of them.
    ///
    /// # Panics
    /// Where that does not happen.
    pub fn wait_for(&self, text: &str, times: usize) -> String {
        let line = || {
            let log = self.log();
            let mut lines = log.lines().filter(|line| line.contains(text));
            lines.nth(times.saturating_sub(1)).map(str::to_owned)
        };
        until_some(line, || format!("the gateway has not said {text:?} {times} times, but:\n{}", self.log()))
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Sends a signal to it.
    pub fn signal(&self, signal: Signal) {
        process::signal(&self.process, signal);
    }

    /// Ends it with a signal, waits for its end, and says how it ended.
    ///
    /// # Panics
    /// Where it does not end.
    pub fn end(&mut self, signal: Signal) -> std::process::ExitStatus {
        self.signal(signal);
        let log = self.path("log");
        let ended = || match self.process.try_wait() {
            Ok(status) => status,
            Err(error) => panic!("the gateway cannot be waited for: {error}"),
        };
        let said = || fs::read_to_string(log).unwrap_or_default();
        until_some(ended, || format!("the gateway does not end:\n{}", said()))
    }

    /// Starts it again in the same folder, and does not wait for it.
    ///
    /// # Panics
    /// Where its process does not start.
    pub fn start_again(&mut self) {
        self.process = Self::run(&self.args, &self.env, self.folder.path())
            .unwrap_or_else(|error| panic!("the gateway does not start again: {error}"));
    }

    /// Whether its process runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    fn run(args: &[OsString], env: &[(OsString, OsString)], folder: &Path) -> std::io::Result<Child> {
        let log = OpenOptions::new().create(true).append(true).open(folder.join("log"))?;
        Command::new(crate::ours::nri())
            .args(args)
            .envs(env.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
    }
}

impl Drop for Gateway {
    /// In order, so that it takes its plugins down; a failed test's gateway that does not obey is killed.
    fn drop(&mut self) {
        process::end(&mut self.process, Duration::from_secs(3));
    }
}
