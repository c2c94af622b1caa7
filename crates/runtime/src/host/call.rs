//! Calls to plugins: the core's messages as calls of the protocol, and what came back.

use nri_wire::api;
use nri_wire::event::Event;
use nri_wire::io::Invalid;
use nri_wire::io::Reply;
use nri_wire::io::tokio::{CallError, Peer};
use nri_wire::scan::ScanError;
use nri_wire::service::{self, Rpc};
use tokio::time::Instant;

use super::core::{Answer, End, Message};

/// Makes a call and waits for its end, beyond the deadline if it must be: the core decides what is late.
pub(crate) async fn make(peer: &Peer, message: Message, deadline: Instant) -> End {
    match message {
        Message::Configure(m) => call::<service::Configure>(peer, &m, deadline, Answer::Configure).await,
        Message::Synchronize(m) => {
            call::<service::Synchronize>(peer, &m, deadline, Answer::Synchronize).await
        }
        Message::Shutdown(m) => call::<service::Shutdown>(peer, &m, deadline, |_| Answer::Nothing).await,
        Message::Create(m) => {
            call::<service::CreateContainer>(peer, &m, deadline, |a| Answer::Create(Box::new(a))).await
        }
        Message::Update(m) => call::<service::UpdateContainer>(peer, &m, deadline, Answer::Update).await,
        Message::Stop(m) => call::<service::StopContainer>(peer, &m, deadline, Answer::Stop).await,
        Message::UpdatePod(m) => {
            call::<service::UpdatePodSandbox>(peer, &m, deadline, |_| Answer::Nothing).await
        }
        Message::Validate(m) => {
            call::<service::ValidateContainerAdjustment>(peer, &m, deadline, Answer::Validate).await
        }
        Message::Notice { notice, dedicated: false } => {
            call::<service::StateChange>(peer, &notice, deadline, |_| Answer::Nothing).await
        }
        Message::Notice { notice, dedicated: true } => tell(peer, &notice, deadline).await,
    }
}

/// The nine events that are only told, each as its own call.
async fn tell(peer: &Peer, notice: &api::StateChangeEvent, deadline: Instant) -> End {
    macro_rules! as_call {
        ($($event:ident { $($field:ident),* } as $request:ident;)*) => {
            match notice.event() {
                $(Event::$event => {
                    let request = api::$request { $($field: notice.$field.clone()),* };
                    call::<service::$event>(peer, &request, deadline, |_| Answer::Nothing).await
                })*
                other => End::Invalid(format!("{other:?} is not an event that is told")),
            }
        };
    }
    as_call! {
        RunPodSandbox { pod } as RunPodSandboxRequest;
        PostUpdatePodSandbox { pod } as PostUpdatePodSandboxRequest;
        StopPodSandbox { pod } as StopPodSandboxRequest;
        RemovePodSandbox { pod } as RemovePodSandboxRequest;
        PostCreateContainer { pod, container } as PostCreateContainerRequest;
        StartContainer { pod, container } as StartContainerRequest;
        PostStartContainer { pod, container } as PostStartContainerRequest;
        PostUpdateContainer { pod, container } as PostUpdateContainerRequest;
        RemoveContainer { pod, container } as RemoveContainerRequest;
    }
}

async fn call<R: Rpc>(
    peer: &Peer,
    request: &R::Request,
    deadline: Instant,
    answer: impl FnOnce(R::Response) -> Answer,
) -> End {
    let mut result = peer.call::<R>(request, deadline).await;
    if let Err(CallError::Late(late)) = result {
        result = late.wait().await;
    }
    match result {
        Ok(reply) => {
            let unknown = unknown_paths(&reply);
            End::Answer(answer(reply.message), unknown)
        }
        Err(CallError::Status(status)) => End::Status(status),
        Err(CallError::TooLong { len, max }) => End::TooLong { len, max },
        Err(CallError::Invalid(invalid)) => unusable(peer, invalid),
        Err(CallError::Late(_) | CallError::Closed(_)) => End::Closed,
    }
}

/// Answers beyond the scanner's caps end the connection, others do not.
fn unusable(peer: &Peer, invalid: Invalid) -> End {
    match invalid {
        Invalid::Scan(error @ (ScanError::TooManyElements { .. } | ScanError::TooDeep { .. })) => {
            peer.close(&error.to_string());
            End::Closed
        }
        Invalid::TooLong { .. } => End::Overlong(invalid.to_string()),
        invalid => End::Invalid(invalid.to_string()),
    }
}

/// Where the fields stand that we do not know.
pub(crate) fn unknown_paths<T>(reply: &Reply<T>) -> Vec<String> {
    reply.unknown.fields().iter().map(|field| field.path.clone()).collect()
}
