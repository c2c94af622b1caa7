//! From the connection to the subscription, and the end.

use super::*;
use crate::limits::CONNECTED_MAX;

/// CONF-226 to CONF-229, millisecond precision included.
#[test]
fn configure_tells_the_runtime() {
    let times = (Duration::from_millis(5005), Duration::from_millis(2007));
    let setup = Setup { registration_timeout: times.0, request_timeout: times.1, ..setup() };
    let mut bench = Bench::with(setup, Vec::new(), Vec::new());
    let plugin = bench.connect();
    bench.register(plugin, "10-a").unwrap();
    let message = bench.take(plugin).message;
    let Message::Configure(sent) = message else { panic!("{message:?}") };
    assert_eq!((sent.runtime_name.as_str(), sent.runtime_version.as_str()), ("rt", "1.2"));
    assert_eq!((sent.registration_timeout, sent.request_timeout), (5005, 2007));
    assert_eq!((sent.nri_version.as_str(), sent.config.as_str()), ("v9.8.7", ""));
}

/// CONF-113, A7: refused, and the connection is to end.
#[test]
fn bad_names_are_refused() {
    let mut bench = Bench::new();
    for name in ["00-foo,bar", "0-a", "xx-a", "00-"] {
        let plugin = bench.connect();
        let refusal = bench.register(plugin, name).unwrap_err();
        assert!(refusal.is_final(), "{name}");
        bench.core.handle_closed(plugin, "refused", bench.now);
    }
    let plugin = bench.connect();
    bench.register(plugin, "00-abcd-0123+EFGH_4567.ijkl").unwrap();
}

/// A3, EXT-036: the second time is refused, the plugin keeps its name and goes on.
#[test]
fn registering_twice_is_refused() {
    let mut bench = Bench::new();
    let a = bench.plugin("10-a", "CreateContainer");
    assert_eq!(bench.register(a, "20-b"), Err(Refusal::Registered));
    let request = bench.create("c");
    bench.nod(a);
    assert_eq!(bench.created(request).plugins[0].plugin.full(), "10-a");
}

/// A2, EXT-035: not before it is active, not after it is closed.
#[test]
fn only_active_plugins_may_ask_for_updates() {
    let mut bench = Bench::new();
    let ask = |bench: &mut Bench, plugin| {
        let update = vec![memory("x", 1)];
        let request = nri_wire::api::UpdateContainersRequest { update, evict: Vec::new() };
        bench
            .core
            .handle_update_containers(plugin, request, &[], bench.now)
            .map(|allowed| allowed.plugin.full().to_owned())
    };
    let a = bench.connect();
    assert_eq!(ask(&mut bench, a), Err(Refusal::NotActive));
    bench.register(a, "10-a").unwrap();
    assert_eq!(ask(&mut bench, a), Err(Refusal::NotActive));
    bench.answer(a, Answer::Configure(ConfigureResponse { events: 1, failure_policy: None }));
    assert_eq!(ask(&mut bench, a), Err(Refusal::NotActive));
    bench.nod(a);
    assert_eq!(ask(&mut bench, a), Ok("10-a".to_owned()));
    bench.core.handle_closed(a, "gone", bench.now);
    assert_eq!(ask(&mut bench, a), Err(Refusal::NotActive));
}

/// EXT-011: unknown bits end the registration. EXT-010: none means all.
#[test]
fn subscriptions() {
    for (events, stays) in [(0x4000, false), (i32::MIN, false), (0x3fff, true), (0, true), (1, true)] {
        let mut bench = Bench::new();
        let a = bench.configured("10-a", ConfigureResponse { events, failure_policy: None });
        assert_eq!(!bench.closed.contains_key(&a), stays, "{events:#x}");
        if events == 0 {
            assert_eq!(bench.core.plugins[&a].events, EventMask::ALL);
        }
    }
}

/// The operator's `events` cuts what the plugin asked for.
#[test]
fn settings_cut_the_subscription() {
    let events = Some("CreateContainer".parse().unwrap());
    let mut bench = Bench::with_settings("a", PluginSettings { events, ..Default::default() });
    let a = bench.plugin("10-a", "all");
    bench.tell(Event::StartContainer, "c");
    assert_eq!(bench.calls_to(a), 0);
    bench.create("c");
    assert_eq!(bench.calls_to(a), 1);
}

/// A8: a silent connection has 5 s, delays nobody, and there are at most 64 of them.
#[test]
fn silent_connections_are_bounded() {
    let mut bench = Bench::new();
    for process in 0..64 {
        bench.core.handle_connected(None, of_process(process), bench.now).unwrap();
    }
    assert!(bench.core.handle_connected(None, of_process(64), bench.now).is_err());
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.closed.len(), 64);
    bench.plugin("10-a", "all");
}

