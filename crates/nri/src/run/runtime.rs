//! The OCI runtime: finding it, asking for its version, and its verbs `create`, `start`, `delete`.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use tokio::io::unix::AsyncFd;
use tokio::process::Command;

use crate::failure::{Failure, Kind};

/// `--version` of a runtime that hangs must not hang us.
const PROBE: Duration = Duration::from_secs(10);

/// An OCI runtime that answered.
#[derive(Clone, Debug)]
pub(crate) struct Runtime {
    /// `runc`, `crun`, … as it calls itself.
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) path: PathBuf,
}

/// The container's first process, whose parent we have become.
pub(crate) struct Init {
    pid: Pid,
    fd: AsyncFd<OwnedFd>,
}

/// How the container's first process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Code(i32),
    Signal(i32),
}

impl Exit {
    /// As container tools and shells report it.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Code(code) => u8::try_from(code & 0xff).unwrap_or(u8::MAX),
            Self::Signal(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }
}

impl Runtime {
    /// Finds a runtime by name or path and asks for its version.
    ///
    /// # Errors
    /// It is absent (with the package to install), or does not answer as an OCI runtime does.
    pub(crate) async fn find(wanted: &str) -> Result<Self, Failure> {
        let path = locate(wanted)?;
        let command = Command::new(&path).arg("--version").stdin(Stdio::null()).kill_on_drop(true).output();
        let shown = path.display();
        let output = tokio::time::timeout(PROBE, command)
            .await
            .map_err(|_| {
                Failure::unavailable(format!("{shown} --version did not answer within {} s", PROBE.as_secs()))
            })?
            .map_err(|error| Failure::unavailable(format!("cannot execute {shown}: {error}")))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let Some((name, version)) = version(&text).filter(|_| output.status.success()) else {
            return Err(Failure::unavailable(format!(
                "{shown} is no OCI runtime: `--version` should print its name and version; pass --runtime runc, crun or a path"
            )));
        };
        Ok(Self { name, version, path })
    }

    /// Creates the container. Its standard streams are ours, unless the spec asks for a terminal.
    /// Once `stop` is ready, the runtime is killed and [`Kind::Signal`] comes back.
    ///
    /// # Errors
    /// What the runtime said, and what to do where that is known.
    pub(crate) async fn create(
        &self,
        dir: &Path,
        id: &str,
        console: Option<&Path>,
        stop: impl Future<Output = Signal>,
    ) -> Result<Init, Failure> {
        let (log, pid_file) = (dir.join("create.log"), dir.join("init.pid"));
        let mut command = self.command(dir, &log);
        command.arg("create").arg("--bundle").arg(dir).arg("--pid-file").arg(&pid_file);
        match console {
            Some(socket) => {
                // With a terminal nothing of ours goes into the container; what the runtime prints is in its log.
                command.arg("--console-socket").arg(socket);
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            }
            None => {
                command.stdin(Stdio::inherit());
            }
        }
        command.arg(id);
        self.run(command, "create the container", &log, stop).await?;
        let text = std::fs::read_to_string(&pid_file).unwrap_or_default();
        let pid = text.trim().parse().ok().and_then(Pid::from_raw).ok_or_else(|| {
            Failure::unavailable(format!(
                "{} created the container but wrote no pid to {}",
                self.name,
                pid_file.display()
            ))
        })?;
        Init::watch(pid)
            .map_err(|error| Failure::unavailable(format!("cannot watch the container's process: {error}")))
    }

    /// Lets the container's process go.
    ///
    /// # Errors
    /// As [`Runtime::create`].
    pub(crate) async fn start(
        &self,
        dir: &Path,
        id: &str,
        stop: impl Future<Output = Signal>,
    ) -> Result<(), Failure> {
        let log = dir.join("start.log");
        let mut command = self.command(dir, &log);
        command.args(["start", id]).stdin(Stdio::null());
        self.run(command, "start the container", &log, stop).await
    }

