//! Processes of launched plugins (`spec/wire.md` 4.3): started with a socket as descriptor 3, ended and reaped in every
//! case (quirks A15, A16, B7, B8).
//!
//! What is executed is the very file whose digest was taken: the open descriptor, not its path. So the kernel's short name
//! of the process (`/proc/PID/comm`) is that descriptor's number; its first argument is the path. A script is executed
//! by its path, since its interpreter opens it anew, and so its digest proves little.
//!
//! A plugin gets SIGTERM when this process ends in whatever way, SIGKILL included. The kernel ties that to the thread that
//! started it, and threads of a runtime come and go. So one thread that lives as long as the host starts all of them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc;

use command_fds::CommandFdExt as _;
use command_fds::FdMapping;
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, getpid, getppid, kill_process, set_parent_process_death_signal};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::warn;

use super::config::Program;
use super::identity::{Hasher, Identity, Proof};
use super::ownership::{foreign_directory, is_ours};
use super::stderr;
use crate::limits::{END_MAX, EXIT_GRACE, TERM_GRACE};

/// The first descriptor that is neither a plugin's nor one that any program expects something of.
const FIRST_FREE: i32 = 10;

/// A started plugin and its connection.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) stream: UnixStream,
    pub(crate) pid: Option<u32>,
    pub(crate) child: Child,
    pub(crate) identity: Identity,
    /// That the process still is what was started; absent for a script, whose interpreter is another file.
    pub(crate) proof: Option<Proof>,
}

/// The thread that starts plugins. It begins with the first of them.
#[derive(Debug)]
pub(crate) struct Launcher {
    hasher: Hasher,
    /// Most lines of a plugin's standard error that are logged in a second.
    log_lines: u32,
    thread: Option<(mpsc::Sender<Job>, oneshot::Receiver<()>)>,
}

/// What is to be started, and who is told what came of it.
struct Job(Program, Box<dyn FnOnce(io::Result<Launched>) + Send>);

impl Launcher {
    pub(crate) fn new(hasher: Hasher, log_lines: u32) -> Self {
        Self { hasher, log_lines, thread: None }
    }

    /// Has a plugin started. Its file is read before, which may take a while.
    pub(crate) fn launch(
        &mut self,
        program: Program,
        then: impl FnOnce(io::Result<Launched>) + Send + 'static,
    ) {
        match self.jobs() {
            Err(error) => then(Err(error)),
            Ok(jobs) => {
                if let Err(mpsc::SendError(Job(_, then))) = jobs.send(Job(program, Box::new(then))) {
                    then(Err(io::Error::other("the thread that starts plugins has ended")));
                }
            }
        }
    }

    /// Ends the thread, and with it every plugin that still runs.
    pub(crate) async fn end(self) {
        if let Some((jobs, ended)) = self.thread {
            drop(jobs);
            drop(timeout(END_MAX, ended).await);
        }
    }

    fn jobs(&mut self) -> io::Result<&mpsc::Sender<Job>> {
        let thread = match self.thread.take() {
            Some(thread) => thread,
            None => {
                let (jobs, receiver) = mpsc::channel::<Job>();
                let (sender, ended) = oneshot::channel();
                let (hasher, log_lines, runtime) = (self.hasher.clone(), self.log_lines, Handle::current());
                std::thread::Builder::new().name("nri-launch".to_owned()).spawn(move || {
                    let runtime = runtime.enter();
                    for Job(program, then) in receiver {
                        then(launch(&program, &hasher, log_lines));
                    }
                    drop(runtime);
                    drop(sender);
                })?;
                (jobs, ended)
            }
        };
        Ok(&self.thread.insert(thread).0)
    }
}

/// Starts a plugin: one argument, exactly three variables, descriptor 3.
fn launch(program: &Program, hasher: &Hasher, log_lines: u32) -> io::Result<Launched> {
    // A name without a slash would be looked up in PATH.
    let path = std::path::absolute(&program.path)?;
    let executable = Executable::open(&path, hasher)?;
    let (ours, theirs) = StdStream::pair()?;
    ours.set_nonblocking(true)?;
    // From here on the kernel tells who sends what.
    rustix::net::sockopt::set_socket_passcred(&ours, true)?;
    let mut command = std::process::Command::new(executable.path(&path));
    match program.args.split_first() {
        Some((first, rest)) => command.arg0(first).args(rest),
        None => command.arg0(&path),
    };
    command
        .env_clear()
        .env("NRI_PLUGIN_NAME", program.name.base())
        .env("NRI_PLUGIN_IDX", program.name.index())
        .env("NRI_PLUGIN_SOCKET", "3")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // Signals from a terminal are for the host; it ends its plugins in order.
        .process_group(0)
        .fd_mappings(vec![FdMapping { parent_fd: theirs.into(), child_fd: 3 }])
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    confine(&mut command);
    let mut child = Command::from(command).kill_on_drop(true).spawn()?;
    let pid = child.id();
    let file = File::from(executable.file).metadata()?;
    let proof = pid.filter(|_| !executable.script).map(|pid| Proof::of_launched(pid, &file));
    if let Some(stderr) = child.stderr.take() {
        tokio::spawn(stderr::log(stderr, program.name.full().to_owned(), pid, log_lines));
    }
    Ok(Launched { stream: UnixStream::from_std(ours)?, pid, child, identity: executable.identity, proof })
}

