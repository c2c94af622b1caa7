//! The trait that a plugin implements.

use nri_wire::event::{Event, EventMask};

use crate::adjustment::Adjustment;
use crate::request::{
    Configure, CreateContainer, PostCreateContainer, PostStartContainer, PostUpdateContainer,
    PostUpdatePodSandbox, RemoveContainer, RemovePodSandbox, RunPodSandbox, StartContainer, StopContainer,
    StopPodSandbox, Synchronize, UpdateContainer, UpdatePodSandbox, Validate,
};
use crate::update::{Update, Updates};

/// Why a handler failed: any error or text. The runtime gets its text; in most requests that fails the operation.
///
/// A `nri_wire::ttrpc::Status` in here is passed on as it is, with its code.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// What a handler returns.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// The handlers that a plugin implements, by name. Written by [`#[plugin]`](macro@crate::plugin), never by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which events it handles",
    label = "the attribute `#[nri_plugin::plugin]` is missing above this `impl Plugin`",
    note = "write `#[nri_plugin::plugin]` above `impl Plugin for {Self}`: it lists the handlers, to which the plugin then subscribes"
)]
pub trait Handlers {
    /// Names of the implemented methods of [`Plugin`].
    const HANDLERS: &'static [&'static str];
}

/// An NRI plugin: implement what you need, and write [`#[plugin]`](macro@crate::plugin) above the block.
///
/// The plugin is subscribed to the events whose handlers are implemented, and to no others: each costs the runtime a
/// round trip. By default one handler runs at a time ([`Builder::concurrency`](crate::Builder::concurrency)).
/// A handler should answer within the runtime's time-out (2 s by default), else the runtime goes on without the
/// plugin. An error from any handler fails the operation, stop and remove included; a panic counts as an error.
pub trait Plugin: Handlers + Send + Sync + 'static {
    /// The runtime introduces itself; returns the events to subscribe to. [`EventMask::NONE`] means all that are
    /// implemented, which is the default.
    ///
    /// # Errors
    /// The plugin does not start, and does not try again.
    fn configure(&self, request: &Configure) -> Result<EventMask> {
        let _ = request;
        Ok(EventMask::NONE)
    }

    /// Every pod and container there is, once after each (re)connection. May update containers.
    ///
    /// # Errors
    /// The runtime ends the connection.
    fn synchronize(&self, request: &Synchronize) -> Result<Vec<Update>> {
        let _ = request;
        Ok(Vec::new())
    }

    /// The runtime is about to end the connection for good: the plugin does not reconnect afterwards.
    fn shutdown(&self) {}

    /// A pod has been created.
    ///
    /// # Errors
    /// The pod does not start.
    fn run_pod_sandbox(&self, request: &RunPodSandbox) -> Result {
        let _ = request;
        Ok(())
    }

    /// A pod's resources are about to change (NRI 0.10).
    ///
    /// # Errors
    /// The change does not happen.
    fn update_pod_sandbox(&self, request: &UpdatePodSandbox) -> Result {
        let _ = request;
        Ok(())
    }

    /// A pod's resources have changed (NRI 0.10).
    ///
    /// # Errors
    /// The operation fails for the client.
    fn post_update_pod_sandbox(&self, request: &PostUpdatePodSandbox) -> Result {
        let _ = request;
        Ok(())
    }

    /// A pod has been stopped.
    ///
    /// # Errors
    /// The operation fails for the client.
    fn stop_pod_sandbox(&self, request: &StopPodSandbox) -> Result {
        let _ = request;
        Ok(())
    }

    /// A pod has been removed.
    ///
    /// # Errors
    /// The operation fails for the client.
    fn remove_pod_sandbox(&self, request: &RemovePodSandbox) -> Result {
        let _ = request;
        Ok(())
    }

    /// A container is about to be created: the plugin may adjust it, and update or evict others.
    ///
    /// # Errors
    /// The container is not created.
    fn create_container(&self, request: &CreateContainer) -> Result<Adjustment> {
        let _ = request;
        Ok(Adjustment::new())
    }

    /// A container has been created.
    ///
    /// # Errors
    /// The operation fails for the client.
    fn post_create_container(&self, request: &PostCreateContainer) -> Result {
        let _ = request;
        Ok(())
    }

    /// A container is about to be started.
    ///
    /// # Errors
    /// The container does not start.
    fn start_container(&self, request: &StartContainer) -> Result {
        let _ = request;
        Ok(())
    }

    /// A container has been started.
    ///
    /// # Errors
    /// The operation fails for the client.
    fn post_start_container(&self, request: &PostStartContainer) -> Result {
        let _ = request;
        Ok(())
    }

    /// A container's resources are about to change: the plugin may change the change, and update or evict others.
    ///
    /// # Errors
    /// The change does not happen.
    fn update_container(&self, request: &UpdateContainer) -> Result<Updates> {
        let _ = request;
        Ok(Updates::new())
    }

    /// A container's resources have changed.
    ///
    /// # Errors
    /// The operation fails for the client.
    fn post_update_container(&self, request: &PostUpdateContainer) -> Result {
        let _ = request;
        Ok(())
    }

    /// A container has been stopped: the plugin may update others. (The protocol has no evictions here.)
    ///
    /// # Errors
    /// The operation fails for the client.
    fn stop_container(&self, request: &StopContainer) -> Result<Vec<Update>> {
        let _ = request;
        Ok(Vec::new())
    }

    /// A container has been removed.
    ///
    /// # Errors
    /// The operation fails for the client.
    fn remove_container(&self, request: &RemoveContainer) -> Result {
        let _ = request;
        Ok(())
    }

    /// What all plugins together made of a container is put before the validators (NRI 0.10).
    ///
    /// # Errors
    /// The container is rejected, with the error's text as reason.
    fn validate_container_adjustment(&self, request: &Validate) -> Result {
        let _ = request;
        Ok(())
    }
}

