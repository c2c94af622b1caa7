//! Messages on a logical connection: a header of ten bytes and what follows it (`spec/wire.md` 3.1).

use bytes::Bytes;

use crate::limits::MESSAGE_HEADER;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Type 1.
    Request,
    /// Type 2.
    Response,
    /// Type 3: a part of a stream. NRI has none.
    Data,
    /// Anything else. Ignored by both sides.
    Other(u8),
}

impl Kind {
    const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Request,
            2 => Self::Response,
            3 => Self::Data,
            other => Self::Other(other),
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Request => 1,
            Self::Response => 2,
            Self::Data => 3,
            Self::Other(other) => other,
        }
    }
}

/// The ten bytes before each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes that follow the header.
    pub len: u32,
    /// The stream, which is one call here.
    pub stream: u32,
    /// What the message is.
    pub kind: Kind,
    /// Says something about streams only; ignored here.
    pub flags: u8,
}

impl Header {
    /// Reads a header.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; MESSAGE_HEADER]) -> Self {
        let [a, b, c, d, e, f, g, h, kind, flags] = bytes;
        Self {
            len: u32::from_be_bytes([a, b, c, d]),
            stream: u32::from_be_bytes([e, f, g, h]),
            kind: Kind::from_number(kind),
            flags,
        }
    }

    /// The header as it goes over the wire.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; MESSAGE_HEADER] {
        let [a, b, c, d] = self.len.to_be_bytes();
        let [e, f, g, h] = self.stream.to_be_bytes();
        [a, b, c, d, e, f, g, h, self.kind.number(), self.flags]
    }
}

/// A message as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A complete one.
    Whole(Header, Bytes),
    /// One that was longer than allowed; its bytes have been thrown away.
    TooLong(Header),
}

/// Puts messages together from bytes in any cut. Memory grows with the bytes that came, never by the length
/// that a header claims.
#[derive(Debug, Default)]
pub struct MessageReader {
    state: State,
}

#[derive(Debug)]
enum State {
    Header { bytes: [u8; MESSAGE_HEADER], filled: usize },
    Body { header: Header, bytes: Vec<u8>, missing: usize },
    Discard { header: Header, missing: usize },
}

impl Default for State {
    fn default() -> Self {
        Self::Header { bytes: [0; MESSAGE_HEADER], filled: 0 }
    }
}

impl MessageReader {
    /// Takes bytes off `input` up to the end of a message and returns that; `None` when the input is used up.
    /// A message of more than `max` bytes is thrown away while it comes.
    pub fn read(&mut self, input: &mut &[u8], max: usize) -> Option<Message> {
        loop {
            match &mut self.state {
                State::Header { bytes, filled } => {
                    let room = bytes.get_mut(*filled..)?;
                    let piece = take(input, room.len());
                    room.get_mut(..piece.len())?.copy_from_slice(piece);
                    *filled += piece.len();
                    if *filled < MESSAGE_HEADER {
                        return None;
                    }
                    let header = Header::from_bytes(*bytes);
                    let missing = header.len as usize;
                    self.state = if missing > max {
                        State::Discard { header, missing }
                    } else {
                        State::Body { header, bytes: Vec::new(), missing }
                    };
                }
                State::Body { header, bytes, missing } => {
                    let piece = take(input, *missing);
                    bytes.extend_from_slice(piece);
                    *missing -= piece.len();
                    if *missing > 0 {
                        return None;
                    }
                    let message = Message::Whole(*header, Bytes::from(std::mem::take(bytes)));
                    self.state = State::default();
                    return Some(message);
                }
                State::Discard { header, missing } => {
                    *missing -= take(input, *missing).len();
                    if *missing > 0 {
                        return None;
                    }
                    let message = Message::TooLong(*header);
                    self.state = State::default();
                    return Some(message);
                }
            }
        }
    }

    /// Whether the last byte was the end of a message.
    #[must_use]
    pub const fn is_between_messages(&self) -> bool {
        matches!(self.state, State::Header { filled: 0, .. })
    }
}

/// Splits up to `max` bytes off the front.
fn take<'a>(input: &mut &'a [u8], max: usize) -> &'a [u8] {
    let (piece, rest) = input.split_at_checked(max).unwrap_or((input, &[]));
    *input = rest;
    piece
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A6, C10: what a header claims takes no memory, only what comes does.
    #[test]
    fn memory_follows_what_came() {
        let mut reader = MessageReader::default();
        let header = Header { len: 4 << 20, stream: 1, kind: Kind::Request, flags: 0 }.to_bytes();
        let capacity = |reader: &MessageReader| match &reader.state {
            State::Body { bytes, .. } => bytes.capacity(),
            _ => 0,
        };
        assert_eq!(reader.read(&mut &header[..], 4 << 20), None);
        assert_eq!(capacity(&reader), 0);
        assert_eq!(reader.read(&mut &[0; 1000][..], 4 << 20), None);
        assert!((1000..=2000).contains(&capacity(&reader)));
        let mut reader = MessageReader::default();
        assert_eq!(reader.read(&mut &[&header[..], &[0; 1000]].concat()[..], 1 << 20), None);
        assert_eq!(capacity(&reader), 0, "what is thrown away takes none");
    }
}
