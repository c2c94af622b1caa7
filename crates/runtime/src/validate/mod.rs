//! Validation of what was merged (`spec/adaptation.md` 11, 12): the request that validators get, and the built-in
//! [`DefaultValidator`]. Pure; calling validators is the host's.

#![forbid(unsafe_code)]

mod annotation;
mod default;
mod request;
#[cfg(test)]
mod tests;

pub use self::annotation::{effective, effective_for_pod};
pub use self::default::{DefaultValidator, Rejection};
pub use self::request::{REQUIRED_PLUGINS, present, request};
pub(crate) use self::request::{lend, take_back};
