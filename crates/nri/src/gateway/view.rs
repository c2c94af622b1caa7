//! What can be seen of a running gateway from outside: its control socket, and its metrics.

use std::sync::Arc;

use nri_runtime::host::{Callback, ListenError};
use tokio::task::JoinSet;
use tracing::warn;

use super::Gateway;
use super::link::Link;
use super::metrics::{Address, Endpoint, Metrics, Sight, Snapshot};
use crate::control::{self, Report, Server, Source};
use crate::failure::Failure;
use crate::timestamp::timestamp;

/// The sockets, which listen and are not served yet.
pub(super) struct View {
    control: Option<Server>,
    metrics: Option<(Endpoint, Arc<Metrics>)>,
}

impl View {
    /// # Errors
    /// A socket cannot listen. Another gateway's control socket is no reason to leave containers without plugins.
    pub(super) async fn open(gateway: &Gateway) -> Result<Self, Failure> {
        let control = match Server::bind(&gateway.settings.control) {
            Ok(server) => Some(server),
            Err(error @ ListenError::InUse(..)) => {
                warn!("goes on without a control socket: failed to {error}");
                None
            }
            Err(error) => return Err(Failure::unavailable(format!("--control: failed to {error}"))),
        };
        let metrics = match &gateway.metrics {
            Some((address, metrics)) => Some((Endpoint::bind(address).await?, Arc::clone(metrics))),
            None => None,
        };
        Ok(Self { control, metrics })
    }

    /// Serves them for as long as the tasks live.
    pub(super) fn serve(self, gateway: &Arc<Gateway>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        if let Some(control) = self.control {
            tasks.spawn(control.serve(Arc::new(Seen(Arc::clone(gateway)))));
        }
        if let Some((endpoint, metrics)) = self.metrics {
            tasks.spawn(endpoint.serve(metrics, Arc::new(Seen(Arc::clone(gateway)))));
        }
        tasks
    }
}

/// What `--metrics` asks for.
pub(super) fn metrics(address: Option<&str>) -> Result<Option<(Address, Arc<Metrics>)>, Failure> {
    let address: Option<Address> = address.map(str::parse).transpose()?;
    Ok(address.map(|address| (address, Arc::new(Metrics::new()))))
}

/// A gateway as it is seen.
struct Seen(Arc<Gateway>);

impl Source for Seen {
    fn report(&self) -> Callback<'_, Report> {
        Box::pin(async {
            let (plugins, totals) = match self.0.host() {
                Some(host) => host.status().await,
                None => Default::default(),
            };
            let engine = engine(&self.0.link.borrow());
            Report { unseen: self.0.unseen(), ..Report::new(engine, &plugins, totals) }
        })
    }
}

impl Sight for Seen {
    fn look(&self) -> Callback<'_, Snapshot> {
        Box::pin(async {
            let (plugins, totals) = match self.0.host() {
                Some(host) => host.status().await,
                None => Default::default(),
            };
            let link = self.0.link.borrow();
            let unseen = Some(self.0.unseen().len());
            Snapshot { plugins, totals, connected: link.connected, connects: link.connects, unseen }
        })
    }
}

fn engine(link: &Link) -> Option<control::Engine> {
    let engine = link.engine.as_ref()?;
    Some(control::Engine {
        name: engine.name.clone(),
        version: engine.version.trim_start_matches('v').to_owned(),
        nri_version: engine.nri(),
        connected: link.connected,
        since: link.since.map(timestamp).unwrap_or_default(),
        reconnects: link.connects.saturating_sub(1),
    })
}
