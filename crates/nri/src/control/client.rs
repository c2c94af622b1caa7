//! The side of commands that ask a running gateway.

use std::io::{self, ErrorKind};
use std::path::Path;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{ANSWER_MAX, PATIENCE, Refusal, Request, VERSION};
use crate::failure::Failure;

/// Asks the gateway at a socket. `command` is who asks, for the messages.
///
/// # Errors
/// Nobody answers there, or not as is expected.
pub(crate) fn ask(socket: &Path, action: &str, command: &str) -> Result<Value, Failure> {
    let at = socket.display();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::unavailable(format!("failed to start: {error}")))?;
    // Twice: one for the gateway to do it, one for the line to travel.
    let answer = runtime.block_on(async { timeout(2 * PATIENCE, exchange(socket, action)).await });
    let answer = match answer {
        Err(_) => return Err(Failure::unavailable(format!("the gateway at {at} does not answer in time"))),
        Ok(Err(error)) => return Err(unreachable(&error, socket, command)),
        Ok(Ok(answer)) => answer,
    };
    let answer: Value = serde_json::from_slice(&answer).map_err(|error| {
        Failure::unavailable(format!(
            "the answer at {at} is not a gateway's: {error}; is it another program's socket?"
        ))
    })?;
    if let Ok(refusal) = serde_json::from_value::<Refusal>(answer.clone()) {
        return Err(Failure::unavailable(format!("the gateway at {at} refuses: {}", refusal.error.message)));
    }
    match answer.get("version").and_then(Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => Ok(answer),
        _ => Err(Failure::unavailable(format!(
            "the gateway at {at} does not speak version {VERSION} of the protocol; use the `nri` that it was started from"
        ))),
    }
}

async fn exchange(socket: &Path, action: &str) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket).await?;
    let request = Request { version: VERSION, action: action.to_owned() };
    let mut line = serde_json::to_vec(&request)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = Vec::new();
    let length = stream.take(ANSWER_MAX + 1).read_to_end(&mut answer).await?;
    if length == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(answer)
}

fn unreachable(error: &io::Error, socket: &Path, command: &str) -> Failure {
    let at = socket.display();
    Failure::unavailable(match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            format!("no gateway listens at {at}; start `nri gateway`, or name its socket with --control PATH")
        }
        ErrorKind::PermissionDenied => format!("{command} needs root, to ask the gateway at {at}"),
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
            format!(
                "the gateway at {at} ended the connection: it answers to root, and to few at once; try again as root"
            )
        }
        _ => format!("failed to ask the gateway at {at}: {error}"),
    })
}
