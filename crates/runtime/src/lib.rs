//! The runtime side of NRI.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`host`] | plugins: launched, accepted, registered, asked in their order, with deadlines |
//! | [`node`] | this node, asked by the rules of policies |
//! | [`merge`] | the answers of all plugins, merged into one, with owners and conflicts; pure |
//! | [`oci`] | a merged adjustment applied to an OCI spec, and a container described by its spec; pure |
//! | [`validate`] | the request to validators, and the built-in default validator; pure |
//! | [`limits`] | every limit of this crate, with unit and source |

pub mod host;
pub mod limits;
pub mod merge;
pub mod node;
pub mod oci;
pub mod validate;
