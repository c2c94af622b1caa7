//! The runtime side of NRI.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`merge`] | the answers of all plugins, merged into one, with owners and conflicts; pure |
//! | [`oci`] | a merged adjustment applied to an OCI spec, and a container described by its spec; pure |
//! | [`validate`] | the request to validators, and the built-in default validator; pure |

pub mod merge;
pub mod oci;
pub mod validate;
