//! How a connection ended, and through whose fault.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::limits::{FRAME_MAX, PARTIAL_FRAME_TIMEOUT, PROTOCOL_ERRORS_MAX, REFUSALS_UNSENT_MAX};

/// Why a connection has ended. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Closed {
    /// This side closed it: why.
    Local(Arc<str>),
    /// The peer closed it, between two messages.
    ByPeer,
    /// The peer closed it in the middle of a frame or message.
    Truncated,
    /// The peer announced a frame that is too long.
    FrameTooLong {
        /// The length that was announced, bytes.
        len: u32,
    },
    /// The peer broke the rules of ttRPC too often.
    ProtocolErrors {
        /// The last of them.
        last: Arc<str>,
    },
    /// The peer began a frame or message and fell silent.
    Stalled,
    /// The peer does not read what it is sent.
    NotReading,
    /// Every number for calls has been used.
    OutOfStreams,
    /// The socket failed.
    Io {
        /// Its kind of failure.
        kind: io::ErrorKind,
        /// Its text.
        text: Arc<str>,
    },
}

/// Whose fault an end was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody's: one of the two closed in order.
    Nobody,
    /// The peer broke a rule.
    Peer,
    /// The peer died, or the socket did.
    Transport,
}

impl Closed {
    /// An end by this side.
    #[must_use]
    pub fn local(why: &str) -> Self {
        Self::Local(why.into())
    }

    /// Whose fault it was.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Local(_) | Self::ByPeer | Self::OutOfStreams => Fault::Nobody,
            Self::FrameTooLong { .. } | Self::ProtocolErrors { .. } | Self::Stalled | Self::NotReading => {
                Fault::Peer
            }
            Self::Truncated | Self::Io { .. } => Fault::Transport,
        }
    }
}

impl From<&io::Error> for Closed {
    /// A peer that is gone shows as end of file on read and as these two on write: both mean the same.
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::ByPeer,
            kind => Self::Io { kind, text: error.to_string().into() },
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(why) => write!(f, "closed by us: {why}"),
            Self::ByPeer => f.write_str("closed by the peer"),
            Self::Truncated => f.write_str("closed by the peer in the middle of a message"),
            Self::FrameTooLong { len } => {
                write!(f, "the peer announced a frame of {len} bytes, more than {FRAME_MAX}")
            }
            Self::ProtocolErrors { last } => {
                write!(f, "the peer made more than {PROTOCOL_ERRORS_MAX} protocol errors, at last: {last}")
            }
            Self::Stalled => {
                write!(f, "the peer began a message and fell silent for {PARTIAL_FRAME_TIMEOUT:?}")
            }
            Self::NotReading => {
                write!(
                    f,
                    "the peer does not read its answers ({REFUSALS_UNSENT_MAX} of them wait, or one for too long)"
                )
            }
            Self::OutOfStreams => f.write_str("every stream id of the connection is used up"),
            Self::Io { text, .. } => write!(f, "the socket failed: {text}"),
        }
    }
}

impl std::error::Error for Closed {}
