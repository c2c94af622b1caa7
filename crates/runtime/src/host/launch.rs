//! Processes of launched plugins (`spec/wire.md` 4.3): started with a socket as descriptor 3, heard on standard error,
//! ended and reaped in every case (quirks A15, A16, B7, B8).

use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::process::Stdio;
use std::time::Duration;

use command_fds::CommandFdExt as _;
use command_fds::FdMapping;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{info, warn};

use super::config::Program;
use crate::limits::{EXIT_GRACE, STDERR_LINE_MAX, TERM_GRACE};

/// A started plugin and its connection.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) stream: UnixStream,
    pub(crate) pid: Option<u32>,
    pub(crate) child: Child,
}

/// Starts a plugin: one argument, exactly three variables, descriptor 3.
pub(crate) fn launch(program: &Program) -> io::Result<Launched> {
    let (ours, theirs) = StdStream::pair()?;
    ours.set_nonblocking(true)?;
    // A name without a slash would be looked up in PATH.
    let mut command = std::process::Command::new(std::path::absolute(&program.path)?);
    if let Some((first, rest)) = program.args.split_first() {
        std::os::unix::process::CommandExt::arg0(&mut command, first);
        command.args(rest);
    }
    command
        .env_clear()
        .env("NRI_PLUGIN_NAME", program.name.base())
        .env("NRI_PLUGIN_IDX", program.name.index())
        .env("NRI_PLUGIN_SOCKET", "3")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    // Signals from a terminal are for the host; it ends its plugins in order.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
        .fd_mappings(vec![FdMapping { parent_fd: theirs.into(), child_fd: 3 }])
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let mut child = Command::from(command).kill_on_drop(true).spawn()?;
    let pid = child.id();
    if let Some(stderr) = child.stderr.take() {
        tokio::spawn(log_lines(stderr, program.name.full().to_owned(), pid));
    }
    Ok(Launched { stream: UnixStream::from_std(ours)?, pid, child })
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

/// Standard error, line by line; long lines in pieces.
async fn log_lines(stderr: impl AsyncRead + Unpin, plugin: String, pid: Option<u32>) {
    let pid = pid.unwrap_or_default();
    let mut lines = BufReader::with_capacity(STDERR_LINE_MAX, stderr);
    let mut line = Vec::new();
    loop {
        let (used, ended) = match lines.fill_buf().await {
            Ok([]) => break,
            Ok(piece) => match piece.iter().position(|&byte| byte == b'\n') {
                Some(at) => {
                    line.extend(piece.iter().take(at));
                    (at + 1, true)
                }
                None => {
                    line.extend_from_slice(piece);
                    (piece.len(), line.len() >= STDERR_LINE_MAX)
                }
            },
            Err(error) => {
                warn!(plugin, pid, "standard error: {error}");
                break;
            }
        };
        lines.consume(used);
        if ended {
            info!(plugin, pid, "{}", String::from_utf8_lossy(&line));
            line.clear();
        }
    }
    if !line.is_empty() {
        info!(plugin, pid, "{}", String::from_utf8_lossy(&line));
    }
}

/// Most time that a process may take to be gone after the word to end.
pub(crate) const END_MAX: Duration = Duration::from_secs(3);
