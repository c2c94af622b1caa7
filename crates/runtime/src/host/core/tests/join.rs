//! Joining without holding anybody up.

use super::*;

const SUBSCRIBED: ConfigureResponse = ConfigureResponse { events: 0x3fff, failure_policy: None };

fn part(message: Message) -> SynchronizeRequest {
    match message {
        Message::Synchronize(part) => *part,
        other => panic!("no part: {other:?}"),
    }
}

fn ids(part: &SynchronizeRequest) -> Vec<&str> {
    part.containers.iter().map(|container| container.id.as_str()).collect()
}

/// A container of about so many bytes.
fn big(id: &str, bytes: usize) -> Container {
    Container { env: vec!["x".repeat(bytes)], ..container(id) }
}

/// CONF-115: what is there, in one message.
#[test]
fn a_small_node_is_told_in_one_message() {
    let mut bench = Bench::with(setup(), vec![pod("p")], vec![container("c1"), container("c2")]);
    let a = bench.configured("10-a", SUBSCRIBED);
    let told = part(bench.nod(a));
    assert_eq!((told.pods.len(), ids(&told), told.more), (1, vec!["c1", "c2"], false));
    assert!(bench.core.plugins[&a].is_active());
}

/// The node as requests left it: what was created and not removed, as the plugins adjusted it.
#[test]
fn the_table_follows_the_requests() {
    let mut bench = Bench::new();
    let a = bench.plugin("10-a", "CreateContainer");
    bench.tell(Event::RunPodSandbox, "p");
    for id in ["c1", "c2", "c3"] {
        bench.create(id);
        if id == "c3" {
            bench.refuse(a, Code::Unknown, "no");
        } else {
            bench.answer(a, env("K", id));
        }
    }
    bench.tell(Event::RemoveContainer, "c1");
    let b = bench.configured("20-b", SUBSCRIBED);
    let told = part(bench.nod(b));
    assert_eq!((told.pods.len(), ids(&told)), (1, vec!["c2"]));
    assert_eq!(told.containers[0].env, ["K=c2"]);
}

/// EXT-020 to EXT-023: everything, once, `more` on all but the last, each part below 4 MiB.
#[test]
fn large_nodes_are_told_in_parts() {
    for (pods, containers, bytes) in
        [(20, 40, 200_000), (1, 30, 200_000), (1, 9, 1_000_000), (4, 4, 1_200_000)]
    {
        let all: Vec<_> = (0..containers).map(|n| big(&format!("c{n:02}"), bytes)).collect();
        let pods: Vec<_> = (0..pods).map(|n| pod(&format!("p{n:02}"))).collect();
        let mut bench = Bench::with(setup(), pods.clone(), all.clone());
        let a = bench.configured("10-a", SUBSCRIBED);
        let (mut seen, mut seen_pods) = (Vec::new(), Vec::new());
        loop {
            let told = part(bench.nod(a));
            assert!(prost::Message::encoded_len(&told) < 4 << 20);
            seen_pods.extend(told.pods);
            seen.extend(told.containers);
            if !told.more {
                break;
            }
        }
        assert!(bench.core.plugins[&a].is_active());
        assert_eq!(seen, all);
        assert_eq!(seen_pods, pods);
    }
}

/// C4: one object that no message holds ends the joining, and is named.
#[test]
fn an_object_that_is_too_large_is_named() {
    let mut bench = Bench::with(setup(), Vec::new(), vec![big("whale", 5 << 20)]);
    let a = bench.configured("10-a", SUBSCRIBED);
    assert!(bench.closed[&a].contains("whale"));
}

/// EXT-024
#[test]
fn a_plugin_that_cannot_take_parts_is_closed() {
    for answer in [
        SynchronizeResponse { more: false, update: Vec::new() },
        SynchronizeResponse { more: true, update: vec![memory("c1", 1)] },
    ] {
        let mut bench = Bench::with(setup(), Vec::new(), vec![big("c1", 3 << 20), big("c2", 3 << 20)]);
        let a = bench.configured("10-a", SUBSCRIBED);
        bench.answer(a, Answer::Synchronize(answer));
        assert!(bench.closed.contains_key(&a));
    }
}

/// Updates in the last answer go to the embedding runtime.
#[test]
fn updates_at_the_end_are_applied() {
    let mut bench = Bench::new();
    let a = bench.configured("10-a", SUBSCRIBED);
    bench.answer(a, Answer::Synchronize(SynchronizeResponse { update: vec![memory("c1", 1)], more: false }));
    assert_eq!((bench.applied.len(), bench.applied[0].passed.updates.len()), (1, 1));
}

/// A creation that began before the cut goes on without the plugin, and is told in the last part; one that began after
/// waits for the plugin. Each container reaches it exactly once.
#[test]
fn creations_around_the_cut_are_seen_once() {
    let mut bench = Bench::new();
    let a = bench.plugin("10-a", "CreateContainer");
    let before = bench.create("before");
    let b = bench.configured("20-b", SUBSCRIBED);
    assert_eq!(bench.calls_to(b), 0, "the creation under way is awaited");
    let after = bench.create("after");
    bench.nod(a);
    bench.created(before);
    let told = part(bench.take(b).message);
    assert_eq!(ids(&told), ["before"]);
    bench.nod(a);
    assert_eq!(bench.calls_to(b), 0, "waits for the answer to Synchronize");
    let call = bench.core.calls.iter().find(|(_, call)| call.plugin == b).map(|(id, _)| *id).unwrap();
    bench.end(call, End::Answer(Answer::Synchronize(SynchronizeResponse::default()), Vec::new()));
    assert!(
        matches!(bench.take(b).message, Message::Create(sent) if sent.container.as_ref().unwrap().id == "after")
    );
    assert!(!bench.done.contains_key(&after));
}

