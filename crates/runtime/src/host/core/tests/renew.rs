//! Plugins that are told the state of the node anew, since what they knew is not so any more.

use nri_wire::api::ContainerState;

use super::*;

const TIMEOUT: Duration = Duration::from_secs(2);
const CREATE: &str = "CreateContainer,RemoveContainer";

fn in_state(id: &str, state: ContainerState) -> Container {
    Container { state: state as i32, ..container(id) }
}

/// A node with a pod and two containers, one of which runs.
fn node() -> Vec<Container> {
    vec![in_state("c1", ContainerState::ContainerRunning), container("c2")]
}

fn bench() -> Bench {
    Bench::with(setup(), vec![pod("p")], node())
}

#[track_caller]
fn told(message: Message) -> Vec<String> {
    match message {
        Message::Synchronize(part) => {
            assert!(!part.more, "the last part");
            part.containers.into_iter().map(|container| container.id).collect()
        }
        other => panic!("no Synchronize: {other:?}"),
    }
}

/// Only a snapshot that contradicts what plugins were told is told to them.
#[test]
fn only_contradictions_are_told() {
    let cases = [
        (node(), false),
        (
            vec![
                in_state("c1", ContainerState::ContainerRunning),
                in_state("c2", ContainerState::ContainerCreated),
            ],
            false,
        ),
        (vec![container("c1"), container("c2")], false),
        (vec![Container { name: "other".to_owned(), ..container("c1") }, container("c2")], false),
        (vec![container("c1")], true),
        (vec![container("c1"), container("c2"), container("c3")], true),
        (vec![container("c1"), container("c3")], true),
        (vec![in_state("c1", ContainerState::ContainerStopped), container("c2")], true),
    ];
    for (containers, contradicts) in cases {
        let mut bench = bench();
        let a = bench.plugin("10-a", CREATE);
        bench.renew(&containers);
        assert_eq!(bench.calls_to(a), usize::from(contradicts), "{containers:?}");
        if contradicts {
            let ids: Vec<_> = containers.iter().map(|container| container.id.clone()).collect();
            assert_eq!(told(bench.nod(a)), ids);
            bench.renew(&containers);
            assert_eq!(bench.calls_to(a), 0, "told once");
        }
        assert!(bench.closed.is_empty() && bench.core.plugins[&a].is_active());
    }
    let mut bench = bench();
    let a = bench.plugin("10-a", CREATE);
    bench.core.renew(vec![pod("p"), pod("q")], node(), bench.now);
    bench.drain();
    assert_eq!(told(bench.nod(a)), ["c1", "c2"], "another pod");
}

/// What happened since the start is not a contradiction: the table has followed.
#[test]
fn events_since_the_start_are_no_contradiction() {
    let mut bench = bench();
    let a = bench.plugin("10-a", "CreateContainer");
    let request = bench.create("c3");
    bench.nod(a);
    bench.created(request);
    bench.tell(Event::PostStartContainer, "c2");
    bench.tell(Event::RemoveContainer, "c1");
    let stopped = bench.submit_within(stop("c3"), PLENTY);
    assert!(bench.done[&stopped].is_ok());
    bench.renew(&[
        in_state("c2", ContainerState::ContainerRunning),
        in_state("c3", ContainerState::ContainerStopped),
    ]);
    assert_eq!(bench.calls_to(a), 0);
}

/// Requests that begin meanwhile wait for the plugin; others go to it in their order, after it has been told.
#[test]
fn requests_wait_for_the_fresh_synchronize() {
    let mut bench = bench();
    let (a, b) = (bench.plugin("10-a", CREATE), bench.plugin("20-b", "CreateContainer"));
    bench.renew(&[container("c1")]);
    let request = bench.create("new");
    assert_eq!(told(bench.nod(a)), ["c1"]);
    assert_eq!(told(bench.nod(b)), ["c1"]);
    assert!(matches!(bench.nod(a), Message::Create(_)));
    assert!(matches!(bench.nod(b), Message::Create(_)));
    assert_eq!(outcomes(&bench.created(request).plugins).len(), 2);
    assert_eq!(bench.core.totals().joined, 2, "nobody has joined anew");
}

/// What the plugin has in hand comes first, also when nobody waits for it any more.
#[test]
fn what_is_in_hand_comes_first() {
    let mut bench = bench();
    let a = bench.plugin("10-a", CREATE);
    let request = bench.create("c3");
    bench.cancel(request);
    bench.renew(&node());
    let next = bench.create("c4");
    assert_eq!(bench.calls_to(a), 1);
    bench.answer(a, env("A", "1"));
    // The snapshot is as before, but the plugin has heard of a container that never came to be.
    assert_eq!(told(bench.nod(a)), ["c1", "c2"]);
    bench.nod(a);
    bench.created(next);
    assert!(!bench.done.contains_key(&request));
}