    fn command(&self, dir: &Path, log: &Path) -> Command {
        let mut command = Command::new(&self.path);
        command.arg("--root").arg(dir.join("runtime")).arg("--log").arg(log).args(["--log-format", "json"]);
        // A terminal's Ctrl-C is for us to handle; the runtime in the middle of its work must not get it.
        command.process_group(0);
        // These would be taken for the container's.
        for name in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET"] {
            command.env_remove(name);
        }
        command
    }

    async fn run(
        &self,
        mut command: Command,
        what: &str,
        log: &Path,
        stop: impl Future<Output = Signal>,
    ) -> Result<(), Failure> {
        let mut child = command.spawn().map_err(|error| {
            Failure::unavailable(format!("cannot execute {}: {error}", self.path.display()))
        })?;
        let status = tokio::select! {
            status = child.wait() => status,
            signal = stop => {
                drop(child.kill().await);
                return Err(Failure::new(Kind::Signal(signal.as_raw()), "interrupted"));
            }
        };
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => {
                let said = last_error(&std::fs::read_to_string(log).unwrap_or_default());
                Err(self.explain(
                    what,
                    &said.unwrap_or_else(|| format!("it ended with {status} and said nothing")),
                ))
            }
            Err(error) => Err(Failure::unavailable(format!("cannot wait for {}: {error}", self.name))),
        }
    }

    /// A runtime answers in words only; known ones get the exit code of container tools and a way out.
    fn explain(&self, what: &str, said: &str) -> Failure {
        let name = &self.name;
        let lower = said.to_lowercase();
        let message = format!("{name} {} could not {what}: {said}", self.version);
        if lower.contains("executable file") && lower.contains("not found")
            || lower.contains("no such file") && lower.contains("exec")
        {
            return Failure::new(Kind::NotFound, message);
        }
        if lower.contains("permission denied") && lower.contains("exec")
            || lower.contains("exec format error")
        {
            return Failure::new(Kind::NotExecutable, message);
        }
        if lower.contains("controllers from cgroupv2")
            || lower.contains("unified") && lower.contains("cgroup")
        {
            return Failure::unavailable(format!(
                "{message}: it does not work with this host's hybrid cgroups; use --runtime runc, or hide the second hierarchy: unshare -m sh -c 'umount /sys/fs/cgroup/unified && nri run …'"
            ));
        }
        if lower.contains("unknown version") {
            return Failure::unavailable(format!(
                "{message}: it does not take this ociVersion; use a newer {name} or --runtime runc"
            ));
        }
        Failure::unavailable(message)
    }
}

