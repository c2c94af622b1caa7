use super::*;
use crate::diagnostic::{Code, Diagnostics};
use crate::document::source::FileId;

fn parse(text: &str) -> (Vec<Node>, Diagnostics) {
    let mut out = Diagnostics::default();
    let nodes = read(FileId::default(), text, &mut out);
    (nodes, out)
}

/// A tree with its positions, in one line.
fn shown(node: &Node) -> String {
    let at = format!("@{}-{}", node.span.start, node.span.end);
    match &node.value {
        Value::Null => format!("null{at}"),
        Value::Bool(value) => format!("{value}{at}"),
        Value::Number(number) => format!("#{}{at}", number.text),
        Value::Text(text) => format!("{text:?}{at}"),
        Value::List(items) => format!("[{}]{at}", items.iter().map(shown).collect::<Vec<_>>().join(" ")),
        Value::Map(entries) => {
            let entry =
                |e: &Entry| format!("{}@{}-{}={}", e.key, e.key_span.start, e.key_span.end, shown(&e.value));
            format!("{{{}}}{at}", entries.iter().map(entry).collect::<Vec<_>>().join(" "))
        }
        Value::Broken => format!("!{at}"),
    }
}

#[test]
fn trees_and_their_places() {
    for (text, expect) in [
        ("a: 1", "{a@1:1-1:2=#1@1:4-1:5}@1:1-1:5"),
        ("a:\n  - x\n  - 'y z'\n\n# end\n", "{a@1:1-1:2=[\"x\"@2:5-2:6 \"y z\"@3:5-3:10]@2:3-3:10}@1:1-3:10"),
        (
            "a: {b: [c], \"d\": e}\n",
            "{a@1:1-1:2={b@1:5-1:6=[\"c\"@1:9-1:10]@1:8-1:11 d@1:13-1:16=\"e\"@1:18-1:19}@1:4-1:20}@1:1-1:20",
        ),
        ("a:\nb:\n  c:\n", "{a@1:1-1:2=null@1:2-1:2 b@2:1-2:2={c@3:3-3:4=null@3:4-3:4}@3:3-3:4}@1:1-3:4"),
        ("ä: ö\n", "{ä@1:1-1:2=\"ö\"@1:4-1:5}@1:1-1:5"),
        (
            "{\"a\":\t\"\\u0041\",\n\t\"b\": [true, null, -1.5e3]}",
            "{a@1:2-1:5=\"A\"@1:7-1:15 b@2:2-2:5=[true@2:8-2:12 null@2:14-2:18 #-1.5e3@2:20-2:26]@2:7-2:27}@1:1-2:28",
        ),
        ("a: |\n  x\n  y\n", "{a@1:1-1:2=\"x\\ny\\n\"@2:3-4:1}@1:1-4:1"),
        (
            "m: 0644\nn: yes\nh: 0x10\ns: \"1\"\r\n",
            "{m@1:1-1:2=#0644@1:4-1:8 n@2:1-2:2=\"yes\"@2:4-2:7 h@3:1-3:2=\"0x10\"@3:4-3:8 s@4:1-4:2=\"1\"@4:4-4:7}@1:1-4:7",
        ),
        ("- - a\n  - b\n- c", "[[\"a\"@1:5-1:6 \"b\"@2:5-2:6]@1:3-2:6 \"c\"@3:3-3:4]@1:1-3:4"),
        ("l:\n- a\n", "{l@1:1-1:2=[\"a\"@2:3-2:4]@2:1-2:4}@1:1-2:4"),
    ] {
        let (nodes, out) = parse(text);
        assert!(out.is_empty(), "{text}: {:?}", out.list());
        assert_eq!(nodes.iter().map(shown).collect::<Vec<_>>(), [expect], "{text}");
    }
}

#[test]
fn several_documents() {
    for (text, count) in
        [("", 0), ("# only words\n", 0), ("---\n---\na: 1\n---\n", 1), ("a: 1\n---\nb: 2\n...\n---\nc: 3", 3)]
    {
        let (nodes, out) = parse(text);
        assert!(out.is_empty(), "{text}");
        assert_eq!(nodes.len(), count, "{text}");
    }
    let (nodes, out) = parse("a: [1\n---\nb: 2\n---\nc: }\n---\nd: 4\n");
    assert_eq!(nodes.len(), 2);
    assert_eq!(out.errors(), 2);
}

#[test]
fn what_is_refused() {
    use Code::{E011, E012, E013};
    for (text, expect) in [
        ("a: 1\na: 2\n", &[(E011, "2:1", "2:2", "a")][..]),
        ("x:\n  - {b: 1, c: 2, \"b\": 3}\n", &[(E011, "2:18", "2:21", "x[0].b")]),
        ("x: 1\nx:\n  y: 1\n  y: 2\n", &[(E011, "2:1", "2:2", "x"), (E011, "4:3", "4:4", "x.y")]),
        ("a: &n 1\nb: *n\n", &[(E012, "1:4", "1:6", "a"), (E012, "2:4", "2:6", "b")]),
        ("a: *nowhere\n", &[(E012, "1:4", "1:12", "a")]),
        (
            "a: &n\n  b: 1\nc:\n  <<: *n\n",
            &[(E012, "1:4", "1:6", "a"), (E012, "4:3", "4:5", "c"), (E012, "4:7", "4:9", "c.<<")],
        ),
        ("a: !!str 1\n", &[(E012, "1:4", "1:9", "a")]),
        ("a: !x [1]\n", &[(E012, "1:4", "1:6", "a")]),
        ("a: !x\n  b: 1\n", &[(E012, "1:4", "1:6", "a")]),
        ("*n : 1\n", &[(E012, "1:1", "1:3", "")]),
        ("[a]: 1\n", &[(E013, "1:1", "1:4", "?")]),
        ("? {a: 1}\n: 2\n", &[(E013, "1:3", "1:9", "?")]),
    ] {
        let (_, out) = parse(text);
        let found: Vec<_> = out
            .list()
            .iter()
            .map(|d| (d.code, d.span.start.to_string(), d.span.end.to_string(), d.path.as_str()))
            .collect();
        let expect: Vec<_> =
            expect.iter().map(|(c, s, e, p)| (*c, (*s).to_owned(), (*e).to_owned(), *p)).collect();
        assert_eq!(found, expect, "{text}");
    }
    for text in ["a: [", "a: b: c", "\"", "a:\n\t- b", "{a: 1", "]", "%YAML 3.0\n---\n", "- a\nb: 1"] {
        let (_, out) = parse(text);
        assert_eq!(out.list().first().map(|d| d.code), Some(E013), "{text}");
    }
}

/// Hostile files end soon and within bounds.
#[test]
fn limits() {
    let deep = "[".repeat(BYTES);
    let blocks: String = (0..700).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    let keys = "a: 1\n".repeat(BYTES / 5);
    let documents = "---\na: 1\n".repeat(DOCUMENTS + 2);
    let (nodes, out) = parse(&documents);
    assert_eq!((nodes.len(), out.errors()), (DOCUMENTS, 1));
    for text in [
        deep.as_str(),
        &blocks,
        &keys,
        &"- ".repeat(BYTES / 2),
        &"? ".repeat(BYTES / 2),
        &"&a ".repeat(BYTES / 3),
        &"!".repeat(BYTES),
        &"x".repeat(BYTES + 1),
    ] {
        let (_, out) = parse(text);
        assert!(out.errors() > 0, "{text:.20}");
        assert!(out.list().len() <= crate::diagnostic::KEPT);
    }
}