/// Which handler serves which event.
const EVENT_HANDLERS: [(&str, Event); 14] = [
    ("run_pod_sandbox", Event::RunPodSandbox),
    ("stop_pod_sandbox", Event::StopPodSandbox),
    ("remove_pod_sandbox", Event::RemovePodSandbox),
    ("create_container", Event::CreateContainer),
    ("post_create_container", Event::PostCreateContainer),
    ("start_container", Event::StartContainer),
    ("post_start_container", Event::PostStartContainer),
    ("update_container", Event::UpdateContainer),
    ("post_update_container", Event::PostUpdateContainer),
    ("stop_container", Event::StopContainer),
    ("remove_container", Event::RemoveContainer),
    ("update_pod_sandbox", Event::UpdatePodSandbox),
    ("post_update_pod_sandbox", Event::PostUpdatePodSandbox),
    ("validate_container_adjustment", Event::ValidateContainerAdjustment),
];

/// The events that these handlers serve.
pub(crate) fn events(handlers: &[&str]) -> EventMask {
    EVENT_HANDLERS
        .iter()
        .filter(|(handler, _)| handlers.contains(handler))
        .fold(EventMask::NONE, |mask, &(_, event)| mask.with(event))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Two;

    #[crate::plugin]
    impl Plugin for Two {
        fn configure(&self, _: &Configure) -> Result<EventMask> {
            fn nested() -> EventMask {
                EventMask::NONE
            }
            Ok(nested())
        }
        #[cfg(any())]
        fn stop_container(&self, _: &StopContainer) -> Result<Vec<Update>> {
            Ok(Vec::new())
        }
        #[cfg(test)]
        fn remove_container(&self, _: &RemoveContainer) -> Result {
            Ok(())
        }
        fn create_container(&self, _: &CreateContainer) -> Result<Adjustment> {
            Ok(Adjustment::new())
        }
    }

    struct Generic<T, const N: usize>(T);

    #[crate::plugin]
    impl<T: Fn(u8) -> u8 + Send + Sync + 'static, const N: usize> crate::Plugin for Generic<T, N>
    where
        T: Clone,
    {
        fn remove_pod_sandbox(&self, _: &RemovePodSandbox) -> Result {
            let _ = (self.0)(0);
            Ok(())
        }
    }

    fn handlers<P: Plugin>(_: &P) -> &'static [&'static str] {
        P::HANDLERS
    }

    #[test]
    fn the_attribute_lists_what_is_implemented() {
        assert_eq!(handlers(&Two), ["configure", "remove_container", "create_container"]);
        assert_eq!(events(handlers(&Two)).to_string(), "CreateContainer,RemoveContainer");
        assert_eq!(handlers(&Generic::<_, 3>(|n| n)), ["remove_pod_sandbox"]);
    }

    /// `spec/stub.md` 1: every event has a handler.
    #[test]
    fn every_event_has_a_handler() {
        let all: Vec<&str> = EVENT_HANDLERS.iter().map(|(handler, _)| *handler).collect();
        assert_eq!(events(&all), EventMask::ALL);
    }
}
