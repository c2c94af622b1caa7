//! What a plugin's log may want to say about its connection.

use std::fmt;
use std::time::Duration;

use nri_wire::event::EventMask;
use nri_wire::ttrpc::Status;

use crate::session::Runtime;

/// Something happened on the connection. Its text is a line for a log.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Notice<'a> {
    /// The runtime has configured the plugin.
    Connected {
        /// What it said of itself.
        runtime: &'a Runtime,
        /// What the plugin subscribed to.
        events: EventMask,
    },
    /// There is no connection (any more), and there will be another attempt.
    Waiting {
        /// Why.
        why: &'a str,
        /// When it comes.
        retry_in: Duration,
    },
    /// The runtime refused events; the plugin goes on without them.
    EventsCut {
        /// The events that it will not get.
        events: EventMask,
    },
    /// A request was answered with an error.
    Failed {
        /// The call.
        method: &'a str,
        /// The answer.
        status: &'a Status,
    },
}

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected { runtime, events } => write!(f, "connected to {runtime} for {events}"),
            Self::Waiting { why, retry_in } => write!(f, "{why}; next attempt in {retry_in:?}"),
            Self::EventsCut { events } => {
                write!(f, "the runtime does not know all events; going on without {events}")
            }
            Self::Failed { method, status } => write!(f, "{method} failed: {}", status.message),
        }
    }
}