fn of_process(pid: u32) -> Origin {
    Origin { pid: Some(pid), ..origin(None) }
}

/// A process that makes connections without end loses its own, and keeps nobody out.
#[test]
fn a_process_with_many_silent_connections_loses_the_oldest() {
    let mut bench = Bench::new();
    let other = bench.core.handle_connected(None, of_process(1), bench.now).unwrap();
    let many: Vec<_> =
        (0..200).map(|_| bench.core.handle_connected(None, of_process(2), bench.now).unwrap()).collect();
    bench.drain();
    assert_eq!(bench.closed.keys().copied().collect::<Vec<_>>(), many[..137]);
    bench.register(other, "10-a").unwrap();
    bench.plugin("20-b", "all");
}

#[test]
fn plugins_that_connect_are_bounded() {
    let mut bench = Bench::new();
    let mut connections = Vec::new();
    for number in 0..CONNECTED_MAX {
        let plugin = bench.connect();
        bench.register(plugin, &format!("10-p{number}")).unwrap();
        connections.push(plugin);
    }
    let plugin = bench.connect();
    assert_eq!(bench.register(plugin, "20-b"), Err(Refusal::TooMany));
    bench.core.handle_closed(connections[0], "gone", bench.now);
    bench.drain();
    bench.register(plugin, "20-b").unwrap();
}

#[test]
fn configure_has_a_deadline() {
    let mut bench = Bench::new();
    let a = bench.connect();
    bench.register(a, "10-a").unwrap();
    bench.pass(Duration::from_secs(2));
    assert!(bench.closed[&a].contains("Configure"));
}

fn launched(settings: PluginSettings) -> Bench {
    let program = |name: &str| Program {
        name: name.parse().unwrap(),
        path: "/x".into(),
        args: Vec::new(),
        config: "text".to_owned(),
    };
    let settings = BTreeMap::from([("*".to_owned(), settings)]);
    let setup = Setup { programs: vec![program("10-a"), program("20-b")], settings, ..setup() };
    let mut bench = Bench::with(setup, Vec::new(), Vec::new());
    bench.core.handle_start();
    bench.drain();
    bench
}

/// `spec/wire.md` 4.3: the file's name counts, not the registered one; the configuration text comes along.
/// B9: all start side by side.
#[test]
fn launched_plugins_have_their_files_names() {
    let mut bench = launched(PluginSettings::default());
    assert_eq!(bench.launches, [SeatId(0), SeatId(1)]);
    assert!(!bench.core.settled());
    let a = bench.core.handle_connected(Some(SeatId(0)), origin(Some(77)), bench.now).unwrap();
    bench.register(a, "99-other").unwrap();
    let message = bench.answer(a, Answer::Configure(ConfigureResponse { events: 8, failure_policy: None }));
    let Message::Configure(sent) = message else { panic!("{message:?}") };
    assert_eq!(sent.config, "text");
    bench.nod(a);
    bench.core.handle_launch_failed(SeatId(1), "no such file", bench.now);
    assert!(bench.core.settled());
    let request = bench.create("c");
    bench.nod(a);
    assert_eq!(bench.created(request).plugins[0].plugin.full(), "10-a");
}

/// B10: a launched plugin that ends is started again, after 1, 2, 4 … 60 s; not with `restart = "never"`.
#[test]
fn launched_plugins_start_again_with_growing_pauses() {
    let mut bench = launched(PluginSettings::default());
    bench.launches.clear();
    for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
        let a = bench.core.handle_connected(Some(SeatId(0)), origin(None), bench.now).unwrap();
        bench.core.handle_closed(a, "crashed", bench.now);
        bench.drain();
        bench.pass(Duration::from_millis(pause * 1000 - 1));
        assert!(bench.launches.is_empty(), "{pause}");
        bench.pass(Duration::from_millis(1));
        assert_eq!(std::mem::take(&mut bench.launches), [SeatId(0)], "{pause}");
    }
    // The plugin's settings come before what counts for all.
    for (setting, host, again) in
        [(Some(false), true, false), (None, false, false), (Some(true), false, true), (None, true, true)]
    {
        let mut bench = launched(PluginSettings { restart: setting, ..Default::default() });
        bench.core.setup.restart = host;
        bench.launches.clear();
        bench.core.handle_launch_failed(SeatId(0), "no such file", bench.now);
        bench.pass(Duration::from_secs(1000));
        assert_eq!(!bench.launches.is_empty(), again, "{setting:?} {host}");
    }
}

