//! Peers at the plugins' socket that mean harm. Whatever they do, a container is created in time with what an honest
//! plugin adds, and neither the gateway's memory nor its log grows with their effort.

use std::path::PathBuf;
use std::time::Duration;

use nri_tests::fake_engine::{Client, container, pod};
use nri_tests::wait::PATIENCE;
use nri_wire::api::{
    ConfigureResponse, ContainerAdjustment, ContainerUpdate, CreateContainerResponse, KeyValue,
    RegisterPluginRequest, UpdateContainersRequest,
};
use nri_wire::event::{Event, EventMask, is_of_pod};
use nri_wire::io::tokio::{Peer, Requests, Role};
use nri_wire::service::{self, Rpc as _};
use nri_wire::ttrpc::{Code, Status};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use super::kit::{Bench, FakePlugin};
use super::plugins::shares;

/// The engine's own time-out: what it waits for an answer.
const IN_TIME: Duration = Duration::from_secs(2);
/// What a hostile peer may add to the gateway's memory, in KiB. An allocator does not give back at once what a few messages
/// of the greatest length took, decoded; what grows with their number would be gigabytes.
const MEMORY: u64 = 256 << 10;
/// What it may add to the log, in bytes.
const LOG: usize = 48 << 10;

/// A gateway with an honest plugin, before it is attacked.
struct Siege {
    bench: Bench,
    client: Client,
    _honest: JoinHandle<()>,
    memory: u64,
    log: usize,
    created: u32,
}

impl Siege {
    async fn lay(args: &[&str]) -> Self {
        let (bench, mut client) = Bench::ready(args).await;
        client.timeout = IN_TIME;
        let honest = FakePlugin::join(
            &bench.gateway.socket(),
            "50",
            "honest",
            EventMask::NONE.with(Event::CreateContainer),
        )
        .await;
        let honest = tokio::spawn(serve_honestly(honest));
        let mut siege = Self { bench, client, _honest: honest, memory: 0, log: 0, created: 0 };
        siege.stands("before").await;
        siege.memory = siege.bench.memory();
        siege.log = siege.bench.gateway.log().len();
        siege
    }

    fn socket(&self) -> PathBuf {
        self.bench.gateway.socket()
    }

    /// A container is created in time, with the honest plugin's part in it.
    async fn stands(&mut self, when: &str) {
        self.created += 1;
        let (p, c) = (pod("p1"), container(&format!("c{}", self.created), "p1"));
        let start = Instant::now();
        let answer = self.client.create(&p, &c).await;
        assert!(answer.is_ok(), "{when}: {answer:?}\n{}", self.tail());
        let keys: Vec<_> =
            answer.unwrap().adjust.unwrap_or_default().env.into_iter().map(|env| env.key).collect();
        assert!(keys.contains(&"HONEST".to_owned()), "{when}: {keys:?}\n{}", self.tail());
        assert!(start.elapsed() < IN_TIME, "{when}: {:?}", start.elapsed());
    }

    /// The same, and nothing has grown.
    async fn holds(&mut self, when: &str) {
        self.stands(when).await;
        let (memory, log) = (self.bench.memory(), self.bench.gateway.log().len());
        assert!(memory < self.memory + MEMORY, "{when}: memory {} -> {memory} KiB", self.memory);
        assert!(log < self.log + LOG, "{when}: log {} -> {log}\n{}", self.log, self.tail());
        assert!(self.bench.gateway.is_alive(), "{when}");
        assert!(!self.bench.gateway.log().contains("panicked"), "{when}");
    }

    fn tail(&self) -> String {
        let log = self.bench.gateway.log();
        log.lines().rev().take(20).collect::<Vec<_>>().join("\n")
    }
}

async fn serve_honestly(mut plugin: FakePlugin) {
    while let Some(request) = plugin.requests.next().await {
        let env = vec![KeyValue { key: "HONEST".into(), value: "1".into() }];
        let adjust = Some(ContainerAdjustment { env, ..ContainerAdjustment::default() });
        let answer = CreateContainerResponse { adjust, ..CreateContainerResponse::default() };
        request.answer::<service::CreateContainer>(Ok(answer));
    }
}

fn registration(index: &str, name: &str) -> RegisterPluginRequest {
    RegisterPluginRequest {
        plugin_name: name.into(),
        plugin_idx: index.into(),
        nri_version: "v0.12.5".into(),
    }
}

async fn connect(siege: &Siege) -> (Peer, Requests) {
    Peer::start(UnixStream::connect(siege.socket()).await.unwrap(), Role::Plugin)
}

/// A message of ttRPC in a frame of the connection on which the runtime serves.
fn frame(connection: u32, stream: u32, kind: u8, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap();
    let mut bytes = connection.to_be_bytes().to_vec();
    bytes.extend((len + 10).to_be_bytes());
    bytes.extend(len.to_be_bytes());
    bytes.extend(stream.to_be_bytes());
    bytes.extend([kind, 0]);
    bytes.extend_from_slice(payload);
    bytes
}

