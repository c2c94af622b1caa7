//! Who sent a message: the kernel says so with each one (unix(7), `SO_PASSCRED`). A process that was handed somebody
//! else's connection is found out with its first message, also while the process that connected lives on
//! (`policy.md` 2, "Rules").
//!
//! What this cannot tell: a process that shares the descriptor and never writes, only reads; two threads of one
//! process; a process that has become another program under the same number (that is what rechecks are for).

use std::io;

use nri_wire::io::tokio::Receive;
use rustix::net::sockopt;
use tokio::net::UnixStream;

use super::socket;

/// Reads a connection and lets nobody speak on it but one process.
#[derive(Debug)]
pub(crate) struct Witness {
    /// 0: one that is in a PID namespace that we do not see.
    pid: i32,
}

impl Witness {
    /// Of a connection whose other end is this process. Only where the kernel told senders from the first byte on; that
    /// has to be asked for before anybody can send anything.
    pub(crate) fn of(stream: &UnixStream, pid: Option<u32>) -> Option<Self> {
        let told = sockopt::socket_passcred(stream).unwrap_or(false);
        told.then(|| Self { pid: pid.and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0) })
    }
}

impl Receive for Witness {
    fn receive(&mut self, stream: &UnixStream, buffer: &mut [u8]) -> io::Result<usize> {
        let (length, sender) = socket::receive(stream, buffer)?;
        if length == 0 {
            return Ok(0);
        }
        match sender {
            Some(sender) if sender == self.pid => Ok(length),
            sender => Err(io::Error::new(io::ErrorKind::PermissionDenied, self.accuse(sender))),
        }
    }
}

impl Witness {
    fn accuse(&self, sender: Option<i32>) -> String {
        match sender {
            Some(sender) => format!(
                "process {sender} wrote on the connection of process {}; a plugin must speak for itself (one that a script starts: launch the program)",
                self.pid
            ),
            None => "the kernel does not say who wrote on the connection".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream as StdStream;
    use std::process::Command;

    use super::*;
    use crate::host::listen::{Listener, Socket};

    /// Whoever got the descriptor of a connection from the process that made it is noticed, and nothing of what it says
    /// is read.
    #[tokio::test]
    async fn a_passed_descriptor_is_found_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nri.sock");
        let listener = Listener::bind(&Socket::from(path.clone())).unwrap();
        let mut client = StdStream::connect(&path).unwrap();
        // Before it is accepted, and after.
        client.write_all(b"first").unwrap();
        let stream = listener.accept().await.unwrap();
        client.write_all(b"second").unwrap();
        let mut witness = Witness::of(&stream, Some(std::process::id())).unwrap();
        let mut buffer = [0; 64];
        assert_eq!(witness.receive(&stream, &mut buffer).unwrap(), b"firstsecond".len());
        let again = witness.receive(&stream, &mut buffer).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::WouldBlock);

        client.write_all(b"own").unwrap();
        let passed = OwnedFd::from(client.try_clone().unwrap());
        assert!(Command::new("sh").args(["-c", "printf foreign"]).stdout(passed).status().unwrap().success());
        // The kernel does not mix what several processes wrote.
        assert_eq!(witness.receive(&stream, &mut buffer).unwrap(), b"own".len());
        let error = witness.receive(&stream, &mut buffer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
        assert!(error.to_string().contains("wrote on the connection of process"), "{error}");
        drop(client);
        assert_eq!(witness.receive(&stream, &mut buffer).unwrap(), 0);
    }

    /// Where the kernel was not asked in time, nobody is accused.
    #[tokio::test]
    async fn only_where_the_kernel_tells_senders() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        assert!(Witness::of(&ours, Some(1)).is_none());
    }
}