impl Init {
    fn watch(pid: Pid) -> std::io::Result<Self> {
        let fd = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
        #[expect(unsafe_code, reason = "tokio wants a promise about the descriptor")]
        // SAFETY: an `OwnedFd` is open and stays the same descriptor for as long as the `AsyncFd` owns it.
        let fd = unsafe { AsyncFd::register(fd) }?;
        Ok(Self { pid, fd })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits for the end of the process. It stays a zombie, its pid its own, until this has returned.
    pub(crate) async fn wait(&self) -> std::io::Result<Exit> {
        loop {
            let mut ready = self.fd.readable().await?;
            let fd = self.fd.get_ref();
            match waitid(
                WaitId::PidFd(std::os::fd::AsFd::as_fd(fd)),
                WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
            ) {
                Ok(Some(status)) => {
                    return Ok(status
                        .exit_status()
                        .map(Exit::Code)
                        .or_else(|| status.terminating_signal().map(Exit::Signal))
                        .unwrap_or(Exit::Code(255)));
                }
                Ok(None) | Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends a signal. The first process of a pid namespace is deaf to signals that it has no handler for; one that
    /// would end any other process is then carried out as SIGKILL. Returns whether that was done.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        let fatal = signal == Signal::INT
            || signal == Signal::TERM
            || signal == Signal::QUIT
            || signal == Signal::HUP;
        let forced = fatal && !self.handles(signal);
        let _ = pidfd_send_signal(self.fd.get_ref(), if forced { Signal::KILL } else { signal });
        forced
    }

    /// The program that the process executes, as long as it does.
    pub(crate) fn program(&self) -> Option<PathBuf> {
        std::fs::read_link(format!("/proc/{}/exe", self.pid())).ok()
    }

    /// Whether the process catches or ignores the signal.
    fn handles(&self, signal: Signal) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let mask = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            u64::from_str_radix(line.trim(), 16).ok()
        };
        let bit = 1_u64 << (signal.as_raw() - 1);
        [mask("SigCgt:"), mask("SigIgn:")].iter().flatten().any(|mask| mask & bit != 0)
    }
}

/// A path is taken as it is, a name is looked for in PATH and where distributions put system programs.
fn locate(wanted: &str) -> Result<PathBuf, Failure> {
    if wanted.contains('/') {
        return match std::fs::metadata(wanted) {
            Ok(data) if data.is_file() => std::fs::canonicalize(wanted)
                .map_err(|error| Failure::unavailable(format!("cannot use runtime {wanted}: {error}"))),
            Ok(_) => Err(Failure::unavailable(format!("runtime {wanted} is not a file"))),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Failure::unavailable(format!(
                "runtime {wanted} does not exist; pass --runtime runc, crun or a path"
            ))),
            Err(error) => Err(Failure::unavailable(format!("cannot use runtime {wanted}: {error}"))),
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .chain(usual)
        .map(|dir| dir.join(wanted))
        .find(|file| rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file())
        .ok_or_else(|| match wanted {
            "runc" | "crun" => {
                Failure::unavailable(format!("{wanted} is not installed: apt-get install {wanted}"))
            }
            _ => Failure::unavailable(format!(
                "no runtime {wanted:?} in PATH; pass --runtime runc, crun or a path"
            )),
        })
}

/// `runc version 1.1.5+ds1`, `crun version 1.8.1`, `youki version: 0.5.0`.
fn version(text: &str) -> Option<(String, String)> {
    let mut words = text.lines().next()?.split_whitespace();
    let name = words.next()?;
    words.next().filter(|word| word.trim_end_matches(':') == "version")?;
    let version = words.find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    Some((name.to_owned(), version.to_owned()))
}

/// The last error of a log in JSON lines.
fn last_error(log: &str) -> Option<String> {
    let lines = log.lines().rev().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut errors =
        lines.filter(|line| line.get("level").is_none_or(|level| level == "error" || level == "fatal"));
    errors.find_map(|line| line.get("msg").and_then(|msg| msg.as_str()).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let check = |text, expect: Option<(&str, &str)>| {
            assert_eq!(version(text), expect.map(|(name, version)| (name.to_owned(), version.to_owned())));
        };
        check("runc version 1.1.5+ds1\ncommit: x\n", Some(("runc", "1.1.5+ds1")));
        check("crun version 1.8.1\n", Some(("crun", "1.8.1")));
        check("youki version: 0.5.0", Some(("youki", "0.5.0")));
        check("true (GNU coreutils) 9.1", None);
        check("hello", None);
        check("", None);
    }

    #[test]
    fn what_a_runtime_said() {
        let log = "{\"level\":\"warning\",\"msg\":\"w\"}\n{\"level\":\"error\",\"msg\":\"a\"}\n{\"msg\":\"b\"}\n{\"level\":\"info\",\"msg\":\"c\"}\n";
        assert_eq!(last_error(log).as_deref(), Some("b"));
        let runtime = Runtime { name: "crun".into(), version: "1.8.1".into(), path: "/crun".into() };
        for (said, kind) in [
            (
                "runc create failed: unable to start container process: exec: \"nope\": executable file not found in $PATH",
                Kind::NotFound,
            ),
            ("executable file `nope` not found in $PATH: No such file or directory", Kind::NotFound),
            ("exec: \"/etc\": permission denied", Kind::NotExecutable),
            ("open executable: Permission denied", Kind::NotExecutable),
            ("drop all controllers from cgroupv2", Kind::Unavailable),
        ] {
            assert_eq!(runtime.explain("create", said).kind(), kind, "{said}");
        }
    }

    #[test]
    fn exit_codes() {
        assert_eq!(Exit::Code(7).code(), 7);
        assert_eq!(Exit::Signal(9).code(), 137);
    }
}
