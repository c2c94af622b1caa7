//! One request of the engine: through the plugins behind the gateway, and the answer.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use nri_runtime::host::{Caller, Failure, Host};
use nri_wire::api::{
    Container, CreateContainerRequest, CreateContainerResponse, Empty, StateChangeEvent,
    StopContainerRequest, StopContainerResponse, UpdateContainerRequest, UpdateContainerResponse,
    UpdatePodSandboxRequest, UpdatePodSandboxResponse,
};
use nri_wire::event::{Event, display_name, is_of_pod};
use nri_wire::io::tokio::Request;
use nri_wire::scan::Unknown;
use nri_wire::service::{self, NOTICES, Notice as _, Rpc};
use nri_wire::ttrpc::{Code, Status};
use nri_wire::with_notice;
use prost::Message as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::super::Gateway;
use super::super::observe::{Relay, Relayed};
use super::known::settle;
use super::owners;
use crate::audit::{self, About, Operation};
use crate::policy::lock::InForce;

/// Takes a request on its way; it is answered before the engine's deadline, whatever plugins do.
pub(super) fn relay(gateway: &Arc<Gateway>, request: Request, tasks: &mut JoinSet<()>) {
    if request.method() == service::ValidateContainerAdjustment::METHOD {
        return owners::validate(request, gateway.settings.name.full());
    }
    let way = Way {
        gateway: Arc::clone(gateway),
        arrived: Instant::now(),
        timeout: request.timeout(),
        unknown: Unknown::default(),
        policies: gateway.lock.now(),
    };
    macro_rules! by_method {
        ($($call:ident => $relay:ident;)*) => {
            match request.method() {
                $(service::$call::METHOD => {
                    tasks.spawn(way.answer::<service::$call, _>(request, Way::$relay));
                })*
                method => {
                    let event = NOTICES.into_iter().find(|event| display_name(*event) == method);
                    way.notice(event.unwrap_or(Event::Unknown), request, tasks);
                }
            }
        };
    }
    by_method! {
        CreateContainer => create;
        UpdateContainer => update;
        StopContainer => stop;
        UpdatePodSandbox => update_pod;
        StateChange => tell;
    }
}

/// What every request of the engine takes along.
struct Way {
    gateway: Arc<Gateway>,
    arrived: Instant,
    timeout: Option<Duration>,
    /// What a newer engine says that we do not know: plugins may.
    unknown: Unknown,
    /// What it is decided by.
    policies: InForce,
}

impl Way {
    async fn answer<R: Rpc, F: Future<Output = Result<R::Response, Status>>>(
        mut self,
        request: Request,
        relay: impl FnOnce(Self, R::Request) -> F,
    ) {
        match request.decode::<R>() {
            Ok(asked) => {
                self.unknown = asked.unknown;
                let result = relay(self, asked.message).await;
                request.answer::<R>(result);
            }
            Err(status) => request.refuse(status),
        }
    }

    /// The host, and how it is asked. The first requests after its start wait a moment for the plugins that it launches,
    /// so that their containers do not start without them; all together wait for half of one request's time.
    async fn host(&self) -> Result<(Host, Caller), Status> {
        let timeout = self.timeout.unwrap_or_else(|| self.gateway.request_timeout());
        let (host, started) = self.gateway.started().ok_or_else(|| {
            Status::new(Code::FailedPrecondition, "the gateway has not been synchronized by the engine")
        })?;
        let patience = (started + timeout / 2).min(self.arrived + timeout / 2);
        if self.arrived < patience && timeout_at(patience, host.settled()).await.is_err() {
            warn!("requests do not wait any longer for plugins that are being launched");
        }
        Ok((host, Caller { deadline: self.arrived + timeout, unknown: self.unknown.clone() }))
    }

