//! The gateway's side of the control socket.

use std::path::Path;
use std::sync::Arc;

use nri_runtime::host::{Callback, ListenError, Listener};
use nri_runtime::limits::ACCEPT_PAUSE;
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::{CONNECTIONS_MAX, PATIENCE, REQUEST_MAX, Refusal, Report, Request, VERSION};

/// Who knows what is asked for.
pub(crate) trait Source: Send + Sync + 'static {
    /// The plugins and the engine as they are now.
    fn report(&self) -> Callback<'_, Report>;
}

/// The socket. Its file goes with it.
#[derive(Debug)]
pub(crate) struct Server {
    listener: Listener,
}

impl Server {
    /// Listens as plugin sockets do: mode 0600, the directory checked, what a dead process left replaced.
    ///
    /// # Errors
    /// A [`ListenError`]; `InUse` where another gateway lives.
    pub(crate) fn bind(path: &Path) -> Result<Self, ListenError> {
        Listener::bind(&path.to_owned().into()).map(|listener| Self { listener })
    }

    /// Answers for ever. Whoever lets go of this future closes the socket.
    pub(crate) async fn serve(self, source: Arc<dyn Source>) {
        let mut connections = JoinSet::new();
        let mut is_said = false;
        loop {
            let accepted = self.listener.accept().await;
            // Those that have ended make room.
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok(stream) if connections.len() < CONNECTIONS_MAX => {
                    connections.spawn(converse(stream, Arc::clone(&source)));
                    is_said = false;
                }
                // Once: whoever may connect could fill the log.
                Ok(_) if std::mem::replace(&mut is_said, true) => {}
                Ok(_) => warn!("too many connections on the control socket: refused"),
                Err(error) => {
                    warn!(path = %self.listener.path().display(), "failed to accept: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// One request, one answer.
async fn converse(mut stream: UnixStream, source: Arc<dyn Source>) {
    if !stream.peer_cred().is_ok_and(|peer| is_trusted(peer.uid())) {
        return warn!("a connection on the control socket is neither root's nor our own user's: refused");
    }
    let line = match timeout(PATIENCE, request(&mut stream)).await {
        Ok(Ok(line)) => line,
        Ok(Err(error)) => return debug!("failed to read on the control socket: {error}"),
        Err(_) => return debug!("a connection on the control socket was silent for too long"),
    };
    let mut answer = answer(&line, &*source).await;
    answer.push(b'\n');
    let sent = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await
    };
    if !matches!(timeout(PATIENCE, sent).await, Ok(Ok(()))) {
        debug!("an answer on the control socket was not taken");
    }
}

/// Root, or who could do all that we can.
pub(crate) fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// The first line, or what there is of it when it is too long.
async fn request(stream: &mut UnixStream) -> std::io::Result<Vec<u8>> {
    let (mut line, mut bytes) = (Vec::new(), [0; 1024]);
    while line.len() <= REQUEST_MAX {
        let length = stream.read(&mut bytes).await?;
        let read = bytes.get(..length).unwrap_or_default();
        let end = read.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(read.get(..end.unwrap_or(length)).unwrap_or_default());
        if length == 0 || end.is_some() {
            break;
        }
    }
    Ok(line)
}

async fn answer(line: &[u8], source: &dyn Source) -> Vec<u8> {
    if line.len() > REQUEST_MAX {
        return encode(&Refusal::new("request", format!("a request has at most {REQUEST_MAX} bytes")));
    }
    let request: Request = match serde_json::from_slice(line) {
        Ok(request) => request,
        Err(error) => {
            let expected = r#"{"version":1,"do":"plugins"}"#;
            return encode(&Refusal::new(
                "request",
                format!("{error}; expected is a line such as {expected}"),
            ));
        }
    };
    if request.version != VERSION {
        let message = format!("version {} of the protocol; this gateway speaks {VERSION}", request.version);
        return encode(&Refusal::new("version", message));
    }
    match request.action.as_str() {
        "plugins" => match timeout(PATIENCE, source.report()).await {
            Ok(report) => encode(&report),
            Err(_) => encode(&Refusal::new("busy", "the gateway did not get to it in time; try again")),
        },
        other => {
            let message = format!("do {other:?}: this gateway knows \"plugins\"");
            encode(&Refusal::new("unknown", message))
        }
    }
}

fn encode<T: Serialize>(answer: &T) -> Vec<u8> {
    // Our own forms have no keys that JSON does not take.
    serde_json::to_vec(answer).unwrap_or_default()
}
