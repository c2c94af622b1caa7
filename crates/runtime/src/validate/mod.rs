//! Validation of what was merged (`spec/adaptation.md` 11, 12): the request that validators get, and the built-in
//! [`DefaultValidator`]. Pure; calling validators is the host's.

#![forbid(unsafe_code)]

mod default;
mod request;
#[cfg(test)]
mod tests;

pub use nri_policy::annotation::{REQUIRED_PLUGINS, effective, effective_for_pod};

pub use self::default::{DefaultValidator, Rejection};
pub(crate) use self::request::{lend, take_back};
pub use self::request::{present, request};
