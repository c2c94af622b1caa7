//! Scripts: bytes in, answers and events out.

use super::*;

struct Case {
    id: &'static str,
    input: Vec<u8>,
    says: &'static [&'static str],
    happens: &'static [&'static str],
    closed: Option<Closed>,
}

/// What a plugin makes of the bytes. It serves on connection 1.
fn check(case: &Case) {
    let mut connection = Connection::new(Role::Plugin);
    input(&mut connection, &case.input);
    assert_eq!(events(&mut connection), case.happens, "{}", case.id);
    assert_eq!(connection.closed().cloned(), case.closed, "{}", case.id);
    assert_eq!(said(1, &output(&mut connection)), case.says, "{}", case.id);
    if case.closed.is_none() {
        input(&mut connection, &frame(1, &request(101, b"still alive")));
        assert_eq!(events(&mut connection), ["request 101 M of 11"], "{}: it did not survive", case.id);
    }
}

#[test]
fn a_server_keeps_the_rules() {
    let cut: Vec<u8> =
        request(1, b"abc").iter().flat_map(|byte| [frame(1, &[*byte]), frame(1, &[])].concat()).collect();
    let several = [request(1, b""), request(3, b"a"), request(5, b"bc")].concat();
    let long =
        Header { len: u32::try_from(MESSAGE_MAX + 1).unwrap(), stream: 7, kind: Kind::Request, flags: 0 };
    let long = [long.to_bytes().to_vec(), vec![0; MESSAGE_MAX + 1], request(7, b"x")].concat();
    let timed =
        |nanos| Request { method: "M".into(), timeout_nano: nanos, ..Default::default() }.encode_to_vec();
    let metadata = [request(1, b"")[MESSAGE_HEADER..].to_vec(), vec![0x2a, 4, 0x0a, 2, b'k', b'k']].concat();
    let cases = [
        Case {
            id: "a request",
            input: frame(1, &request(1, b"abc")),
            says: &[],
            happens: &["request 1 M of 3"],
            closed: None,
        },
        Case {
            id: "EXT-002, CONF-002: other connections are not ours",
            input: [frame(0, &request(1, b"")), frame(9, b"garbage"), frame(u32::MAX, &[])].concat(),
            says: &[],
            happens: &[],
            closed: None,
        },
        Case {
            id: "EXT-003: one byte a frame",
            input: cut,
            says: &[],
            happens: &["request 1 M of 3"],
            closed: None,
        },
        Case {
            id: "several messages in a frame",
            input: frame(1, &several),
            says: &[],
            happens: &["request 1 M of 0", "request 3 M of 1", "request 5 M of 2"],
            closed: None,
        },
        Case {
            id: "EXT-004, A6: a frame that is too long",
            input: [
                frame(1, &request(1, b"")),
                mux::header(1, u32::try_from(FRAME_MAX + 1).unwrap()).to_vec(),
            ]
            .concat(),
            says: &[],
            happens: &["request 1 M of 0"],
            closed: Some(Closed::FrameTooLong { len: 4_194_315 }),
        },
        Case {
            id: "A6: also on a connection that nobody listens to",
            input: mux::header(9, u32::MAX).to_vec(),
            says: &[],
            happens: &[],
            closed: Some(Closed::FrameTooLong { len: u32::MAX }),
        },
        Case {
            id: "EXT-005: an even id",
            input: frame(1, &request(2, b"")),
            says: &["2 StreamID must be odd for client initiated streams (InvalidArgument)"],
            happens: &[],
            closed: None,
        },
        Case {
            id: "EXT-005: a reused id, and one that falls",
            input: frame(1, &[request(3, b""), request(3, b""), request(1, b"")].concat()),
            says: &[
                "3 StreamID cannot be re-used and must increment (InvalidArgument)",
                "1 StreamID cannot be re-used and must increment (InvalidArgument)",
            ],
            happens: &["request 3 M of 0"],
            closed: None,
        },
        Case {
            id: "EXT-005, A5: data for an unknown stream",
            input: frame(1, &message(5, 3, b"data")),
            says: &["5 StreamID is no longer active (InvalidArgument)"],
            happens: &[],
            closed: None,
        },
        Case {
            id: "A5: data for a call is no second answer",
            input: frame(1, &[request(1, b""), message(1, 3, b"data")].concat()),
            says: &[],
            happens: &["request 1 M of 0"],
            closed: None,
        },
        Case {
            id: "EXT-007: type 9",
            input: frame(1, &message(2, 9, b"?")),
            says: &[],
            happens: &[],
            closed: None,
        },
        Case {
            id: "an answer to a server",
            input: frame(1, &message(1, 2, b"?")),
            says: &[],
            happens: &[],
            closed: None,
        },
        Case {
            id: "a message that is too long is thrown away and does not use its id",
            input: [frame(1, &long[..FRAME_MAX]), frame(1, &long[FRAME_MAX..])].concat(),
            says: &["7 message length 4194305 exceed maximum message size of 4194304 (ResourceExhausted)"],
            happens: &["request 7 M of 1"],
            closed: None,
        },
        Case {
            id: "time-outs: none, some, already over",
            input: frame(
                1,
                &[message(1, 1, &timed(0)), message(3, 1, &timed(1_500_000_000)), message(5, 1, &timed(-7))]
                    .concat(),
            ),
            says: &[],
            happens: &["request 1 M of 0", "request 3 M of 0 within 1.5s", "request 5 M of 0 within 0ns"],
            closed: None,
        },
        Case {
            id: "metadata",
            input: frame(1, &message(1, 1, &metadata)),
            says: &[],
            happens: &["request 1 M of 0"],
            closed: None,
        },
    ];
    for case in &cases {
        check(case);
    }
}

