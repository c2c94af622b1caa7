//! Every limit of this crate, with its unit and where it comes from.

use std::time::Duration;

/// Where the runtime listens unless something else is said (`spec/wire.md` 7.1, since NRI 0.3).
pub const SOCKET: &str = "/var/run/nri/nri.sock";

/// Most encoded bytes of a Synchronize, all parts together. 5,000 containers of 3 KB are 15 MB, so that this is a peer
/// that does not stop.
pub const SYNCHRONIZE_BYTES_MAX: usize = 256 << 20;

/// Longest that anything waits for a runtime, whatever the runtime or the caller says.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// How long a runtime may take to say what a plugin may do (`design.md` 8).
pub const RESTRICTIONS_TIMEOUT: Duration = Duration::from_millis(200);

/// First wait before a new connection, and the longest; in between each is twice the one before.
pub const RECONNECT_FIRST: Duration = Duration::from_millis(100);
/// See [`RECONNECT_FIRST`]. A connection that lasted this long starts the row anew.
pub const RECONNECT_LONGEST: Duration = Duration::from_secs(30);
