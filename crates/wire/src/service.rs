//! The calls of the protocol (`spec/api.md` 1): one type per call, which names its service, its method and
//! its messages, so that a call can be made or served only with the messages that belong to it.

use crate::api::{self, Container, PodSandbox};
use crate::event::Event;

/// The service that a plugin offers, on logical connection 1.
pub const PLUGIN: &str = "nri.pkg.api.v1alpha1.Plugin";
/// The service that a runtime offers, on logical connection 2.
pub const RUNTIME: &str = "nri.pkg.api.v1alpha1.Runtime";

/// One call of the protocol.
pub trait Rpc: Send + Sync + 'static {
    /// What is sent.
    type Request: prost::Message + Default + Send + 'static;
    /// What comes back.
    type Response: prost::Message + Default + Send + 'static;
    /// Full name of the service.
    const SERVICE: &'static str;
    /// Name of the method.
    const METHOD: &'static str;
    /// Name of the request message, as the scanner's table has it.
    const REQUEST_NAME: &'static str;
    /// Name of the response message, as the scanner's table has it.
    const RESPONSE_NAME: &'static str;
}

macro_rules! calls {
    ($($service:ident $method:ident($request:ident) -> $response:ident, $doc:literal;)*) => {$(
        #[doc = $doc]
        #[derive(Clone, Copy, Debug)]
        pub struct $method;

        impl Rpc for $method {
            type Request = api::$request;
            type Response = api::$response;
            const SERVICE: &'static str = $service;
            const METHOD: &'static str = stringify!($method);
            const REQUEST_NAME: &'static str = stringify!($request);
            const RESPONSE_NAME: &'static str = stringify!($response);
        }
    )*

        /// Every call as (service, method, request, response), in the order of `nri.proto`.
        pub const CALLS: &[(&str, &str, &str, &str)] =
            &[$(($service, stringify!($method), stringify!($request), stringify!($response)),)*];
    };
}

calls! {
    RUNTIME RegisterPlugin(RegisterPluginRequest) -> Empty, "A plugin says its name and index.";
    RUNTIME UpdateContainers(UpdateContainersRequest) -> UpdateContainersResponse, "A plugin asks for updates or evictions on its own account.";
    PLUGIN Configure(ConfigureRequest) -> ConfigureResponse, "The runtime hands over configuration, the plugin its subscription.";
    PLUGIN Synchronize(SynchronizeRequest) -> SynchronizeResponse, "The runtime tells all pods and containers, in one or more parts.";
    PLUGIN Shutdown(Empty) -> Empty, "The runtime is about to end the connection.";
    PLUGIN RunPodSandbox(RunPodSandboxRequest) -> RunPodSandboxResponse, "A pod has been created.";
    PLUGIN UpdatePodSandbox(UpdatePodSandboxRequest) -> UpdatePodSandboxResponse, "A pod's resources are about to change.";
    PLUGIN PostUpdatePodSandbox(PostUpdatePodSandboxRequest) -> PostUpdatePodSandboxResponse, "A pod's resources have changed.";
    PLUGIN StopPodSandbox(StopPodSandboxRequest) -> StopPodSandboxResponse, "A pod has been stopped.";
    PLUGIN RemovePodSandbox(RemovePodSandboxRequest) -> RemovePodSandboxResponse, "A pod has been removed.";
    PLUGIN CreateContainer(CreateContainerRequest) -> CreateContainerResponse, "A container is about to be created: the plugin may adjust it.";
    PLUGIN PostCreateContainer(PostCreateContainerRequest) -> PostCreateContainerResponse, "A container has been created.";
    PLUGIN StartContainer(StartContainerRequest) -> StartContainerResponse, "A container is about to be started.";
    PLUGIN PostStartContainer(PostStartContainerRequest) -> PostStartContainerResponse, "A container has been started.";
    PLUGIN UpdateContainer(UpdateContainerRequest) -> UpdateContainerResponse, "A container's resources are about to change: the plugin may change the change.";
    PLUGIN PostUpdateContainer(PostUpdateContainerRequest) -> PostUpdateContainerResponse, "A container's resources have changed.";
    PLUGIN StopContainer(StopContainerRequest) -> StopContainerResponse, "A container has been stopped: the plugin may update others.";
    PLUGIN RemoveContainer(RemoveContainerRequest) -> RemoveContainerResponse, "A container has been removed.";
    PLUGIN StateChange(StateChangeEvent) -> Empty, "How runtimes before NRI 0.12 tell the nine calls that carry an event only.";
    PLUGIN ValidateContainerAdjustment(ValidateContainerAdjustmentRequest) -> ValidateContainerAdjustmentResponse, "The merged adjustment is put to the validators.";
}

/// One of the nine calls that only tell an event: a pod, and a container where the event is about one
/// (`spec/api.md` 7). Engines before NRI 0.12 tell them as [`StateChange`].
pub trait Notice: Rpc {
    /// What it tells.
    const EVENT: Event;

    /// The request about this pod and container. An event about a pod leaves the container out.
    fn request(pod: Option<PodSandbox>, container: Option<Container>) -> Self::Request;

    /// The pod and the container of a request.
    fn about(request: Self::Request) -> (Option<PodSandbox>, Option<Container>);
}

/// One list for all that goes over notices. `$d` is a dollar sign for the macro that it makes.
macro_rules! notices {
    ($d:tt $($event:ident($request:ident) { pod $(, $container:ident)? };)*) => {
        $(impl Notice for $event {
            const EVENT: Event = Event::$event;

            fn request(pod: Option<PodSandbox>, _container: Option<Container>) -> api::$request {
                api::$request { pod $(, $container: _container)? }
            }

            fn about(request: api::$request) -> (Option<PodSandbox>, Option<Container>) {
                (request.pod, None $(.or(request.$container))?)
            }
        })*

        /// Their events, in the order of a container's life.
        pub const NOTICES: [Event; 9] = [$(Event::$event),*];

        /// Does something with the call that tells an event, by its type, or something else where no call only tells it.
        ///
        /// ```
        /// use nri_wire::event::Event;
        /// use nri_wire::service::{Notice, Rpc};
        ///
        /// let method = |event| nri_wire::with_notice!(event, Call => Some(Call::METHOD), None);
        /// assert_eq!(method(Event::StartContainer), Some("StartContainer"));
        /// assert_eq!(method(Event::StopContainer), None);
        /// ```
        #[macro_export]
        macro_rules! with_notice {
            ($d event:expr, $d call:ident => $d then:expr, $d otherwise:expr) => {
                match $d event {
                    $($d crate::event::Event::$event => {
                        type $d call = $d crate::service::$event;
                        $d then
                    })*
                    _ => $d otherwise,
                }
            };
        }
    };
}

notices! { $
    RunPodSandbox(RunPodSandboxRequest) { pod };
    PostUpdatePodSandbox(PostUpdatePodSandboxRequest) { pod };
    PostCreateContainer(PostCreateContainerRequest) { pod, container };
    StartContainer(StartContainerRequest) { pod, container };
    PostStartContainer(PostStartContainerRequest) { pod, container };
    PostUpdateContainer(PostUpdateContainerRequest) { pod, container };
    RemoveContainer(RemoveContainerRequest) { pod, container };
    StopPodSandbox(StopPodSandboxRequest) { pod };
    RemovePodSandbox(RemovePodSandboxRequest) { pod };
}
