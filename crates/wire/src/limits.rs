//! Every limit of this crate, with its unit and where it comes from.

use std::time::Duration;

/// Bytes of a multiplexer frame's header: connection id and payload length, 4 each (`spec/wire.md` 2.1).
pub const FRAME_HEADER: usize = 8;
/// Bytes of a ttRPC message's header (`spec/wire.md` 3.1).
pub const MESSAGE_HEADER: usize = 10;
/// Most payload bytes of one ttRPC message: 4 MiB (`spec/wire.md` 3.1).
pub const MESSAGE_MAX: usize = 4 << 20;
/// Most payload bytes of one multiplexer frame: a header and a full message (`spec/wire.md` 2.2).
pub const FRAME_MAX: usize = MESSAGE_HEADER + MESSAGE_MAX;
/// Most bytes of the first frame of a message: Go peers read headers through a buffer of this size (`spec/wire.md` 2.6, W1).
pub const FIRST_FRAME_MAX: usize = 4096;
/// Most payload bytes of one message before the peer has registered (`design.md` 3, invariant 7).
pub const MESSAGE_MAX_UNREGISTERED: usize = 64 << 10;

/// Most protocol errors that one connection may cause before it is closed.
pub const PROTOCOL_ERRORS_MAX: u32 = 64;
/// Most requests of a peer that may wait for an answer on one connection; more are answered ResourceExhausted.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 64;
/// Most payload bytes of a peer's requests that may wait for an answer on one connection, besides the first; more are answered ResourceExhausted.
pub const REQUEST_BYTES_IN_FLIGHT_MAX: usize = 4 * MESSAGE_MAX;
/// Most refusals (answers that the protocol gives by itself) that may wait to be sent; a peer that causes more and does not read is closed.
pub const REFUSALS_UNSENT_MAX: usize = 1024;
/// Most bytes that may wait to be sent on one connection before a call waits for room.
pub const OUTPUT_MAX: usize = 16 << 20;
/// Most calls of ours that may wait for an answer on one connection.
pub const CALLS_IN_FLIGHT_MAX: usize = 1024;
/// Longest a started frame or message may stay unfinished before the connection is closed.
pub const PARTIAL_FRAME_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest the blocking driver writes an answer before it gives the peer up.
pub const ANSWER_WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of one part of a Synchronize: a full message less room for the envelope (`spec/quirks.md` C4).
pub const SYNCHRONIZE_BUDGET: usize = MESSAGE_MAX - (64 << 10);
/// Bytes that are read from the socket at once.
pub const READ_SIZE: usize = 64 << 10;

/// Most elements (repeated or map entries, and nested messages) of one message, counted over all levels.
/// A container of 4 MiB of honest content has a few ten thousand; empty elements cost two bytes on the wire and hundreds in memory.
pub const SCAN_ELEMENTS_MAX: usize = 200_000;
/// Deepest nesting of messages. The protocol itself needs eight levels.
pub const SCAN_DEPTH_MAX: usize = 32;
/// Most unknown fields that are listed one by one; the rest is only counted.
pub const SCAN_UNKNOWN_LISTED_MAX: usize = 64;

/// Longest plugin name with its index, in bytes: that of a file, which launched plugins are named after (`NAME_MAX` of
/// Linux).
pub const NAME_MAX: usize = 255;

/// Registration time-out when the runtime has said nothing else (`spec/api.md` 12).
pub const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(5);
/// Request time-out when the runtime has said nothing else (`spec/api.md` 12).
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
