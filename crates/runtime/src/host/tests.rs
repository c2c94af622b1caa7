//! The whole host over socket pairs, with plugins written out in the test.

mod engine;
mod launch;
mod restrictions;
mod unknown;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use nri_wire::api::{
    ConfigureResponse, Container, ContainerUpdate, CreateContainerRequest, PodSandbox, RegisterPluginRequest,
    SynchronizeResponse, UpdateContainersRequest, UpdateContainersResponse,
};
use nri_wire::api::{ContainerAdjustment, CreateContainerResponse, KeyValue};
use nri_wire::io::tokio::{CallError, Peer, Requests, Role};
use nri_wire::service;
use nri_wire::ttrpc::Code;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::*;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

fn pod() -> PodSandbox {
    PodSandbox { id: "p1".into(), ..Default::default() }
}

fn container(id: &str) -> Container {
    Container { id: id.into(), pod_sandbox_id: "p1".into(), ..Default::default() }
}

fn creation(id: &str) -> CreateContainerRequest {
    CreateContainerRequest { pod: Some(pod()), container: Some(container(id)) }
}

async fn host(config: Config) -> Host {
    Host::start(config, NoEmbedder).await.unwrap()
}

/// The plugin's end of a new connection.
fn connect(host: &Host) -> (Peer, Requests) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    host.connect(ours);
    Peer::start(theirs, Role::Plugin)
}

async fn register(peer: &Peer, name: &str) -> Result<(), CallError<service::RegisterPlugin>> {
    let (index, base) = name.split_once('-').unwrap();
    let request = RegisterPluginRequest {
        plugin_name: base.into(),
        plugin_idx: index.into(),
        nri_version: "v0.12.5".into(),
    };
    peer.call::<service::RegisterPlugin>(&request, soon()).await.map(|_| ())
}

