//! What plugins ask of the host: to be registered, and updates of containers. The core decides; this answers.

use std::sync::Arc;

use nri_wire::api::{ContainerUpdate, Empty, UpdateContainersResponse};
use nri_wire::io::tokio::{Peer, Request, Requests};
use nri_wire::restrictions;
use nri_wire::service::{self, Rpc as _};
use nri_wire::ttrpc::{Code, Status};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::debug;

use super::actor::News;
use super::call;
use super::config::{Asking, Embedder};
use super::core::{Permission, PluginId, Refusal};
use crate::limits::REFUSAL_GRACE;

/// Answers what a plugin asks, one after the other, until the connection ends.
pub(super) async fn serve(
    plugin: PluginId,
    peer: Peer,
    mut requests: Requests,
    sender: mpsc::UnboundedSender<News>,
    embedder: Arc<dyn Embedder>,
) {
    while let Some(request) = requests.next().await {
        debug!(method = request.method(), "asked by a plugin");
        match (request.service(), request.method()) {
            (service::RUNTIME, service::RegisterPlugin::METHOD) => {
                if let Some(why) = register(plugin, request, &sender).await {
                    // The reference's plugins lose an answer that the end of the connection follows at once.
                    drop(timeout(REFUSAL_GRACE, peer.closed()).await);
                    peer.close(&why);
                }
            }
            (service::RUNTIME, service::UpdateContainers::METHOD) => {
                update(plugin, request, &sender, &*embedder).await;
            }
            (service::RUNTIME, _) => {
                let status = Status::no_method(request.method());
                request.refuse(status);
            }
            (restrictions::SERVICE, restrictions::Get::METHOD) => tell(plugin, request, &sender).await,
            _ => {
                let status = Status::no_service(request.service());
                request.refuse(status);
            }
        }
    }
    let why = peer.closed().await.to_string();
    drop(sender.send(News::Closed { plugin, why }));
}

/// Gives the reason if the connection is to end.
async fn register(
    plugin: PluginId,
    request: Request,
    sender: &mpsc::UnboundedSender<News>,
) -> Option<String> {
    let message = match request.decode::<service::RegisterPlugin>() {
        Ok(message) => message.message,
        Err(status) => {
            request.refuse(status);
            return None;
        }
    };
    let (reply, answer) = oneshot::channel();
    drop(sender.send(News::Register { plugin, request: message, reply }));
    match answer.await.unwrap_or(Err(Refusal::NotActive)) {
        Ok(()) => {
            request.answer::<service::RegisterPlugin>(Ok(Empty {}));
            None
        }
        Err(refusal) => {
            let (last, status) = (refusal.is_final(), status(&refusal));
            let why = status.message.clone();
            request.refuse(status);
            last.then_some(why)
        }
    }
}

/// Tells what the policy lets a plugin do. Where there is nothing to tell, the service is not there.
async fn tell(plugin: PluginId, request: Request, sender: &mpsc::UnboundedSender<News>) {
    let asked = match request.decode::<restrictions::Get>() {
        Ok(asked) => asked.message,
        Err(status) => return request.refuse(status),
    };
    let (reply, answer) = oneshot::channel();
    drop(sender.send(News::Restrictions { plugin, request: asked, reply }));
    match answer.await.ok().flatten() {
        Some(told) => request.answer::<restrictions::Get>(Ok(told)),
        None => request.refuse(Status::no_service(restrictions::SERVICE)),
    }
}

async fn update(
    plugin: PluginId,
    request: Request,
    sender: &mpsc::UnboundedSender<News>,
    embedder: &dyn Embedder,
) {
    let asked = match request.decode::<service::UpdateContainers>() {
        Ok(asked) => asked,
        Err(status) => return request.refuse(status),
    };
    let unknown = call::unknown_paths(&asked);
    let (reply, answer) = oneshot::channel();
    drop(sender.send(News::Ask { plugin, request: asked.message, unknown, reply }));
    match answer.await.unwrap_or(Err(Refusal::NotActive)) {
        Err(refusal) => request.refuse(status(&refusal)),
        Ok(permission) => {
            let failed = apply(embedder, permission).await;
            request.answer::<service::UpdateContainers>(Ok(UpdateContainersResponse { failed }));
        }
    }
}

/// Gives the updates that failed.
pub(super) async fn apply(embedder: &dyn Embedder, permission: Permission) -> Vec<ContainerUpdate> {
    let Permission { plugin, passed, in_call } = permission;
    let asking = Asking { plugin: &plugin, in_call };
    if !passed.evictions.is_empty() {
        embedder.evict(asking, passed.evictions.into_iter().map(|evicted| evicted.eviction).collect()).await;
    }
    embedder.update(asking, passed.updates).await
}

fn status(refusal: &Refusal) -> Status {
    let code = match refusal {
        Refusal::Name(_) => Code::Unknown,
        Refusal::Pause(_) | Refusal::TooMany => Code::Unavailable,
        Refusal::Registered => Code::AlreadyExists,
        Refusal::NotActive => Code::FailedPrecondition,
        Refusal::Denied | Refusal::Reserved(..) => Code::PermissionDenied,
    };
    Status::new(code, refusal.to_string())
}
