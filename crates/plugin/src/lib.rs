//! SDK for NRI plugins: programs that adjust containers as a runtime (containerd, CRI-O, or `nri`) creates them.
//!
//! ```no_run
//! use nri_plugin::{Adjustment, CreateContainer, Plugin, Result};
//! use std::process::ExitCode;
//!
//! struct Hello;
//!
//! #[nri_plugin::plugin]
//! impl Plugin for Hello {
//!     fn create_container(&self, request: &CreateContainer) -> Result<Adjustment> {
//!         Ok(Adjustment::new().add_env("HELLO", &request.pod().name))
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     nri_plugin::run(Hello)
//! }
//! ```
//!
//! Installed as `/opt/nri/plugins/10-hello`, the runtime launches it; started by hand under that name, it connects to
//! the runtime's socket. [`Plugin`] lists the events, [`Adjustment`] what can be changed, [`Builder`] how to
//! start with more than the defaults, [`Session`] what can be asked of and told to the runtime.
//!
//! The messages are those of `nri-wire`, re-exported as [`api`]. Beyond it the crate needs the standard library only.

// The attribute names this crate; its own tests use it too.
#[cfg(test)]
extern crate self as nri_plugin;

mod adjustment;
mod builder;
mod connection;
mod dispatch;
mod engine;
mod identity;
mod inherited;
pub mod limits;
mod notice;
mod plugin;
mod reconnect;
mod request;
mod session;
mod update;

use std::io::Write;
use std::process::ExitCode;

pub use nri_plugin_macros::plugin;
pub use nri_wire::api;
pub use nri_wire::event::{Event, EventMask};
pub use nri_wire::field::Field;
pub use nri_wire::restrictions::{FieldRestriction, RestrictionsResponse as Restrictions};
pub use nri_wire::ttrpc::{Code, Status};
pub use nri_wire::version::NriVersion;

pub use adjustment::Adjustment;
pub use adjustment::check::Invalid;
pub use adjustment::seccomp;
pub use adjustment::value::{
    Device, DeviceKind, DeviceRule, Hook, HookKind, IoClass, MemoryPolicy, MemoryPolicyFlag,
    MemoryPolicyMode, Mount, Scheduler, SchedulerFlag, SchedulerPolicy,
};
pub use builder::{Builder, RunError, Running};
pub use engine::Feature;
pub use identity::IdentityError;
pub use inherited::InheritedError;
pub use notice::Notice;
pub use plugin::{Error, Handlers, Plugin, Result};
pub use reconnect::Reconnect;
pub use request::{
    Configure, CreateContainer, OfContainer, OfPod, PostCreateContainer, PostStartContainer,
    PostUpdateContainer, PostUpdatePodSandbox, RemoveContainer, RemovePodSandbox, Request, RunPodSandbox,
    StartContainer, StopContainer, StopPodSandbox, Synchronize, UpdateContainer, UpdatePodSandbox, Validate,
};
pub use session::{Runtime, Session, UpdateError};
pub use update::{Update, Updates};

/// Runs a plugin with the defaults of [`Builder`], for `main`: what happens on the connection, and a failure, goes
/// to standard error.
///
/// Name and index come from the environment (a runtime that launches the plugin sets it) or the program's name
/// `NN-name`; the connection is the one that the runtime handed over, else `/var/run/nri/nri.sock`.
pub fn run<P: Plugin>(plugin: P) -> ExitCode {
    // Standard error may be closed; that is no reason to stop.
    let log = |line: &dyn std::fmt::Display| drop(writeln!(std::io::stderr(), "{line}"));
    match Builder::new().on_notice(move |notice| log(notice)).run(plugin) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log(&error);
            ExitCode::FAILURE
        }
    }
}
