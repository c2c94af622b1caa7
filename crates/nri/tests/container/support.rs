//! Starting `nri run`, and looking for what it left.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Hides the cgroup2 hierarchy of a hybrid host, which crun refuses, and becomes the command.
const WITHOUT_CGROUP2: &str = r#"umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@""#;

pub(crate) const RUNTIMES: [&str; 2] = ["runc", "crun"];

/// `nri run` under a runtime, or `None` and a line that says what is missing.
pub(crate) fn run(runtime: &str) -> Option<Command> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: real containers; root is needed");
        return None;
    }
    let installed = ["/usr/sbin", "/usr/bin", "/sbin", "/usr/local/sbin", "/usr/local/bin"];
    if !installed.iter().any(|dir| Path::new(dir).join(runtime).exists()) {
        println!("skipped: containers under {runtime}; apt-get install {runtime}");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", if runtime == "crun" { WITHOUT_CGROUP2 } else { r#"exec "$@""# }, "sh"]);
    command.args([env!("CARGO_BIN_EXE_nri"), "run", "--runtime", runtime]);
    command.stdin(Stdio::null());
    Some(command)
}

/// An id that no other test process uses.
macro_rules! own_id {
    ($($text:tt)*) => { format!("{}-{}", format!($($text)*), std::process::id()) };
}
pub(crate) use own_id;

/// Exit code, stdout and stderr.
pub(crate) fn output(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// Nothing of a container with this id is left: directory, cgroups, mounts.
pub(crate) fn assert_gone(id: &str) {
    assert!(!Path::new("/run/nri/run").join(id).exists(), "{id}: directory");
    let base = Path::new("/sys/fs/cgroup");
    for hierarchy in
        std::fs::read_dir(base).unwrap().flatten().map(|entry| entry.path()).chain([base.to_owned()])
    {
        assert!(!hierarchy.join(format!("nri-run-{id}")).exists(), "{id}: cgroup in {}", hierarchy.display());
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&format!("/run/nri/run/{id}")), "{id}: mount");
}

/// Reads until the text has come.
pub(crate) fn read_until(from: &OwnedFd, expect: &str) -> String {
    let mut file = std::fs::File::from(from.try_clone().unwrap());
    let (mut seen, end) = (String::new(), Instant::now() + PATIENCE);
    while !seen.contains(expect) {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = left.try_into().unwrap();
        let ready = poll(&mut [PollFd::new(&from.as_fd(), PollFlags::IN)], Some(&timeout)).unwrap();
        assert!(ready > 0, "waited for {expect:?}, saw {seen:?}");
        let mut buffer = [0; 4096];
        let length = file.read(&mut buffer).unwrap_or(0);
        assert!(length > 0, "ended before {expect:?}: {seen:?}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    seen
}

/// Waits until the container's first process is this program.
pub(crate) fn wait_for_program(id: &str, program: &str) -> u32 {
    let end = Instant::now() + PATIENCE;
    loop {
        let pid = std::fs::read_to_string(format!("/run/nri/run/{id}/init.pid")).unwrap_or_default();
        let line = std::fs::read_to_string(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default();
        if line.starts_with(program) {
            return pid.trim().parse().unwrap();
        }
        assert!(Instant::now() < end, "waited for {program}, saw {line:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A run that must not outlive a failed test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        drop(self.0.wait());
    }
}

pub(crate) fn start(command: &mut Command) -> Running {
    Running(command.spawn().unwrap())
}

impl Running {
    pub(crate) fn code(mut self) -> Option<i32> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            if Instant::now() > end {
                send(&self, Signal::KILL);
                panic!("does not end");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The exit code, and what was said on stderr.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let mut stderr = self.0.stderr.take().unwrap();
        let code = self.code();
        let mut said = String::new();
        stderr.read_to_string(&mut said).unwrap();
        (code, said)
    }

    pub(crate) fn stdout(&mut self) -> OwnedFd {
        self.0.stdout.take().unwrap().into()
    }
}

pub(crate) fn send(running: &Running, signal: Signal) {
    kill_process(Pid::from_child(&running.0), signal).unwrap();
}
