use super::*;

/// The answers to some lines, and what is said about bad ones.
fn answers(text: &[u8]) -> (Vec<Value>, Option<String>) {
    let options = Options { settings: Settings::default(), host: Host::x86_64() };
    let mut batch = Batch { name: "f".to_owned(), options: &options, bad: 0, first: None };
    let mut out = Vec::new();
    batch.answer(&mut BufReader::with_capacity(16, text), &mut out).unwrap();
    let answers = out.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let answers = answers.map(|line| serde_json::from_slice(line).unwrap()).collect();
    (answers, batch.end().err().map(|failure| failure.to_string()))
}

#[test]
fn each_line_has_its_answer() {
    let policy = |number: u32| json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": number});
    let mut text = String::new();
    for line in [
        json!({"id": "x1", "old": policy(1), "new": policy(2)}),
        json!({"id": 2, "old": policy(1), "new": policy(2), "config": {"errno": "exact"}}),
        json!({"id": null, "old": null, "new": policy(1), "archs": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]}),
        json!({"id": [4], "old": policy(1), "new": null, "archs": ["SCMP_ARCH_AARCH64"], "config": {}, "more": 1}),
        json!({"id": "5", "old": policy(4095), "new": policy(4095)}),
        json!({"old": null, "new": null}),
    ] {
        text += &format!("{line}\n\n");
    }
    // The last line needs no end.
    let (answers, bad) = answers(text.trim_end().as_bytes());
    let got: Vec<Value> = answers
        .iter()
        .map(|answer| {
            json!([answer["id"], answer["verdict"], answer["relation"], answer["counterexample"]["arch"]])
        })
        .collect();
    assert_eq!(
        json!(got),
        json!([
            ["x1", "accept", "equal", null],
            [2, "reject", "incomparable", "SCMP_ARCH_X86_64"],
            [null, "accept", "tighter", null],
            [[4], "reject", "looser", "SCMP_ARCH_AARCH64"],
            ["5", "reject", "invalid", null],
            [null, "accept", "equal", null],
        ])
    );
    assert_eq!(answers[5].get("id"), None);
    assert_eq!(bad, None);
}

/// What is no pair is refused, with its place, and the other lines are answered.
#[test]
fn bad_lines() {
    for (line, id, why) in [
        ("{", Value::Null, "f:1:1: EOF while parsing an object"),
        ("[]", Value::Null, "f:1: an object with old and new is expected"),
        (r#"{"id": 1, "id": 2, "old": null, "new": null}"#, Value::Null, "f:1:14: "),
        (r#"{"id": 1, "old": null}"#, json!(1), "f:1: new: missing; null stands for no policy"),
        (r#"{"id": 1, "old": 5, "new": null}"#, json!(1), "f:1: old: expected an object or null"),
        (
            r#"{"id": 1, "old": {"defaultAction": "SCMP_ACT_LOG", "syscalls": [{"names": [1], "action": "X"}]}, "new": null}"#,
            json!(1),
            "f:1: old: syscalls[0].names[0]: expected a string",
        ),
        (
            r#"{"id": 1, "old": null, "new": null, "archs": []}"#,
            json!(1),
            "f:1: archs: expected one at least",
        ),
        (
            r#"{"id": 1, "old": null, "new": null, "archs": ["x86"]}"#,
            json!(1),
            "f:1: archs[0]: unknown architecture",
        ),
        (r#"{"id": 1, "old": null, "new": null, "archs": "x86"}"#, json!(1), "f:1: archs: expected a list"),
        (r#"{"id": 1, "old": null, "new": null, "config": []}"#, json!(1), "f:1: config: expected an object"),
        (
            r#"{"id": 1, "old": null, "new": null, "config": {"errno": "x"}}"#,
            json!(1),
            "f:1: config.errno: unknown value",
        ),
        (
            r#"{"id": 1, "old": null, "new": null, "config": {"x": "x"}}"#,
            json!(1),
            "f:1: config.x: unknown setting",
        ),
        (
            r#"{"id": 1, "old": null, "new": null, "config": {"errno": 1}}"#,
            json!(1),
            "f:1: config.errno: expected a string",
        ),
    ] {
        let text = format!("{line}\n{{\"id\": 9, \"old\": null, \"new\": null}}\n");
        let (answers, bad) = answers(text.as_bytes());
        let [refused, other] = answers.as_slice() else { panic!("{line}: {answers:?}") };
        let form = (&refused["id"], &refused["verdict"], &refused["relation"]);
        assert_eq!(form, (&id, &json!("reject"), &json!("invalid")), "{line}");
        let reason = refused["reason"].as_str().unwrap();
        assert!(reason.starts_with(why), "{line}: {reason}");
        assert_eq!(bad.as_deref(), Some(reason), "{line}");
        assert_eq!((&other["id"], &other["verdict"]), (&json!(9), &json!("accept")), "{line}");
    }
    let (answers, bad) = answers(b"x\ny\n");
    assert_eq!(answers.len(), 2);
    assert!(bad.unwrap().starts_with("2 lines are no pairs of policies; the first: f:1:1: "));
}

/// A line that is too long is skipped and takes no memory.
#[test]
fn long_lines() {
    let mut text = vec![b' '; LINE_MAX + 2];
    text.extend(b"\n{\"id\": 9, \"old\": null, \"new\": null}\n");
    let (answers, bad) = answers(&text);
    assert_eq!((answers.len(), &answers[1]["id"]), (2, &json!(9)));
    assert!(bad.unwrap().starts_with("f:1: longer than "));
}
