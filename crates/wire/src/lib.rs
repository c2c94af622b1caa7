//! The wire protocol of NRI, the Node Resource Interface.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`api`] | the messages, generated from `nri.proto` |
//! | [`service`] | the calls: their services, methods, request and response types |
//! | [`event`] | event numbers and subscription masks |
//! | [`field`] | *the* list of adjustable fields, and the walk over an adjustment that it drives |
//! | [`name`] | plugin names and indices |
//! | [`limits`] | every limit of this crate, with unit and source |
//!
//! Nothing here opens a socket, reads a clock or spawns a task, except the drivers in `io`.

#![forbid(unsafe_code)]

pub mod api;
pub mod event;
pub mod field;
pub mod limits;
pub mod name;
pub mod service;
pub mod version;
