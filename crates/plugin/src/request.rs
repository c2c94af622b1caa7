//! What a handler is given: the message, who sent it, and until when the answer is wanted.

use std::fmt;
use std::ops::Deref;
use std::sync::LazyLock;
use std::time::Instant;

use nri_wire::api::{self, Container, PodSandbox};

use crate::session::Session;

/// A request of the runtime. Reads like its message: `request.container().name`, `request.linux_resources`.
#[derive(Clone)]
pub struct Request<M> {
    message: M,
    session: Session,
    deadline: Option<Instant>,
}

/// A message about a pod.
pub trait OfPod {
    /// The pod, if the runtime sent it.
    fn pod(&self) -> Option<&PodSandbox>;
}

/// A message about a container of a pod.
pub trait OfContainer: OfPod {
    /// The container, if the runtime sent it.
    fn container(&self) -> Option<&Container>;
}

impl<M> Request<M> {
    pub(crate) fn new(message: M, session: Session, deadline: Option<Instant>) -> Self {
        Self { message, session, deadline }
    }

    /// The connection that the request came over: to ask what the runtime can do, or to send updates.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// When the runtime stops waiting for the answer, if it said so. Answer before, or be taken for dead.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The message itself.
    #[must_use]
    pub fn message(&self) -> &M {
        &self.message
    }

    pub(crate) fn into_message(self) -> M {
        self.message
    }
}

impl<M: OfPod> Request<M> {
    /// The pod. Runtimes always send it; should one not, this is a pod with nothing in it.
    #[must_use]
    pub fn pod(&self) -> &PodSandbox {
        static NONE: LazyLock<PodSandbox> = LazyLock::new(PodSandbox::default);
        self.message.pod().unwrap_or(&NONE)
    }
}

impl<M: OfContainer> Request<M> {
    /// The container. Runtimes always send it; should one not, this is a container with nothing in it.
    #[must_use]
    pub fn container(&self) -> &Container {
        static NONE: LazyLock<Container> = LazyLock::new(Container::default);
        self.message.container().unwrap_or(&NONE)
    }
}

impl<M> Deref for Request<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.message
    }
}

impl<M: fmt::Debug> fmt::Debug for Request<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("message", &self.message)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// Names a request after its call and tells what it is about.
macro_rules! requests {
    ($($(#[$doc:meta])* $name:ident($message:ident) $(of $about:ident)*;)*) => {$(
        $(#[$doc])*
        pub type $name = Request<api::$message>;
        $(requests!(@ $about $message);)*
    )*};
    (@ pod $message:ident) => {
        impl OfPod for api::$message {
            fn pod(&self) -> Option<&PodSandbox> {
                self.pod.as_ref()
            }
        }
    };
    (@ container $message:ident) => {
        impl OfContainer for api::$message {
            fn container(&self) -> Option<&Container> {
                self.container.as_ref()
            }
        }
    };
}

requests! {
    /// The runtime's name and version, time-outs, and the plugin's configuration text.
    Configure(ConfigureRequest);
    /// Every pod and container there is, all parts together.
    Synchronize(SynchronizeRequest);
    /// A pod has been created.
    RunPodSandbox(RunPodSandboxRequest) of pod;
    /// A pod's resources are about to change.
    UpdatePodSandbox(UpdatePodSandboxRequest) of pod;
    /// A pod's resources have changed.
    PostUpdatePodSandbox(PostUpdatePodSandboxRequest) of pod;
    /// A pod has been stopped.
    StopPodSandbox(StopPodSandboxRequest) of pod;
    /// A pod has been removed.
    RemovePodSandbox(RemovePodSandboxRequest) of pod;
    /// A container is about to be created.
    CreateContainer(CreateContainerRequest) of pod of container;
    /// A container has been created.
    PostCreateContainer(PostCreateContainerRequest) of pod of container;
    /// A container is about to be started.
    StartContainer(StartContainerRequest) of pod of container;
    /// A container has been started.
    PostStartContainer(PostStartContainerRequest) of pod of container;
    /// A container's resources are about to change.
    UpdateContainer(UpdateContainerRequest) of pod of container;
    /// A container's resources have changed.
    PostUpdateContainer(PostUpdateContainerRequest) of pod of container;
    /// A container has been stopped.
    StopContainer(StopContainerRequest) of pod of container;
    /// A container has been removed.
    RemoveContainer(RemoveContainerRequest) of pod of container;
    /// What all plugins together made of a container, and who set what.
    Validate(ValidateContainerAdjustmentRequest) of pod of container;
}
