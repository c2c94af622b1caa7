//! What the core sends to plugins and hears from them.

use std::sync::Arc;

use nri_wire::api::{
    ConfigureRequest, ConfigureResponse, CreateContainerRequest, CreateContainerResponse, Empty,
    StateChangeEvent, StopContainerRequest, StopContainerResponse, SynchronizeRequest, SynchronizeResponse,
    UpdateContainerRequest, UpdateContainerResponse, UpdatePodSandboxRequest,
    ValidateContainerAdjustmentRequest, ValidateContainerAdjustmentResponse,
};
use nri_wire::event::Event;
use nri_wire::scan::Unknown;
use nri_wire::ttrpc::Status;

/// A call to one plugin.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    Configure(Box<ConfigureRequest>),
    Synchronize(Box<SynchronizeRequest>),
    Shutdown(Empty),
    Create(Arc<CreateContainerRequest>),
    Update(Arc<UpdateContainerRequest>),
    Stop(Arc<StopContainerRequest>),
    UpdatePod(Arc<UpdatePodSandboxRequest>),
    Validate(Arc<ValidateContainerAdjustmentRequest>),
    /// One of the nine calls that only tell an event: as a call of its own, or as StateChange for plugins that
    /// know nothing else (`spec/wire.md` 5.5).
    Notice {
        notice: Arc<StateChangeEvent>,
        dedicated: bool,
    },
}

/// A message, and what goes along with it that we cannot read (`design.md` 3, invariant 8).
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub(crate) message: Message,
    pub(crate) unknown: Arc<Unknown>,
}

impl From<Message> for Parcel {
    fn from(message: Message) -> Self {
        Self { message, unknown: Arc::default() }
    }
}

/// An event that is only told, and what its message carries that we cannot read.
#[derive(Clone, Debug)]
pub(super) struct Happened {
    pub(super) notice: Arc<StateChangeEvent>,
    pub(super) unknown: Arc<Unknown>,
}

impl Happened {
    /// As a call of its own, or as StateChange.
    pub(super) fn told(&self, dedicated: bool) -> Parcel {
        let message = match self.notice.event() {
            Event::StopContainer => {
                let (pod, container) = (self.notice.pod.clone(), self.notice.container.clone());
                Message::Stop(Arc::new(StopContainerRequest { pod, container }))
            }
            _ => Message::Notice { notice: Arc::clone(&self.notice), dedicated },
        };
        Parcel { message, unknown: Arc::clone(&self.unknown) }
    }
}

/// What a plugin answers.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Configure(ConfigureResponse),
    Synchronize(SynchronizeResponse),
    Create(Box<CreateContainerResponse>),
    Update(UpdateContainerResponse),
    Stop(StopContainerResponse),
    Validate(ValidateContainerAdjustmentResponse),
    /// To everything that only tells something.
    Nothing,
}

/// How a call ended, whenever it did.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// With the paths of the fields in it that we do not know.
    Answer(Answer, Vec<String>),
    /// The plugin gave a status other than OK.
    Status(Status),
    /// The connection is gone.
    Closed,
    /// The message was too long to be sent.
    TooLong { len: usize, max: usize },
    /// The answer cannot be read.
    Invalid(String),
    /// The answer is too long to be taken: as good as none (EXT-016).
    Overlong(String),
}

impl End {
    /// An answer that changes nothing: whoever gives it late is not at odds with what was done.
    pub(crate) fn changes_nothing(&self) -> bool {
        match self {
            Self::Answer(Answer::Create(answer), _) => {
                answer.adjust.as_ref().is_none_or(|adjust| *adjust == Default::default())
                    && answer.update.is_empty()
                    && answer.evict.is_empty()
            }
            Self::Answer(Answer::Update(answer), _) => answer.update.is_empty() && answer.evict.is_empty(),
            Self::Answer(Answer::Stop(answer), _) => answer.update.is_empty(),
            _ => true,
        }
    }

    /// What is wrong, for logs.
    pub(crate) fn fault(&self) -> String {
        match self {
            Self::Answer(..) => "the answer is of another kind".to_owned(),
            Self::Status(status) => status.to_string(),
            Self::Closed => "the connection was lost".to_owned(),
            Self::TooLong { len, max } => format!("the message has {len} bytes, more than {max}"),
            Self::Invalid(why) | Self::Overlong(why) => why.clone(),
        }
    }
}

impl Message {
    /// The event that the call is about, `Unknown` for those of the connection's own life.
    pub(crate) fn event(&self) -> Event {
        match self {
            Self::Configure(_) | Self::Synchronize(_) | Self::Shutdown(_) => Event::Unknown,
            Self::Create(_) => Event::CreateContainer,
            Self::Update(_) => Event::UpdateContainer,
            Self::Stop(_) => Event::StopContainer,
            Self::UpdatePod(_) => Event::UpdatePodSandbox,
            Self::Validate(_) => Event::ValidateContainerAdjustment,
            Self::Notice { notice, .. } => notice.event(),
        }
    }
}
