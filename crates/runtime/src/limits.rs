//! Every limit of this crate, with its unit and where it comes from.

use std::time::Duration;

/// Least time that a request keeps back from its caller's deadline for the answer to travel (`design.md` 5).
pub const MARGIN_MIN: Duration = Duration::from_millis(50);
/// A request keeps back this part of its caller's deadline, one in so many (`design.md` 5: 10 %).
pub const MARGIN_PART: u32 = 10;
/// Time kept for each plugin that is still to be called after this one, one part in so many of the request's whole
/// budget; all of them together get at most half of it.
pub const RESERVE_PART: u32 = 10;
/// A plugin that got less than this part of its time-out, or of the request's whole budget, is not at fault when it is over.
pub const FAIR_PART: u32 = 3;

/// Calls in a row that a plugin may miss before its connection is closed (`design.md` 5).
pub const MISSED_CALLS_MAX: u32 = 3;
/// Longest that an answer may be outstanding before the connection is closed (`design.md` 5).
pub const OUTSTANDING_MAX: Duration = Duration::from_secs(30);

/// Most connections that have not registered yet (`design.md` 3, invariant 7).
pub const UNREGISTERED_MAX: usize = 64;
/// Most plugins that have connected by themselves and registered: each sees every container, and takes its time.
pub const CONNECTED_MAX: usize = 256;
/// What a plugin whose registration is refused gets to read why, and to close the connection itself.
pub const REFUSAL_GRACE: Duration = Duration::from_millis(500);
/// Most supplementary groups of a process: `NGROUPS_MAX` of Linux.
pub const GROUPS_MAX: usize = 1 << 16;
/// Longest security label of a process, in bytes: SELinux contexts are at most a page.
pub const LABEL_MAX: usize = 4096;
/// Most bytes of a file of `/proc` about a process that are read.
pub const PROC_TEXT_MAX: u64 = 64 << 10;
/// Longest executable whose digest is taken, in bytes.
pub const DIGEST_FILE_MAX: u64 = 1 << 30;
/// Longest that the digest of an executable may take.
pub const DIGEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest that a newcomer waits to join for a digest that may make it the successor of another plugin.
pub const DIGEST_WAIT: Duration = Duration::from_secs(2);
/// Most threads that read executables, counting those that do not come back.
pub const DIGEST_THREADS_MAX: usize = 4;
/// Most digests that are remembered.
pub const DIGESTS_MAX: usize = 256;
/// What a connection gets to end by itself after the process that made it has ended.
pub const ORPHAN_GRACE: Duration = Duration::from_secs(1);

/// First pause after a plugin failed to join or a launched one ended (`design.md` 5).
pub const BACK_OFF_FIRST: Duration = Duration::from_secs(1);
/// Longest such pause; each is twice the one before (`design.md` 5).
pub const BACK_OFF_MAX: Duration = Duration::from_secs(60);
/// A plugin that was active for this long starts again with the first pause.
pub const BACK_OFF_FORGET: Duration = Duration::from_secs(60);
/// Most plugins whose failures are remembered; the oldest is forgotten first.
pub const BACK_OFFS_MAX: usize = 256;

/// Most events that are kept for a plugin while it joins; more and the joining is given up.
pub const MISSED_EVENTS_MAX: usize = 4096;

/// Most paths of fields that could not be passed on that are logged, each once.
pub const LOST_PATHS_MAX: usize = 256;

/// What a plugin gets for its Shutdown call (quirk B8).
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);
/// Longest that a host which ends waits for the processes of its plugins to be gone: more than the two graces below.
pub const END_MAX: Duration = Duration::from_secs(3);
/// What a launched plugin gets between the end of its connection and SIGTERM.
pub const EXIT_GRACE: Duration = Duration::from_millis(200);
/// What a launched plugin gets between SIGTERM and SIGKILL.
pub const TERM_GRACE: Duration = Duration::from_secs(1);
/// Longest line of a launched plugin's standard error that is logged as one line, in bytes.
pub const STDERR_LINE_MAX: usize = 4096;
/// Most lines of a launched plugin's standard error that are logged in a second.
pub const STDERR_LINES_MAX: u32 = 200;
/// Most bytes of it that are read in a second; a plugin that writes more has to wait.
pub const STDERR_BYTES_MAX: usize = 8 << 20;
/// Pause after a failed accept (quirk A9).
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Longest configuration text of a plugin, in bytes: it must fit into one Configure message.
pub const CONFIG_TEXT_MAX: u64 = 3 << 20;
/// Most bytes of a peer's text (reasons, errors) that are kept.
pub const REASON_MAX: usize = 16 << 10;
/// Most refused pods whose end, should the engine tell it, is known to have been told.
pub(crate) const TAKEN_BACK_MAX: usize = 1024;
/// Longest file of a hook whose digest a rule may ask for, in bytes. It is read while a request waits.
pub const HOOK_FILE_MAX: u64 = 64 << 20;
/// Most bytes of a seccomp policy that a policy refers to.
pub const POLICY_FILE_MAX: u64 = 1 << 20;
/// Most files below a folder that are looked through for device nodes.
pub const POLICY_NODES_MAX: usize = 10_000;
