//! From a call's name to the handler and back (`spec/stub.md` 3).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use nri_wire::api::{
    ConfigureRequest, CreateContainerRequest, CreateContainerResponse, Empty, Event, StateChangeEvent,
    StopContainerResponse, SynchronizeRequest, SynchronizeResponse, UpdateContainerResponse,
    ValidateContainerAdjustmentResponse,
};
use nri_wire::event::EventMask;
use nri_wire::io::blocking;
use nri_wire::service::{self, Rpc};
use nri_wire::ttrpc::{Code, Status};

use crate::engine;
use crate::plugin::{Error, Plugin, Result, events};
use crate::request::Request;
use crate::session::Session;
use crate::update::messages;

/// A plugin without its type: what a connection talks to.
pub(crate) trait Serve: Send + Sync {
    /// The events that have a handler.
    fn events(&self) -> EventMask;
    fn configure(&self, request: Request<ConfigureRequest>) -> Result<EventMask>;
    fn synchronize(&self, request: Request<SynchronizeRequest>) -> Result<SynchronizeResponse, Status>;
    fn shutdown(&self);
    /// Serves a call about pods and containers. Calls that nobody knows are answered Unimplemented.
    fn serve(&self, call: Call<'_>);
}

/// A call that came in, and where its failures are told.
pub(crate) struct Call<'a> {
    pub(crate) request: blocking::Request,
    pub(crate) session: &'a Session,
    pub(crate) failed: &'a dyn Fn(&str, &Status),
}

impl Call<'_> {
    /// Decodes, handles and answers.
    pub(crate) fn answer<R: Rpc>(
        self,
        handle: impl FnOnce(Request<R::Request>) -> std::result::Result<R::Response, Status>,
    ) {
        let deadline = self.request.timeout().and_then(|left| Instant::now().checked_add(left));
        let decoded = self.request.decode::<R>();
        let result = decoded.and_then(|reply| {
            guarded(|| handle(Request::new(reply.message, self.session.clone(), deadline)))?
        });
        if let Err(status) = &result {
            (self.failed)(R::METHOD, status);
        }
        self.request.answer::<R>(result);
    }

    /// As [`Call::answer`], for handlers that have nothing to answer.
    fn notify<R: Rpc>(self, handle: impl FnOnce(&Request<R::Request>) -> Result) {
        self.answer::<R>(|request| handle(&request).map(|()| R::Response::default()).map_err(status));
    }
}

/// Runs a handler; a panic in it becomes an error answer, and the plugin goes on.
pub(crate) fn guarded<T>(handler: impl FnOnce() -> T) -> std::result::Result<T, Status> {
    catch_unwind(AssertUnwindSafe(handler)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
        Status::new(Code::Internal, format!("the plugin's handler panicked: {text}"))
    })
}

/// A handler's error as the runtime gets it. Ok would count as success, and Unimplemented would make runtimes repeat
/// an event in its old form (`spec/wire.md` 5.5), so no handler says these.
pub(crate) fn status(error: Error) -> Status {
    match error.downcast::<Status>() {
        Ok(status) if matches!(status.code, Code::Ok | Code::Unimplemented) => {
            Status::new(Code::Unknown, status.message)
        }
        Ok(status) => *status,
        Err(error) => Status::new(Code::Unknown, error.to_string()),
    }
}

impl<P: Plugin> Serve for P {
    fn events(&self) -> EventMask {
        events(P::HANDLERS)
    }

    fn configure(&self, request: Request<ConfigureRequest>) -> Result<EventMask> {
        Plugin::configure(self, &request)
    }

    fn synchronize(&self, request: Request<SynchronizeRequest>) -> Result<SynchronizeResponse, Status> {
        let updates = Plugin::synchronize(self, &request).map_err(status)?;
        let update = messages(updates).map_err(|invalid| status(invalid.into()))?;
        Ok(SynchronizeResponse { update, more: false })
    }

    fn shutdown(&self) {
        Plugin::shutdown(self);
    }

