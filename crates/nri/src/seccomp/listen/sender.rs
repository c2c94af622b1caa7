//! What a runtime sends: a container process state as JSON, with the descriptors it names beside it (OCI runtime spec,
//! "The Container Process State").
//!
//! runc sends one line, crun several; the pid may be 0; a runtime may send more than one state, and one state may come in
//! pieces. Whoever sends is root or our own user, and bounded all the same.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use serde_json::Value;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// Most bytes of one state; a runtime's has a few hundred, and annotations go along.
const STATE_MAX: usize = 256 << 10;
/// Most descriptors that may wait for the state which names them.
const DESCRIPTORS_MAX: usize = 16;
/// Longest a connection may take from the first byte of a state to its last.
const PATIENCE: Duration = Duration::from_secs(10);
/// The name of a listener's descriptor (OCI runtime spec).
const LISTENER: &str = "seccompFd";

/// Whose notifications they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) id: String,
    /// The policy's `listenerMetadata`.
    pub(super) metadata: String,
}

/// A container's listeners, as one state handed them over.
pub(super) struct Delivery {
    pub(super) container: Container,
    pub(super) descriptors: Vec<OwnedFd>,
}

/// Takes what one runtime sends until it closes, errs or dawdles.
pub(super) async fn receive(stream: UnixStream, deliver: mpsc::Sender<Delivery>) {
    let mut pending = Pending::default();
    loop {
        match tokio::time::timeout(PATIENCE, read(&stream, &mut pending)).await {
            Err(_) => return refuse("nothing came for 10 seconds"),
            Ok(Err(error)) => return refuse(&error.to_string()),
            Ok(Ok(true)) => {}
            Ok(Ok(false)) if pending.is_empty() => return,
            Ok(Ok(false)) => return refuse("it closed in the middle of a state"),
        }
        loop {
            match pending.take() {
                Ok(Some(delivery)) => {
                    if deliver.send(delivery).await.is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(why) => return refuse(&why),
            }
        }
    }
}

fn refuse(why: &str) {
    tracing::warn!("connection of a runtime ended: {why}");
}

/// One message; whether there was one.
async fn read(stream: &UnixStream, pending: &mut Pending) -> io::Result<bool> {
    loop {
        stream.readable().await?;
        match stream.try_io(Interest::READABLE, || pending.read(stream)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}

/// What has come and is not used up.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.descriptors.is_empty() && self.bytes.iter().all(u8::is_ascii_whitespace)
    }

    fn read(&mut self, stream: &UnixStream) -> io::Result<bool> {
        let mut bytes = [0; 16 << 10];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let message = recvmsg(
            stream,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut ancillary,
            RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC,
        )?;
        for part in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = part {
                self.descriptors.extend(descriptors);
            }
        }
        // The kernel has closed what did not fit.
        if message.flags.contains(ReturnFlags::CTRUNC) || self.descriptors.len() > DESCRIPTORS_MAX {
            return Err(io::Error::other(format!("it sent more than {DESCRIPTORS_MAX} descriptors")));
        }
        self.bytes.extend(bytes.iter().take(message.bytes));
        if self.bytes.len() > STATE_MAX {
            return Err(io::Error::other(format!("its state is longer than {STATE_MAX} bytes")));
        }
        Ok(message.bytes > 0)
    }

    /// The next state that is complete, with its descriptors.
    fn take(&mut self) -> Result<Option<Delivery>, String> {
        let mut states = serde_json::Deserializer::from_slice(&self.bytes).into_iter::<Value>();
        let state = match states.next() {
            None => return Ok(None),
            Some(Err(error)) if error.is_eof() => return Ok(None),
            Some(Err(error)) => return Err(format!("its state is no JSON: {error}")),
            Some(Ok(state)) => state,
        };
        let end = states.byte_offset();
        let (container, names) = parse(&state)?;
        self.bytes.drain(..end);
        if names.len() > self.descriptors.len() {
            let (named, came) = (names.len(), self.descriptors.len());
            return Err(format!("its state names {named} descriptors and {came} came"));
        }
        let mut descriptors = Vec::new();
        for (name, descriptor) in names.iter().zip(self.descriptors.drain(..names.len())) {
            match (name == LISTENER, is_listener(&descriptor)) {
                (true, true) => descriptors.push(descriptor),
                (true, false) => return Err("its seccompFd is no seccomp listener".to_owned()),
                (false, _) => tracing::debug!(name, "descriptor of another kind closed"),
            }
        }
        Ok(Some(Delivery { container, descriptors }))
    }
}

/// The container and the names of its descriptors, in order.
fn parse(state: &Value) -> Result<(Container, Vec<String>), String> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let id = text(state.pointer("/state/id")).ok_or("its state has no state.id")?;
    let metadata = text(state.get("metadata")).unwrap_or_default();
    let names = state
        .get("fds")
        .and_then(Value::as_array)
        .and_then(|names| names.iter().map(|name| text(Some(name))).collect::<Option<Vec<String>>>())
        .ok_or("its state has no list of names in fds")?;
    if !names.iter().any(|name| name == LISTENER) {
        return Err(format!("its state names no {LISTENER}"));
    }
    Ok((Container { id, metadata }, names))
}

/// What the ioctls of a notification mean on a descriptor of another kind is anyone's guess.
fn is_listener(descriptor: &OwnedFd) -> bool {
    std::fs::read_link(format!("/proc/self/fd/{}", descriptor.as_raw_fd()))
        .is_ok_and(|target| target.as_os_str() == "anon_inode:seccomp notify")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(text: &str, descriptors: usize) -> Pending {
        let open = || std::fs::File::open("/dev/null").unwrap().into();
        Pending { bytes: text.as_bytes().to_vec(), descriptors: (0..descriptors).map(|_| open()).collect() }
    }

    #[test]
    fn states_in_all_forms() {
        let lines = "{\n  \"ociVersion\": \"1.0\",\n  \"fds\": [\n    \"other\",\n \"seccompFd\"], \"pid\": 0,\n \"metadata\": \"m\", \"state\": {\"id\": \"c\"}\n}\n";
        let (container, names) = parse(&serde_json::from_str(lines).unwrap()).unwrap();
        assert_eq!(container, Container { id: "c".into(), metadata: "m".into() });
        assert_eq!(names, ["other", "seccompFd"]);
    }

    #[test]
    fn what_is_not_complete_waits() {
        for text in ["", " \n", "{", "{\"fds\": [\"seccompFd\"], \"state\": {\"id\": \"c"] {
            assert!(matches!(pending(text, 1).take(), Ok(None)), "{text}");
        }
        assert!(pending(" \n", 0).is_empty());
        assert!(!pending("", 1).is_empty());
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for (text, descriptors, expect) in [
            ("x", 1, "no JSON"),
            ("[]", 1, "state.id"),
            (r#"{"state":{"id":"c"}}"#, 1, "fds"),
            (r#"{"fds":[1],"state":{"id":"c"}}"#, 1, "fds"),
            (r#"{"fds":["x"],"state":{"id":"c"}}"#, 1, "seccompFd"),
            (r#"{"fds":["x","seccompFd"],"state":{"id":"c"}}"#, 1, "names 2 descriptors and 1 came"),
            (r#"{"fds":["seccompFd"],"state":{"id":"c"}}"#, 1, "no seccomp listener"),
        ] {
            let why = pending(text, descriptors).take().err().unwrap();
            assert!(why.contains(expect), "{text}: {why}");
        }
    }
}
