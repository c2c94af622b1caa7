//! The two tables of the discussion (NRI pull request 123), one case per cell: `securityProfileEditRule`, and
//! `SecurityContextAdjustments` as `policy.md` 5 spells it.

use serde_json::{Value as Json, json};

use super::kit::{allows, creation, replay, said, sets};

/// What the client asked for, by the class that it is.
fn client(class: &str) -> Json {
    let old = allows(&["read", "write"]);
    let linux = match class {
        "runtimeDefault" => {
            json!({"seccompProfile": {"profileType": "RUNTIME_DEFAULT"}, "seccompPolicy": old})
        }
        "localhost" => json!({"seccompProfile": {"profileType": "LOCALHOST"}, "seccompPolicy": old}),
        "unconfined" => json!({"seccompProfile": {"profileType": "UNCONFINED"}}),
        "privileged" => json!({"seccompProfile": {"profileType": "RUNTIME_DEFAULT"}}),
        "unknown with a policy" => json!({"seccompPolicy": old}),
        _ => json!({}),
    };
    json!({"id": "c", "linux": linux})
}

const CLASSES: [&str; 6] =
    ["runtimeDefault", "localhost", "unconfined", "privileged", "unknown with a policy", "unknown"];

/// Y: both edits may be; t: the tighter one alone; -: none. In the order of [`CLASSES`].
const WORDS: [(&str, &str); 4] = [
    ("defaultContainerRuntimeSecurityProfileEditsAllowed", "Y-----"),
    ("noSecurityProfileEdits", "------"),
    ("allSecurityProfileConfinementsAllowed", "ttYYt-"),
    ("allSecurityProfileEditsAllowed", "YYYYYY"),
];

#[test]
fn security_profile_edit_rule() {
    for (word, row) in WORDS {
        // As the short form, which is the rule of every level without a key of its own, and as the level's own word.
        for (spec, rule) in [
            (
                format!(
                    "{{securityProfileEditRule: {word}, defaultLevel: l, levels: [{{name: l, fields: {{'*': allow}}}}]}}"
                ),
                "node/securityProfileEditRule",
            ),
            (
                format!("{{defaultLevel: l, levels: [{{name: l, fields: {{'*': deny, seccomp: {word}}}}}]}}"),
                "node/l/seccomp",
            ),
        ] {
            let cells: Vec<_> = CLASSES
                .iter()
                .zip(row.chars())
                .flat_map(|(class, cell)| [(*class, "tighter", cell != '-'), (*class, "looser", cell == 'Y')])
                .collect();
            let lines: Vec<_> = cells
                .iter()
                .map(|(class, edit, _)| {
                    let new = if *edit == "tighter" { allows(&["read"]) } else { allows(&["read", "bpf"]) };
                    creation(class, &client(class), &sets(&new))
                })
                .collect();
            for (decision, (class, edit, allowed)) in replay(&spec, &lines).iter().zip(cells) {
                let expect = if allowed {
                    ("adjusted".to_owned(), vec![])
                } else {
                    ("rejected".to_owned(), vec![format!("10-a seccomp {rule} reject")])
                };
                assert_eq!(said(decision), expect, "{word}: {class}, {edit}: {decision}");
                let kind = if allowed { Json::Null } else { json!("policy") };
                assert_eq!(decision["error"]["kind"], kind, "{word}: {class}, {edit}");
            }
        }
    }
}

/// Every kind of change of the security context; removals, which no word grants, last.
fn edits() -> Vec<(&'static str, Json, Json)> {
    let mut client = client("runtimeDefault");
    client["linux"]["sysctl"] = json!({"kernel.msgmax": "1"});
    client["linux"]["namespaces"] = json!([{"type": "ipc"}]);
    let adjust = |linux: Json| json!([{"plugin": "10-a", "adjust": {"linux": linux}}]);
    let mut edits = vec![
        (
            "hooks",
            client.clone(),
            json!([{"plugin": "10-a", "adjust": {"hooks": {"createRuntime": [{"path": "/h"}]}}}]),
        ),
        ("namespaces", client.clone(), adjust(json!({"namespaces": [{"type": "uts"}]}))),
        (
            "namespaces",
            client.clone(),
            adjust(json!({"namespaces": [{"type": "ipc", "path": "/proc/1/ns/ipc"}]})),
        ),
        ("sysctl", client.clone(), adjust(json!({"sysctl": {"kernel.sem": "1"}}))),
        ("sysctl", client.clone(), adjust(json!({"sysctl": {"kernel.msgmax": "2"}}))),
        ("cgroups.path", client.clone(), adjust(json!({"cgroupsPath": "/elsewhere"}))),
    ];
    for class in CLASSES {
        edits.push(("seccomp", self::client(class), sets(&allows(&["bpf"]))));
    }
    edits.push(("namespaces", client.clone(), adjust(json!({"namespaces": [{"type": "-ipc"}]}))));
    edits.push(("sysctl", client, adjust(json!({"sysctl": {"-kernel.msgmax": ""}}))));
    edits
}

#[test]
fn security_context_adjustments() {
    const RESTRICTED: &str =
        "{defaultLevel: l, levels: [{name: l, fields: {'*': allow, '@security': deny}}]}";
    const LIMITED: &str = "{defaultLevel: l, levels: [{name: l, fields: {'*': allow, '@security': deny, seccomp: runtime-default-only}}]}";
    const ALLOWED: &str = "{clientOverride: ignore, defaultLevel: l, levels: [{name: l, fields: {'*': deny, '@security': allow}}]}";
    let edits = edits();
    let lines: Vec<_> =
        edits.iter().map(|(field, client, answers)| creation(field, client, answers)).collect();
    // Y: may be. In the order of `edits`.
    for (name, spec, row) in [
        ("restricted", RESTRICTED, "--------------"),
        ("limited", LIMITED, "------Y-------"),
        ("allowed", ALLOWED, "YYYYYYYYYYYY--"),
    ] {
        let decisions = replay(spec, &lines);
        assert_eq!(decisions.len(), row.len());
        for ((decision, cell), (field, _, answers)) in decisions.iter().zip(row.chars()).zip(&edits) {
            let (outcome, refused) = said(decision);
            let expect = if cell == 'Y' { "adjusted" } else { "rejected" };
            assert_eq!(outcome, expect, "{name}: {answers}: {decision}");
            assert_eq!(refused.len(), usize::from(cell != 'Y'), "{name}: {answers}: {refused:?}");
            for refusal in refused {
                assert!(
                    refusal.starts_with(&format!("10-a {field} ")) && refusal.ends_with(" reject"),
                    "{refusal}"
                );
            }
        }
    }
}
