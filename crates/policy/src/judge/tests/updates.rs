//! Updates and evictions: which are granted, in whose scope they are, and what a violation leads to (`policy.md` 4).

use std::collections::BTreeMap;

use nri_wire::api::{
    ContainerEviction, ContainerUpdate, CreateContainerResponse, LinuxContainerUpdate, LinuxCpu,
    LinuxResources, PodSandbox, StopContainerResponse, UpdateContainerResponse, UpdateContainersRequest,
};

use super::kit::{Case, judge, lines};
use crate::identity::Facts;
use crate::judge::{Answer, Asked, Judge, Other, Target, Targets, Update, Verdict};

/// Two containers: `n` in the namespace `near`, `f` in `far`; of `u` nothing is known.
struct Node(BTreeMap<&'static str, LinuxResources>);

impl Targets for Node {
    fn target(&self, id: &str) -> Option<Target<'_>> {
        let namespace = match id {
            "n" => "near",
            "f" => "far",
            _ => return None,
        };
        Some(Target { namespace: Some(namespace), labels: None, resources: self.0.get(id) })
    }
}

fn node() -> Node {
    Node([("n", shares(100)), ("f", shares(100))].into())
}

fn shares(shares: u64) -> LinuxResources {
    let cpu = LinuxCpu { shares: Some(shares.into()), ..Default::default() };
    LinuxResources { cpu: Some(cpu), ..Default::default() }
}

fn update(id: &str, number: u64) -> ContainerUpdate {
    let linux = LinuxContainerUpdate { resources: Some(shares(number)) };
    ContainerUpdate { container_id: id.into(), linux: Some(linux), ..Default::default() }
}

fn evict(id: &str) -> ContainerEviction {
    ContainerEviction { container_id: id.into(), ..Default::default() }
}

fn spec(updates: &str) -> String {
    format!("{{defaultLevel: l, levels: [{{name: l, fields: {{\"*\": allow}}, updates: {{{updates}}}}}]}}")
}

fn ask<A: Answer>(judge: &Judge, basis: A::Basis<'_>, answer: A) -> Verdict<A> {
    let plugin = "10-a".parse().unwrap();
    judge.judge(&Asked { plugin: &plugin, facts: Facts::nothing(), basis, unknown: &[] }, answer)
}

fn pod(namespace: &str) -> PodSandbox {
    PodSandbox { namespace: namespace.into(), ..Default::default() }
}

/// Each kind by itself; an unknown namespace matches no `targets`.
#[test]
fn kinds() {
    let node = node();
    for (updates, own, others, stop, unsolicited) in [
        (
            "",
            &["updates.self n p0/l/updates.self drop-entry"][..],
            &[
                "updates.others f p0/l/updates.others drop-entry",
                "updates.others u p0/l/updates.others drop-entry",
                "updates.evict f p0/l/updates.evict drop-entry",
            ][..],
            &["updates.onStop n p0/l/updates.onStop drop-entry"][..],
            &[
                "updates.unsolicited n p0/l/updates.unsolicited drop-entry",
                "updates.evict n p0/l/updates.evict drop-entry",
            ][..],
        ),
        (
            "self: allow, others: {targets: {namespaces: [\"f*\"]}, id: far}, evict: allow, onStop: {onViolation: reject, targets: {namespaces: []}}, unsolicited: {targets: {namespaces: [x]}, mode: warn}",
            &[],
            &["updates.others u p0/far drop-entry"],
            &["updates.onStop n p0/l/updates.onStop drop-plugin"],
            &["updates.unsolicited n p0/l/updates.unsolicited warn"],
        ),
    ] {
        let judge = judge(&[&spec(updates)]);
        let near = pod("near");
        let basis = Update { id: "n", pod: Some(&near), requested: Some(&node.0["n"]), targets: &node };
        let answer = UpdateContainerResponse { update: vec![update("n", 7)], ..Default::default() };
        assert_eq!(lines(&ask(&judge, basis, answer)), own);

        let answer = CreateContainerResponse {
            update: vec![update("f", 7), update("u", 7)],
            evict: vec![evict("f")],
            ..Default::default()
        };
        let verdict = Case::new(nri_wire::api::Container::default()).answer(&judge, "10-a", answer, &node);
        assert_eq!(lines(&verdict), others);

        let other = Other { targets: &node };
        assert_eq!(lines(&ask(&judge, other, StopContainerResponse { update: vec![update("n", 7)] })), stop);
        let answer = UpdateContainersRequest { update: vec![update("n", 7)], evict: vec![evict("n")] };
        assert_eq!(lines(&ask(&judge, other, answer)), unsolicited);
    }
}

