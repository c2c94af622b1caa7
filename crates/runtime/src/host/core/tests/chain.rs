//! Requests on their way through the plugins.

use super::*;

/// CONF-135 to CONF-138: by index, not by arrival; equal indices by name, equal names by arrival (D17). Each sees what
/// those before it did.
#[test]
fn the_chain_goes_by_index_name_arrival() {
    let mut bench = Bench::new();
    let names = ["20-b", "99-c", "00-a", "20-a", "20-a"];
    let ids: Vec<_> = names.iter().map(|name| bench.plugin(name, "CreateContainer")).collect();
    let request = bench.create("c1");
    for (at, turn) in [2, 3, 4, 0, 1].into_iter().enumerate() {
        assert_eq!(bench.calls.len(), 1, "one after the other");
        let message = bench.answer(ids[turn], env(&format!("K{at}"), "v"));
        let Message::Create(sent) = message else { panic!("{message:?}") };
        assert_eq!(sent.container.as_ref().unwrap().env.len(), at);
    }
    let created = bench.created(request);
    assert_eq!(created.merged.adjust.env.len(), 5);
    let order: Vec<_> = created.plugins.iter().map(|c| c.plugin.full()).collect();
    assert_eq!(order, ["00-a", "20-a", "20-a", "20-b", "99-c"]);
}

