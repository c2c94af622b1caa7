//! Both drivers against each other, over real sockets.

#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is the failure report")]

use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use driver::Role;
use nri_wire::api::{
    ConfigureRequest, ConfigureResponse, Container, CreateContainerRequest, CreateContainerResponse, Empty,
    RegisterPluginRequest, StateChangeEvent, SynchronizeRequest, SynchronizeResponse,
    UpdateContainersRequest, UpdateContainersResponse,
};
use nri_wire::connection::Closed;
use nri_wire::io::{CallError, Direction, Part, Trace, Traced, blocking, tokio as driver};
use nri_wire::service::{
    Configure, CreateContainer, RegisterPlugin, Rpc, Shutdown, StateChange, Synchronize, UpdateContainers,
};
use nri_wire::ttrpc::{Code, Status};

/// Far enough for any machine; no test waits for it.
const LONG: Duration = Duration::from_secs(60);

fn soon() -> tokio::time::Instant {
    tokio::time::Instant::now() + LONG
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn host(stream: UnixStream) -> (driver::Peer, driver::Requests) {
    stream.set_nonblocking(true).unwrap();
    driver::Peer::start(tokio::net::UnixStream::from_std(stream).unwrap(), Role::Runtime)
}

/// A plugin that serves in a thread until the connection ends, and then says why it did.
fn plugin(
    stream: UnixStream,
    serve: impl Fn(&blocking::Peer, blocking::Request) + Send + 'static,
) -> thread::JoinHandle<Closed> {
    thread::spawn(move || {
        let peer = blocking::Peer::new(stream, Role::Plugin);
        loop {
            match peer.next_request() {
                Ok(request) => serve(&peer, request),
                Err(closed) => return closed,
            }
        }
    })
}

/// EXT-009, EXT-006, EXT-008, quirk C6: registration with Configure before its answer, unknown methods, an empty answer,
/// an answer that is too long.
#[test]
fn a_life() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let served = thread::spawn(move || {
        let peer = blocking::Peer::new(theirs, Role::Plugin);
        let request =
            RegisterPluginRequest { plugin_name: "p".into(), plugin_idx: "10".into(), ..Default::default() };
        let reply = peer.call::<RegisterPlugin>(&request, Instant::now() + LONG).unwrap();
        assert_eq!(reply.message, Empty {});
        loop {
            let request = match peer.next_request() {
                Ok(request) => request,
                Err(closed) => return closed,
            };
            match request.method() {
                "Configure" => {
                    let config = request.decode::<Configure>().unwrap().message.config;
                    let events = i32::try_from(config.len()).unwrap();
                    request.answer::<Configure>(Ok(ConfigureResponse { events, ..Default::default() }));
                }
                "Synchronize" => {
                    let update = vec![nri_wire::api::ContainerUpdate {
                        container_id: "x".repeat(5 << 20),
                        ..Default::default()
                    }];
                    request.answer::<Synchronize>(Ok(SynchronizeResponse { update, more: false }));
                }
                "Shutdown" => drop(request),
                "CreateContainer" => {
                    // A handler may call the runtime.
                    let update = UpdateContainersRequest::default();
                    let failed =
                        peer.call::<UpdateContainers>(&update, Instant::now() + LONG).unwrap().message.failed;
                    assert!(failed.is_empty());
                    request.answer::<CreateContainer>(Ok(CreateContainerResponse::default()));
                }
                method => {
                    let status = Status::no_method(method);
                    request.refuse(status);
                }
            }
        }
    });
    run(async {
        let (peer, mut requests) = host(ours);
        let register = requests.next().await.unwrap();
        assert_eq!((register.service(), register.method()), (RegisterPlugin::SERVICE, "RegisterPlugin"));
        assert!(register.timeout().unwrap() > LONG / 2);
        assert_eq!(register.decode::<RegisterPlugin>().unwrap().message.plugin_idx, "10");
        peer.admit();
        let configure = ConfigureRequest { config: "c".repeat(100_000), ..Default::default() };
        let (configured, ()) = tokio::join!(peer.call::<Configure>(&configure, soon()), async {
            tokio::task::yield_now().await;
            register.answer::<RegisterPlugin>(Ok(Empty {}));
        });
        assert_eq!(configured.unwrap().message.events, 100_000);
        match peer.call::<StateChange>(&StateChangeEvent::default(), soon()).await {
            Err(CallError::Status(status)) => assert!(status.is_unknown_method(), "{status}"),
            other => panic!("{other:?}"),
        }
        match peer.call::<Synchronize>(&SynchronizeRequest::default(), soon()).await {
            Err(CallError::Status(status)) => assert_eq!(status.code, Code::ResourceExhausted),
            other => panic!("{other:?}"),
        }
        match peer.call::<Shutdown>(&Empty {}, soon()).await {
            Err(CallError::Status(status)) => assert_eq!(status.code, Code::Internal),
            other => panic!("{other:?}"),
        }
        let create = CreateContainerRequest::default();
        let (created, ()) = tokio::join!(peer.call::<CreateContainer>(&create, soon()), async {
            let update = requests.next().await.unwrap();
            update.answer::<UpdateContainers>(Ok(UpdateContainersResponse::default()));
        });
        created.unwrap();
        peer.close("test");
        assert_eq!(peer.closed().await, Closed::local("test"));
        assert!(requests.next().await.is_none());
        assert!(matches!(peer.call::<Shutdown>(&Empty {}, soon()).await, Err(CallError::Closed(_))));
    });
    assert_eq!(served.join().unwrap(), Closed::ByPeer);
}