/// Connections that say nothing: those that the gateway takes end, the others are refused, and plugins can still join.
#[tokio::test]
async fn silent_connections() {
    let mut siege = Siege::lay(&[]).await;
    let mut silent = Vec::new();
    for _ in 0..1000 {
        silent.push(UnixStream::connect(siege.socket()).await.unwrap());
    }
    siege.holds("1000 silent connections").await;
    drop(silent);
    // It stays, and is asked for nothing that the test would have to answer.
    let events = EventMask::NONE.with(Event::RemovePodSandbox);
    let _afterwards = FakePlugin::join(&siege.socket(), "60", "afterwards", events).await;
    siege.holds("after 1000 silent connections").await;
}

#[tokio::test]
async fn connections_that_end_at_once() {
    let mut siege = Siege::lay(&[]).await;
    for number in 0..3000 {
        // The gateway may not have come round to accepting the last ones.
        while UnixStream::connect(siege.socket()).await.is_err() {
            sleep(Duration::from_millis(1)).await;
        }
        if number % 1000 == 500 {
            siege.stands("while connections end at once").await;
        }
    }
    siege.holds("3000 connections that ended at once").await;
}

/// Registers under names that nobody may have, and names that everybody may have, again and again.
#[tokio::test]
async fn names() {
    let mut siege = Siege::lay(&[]).await;
    let long = "x".repeat(50_000);
    for (index, name) in [
        ("10", ""),
        ("", "x"),
        ("1", "x"),
        ("100", "x"),
        ("ab", "x"),
        ("10", "a/b"),
        ("10", "a b"),
        ("10", "a\nwarning: forged"),
        ("10", "\u{1b}[2J"),
        ("10", "\0"),
        ("10", long.as_str()),
    ] {
        let (peer, _requests) = connect(&siege).await;
        let deadline = Instant::now() + PATIENCE;
        let answer = peer.call::<service::RegisterPlugin>(&registration(index, name), deadline).await;
        assert!(answer.is_err(), "{index:?} {name:?}");
        assert!(!siege.bench.gateway.log().contains("\nwarning: forged"));
        assert!(!siege.bench.gateway.log().contains('\u{1b}'));
    }
    siege.holds("names").await;
    // Our own name at the engine is no name of ours here; nor is the honest plugin replaced by who takes its name.
    for (index, name) in [("00", "nri-gateway"), ("50", "honest")] {
        for _ in 0..100 {
            let (peer, _requests) = connect(&siege).await;
            let deadline = Instant::now() + PATIENCE;
            let _ = peer.call::<service::RegisterPlugin>(&registration(index, name), deadline).await;
        }
    }
    siege.holds("borrowed names").await;
}

/// Registers, and never answers Configure; with a second registration on top.
#[tokio::test]
async fn registered_and_silent() {
    let mut siege = Siege::lay(&[]).await;
    let mut silent = Vec::new();
    let mut taken = 0;
    for number in 0..300 {
        let (peer, requests) = connect(&siege).await;
        let deadline = Instant::now() + PATIENCE;
        let registration = registration("10", &format!("silent-{number}"));
        let first = peer.call::<service::RegisterPlugin>(&registration, deadline).await;
        let second = peer.call::<service::RegisterPlugin>(&registration, deadline).await;
        assert!(second.is_err());
        taken += u32::from(first.is_ok());
        silent.push((peer, requests));
    }
    // There is an end to it, and room for the honest.
    assert!((200..300).contains(&taken), "{taken}");
    siege.holds("300 that do not answer Configure").await;
    for (peer, _) in &silent {
        timeout(PATIENCE, peer.closed()).await.unwrap();
    }
    siege.holds("after 300 that did not answer Configure").await;
}

/// Answers Configure with what is no answer.
#[tokio::test]
async fn configured_with_garbage() {
    let mut siege = Siege::lay(&[]).await;
    for what in 0..6 {
        let (peer, mut requests) = connect(&siege).await;
        let deadline = Instant::now() + PATIENCE;
        let registration = registration("10", &format!("garbage-{what}"));
        peer.call::<service::RegisterPlugin>(&registration, deadline).await.unwrap();
        let request = timeout(PATIENCE, requests.next()).await.unwrap().unwrap();
        assert_eq!(request.method(), service::Configure::METHOD);
        let answer = |events| ConfigureResponse { events, ..ConfigureResponse::default() };
        match what {
            0 => request.answer::<service::Configure>(Ok(answer(-1))),
            1 => request.answer::<service::Configure>(Ok(answer(1 << 30))),
            2 => request.answer_with::<service::Configure>(Ok(answer(1)), &[0xff; 4096]),
            3 => request.answer_with::<service::Configure>(Ok(answer(1)), &[0x12, 0].repeat(2_000_000)),
            4 => request.refuse(Status::new(Code::Unknown, "no\nwarning: forged \u{1b}[2J".repeat(10_000))),
            _ => drop(request),
        }
        assert!(timeout(PATIENCE, peer.closed()).await.is_ok(), "{what} stays");
        siege.holds(&format!("garbage {what}")).await;
    }
    assert!(!siege.bench.gateway.log().contains("\nwarning: forged"));
    assert!(!siege.bench.gateway.log().contains('\u{1b}'));
}

