//! `-t`: a terminal of the container's own. The runtime sends its controlling side through a socket; two threads
//! carry bytes between it and our own terminal, which is in raw mode meanwhile and restored whatever happens.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use tokio::net::{UnixListener, UnixStream};

use crate::failure::Failure;

/// The runtime connects while it creates the container; after `create` has returned it has done so.
const HANDOVER: Duration = Duration::from_secs(10);

/// After the container's end, output still in the terminal's buffer gets this long to drain. Processes that outlive
/// the container (in a shared pid namespace) can hold the terminal open for ever.
const DRAIN: Duration = Duration::from_secs(1);

/// What ends input when our stdin is no terminal and ends (Ctrl-D).
const END_OF_INPUT: &[u8] = &[4];

/// Whether stdin and stdout are a terminal, the default of `-t`.
pub(crate) fn is_ours() -> bool {
    isatty(stdin()) && isatty(stdout())
}

/// The socket that the runtime sends the terminal through.
pub(crate) struct Console {
    listener: UnixListener,
    pub(crate) path: PathBuf,
}

/// The container's terminal, connected to ours.
pub(crate) struct Terminal {
    controller: OwnedFd,
    raw: Option<Raw>,
    output: JoinHandle<()>,
}

/// Our own terminal in raw mode; back to what it was when dropped.
struct Raw {
    before: Termios,
}

impl Console {
    /// # Errors
    /// The socket cannot be made in this directory.
    pub(crate) fn listen(dir: &Path) -> Result<Self, Failure> {
        let path = dir.join("console.sock");
        let listener = UnixListener::bind(&path)
            .map_err(|error| Failure::unavailable(format!("cannot listen on {}: {error}", path.display())))?;
        Ok(Self { listener, path })
    }

    /// Takes the terminal that the runtime has sent.
    ///
    /// # Errors
    /// No descriptor came.
    pub(crate) async fn accept(self) -> Result<OwnedFd, Failure> {
        let receive = async {
            let (stream, _) = self.listener.accept().await?;
            loop {
                stream.readable().await?;
                match receive(&stream) {
                    Err(rustix::io::Errno::AGAIN) => {}
                    result => return result.map_err(std::io::Error::from),
                }
            }
        };
        tokio::time::timeout(HANDOVER, receive)
            .await
            .map_err(|_| Failure::unavailable("the runtime sent no terminal"))?
            .map_err(|error| {
                Failure::unavailable(format!("cannot receive the container's terminal: {error}"))
            })?
            .ok_or_else(|| Failure::unavailable("the runtime sent no terminal"))
    }
}

/// One message with the descriptor; its text is the name of the device.
fn receive(stream: &UnixStream) -> rustix::io::Result<Option<OwnedFd>> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut text = [0; 256];
    recvmsg(stream, &mut [std::io::IoSliceMut::new(&mut text)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    Ok(descriptors.find_map(|mut descriptors| descriptors.next()))
}

impl Terminal {
    /// Connects the container's terminal to ours, which is in raw mode from here on.
    ///
    /// # Errors
    /// Our terminal refuses raw mode, or a thread cannot be started.
    pub(crate) fn connect(controller: OwnedFd) -> std::io::Result<Self> {
        resize(&controller);
        let raw = Raw::enter()?;
        let (from, to) = (File::from(controller.try_clone()?), File::from(controller.try_clone()?));
        let output = std::thread::Builder::new().name("terminal-output".into()).spawn(move || {
            let Ok(to) = stdout().try_clone_to_owned() else { return };
            carry(from, File::from(to));
        })?;
        let ends = raw.is_none();
        // This thread sits in a read of our stdin and is left there when we end.
        std::thread::Builder::new().name("terminal-input".into()).spawn(move || input(to, ends))?;
        Ok(Self { controller, raw, output })
    }

    /// Gives the container's terminal the size of ours.
    pub(crate) fn resize(&self) {
        resize(&self.controller);
    }

    /// Puts our terminal into the state that it had, for a stop; [`Terminal::resume`] undoes that.
    pub(crate) fn suspend(&mut self) {
        self.raw = None;
    }

    /// # Errors
    /// The terminal refuses raw mode.
    pub(crate) fn resume(&mut self) -> std::io::Result<()> {
        self.raw = Raw::enter()?;
        resize(&self.controller);
        Ok(())
    }

    /// Carries what is left of the output, then restores our terminal.
    pub(crate) async fn finish(self) {
        let Self { controller, raw, output } = self;
        drop(controller);
        let drained = tokio::task::spawn_blocking(move || output.join());
        drop(tokio::time::timeout(DRAIN, drained).await);
        drop(raw);
    }
}

impl Raw {
    /// Nothing is to be done where stdin is no terminal.
    fn enter() -> std::io::Result<Option<Self>> {
        if !isatty(stdin()) {
            return Ok(None);
        }
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        crate::log::raw(true);
        Ok(Some(Self { before }))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        crate::log::raw(false);
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &self.before);
    }
}

fn resize(controller: &OwnedFd) {
    let ours = [stdin(), stdout()].into_iter().find(|fd| isatty(fd));
    if let Some(size) = ours.and_then(|fd| tcgetwinsize(fd).ok()) {
        let _ = tcsetwinsize(controller.as_fd(), size);
    }
}

/// Copies until the other side is closed (which a terminal reports as EIO) or nobody reads us any more.
fn carry(mut from: impl Read, mut to: impl Write) {
    let mut buffer = [0; 8192];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => {
                let Some(bytes) = buffer.get(..length) else { return };
                if to.write_all(bytes).and_then(|()| to.flush()).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

fn input(mut to: File, ends: bool) {
    let Ok(from) = stdin().try_clone_to_owned() else { return };
    carry(File::from(from), &mut to);
    if ends {
        drop(to.write_all(END_OF_INPUT));
    }
}