/// EXT-005, quirk C14: the text of the decoder follows the reference's beginning.
#[test]
fn garbage_envelopes_are_answered() {
    for garbage in [&b"\xff\xff\xff"[..], b"\x0a\x05abc", b"\x0a\x01\xff"] {
        let mut connection = Connection::new(Role::Plugin);
        input(&mut connection, &frame(1, &message(1, 1, garbage)));
        let said = said(1, &output(&mut connection)).concat();
        assert!(
            said.starts_with("1 unmarshal request error: ") && said.ends_with("(InvalidArgument)"),
            "{said}"
        );
        input(&mut connection, &frame(1, &request(3, b"")));
        assert_eq!(events(&mut connection), ["request 3 M of 0"]);
    }
}

/// EXT-008, and the bytes of `spec/wire.md` 3.3: the answer to RegisterPlugin.
#[test]
fn an_empty_answer_is_bare() {
    let mut connection = Connection::new(Role::Runtime);
    input(&mut connection, &frame(2, &request(1, b"")));
    let Some(Event::Request(request)) = connection.poll_event() else { panic!("no request") };
    connection.answer(request.id, Outgoing::response(&(), &[]).unwrap());
    assert_eq!(output(&mut connection), frame(2, &[0, 0, 0, 0, 0, 0, 0, 1, 2, 0]));
    connection.answer(request.id, Outgoing::response(&(), &[]).unwrap());
    assert!(output(&mut connection).is_empty(), "answered twice");
}