/// A plugin that had no part in what was given up is left alone.
#[test]
fn who_has_not_heard_is_left_alone() {
    let mut bench = bench();
    let (a, b) = (bench.plugin("10-a", CREATE), bench.plugin("20-b", "CreateContainer"));
    let request = bench.create("c3");
    bench.cancel(request);
    bench.nod(a);
    bench.renew(&node());
    assert_eq!((bench.calls_to(a), bench.calls_to(b)), (1, 0));
}

/// Requests that are not given up (an engine that lost its connection alone): those before the plugin stay there, those
/// past it are awaited, and each container is told or asked about once after the cut.
#[test]
fn requests_under_way_are_sorted() {
    let mut bench = bench();
    let (a, b) = (bench.plugin("10-a", CREATE), bench.plugin("20-b", "CreateContainer"));
    let past = bench.create("past");
    bench.nod(a);
    let queued = bench.create("queued");
    let waits = bench.create("waits");
    // `past` is at b, `queued` at a, `waits` in the queue of a.
    bench.renew(&[container("c1")]);
    bench.nod(a);
    assert_eq!(bench.calls_to(a), 0, "awaits what has passed it: {:?}", bench.calls);
    bench.nod(b);
    bench.created(past);
    // b takes its turn: it gave way until a had been through.
    bench.nod(b);
    bench.created(queued);
    assert_eq!(told(bench.nod(a)), ["c1", "past", "queued"]);
    assert!(matches!(bench.nod(a), Message::Create(sent) if sent.container.as_ref().unwrap().id == "waits"));
    assert_eq!(told(bench.nod(b)), ["c1", "past", "queued"]);
    bench.nod(b);
    bench.created(waits);
}

/// A creation that comes back for validation cannot be awaited: it is told.
#[test]
fn creations_that_come_back_are_told() {
    let mut bench = bench();
    let a = bench.plugin("10-a", "CreateContainer,ValidateContainerAdjustment");
    let b = bench.plugin("20-b", "CreateContainer");
    let request = bench.create("c3");
    bench.nod(a);
    bench.renew(&node()[..1]);
    assert_eq!(told(bench.nod(a)), ["c1", "c3"]);
    bench.nod(b);
    assert_eq!(bench.calls_to(b), 0, "does not validate, and so awaits it");
    assert!(matches!(bench.nod(a), Message::Validate(_)));
    bench.created(request);
    assert_eq!(told(bench.nod(b)), ["c1", "c3"]);
}

/// The engine is back while a plugin joins: before anything was sent, the new snapshot is what it is told.
#[test]
fn renewed_while_a_creation_is_awaited() {
    let mut bench = bench();
    let a = bench.plugin("10-a", "CreateContainer");
    let before = bench.create("c3");
    let b = bench.configured("20-b", ConfigureResponse { events: 0x3fff, failure_policy: None });
    assert_eq!(bench.calls_to(b), 0);
    bench.renew(&[container("c9")]);
    bench.cancel(before);
    assert_eq!(told(bench.nod(b)), ["c9"]);
    assert_eq!(bench.calls_to(b), 0);
    bench.nod(a);
    assert_eq!(told(bench.nod(a)), ["c9"]);
}

/// After something was sent: what it began to collect is ended, and it begins anew.
#[test]
fn renewed_while_parts_go_out() {
    let big = |id: &str| Container { env: vec!["x".repeat(3 << 20)], ..container(id) };
    for answered in 0..3 {
        let mut bench = Bench::with(setup(), vec![pod("p")], vec![big("c1"), big("c2"), big("c3")]);
        let a = bench.configured("10-a", ConfigureResponse { events: 0x3fff, failure_policy: None });
        (0..answered).for_each(|_| drop(bench.nod(a)));
        bench.renew(&[container("c1"), container("c9")]);
        let Message::Synchronize(part) = bench.nod(a) else { panic!("no part") };
        assert_eq!((part.containers.len(), part.more), (1, true));
        assert!(told(bench.nod(a)).is_empty(), "ends what it has collected");
        assert!(bench.core.plugins[&a].is_active());
        assert_eq!(told(bench.nod(a)), ["c1", "c9"]);
        assert_eq!(bench.calls_to(a), 0);
    }
}

/// In one message: it is ended by its answer, and whoever waits, waits for the second.
#[test]
fn renewed_while_the_last_part_is_out() {
    let mut bench = bench();
    let a = bench.configured("10-a", ConfigureResponse { events: 2 | 8, failure_policy: None });
    let request = bench.create("new");
    bench.renew(&[container("c1")]);
    assert_eq!(told(bench.nod(a)), ["c1", "c2"]);
    assert_eq!(told(bench.nod(a)), ["c1"]);
    while bench.calls_to(a) > 0 {
        bench.nod(a);
    }
    assert!(bench.done[&request].is_ok());
}

/// A plugin that owes an answer is told once it has answered; nobody waits for it until then.
#[test]
fn renewed_while_late() {
    let mut bench = bench();
    let a = bench.plugin("10-a", CREATE);
    let late = bench.create("c3");
    bench.pass(TIMEOUT);
    bench.created(late);
    bench.renew(&[container("c1")]);
    let request = bench.create("c4");
    assert_eq!(bench.created(request).plugins[0].outcome, Outcome::Late);
    bench.nod(a);
    assert_eq!(told(bench.nod(a)), ["c1", "c4"]);
}

