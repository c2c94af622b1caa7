//! Input in any cut means the same (EXT-003).

use proptest::prelude::*;

use super::*;

/// Messages of all kinds, good and bad, on connections that are served, called, or neither.
fn messages() -> impl Strategy<Value = Vec<(u32, Vec<u8>)>> {
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(any::<u8>(), 0..200)
            .prop_map(|payload| request(1, &payload)[MESSAGE_HEADER..].to_vec()),
        (60_000..70_000_usize).prop_map(|len| vec![0; len]),
    ];
    let one = (0..4_u32, 0..40_u32, 0..5_u8, body)
        .prop_map(|(connection, stream, kind, body)| (connection, message(stream, kind, &body)));
    prop::collection::vec(one, 1..20)
}

/// Frames that cut the messages of each connection anew; messages may share a frame.
fn framed(messages: &[(u32, Vec<u8>)], cuts: &[usize]) -> Vec<u8> {
    let mut cuts = cuts.iter().cycle();
    let mut bytes = Vec::new();
    for (connection, message) in messages {
        let mut rest = &message[..];
        loop {
            let (piece, left) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            bytes.extend(frame(*connection, piece));
            rest = left;
            if rest.is_empty() {
                break;
            }
        }
    }
    bytes
}

/// What becomes of it: events, output, end.
fn outcome(pieces: &[&[u8]]) -> (Vec<String>, Vec<u8>, Option<Closed>) {
    let mut connection = Connection::new(Role::Runtime);
    for _ in 0..10 {
        connection.call(outgoing(1)).unwrap();
    }
    let _calls = output(&mut connection);
    let (mut lines, mut bytes) = (Vec::new(), Vec::new());
    for piece in pieces {
        input(&mut connection, piece);
        lines.extend(events(&mut connection));
        bytes.extend(output(&mut connection));
    }
    (lines, bytes, connection.closed().cloned())
}

proptest! {
    #[test]
    fn cuts_do_not_matter(
        messages in messages(),
        frames in prop::collection::vec(1..100_000_usize, 1..50),
        mut reads in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
    ) {
        let whole = framed(&messages, &[usize::MAX]);
        let expect = outcome(&[&whole]);
        let bytes = framed(&messages, &frames);
        prop_assert_eq!(&outcome(&[&bytes]), &expect, "other frames");
        reads.sort_by_key(|read| read.index(bytes.len()));
        let mut pieces = Vec::new();
        let mut start = 0;
        for read in reads {
            let end = read.index(bytes.len());
            pieces.push(&bytes[start..end]);
            start = end;
        }
        pieces.push(&bytes[start..]);
        prop_assert_eq!(&outcome(&pieces), &expect, "other reads");
    }
}

/// One input, at every point.
#[test]
fn every_cut() {
    let messages = [
        (2, request(1, b"abc")),
        (1, message(1, 2, b"\x12\x01a")),
        (2, message(2, 1, b"")),
        (7, b"nobody's".to_vec()),
        (1, message(3, 2, b"")),
        (2, request(3, b"")),
    ];
    let bytes = framed(&messages, &[usize::MAX]);
    let expect = outcome(&[&bytes]);
    for cut in 0..=bytes.len() {
        assert_eq!(outcome(&[&bytes[..cut], &bytes[cut..]]), expect, "cut at {cut}");
    }
    let single: Vec<_> = bytes.chunks(1).collect();
    assert_eq!(outcome(&single), expect);
    let frames = framed(&messages, &[1]);
    assert_eq!(outcome(&[&frames]), expect);
}