/// `spec/wire.md` 3.2 and 3.6: ids of calls, answers, and what is none.
#[test]
fn a_client_keeps_the_rules() {
    let mut connection = Connection::new(Role::Runtime);
    let calls: Vec<_> = (0..8).map(|_| connection.call(outgoing(1)).unwrap()).collect();
    assert_eq!(
        said(1, &output(&mut connection)),
        (0..8).map(|i| format!("{} Request", 2 * i + 1)).collect::<Vec<_>>()
    );
    assert!(connection.forget(calls[4]));
    let status = |code, text: &str| {
        // A status is encoded as code and text; code 0 counts as none.
        let status =
            [vec![0x08, code, 0x12, u8::try_from(text.len()).unwrap()], text.as_bytes().to_vec()].concat();
        [vec![0x0a, u8::try_from(status.len()).unwrap()], status].concat()
    };
    let long = Header {
        len: u32::try_from(MESSAGE_MAX_UNREGISTERED + 1).unwrap(),
        stream: 13,
        kind: Kind::Response,
        flags: 0,
    };
    let answers = [
        message(3, 2, b"\x12\x02ab"),
        message(1, 2, b""),
        message(5, 2, &status(12, "method M")),
        message(7, 2, &[status(0, "fine"), b"\x12\x01a".to_vec()].concat()),
        message(9, 2, b"late and forgotten"),
        message(11, 3, b"data"),
        [long.to_bytes().to_vec(), vec![0; MESSAGE_MAX_UNREGISTERED + 1]].concat(),
        message(15, 2, b"\xff"),
        message(15, 2, b""),
        message(17, 2, b"never called"),
        message(2, 2, b""),
        message(1, 9, b""),
    ];
    input(&mut connection, &frame(1, &answers.concat()));
    let lines = events(&mut connection);
    assert_eq!(
        lines[..6],
        [
            "answer 3 of 2",
            "answer 1 of 0",
            r#"failure 5 Status(Status { code: Unimplemented, message: "method M" })"#,
            "answer 7 of 1",
            r#"failure 11 Garbage("a message of type 3 as answer")"#,
            "failure 13 TooLong(TooLong { len: 65537, max: 65536 })",
        ]
    );
    assert!(lines[6].starts_with(r#"failure 15 Garbage("an answer that does not decode"#), "{lines:?}");
    assert_eq!(lines.len(), 7);
    assert_eq!(connection.errors, 4, "data, garbage, and two answers to nothing");
    assert_eq!(connection.closed(), None);
}

/// EXT-001, W1 to W3: up to 4096 bytes with its header a message is one frame, beyond that two. `said` checks the rest.
#[test]
fn messages_are_framed_for_go_peers() {
    let frame_lens = |len| {
        let mut connection = Connection::new(Role::Plugin);
        connection.call(outgoing(len)).unwrap();
        let bytes = output(&mut connection);
        assert_eq!(said(2, &bytes), ["1 Request"]);
        let first = u32::from_be_bytes(bytes[4..8].try_into().unwrap()) as usize;
        (first, bytes.len() - FRAME_HEADER - first)
    };
    let mut longest_single = 0;
    for len in (0..5000).chain([100_000, 4_000_000]) {
        match frame_lens(len) {
            (whole, 0) => longest_single = whole,
            (first, _) => assert_eq!(first, MESSAGE_HEADER, "{len}"),
        }
    }
    assert_eq!(longest_single, FIRST_FRAME_MAX);
}

/// `spec/wire.md` 3.1: a message of 4 MiB with its envelope goes, one byte more does not (CONF-013).
#[test]
fn the_longest_message() {
    let request = |len| RegisterPluginRequest { plugin_name: "x".repeat(len), ..Default::default() };
    let call = |len| Outgoing::call::<crate::service::RegisterPlugin>(&request(len), &[], None);
    let overhead = call(5 << 20).unwrap_err().len - (5 << 20);
    let longest = call(MESSAGE_MAX - overhead).unwrap();
    assert_eq!(
        call(MESSAGE_MAX - overhead + 1).unwrap_err(),
        TooLong { len: MESSAGE_MAX + 1, max: MESSAGE_MAX }
    );
    let mut connection = Connection::new(Role::Plugin);
    connection.call(longest).unwrap();
    assert_eq!(said(2, &output(&mut connection)), ["1 Request"]);
    let cut = Status::new(crate::ttrpc::Code::Unknown, "ü".repeat(5 << 20));
    assert!(Outgoing::failure(&cut).into_output(None).len() < 20_000, "an error text may be cut");
}

/// The deadline goes along as what is left of it; a passed one is negative, none is nothing (`spec/wire.md` 3.3).
#[test]
fn deadlines_go_along() {
    for (left, expect) in [
        (None, None),
        (Some(Duration::from_secs(2)), Some(Duration::from_secs(2))),
        (Some(Duration::ZERO), Some(Duration::ZERO)),
    ] {
        let mut runtime = Connection::new(Role::Runtime);
        let request = RegisterPluginRequest::default();
        runtime
            .call(Outgoing::call::<crate::service::RegisterPlugin>(&request, b"\x0a\x01z", left).unwrap())
            .unwrap();
        let mut plugin = Connection::new(Role::Plugin);
        input(&mut plugin, &output(&mut runtime));
        let Some(Event::Request(request)) = plugin.poll_event() else { panic!("no request") };
        assert_eq!((request.timeout, &request.payload[..]), (expect, &b"\x0a\x01z"[..]));
    }
}

/// CONF-004, CONF-005: after the end nothing goes in or out; what came before is still handed out (C9).
#[test]
fn the_end() {
    let mut connection = Connection::new(Role::Plugin);
    input(&mut connection, &frame(1, &request(1, b"")));
    connection.handle_eof();
    assert_eq!(connection.closed(), Some(&Closed::ByPeer));
    assert_eq!(connection.closed().map(Closed::fault), Some(Fault::Nobody));
    input(&mut connection, &frame(1, &request(3, b"")));
    assert_eq!(events(&mut connection), ["request 1 M of 0"]);
    assert_eq!(connection.call(outgoing(1)), Err(CallRefused::Closed(Closed::ByPeer)));
    connection.answer(RequestId(1), Outgoing::response(&(), &[]).unwrap());
    assert!(output(&mut connection).is_empty());
    connection.close(Closed::local("later"));
    assert_eq!(connection.closed(), Some(&Closed::ByPeer), "the first reason stays");
}