/// Calls that were skipped while a plugin owed an answer are lost to it, so it is told what there is now. Not if it
/// missed nothing that it subscribes to, or only validation.
#[test]
fn who_missed_events_is_told() {
    for (events, told_anew) in
        [("CreateContainer", true), ("RemoveContainer", false), ("ValidateContainerAdjustment", false)]
    {
        let mut bench = bench();
        let a = bench.plugin("10-a", &format!("StartContainer,{events}"));
        bench.tell(Event::StartContainer, "c1");
        bench.pass(TIMEOUT);
        let request = bench.create("c3");
        assert!(bench.done.contains_key(&request));
        bench.nod(a);
        assert_eq!(bench.calls_to(a), usize::from(told_anew), "{events}");
        if told_anew {
            assert_eq!(told(bench.nod(a)), ["c1", "c2", "c3"]);
        }
    }
}

/// Requests that waited in its queue when it became late were skipped, too.
#[test]
fn who_was_skipped_in_its_queue_is_told() {
    let mut bench = bench();
    let a = bench.plugin("10-a", CREATE);
    bench.create("c3");
    bench.create("c4");
    bench.pass(TIMEOUT);
    bench.nod(a);
    assert_eq!(told(bench.nod(a)), ["c1", "c2", "c3", "c4"]);
}

/// A plugin that hangs in its fresh Synchronize is closed; requests fail or go on as its settings say, since it was active.
#[test]
fn a_plugin_that_hangs_is_closed() {
    let policy = nri_wire::api::FailurePolicy { fail_request: true, ..Default::default() };
    for rejects in [false, true] {
        let mut bench = bench();
        let policy = if rejects { policy } else { Default::default() };
        let a = bench.plugin_with("10-a", CREATE, policy);
        bench.renew(&[container("c1")]);
        let request = bench.create("c3");
        bench.pass(TIMEOUT);
        assert!(bench.closed[&a].contains("Synchronize"), "{:?}", bench.closed);
        assert_eq!(bench.done[&request].is_err(), rejects);
        assert_eq!(bench.core.totals().lost, 1);
    }
}

/// It may ask for updates all the while, and gets Shutdown like any other.
#[test]
fn it_stays_active() {
    let mut bench = bench();
    let a = bench.plugin("10-a", CREATE);
    bench.renew(&[container("c1")]);
    assert_eq!(bench.core.active(), 1);
    let request = nri_wire::api::UpdateContainersRequest::default();
    assert!(bench.core.handle_update_containers(a, request, &[], bench.now).unwrap().in_call);
    bench.core.handle_shutdown(bench.now);
    bench.drain();
    bench.nod(a);
    assert!(matches!(bench.nod(a), Message::Shutdown(_)));
    assert!(bench.stopped);
}

/// More events than before: it has missed them, so it is told first.
#[test]
fn who_gets_more_events_is_told() {
    let settings = PluginSettings { events: Some("CreateContainer".parse().unwrap()), ..Default::default() };
    let table = BTreeMap::from([("*".to_owned(), settings)]);
    let mut bench = Bench::with(Setup { settings: table, ..setup() }, vec![pod("p")], node());
    let a = bench.plugin("10-a", CREATE);
    bench.tell(Event::RemoveContainer, "c1");
    bench.core.set_plugins(BTreeMap::new(), bench.now);
    bench.drain();
    assert_eq!(told(bench.nod(a)), ["c2"]);
}

/// Results that wait for earlier ones are told, not awaited: the earlier one may have the plugin before it.
#[test]
fn results_on_hold_are_told() {
    let settings = PluginSettings { concurrency: Some(4), ..Default::default() };
    let table = BTreeMap::from([("*".to_owned(), settings)]);
    let mut bench = Bench::with(Setup { settings: table, ..setup() }, vec![pod("p")], node());
    let [z, a, b] = ["00-z", "10-a", "20-b"].map(|name| bench.plugin(name, "CreateContainer"));
    let (first, second) = (bench.create("first"), bench.create("second"));
    let slow = bench.take(z).call;
    bench.nod(z);
    bench.nod(a);
    bench.renew(&node()[..1]);
    assert_eq!(bench.calls_to(a), 0, "`second` is past it and awaited, `first` comes to it later");
    let call = bench.take(b).call;
    let answer = CreateContainerResponse { update: vec![memory("x", 1)], ..Default::default() };
    bench.end(call, End::Answer(Answer::Create(Box::new(answer)), Vec::new()));
    assert!(!bench.done.contains_key(&second), "waits for `first`");
    for plugin in [a, b] {
        assert_eq!(told(bench.nod(plugin)), ["c1", "second"]);
    }
    bench.end(slow, End::Answer(Answer::Create(Box::default()), Vec::new()));
    bench.nod(a);
    bench.nod(b);
    bench.created(first);
    bench.created(second);
    assert_eq!(told(bench.nod(z)), ["c1", "first", "second"]);
}