/// B8: Shutdown to those that are active, half a second, then everything is closed. Requests fail, nothing starts again.
#[test]
fn the_end_is_orderly() {
    let mut bench = launched(PluginSettings::default());
    let (a, b) = (bench.plugin("10-x", "CreateContainer"), bench.plugin("20-y", "CreateContainer"));
    let silent = bench.connect();
    let request = bench.create("c");
    bench.core.handle_shutdown(bench.now);
    bench.drain();
    assert!(matches!(bench.cause(request), Cause::Stopped));
    assert!(bench.closed.contains_key(&silent));
    let call = bench.take(a);
    assert!(matches!(call.message, Message::Create(_)));
    let message = bench.nod(a);
    assert!(matches!(message, Message::Shutdown(_)));
    assert!(bench.closed.contains_key(&a) && !bench.stopped);
    bench.pass(Duration::from_millis(500));
    assert!(bench.closed.contains_key(&b) && bench.stopped);
    let late = bench.create("d");
    assert!(matches!(bench.cause(late), Cause::Stopped));
    bench.launches.clear();
    bench.pass(Duration::from_secs(100));
    assert!(bench.launches.is_empty());
}

/// A gateway that has found its engine, or another one: who registers from then on is told.
#[test]
fn the_runtime_may_change() {
    let mut bench = Bench::new();
    bench.core.set_runtime("containerd".to_owned(), "2.3.1".to_owned(), "v0.12.0".to_owned());
    let a = bench.connect();
    bench.register(a, "10-a").unwrap();
    let Message::Configure(configure) = bench.nod(a) else { panic!("no Configure") };
    let said = (&*configure.runtime_name, &*configure.runtime_version, &*configure.nri_version);
    assert_eq!(said, ("containerd", "2.3.1", "v0.12.0"));
}

/// New settings count for plugins that are connected: for their next calls, and for their events.
#[test]
fn settings_may_change() {
    let mut bench = Bench::new();
    let a = bench.plugin("10-a", "CreateContainer,StartContainer");
    let settings = PluginSettings {
        events: Some("CreateContainer,RemoveContainer".parse().unwrap()),
        timeout: Some(Duration::from_secs(1)),
        ..Default::default()
    };
    bench.core.set_plugins(BTreeMap::from([("a".to_owned(), settings)]), bench.now);
    let told = bench.tell(Event::StartContainer, "c0");
    assert!(bench.done[&told].is_ok(), "not asked any more");
    let request = bench.create("c1");
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.created(request).plugins[0].outcome, Outcome::Late);
    bench.nod(a);
    bench.core.set_plugins(BTreeMap::new(), bench.now);
    assert_eq!(bench.core.plugins[&a].events, "CreateContainer,StartContainer".parse().unwrap());
    assert_eq!(bench.core.plugins[&a].rules.timeout, Duration::from_secs(2));
}

/// More at once, and whoever waits goes out.
#[test]
fn more_concurrency_counts_at_once() {
    let mut bench = Bench::new();
    let a = bench.plugin("10-a", "CreateContainer");
    bench.create("c1");
    bench.create("c2");
    assert_eq!(bench.calls_to(a), 1);
    let settings = PluginSettings { concurrency: Some(2), ..Default::default() };
    bench.core.set_plugins(BTreeMap::from([("*".to_owned(), settings)]), bench.now);
    bench.drain();
    assert_eq!(bench.calls_to(a), 2);
}

/// Whoever makes a plugin wait for a request that waits for the plugin makes it hang: the embedder is told.
#[test]
fn a_plugin_in_a_call_is_marked() {
    let mut bench = Bench::new();
    let a = bench.plugin("10-a", "CreateContainer");
    let ask = |bench: &mut Bench| {
        let request = nri_wire::api::UpdateContainersRequest::default();
        bench.core.handle_update_containers(a, request, &[], bench.now).unwrap().in_call
    };
    assert!(!ask(&mut bench));
    let request = bench.create("c1");
    assert!(ask(&mut bench));
    bench.pass(Duration::from_secs(2));
    bench.created(request);
    assert!(ask(&mut bench), "late, and not answered");
    bench.nod(a);
    assert!(!ask(&mut bench));
}

/// C11: an event that a plugin turned out not to know does not come back with new settings.
#[test]
fn unknown_events_stay_away() {
    let mut bench = Bench::new();
    let a = bench.configured("10-a", ConfigureResponse { events: 0, failure_policy: None });
    bench.nod(a);
    let request = bench.create("c1");
    bench.nod(a);
    bench.refuse(a, Code::Unimplemented, "unknown method");
    bench.created(request);
    bench.core.set_plugins(BTreeMap::new(), bench.now);
    bench.drain();
    let again = bench.create("c2");
    bench.nod(a);
    bench.created(again);
    assert!(bench.calls.is_empty());
}
