//! The engine's own validation: whether others had a hand in a container (`policy.md` 10). Our plugins have validated
//! before, behind the gateway.

use nri_wire::api::{OwningPlugins, ValidateContainerAdjustmentResponse};
use nri_wire::io::tokio::Request;
use nri_wire::service::{self, Rpc};
use tracing::warn;

/// Answers a ValidateContainerAdjustment. `own` is the name under which the engine knows the gateway.
pub(super) fn validate(request: Request, own: &str) {
    let asked = match request.decode::<ValidateOwners>() {
        Ok(asked) => asked.message,
        Err(status) => return request.refuse(status),
    };
    let reason = foreign(&asked, own);
    if let Some(reason) = &reason {
        warn!("rejected a container: {reason}");
    }
    let reject = reason.is_some();
    let answer = ValidateContainerAdjustmentResponse { reject, reason: reason.unwrap_or_default() };
    request.answer::<ValidateOwners>(Ok(answer));
}

/// ValidateContainerAdjustment, of which nothing is read but what counts here: the rest is as long as the container, and
/// every creation of the engine waits for this.
#[derive(Clone, Copy, Debug)]
struct ValidateOwners;

impl Rpc for ValidateOwners {
    type Request = Owners;
    type Response = ValidateContainerAdjustmentResponse;
    const SERVICE: &'static str = service::ValidateContainerAdjustment::SERVICE;
    const METHOD: &'static str = service::ValidateContainerAdjustment::METHOD;
    const REQUEST_NAME: &'static str = service::ValidateContainerAdjustment::REQUEST_NAME;
    const RESPONSE_NAME: &'static str = service::ValidateContainerAdjustment::RESPONSE_NAME;
}

/// The member of a ValidateContainerAdjustmentRequest that says who set what.
#[derive(Clone, PartialEq, prost::Message)]
struct Owners {
    #[prost(message, optional, tag = "5")]
    owners: Option<OwningPlugins>,
}

/// The first owner in the engine's books that is not the gateway.
fn foreign(asked: &Owners, own: &str) -> Option<String> {
    let owners = asked.owners.as_ref()?;
    let names = owners.owners.values().flat_map(|fields| {
        fields.simple.values().chain(fields.compound.values().flat_map(|compound| compound.owners.values()))
    });
    let other = names
        .flat_map(|names| names.split(','))
        .map(|name| name.trim_start_matches('-'))
        .find(|name| !name.is_empty() && *name != own)?;
    Some(format!(
        "plugin {other:?} is connected to the engine itself and changed the container past the gateway; connect it to the gateway's socket"
    ))
}
