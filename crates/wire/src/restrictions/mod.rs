//! What nri-rs adds to the protocol (`design.md` 8): a plugin asks what the policy lets it do, on its connection to the
//! runtime. Other runtimes answer that they do not know the service.
#![expect(missing_docs, reason = "generated: the names and numbers of `restrictions.proto` are the text")]

use crate::service::Rpc;

include!("generated.rs");

/// A plugin asks what it may do. It says its name and index, since it may ask before it registers; who it is, the
/// runtime knows from the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Get;

impl Rpc for Get {
    type Request = RestrictionsRequest;
    type Response = RestrictionsResponse;
    const SERVICE: &'static str = SERVICE;
    const METHOD: &'static str = "Get";
    const REQUEST_NAME: &'static str = "RestrictionsRequest";
    const RESPONSE_NAME: &'static str = "RestrictionsResponse";
}

/// The service that a runtime of nri-rs offers beside [`RUNTIME`](crate::service::RUNTIME).
pub const SERVICE: &str = "nri_rs.v1.Restrictions";
