//! Who may talk to us: root and our own user. The socket itself is made as those for plugins are.

use std::path::Path;
use std::time::Duration;

use nri_runtime::host::{ListenError, Listener};
use tokio::net::UnixStream;

use crate::failure::Failure;

/// Pause after a failed accept: out of descriptors, mostly. Others end in time, and a busy loop helps nobody.
const PAUSE: Duration = Duration::from_millis(100);

/// Listens with mode 0600. The socket of a process that is gone is replaced.
///
/// # Errors
/// What is in the way; a file that is no socket is the caller's own mistake.
pub(super) fn bind(path: &Path) -> Result<Listener, Failure> {
    Listener::bind(&path.to_owned().into()).map_err(|error| match error {
        ListenError::NotASocket(_) => Failure::usage(format!("failed to {error}")),
        _ => Failure::unavailable(format!("failed to {error}")),
    })
}

/// The next peer that may talk to us; `None` for one that may not.
pub(super) async fn accept(listener: &Listener) -> Option<UnixStream> {
    let stream = match listener.accept().await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!("failed to accept a connection: {error}");
            tokio::time::sleep(PAUSE).await;
            return None;
        }
    };
    match stream.peer_cred() {
        Ok(peer) if crate::control::is_trusted(peer.uid()) => Some(stream),
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
