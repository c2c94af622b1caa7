//! An engine that is absent, refuses, dies, talks nonsense, comes back: the gateway names it and goes on.

use std::time::Duration;

use nri_tests::fake_engine::{FakeEngine, container, pod};
use nri_tests::gateway::{Gateway, Settings};
use nri_wire::api::{FieldOwners, OwningPlugins, ValidateContainerAdjustmentRequest};
use nri_wire::event::{Event, EventMask};
use nri_wire::field::Field;
use nri_wire::service;
use nri_wire::ttrpc::{Code, Status};
use tokio::io::AsyncWriteExt as _;

use super::kit::{Bench, FakePlugin};

/// Nothing at the path, then something that is no socket, then the engine.
#[tokio::test]
async fn absent_and_wrong_sockets_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    let gateway = Gateway::spawn(&socket, &Settings::default());
    let (gateway, socket) = tokio::task::spawn_blocking(move || {
        let line = gateway.wait_for("cannot register at the engine", 1);
        assert!(line.contains("No such file") && line.contains("is the engine running"), "{line}");
        assert!(line.contains(&socket.display().to_string()), "{line}");
        std::fs::write(&socket, "").unwrap();
        gateway.wait_for("it is not a socket", 1);
        std::fs::remove_file(&socket).unwrap();
        (gateway, socket)
    })
    .await
    .unwrap();
    let engine = FakeEngine::bind(&socket).unwrap();
    let client = engine.accept().await;
    client.configure().await;
    client.synchronize(Vec::new(), Vec::new()).await;
    tokio::task::spawn_blocking(move || gateway.wait_until_ready(1)).await.unwrap();
}

/// Refusals of the name, and of the subscription by an engine whose version says nothing.
#[tokio::test]
async fn refusals_are_named_and_tried_again() {
    let bench = Bench::new(&[]);
    bench.engine.refuse(Status::new(Code::Unknown, "name taken")).await;
    let line = bench.says("it refuses to register us").await;
    assert!(line.contains("name taken"), "{line}");

    let mut client = bench.engine.accept().await;
    client.configure.runtime_version = "mine".into();
    client.configure.nri_version = String::new();
    assert_eq!(EventMask::from_bits(client.configure().await.events), EventMask::ALL);
    client.close();
    bench.says("trying again with fewer events").await;

    let mut client = bench.engine.accept().await;
    client.configure.runtime_version = "mine".into();
    client.configure.nri_version = String::new();
    assert_eq!(EventMask::from_bits(client.configure().await.events), EventMask::BEFORE_0_10);
    client.synchronize(Vec::new(), Vec::new()).await;
    bench.until_ready().await;
}

/// Garbage instead of an answer, at once and after the registration.
#[tokio::test]
async fn garbage_is_named() {
    let bench = Bench::new(&[]);
    let mut stream = bench.engine.connected().await;
    stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    let line = bench.says("it does not speak NRI").await;
    assert!(line.contains("is it the engine's NRI socket?"), "{line}");
    drop(stream);
    let client = bench.engine.accept().await;
    client.configure().await;
    client.synchronize(Vec::new(), Vec::new()).await;
    bench.until_ready().await;
}

