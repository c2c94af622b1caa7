//! Start, configuration, loss and end of a plugin's connection (`spec/stub.md` 2, 4, 5; quirks F1 to F11, C12).

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the failure report")]

mod host;

use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use host::{Host, PATIENCE, call, configuration, container, events, pod};
use nri_plugin::api::{ConfigureRequest, Empty, FailurePolicy, SynchronizeRequest};
use nri_plugin::{
    Adjustment, Builder, Code, Configure, CreateContainer, Event, EventMask, NriVersion, Plugin, Reconnect,
    Result, RunError, RunPodSandbox, Running, Status, Synchronize, Update, UpdateError, UpdatePodSandbox,
    Validate,
};
use nri_wire::connection::Role;
use nri_wire::io::blocking::Peer;
use nri_wire::service;

/// A plugin with events old and new, whose Configure answers as told.
#[derive(Default)]
struct Probe {
    wanted: EventMask,
    refuses: bool,
    saw: Option<Sender<String>>,
}

impl Probe {
    fn say(&self, text: String) {
        if let Some(saw) = &self.saw {
            let _ = saw.send(text);
        }
    }
}

#[nri_plugin::plugin]
impl Plugin for Probe {
    fn configure(&self, request: &Configure) -> Result<EventMask> {
        self.say(format!("{} for {} {}", request.config, request.runtime_name, request.runtime_version));
        if self.refuses { Err("bad configuration".into()) } else { Ok(self.wanted) }
    }

    fn synchronize(&self, request: &Synchronize) -> Result<Vec<Update>> {
        self.say(format!("{} pods, {} containers", request.pods.len(), request.containers.len()));
        Ok(vec![Update::new("other").cpu_shares(2)])
    }

    fn shutdown(&self) {
        self.say("shutdown".to_owned());
    }

    fn run_pod_sandbox(&self, _: &RunPodSandbox) -> Result {
        Ok(())
    }

    fn create_container(&self, request: &CreateContainer) -> Result<Adjustment> {
        // The runtime is asked from within a handler, by a plugin with one thread.
        let failed = request.session().update_containers(Update::new("bad").cpu_shares(2), PATIENCE)?.len();
        Ok(Adjustment::new().add_env("FAILED", failed.to_string()))
    }

    fn update_pod_sandbox(&self, _: &UpdatePodSandbox) -> Result {
        Ok(())
    }
}

/// Only for new runtimes.
struct Judge;

#[nri_plugin::plugin]
impl Plugin for Judge {
    fn validate_container_adjustment(&self, _: &Validate) -> Result {
        Ok(())
    }
}

fn builder() -> Builder {
    Builder::new().name("probe").index("10")
}

/// A plugin started against a host that configures it.
fn started(builder: Builder, plugin: impl Plugin) -> (Running, Host) {
    let (theirs, ours) = UnixStream::pair().unwrap();
    let starting = std::thread::spawn(move || builder.stream(theirs).start(plugin));
    let host = Host::new(ours);
    host.configure();
    (starting.join().unwrap().unwrap(), host)
}

/// What a start comes to against a runtime that does this.
fn start_against(plugin: Probe, runtime: impl FnOnce(Host)) -> Result<(), RunError> {
    let (theirs, ours) = UnixStream::pair().unwrap();
    let builder = builder().registration_timeout(Duration::from_millis(300)).stream(theirs);
    let starting = std::thread::spawn(move || builder.start(plugin).map(|_| ()));
    runtime(Host::new(ours));
    starting.join().unwrap()
}