/// What a scripted plugin does with CreateContainer.
#[derive(Clone, Copy)]
enum Behaviour {
    Env(&'static str, &'static str),
    Refuse(&'static str),
    Silent,
}

/// An active plugin, subscribed to these events; counts the requests that it gets.
async fn plugin(
    host: &Host,
    name: &str,
    events: i32,
    behaviour: Behaviour,
) -> (Peer, Arc<Mutex<Vec<String>>>) {
    let count = host.active() + 1;
    let (peer, requests) = connect(host);
    let seen = Arc::<Mutex<Vec<String>>>::default();
    tokio::spawn(serve(requests, events, behaviour, Arc::clone(&seen)));
    register(&peer, name).await.unwrap();
    assert!(host.wait_active(count, soon()).await);
    (peer, seen)
}

async fn serve(mut requests: Requests, events: i32, behaviour: Behaviour, seen: Arc<Mutex<Vec<String>>>) {
    let mut kept = Vec::new();
    while let Some(request) = requests.next().await {
        seen.lock().unwrap().push(request.method().to_owned());
        match (request.method(), behaviour) {
            ("Configure", _) => {
                request.answer::<service::Configure>(Ok(ConfigureResponse { events, failure_policy: None }));
            }
            ("Synchronize", _) => {
                let more = request.decode::<service::Synchronize>().unwrap().message.more;
                request.answer::<service::Synchronize>(Ok(SynchronizeResponse { more, update: Vec::new() }));
            }
            ("CreateContainer", Behaviour::Env(key, value)) => {
                let env = vec![KeyValue { key: key.into(), value: value.into() }];
                let adjust = Some(ContainerAdjustment { env, ..Default::default() });
                request.answer::<service::CreateContainer>(Ok(CreateContainerResponse {
                    adjust,
                    ..Default::default()
                }));
            }
            ("CreateContainer", Behaviour::Refuse(why)) => request.refuse(Status::new(Code::Unknown, why)),
            ("CreateContainer", Behaviour::Silent) => kept.push(request),
            ("Shutdown", _) => request.answer::<service::Shutdown>(Ok(Default::default())),
            ("StateChange", _) => request.answer::<service::StateChange>(Ok(Default::default())),
            ("StartContainer", _) => {
                let status = Status::no_method("StartContainer");
                request.refuse(status);
            }
            _ => drop(request),
        }
    }
}

use nri_wire::ttrpc::Status;

const CREATE: i32 = 0x8;
const START: i32 = 0x20;

#[tokio::test]
async fn two_plugins_adjust_one_container() {
    let host = host(Config::default()).await;
    let (_b, _) = plugin(&host, "20-b", CREATE, Behaviour::Env("B", "2")).await;
    let (_a, seen) = plugin(&host, "10-a", CREATE | START, Behaviour::Env("A", "1")).await;
    let created = host.create_container(creation("c1"), soon()).await.unwrap();
    let env: Vec<_> = created.merged.adjust.env.iter().map(|e| e.key.as_str()).collect();
    assert_eq!(env, ["A", "B"]);
    let told = host.start_container(pod(), container("c1"), soon()).await.unwrap();
    assert_eq!(told.plugins.len(), 1);
    assert_eq!(
        *seen.lock().unwrap(),
        ["Configure", "Synchronize", "CreateContainer", "StartContainer", "StateChange"]
    );
    let (plugins, totals) = host.status().await;
    assert_eq!(plugins.iter().map(|p| p.name.full()).collect::<Vec<_>>(), ["10-a", "20-b"]);
    assert_eq!((plugins[0].tally.answers, totals.joined), (2, 2));
    host.shutdown().await;
    assert_eq!(seen.lock().unwrap().last().unwrap(), "Shutdown");
}

#[tokio::test]
async fn a_conflict_and_a_veto_are_told_apart() {
    let host = host(Config::default()).await;
    let (a, _) = plugin(&host, "10-a", CREATE, Behaviour::Env("FOO", "1")).await;
    let (b, _) = plugin(&host, "20-b", CREATE, Behaviour::Env("FOO", "2")).await;
    let failure = host.create_container(creation("c1"), soon()).await.unwrap_err();
    assert!(matches!(failure.cause, Cause::Merge(_)), "{failure}");
    b.close("enough");
    while host.active() > 1 {
        tokio::task::yield_now().await;
    }
    let (_v, _) = plugin(&host, "30-v", CREATE, Behaviour::Refuse("no")).await;
    let failure = host.create_container(creation("c1"), soon()).await.unwrap_err();
    assert!(matches!(failure.cause, Cause::Veto { .. }), "{failure}");
    assert!(!a.is_closed());
}

/// EXT-014: the time-out is the plugin's own; the answer leaves before the caller's deadline.
#[tokio::test]
async fn a_silent_plugin_is_late() {
    let config = Config { request_timeout: Duration::from_millis(100), ..Config::default() };
    let host = host(config).await;
    let (_a, _) = plugin(&host, "10-a", CREATE, Behaviour::Silent).await;
    let created = host.create_container(creation("c1"), soon()).await.unwrap();
    assert_eq!(created.plugins[0].outcome, Outcome::Late);
    let start = Instant::now();
    let created = host.create_container(creation("c2"), soon()).await.unwrap();
    assert_eq!(created.plugins[0].outcome, Outcome::Late);
    assert!(start.elapsed() < Duration::from_millis(90), "skipped at once");
}

/// EXT-019: who drops the future has cancelled the request.
#[tokio::test]
async fn a_dropped_future_cancels() {
    let host = host(Config::default()).await;
    let (a, seen) = plugin(&host, "10-a", CREATE, Behaviour::Silent).await;
    let future = host.create_container(creation("c1"), soon());
    assert!(tokio::time::timeout(Duration::from_millis(50), future).await.is_err());
    assert_eq!(seen.lock().unwrap().len(), 3);
    assert!(!a.is_closed());
    assert_eq!(host.status().await.0[0].tally.lates, 0);
}

/// A7: refused, answered, closed. A3, EXT-036. A2, EXT-035.
#[tokio::test]
async fn registration_is_checked() {
    let host = host(Config { reserved: ["kept".to_owned()].into(), ..Config::default() }).await;
    for (name, code, text) in [
        ("10-foo,bar", Code::Unknown, "invalid plugin name"),
        ("10-kept", Code::PermissionDenied, "the name 10-kept is reserved"),
    ] {
        let (bad, _requests) = connect(&host);
        let Err(CallError::Status(status)) = register(&bad, name).await else {
            panic!("not refused: {name}")
        };
        assert!(status.code == code && status.message.starts_with(text), "{status}");
        bad.closed().await;
    }

    let ask = UpdateContainersRequest::default();
    let (early, _requests) = connect(&host);
    match early.call::<service::UpdateContainers>(&ask, soon()).await {
        Err(CallError::Status(status)) => assert_eq!(status.code, Code::FailedPrecondition),
        other => panic!("{other:?}"),
    }

    let (peer, _) = plugin(&host, "10-a", CREATE, Behaviour::Silent).await;
    match register(&peer, "20-b").await {
        Err(CallError::Status(status)) => assert_eq!(status.code, Code::AlreadyExists),
        other => panic!("{other:?}"),
    }
    assert!(!peer.is_closed());
}

/// CONF-225: unsolicited updates reach the embedding runtime, and what failed comes back.
#[tokio::test]
async fn unsolicited_updates_are_applied() {
    struct Runtime(Arc<Mutex<Vec<String>>>);
    impl Embedder for Runtime {
        fn update<'a>(
            &'a self,
            asking: Asking<'a>,
            updates: Vec<ContainerUpdate>,
        ) -> Callback<'a, Vec<ContainerUpdate>> {
            Box::pin(async move {
                tokio::task::yield_now().await;
                let mut seen = self.0.lock().unwrap();
                seen.extend(
                    updates.iter().map(|update| format!("{} {}", asking.plugin, update.container_id)),
                );
                updates.into_iter().filter(|update| update.container_id == "gone").collect()
            })
        }
    }
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let host = Host::start(Config::default(), Runtime(Arc::clone(&seen))).await.unwrap();
    let (peer, _) = plugin(&host, "10-a", CREATE, Behaviour::Silent).await;
    let update =
        ["c1", "gone"].map(|id| ContainerUpdate { container_id: id.into(), ..Default::default() }).to_vec();
    let request = UpdateContainersRequest { update, evict: Vec::new() };
    let UpdateContainersResponse { failed } =
        peer.call::<service::UpdateContainers>(&request, soon()).await.unwrap().message;
    assert_eq!(failed.len(), 1);
    assert_eq!(*seen.lock().unwrap(), ["10-a c1", "10-a gone"]);
}

