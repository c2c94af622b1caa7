//! Fuzz targets: plain functions that take any bytes and must return. `fuzz/` gives them to libFuzzer;
//! `tests/tests/fuzz.rs` runs them on every machine, with the corpus and random bytes.

mod seccomp;

use std::time::{Duration, Instant};

use nri_policy::document::load::{File, load};
use nri_policy::host::NoHost;
use nri_wire::api;
use nri_wire::connection::{CallId, Connection, Event, Outgoing, RequestId, Role};
use nri_wire::event::EventMask;
use nri_wire::limits::{FRAME_MAX, MESSAGE_MAX, OUTPUT_MAX};
use nri_wire::mux::FrameReader;
use nri_wire::scan::{Row, scan};
use nri_wire::service::{CALLS, RegisterPlugin};
use nri_wire::ttrpc::{Code, Message, MessageReader, Request, Response, Status};
use nri_wire::version::{NriVersion, Semver, closest, infer, strip_git_suffix};
use prost::Message as _;

pub use seccomp::{fuzz_filters, fuzz_verdicts};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target with the name of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("frames", fuzz_frames),
    ("messages", fuzz_messages),
    ("envelopes", fuzz_envelopes),
    ("scan", fuzz_scan),
    ("connection", fuzz_connection),
    ("texts", fuzz_texts),
    ("policy", fuzz_policy),
    ("verdicts", fuzz_verdicts),
    ("filters", fuzz_filters),
];

/// The frame reader: it loses no byte and invents none.
///
/// # Panics
/// When that is not so.
pub fn fuzz_frames(data: &[u8]) {
    let mut reader = FrameReader::default();
    let mut input = data;
    let mut payload = 0;
    while let Ok(Some((_, piece))) = reader.read(&mut input) {
        assert!(!piece.is_empty() && piece.len() <= FRAME_MAX);
        payload += piece.len();
    }
    assert!(payload <= data.len());
}

/// The message reader, in two cuts: the same messages come out.
///
/// # Panics
/// When that is not so.
pub fn fuzz_messages(data: &[u8]) {
    let Some((&cut, data)) = data.split_first() else { return };
    let read = |pieces: &[&[u8]]| {
        let mut reader = MessageReader::default();
        let mut messages = Vec::new();
        for &piece in pieces {
            let mut input = piece;
            while let Some(message) = reader.read(&mut input, 1000) {
                if let Message::Whole(header, body) = &message {
                    assert_eq!(header.len as usize, body.len());
                }
                messages.push(message);
            }
            assert!(input.is_empty());
        }
        messages
    };
    let (head, tail) = data.split_at(usize::from(cut).min(data.len()));
    assert_eq!(read(&[data]), read(&[head, tail]));
}

/// Envelopes of requests and answers.
///
/// # Panics
/// Where what decodes does not encode to what it was.
pub fn fuzz_envelopes(data: &[u8]) {
    if let Ok(request) = Request::decode(data) {
        assert_eq!(Request::decode(&request.encode_to_vec()[..]), Ok(request));
    }
    if let Ok(response) = Response::decode(data) {
        assert_eq!(Response::decode(&response.encode_to_vec()[..]).as_ref(), Ok(&response));
        drop(response.into_result());
    }
}

/// The scanner, for every message that is sent: what it lets through decodes, and unknown fields can be given back.
///
/// # Panics
/// When that is not so.
pub fn fuzz_scan(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else { return };
    fn passed<M: prost::Message + Default>(data: &[u8]) -> Vec<u8> {
        let message =
            M::decode(data).unwrap_or_else(|error| panic!("it passed and does not decode: {error}"));
        message.encode_to_vec()
    }
    let (_, _, request, response) = CALLS[usize::from(choice >> 1) % CALLS.len()];
    let name = if choice & 1 == 0 { request } else { response };
    let Some(row) = Row::find(name) else { panic!("no row for {name}") };
    let Ok(unknown) = scan(row, data) else { return };
    let mut again = match name {
        "CreateContainerRequest" => passed::<api::CreateContainerRequest>(data),
        "CreateContainerResponse" => passed::<api::CreateContainerResponse>(data),
        "UpdateContainersRequest" => passed::<api::UpdateContainersRequest>(data),
        "UpdateContainerRequest" => passed::<api::UpdateContainerRequest>(data),
        "SynchronizeRequest" => passed::<api::SynchronizeRequest>(data),
        "SynchronizeResponse" => passed::<api::SynchronizeResponse>(data),
        "ConfigureRequest" => passed::<api::ConfigureRequest>(data),
        "ConfigureResponse" => passed::<api::ConfigureResponse>(data),
        "ValidateContainerAdjustmentRequest" => passed::<api::ValidateContainerAdjustmentRequest>(data),
        "RegisterPluginRequest" => passed::<api::RegisterPluginRequest>(data),
        _ => return,
    };
    again.extend(unknown.appendix());
    match scan(row, &again) {
        Ok(after) => assert!(after.count() <= unknown.count()),
        Err(error) => panic!("what was put together does not pass: {error}"),
    }
}

