//! The scanner against encoded messages, honest and hostile.

use prost::Message as _;
use prost::encoding::encode_varint;

use super::*;
use crate::api::{
    Container, ContainerAdjustment, CreateContainerRequest, LinuxContainer, Mount, PodSandbox,
    SynchronizeRequest,
};

fn row(name: &str) -> Row {
    Row::find(name).unwrap()
}

/// The number of a field.
fn tag(message: &str, name: &str) -> u32 {
    row(message).message().fields.iter().find(|field| field.name == name).unwrap().number
}

/// A field with content of any length.
fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_varint(u64::from(number) << 3 | 2, &mut bytes);
    encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

fn number(number: u32, value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_varint(u64::from(number) << 3, &mut bytes);
    encode_varint(value, &mut bytes);
    bytes
}

#[test]
fn the_table_is_complete() {
    for (_, method, request, response) in crate::service::CALLS {
        assert!(Row::find(request).is_some() && Row::find(response).is_some(), "{method}");
    }
    for message in MESSAGES {
        assert!(message.fields.len() <= FIELDS_MAX, "{}: FIELDS_MAX is too small", message.name);
        assert!(message.fields.is_sorted_by_key(|field| field.number), "{}", message.name);
        for (at, field) in message.fields.iter().enumerate() {
            assert_eq!(
                message.field(field.number).map(|(at, _)| at),
                Some(at),
                "{}.{}",
                message.name,
                field.name
            );
            if let Kind::Message(row) = field.kind {
                assert!(!Row(row).name().is_empty());
            }
        }
    }
    assert_eq!(Row::named("Container").name(), "Container");
}

#[test]
fn unknown_fields_are_reported() {
    let (mounts, linux, cgroups) =
        (tag("Container", "mounts"), tag("Container", "linux"), tag("LinuxContainer", "cgroups_path"));
    let message = [
        field(tag("Container", "id"), b"id"),
        field(mounts, b""),
        field(mounts, &number(9, 5)),
        field(linux, &[field(2000, b"new"), field(cgroups, b"/cgroup")].concat()),
        number(77, 1),
        field(linux, &number(2047, 3)),
    ]
    .concat();
    let unknown = scan(row("Container"), &message).unwrap();
    let paths: Vec<_> = unknown.fields().iter().map(|field| field.path.as_str()).collect();
    assert_eq!(paths, ["mounts[1].9", "linux.2000", "77", "linux.2047"]);
    assert_eq!((unknown.count(), unknown.lost()), (4, 1));
    let places: Vec<_> = unknown.fields().iter().map(|field| (field.place(), field.is_lost())).collect();
    assert_eq!((places[0].0.as_str(), places[0].1), ("mounts[].9", true));
    assert_eq!((places[1].0.as_str(), places[1].1), ("linux.2000", false));

    // Forwarding: decoded, encoded again, and the appendix put behind it, nothing but the mount's field is lost.
    let decoded = Container::decode(&message[..]).unwrap();
    assert_eq!(decoded.linux.as_ref().unwrap().cgroups_path, "/cgroup");
    let forwarded = [decoded.encode_to_vec(), unknown.appendix()].concat();
    assert_eq!(Container::decode(&forwarded[..]).unwrap(), decoded);
    let again = scan(row("Container"), &forwarded).unwrap();
    let paths: Vec<_> = again.fields().iter().map(|field| field.path.as_str()).collect();
    assert_eq!(paths, ["linux.2000", "77", "linux.2047"]);
    assert_eq!(again.appendix(), unknown.appendix());

    // Seen from the inner message.
    let inner = unknown.within(linux);
    assert_eq!(inner.fields().iter().map(|field| field.path.as_str()).collect::<Vec<_>>(), ["2000", "2047"]);
    assert!(LinuxContainer::decode(&inner.appendix()[..]).is_ok());
}

/// Quirk C14: a string that is not UTF-8 is named.
#[test]
fn bad_strings_are_named() {
    let by_name = |name| tag("Container", name);
    for (message, path) in [
        (field(by_name("name"), b"\xff"), "name"),
        ([field(by_name("args"), b"a"), field(by_name("args"), b"\xc3\x28")].concat(), "args[1]"),
        (field(by_name("labels"), &[field(1, b"k"), field(2, b"\xff")].concat()), "labels[0].value"),
    ] {
        assert_eq!(scan(row("Container"), &message), Err(ScanError::NotUtf8 { path: path.to_owned() }));
        assert!(Container::decode(&message[..]).is_err());
    }
}