/// A6 and the other ends that a peer brings on itself: its own connection closes, nothing else does.
#[tokio::test]
async fn hostile_bytes_end_their_own_connection() {
    let host = host(Config::default()).await;
    let (_a, _) = plugin(&host, "10-a", CREATE, Behaviour::Env("A", "1")).await;
    let frame = |payload: &[u8]| {
        let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[0, 0, 0, 2], &len[..], payload].concat()
    };
    // A request with an even stream id, which is answered; 64 such errors are tolerated.
    let even = frame(&[0, 0, 0, 0, 0, 0, 0, 2, 1, 0]);
    for (bytes, ends) in [
        (vec![0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff], true),
        (even.repeat(65), true),
        (even.repeat(64), false),
        (frame(&[0xff; 10]), false),
        (frame(&[]), false),
    ] {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        host.connect(ours);
        theirs.write_all(&bytes).await.unwrap();
        let mut answers = Vec::new();
        let end = tokio::time::timeout(Duration::from_millis(300), theirs.read_to_end(&mut answers)).await;
        assert_eq!(end.is_ok(), ends, "{:x?}", &bytes[..bytes.len().min(16)]);
        let created = host.create_container(creation("c1"), soon()).await.unwrap();
        assert_eq!(created.plugins[0].outcome, Outcome::Answer);
    }
}