/// Quirk B1: a peer that does not read costs the caller its deadline and nothing else; the answer can still be had.
#[test]
fn a_peer_that_does_not_read_is_late() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    run(async {
        let (peer, _requests) = host(ours);
        peer.admit();
        let request = CreateContainerRequest {
            container: Some(Container { id: "x".repeat(3 << 20), ..Default::default() }),
            ..Default::default()
        };
        let deadline = tokio::time::Instant::now() + Duration::from_millis(20);
        let late = match peer.call::<CreateContainer>(&request, deadline).await {
            Err(CallError::Late(late)) => late,
            other => panic!("{other:?}"),
        };
        // With room for more, others are not held up: they are late at their own deadlines.
        let second = peer.call::<Shutdown>(&Empty {}, tokio::time::Instant::now()).await;
        assert!(matches!(second, Err(CallError::Late(_))));
        let served = plugin(theirs, |_, request| {
            request.answer::<CreateContainer>(Ok(CreateContainerResponse::default()));
        });
        assert_eq!(late.wait().await.unwrap().message, CreateContainerResponse::default());
        peer.close("done");
        peer.closed().await;
        served.join().unwrap();
    });
}

/// The blocking driver gives a peer up that does not read until the deadline.
#[test]
fn blocking_writes_end_at_the_deadline() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let peer = blocking::Peer::new(ours, Role::Plugin);
    let request = UpdateContainersRequest {
        update: vec![nri_wire::api::ContainerUpdate {
            container_id: "x".repeat(3 << 20),
            ..Default::default()
        }],
        ..Default::default()
    };
    let result = peer.call::<UpdateContainers>(&request, Instant::now() + Duration::from_millis(20));
    assert!(matches!(result, Err(CallError::Closed(Closed::NotReading))), "{result:?}");
}

/// Quirk C9: what was sent before the end is handed out before the end is told.
#[test]
fn nothing_is_lost_at_the_end() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    run(async {
        let (peer, mut requests) = host(ours);
        let sender = blocking::Peer::new(theirs, Role::Plugin);
        for index in 0..32 {
            let request = RegisterPluginRequest { plugin_idx: index.to_string(), ..Default::default() };
            let call = sender.call::<RegisterPlugin>(&request, Instant::now());
            assert!(matches!(call, Err(CallError::Late(_))));
        }
        sender.close("gone");
        for index in 0..32 {
            let request = requests.next().await.unwrap();
            assert_eq!(request.decode::<RegisterPlugin>().unwrap().message.plugin_idx, index.to_string());
            request.answer::<RegisterPlugin>(Ok(Empty {}));
        }
        assert!(requests.next().await.is_none());
        assert_eq!(peer.closed().await, Closed::ByPeer);
    });
}

/// Several threads wait for requests; one of them reads, all of them serve.
#[test]
fn threads_share_the_reading() {
    const THREADS: usize = 4;
    let (ours, theirs) = UnixStream::pair().unwrap();
    let peer = blocking::Peer::new(theirs, Role::Plugin);
    let meeting = Arc::new(std::sync::Barrier::new(THREADS));
    let workers: Vec<_> = (0..THREADS)
        .map(|_| {
            let (peer, meeting) = (peer.clone(), Arc::clone(&meeting));
            thread::spawn(move || {
                while let Ok(request) = peer.next_request() {
                    // All four must be in handlers at once to get on.
                    meeting.wait();
                    request.answer::<Shutdown>(Ok(Empty {}));
                }
            })
        })
        .collect();
    run(async {
        let (host, _requests) = host(ours);
        for _ in 0..50 {
            let call = || host.call::<Shutdown>(&Empty {}, soon());
            let (a, b, c, d) = tokio::join!(call(), call(), call(), call());
            assert!(a.is_ok() && b.is_ok() && c.is_ok() && d.is_ok());
        }
        host.close("done");
    });
    for worker in workers {
        worker.join().unwrap();
    }
}

/// A trace sees both directions, requests, responses and failures.
#[test]
fn a_trace_sees_everything() {
    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);
    impl Trace for Lines {
        fn message(&self, message: &Traced<'_>) {
            let part = match message.part {
                Part::Request(bytes) => format!("request {}", bytes.len()),
                Part::Response(bytes) => format!("response {}", bytes.len()),
                Part::Failure(status) => format!("failure {status}"),
            };
            let arrow = if message.direction == Direction::Out { ">" } else { "<" };
            self.0.lock().unwrap().push(format!("{arrow} {} {part}", message.method));
        }
    }
    let (ours, theirs) = UnixStream::pair().unwrap();
    let lines = Arc::new(Lines::default());
    let trace: Arc<dyn Trace> = Arc::<Lines>::clone(&lines);
    let served = thread::spawn(move || {
        let peer = blocking::Peer::with_trace(theirs, Role::Plugin, Some(trace));
        let request = peer.next_request().unwrap();
        request.answer::<Configure>(Ok(ConfigureResponse { events: 3, ..Default::default() }));
        peer.next_request().unwrap().refuse(Status::new(Code::Unknown, "no"));
        let empty = UpdateContainersRequest::default();
        peer.call::<UpdateContainers>(&empty, Instant::now() + LONG).unwrap();
    });
    run(async {
        let (peer, mut requests) = host(ours);
        let configure = ConfigureRequest { config: "abc".into(), ..Default::default() };
        peer.call::<Configure>(&configure, soon()).await.unwrap();
        assert!(peer.call::<Shutdown>(&Empty {}, soon()).await.is_err());
        requests.next().await.unwrap().answer::<UpdateContainers>(Ok(UpdateContainersResponse::default()));
    });
    served.join().unwrap();
    let expect = [
        "< Configure request 5",
        "> Configure response 2",
        "< Shutdown request 0",
        "> Shutdown failure no (Unknown)",
        "> UpdateContainers request 0",
        "< UpdateContainers response 0",
    ];
    assert_eq!(*lines.0.lock().unwrap(), expect);
}
