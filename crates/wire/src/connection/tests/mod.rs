//! The connection against scripted bytes, against itself, and cut at every point.

mod cuts;
mod limits;
mod pair;
mod rules;

use std::time::Instant;

use prost::Message as _;

use super::*;
use crate::api::RegisterPluginRequest;
use crate::limits::{FIRST_FRAME_MAX, FRAME_HEADER, FRAME_MAX, MESSAGE_HEADER};
use crate::mux;
use crate::ttrpc::{Header, Message, MessageReader, Request, Response};

/// A frame.
fn frame(connection: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = mux::header(connection, u32::try_from(payload.len()).unwrap()).to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

/// A message without frames.
fn message(stream: u32, kind: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap();
    let mut bytes = Header { len, stream, kind: Kind::Request, flags: 0 }.to_bytes().to_vec();
    bytes[8] = kind;
    bytes.extend_from_slice(body);
    bytes
}

/// A request of method `M` with a payload, without frames.
fn request(stream: u32, payload: &[u8]) -> Vec<u8> {
    let request = Request {
        service: "S".into(),
        method: "M".into(),
        payload: payload.to_vec().into(),
        timeout_nano: 0,
    };
    message(stream, 1, &request.encode_to_vec())
}

/// An outgoing message that carries `len` bytes of text.
fn outgoing(len: usize) -> Outgoing {
    let request = RegisterPluginRequest { plugin_name: "x".repeat(len), ..Default::default() };
    Outgoing::call::<crate::service::RegisterPlugin>(&request, &[], None).unwrap()
}

fn input(connection: &mut Connection, bytes: &[u8]) {
    connection.handle_input(Instant::now(), bytes);
}

/// Everything that waits to be written, as if it had been.
fn output(connection: &mut Connection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(output) = connection.poll_output() {
        bytes.extend_from_slice(&output);
        connection.handle_sent(&output);
    }
    bytes
}

/// What happened, one line each.
fn events(connection: &mut Connection) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(event) = connection.poll_event() {
        lines.push(match event {
            Event::Request(request) => {
                let timeout = request.timeout.map(|left| format!(" within {left:?}")).unwrap_or_default();
                let (id, method, len) = (request.id.0, request.method, request.payload.len());
                format!("request {id} {method} of {len}{timeout}")
            }
            Event::Answer { call, result: Ok(payload) } => format!("answer {} of {}", call.0, payload.len()),
            Event::Answer { call, result: Err(failure) } => format!("failure {} {failure:?}", call.0),
        });
    }
    lines
}

/// What is said in output, one line a message: also checks the two rules of framing (`spec/wire.md` 2.6, W1 and W2).
fn said(connection: u32, mut bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut reader = MessageReader::default();
    let mut is_start = true;
    while !bytes.is_empty() {
        let (header, rest) = bytes.split_at(FRAME_HEADER);
        assert_eq!(header[..4], connection.to_be_bytes());
        let len = u32::from_be_bytes(header[4..].try_into().unwrap()) as usize;
        assert!(!is_start || len <= FIRST_FRAME_MAX, "W1: a first frame of {len} bytes");
        let (mut payload, rest) = rest.split_at(len);
        bytes = rest;
        is_start = false;
        if let Some(Message::Whole(header, body)) = reader.read(&mut payload, FRAME_MAX) {
            assert!(payload.is_empty(), "W2: a frame goes beyond the end of its message");
            is_start = true;
            lines.push(match header.kind {
                Kind::Response if body.is_empty() => format!("{} ok, bare", header.stream),
                Kind::Response => match Response::decode(body).unwrap().into_result() {
                    Ok(payload) => format!("{} ok of {}", header.stream, payload.len()),
                    Err(status) => format!("{} {status}", header.stream),
                },
                _ => format!("{} {:?}", header.stream, header.kind),
            });
        }
    }
    assert!(is_start, "half a message");
    lines
}