/// A plugin's file.
struct Executable {
    file: OwnedFd,
    /// It is opened anew by whatever interprets it.
    script: bool,
    identity: Identity,
}

impl Executable {
    fn open(path: &Path, hasher: &Hasher) -> io::Result<Self> {
        // What is no file might have no end, or keep whoever opens it waiting.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
        let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        let script = is_script(&mut file)?;
        let identity = identify(path, &mut file, script, hasher);
        // Not where the plugin's own descriptors go.
        let file = rustix::io::fcntl_dupfd_cloexec(&file, FIRST_FREE)?;
        Ok(Self { file, script, identity })
    }

    /// By which path to execute it.
    fn path(&self, path: &Path) -> PathBuf {
        if self.script { path.to_owned() } else { format!("/proc/self/fd/{}", self.file.as_raw_fd()).into() }
    }
}

/// What the file proves: its path and content, unless others may change them.
fn identify(path: &Path, file: &mut File, script: bool, hasher: &Hasher) -> Identity {
    // Links are how plugins are installed; what counts is where the file really is.
    let (path, foreign) = match std::fs::canonicalize(path).and_then(|path| Ok((foreign(&path, file)?, path)))
    {
        Ok((foreign, path)) => (path, foreign),
        Err(error) => (path.to_owned(), Some(error.to_string())),
    };
    if let Some(why) = foreign {
        warn!(path = %path.display(), "this plugin has no proven identity: {why}");
        return Identity { launched: true, script, ..Identity::default() };
    }
    let digest = hasher.read(file, &|| false);
    if let Err(error) = &digest {
        warn!(path = %path.display(), "no digest of this plugin: {error}");
    }
    Identity::of_launched(&path, digest.ok(), script)
}

/// Who else may change a file or where it is, and what to do about it.
fn foreign(path: &Path, file: &File) -> io::Result<Option<String>> {
    if !is_ours(&file.metadata()?) {
        return Ok(Some("others than root may change its file; chown it and chmod go-w it".to_owned()));
    }
    let directory = foreign_directory(path)?;
    Ok(directory.map(|directory| {
        format!(
            "others than root may change the directory {}; chown it and chmod go-w it",
            directory.display()
        )
    }))
}

/// What is no ELF file is opened anew by whatever interprets it.
fn is_script(file: &mut File) -> io::Result<bool> {
    let mut start = Vec::new();
    file.take(4).read_to_end(&mut start)?;
    file.rewind()?;
    Ok(start != b"\x7fELF")
}

/// Has a process end with this one, and inherit nothing but what it was given.
#[expect(unsafe_code, reason = "what happens between fork and exec is up to the caller")]
fn confine(command: &mut std::process::Command) {
    let host = getpid();
    let before_exec = move || {
        set_parent_process_death_signal(Some(Signal::TERM))?;
        if getppid() != Some(host) {
            // The host ended before it could be watched.
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        // SAFETY: the call marks descriptors to be closed by exec, and touches no memory.
        match unsafe { libc::syscall(libc::SYS_close_range, 4, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: nothing but system calls, which is what a process may do that was forked from one with several threads.
    unsafe { command.pre_exec(before_exec) };
}

/// Waits for the process to end, or for the word to end it. Gives what became of it, once it is reaped.
pub(crate) async fn mind(mut child: Child, mut end: oneshot::Receiver<()>) -> String {
    let status = tokio::select! {
        status = child.wait() => status,
        _ = &mut end => stop(&mut child).await,
    };
    match status {
        Ok(status) => format!("its process ended: {status}"),
        Err(error) => format!("its process cannot be waited for: {error}"),
    }
}

async fn stop(child: &mut Child) -> io::Result<std::process::ExitStatus> {
    if let Ok(status) = timeout(EXIT_GRACE, child.wait()).await {
        return status;
    }
    // The process is not reaped yet, so the number is still its own.
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw)
        && let Err(error) = kill_process(pid, Signal::TERM)
    {
        warn!(?pid, "SIGTERM: {error}");
    }
    if let Ok(status) = timeout(TERM_GRACE, child.wait()).await {
        return status;
    }
    child.start_kill()?;
    child.wait().await
}