    async fn create(self, asked: CreateContainerRequest) -> Result<CreateContainerResponse, Status> {
        let event = Event::CreateContainer;
        let _flight = self.gateway.updates.begin(event);
        let (host, caller) = self.host().await?;
        let (pod, container) = (asked.pod.clone(), asked.container.clone());
        let id = id(container.as_ref());
        let result = host.create_container(asked, caller).await;
        let lost = match &result {
            Ok(created) => self.gateway.loses(&created.merged.changes, &created.merged.evictions),
            Err(_) => Vec::new(),
        };
        lost.iter().for_each(|lost| warn!(container = id, "carried, not applied by this engine: {lost}"));
        let audit = self.observe(&Relayed {
            pod: pod.as_ref(),
            container: container.as_ref(),
            lost: &lost,
            ..self.relayed(event, result.as_ref().map_or_else(Relay::Failed, Relay::Created))
        });
        let created = result.map_err(|failure| status(&failure, audit))?;
        let mut adjust = created.merged.adjust.into_inner();
        settle(&mut adjust);
        let mut update = created.merged.updates;
        let mut evict = created.merged.evictions.into_iter().map(|evicted| evicted.eviction).collect();
        let length = adjust.encoded_len();
        self.gateway.fold(event, id, &mut update, &mut evict, length);
        Ok(CreateContainerResponse { adjust: Some(adjust), update, evict })
    }

    async fn update(self, asked: UpdateContainerRequest) -> Result<UpdateContainerResponse, Status> {
        let event = Event::UpdateContainer;
        let _flight = self.gateway.updates.begin(event);
        let (host, caller) = self.host().await?;
        let (pod, container) = (asked.pod.clone(), asked.container.clone());
        let resources = asked.linux_resources.clone();
        let result = host.update_container(asked, caller).await;
        let audit = self.observe(&Relayed {
            pod: pod.as_ref(),
            container: container.as_ref(),
            resources: resources.as_ref(),
            ..self.relayed(event, result.as_ref().map_or_else(Relay::Failed, Relay::Updated))
        });
        let updated = result.map_err(|failure| status(&failure, audit))?;
        let mut update = updated.merged.updates;
        let mut evict = updated.merged.evictions.into_iter().map(|evicted| evicted.eviction).collect();
        let length = updated.merged.own.iter().map(prost::Message::encoded_len).sum();
        self.gateway.fold(event, id(container.as_ref()), &mut update, &mut evict, length);
        update.extend(updated.merged.own);
        Ok(UpdateContainerResponse { update, evict })
    }

    async fn stop(self, asked: StopContainerRequest) -> Result<StopContainerResponse, Status> {
        let event = Event::StopContainer;
        let _flight = self.gateway.updates.begin(event);
        let (host, caller) = self.host().await?;
        let (pod, container) = (asked.pod.clone(), asked.container.clone());
        let result = host.stop_container(asked, caller).await;
        let audit = self.observe(&Relayed {
            pod: pod.as_ref(),
            container: container.as_ref(),
            ..self.relayed(event, result.as_ref().map_or_else(Relay::Failed, Relay::Stopped))
        });
        let mut update = result.map_err(|failure| status(&failure, audit))?.merged.updates;
        // The protocol has no place for evictions here; none of those that wait must be lost for that.
        let mut evictions = Vec::new();
        self.gateway.fold(event, id(container.as_ref()), &mut update, &mut evictions, 0);
        if !evictions.is_empty() {
            warn!(
                "{} evictions cannot go out with a StopContainer: no engine carries them out",
                evictions.len()
            );
        }
        Ok(StopContainerResponse { update })
    }

    async fn update_pod(self, asked: UpdatePodSandboxRequest) -> Result<UpdatePodSandboxResponse, Status> {
        let event = Event::UpdatePodSandbox;
        let _flight = self.gateway.updates.begin(event);
        let (host, caller) = self.host().await?;
        let (pod, resources) = (asked.pod.clone(), asked.linux_resources.clone());
        let result = host.update_pod_sandbox(asked, caller).await;
        self.observe(&Relayed {
            pod: pod.as_ref(),
            resources: resources.as_ref(),
            ..self.relayed(event, result.as_ref().map_or_else(Relay::Failed, Relay::Told))
        });
        result.map(|_| UpdatePodSandboxResponse {}).map_err(|failure| status(&failure, None))
    }

