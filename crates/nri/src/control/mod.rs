//! The control socket of a gateway: how other commands ask a running one (cli.md, "nri plugins").
//!
//! A connection carries one request and one answer, each a line of JSON: `{"version":1,"do":"plugins"}`, and a [`Report`]
//! or `{"version":1,"error":{"kind":"…","message":"…"}}`. Only root and the gateway's own user get an answer.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `server` | the gateway's side |
//! | `client` | the side of commands |
//! | `report` | what the gateway tells of itself |
//! | [`plugins`] | `nri plugins` |

mod client;
pub(crate) mod plugins;
mod report;
mod server;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use self::report::{Engine, Report, Unseen};
pub(crate) use self::server::{Server, Source, is_trusted};

/// Where a gateway listens unless `--control` says otherwise.
pub(crate) const SOCKET: &str = "/run/nri/control.sock";

/// Version of the protocol and of its forms.
const VERSION: u32 = 1;
/// Longest request, in bytes with its end of line.
const REQUEST_MAX: usize = 4096;
/// Longest answer that a command takes, in bytes.
const ANSWER_MAX: u64 = 16 << 20;
/// Most connections at once; more are closed at once.
const CONNECTIONS_MAX: usize = 16;
/// How long either side may take for its line.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a command asks.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    version: u32,
    #[serde(rename = "do")]
    action: String,
}

/// Why there is no other answer.
#[derive(Debug, Serialize, Deserialize)]
struct Refusal {
    version: u32,
    error: Reason,
}

#[derive(Debug, Serialize, Deserialize)]
struct Reason {
    /// `request`: it cannot be read; `version`: of the protocol; `unknown`: no such thing to do; `busy`: no answer in time.
    kind: String,
    message: String,
}

impl Refusal {
    fn new(kind: &str, message: impl Into<String>) -> Self {
        Self { version: VERSION, error: Reason { kind: kind.to_owned(), message: message.into() } }
    }
}
