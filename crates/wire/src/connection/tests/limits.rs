//! What a peer can cost: time, memory, patience.

use super::*;
use crate::limits::{CALLS_IN_FLIGHT_MAX, REQUEST_BYTES_IN_FLIGHT_MAX, REQUESTS_IN_FLIGHT_MAX};

/// Half of something, then silence.
#[test]
fn silence_in_the_middle_ends_it() {
    let whole = frame(1, &request(1, b"abc"));
    for cut in 0..=whole.len() {
        let mut connection = Connection::new(Role::Plugin);
        let start = Instant::now();
        connection.handle_input(start, &whole[..cut]);
        let is_partial = cut != 0 && cut != whole.len();
        assert_eq!(
            connection.poll_timeout(),
            is_partial.then_some(start + PARTIAL_FRAME_TIMEOUT),
            "cut at {cut}"
        );
        connection.handle_timeout(start + PARTIAL_FRAME_TIMEOUT - Duration::from_millis(1));
        assert_eq!(connection.closed(), None);
        connection.handle_timeout(start + PARTIAL_FRAME_TIMEOUT);
        assert_eq!(connection.closed(), is_partial.then_some(&Closed::Stalled), "cut at {cut}");
        let mut connection = Connection::new(Role::Plugin);
        connection.handle_input(start, &whole[..cut]);
        connection.handle_eof();
        assert_eq!(connection.closed() == Some(&Closed::Truncated), is_partial, "cut at {cut}");
    }
    // A whole frame with half a message is no whole message.
    for connection_id in [1, 2] {
        let mut connection = Connection::new(Role::Plugin);
        let start = Instant::now();
        connection.handle_input(start, &frame(connection_id, &request(1, b"abc")[..15]));
        connection.handle_timeout(start + PARTIAL_FRAME_TIMEOUT);
        assert_eq!(connection.closed(), Some(&Closed::Stalled));
    }
}

/// More than 64 protocol errors end the connection, and it says so.
#[test]
fn a_flood_of_errors_ends_it() {
    let errors = |count: u32| (0..count).flat_map(|_| request(2, b"")).collect::<Vec<_>>();
    let mut connection = Connection::new(Role::Runtime);
    input(&mut connection, &frame(2, &errors(PROTOCOL_ERRORS_MAX)));
    assert_eq!(connection.closed(), None);
    input(&mut connection, &frame(2, &errors(1)));
    let closed = connection.closed().unwrap();
    assert_eq!(closed.fault(), Fault::Peer);
    assert!(
        closed.to_string().contains("64 protocol errors") && closed.to_string().contains("odd"),
        "{closed}"
    );

    let mut connection = Connection::new(Role::Runtime);
    for stream in 0..=PROTOCOL_ERRORS_MAX {
        input(&mut connection, &frame(1, &message(2 * stream + 1, 2, b"an answer to nothing")));
    }
    assert!(matches!(connection.closed(), Some(Closed::ProtocolErrors { .. })));
}

/// Before it is admitted, a plugin sends no more than 64 KiB at once (`design.md` 3, 7). A runtime always may.
#[test]
fn strangers_send_little() {
    let long = request(1, &vec![0; MESSAGE_MAX_UNREGISTERED]);
    let mut stranger = Connection::new(Role::Runtime);
    input(&mut stranger, &frame(2, &long));
    assert!(
        said(2, &output(&mut stranger))
            .concat()
            .contains("maximum message size of 65536 (ResourceExhausted)")
    );
    input(&mut stranger, &frame(2, &request(1, &vec![0; MESSAGE_MAX_UNREGISTERED - 100])));
    assert_eq!(events(&mut stranger), ["request 1 M of 65436"]);
    stranger.admit();
    input(&mut stranger, &frame(2, &request(3, &vec![0; 1 << 20])));
    assert_eq!(events(&mut stranger), ["request 3 M of 1048576"]);
    let mut plugin = Connection::new(Role::Plugin);
    input(&mut plugin, &frame(1, &request(1, &vec![0; 1 << 20])));
    assert_eq!(events(&mut plugin), ["request 1 M of 1048576"]);
}

/// Requests that wait for an answer are counted until the answer is written, not until it is given.
#[test]
fn requests_in_flight_are_few() {
    let mut connection = Connection::new(Role::Runtime);
    let mut stream = 1;
    let mut ask = |connection: &mut Connection| {
        input(connection, &frame(2, &request(stream, b"")));
        stream += 2;
        connection.poll_event()
    };
    let mut ids = Vec::new();
    for _ in 0..REQUESTS_IN_FLIGHT_MAX {
        let Some(Event::Request(request)) = ask(&mut connection) else { panic!("refused") };
        ids.push(request.id);
    }
    assert_eq!(ask(&mut connection), None);
    assert!(said(2, &output(&mut connection)).concat().ends_with("(ResourceExhausted)"));
    connection.answer(ids[0], Outgoing::response(&(), &[]).unwrap());
    assert_eq!(ask(&mut connection), None, "the answer is not written yet");
    output(&mut connection);
    assert!(ask(&mut connection).is_some());
    assert_eq!(connection.errors, 0, "asking much is no protocol error");
}

#[test]
fn requests_in_flight_are_short() {
    let mut connection = Connection::new(Role::Plugin);
    let long = vec![0; 3 << 20];
    let mut taken = 0;
    for index in 0..20 {
        input(&mut connection, &frame(1, &request(2 * index + 1, &long)));
        taken += events(&mut connection).len();
        output(&mut connection);
    }
    assert_eq!(taken, REQUEST_BYTES_IN_FLIGHT_MAX / long.len());
}

/// A peer that asks and asks and does not read what it is refused.
#[test]
fn refusals_do_not_pile_up() {
    let mut connection = Connection::new(Role::Runtime);
    for index in 0..5000 {
        input(&mut connection, &frame(2, &request(2 * index + 1, b"")));
    }
    assert_eq!(connection.closed(), Some(&Closed::NotReading));
    assert_eq!(connection.output_len(), 0);
}

/// Our own side: calls without answers are bounded, and the numbers of calls do not wrap.
#[test]
fn calls_are_bounded() {
    let mut connection = Connection::new(Role::Runtime);
    let first = connection.call(outgoing(0)).unwrap();
    for _ in 1..CALLS_IN_FLIGHT_MAX {
        connection.call(outgoing(0)).unwrap();
    }
    assert_eq!(connection.call(outgoing(0)), Err(CallRefused::TooMany));
    assert!(connection.forget(first) && !connection.forget(first));
    assert!(connection.call(outgoing(0)).is_ok());
    assert!(connection.has_room());
    connection.close(Closed::local("enough"));
    assert_eq!(connection.output_len(), 0);
}
