//! Whole conversations between the reference's stub and adaptation: ours takes either part, and says the same bytes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use nri_wire::api::Empty;
use nri_wire::connection::{Connection, Event, Outgoing, RequestId, Role};
use nri_wire::mux::FrameReader;
use nri_wire::service::{self, Rpc};
use nri_wire::ttrpc::{Header, Kind, Message, MessageReader, Request, Response};
use prost::Message as _;
use serde_json::Value as Json;

use crate::{golden, unhex};

/// One end of ours, and what it has been asked and not yet answered.
struct End {
    connection: Connection,
    frames: FrameReader,
    readers: [MessageReader; 2],
    asked: VecDeque<(u32, RequestId)>,
}

impl End {
    fn new(role: Role) -> Self {
        let mut connection = Connection::new(role);
        connection.admit();
        Self {
            connection,
            frames: FrameReader::default(),
            readers: Default::default(),
            asked: VecDeque::new(),
        }
    }

    /// The messages in what this end (or the recorded one in its place) has sent, with their connections.
    fn split(&mut self, mut bytes: &[u8]) -> Vec<(u32, Header, Vec<u8>)> {
        let mut messages = Vec::new();
        while let Some((connection, mut piece)) = self.frames.read(&mut bytes).unwrap() {
            let reader = &mut self.readers[connection as usize - 1];
            while let Some(message) = reader.read(&mut piece, usize::MAX) {
                let Message::Whole(header, body) = message else { panic!("no message is too long") };
                messages.push((connection, header, body.to_vec()));
            }
        }
        messages
    }

    fn output(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(output) = self.connection.poll_output() {
            bytes.extend_from_slice(&output);
            self.connection.handle_sent(&output);
        }
        bytes
    }

    /// Says what was recorded, by our own means.
    fn say(&mut self, header: Header, body: &[u8]) {
        if header.kind == Kind::Request {
            let request = Request::decode(body).unwrap();
            let timeout = (request.timeout_nano != 0)
                .then(|| Duration::from_nanos(request.timeout_nano.try_into().unwrap()));
            self.connection.call(call(&request, timeout)).unwrap();
        } else {
            let at = self.asked.iter().position(|(stream, _)| *stream == header.stream).unwrap();
            let (_, id) = self.asked.remove(at).unwrap();
            let answer = match Response::decode(body).unwrap().into_result() {
                Ok(payload) => Outgoing::response(&Empty {}, &payload).unwrap(),
                Err(status) => Outgoing::failure(&status),
            };
            self.connection.answer(id, answer);
        }
    }

    /// Hears what was recorded, and makes of it what it is.
    fn hear(&mut self, bytes: &[u8], messages: &[(u32, Header, Vec<u8>)]) {
        self.connection.handle_input(Instant::now(), bytes);
        for (_, header, body) in messages {
            match self.connection.poll_event().unwrap() {
                Event::Request(request) => {
                    let recorded = Request::decode(&body[..]).unwrap();
                    assert_eq!((&request.service, &request.method), (&recorded.service, &recorded.method));
                    assert_eq!(request.payload, recorded.payload);
                    self.asked.push_back((header.stream, request.id));
                }
                Event::Answer { result, .. } => {
                    let recorded = Response::decode(&body[..]).unwrap().into_result();
                    assert_eq!(result.ok(), recorded.ok());
                }
            }
        }
        assert_eq!(self.connection.poll_event(), None);
        assert_eq!(self.connection.closed(), None);
    }
}

/// A call with the recorded payload.
fn call(request: &Request, timeout: Option<Duration>) -> Outgoing {
    macro_rules! calls {
        ($($call:ident)*) => {
            match request.method.as_str() {
                $(service::$call::METHOD => {
                    assert_eq!(request.service, service::$call::SERVICE);
                    Outgoing::call::<service::$call>(&Default::default(), &request.payload, timeout)
                })*
                other => panic!("{other} has no line in this test"),
            }
        };
    }
    calls! {
        RegisterPlugin UpdateContainers Configure Synchronize Shutdown RunPodSandbox UpdatePodSandbox
        PostUpdatePodSandbox StopPodSandbox RemovePodSandbox CreateContainer PostCreateContainer StartContainer
        PostStartContainer UpdateContainer PostUpdateContainer StopContainer RemoveContainer StateChange
        ValidateContainerAdjustment
    }
    .unwrap()
}

fn replay(session: &Json) -> usize {
    let mut ends = [End::new(Role::Plugin), End::new(Role::Runtime)];
    let mut recorded = [End::new(Role::Plugin), End::new(Role::Runtime)];
    let mut count = 0;
    for chunk in session["chunks"].as_array().unwrap() {
        let from = usize::from(chunk["from"] == "host");
        let bytes = unhex(chunk["hex"].as_str().unwrap());
        let messages = recorded[from].split(&bytes);
        count += messages.len();
        for (connection, header, body) in &messages {
            ends[from].say(*header, body);
            let ours = ends[from].output();
            let ours = ends[from].split(&ours);
            assert_eq!(ours, [(*connection, *header, body.clone())], "other bytes than the reference's");
        }
        ends[1 - from].hear(&bytes, &messages);
    }
    count
}

#[test]
fn conversations_are_the_same() {
    let mut names = Vec::new();
    for file in std::fs::read_dir(golden("sessions")).unwrap() {
        let path = file.unwrap().path();
        let session: Json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let count = replay(&session);
        assert_eq!(count, session["messages"].as_array().unwrap().len(), "{}", path.display());
        names.push(path);
    }
    assert!(names.len() >= 10, "{names:?}");
}