/// CONF-118 to CONF-134: whoever subscribed gets the event, nobody else; all at once.
#[test]
fn events_reach_their_subscribers_at_once() {
    for (event, name) in nri_wire::event::EVENTS {
        if matches!(
            event,
            Event::CreateContainer
                | Event::UpdateContainer
                | Event::StopContainer
                | Event::ValidateContainerAdjustment
        ) {
            continue;
        }
        let mut bench = Bench::new();
        let (a, b) = (bench.plugin("10-a", name), bench.plugin("20-b", name));
        let others = EventMask::ALL.without(EventMask::NONE.with(event)).to_string();
        let other = bench.plugin("30-c", &others);
        let request = if event == Event::UpdatePodSandbox {
            let request =
                nri_wire::api::UpdatePodSandboxRequest { pod: Some(pod("p")), ..Default::default() };
            bench.submit_within(Submission::UpdatePod(request), PLENTY)
        } else {
            bench.tell(event, "x")
        };
        assert_eq!((bench.calls_to(a), bench.calls_to(b), bench.calls_to(other)), (1, 1, 0), "{name}");
        bench.nod(b);
        assert!(bench.done.is_empty());
        assert_eq!(bench.nod(a).event(), event);
        match bench.done.remove(&request) {
            Some(Ok(Completion::Told(told))) => {
                assert_eq!(outcomes(&told.plugins), [("10-a", Outcome::Answer), ("20-b", Outcome::Answer)]);
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// CONF-117: nobody there.
#[test]
fn without_plugins_everything_succeeds_at_once() {
    let mut bench = Bench::new();
    for submission in [creation("c"), update("c"), stop("c"), notice(Event::RunPodSandbox, "p")] {
        let request = bench.submit_within(submission, PLENTY);
        assert!(bench.done[&request].is_ok());
    }
}

/// A14: a request without a container is the caller's fault, and reaches nobody.
#[test]
fn a_request_that_lacks_something_is_refused() {
    let mut bench = Bench::new();
    bench.plugin("10-a", "all");
    let request = bench.submit_within(
        Submission::Create(Box::new(CreateContainerRequest { pod: Some(pod("p")), container: None })),
        PLENTY,
    );
    assert!(matches!(bench.cause(request), Cause::Input("container")));
    assert!(bench.calls.is_empty());
}

/// EXT-015: the request fails at once with the plugin's words, later plugins are not asked, the plugin stays.
#[test]
fn a_refusal_fails_the_request() {
    let mut bench = Bench::new();
    let (a, b) = (bench.plugin("10-a", "CreateContainer"), bench.plugin("20-b", "CreateContainer"));
    let request = bench.create("c1");
    bench.refuse(a, Code::Unknown, "not today");
    let failure = bench.failure(request);
    assert_eq!(failure.to_string(), "CreateContainer: plugin \"10-a\" refused: not today");
    assert!(matches!(failure.cause, Cause::Veto { code: 2, .. }));
    assert_eq!(outcomes(&failure.plugins), [("10-a", Outcome::Veto("not today".to_owned()))]);
    assert_eq!(bench.calls_to(b), 0);
    assert!(bench.closed.is_empty());
}

/// Both plugins are named, and the second's answer is the one that fails.
#[test]
fn a_conflict_names_both_plugins() {
    let mut bench = Bench::new();
    let (a, b) = (bench.plugin("10-a", "CreateContainer"), bench.plugin("20-b", "CreateContainer"));
    let request = bench.create("c1");
    bench.answer(a, env("FOO", "1"));
    bench.answer(b, env("FOO", "2"));
    let Cause::Merge(error) = bench.cause(request) else { panic!("no conflict") };
    let text = error.to_string();
    assert!(text.contains("10-a") && text.contains("20-b"), "{text}");
}

/// EXT-017: the request fails, the plugin stays.
#[test]
fn a_request_that_is_too_long_fails() {
    let mut bench = Bench::new();
    let a = bench.plugin("10-a", "CreateContainer");
    let request = bench.create("c1");
    let call = bench.take(a).call;
    bench.end(call, End::TooLong { len: 5 << 20, max: 4 << 20 });
    assert!(matches!(bench.cause(request), Cause::TooLong { .. }));
    assert!(bench.closed.is_empty());
}

/// EXT-012, C13: a plugin that does not know the method gets StateChange, for this event only, from then on.
#[test]
fn old_plugins_get_state_change() {
    let mut bench = Bench::new();
    let a = bench.plugin("10-a", "pod");
    let told = |bench: &mut Bench| match bench.take(a) {
        Sent { call, message: Message::Notice { dedicated, .. }, .. } => (call, dedicated),
        other => panic!("{other:?}"),
    };
    let first = bench.tell(Event::RunPodSandbox, "p");
    let (call, dedicated) = told(&mut bench);
    assert!(dedicated);
    bench.end(call, End::Status(Status::no_method("RunPodSandbox")));
    let (call, dedicated) = told(&mut bench);
    assert!(!dedicated);
    bench.end(call, End::Answer(Answer::Nothing, Vec::new()));
    assert!(bench.done[&first].is_ok());

    let second = bench.tell(Event::RunPodSandbox, "p2");
    let (call, dedicated) = told(&mut bench);
    assert!(!dedicated);
    bench.end(call, End::Answer(Answer::Nothing, Vec::new()));
    assert!(bench.done[&second].is_ok());

    bench.tell(Event::StopPodSandbox, "p");
    assert!(told(&mut bench).1, "other events are tried as calls of their own");
}

/// C13: a handler that says Unimplemented for reasons of its own refuses. EXT-013: so does one without the method
/// where there is no StateChange.
#[test]
fn other_unimplemented_answers_are_refusals() {
    let mut bench = Bench::new();
    let a = bench.plugin("10-a", "pod,CreateContainer");
    let request = bench.tell(Event::RunPodSandbox, "p");
    bench.refuse(a, Code::Unimplemented, "cannot do pods");
    assert!(matches!(bench.cause(request), Cause::Veto { code: 12, .. }));
    let request = bench.create("c");
    bench.refuse(a, Code::Unimplemented, "method CreateContainer");
    assert!(matches!(bench.cause(request), Cause::Veto { code: 12, .. }));
    assert!(bench.closed.is_empty());
}

/// C11: who asked for everything is not asked again for what it does not know.
#[test]
fn everything_means_what_the_plugin_knows() {
    let mut bench = Bench::new();
    let a = bench.configured("10-a", ConfigureResponse::default());
    bench.nod(a);
    let request = bench.create("c1");
    bench.nod(a);
    bench.refuse(a, Code::Unimplemented, "method ValidateContainerAdjustment");
    bench.created(request);
    let request = bench.create("c2");
    bench.nod(a);
    bench.created(request);
}

/// CONF-180, CONF-181: validators get the merged result with its owners, all at once, and can refuse it.
#[test]
fn validators_see_owners_and_may_reject() {
    for (reject, reason) in [(false, ""), (true, "no BAR")] {
        let mut bench = Bench::new();
        let a = bench.plugin("10-a", "CreateContainer");
        let (v, w) = (
            bench.plugin("90-v", "ValidateContainerAdjustment"),
            bench.plugin("91-w", "ValidateContainerAdjustment"),
        );
        let request = bench.create("c1");
        bench.answer(a, env("BAR", "1"));
        assert_eq!((bench.calls_to(v), bench.calls_to(w)), (1, 1));
        let verdict = ValidateContainerAdjustmentResponse { reject, reason: reason.to_owned() };
        let message = bench.answer(v, Answer::Validate(verdict));
        let Message::Validate(sent) = message else { panic!("{message:?}") };
        assert!(sent.owners.as_ref().unwrap().owners.contains_key("c1"));
        assert!(sent.container.as_ref().unwrap().env.is_empty(), "the container before any plugin");
        let names: Vec<_> = sent.plugins.iter().map(|p| format!("{}-{}", p.index, p.name)).collect();
        assert_eq!(names, ["10-a", "90-v", "91-w"]);
        if reject {
            let Cause::Validator { plugin, reason } = bench.cause(request) else { panic!("not rejected") };
            assert_eq!((plugin.full(), reason.as_str()), ("90-v", "no BAR"));
        } else {
            bench.nod(w);
            assert_eq!(bench.created(request).validators.len(), 2);
        }
    }
}

/// EXT-040: a validator that is lost, late or fails makes the request fail.
#[test]
fn a_validator_that_does_not_agree_rejects() {
    for case in 0..3 {
        let mut bench = Bench::new();
        let v = bench.plugin("90-v", "ValidateContainerAdjustment");
        let request = bench.create("c1");
        match case {
            0 => bench.core.handle_closed(v, "crashed", bench.now),
            1 => bench.pass(Duration::from_secs(2)),
            _ => drop(bench.refuse(v, Code::Unknown, "broken")),
        }
        bench.drain();
        assert!(matches!(bench.cause(request), Cause::Validator { .. }), "case {case}");
    }
}

/// A10: a plugin that was late has not been consulted.
#[test]
fn only_plugins_that_answered_count_as_consulted() {
    let mut bench = Bench::new();
    let (a, b) = (bench.plugin("10-a", "CreateContainer"), bench.plugin("20-b", "CreateContainer"));
    bench.plugin("30-c", "StartContainer");
    let v = bench.plugin("90-v", "ValidateContainerAdjustment");
    let request = bench.create("c1");
    bench.pass(Duration::from_secs(2));
    bench.nod(b);
    let message = bench.nod(v);
    let Message::Validate(sent) = message else { panic!("{message:?}") };
    let names: Vec<_> = sent.plugins.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["b", "v"]);
    assert_eq!(
        outcomes(&bench.created(request).plugins),
        [("10-a", Outcome::Late), ("20-b", Outcome::Answer)]
    );
    assert_eq!(bench.calls_to(a), 1);
}

/// A queue serves tickets in order; different containers flow through the chain as through a pipeline.
#[test]
fn one_request_per_plugin_at_a_time() {
    let mut bench = Bench::new();
    let (a, b) = (bench.plugin("10-a", "CreateContainer"), bench.plugin("20-b", "CreateContainer"));
    let requests: Vec<_> = ["c1", "c2", "c3"].iter().map(|id| bench.create(id)).collect();
    assert_eq!((bench.calls_to(a), bench.calls_to(b)), (1, 0));
    bench.nod(a);
    assert_eq!((bench.calls_to(a), bench.calls_to(b)), (1, 1), "c2 at a while c1 is at b");
    bench.nod(a);
    bench.nod(a);
    for request in requests {
        bench.nod(b);
        assert!(bench.done.contains_key(&request));
    }
}

#[test]
fn concurrency_lifts_that() {
    let mut bench = Bench::with_settings("a", PluginSettings { concurrency: Some(3), ..Default::default() });
    let a = bench.plugin("10-a", "CreateContainer");
    for id in ["c1", "c2", "c3", "c4"] {
        bench.create(id);
    }
    assert_eq!(bench.calls_to(a), 3);
}

/// Updates of other containers are released in the order of the tickets; a request without them never waits for this.
#[test]
fn updates_of_others_end_in_ticket_order() {
    let mut bench = Bench::with_settings("a", PluginSettings { concurrency: Some(9), ..Default::default() });
    let a = bench.plugin("10-a", "CreateContainer,StopContainer");
    let requests: Vec<_> = ["c0", "c1", "c2", "c3"].iter().map(|id| bench.create(id)).collect();
    let calls: Vec<_> = (0..4).map(|_| bench.take(a).call).collect();
    let with_update = |limit| {
        End::Answer(
            Answer::Create(Box::new(CreateContainerResponse {
                update: vec![memory("x", limit)],
                ..Default::default()
            })),
            Vec::new(),
        )
    };
    bench.end(calls[2], with_update(2));
    bench.end(calls[1], with_update(1));
    assert!(bench.order.is_empty());
    bench.end(calls[3], End::Answer(Answer::Create(Box::default()), Vec::new()));
    assert_eq!(bench.order, [requests[3]]);
    bench.end(calls[0], End::Answer(Answer::Create(Box::default()), Vec::new()));
    assert_eq!(bench.order, [requests[3], requests[0], requests[1], requests[2]]);
}

/// EXT-019: nobody waits any more. The plugin stays, its answer is dropped, its next request comes after that.
#[test]
fn a_cancelled_request_leaves_its_plugins_alone() {
    let mut bench = Bench::new();
    let (a, b) = (bench.plugin("10-a", "CreateContainer"), bench.plugin("20-b", "CreateContainer"));
    let request = bench.create("c1");
    let next = bench.create("c2");
    bench.core.handle_cancel(RequestId(request), bench.now);
    bench.drain();
    assert!(!bench.done.contains_key(&request));
    bench.answer(a, env("A", "1"));
    assert_eq!((bench.calls_to(a), bench.calls_to(b)), (1, 0));
    bench.nod(a);
    bench.nod(b);
    bench.created(next);
    assert!(bench.closed.is_empty());
    assert_eq!(bench.core.plugins[&a].missed, 0);
}

/// A container that is removed is gone, whoever refuses to hear of it: those that still had it before them hear of it.
#[test]
fn a_refused_removal_reaches_the_others() {
    let mut bench = Bench::new();
    let (a, b) =
        (bench.plugin("10-a", "RemoveContainer"), bench.plugin("20-b", "StartContainer,RemoveContainer"));
    bench.tell(Event::StartContainer, "c1");
    let request = bench.tell(Event::RemoveContainer, "c1");
    bench.refuse(a, Code::Unknown, "no");
    assert!(matches!(bench.cause(request), Cause::Veto { .. }));
    assert_eq!(bench.nod(b).event(), Event::StartContainer);
    assert_eq!(bench.nod(b).event(), Event::RemoveContainer);
    assert!(bench.calls.is_empty());
}
