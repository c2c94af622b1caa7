//! The judge, asked.

mod conclusion;
mod creation;
mod fields;
mod kit;
mod matching;
mod properties;
mod rate;
mod sample;
mod updates;
mod whole;

use nri_wire::api::ContainerAdjustment;
use nri_wire::api::{Container, CreateContainerResponse};
use nri_wire::scan::{Row, scan};

use crate::change::{Containers, Op};
use crate::identity::Facts;
use crate::judge::*;

/// A protobuf field that we do not know is a change, by its path.
#[test]
fn unknown_fields_are_changes() {
    let answer =
        CreateContainerResponse { adjust: Some(ContainerAdjustment::default()), ..Default::default() };
    let bytes = [&[0x0a, 3, 0xf8, 0x06, 1][..], &[0xf0, 0x06, 1]].concat();
    let unknown = scan(Row::find("CreateContainerResponse").unwrap(), &bytes).unwrap();
    let unknown: Vec<_> = unknown.fields().iter().map(|field| field.path.clone()).collect();
    let (plugin, container) = ("10-a".parse().unwrap(), Container::default());
    let containers = Containers { pristine: &container, running: &container };
    let basis = Creation { containers, pod: None, targets: &() };
    let verdict = Judge::allow_all()
        .judge(&Asked { plugin: &plugin, facts: Facts::nothing(), basis, unknown: &unknown }, answer);
    let keys: Vec<_> = verdict
        .permitted
        .iter()
        .flat_map(Permitted::changes)
        .map(|c| (c.subject.name(), c.key.as_str()))
        .collect();
    assert_eq!(keys, [("unknown", "111"), ("unknown", "110")]);
}

/// The form of `cli.md`, `refused`.
#[test]
fn the_form_of_refusals() {
    let refused = Refused {
        plugin: "20-b".into(),
        identity: Some("gpu".into()),
        level: None,
        field: "mounts".into(),
        key: "/host".into(),
        op: Some(Op::Add),
        rule: "node/untrusted/mounts".into(),
        at: Some("node.yaml:12:9".into()),
        action: Action::DropPlugin,
        reason: "no".into(),
        counterexample: None,
    };
    assert_eq!(
        serde_json::to_value(refused).unwrap(),
        serde_json::json!({
            "plugin": "20-b", "identity": "gpu", "level": null, "field": "mounts", "key": "/host", "op": "add",
            "rule": "node/untrusted/mounts", "at": "node.yaml:12:9", "action": "drop-plugin", "reason": "no",
            "counterexample": null,
        })
    );
}