/// CONF-225 to 229, and the failure policy of NRI 0.12.4.
#[test]
fn a_plugin_is_configured() {
    let (saw, seen) = channel();
    let policy = FailurePolicy { fail_request: true, keep_connected: true };
    let (theirs, ours) = UnixStream::pair().unwrap();
    let builder = builder().failure_policy(policy).stream(theirs);
    let session = builder.session();
    assert_eq!(session.runtime().request_timeout, Duration::from_secs(2));
    assert_eq!(session.runtime().registration_timeout, Duration::from_secs(5));
    assert_eq!(session.runtime().nri, None);
    let starting = std::thread::spawn(move || builder.start(Probe { saw: Some(saw), ..Probe::default() }));

    let host = Host::new(ours);
    let registered = host.registered();
    assert_eq!((registered.plugin_idx.as_str(), registered.plugin_name.as_str()), ("10", "probe"));
    assert_eq!(registered.nri_version, NriVersion::CURRENT.to_string());
    let answer = host.call::<service::Configure>(configuration()).unwrap();
    assert_eq!(events(&answer).to_string(), "RunPodSandbox,CreateContainer,UpdatePodSandbox");
    assert_eq!(answer.failure_policy, Some(policy));
    let running = starting.join().unwrap().unwrap();
    assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), "text for scripted v1.2.3");

    let runtime = session.runtime();
    assert_eq!((runtime.name.as_str(), runtime.version.as_str()), ("scripted", "v1.2.3"));
    assert_eq!(runtime.nri, Some(NriVersion::new(9, 8, 7)));
    assert_eq!(runtime.registration_timeout, Duration::from_millis(5005));
    assert_eq!(runtime.request_timeout, Duration::from_millis(2007));

    // CONF-225, and an update that fails.
    let failed = session.update_containers(Update::new("a").cpu_shares(2), PATIENCE).unwrap();
    assert_eq!(failed, []);
    assert_eq!(host.updated().update.len(), 1);
    // From a handler, with one thread.
    assert_eq!(host.adjusted().env[0].value, "1");

    session.stop();
    running.wait().unwrap();
    let error = session.update_containers(Update::new("a").cpu_shares(2), PATIENCE);
    assert!(matches!(error, Err(UpdateError::NotConnected)));
}

/// EXT-009: Configure while the answer to RegisterPlugin is still out.
#[test]
fn configure_may_come_first() {
    let (theirs, ours) = UnixStream::pair().unwrap();
    let starting = std::thread::spawn(move || builder().stream(theirs).start(Probe::default()));
    let peer = Peer::new(ours, Role::Runtime);
    let register = peer.next_request().unwrap();
    assert_eq!(register.method(), "RegisterPlugin");
    call::<service::Configure>(&peer, &configuration()).unwrap();
    peer.admit();
    register.answer::<service::RegisterPlugin>(Ok(Empty {}));
    let running = starting.join().unwrap().unwrap();
    // F6: the second and third are like the first.
    call::<service::Configure>(&peer, &configuration()).unwrap();
    call::<service::Configure>(&peer, &configuration()).unwrap();
    running.session().stop();
    running.wait().unwrap();
}

/// F1, EXT-038: a start never hangs.
#[test]
fn starts_that_fail() {
    let lost = start_against(Probe::default(), |host| {
        host.registered();
        host.peer.close("test");
    });
    assert!(matches!(lost, Err(RunError::NotConfigured(_))), "{lost:?}");

    let silent = start_against(Probe::default(), |host| {
        host.registered();
        // Until the plugin gives up.
        while host.peer.next_request().is_ok() {}
    });
    let text = silent.unwrap_err().to_string();
    assert!(text.ends_with("the runtime did not configure the plugin within 300ms"), "{text}");

    let refused = start_against(Probe { refuses: true, ..Probe::default() }, |host| {
        host.registered();
        let status = host.call::<service::Configure>(configuration()).unwrap_err();
        assert_eq!(status, Status::new(Code::Unknown, "bad configuration"));
        // A runtime that does not close does not keep the plugin.
        while host.peer.next_request().is_ok() {}
    });
    assert_eq!(refused.unwrap_err().to_string(), "failed to configure the plugin: bad configuration");

    let wanted = EventMask::NONE.with(Event::StopContainer);
    let unhandled = start_against(Probe { wanted, ..Probe::default() }, |host| {
        host.registered();
        let status = host.call::<service::Configure>(configuration()).unwrap_err();
        assert_eq!(status.message, "the plugin has no handler for StopContainer");
        host.peer.close("test");
    });
    assert!(matches!(unhandled, Err(RunError::Configuration(_))), "{unhandled:?}");
}

/// A refused registration is told, with the runtime's text.
#[test]
fn a_refused_registration() {
    let (theirs, ours) = UnixStream::pair().unwrap();
    let starting = std::thread::spawn(move || builder().stream(theirs).start(Probe::default()).map(|_| ()));
    let peer = Peer::new(ours, Role::Runtime);
    let register = peer.next_request().unwrap();
    register.refuse(Status::new(Code::Unknown, "invalid plugin name: taken"));
    let text = starting.join().unwrap().unwrap_err().to_string();
    assert_eq!(text, "the runtime refused the registration: invalid plugin name: taken");
}

