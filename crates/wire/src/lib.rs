//! The wire protocol of NRI, the Node Resource Interface.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`api`] | the messages, generated from `nri.proto` |
//! | [`service`] | the calls: their services, methods, request and response types |
//! | [`restrictions`] | what nri-rs adds: a plugin asks what the policy lets it do |
//! | [`event`] | event numbers and subscription masks |
//! | [`field`] | *the* list of adjustable fields, and the walk over an adjustment that it drives |
//! | [`name`] | plugin names and indices |
//! | [`scan`] | the scanner that looks at a message before it is decoded: caps, unknown fields |
//! | [`mux`], [`ttrpc`] | frames and messages |
//! | [`connection`] | a whole connection as a state machine |
//! | [`synchronize`] | state in parts |
//! | `io` | its drivers for tokio and for threads (features `tokio`, `blocking`) |
//! | [`version`] | versions of NRI, and which of them an engine has |
//! | [`limits`] | every limit of this crate, with unit and source |
//!
//! Nothing here opens a socket, reads a clock or spawns a task, except the drivers in `io`.

#![forbid(unsafe_code)]

pub mod api;
pub mod connection;
pub mod event;
pub mod field;
#[cfg(any(feature = "tokio", feature = "blocking"))]
pub mod io;
pub mod limits;
pub mod mux;
pub mod name;
pub mod restrictions;
pub mod scan;
pub mod service;
pub mod synchronize;
pub mod ttrpc;
pub mod version;

/// What every message can: encode itself, and say how long that is.
pub use prost::Message;
