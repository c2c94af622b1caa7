//! Deadlines, lost connections, and whose fault they are.

use super::*;
use crate::host::config::{FailureRule, LateRule};

const TIMEOUT: Duration = Duration::from_secs(2);

/// EXT-014 as `design.md` 5 has it: the request goes on without the plugin after its time-out; the plugin stays, and
/// counts as late at once until its answer comes, so that it costs one deadline, once.
#[test]
fn a_hanging_plugin_costs_one_deadline_once() {
    let mut bench = Bench::new();
    let (a, b) = (bench.plugin("10-a", "CreateContainer"), bench.plugin("20-b", "CreateContainer"));
    let (first, waiting) = (bench.create("c1"), bench.create("c2"));
    bench.pass(TIMEOUT);
    bench.nod(b);
    bench.nod(b);
    for request in [first, waiting] {
        let plugins = bench.created(request).plugins;
        assert_eq!(outcomes(&plugins), [("10-a", Outcome::Late), ("20-b", Outcome::Answer)]);
    }
    let before = bench.now;
    for id in 0..50 {
        let request = bench.create(&format!("d{id}"));
        bench.nod(b);
        bench.created(request);
    }
    assert_eq!(bench.now, before);
    assert!(bench.closed.is_empty());
    assert_eq!(bench.core.plugins[&a].missed, 1, "calls that were skipped do not count");

    // An answer without changes is counted, and the plugin is back, once it has been told what it missed.
    bench.nod(a);
    assert!(matches!(bench.nod(a), Message::Synchronize(told) if told.containers.len() == 52));
    let request = bench.create("e");
    assert_eq!(bench.calls_to(a), 1);
    bench.nod(a);
    bench.nod(b);
    assert_eq!(bench.created(request).plugins[0].outcome, Outcome::Answer);
    assert_eq!(bench.core.plugins[&a].missed, 0);
}

/// A late answer with changes: the plugin's picture of the node is false. Unless its settings, or its own policy, say keep.
#[test]
fn a_late_answer_with_changes_closes() {
    let keep = PluginSettings { late: Some(LateRule::Keep), ..Default::default() };
    let own = FailurePolicy { keep_connected: true, ..Default::default() };
    for (settings, policy, stays) in [
        (PluginSettings::default(), FailurePolicy::default(), false),
        (keep, FailurePolicy::default(), true),
        (PluginSettings::default(), own, true),
    ] {
        let mut bench = Bench::with_settings("10-a", settings);
        let a = bench.plugin_with("10-a", "CreateContainer", policy);
        let request = bench.create("c1");
        bench.pass(TIMEOUT);
        assert!(bench.created(request).merged.adjust.env.is_empty());
        bench.answer(a, env("A", "1"));
        assert_eq!(!bench.closed.contains_key(&a), stays);
    }
}

/// The administrator's `late = "close"` overrules the plugin's own policy: closed at once.
#[test]
fn settings_may_close_at_once() {
    let close = PluginSettings { late: Some(LateRule::Close), ..Default::default() };
    let mut bench = Bench::with_settings("*", close);
    let a = bench.plugin_with(
        "10-a",
        "CreateContainer",
        FailurePolicy { keep_connected: true, ..Default::default() },
    );
    let request = bench.create("c1");
    bench.pass(TIMEOUT);
    bench.created(request);
    assert!(bench.closed.contains_key(&a));
}

#[test]
fn three_missed_calls_in_a_row_close() {
    let mut bench = Bench::new();
    let a = bench.plugin("10-a", "CreateContainer");
    for round in 1..=3 {
        let request = bench.create("c");
        bench.pass(TIMEOUT);
        bench.created(request);
        assert_eq!(bench.closed.contains_key(&a), round == 3);
        if round < 3 {
            bench.nod(a);
        }
    }
}

#[test]
fn thirty_seconds_without_the_owed_answer_close() {
    let mut bench = Bench::new();
    let a = bench.plugin("10-a", "CreateContainer");
    bench.create("c");
    bench.pass(TIMEOUT + Duration::from_millis(29_999));
    assert!(bench.closed.is_empty());
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.closed[&a], "owes an answer for 30 s");
}

/// B5: the plugin's own clock ran out a moment before ours: the same as if ours had. It owes nothing, but has missed one.
#[test]
fn deadline_exceeded_at_the_deadline_is_late() {
    let mut bench = Bench::new();
    let a = bench.plugin("10-a", "CreateContainer");
    let request = bench.create("c");
    bench.pass(TIMEOUT - Duration::from_millis(1));
    bench.refuse(a, Code::DeadlineExceeded, "context deadline exceeded");
    assert_eq!(bench.created(request).plugins[0].outcome, Outcome::Late);
    assert_eq!(bench.core.plugins[&a].missed, 1);
    // Early, it is an ordinary refusal.
    let request = bench.create("c");
    bench.refuse(a, Code::DeadlineExceeded, "some other deadline");
    assert!(matches!(bench.cause(request), Cause::Veto { .. }));
}

/// EXT-016: an answer that is too long to be taken is no answer.
#[test]
fn an_overlong_answer_is_late() {
    let mut bench = Bench::new();
    let a = bench.plugin("10-a", "CreateContainer");
    let request = bench.create("c");
    let call = bench.take(a).call;
    bench.end(call, End::Overlong("5 MiB".to_owned()));
    assert_eq!(bench.created(request).plugins[0].outcome, Outcome::Late);
    assert!(bench.closed.is_empty());
}