/// What is wrong before there is a connection.
#[test]
fn what_cannot_start() {
    struct Nothing;
    #[nri_plugin::plugin]
    impl Plugin for Nothing {
        fn shutdown(&self) {}
    }
    assert!(matches!(builder().run(Nothing), Err(RunError::NoHandlers)));
    let one = EventMask::NONE.with(Event::StopContainer);
    assert!(matches!(builder().events(one).run(Probe::default()), Err(RunError::Unhandled(_))));
    let error = Builder::new().name("a b").index("10").run(Probe::default()).unwrap_err();
    assert_eq!(error.to_string(), "invalid plugin name \"a b\": contains invalid character ' '");
    let never = builder().socket("/nonexistent/nri.sock").reconnect(Reconnect::Never);
    let text = never.run(Probe::default()).unwrap_err().to_string();
    assert!(text.starts_with("failed to connect to the runtime at /nonexistent/nri.sock: "), "{text}");
}

/// The mask that a plugin with and without new events answers to this runtime.
fn subscribed(plugin: impl Plugin, runtime: &ConfigureRequest) -> Result<EventMask, Status> {
    let (theirs, ours) = UnixStream::pair().unwrap();
    let running = std::thread::spawn(move || builder().stream(theirs).run(plugin));
    let host = Host::new(ours);
    host.registered();
    let answer = host.call::<service::Configure>(runtime.clone());
    host.peer.close("test");
    let _ = running.join().unwrap();
    answer.map(|answer| events(&answer))
}

/// C12, F10: the subscription is cut to what the runtime is known to know.
#[test]
fn events_are_cut_by_version() {
    let runtime = |name: &str, version: &str, nri: &str| ConfigureRequest {
        runtime_name: name.to_owned(),
        runtime_version: version.to_owned(),
        nri_version: nri.to_owned(),
        ..ConfigureRequest::default()
    };
    let (old, new) = ("RunPodSandbox,CreateContainer", "RunPodSandbox,CreateContainer,UpdatePodSandbox");
    for (runtime, expect) in [
        (runtime("containerd", "v1.7.30", ""), old),
        (runtime("containerd", "v2.2.0", ""), new),
        (runtime("cri-o", "v1.33.1", ""), old),
        (runtime("other", "v1", "v0.9.0"), old),
        (runtime("other", "v1", ""), new),
    ] {
        let events = subscribed(Probe::default(), &runtime).unwrap();
        assert_eq!(events.to_string(), expect, "{runtime:?}");
    }
    // Nothing left would mean everything (`spec/wire.md` 5.2).
    let status = subscribed(Judge, &runtime("containerd", "v1.7.30", "")).unwrap_err();
    assert_eq!(status.code, Code::FailedPrecondition);
    assert!(status.message.ends_with("knows none of the events ValidateContainerAdjustment"), "{status}");
}

/// Accepts the plugin's next connection.
fn accept(listener: &UnixListener) -> Host {
    Host::new(listener.accept().unwrap().0)
}

fn quick() -> Reconnect {
    Reconnect::backoff(Duration::from_millis(1), Duration::from_millis(20))
}

fn listener() -> (tempfile::TempDir, UnixListener, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nri.sock");
    let listener = UnixListener::bind(&path).unwrap();
    (folder, listener, path)
}

/// C12: a runtime that closes on seeing new events is asked again without them, at once.
#[test]
fn events_are_cut_on_refusal() {
    let (_folder, listener, path) = listener();
    let (said, notices) = channel();
    let builder = builder().socket(path).on_notice(move |notice| said.send(notice.to_string()).unwrap());
    let session = builder.session();
    let running = std::thread::spawn(move || builder.run(Probe::default()));
    let unknown = ConfigureRequest { runtime_name: "other".to_owned(), ..ConfigureRequest::default() };

    let host = accept(&listener);
    host.registered();
    let first = host.call::<service::Configure>(unknown.clone()).unwrap();
    assert!(events(&first).contains(Event::UpdatePodSandbox));
    host.peer.close("invalid plugin events");

    let host = accept(&listener);
    host.registered();
    let second = host.call::<service::Configure>(unknown).unwrap();
    assert_eq!(events(&second).to_string(), "RunPodSandbox,CreateContainer");
    assert!(
        notices
            .iter()
            .any(|n| n == "the runtime does not know all events; going on without UpdatePodSandbox")
    );
    session.stop();
    running.join().unwrap().unwrap();
}

/// F2, EXT-039: a start that failed says nothing about the next.
#[test]
fn a_start_after_a_failed_one() {
    let (_folder, listener, path) = listener();
    let again = path.clone();
    let first = std::thread::spawn(move || builder().socket(path).start(Probe::default()).map(|_| ()));
    drop(listener.accept().unwrap());
    first.join().unwrap().unwrap_err();
    let second = std::thread::spawn(move || builder().socket(again).start(Probe::default()));
    let host = accept(&listener);
    host.configure();
    let running = second.join().unwrap().unwrap();
    running.session().stop();
    running.wait().unwrap();
}