/// A connection in either role: a sequence of everything that a driver and a peer can do.
///
/// # Panics
/// When an invariant of the connection does not hold.
pub fn fuzz_connection(data: &[u8]) {
    let Some((&first, mut data)) = data.split_first() else { return };
    let mut run = Run {
        connection: Connection::new(if first & 1 == 0 { Role::Plugin } else { Role::Runtime }),
        now: Instant::now(),
        requests: Vec::new(),
        calls: Vec::new(),
    };
    while let Some((&op, rest)) = data.split_first() {
        data = rest;
        if op & 0x80 != 0 {
            // Input, of which there is most: as many bytes as the operation says.
            let (piece, rest) = data.split_at(usize::from(op & 0x7f).min(data.len()));
            data = rest;
            run.connection.handle_input(run.now, piece);
        } else {
            run.step(op);
        }
        run.check();
    }
}

struct Run {
    connection: Connection,
    now: Instant,
    requests: Vec<RequestId>,
    calls: Vec<CallId>,
}

impl Run {
    fn step(&mut self, op: u8) {
        let len = usize::from(op >> 4) * 1000;
        match op & 0xf {
            0..=2 => {
                let request =
                    api::RegisterPluginRequest { plugin_name: "x".repeat(len), ..Default::default() };
                let timeout = (op & 1 == 1).then_some(Duration::from_secs(1));
                if let Ok(message) = Outgoing::call::<RegisterPlugin>(&request, &[], timeout)
                    && let Ok(call) = self.connection.call(message)
                {
                    assert!(self.calls.last().is_none_or(|last| *last < call), "ids rise");
                    self.calls.push(call);
                }
            }
            3..=5 => {
                if let Some(request) = self.requests.pop() {
                    let answer = Outgoing::response(&api::Empty {}, &vec![0; len]);
                    let answer =
                        answer.unwrap_or_else(|_| Outgoing::failure(&Status::new(Code::Internal, "long")));
                    self.connection.answer(request, answer);
                }
            }
            6 => {
                if !self.calls.is_empty() {
                    assert!(self.connection.forget(self.calls.remove(0)));
                }
            }
            7 => self.connection.admit(),
            8 => {
                self.now += Duration::from_secs(u64::from(op >> 4));
                self.connection.handle_timeout(self.now);
            }
            9 if op == 0x79 => self.connection.handle_eof(),
            _ => {
                if let Some(output) = self.connection.poll_output() {
                    assert!(!output.is_empty() && output.len() <= MESSAGE_MAX + 26);
                    self.connection.handle_sent(&output);
                }
            }
        }
    }

    fn check(&mut self) {
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::Request(request) => {
                    assert!(!self.requests.contains(&request.id), "one request twice");
                    self.requests.push(request.id);
                }
                Event::Answer { call, .. } => {
                    let at = self.calls.iter().position(|open| *open == call);
                    assert!(
                        at.map(|at| self.calls.remove(at)).is_some(),
                        "an answer to nothing, or a second one"
                    );
                }
            }
        }
        assert!(
            self.connection.output_len() <= OUTPUT_MAX + MESSAGE_MAX || self.connection.closed().is_none()
        );
        assert!(self.connection.closed().is_none() || self.connection.output_len() == 0);
    }
}

/// Texts that peers send: versions and subscriptions.
///
/// # Panics
/// Where what is printed does not read as what it was.
pub fn fuzz_texts(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(version) = text.parse::<NriVersion>() {
        assert_eq!(version.to_string().parse(), Ok(version));
    }
    assert!(text.starts_with(strip_git_suffix(&text)));
    let is_version = Semver::parse(&text).is_some();
    assert_eq!(closest(&text, &["v0.1.0", &text]).is_some(), is_version);
    for engine in ["containerd", "cri-o", "docker"] {
        assert!(infer(engine, &text).is_none() || is_version);
    }
    if let Ok(mask) = text.parse::<EventMask>() {
        assert_eq!(mask.to_string().parse(), Ok(mask));
    }
}

/// A policy file: every complaint has its place in the file, and what has none can be put in force and explained.
///
/// # Panics
/// When that is not so.
pub fn fuzz_policy(data: &[u8]) {
    let file = File { name: "fuzz.yaml".to_owned(), content: data.to_vec(), distrust: None };
    let loaded = load(vec![file], &NoHost);
    let lines = u32::try_from(data.iter().filter(|byte| **byte == b'\n').count()).unwrap_or(u32::MAX);
    for found in loaded.diagnostics.list() {
        let (start, end) = (found.span.start, found.span.end);
        assert!(start <= end, "{found:?}");
        // The parser also takes a carriage return for the end of a line.
        let returns = u32::try_from(data.iter().filter(|byte| **byte == b'\r').count()).unwrap_or(u32::MAX);
        assert!((1..=lines + returns + 2).contains(&start.line) && start.column >= 1, "{found:?}");
        assert!(!found.message.is_empty() && !found.message.contains('\n'), "{found:?}");
    }
    for policy in &loaded.policies {
        for level in &policy.levels {
            let lines = nri_policy::explain::level(policy, level);
            assert_eq!(lines.len(), nri_wire::field::FIELDS.len() + 1);
        }
    }
    let policies = loaded.policies.len();
    if let Ok(set) = loaded.into_set() {
        assert_eq!(set.policies.len(), policies.max(1));
        assert!(
            set.policies
                .iter()
                .flat_map(|policy| &policy.levels)
                .flat_map(|level| level.fields.values())
                .all(|rule| rule.rule.is_some())
        );
    }
}