/// The engine dies and comes back: the plugin stays connected. With the state that the plugin knows it is told nothing;
/// after a request that was cut off, and with another state, it is synchronised once more.
#[tokio::test]
async fn it_dies_and_comes_back() {
    let (bench, mut client) = Bench::ready(&[]).await;
    let events = EventMask::NONE.with(Event::CreateContainer).with(Event::RunPodSandbox);
    let mut plugin = FakePlugin::join(&bench.gateway.socket(), "10", "a", events).await;
    let (p, c) = (pod("p1"), container("c1", "p1"));
    let (told, _) =
        tokio::join!(client.notice(Event::RunPodSandbox, &p, None), plugin.takes_until("RunPodSandbox"));
    told.unwrap();

    client = bench.comes_back(client, vec![p.clone()], Vec::new()).await;
    let (failed, request) = tokio::join!(client.create(&p, &c), async {
        let (_, request) = plugin.expect::<service::CreateContainer>().await;
        client.close();
        request
    });
    failed.unwrap_err();
    request.answer::<service::CreateContainer>(Ok(Default::default()));

    client = bench.comes_back(client, vec![p.clone()], Vec::new()).await;
    plugin.synchronize().await;
    assert_eq!((plugin.synchronized.pods.len(), plugin.synchronized.containers.len()), (1, 0));

    let _client = bench.comes_back(client, vec![p, pod("p2")], vec![container("c3", "p2")]).await;
    plugin.synchronize().await;
    let ids: Vec<_> = plugin.synchronized.containers.iter().map(|container| container.id.as_str()).collect();
    assert_eq!((plugin.synchronized.pods.len(), ids), (2, vec!["c3"]));
}

/// Somebody who changed a container past the gateway is found out (`policy.md` 10).
#[tokio::test]
async fn changes_past_the_gateway_are_rejected() {
    let (_bench, client) = Bench::ready(&[]).await;
    let number = Field::MemoryLimit.number().unwrap();
    for (owner, other) in [("00-nri-gateway", None), ("50-stranger", Some("50-stranger"))] {
        let fields = FieldOwners { simple: [(number, owner.to_owned())].into(), ..FieldOwners::default() };
        let request = ValidateContainerAdjustmentRequest {
            pod: Some(pod("p1")),
            container: Some(container("c1", "p1")),
            owners: Some(OwningPlugins { owners: [("c1".to_owned(), fields)].into() }),
            ..ValidateContainerAdjustmentRequest::default()
        };
        let answer = client.call::<service::ValidateContainerAdjustment>(&request).await.unwrap();
        assert_eq!(answer.reject, other.is_some());
        assert!(answer.reason.contains(other.unwrap_or_default()), "{}", answer.reason);
    }
}

/// The end in order waits for the answer that the engine waits for.
#[tokio::test]
async fn the_end_comes_after_the_answer() {
    let (mut bench, client) = Bench::ready(&[]).await;
    let events = EventMask::NONE.with(Event::CreateContainer);
    let mut plugin = FakePlugin::join(&bench.gateway.socket(), "10", "a", events).await;
    let (p, c) = (pod("p1"), container("c1", "p1"));
    let (created, ()) = tokio::join!(client.create(&p, &c), async {
        let (_, request) = plugin.expect::<service::CreateContainer>().await;
        bench.gateway.signal(rustix::process::Signal::TERM);
        tokio::time::sleep(Duration::from_millis(200)).await;
        request.answer::<service::CreateContainer>(Ok(Default::default()));
    });
    created.unwrap();
    plugin.takes_until("Shutdown").await;
    let status =
        tokio::task::spawn_blocking(move || bench.gateway.end(rustix::process::Signal::TERM)).await.unwrap();
    assert!(status.success(), "{status}");
}

/// What became unreadable between the start and the engine's arrival ends the gateway: relaying without the plugins that
/// it should launch would leave containers unadjusted.
#[tokio::test]
async fn a_plugin_directory_that_is_gone_ends_it() {
    let mut bench = Bench::new(&[]);
    let client = bench.engine.accept().await;
    let plugins = bench.gateway.path("plugins");
    std::fs::remove_dir(&plugins).unwrap();
    std::fs::write(&plugins, "").unwrap();
    client.configure().await;
    client.synchronize(Vec::new(), Vec::new()).await;
    let line = bench.says("error: ").await;
    assert!(line.contains(&plugins.display().to_string()), "{line}");
    let status = tokio::task::spawn_blocking(move || bench.gateway.end(rustix::process::Signal::CONT));
    assert_eq!(status.await.unwrap().code(), Some(3));
}