/// Before it has registered, a peer may not send more than 64 KiB at once; the connection survives.
#[tokio::test]
async fn strangers_must_be_brief() {
    let host = host(Config::default()).await;
    let (peer, _requests) = connect(&host);
    let plugin_name = "x".repeat(100_000);
    let request = RegisterPluginRequest { plugin_name, plugin_idx: "10".into(), ..Default::default() };
    match peer.call::<service::RegisterPlugin>(&request, soon()).await {
        Err(CallError::Status(status)) => assert_eq!(status.code, Code::ResourceExhausted),
        other => panic!("{other:?}"),
    }
    assert!(!peer.is_closed());
}

/// An answer over the scanner's caps ends the connection: the plugin is gone, the request goes on. One that is merely
/// invalid (here: a text that is no UTF-8) fails the request, and the plugin stays (quirk C14).
#[tokio::test]
async fn unusable_answers() {
    // The huge one takes its time to be written by a debug build.
    let minute = Duration::from_secs(60);
    let host = host(Config { request_timeout: minute, ..Config::default() }).await;
    let mut peers = Vec::new();
    for (name, elements, appendix) in
        [("10-huge", 250_000, &[][..]), ("20-garbled", 0, &[0x1a, 0x03, 0x0a, 0x01, 0xff][..])]
    {
        let (peer, mut requests) = connect(&host);
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                match request.method() {
                    "Configure" => {
                        let answer = ConfigureResponse { events: CREATE, failure_policy: None };
                        request.answer::<service::Configure>(Ok(answer));
                    }
                    "CreateContainer" => {
                        let update = vec![ContainerUpdate::default(); elements];
                        let answer = CreateContainerResponse { update, ..Default::default() };
                        request.answer_with::<service::CreateContainer>(Ok(answer), appendix);
                    }
                    _ => request.answer::<service::Synchronize>(Ok(SynchronizeResponse::default())),
                }
            }
        });
        register(&peer, name).await.unwrap();
        peers.push(peer);
    }
    assert!(host.wait_active(2, soon()).await);
    let failure = host.create_container(creation("c1"), Instant::now() + 2 * minute).await.unwrap_err();
    assert_eq!(failure.plugins[0].outcome, Outcome::Gone);
    match failure.cause {
        Cause::Invalid { plugin, reason } => {
            assert_eq!(plugin.full(), "20-garbled");
            assert!(reason.contains("UTF-8"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    peers[0].closed().await;
    assert!(!peers[1].is_closed());
}

/// A8: silent connections delay nobody; their process has 64 of them at most.
#[tokio::test]
async fn silent_connections_delay_nobody() {
    let host = host(Config::default()).await;
    let silent: Vec<_> = (0..64).map(|_| connect(&host)).collect();
    let (_a, _) = plugin(&host, "10-a", CREATE, Behaviour::Env("A", "1")).await;
    silent[0].0.closed().await;
    let more = [connect(&host), connect(&host)];
    silent[1].0.closed().await;
    assert!(more.iter().chain(&silent[2..]).all(|(peer, _)| !peer.is_closed()));
}

/// A1, A9: plugins that connect by themselves. The socket goes with the host.
#[tokio::test]
async fn plugins_connect_to_the_socket() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("nri.sock");
    let host = host(Config { listen: vec![path.clone().into()], ..Config::default() }).await;
    let (peer, requests) = Peer::start(UnixStream::connect(&path).await.unwrap(), Role::Plugin);
    tokio::spawn(serve(requests, CREATE, Behaviour::Env("A", "1"), Arc::default()));
    register(&peer, "10-a").await.unwrap();
    assert!(host.wait_active(1, soon()).await);
    let (plugins, _) = host.status().await;
    assert_eq!(plugins[0].pid, Some(std::process::id()));
    host.shutdown().await;
    assert!(!path.exists());
    peer.closed().await;
}

/// The whole host ends with its last handle.
#[tokio::test]
async fn a_forsaken_host_ends() {
    let host = host(Config::default()).await;
    let (peer, seen) = plugin(&host, "10-a", CREATE, Behaviour::Silent).await;
    drop(host);
    peer.closed().await;
    assert_eq!(seen.lock().unwrap().last().unwrap(), "Shutdown");
}

/// Upgrade of a plugin while containers are created: each reaches one of its two processes, which are this one here; the
/// old one is told to go.
#[tokio::test]
async fn a_newer_process_takes_over() {
    let host = host(Config::default()).await;
    let (old, by_old) = plugin(&host, "10-a", CREATE, Behaviour::Env("A", "old")).await;
    let (new, requests) = connect(&host);
    let by_new = Arc::<Mutex<Vec<String>>>::default();
    let creations = async {
        for number in 0..100 {
            let created = host.create_container(creation(&format!("c{number}")), soon()).await.unwrap();
            assert_eq!(created.merged.adjust.env.len(), 1);
        }
    };
    let upgrade = async {
        tokio::spawn(serve(requests, CREATE, Behaviour::Env("A", "new"), Arc::clone(&by_new)));
        register(&new, "10-a").await.unwrap();
        tokio::time::timeout_at(soon(), old.closed()).await.unwrap();
    };
    tokio::join!(creations, upgrade);
    host.create_container(creation("last"), soon()).await.unwrap();
    let (by_old, by_new) = (by_old.lock().unwrap().clone(), by_new.lock().unwrap().clone());
    let creations = |seen: &[String]| seen.iter().filter(|method| *method == "CreateContainer").count();
    assert_eq!(creations(&by_old) + creations(&by_new), 101);
    assert_eq!(
        (by_old.last().map(String::as_str), by_new.last().map(String::as_str)),
        (Some("Shutdown"), Some("CreateContainer"))
    );
    assert_eq!(host.status().await.0.len(), 1);
}

/// A connection whose process has ended is closed, though another process holds it (`policy.md` 2).
#[tokio::test]
async fn a_connection_ends_with_the_process_that_made_it() {
    let root = tempfile::tempdir().unwrap();
    let socket = root.path().join("s");
    let minute = Duration::from_secs(60);
    let config =
        Config { listen: vec![socket.clone().into()], registration_timeout: minute, ..Config::default() };
    let host = host(config).await;
    let ended = tokio::task::spawn_blocking(move || {
        std::io::Read::read_to_end(&mut super::identity::heir(&socket), &mut Vec::new()).unwrap()
    });
    tokio::time::timeout(minute / 6, ended).await.unwrap().unwrap();
    host.shutdown().await;
}

/// A plugin that connects is known by what the kernel says of it: this process is its own plugin here.
#[tokio::test]
async fn plugins_are_identified() {
    let host = host(Config::default()).await;
    plugin(&host, "10-a", 1, Behaviour::Silent).await;
    let identified = async {
        loop {
            let (plugins, _) = host.status().await;
            match &plugins[0].identity {
                Identity { sha256: None, .. } => tokio::task::yield_now().await,
                identity => break (identity.clone(), plugins[0].pid),
            }
        }
    };
    let (identity, pid) = tokio::time::timeout_at(soon(), identified).await.unwrap();
    assert_eq!(pid, Some(std::process::id()));
    assert_eq!(identity.exe, std::fs::read_link("/proc/self/exe").ok());
    assert_eq!((identity.launched, identity.assurance()), (false, Assurance::Medium));
}

/// The start fails with nothing left behind.
#[tokio::test]
async fn a_start_that_cannot_be() {
    let root = tempfile::tempdir().unwrap();
    let (socket, file) = (root.path().join("s"), root.path().join("file"));
    std::fs::write(&file, "").unwrap();
    let config = Config { listen: vec![socket.clone().into(), file.join("s").into()], ..Config::default() };
    assert!(matches!(Host::start(config, NoEmbedder).await, Err(StartError::Listen(_))));
    assert!(!socket.exists());
    let config = Config { plugin_dir: Some(file), ..Config::default() };
    assert!(matches!(Host::start(config, NoEmbedder).await, Err(StartError::PluginDir(..))));
}