    /// One of the nine events that are only told, as a call of its own.
    fn notice(self, event: Event, request: Request, tasks: &mut JoinSet<()>) {
        with_notice!(
            event,
            Told => {
                tasks.spawn(self.answer::<Told, _>(request, |way, asked| async move {
                    let (pod, container) = Told::about(asked);
                    let notice = StateChangeEvent { event: Told::EVENT.into(), pod, container };
                    way.tell(notice).await.map(|_| Default::default())
                }));
            },
            {
                let status = Status::no_method(request.method());
                request.refuse(status);
            }
        );
    }

    /// The same, as every engine before NRI 0.12 tells it.
    async fn tell(self, notice: StateChangeEvent) -> Result<Empty, Status> {
        let event = notice.event();
        let _flight = self.gateway.updates.begin(event);
        let (host, caller) = self.host().await?;
        let number = notice.event;
        let missing = |what| {
            Status::new(
                Code::InvalidArgument,
                format!("event {number} has no {what}, or is none that is told"),
            )
        };
        let pod = notice.pod.ok_or_else(|| missing("pod"))?;
        let container = notice.container;
        if !NOTICES.contains(&event) || container.is_none() && !is_of_pod(event) {
            return Err(missing("container"));
        }
        let result = host.tell(event, pod.clone(), container.clone(), caller).await;
        self.observe(&Relayed {
            pod: Some(&pod),
            container: container.as_ref(),
            ..self.relayed(event, result.as_ref().map_or_else(Relay::Failed, Relay::Told))
        });
        result.map(|_| Empty {}).map_err(|failure| status(&failure, None))
    }

    /// Tells those who watch, and writes it down; the audit line that says more about a failure.
    fn observe(&self, relayed: &Relayed<'_>) -> Option<audit::Id> {
        let gateway = &self.gateway;
        gateway.observe(relayed);
        let (operation, result) = match (relayed.event, &relayed.outcome) {
            (_, Relay::Created(created)) => (Operation::Create, audit::Done::Created(created)),
            (_, Relay::Updated(updated)) => (Operation::Update, audit::Done::Updated(updated)),
            (_, Relay::Stopped(stopped)) => (Operation::Stop, audit::Done::Stopped(stopped)),
            (Event::CreateContainer, Relay::Failed(failure)) => {
                (Operation::Create, audit::Done::Failed(failure))
            }
            (Event::UpdateContainer, Relay::Failed(failure)) => {
                (Operation::Update, audit::Done::Failed(failure))
            }
            (Event::StopContainer, Relay::Failed(failure)) => (Operation::Stop, audit::Done::Failed(failure)),
            (_, Relay::Told(_) | Relay::Failed(_)) => return None,
        };
        let about = About {
            operation,
            pod: relayed.pod,
            container: relayed.container,
            policies: &self.policies,
            runtime: &gateway.engine(),
            gap: relayed.lost.iter().map(ToString::to_string).collect(),
            took: relayed.took,
        };
        gateway.audit.decided(&about, result)
    }

    /// What came of it just now, for those who watch; about whom it was is for the caller to add.
    fn relayed<'a>(&self, event: Event, outcome: Relay<'a>) -> Relayed<'a> {
        let took = self.arrived.elapsed();
        Relayed { event, pod: None, container: None, resources: None, outcome, took, lost: &[] }
    }
}

fn id(container: Option<&Container>) -> &str {
    container.map_or("", |container| &container.id)
}

/// What the engine is told: one line, with plugin, reason, and where to read more.
fn status(failure: &Failure, audit: Option<audit::Id>) -> Status {
    Status::new(Code::Unknown, audit::told(failure, audit))
}
