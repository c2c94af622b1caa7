//! A real containerd in a folder of its own, started for a test and taken down with all that it left.

use std::fs::{self, OpenOptions};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::image;
use crate::plugin::Launched;
use crate::process;
use crate::wait::{PATIENCE, until_some};

/// The image that test containers run.
pub const IMAGE: &str = "localhost/test/busybox:1";
const PAUSE: &str = "localhost/test/pause:1";

/// A line of containerd: each stands for a generation of NRI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Line {
    /// 2.3: NRI 0.12, a call for each event. The engine of most tests.
    #[default]
    V2_3,
    /// 2.2: NRI 0.11, the nine plain events by `StateChange`, and crashes on some adjustments (`engines.md` 4).
    V2_2,
}

impl Line {
    /// Both, the newest first.
    pub const ALL: [Self; 2] = [Self::V2_3, Self::V2_2];

    /// The variable in which `cargo xtask test` says where its programs are.
    const fn variable(self) -> &'static str {
        match self {
            Self::V2_3 => "NRI_TEST_CONTAINERD",
            Self::V2_2 => "NRI_TEST_CONTAINERD_22",
        }
    }

    /// The version of NRI inside, as the engine says it in Configure: only since 0.12.
    #[must_use]
    pub const fn says_nri(self) -> &'static str {
        match self {
            Self::V2_3 => "v0.12.0",
            Self::V2_2 => "",
        }
    }
}

/// How an engine is set up, beside what all tests share.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Which containerd.
    pub line: Line,
    /// Further lines for the table of its NRI, such as `plugin_request_timeout = "500ms"` or
    /// `default_validator = { enable = true }`.
    pub nri: String,
    /// What it launches.
    pub plugins: Vec<Launched>,
}

impl From<Line> for Settings {
    fn from(line: Line) -> Self {
        Self { line, ..Self::default() }
    }
}

/// A running containerd with NRI, an image and no network.
pub struct Containerd {
    programs: PathBuf,
    folder: tempfile::TempDir,
    daemon: Child,
}

impl Containerd {
    /// Starts the containerd of `$NRI_TEST_CONTAINERD`, which `cargo xtask test` sets.
    ///
    /// # Errors
    /// A text for [`crate::skipped`] where something that it needs is absent.
    ///
    /// # Panics
    /// Where all is there and the engine does not come up: its log is in the message.
    pub fn start() -> Result<Self, String> {
        Self::with(&Settings::default())
    }

    /// Starts a containerd with these settings; for a [`Line`] alone `&line.into()`.
    ///
    /// # Errors
    /// As [`Containerd::start`].
    ///
    /// # Panics
    /// As [`Containerd::start`].
    pub fn with(settings: &Settings) -> Result<Self, String> {
        let programs = std::env::var_os(settings.line.variable())
            .map(PathBuf::from)
            .filter(|folder| folder.join("containerd").is_file())
            .ok_or_else(|| {
                format!("containerd {:?}; run `cargo xtask test`, which builds it", settings.line)
            })?;
        if !crate::is_root() {
            return Err("containers need root".to_owned());
        }
        let runc = ["/usr/sbin/runc", "/usr/bin/runc"].into_iter().find(|path| Path::new(path).is_file());
        let runc = runc.ok_or("runc; apt-get install runc")?;
        if !Path::new("/bin/busybox").is_file() {
            return Err("busybox; apt-get install busybox-static".to_owned());
        }
        Ok(Self::launch(programs, runc, settings)
            .unwrap_or_else(|error| panic!("containerd does not start: {error}")))
    }

    /// The CRI socket.
    #[must_use]
    pub fn cri_socket(&self) -> PathBuf {
        self.path("containerd.sock")
    }

    /// The socket for external NRI plugins.
    #[must_use]
    pub fn nri_socket(&self) -> PathBuf {
        self.path("nri.sock")
    }

    /// All that the daemon has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Ends the daemon with a signal and waits for its end. Containers go on, their shims are processes of their own.
    ///
    /// # Panics
    /// Where it does not end.
    pub fn end(&mut self, signal: rustix::process::Signal) {
        process::signal(&self.daemon, signal);
        let log = self.path("log");
        let ended = || self.daemon.try_wait().map_or(Some(()), |status| status.map(drop));
        let said = || fs::read_to_string(log).unwrap_or_default();
        until_some(ended, || format!("containerd does not end:\n{}", said()));
    }

