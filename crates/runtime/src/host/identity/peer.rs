//! What the kernel knows of a peer when its connection is accepted. Nothing here waits for anybody: the executable is
//! only held, for [`super::Hasher`] to read later.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;
use tracing::debug;

use super::{Identity, Proof, cgroup, socket};
use crate::limits::PROC_TEXT_MAX;

/// A peer as it was found.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Its process, unless that is in a PID namespace that we do not see.
    pub(crate) pid: Option<u32>,
    pub(crate) identity: Identity,
    /// Tells when the process ends; absent where that cannot be told.
    pub(crate) exit: Option<Exit>,
    /// That it still is what it was found to be.
    pub(crate) proof: Option<Proof>,
    /// The file that it executes, open for its path.
    pub(crate) image: Option<OwnedFd>,
}

/// The end of a process, or that it is over.
#[derive(Debug)]
pub(crate) struct Exit(Option<AsyncFd<OwnedFd>>);

impl Exit {
    fn of(pidfd: OwnedFd) -> Option<Self> {
        #[expect(unsafe_code, reason = "tokio wants a promise about the descriptor")]
        // SAFETY: an `OwnedFd` is open and stays the same descriptor for as long as the `AsyncFd` owns it.
        unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }.ok().map(|fd| Self(Some(fd)))
    }

    /// Waits for it.
    pub(crate) async fn wait(&self) {
        if let Some(fd) = &self.0
            && fd.readable().await.is_err()
        {
            // The runtime ends, and everything with it.
            std::future::pending::<()>().await;
        }
    }
}

/// Asks the kernel who connected.
pub(crate) fn observe(stream: &UnixStream) -> Seen {
    let Ok(cred) = stream.peer_cred() else { return Seen::default() };
    let pid = cred.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0);
    let mut seen = Seen {
        pid,
        identity: Identity {
            uid: Some(cred.uid()),
            gid: Some(cred.gid()),
            groups: socket::peer_groups(stream).unwrap_or_default(),
            label: socket::peer_label(stream).ok(),
            ..Identity::default()
        },
        ..Seen::default()
    };
    let process = pid.map(|pid| PathBuf::from(format!("/proc/{pid}")));
    let started = process.as_deref().and_then(start_time);
    match pidfd(stream, pid) {
        Ok(pidfd) => {
            let mut facts = seen.identity.clone();
            let proof = pid.map(Proof::of);
            let image = process.as_deref().and_then(|process| read(process, &mut facts));
            // The number was the peer's for as long as the process is the same and alive.
            if is_alive(&pidfd) && started.is_some() && started == process.as_deref().and_then(start_time) {
                (seen.identity, seen.image, seen.proof) = (facts, image, proof);
            }
            seen.exit = Exit::of(pidfd);
        }
        Err(error) if matches!(error.raw_os_error(), Some(libc::ESRCH | libc::EINVAL)) => {
            seen.exit = Some(Exit(None));
        }
        Err(error) => debug!(pid, "no descriptor of the peer's process: {error}"),
    }
    seen
}

/// A descriptor of the peer's process. Kernels before 6.5 can only be asked by its number.
fn pidfd(stream: &UnixStream, pid: Option<u32>) -> io::Result<OwnedFd> {
    match socket::peer_pidfd(stream) {
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {
            let pid = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw).ok_or(error)?;
            Ok(pidfd_open(pid, PidfdFlags::NONBLOCK)?)
        }
        other => other,
    }
}

fn is_alive(pidfd: impl AsFd) -> bool {
    let mut polled = [PollFd::new(&pidfd, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) == Ok(0)
}

/// Adds what `/proc` says. Gives the executable.
fn read(process: &Path, facts: &mut Identity) -> Option<OwnedFd> {
    if let Some(place) = text(&process.join("cgroup")).and_then(|text| cgroup::place(&text)) {
        facts.cgroup = Some(place.path);
        facts.systemd_unit = place.unit;
        facts.container_id = place.container;
    }
    if is_in_our_mount_namespace(process) {
        facts.exe = std::fs::read_link(process.join("exe")).ok().filter(|path| is_there(path.as_os_str()));
    }
    rustix::fs::open(process.join("exe"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()
}

fn is_in_our_mount_namespace(process: &Path) -> bool {
    let ours = std::fs::read_link("/proc/self/ns/mnt");
    let theirs = std::fs::read_link(process.join("ns/mnt"));
    matches!((ours, theirs), (Ok(ours), Ok(theirs)) if ours == theirs)
}

/// proc(5): a path that cannot be reached does not begin with a slash; one that leads to another file by now, if to
/// any, ends with a remark.
pub(super) fn is_there(path: &OsStr) -> bool {
    let path = path.as_bytes();
    path.starts_with(b"/") && !path.ends_with(b" (deleted)")
}

fn start_time(process: &Path) -> Option<u64> {
    started(&text(&process.join("stat"))?)
}

/// When a process started, in ticks since boot: field 22 of `/proc/PID/stat`. Its second field is a name in brackets, in
/// which there may be blanks and brackets.
pub(super) fn started(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
}

pub(super) fn text(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(PROC_TEXT_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}