/// Frames that never end, are as long as can be, or belong to nothing.
#[tokio::test]
async fn raw_bytes() {
    let mut siege = Siege::lay(&[]).await;
    let mut kept = Vec::new();
    for (what, bytes) in [
        ("maximal frame", [&[0, 0, 0, 2][..], &u32::MAX.to_be_bytes(), &[0; 4096]].concat()),
        (
            "maximal message",
            [&[0, 0, 0, 2][..], &(4u32 << 20).to_be_bytes(), &u32::MAX.to_be_bytes(), &[0, 0, 0, 1, 1, 0]]
                .concat(),
        ),
        ("other connections", (0..2000).flat_map(|n| frame(n * 7 + 100, 1, 1, b"x")).collect()),
        ("answers to no call", (0..2000).flat_map(|n| frame(1, n, 2, b"")).collect()),
        ("even streams", (0..2000).flat_map(|n| frame(2, n * 2, 1, b"")).collect()),
        ("data", (0..2000).flat_map(|n| frame(2, n * 2 + 1, 3, b"abc")).collect()),
        ("empty frames", [0, 0, 0, 2, 0, 0, 0, 0].repeat(100_000)),
        ("garbage", (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()),
    ] {
        let mut stream = UnixStream::connect(siege.socket()).await.unwrap();
        let _ = timeout(Duration::from_secs(5), stream.write_all(&bytes)).await;
        kept.push(stream);
        siege.holds(what).await;
    }
}

/// One byte a moment: the connection ends all the same, since it does not register.
#[tokio::test]
async fn trickled_bytes() {
    let mut siege = Siege::lay(&[]).await;
    let mut stream = UnixStream::connect(siege.socket()).await.unwrap();
    let bytes = frame(2, 1, 1, &[b'x'; 60_000]);
    let start = Instant::now();
    for byte in bytes {
        if stream.write_all(&[byte]).await.is_err() {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "the connection stays");
        sleep(Duration::from_millis(100)).await;
    }
    siege.holds("trickled bytes").await;
}

/// Calls that it may not make yet, or not at all, as fast as it can.
#[tokio::test]
async fn calls_in_a_loop() {
    let mut siege = Siege::lay(&[]).await;
    let mut loops = JoinSet::new();
    for _ in 0..3 {
        let (peer, _) = connect(&siege).await;
        loops.spawn(async move {
            let request = UpdateContainersRequest { update: vec![shares("c1", 7)], evict: Vec::new() };
            for _ in 0..3000 {
                let _ = peer.call::<service::UpdateContainers>(&request, Instant::now() + PATIENCE).await;
            }
        });
    }
    sleep(Duration::from_millis(100)).await;
    siege.stands("during calls in a loop").await;
    timeout(PATIENCE, loops.join_all()).await.unwrap();
    siege.holds("calls in a loop").await;
}

/// Updates without end while it owes an answer, so that it does not have to wait for what becomes of them.
#[tokio::test]
async fn updates_without_end() {
    let mut siege = Siege::lay(&[]).await;
    let plugin =
        FakePlugin::join(&siege.socket(), "10", "greedy", EventMask::NONE.with(Event::CreateContainer)).await;
    siege.stands("with one that does not answer").await;
    let peer = plugin.peer.clone();
    let mut big = shares("c0", 7);
    big.linux.as_mut().unwrap().resources.as_mut().unwrap().unified =
        (0..2000).map(|n| (format!("k{n}"), "x".repeat(1000))).collect();
    let mut update: Vec<ContainerUpdate> = vec![big];
    update.extend((1..20_000).map(|n| shares(&format!("c{n}"), 7)));
    for number in 0..300 {
        for (n, update) in update.iter_mut().enumerate() {
            update.container_id = format!("{number}-{n}");
        }
        let request = UpdateContainersRequest { update: update.clone(), evict: Vec::new() };
        if peer.call::<service::UpdateContainers>(&request, Instant::now() + PATIENCE).await.is_err() {
            break;
        }
        if number % 50 == 0 {
            siege.stands("during updates").await;
        }
    }
    siege.holds("updates without end").await;
}

/// Takes no byte, while containers are created and while it asks for things.
#[tokio::test]
async fn never_reads() {
    let mut siege = Siege::lay(&[]).await;
    let mut stream = UnixStream::connect(siege.socket()).await.unwrap();
    // Refused calls, whose answers it does not read.
    let call = frame(2, 1, 1, b"\x0a\x01x\x12\x01y");
    for number in 0..=100_000u32 {
        let mut call = call.clone();
        call[12..16].copy_from_slice(&(number * 2 + 1).to_be_bytes());
        if !matches!(timeout(Duration::from_millis(500), stream.write_all(&call)).await, Ok(Ok(()))) {
            break;
        }
        assert!(number < 100_000, "it may go on for ever");
    }
    siege.holds("calls whose answers are not read").await;
}

/// Dies in the middle of each event, and vetoes what cannot be vetoed.
#[tokio::test]
async fn dies_and_vetoes() {
    let mut siege = Siege::lay(&[]).await;
    let (p, c) = (pod("p1"), container("c1", "p1"));
    for event in service::NOTICES {
        let name = nri_wire::event::display_name(event);
        let about = (!is_of_pod(event)).then_some(&c);
        let mask = EventMask::NONE.with(event);
        let mut plugin = FakePlugin::join(&siege.socket(), "10", &format!("dies-{name}"), mask).await;
        let (told, ()) = tokio::join!(siege.client.notice(event, &p, about), async move {
            let request = plugin.next().await;
            plugin.peer.close("dies");
            drop(request);
        });
        assert!(told.is_ok(), "{name}: {told:?}");
        let mut plugin = FakePlugin::join(&siege.socket(), "10", &format!("vetoes-{name}"), mask).await;
        let (told, ()) = tokio::join!(siege.client.notice(event, &p, about), async move {
            plugin.next().await.refuse(Status::new(Code::Unknown, "never\nwarning: forged"));
        });
        // As in the reference: the engine is told, and goes on where it must.
        assert!(told.is_err_and(|status| status.message.contains("vetoes-")), "{name}");
    }
    siege.holds("deaths and vetoes").await;
}

/// An answer with more than a container can have.
#[tokio::test]
async fn overlong_answers() {
    let mut siege = Siege::lay(&[]).await;
    let mask = EventMask::NONE.with(Event::CreateContainer);
    for what in 0..3 {
        let mut plugin = FakePlugin::join(&siege.socket(), "60", &format!("long-{what}"), mask).await;
        let (p, c) = (pod("p1"), container("long", "p1"));
        let (created, ()) = tokio::join!(siege.client.create(&p, &c), async {
            let request = plugin.next().await;
            let env = |count: usize, size: usize| CreateContainerResponse {
                adjust: Some(ContainerAdjustment {
                    env: (0..count)
                        .map(|n| KeyValue { key: format!("K{n}"), value: "x".repeat(size) })
                        .collect(),
                    ..ContainerAdjustment::default()
                }),
                ..CreateContainerResponse::default()
            };
            match what {
                0 => request.answer::<service::CreateContainer>(Ok(env(20_000, 1))),
                1 => request.answer::<service::CreateContainer>(Ok(env(4, 1_000_000))),
                _ => request
                    .answer_with::<service::CreateContainer>(Ok(env(1, 1)), &[0x12, 0].repeat(2_000_000)),
            }
        });
        // The last one is cut off, and counts as gone.
        let created = created.unwrap().adjust.unwrap().env.len();
        assert_eq!(created, [20_001, 5, 1][what]);
        drop(plugin);
        siege.holds(&format!("overlong answer {what}")).await;
    }
}

/// Two answers that are too long together: the container is refused, and the engine is told why.
#[tokio::test]
async fn too_long_together() {
    let mut siege = Siege::lay(&[]).await;
    let mask = EventMask::NONE.with(Event::CreateContainer);
    let mut first = FakePlugin::join(&siege.socket(), "60", "long", mask).await;
    let mut second = FakePlugin::join(&siege.socket(), "61", "longer", mask).await;
    let long = |key: &str| CreateContainerResponse {
        adjust: Some(ContainerAdjustment {
            env: vec![KeyValue { key: key.into(), value: "x".repeat(2_500_000) }],
            ..ContainerAdjustment::default()
        }),
        ..CreateContainerResponse::default()
    };
    let (p, c) = (pod("p1"), container("long", "p1"));
    let (created, ..) = tokio::join!(
        siege.client.create(&p, &c),
        async { first.next().await.answer::<service::CreateContainer>(Ok(long("A"))) },
        async { second.next().await.answer::<service::CreateContainer>(Ok(long("B"))) }
    );
    let message = created.unwrap_err().message;
    assert!(message.contains("60-long") && message.contains("61-longer"), "{message}");
    drop((first, second));
    siege.holds("answers that are too long together").await;
}
