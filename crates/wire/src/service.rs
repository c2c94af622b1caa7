//! The calls of the protocol (`spec/api.md` 1): one type per call, which names its service, its method and
//! its messages, so that a call can be made or served only with the messages that belong to it.

use crate::api;

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