    fn serve(&self, call: Call<'_>) {
        if call.request.service() != service::PLUGIN {
            let status = Status::no_service(call.request.service());
            return call.request.refuse(status);
        }
        match call.request.method() {
            "CreateContainer" => call.answer::<service::CreateContainer>(|r| create(self, &r)),
            "UpdateContainer" => call.answer::<service::UpdateContainer>(|r| {
                let updates = self.update_container(&r).map_err(status)?;
                let (update, evict) = updates.into_messages().map_err(|invalid| status(invalid.into()))?;
                Ok(UpdateContainerResponse { update, evict })
            }),
            "StopContainer" => call.answer::<service::StopContainer>(|r| {
                let updates = self.stop_container(&r).map_err(status)?;
                let update = messages(updates).map_err(|invalid| status(invalid.into()))?;
                Ok(StopContainerResponse { update })
            }),
            "ValidateContainerAdjustment" => call.answer::<service::ValidateContainerAdjustment>(|r| {
                let error = self.validate_container_adjustment(&r).err();
                let reason = error.as_ref().map(ToString::to_string).unwrap_or_default();
                Ok(ValidateContainerAdjustmentResponse { reject: error.is_some(), reason })
            }),
            "StateChange" => call.answer::<service::StateChange>(|r| state_change(self, &r)),
            "RunPodSandbox" => call.notify::<service::RunPodSandbox>(|r| self.run_pod_sandbox(r)),
            "UpdatePodSandbox" => call.notify::<service::UpdatePodSandbox>(|r| self.update_pod_sandbox(r)),
            "PostUpdatePodSandbox" => {
                call.notify::<service::PostUpdatePodSandbox>(|r| self.post_update_pod_sandbox(r));
            }
            "StopPodSandbox" => call.notify::<service::StopPodSandbox>(|r| self.stop_pod_sandbox(r)),
            "RemovePodSandbox" => call.notify::<service::RemovePodSandbox>(|r| self.remove_pod_sandbox(r)),
            "PostCreateContainer" => {
                call.notify::<service::PostCreateContainer>(|r| self.post_create_container(r));
            }
            "StartContainer" => call.notify::<service::StartContainer>(|r| self.start_container(r)),
            "PostStartContainer" => {
                call.notify::<service::PostStartContainer>(|r| self.post_start_container(r));
            }
            "PostUpdateContainer" => {
                call.notify::<service::PostUpdateContainer>(|r| self.post_update_container(r));
            }
            "RemoveContainer" => call.notify::<service::RemoveContainer>(|r| self.remove_container(r)),
            method => {
                let status = Status::no_method(method);
                call.request.refuse(status);
            }
        }
    }
}

fn create<P: Plugin>(
    plugin: &P,
    request: &Request<CreateContainerRequest>,
) -> Result<CreateContainerResponse, Status> {
    let adjustment = plugin.create_container(request).map_err(status)?;
    let message = adjustment.into_message().map_err(|invalid| status(invalid.into()))?;
    engine::check(&request.session().runtime(), &message).map_err(|refusal| status(refusal.into()))?;
    Ok(message)
}

/// The nine events of runtimes before NRI 0.12 (`spec/wire.md` 5.5). Other events in this form mean nothing.
fn state_change<P: Plugin>(plugin: &P, change: &Request<StateChangeEvent>) -> Result<Empty, Status> {
    let (pod, container) = (change.pod.clone(), change.container.clone());
    // The request of the dedicated call that carries the same.
    macro_rules! handle {
        ($handler:ident, $request:ident { $($part:ident),* }) => {{
            let message = nri_wire::api::$request { $($part),* };
            plugin.$handler(&Request::new(message, change.session().clone(), change.deadline()))
        }};
    }
    match Event::try_from(change.event).unwrap_or(Event::Unknown) {
        Event::RunPodSandbox => handle!(run_pod_sandbox, RunPodSandboxRequest { pod }),
        Event::PostUpdatePodSandbox => handle!(post_update_pod_sandbox, PostUpdatePodSandboxRequest { pod }),
        Event::StopPodSandbox => handle!(stop_pod_sandbox, StopPodSandboxRequest { pod }),
        Event::RemovePodSandbox => handle!(remove_pod_sandbox, RemovePodSandboxRequest { pod }),
        Event::PostCreateContainer => {
            handle!(post_create_container, PostCreateContainerRequest { pod, container })
        }
        Event::StartContainer => handle!(start_container, StartContainerRequest { pod, container }),
        Event::PostStartContainer => {
            handle!(post_start_container, PostStartContainerRequest { pod, container })
        }
        Event::PostUpdateContainer => {
            handle!(post_update_container, PostUpdateContainerRequest { pod, container })
        }
        Event::RemoveContainer => handle!(remove_container, RemoveContainerRequest { pod, container }),
        _ => Ok(()),
    }
    .map(|()| Empty {})
    .map_err(status)
}
