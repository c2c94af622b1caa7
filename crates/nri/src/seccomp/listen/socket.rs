//! The socket itself: made, owned and removed by us, and talked to by root or our own user only.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use tokio::net::{UnixListener, UnixStream};

use crate::failure::Failure;

/// A listening socket that is removed when this is dropped.
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: what is removed must be ours.
    inode: (u64, u64),
}

impl Socket {
    /// Makes the socket with mode 0600. One that a dead process left behind is replaced.
    pub(super) fn bind(path: &Path) -> Result<Self, Failure> {
        let failed = |what: &str, error: &io::Error| {
            Failure::unavailable(format!("failed to {what} {}: {error}", path.display()))
        };
        match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("look at", &error)),
            Ok(found) if !found.file_type().is_socket() => {
                return Err(Failure::usage(format!(
                    "{} exists and is no socket; remove it or name another path",
                    path.display()
                )));
            }
            Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    std::fs::remove_file(path).map_err(|error| failed("replace the stale socket", &error))?;
                }
                Err(error) => return Err(failed("see whether somebody listens at", &error)),
                Ok(_) => {
                    return Err(Failure::unavailable(format!(
                        "somebody listens at {} already; end that process or name another path",
                        path.display()
                    )));
                }
            },
        }
        // The mode must be right from the first moment; no other thread makes files here.
        let before = rustix::process::umask(Mode::from_raw_mode(0o177));
        let bound = UnixListener::bind(path);
        rustix::process::umask(before);
        let listener = bound.map_err(|error| failed("listen at", &error))?;
        let inode = inode(path).map_err(|error| failed("look at", &error))?;
        Ok(Self { listener, path: path.to_owned(), inode })
    }

    /// The next peer that may talk to us; `None` for one that may not.
    pub(super) async fn accept(&self) -> Option<UnixStream> {
        let stream = match self.listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, mostly: others end in time, and a busy loop helps nobody.
                tracing::warn!("failed to accept a connection: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                return None;
            }
        };
        match stream.peer_cred() {
            Ok(peer) if peer.uid() == 0 || peer.uid() == rustix::process::geteuid().as_raw() => Some(stream),
            Ok(peer) => {
                tracing::warn!(uid = peer.uid(), "connection refused: neither root nor our own user");
                None
            }
            Err(error) => {
                tracing::warn!("connection refused: peer unknown: {error}");
                None
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|inode| inode == self.inode)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!("failed to remove {}: {error}", self.path.display());
        }
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn sockets_are_private_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let socket = Socket::bind(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let second = Socket::bind(&path).err().unwrap().to_string();
        assert!(second.contains("listens at"), "{second}");
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        drop(Socket::bind(&path).unwrap());
        std::fs::write(&path, "x").unwrap();
        assert!(Socket::bind(&path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"x");
    }

    /// Somebody else's socket at our path is not ours to remove.
    #[tokio::test]
    async fn only_our_own_socket_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let socket = Socket::bind(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let _other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(socket);
        assert!(path.exists());
    }
}
