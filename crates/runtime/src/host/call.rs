//! Calls to plugins: the core's messages as calls of the protocol, and what came back.

use nri_wire::api;
use nri_wire::io::Invalid;
use nri_wire::io::Reply;
use nri_wire::io::tokio::{CallError, Peer};
use nri_wire::scan::ScanError;
use nri_wire::service::{self, Notice as _, Rpc};
use nri_wire::with_notice;
use tokio::time::Instant;

use super::core::{Answer, End, Message, Parcel};

/// Makes a call and waits for its end, beyond the deadline if it must be: the core decides what is late.
pub(crate) async fn make(peer: &Peer, parcel: Parcel, deadline: Instant) -> End {
    let to = To { peer, appendix: appendix(&parcel), deadline };
    match parcel.message {
        Message::Configure(m) => call::<service::Configure>(to, &m, Answer::Configure).await,
        Message::Synchronize(m) => call::<service::Synchronize>(to, &m, Answer::Synchronize).await,
        Message::Shutdown(m) => call::<service::Shutdown>(to, &m, |_| Answer::Nothing).await,
        Message::Create(m) => call::<service::CreateContainer>(to, &m, |a| Answer::Create(Box::new(a))).await,
        Message::Update(m) => call::<service::UpdateContainer>(to, &m, Answer::Update).await,
        Message::Stop(m) => call::<service::StopContainer>(to, &m, Answer::Stop).await,
        Message::UpdatePod(m) => call::<service::UpdatePodSandbox>(to, &m, |_| Answer::Nothing).await,
        Message::Validate(m) => call::<service::ValidateContainerAdjustment>(to, &m, Answer::Validate).await,
        Message::Notice { notice, dedicated: false } => {
            call::<service::StateChange>(to, &notice, |_| Answer::Nothing).await
        }
        Message::Notice { notice, dedicated: true } => tell(to, &notice).await,
    }
}

/// Where a call goes, and until when.
struct To<'a> {
    peer: &'a Peer,
    appendix: Vec<u8>,
    deadline: Instant,
}

/// What is put behind the encoded message: the unknown fields that came with the request, where this form of the message
/// has them. The engine may have used another one.
fn appendix(parcel: &Parcel) -> Vec<u8> {
    match &parcel.message {
        _ if parcel.unknown.is_empty() => Vec::new(),
        Message::Notice { dedicated: true, .. } => {
            parcel.unknown.appendix_as(&[("pod", 1), ("container", 2)], 2)
        }
        Message::Notice { dedicated: false, .. } => {
            parcel.unknown.appendix_as(&[("pod", 2), ("container", 3)], 3)
        }
        // The other fields of the request are not what the caller asked, but what came of it.
        Message::Validate(_) => parcel.unknown.appendix_as(&[("pod", 1), ("container", 2)], u32::MAX),
        _ => parcel.unknown.appendix(),
    }
}

/// One of the nine events that are only told, as its own call.
async fn tell(to: To<'_>, notice: &api::StateChangeEvent) -> End {
    with_notice!(
        notice.event(),
        Told => {
            let request = Told::request(notice.pod.clone(), notice.container.clone());
            call::<Told>(to, &request, |_| Answer::Nothing).await
        },
        End::Invalid(format!("{:?} is not an event that is told", notice.event()))
    )
}

async fn call<R: Rpc>(to: To<'_>, request: &R::Request, answer: impl FnOnce(R::Response) -> Answer) -> End {
    let To { peer, appendix, deadline } = to;
    let mut result = peer.call_with::<R>(request, &appendix, deadline).await;
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