/// What is granted is judged field by field. In updates of others danger refuses nobody; what nobody waits for is dropped as
/// a whole instead of failing.
#[test]
fn fields_of_updates() {
    let all = "self: allow, others: allow, onStop: allow";
    let spec = |rule: &str| {
        format!(
            "{{defaultLevel: l, levels: [{{name: l, fields: {{cpu.shares: {rule}, cpu.realtimeRuntime: deny}}, updates: {{{all}}}}}]}}"
        )
    };
    let node = node();
    let real_time = |id: &str| {
        let mut update = update(id, 7);
        let resources = update.linux.as_mut().unwrap().resources.as_mut().unwrap();
        resources.cpu.as_mut().unwrap().realtime_runtime = Some(1.into());
        update
    };
    let judge = judge(&[&spec("{bound: {max: requested}}")]);
    let case = Case::new(nri_wire::api::Container::default());
    let answer = CreateContainerResponse { update: vec![real_time("f")], ..Default::default() };
    let verdict = case.answer(&judge, "10-a", answer, &node);
    assert_eq!(
        lines(&verdict),
        ["cpu.realtimeRuntime  add p0/l/cpu.realtimeRuntime drop-entry".replace("  ", " ")]
    );
    assert_eq!(verdict.permitted.unwrap().answer().update, [update("f", 7)]);

    let stop = ask(&judge, Other { targets: &node }, StopContainerResponse { update: vec![real_time("n")] });
    assert_eq!(lines(&stop), ["cpu.realtimeRuntime add p0/l/cpu.realtimeRuntime drop-plugin"]);
    assert_eq!(stop.permitted.unwrap().answer().update, []);

    let near = pod("near");
    let basis = Update { id: "n", pod: Some(&near), requested: Some(&node.0["n"]), targets: &node };
    let own = UpdateContainerResponse { update: vec![real_time("n")], ..Default::default() };
    let own = ask(&judge, basis, own);
    assert_eq!(lines(&own), ["cpu.realtimeRuntime add p0/l/cpu.realtimeRuntime reject"]);
    assert!(own.permitted.is_none());

    // What the client last asked for is not known of `u`, so that nothing relative holds.
    let answer = CreateContainerResponse { update: vec![update("u", 7)], ..Default::default() };
    let verdict = case.answer(&judge, "10-a", answer, &node);
    assert_eq!(lines(&verdict), ["cpu.shares add p0/l/cpu.shares drop-entry"]);
    assert_eq!(verdict.permitted.unwrap().answer().update, []);
}

/// The client's word counts in updates of the container that the client updates.
#[test]
fn the_clients_resources() {
    let spec = "{clientOverride: honour, defaultLevel: l, levels: [{name: l, fields: {\"*\": allow}, updates: {self: allow, others: allow}}]}";
    let (judge, node, near) = (judge(&[spec]), node(), pod("near"));
    let requested = shares(50);
    let basis = Update { id: "n", pod: Some(&near), requested: Some(&requested), targets: &node };
    let answer = UpdateContainerResponse {
        update: vec![update("n", 7), update("n", 50), update("f", 7)],
        ..Default::default()
    };
    let verdict = ask(&judge, basis, answer);
    assert_eq!(lines(&verdict), ["cpu.shares replace p0/clientOverride drop-entry"]);
    // The client's own value says nothing, and goes too.
    let permitted = verdict.permitted.unwrap();
    assert_eq!(permitted.answer().update, [update("f", 7)]);
    let numbers: Vec<_> = permitted.changes().iter().map(|change| change.update.clone()).collect();
    assert_eq!(numbers, [Some((0, "f".to_owned()))]);
}

/// Updates are judged by the policies in whose scope the target is; what is not known is in every scope.
#[test]
fn the_targets_scope() {
    let near = "{scope: {namespaces: {include: [near]}}, defaultLevel: l, levels: [{name: l, fields: {}}]}";
    let (judge, node) = (judge(&[near]), node());
    let answer = CreateContainerResponse {
        update: vec![update("n", 7), update("f", 7), update("u", 7)],
        ..Default::default()
    };
    let mut case = Case::new(nri_wire::api::Container::default());
    case.pod = pod("far");
    let verdict = case.answer(&judge, "10-a", answer, &node);
    let expect = [
        "updates.others n p0/l/updates.others drop-entry",
        "updates.others u p0/l/updates.others drop-entry",
    ];
    assert_eq!(lines(&verdict), expect);
    assert_eq!(verdict.permitted.unwrap().answer().update, [update("f", 7)]);
}