/// Invariant 7: two bytes on the wire may not become hundreds in memory, two million times.
#[test]
fn elements_are_counted() {
    let empty = [field(1, b"")].concat();
    assert_eq!(empty.len(), 2);
    let pods = |count: usize| empty.repeat(count);
    assert!(scan(row("SynchronizeRequest"), &pods(SCAN_ELEMENTS_MAX)).is_ok());
    for bytes in [pods(SCAN_ELEMENTS_MAX + 1), pods(2 << 20)] {
        let error = scan(row("SynchronizeRequest"), &bytes).unwrap_err();
        assert_eq!(error, ScanError::TooManyElements { path: format!("pods[{SCAN_ELEMENTS_MAX}]") });
    }
    let request = SynchronizeRequest { pods: vec![PodSandbox::default(); 300_000], ..Default::default() };
    assert!(scan(row("SynchronizeRequest"), &request.encode_to_vec()).is_err());
    // Packed numbers count each, strings too.
    let hundred = vec![0; 100];
    let groups = |count: usize| field(tag("User", "additional_gids"), &hundred).repeat(count);
    assert!(scan(row("User"), &groups(2000)).is_ok());
    assert!(scan(row("User"), &groups(2001)).is_err());
}

/// No message of the protocol contains itself today, so depth is tried on the scanner itself.
#[test]
fn nothing_nests_endlessly() {
    fn depth(row: u16, seen: usize) -> usize {
        assert!(seen < SCAN_DEPTH_MAX, "a message contains itself");
        let fields = Row(row).message().fields.iter();
        let inner = fields.filter_map(|field| match field.kind {
            Kind::Message(row) => Some(depth(row, seen + 1)),
            _ => None,
        });
        inner.max().unwrap_or(0) + 1
    }
    let deepest = (0..u16::try_from(MESSAGES.len()).unwrap()).map(|row| depth(row, 0)).max().unwrap();
    assert!((4..=SCAN_DEPTH_MAX).contains(&deepest), "{deepest}");
    let mut scanner = Scanner { elements: 0, unknown: Unknown::default(), texts: true };
    let message = row("Container").message();
    let linux = field(tag("Container", "linux"), b"");
    let error = scanner.message(message, &linux, None, SCAN_DEPTH_MAX).unwrap_err();
    assert_eq!(error, ScanError::TooDeep { path: "linux".to_owned() });
}

#[test]
fn malformed_messages_are_refused() {
    for (bytes, text) in [
        (&b"\x0a"[..], "at id: it ends within a number"),
        (b"\x0a\x05ab", "at id: it ends within a value"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "at id: it ends within a value"),
        (b"\x08\x01", "at id: a value of another type"),
        (b"\x00", "at its top level: field number 0"),
        (b"\x0b", "at its top level: an unknown wire type"),
        (b"\x0e", "at its top level: an unknown wire type"),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "at its top level: a number of more than 64 bits"),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "at its top level: a number of more than 64 bits"),
        (b"\xff\xff\xff\xff\x7f", "at its top level: a field number out of range"),
        (b"\xc0\x3e", "at its top level: it ends within a number"),
        (b"\xc5\x3e\x01", "at its top level: it ends within a value"),
        (b"\xc1\x3e\x01\x02\x03", "at its top level: it ends within a value"),
    ] {
        let error = scan(row("Container"), bytes).unwrap_err().to_string();
        assert_eq!(error, format!("the message is malformed {text}"));
    }
}

/// Unknown fields beyond the list are counted.
#[test]
fn the_list_of_unknown_fields_is_short() {
    let unknown = scan(row("Empty"), &number(5, 1).repeat(1000)).unwrap();
    assert_eq!((unknown.count(), unknown.fields().len(), unknown.lost()), (1000, 64, 936));
    assert!(scan(row("Empty"), b"").unwrap().is_empty());
}

/// What passes decodes; what is encoded passes.
#[test]
fn honest_messages_pass() {
    let adjust = ContainerAdjustment {
        mounts: vec![Mount {
            destination: "/a".into(),
            options: vec!["ro".into(), "ü".into()],
            ..Default::default()
        }],
        annotations: [("k".to_owned(), "v".to_owned())].into(),
        ..Default::default()
    };
    assert!(scan(row("ContainerAdjustment"), &adjust.encode_to_vec()).unwrap().is_empty());
    let request = CreateContainerRequest { container: Some(Container::default()), ..Default::default() };
    assert!(scan(row("CreateContainerRequest"), &request.encode_to_vec()).unwrap().is_empty());
}

proptest::proptest! {
    /// Whatever the bytes are: no panic, and what passes decodes.
    #[test]
    fn what_passes_decodes(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        if scan(row("Container"), &bytes).is_ok() {
            proptest::prop_assert!(Container::decode(&bytes[..]).is_ok());
        }
    }
}
