//! The runtime side of NRI.

pub mod oci;