/// B4, v0.12.4: `fail_request`, `on-failure`: what a late or lost answer does to the request. The settings overrule.
#[test]
fn failure_rules() {
    let own = FailurePolicy { fail_request: true, ..Default::default() };
    let set = |rule| PluginSettings { on_failure: Some(rule), ..Default::default() };
    for (settings, policy, fails) in [
        (PluginSettings::default(), FailurePolicy::default(), false),
        (PluginSettings::default(), own, true),
        (set(FailureRule::Reject), FailurePolicy::default(), true),
        (set(FailureRule::Continue), own, false),
    ] {
        for lost in [false, true] {
            let mut bench = Bench::with_settings("a", settings.clone());
            let a = bench.plugin_with("10-a", "CreateContainer", policy);
            let b = bench.plugin("20-b", "CreateContainer");
            let request = bench.create("c1");
            if lost {
                bench.core.handle_closed(a, "crashed", bench.now);
                bench.drain();
            } else {
                bench.pass(TIMEOUT);
            }
            if fails {
                let cause = bench.cause(request);
                assert!(if lost { matches!(cause, Cause::Gone(_)) } else { matches!(cause, Cause::Late(_)) });
                assert_eq!(bench.calls_to(b), 0, "later plugins do not get it");
            } else {
                bench.nod(b);
                let outcome = if lost { Outcome::Gone } else { Outcome::Late };
                assert_eq!(bench.created(request).plugins[0].outcome, outcome);
            }
        }
    }
}

/// B3, EXT-018: a deadline that is over is nobody's fault.
#[test]
fn an_expired_deadline_touches_no_plugin() {
    let mut bench = Bench::new();
    for name in ["10-a", "20-b", "30-c"] {
        bench.plugin(name, "CreateContainer");
    }
    let request = bench.submit_within(creation("c"), Duration::ZERO);
    assert!(matches!(bench.cause(request), Cause::Expired));
    assert!(bench.calls.is_empty() && bench.closed.is_empty());
}

/// The answer leaves before the caller's deadline: by the larger of 50 ms and a tenth.
#[test]
fn a_margin_is_kept() {
    for (caller, used) in [(1000, 900), (200, 150), (60, 30), (10_000, 2_000)] {
        let mut bench = Bench::new();
        bench.plugin("10-a", "CreateContainer");
        let request = bench.submit_within(creation("c"), Duration::from_millis(caller));
        let used = Duration::from_millis(used);
        bench.pass(used - Duration::from_millis(1));
        assert!(bench.done.is_empty(), "{caller}");
        bench.pass(Duration::from_millis(1));
        assert_eq!(bench.created(request).plugins[0].outcome, Outcome::Late, "{caller}");
    }
}

/// A hanging plugin leaves those behind it enough of the caller's time.
#[test]
fn later_plugins_keep_their_share() {
    let mut bench = Bench::new();
    let names = ["10-a", "20-b", "30-c", "40-d"];
    let ids: Vec<_> = names.iter().map(|name| bench.plugin(name, "CreateContainer")).collect();
    let request = bench.submit_within(creation("c"), TIMEOUT);
    while bench.calls_to(ids[1]) == 0 {
        bench.pass(Duration::from_millis(10));
    }
    assert!(bench.elapsed() < Duration::from_millis(1300), "{:?}", bench.elapsed());
    for id in &ids[1..] {
        bench.nod(*id);
    }
    assert_eq!(bench.created(request).plugins[0].outcome, Outcome::Late);
}

/// Waiting in a queue counts against the caller, never the plugin: a plugin that got little time is not at fault, and
/// what it answers to a request that nobody waits for is dropped.
#[test]
fn a_plugin_without_time_is_not_late() {
    let mut bench = Bench::new();
    let a = bench.plugin("10-a", "CreateContainer");
    let slow = bench.submit_within(creation("c1"), PLENTY);
    let short = bench.submit_within(creation("c2"), Duration::from_millis(1000));
    bench.pass(Duration::from_millis(800));
    bench.nod(a);
    bench.created(slow);
    bench.pass(Duration::from_millis(100));
    assert!(matches!(bench.cause(short), Cause::Expired));
    assert_eq!(bench.core.plugins[&a].missed, 0);
    bench.answer(a, env("A", "1"));
    assert!(bench.closed.is_empty());
    let next = bench.create("c3");
    bench.nod(a);
    bench.created(next);
}

/// The same, but the plugin never answers: it has its own time, then it is late.
#[test]
fn an_abandoned_call_has_the_plugins_own_time() {
    let mut bench = Bench::new();
    let a = bench.plugin("10-a", "CreateContainer");
    let request = bench.create("c1");
    bench.core.handle_cancel(RequestId(request), bench.now);
    bench.pass(TIMEOUT - Duration::from_millis(1));
    assert!(!bench.core.plugins[&a].is_overdue());
    bench.pass(Duration::from_millis(1));
    assert!(bench.core.plugins[&a].is_overdue());
}

/// A lost connection: the request under way and those that wait go on without the plugin, at once.
#[test]
fn a_lost_plugin_is_gone_at_once() {
    let mut bench = Bench::new();
    let a = bench.plugin("10-a", "CreateContainer,StartContainer");
    let requests = [bench.create("c1"), bench.create("c2"), bench.tell(Event::StartContainer, "c0")];
    bench.core.handle_closed(a, "crashed", bench.now);
    bench.drain();
    for request in requests {
        assert!(bench.done[&request].is_ok());
    }
    assert_eq!(bench.core.totals().lost, 1);
}