/// While parts go out, nobody waits: what comes up is in the last part, what goes away is told after it.
#[test]
fn nobody_waits_while_parts_go_out() {
    let node = vec![big("c1", 3 << 20), big("c2", 3 << 20)];
    let mut bench = Bench::with(setup(), vec![pod("p")], node);
    let a = bench.configured("10-a", SUBSCRIBED);
    let create = bench.create("new");
    bench.created(create);
    for event in [Event::PostCreateContainer, Event::RemoveContainer] {
        let request = bench.tell(event, "c1");
        assert!(bench.done[&request].is_ok());
    }
    let stopped = bench.submit_within(stop("new"), PLENTY);
    assert!(bench.done[&stopped].is_ok());
    let first = part(bench.nod(a));
    assert_eq!((ids(&first), first.more), (vec!["c1"], true));
    let second = part(bench.nod(a));
    assert_eq!((ids(&second), second.more), (vec!["c2"], true));
    let last = part(bench.nod(a));
    assert_eq!((ids(&last), last.more), (vec!["new"], false));
    // What it was told of, in order, one after the other.
    assert_eq!(bench.nod(a).event(), Event::PostCreateContainer);
    assert_eq!(bench.nod(a).event(), Event::RemoveContainer);
    assert!(bench.calls.is_empty());
}

/// A plugin that joins and hangs delays a new container by its Synchronize deadline at most, once; then it is closed and
/// has a pause.
#[test]
fn a_hanging_newcomer_costs_one_deadline() {
    let mut bench = Bench::new();
    let a = bench.configured("10-a", SUBSCRIBED);
    let request = bench.create("c1");
    assert!(bench.done.is_empty());
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.created(request).plugins[0].outcome, Outcome::Gone);
    assert!(bench.closed.contains_key(&a));
    let again = bench.connect();
    assert!(matches!(bench.register(again, "10-a"), Err(Refusal::Pause(_))));
    bench.pass(Duration::from_secs(1));
    let again = bench.connect();
    bench.register(again, "10-a").unwrap();
}

/// A creation gives a newcomer half of its time, not all of it.
#[test]
fn a_creation_gives_a_newcomer_its_share() {
    let mut bench = Bench::new();
    let slow = bench.plugin("10-slow", "CreateContainer");
    bench.create("c0");
    let a = bench.configured("20-a", SUBSCRIBED);
    let request = bench.submit_within(notice(Event::RunPodSandbox, "p2"), Duration::from_secs(1));
    bench.pass(Duration::from_millis(450));
    assert!(bench.closed[&a].contains("longer than a request may wait"));
    assert!(bench.done[&request].is_ok());
    assert_eq!(bench.calls_to(slow), 1);
}

/// The pauses double up to a minute, and are forgotten after one.
#[test]
fn failures_to_join_back_off() {
    let mut bench = Bench::new();
    for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
        let a = bench.configured("10-a", SUBSCRIBED);
        bench.core.handle_closed(a, "crashed", bench.now);
        bench.pass(Duration::from_millis(pause * 1000 - 1));
        let early = bench.connect();
        assert!(bench.register(early, "10-a").is_err(), "{pause}");
        bench.core.handle_closed(early, "refused", bench.now);
        bench.pass(Duration::from_millis(1));
    }
    bench.pass(Duration::from_secs(61));
    let a = bench.configured("10-a", SUBSCRIBED);
    bench.core.handle_closed(a, "crashed", bench.now);
    bench.pass(Duration::from_secs(1));
    let again = bench.connect();
    bench.register(again, "10-a").unwrap();
}

/// Plugins join side by side (A8), also while requests are under way that wait for one of them.
#[test]
fn several_join_at_once() {
    let mut bench = Bench::new();
    let plugins: Vec<_> =
        ["10-a", "20-b", "30-c"].iter().map(|name| bench.configured(name, SUBSCRIBED)).collect();
    let request = bench.create("c1");
    for plugin in plugins.iter().rev() {
        part(bench.nod(*plugin));
    }
    for plugin in &plugins {
        assert!(matches!(bench.nod(*plugin), Message::Create(_)));
    }
    for plugin in &plugins {
        assert!(matches!(bench.nod(*plugin), Message::Validate(_)));
    }
    bench.created(request);
}

/// A8: several plugins that join slowly cost a request what one of them costs.
#[test]
fn many_that_join_slowly_cost_one_share() {
    let mut bench = Bench::new();
    let good = bench.plugin("50-good", "CreateContainer");
    let slow: Vec<_> =
        (10..15).map(|n| bench.configured(&format!("{n}-slow"), ConfigureResponse::default())).collect();
    let request = bench.submit_within(creation("c"), Duration::from_secs(2));
    bench.pass(Duration::from_millis(910));
    assert!(slow.iter().all(|plugin| bench.closed.contains_key(plugin)), "{:?}", bench.closed);
    bench.answer(good, env("A", "1"));
    assert_eq!(bench.created(request).merged.adjust.into_inner().env.len(), 1);
    // The next one begins anew.
    let slow = bench.configured("20-slow", ConfigureResponse::default());
    let request = bench.submit_within(creation("d"), Duration::from_secs(2));
    bench.pass(Duration::from_millis(500));
    bench.nod(slow);
    bench.nod(slow);
    bench.nod(good);
    // It takes every event, and so validates, too.
    bench.nod(slow);
    bench.created(request);
}
