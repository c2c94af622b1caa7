//! The connection multiplexer: frames of several logical connections on one socket (`spec/wire.md` 2).
//!
//! Opening and closing a logical connection says nothing on the wire, so all there is to it are frames.
//! The two rules for whoever writes to a Go peer are kept by [`crate::connection::Outgoing`].

use std::fmt;

use crate::limits::{FRAME_HEADER, FRAME_MAX};

/// The logical connection on which the plugin serves.
pub const PLUGIN_CONNECTION: u32 = 1;
/// The logical connection on which the runtime serves.
pub const RUNTIME_CONNECTION: u32 = 2;

/// The header of a frame.
///
/// ```
/// assert_eq!(nri_wire::mux::header(1, 10), [0, 0, 0, 1, 0, 0, 0, 10]);
/// ```
#[must_use]
pub const fn header(connection: u32, len: u32) -> [u8; FRAME_HEADER] {
    let [a, b, c, d] = connection.to_be_bytes();
    let [e, f, g, h] = len.to_be_bytes();
    [a, b, c, d, e, f, g, h]
}

/// A frame that announces more than [`FRAME_MAX`] bytes. The stream cannot be followed any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameTooLong {
    /// The length that was announced, bytes.
    pub len: u32,
}

impl fmt::Display for FrameTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a frame of {} bytes was announced, more than {FRAME_MAX}", self.len)
    }
}

impl std::error::Error for FrameTooLong {}

/// Takes frames apart, in any cut. Keeps nothing but a header: payload is passed on as it comes.
#[derive(Debug, Default)]
pub struct FrameReader {
    bytes: [u8; FRAME_HEADER],
    filled: usize,
    connection: u32,
    missing: usize,
}

impl FrameReader {
    /// Takes bytes off `input` up to the end of a frame and returns them with the frame's logical
    /// connection: a frame may come in several pieces. `None` when the input is used up.
    ///
    /// # Errors
    /// The frame is too long. The reader must not be used again.
    pub fn read<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<(u32, &'a [u8])>, FrameTooLong> {
        loop {
            if self.missing > 0 {
                let (piece, rest) = input.split_at_checked(self.missing).unwrap_or((input, &[]));
                *input = rest;
                self.missing -= piece.len();
                return Ok((!piece.is_empty()).then_some((self.connection, piece)));
            }
            while self.filled < FRAME_HEADER {
                let (Some((&byte, rest)), Some(place)) =
                    (input.split_first(), self.bytes.get_mut(self.filled))
                else {
                    return Ok(None);
                };
                *place = byte;
                *input = rest;
                self.filled += 1;
            }
            let [a, b, c, d, e, f, g, h] = self.bytes;
            let len = u32::from_be_bytes([e, f, g, h]);
            if len as usize > FRAME_MAX {
                return Err(FrameTooLong { len });
            }
            self.connection = u32::from_be_bytes([a, b, c, d]);
            self.missing = len as usize;
            self.filled = 0;
        }
    }

    /// Whether the last byte was the end of a frame.
    #[must_use]
    pub const fn is_between_frames(&self) -> bool {
        self.filled == 0 && self.missing == 0
    }
}