/// F3: connects again after a loss, and not after a stop. The session stays the same.
#[test]
fn reconnects_until_stopped() {
    let (_folder, listener, path) = listener();
    let builder = builder().socket(path).reconnect(quick());
    let session = builder.session();
    let running = std::thread::spawn(move || builder.run(Probe::default()));
    for round in 0..3 {
        let host = accept(&listener);
        host.configure();
        host.call::<service::Synchronize>(SynchronizeRequest::default()).unwrap();
        session.update_containers(Update::new("a").cpu_shares(round + 2), PATIENCE).unwrap();
        host.updated();
        host.peer.close("test");
    }
    let host = accept(&listener);
    host.configure();
    session.stop();
    running.join().unwrap().unwrap();
    listener.set_nonblocking(true).unwrap();
    listener.accept().unwrap_err();
}

/// A stop also ends the wait for a runtime that is not there.
#[test]
fn a_stop_ends_the_wait() {
    let (said, notices) = channel();
    let long = Duration::from_secs(3600);
    let builder = builder()
        .socket("/nonexistent/nri.sock")
        .reconnect(Reconnect::backoff(long, long))
        .on_notice(move |notice| said.send(notice.to_string()).unwrap());
    let session = builder.session();
    let running = std::thread::spawn(move || builder.run(Probe::default()));
    let notice = notices.recv_timeout(PATIENCE).unwrap();
    assert!(
        notice.starts_with("no runtime listens: ") && notice.ends_with("next attempt in 3600s"),
        "{notice}"
    );
    session.stop();
    running.join().unwrap().unwrap();
}

/// F9: an orderly close is no error; Shutdown is told, and nobody reconnects after it.
#[test]
fn orderly_ends() {
    let (running, host) = started(builder(), Probe::default());
    host.call::<service::Synchronize>(SynchronizeRequest::default()).unwrap();
    host.peer.close("test");
    running.wait().unwrap();

    let (_folder, listener, path) = listener();
    let (saw, seen) = channel();
    let builder = builder().socket(path).reconnect(quick());
    let running = std::thread::spawn(move || builder.run(Probe { saw: Some(saw), ..Probe::default() }));
    let host = accept(&listener);
    host.configure();
    host.call::<service::Shutdown>(Empty {}).unwrap();
    host.peer.close("test");
    running.join().unwrap().unwrap();
    assert!(told(&seen, "shutdown"));
}

fn told(seen: &Receiver<String>, text: &str) -> bool {
    seen.iter().any(|line| line == text)
}

/// `spec/wire.md` 5.3: parts are collected, and handled once, with the last.
#[test]
fn synchronize_in_parts() {
    let (saw, seen) = channel();
    let (running, host) = started(builder(), Probe { saw: Some(saw), ..Probe::default() });
    for round in 0..2 {
        for more in [true, true, false] {
            let request =
                SynchronizeRequest { pods: vec![pod()], containers: vec![container(), container()], more };
            let answer = host.call::<service::Synchronize>(request).unwrap();
            assert_eq!((answer.more, answer.update.is_empty()), (more, more), "round {round}");
        }
    }
    running.session().stop();
    running.wait().unwrap();
    let lines: Vec<String> = seen.iter().collect();
    assert_eq!(lines[1..], ["3 pods, 6 containers", "3 pods, 6 containers"]);
}

/// F11: one handler at a time unless told otherwise; then as many as told.
#[test]
fn concurrency() {
    struct Meeting(std::sync::Barrier);
    #[nri_plugin::plugin]
    impl Plugin for Meeting {
        fn run_pod_sandbox(&self, _: &RunPodSandbox) -> Result {
            self.0.wait();
            Ok(())
        }
    }
    let (running, host) = started(builder().concurrency(3), Meeting(std::sync::Barrier::new(3)));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| call::<service::RunPodSandbox>(&host.peer, &Default::default()).unwrap());
        }
    });
    assert!(begun.elapsed() < PATIENCE);
    running.session().stop();
    running.wait().unwrap();
}

/// `design.md` 8: what the plugin may do, where the runtime tells; a plugin without a connection knows nothing.
#[test]
fn restrictions() {
    let builder = builder();
    let session = builder.session();
    assert_eq!(session.restrictions(), None);
    let (running, host) = started(builder, Judge);
    assert_eq!(session.restrictions().unwrap().level, "of 10-probe");
    host.peer.close("over");
    drop(running);
}