    /// Starts the daemon again, over the state that the last one left.
    ///
    /// # Panics
    /// Where it does not come up.
    pub fn start_again(&mut self) {
        // A socket that a killed daemon left looks like a ready one.
        fs::remove_file(self.nri_socket()).ok();
        let daemon = Self::daemon(&self.programs, self.folder.path());
        self.daemon = daemon.unwrap_or_else(|error| panic!("containerd does not start: {error}"));
        self.wait_until_ready().unwrap_or_else(|error| panic!("containerd does not come up again: {error}"));
    }

    /// Whether the daemon runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.daemon.try_wait(), Ok(None))
    }

    fn launch(programs: PathBuf, runc: &str, settings: &Settings) -> std::io::Result<Self> {
        // Shim sockets carry a digest of this path; a short one keeps within the limit of unix sockets.
        let folder = tempfile::Builder::new().prefix("nri-ctd").tempdir()?;
        let config = config(folder.path(), runc, &settings.nri);
        fs::write(folder.path().join("config.toml"), config)?;
        for plugin in &settings.plugins {
            plugin.install(&folder.path().join("plugins"), &folder.path().join("conf.d"))?;
        }
        let daemon = Self::daemon(&programs, folder.path())?;
        let engine = Self { programs, folder, daemon };
        engine.wait_until_ready()?;
        for (file, reference, command) in [
            ("busybox.tar", IMAGE, &["sh"][..]),
            ("pause.tar", PAUSE, &["sh", "-c", "trap 'exit 0' TERM; sleep 2147483647 & wait"]),
        ] {
            image::write(&engine.path(file), reference, command)?;
            engine.ctr(&["images", "import", &engine.path(file).to_string_lossy()])?;
        }
        Ok(engine)
    }

    fn daemon(programs: &Path, folder: &Path) -> std::io::Result<Child> {
        let log = OpenOptions::new().create(true).append(true).open(folder.join("log"))?;
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
        Command::new(programs.join("containerd"))
            .arg("-c")
            .arg(folder.join("config.toml"))
            .env("PATH", path)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
    }

    fn wait_until_ready(&self) -> std::io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.ctr(&["version"]).is_err() || !self.nri_socket().exists() {
            if Instant::now() > deadline {
                return Err(std::io::Error::other(format!("not ready in time:\n{}", self.log())));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn ctr(&self, args: &[&str]) -> std::io::Result<String> {
        let output = Command::new(self.programs.join("ctr"))
            .arg("-a")
            .arg(self.cri_socket())
            .args(["-n", "k8s.io"])
            .args(args)
            .stdin(Stdio::null())
            .output()?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(std::io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Kills every task, then the daemon, then the shims, then unmounts: also after a test that failed half way.
    fn take_down(&mut self) {
        for id in self.ctr(&["tasks", "list", "-q"]).unwrap_or_default().split_whitespace() {
            self.ctr(&["tasks", "kill", "-s", "9", id]).ok();
            self.ctr(&["tasks", "rm", "-f", id]).ok();
        }
        process::end(&mut self.daemon, PATIENCE);
        self.kill_shims();
        process::unmount_below(self.folder.path());
    }

    fn kill_shims(&self) {
        let socket = self.cri_socket();
        process::kill_those_with(|argument| argument == socket.as_os_str().as_bytes());
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.take_down();
    }
}

fn config(folder: &Path, runc: &str, nri: &str) -> String {
    let w = folder.display();
    format!(
        r#"version = 3
root = "{w}/root"
state = "{w}/state"
temp = "{w}/tmp"
[grpc]
  address = "{w}/containerd.sock"
[ttrpc]
  address = "{w}/containerd.sock.ttrpc"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{PAUSE}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  cdi_spec_dirs = ["{w}/cdi"]
[plugins."io.containerd.cri.v1.runtime".cni]
  conf_dir = "{w}/cni"
  bin_dirs = ["/usr/lib/cni"]
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  BinaryName = "{runc}"
  Root = "{w}/runtime-root"
[plugins."io.containerd.nri.v1.nri"]
  socket_path = "{w}/nri.sock"
  plugin_path = "{w}/plugins"
  plugin_config_path = "{w}/conf.d"
{nri}
"#
    )
}
