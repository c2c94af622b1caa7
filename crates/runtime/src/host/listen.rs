//! Sockets for plugins that connect by themselves (`spec/wire.md` 4.1, quirks A1, A9).

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::{UnixListener, UnixSocket};

use super::ownership::is_ours;

/// Connections that may wait to be accepted; as the reference, the system's own limit.
const BACKLOG: u32 = 4096;

/// Where a host listens, and who may connect: whoever may write to the socket's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// What policies call it.
    pub name: Option<String>,
    /// Its file.
    pub path: PathBuf,
    /// The file's permissions.
    pub mode: u32,
    /// The group that owns the file, by number; that of this process if absent.
    pub group: Option<u32>,
}

impl From<PathBuf> for Socket {
    /// A socket for this user alone.
    fn from(path: PathBuf) -> Self {
        Self { name: None, path, mode: 0o600, group: None }
    }
}

/// A socket that listens. Its file goes with it.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    name: Option<Arc<str>>,
    path: PathBuf,
    inode: (u64, u64),
}

/// Why a socket cannot listen at a path.
#[derive(Debug)]
#[non_exhaustive]
pub enum ListenError {
    /// Another process listens there: its id and name, where the kernel and /proc say.
    InUse(PathBuf, Option<(i32, String)>),
    /// Something that is no socket is there.
    NotASocket(PathBuf),
    /// Others could put a socket of their own in its place.
    WritableByOthers(PathBuf),
    /// The system refuses.
    Io(PathBuf, io::Error),
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path, who) => {
                let who = match who {
                    Some((pid, name)) => format!("process {pid} ({name})"),
                    None => "another process".to_owned(),
                };
                let path = path.display();
                write!(f, "listen at {path}: {who} listens there; stop it or choose another path")
            }
            Self::NotASocket(path) => {
                write!(f, "listen at {}: there is something that is no socket; remove it", path.display())
            }
            Self::WritableByOthers(dir) => write!(
                f,
                "listen in {}: others may write to that directory and could replace the socket; chmod go-w it",
                dir.display()
            ),
            Self::Io(path, error) => write!(f, "listen at {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for ListenError {}

impl Listener {
    /// Listens: mode and group are right before anybody can connect, whatever the umask; the directory is made or
    /// checked, the socket of a process that is gone replaced, one of a live process left alone. A directory that is
    /// made gets mode 0700, or 0711 where the socket's mode lets others in.
    ///
    /// # Errors
    /// A [`ListenError`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn bind(socket: &Socket) -> Result<Self, ListenError> {
        let path = socket.path.as_path();
        let failed = |error| ListenError::Io(path.to_owned(), error);
        // The name that it is bound under may be shorter: then nobody could connect.
        SocketAddrUnix::new(path).map_err(|error| failed(error.into()))?;
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let dir_mode = if socket.mode & 0o077 == 0 { 0o700 } else { 0o711 };
        fs::DirBuilder::new().recursive(true).mode(dir_mode).create(dir).map_err(failed)?;
        check_directory(dir)?;
        check_free(path)?;
        let hidden = dir.join(hidden_name());
        let made = listen_hidden(&hidden, socket).and_then(|listener| {
            let metadata = fs::metadata(&hidden)?;
            fs::rename(&hidden, path)?;
            Ok((listener, metadata))
        });
        match made {
            Ok((listener, metadata)) => {
                let name = socket.name.as_deref().map(Arc::from);
                Ok(Self { listener, name, path: path.to_owned(), inode: (metadata.dev(), metadata.ino()) })
            }
            Err(error) => {
                drop(fs::remove_file(&hidden));
                Err(failed(error))
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What policies call it.
    pub(super) fn name(&self) -> Option<Arc<str>> {
        self.name.clone()
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// The system's; it may work the next time (quirk A9).
    pub async fn accept(&self) -> io::Result<tokio::net::UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Only our own: another process may have replaced it.
        if fs::symlink_metadata(&self.path).is_ok_and(|m| (m.dev(), m.ino()) == self.inode) {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Nobody can connect before the last step, when group and mode are right.
fn listen_hidden(path: &Path, socket: &Socket) -> io::Result<UnixListener> {
    let listener = UnixSocket::new_stream()?;
    listener.bind(path)?;
    // The group first: changing it may take permissions away.
    if let Some(group) = socket.group {
        chown(path, None, Some(group))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(socket.mode))?;
    // Accepted sockets inherit this: the kernel tells who sent each message, from the first byte on.
    rustix::net::sockopt::set_socket_passcred(&listener, true)?;
    listener.listen(BACKLOG)
}

fn check_directory(dir: &Path) -> Result<(), ListenError> {
    let metadata = fs::metadata(dir).map_err(|error| ListenError::Io(dir.to_owned(), error))?;
    if !is_ours(&metadata) {
        return Err(ListenError::WritableByOthers(dir.to_owned()));
    }
    Ok(())
}

/// Removes the socket of a process that is gone.
fn check_free(path: &Path) -> Result<(), ListenError> {
    let failed = |error| ListenError::Io(path.to_owned(), error);
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(ListenError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match connect(path) {
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(()),
        Ok(connection) => Err(ListenError::InUse(path.to_owned(), listening(&connection))),
        // Somebody listens, and takes his time to accept.
        Err(Errno::AGAIN) => Err(ListenError::InUse(path.to_owned(), None)),
        Err(error) => Err(failed(error.into())),
    }
}

/// Never waits: a process that does not accept would keep us for ever.
fn connect(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// Who made the other end's socket listen (`unix(7)`, `SO_PEERCRED`).
fn listening(connection: &OwnedFd) -> Option<(i32, String)> {
    let pid = net::sockopt::socket_peercred(connection).ok()?.pid.as_raw_nonzero().get();
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some((pid, name.trim_end().to_owned()))
}

fn hidden_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!(".nri{}.{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn bind(path: &Path) -> Result<Listener, ListenError> {
        Listener::bind(&path.to_owned().into())
    }

    #[tokio::test]
    async fn the_socket_is_private_and_goes_with_its_listener() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("deep/er/nri.sock");
        let listener = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        UnixStream::connect(&path).unwrap();
        let message = bind(&path).unwrap_err().to_string();
        assert!(message.contains(&format!(": process {} (", std::process::id())), "{message}");
        drop(listener);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_process_that_does_not_accept_is_live() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("nri.sock");
        let socket = net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        net::bind(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        net::listen(&socket, 0).unwrap();
        let mut waiting = 0;
        while connect(&path).is_ok() {
            waiting += 1;
        }
        assert!(waiting > 0);
        assert!(matches!(bind(&path), Err(ListenError::InUse(..))));
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_other_things_are_not() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("nri.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let listener = bind(&path).unwrap();
        UnixStream::connect(&path).unwrap();
        drop(listener);
        fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&path), Err(ListenError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        let open = root.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(bind(&open.join("s")), Err(ListenError::WritableByOthers(_))));
    }
    #[tokio::test]
    async fn mode_and_group_are_those_that_were_asked_for() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("new/nri.sock");
        let own = rustix::process::getegid().as_raw();
        let group = if rustix::process::geteuid().is_root() { 12_345 } else { own };
        let socket = Socket { mode: 0o660, group: Some(group), ..path.clone().into() };
        let listener = Listener::bind(&socket).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.mode() & 0o777, metadata.gid()), (0o660, group));
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o711);
        UnixStream::connect(&path).unwrap();
        drop(listener);
    }
}
