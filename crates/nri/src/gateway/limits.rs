//! Every limit of the gateway, with its unit and where it comes from.

use std::time::Duration;

/// First pause after the engine was lost or could not be reached; each is twice the one before.
pub(crate) const RECONNECT_FIRST: Duration = Duration::from_millis(250);
/// Longest such pause: a node that boots should not wait for us.
pub(crate) const RECONNECT_MAX: Duration = Duration::from_secs(5);
/// How long the engine may take to answer RegisterPlugin, and then to configure us: the reference's own time-out.
pub(crate) const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the engine may take over updates that plugins ask for on their own account.
pub(crate) const UNSOLICITED_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before such updates with engines that may hang else (`engine/updates.rs`): many times what containerd needs from
/// one of its locks to the other.
pub(crate) const UNSOLICITED_PAUSE: Duration = Duration::from_millis(20);
/// The same after a StopContainer: what containerd needs to carry out some updates of plugins in its answer.
pub(crate) const UNSOLICITED_PAUSE_STOP: Duration = Duration::from_millis(500);
/// Most such requests of all plugins that wait for the engine, and of one plugin.
pub(crate) const UNSOLICITED_MAX: usize = 1024;
pub(crate) const UNSOLICITED_PLUGIN_MAX: usize = 128;
/// Most bytes of them, in memory, about. One request alone may always wait.
pub(crate) const UNSOLICITED_BYTES_MAX: usize = 64 << 20;
pub(crate) const UNSOLICITED_PLUGIN_BYTES_MAX: usize = 8 << 20;
/// What an update takes in memory beside its text, in bytes, about.
pub(crate) const UPDATE_WEIGHT: usize = 512;
/// Most bytes of an answer to the engine that carries such updates as well: it has to fit into one message, and the
/// engine carries them out before it goes on.
pub(crate) const UNSOLICITED_ANSWER_MAX: usize = 1 << 20;
/// Most bytes that the parts of one Synchronize may have together.
pub(crate) const SYNCHRONIZE_MAX: usize = 1 << 30;
/// Most containers that are answered and that the engine has not spoken of since: it need not say that it failed to create
/// one after all.
pub(crate) const ANSWERED_MAX: usize = 16_384;
/// More bytes than are around a message within another one, or around an answer.
pub(crate) const FRAMING: usize = 32;
/// How much longer than the engine's own time-out the end in order waits for its requests that are in flight.
pub(crate) const FINISH_MORE: Duration = Duration::from_secs(1);
/// Longest that it waits for them: less than service managers wait for us.
pub(crate) const FINISH_MAX: Duration = Duration::from_secs(10);
/// Longest that the gateway waits for launched plugins before it says that it is ready.
pub(crate) const READY_MAX: Duration = Duration::from_secs(10);

/// Most connections for metrics at once; more are closed at once.
pub(crate) const METRICS_CONNECTIONS_MAX: usize = 16;
/// Longest that a connection for metrics may take altogether.
pub(crate) const METRICS_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest that its request may take to come.
pub(crate) const METRICS_HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of such a request; more answers 431.
pub(crate) const METRICS_REQUEST_MAX: usize = 16 << 10;
/// How long a look at the plugins may take; without it only what was counted is shown.
pub(crate) const METRICS_LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// Most plugins that metrics tell apart, beside the launched ones: names are what plugins say they are.
pub(crate) const METRICS_PLUGINS_MAX: usize = 64;
