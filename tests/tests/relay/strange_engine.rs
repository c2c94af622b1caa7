//! Engines that say what makes no sense, twice, too early, or without giving time. The gateway stays, and answers each
//! request once.

use std::time::Duration;

use nri_tests::fake_engine::{Client, container, pod};
use nri_wire::api::{
    ConfigureRequest, Container, CreateContainerRequest, PodSandbox, StateChangeEvent, SynchronizeRequest,
};
use nri_wire::event::{Event, EventMask};
use nri_wire::service;
use nri_wire::ttrpc::Code;
use tokio::task::JoinHandle;

use super::kit::{Bench, FakePlugin};

/// A plugin that answers everything with nothing.
async fn agreeable(bench: &Bench, name: &str) -> JoinHandle<()> {
    let mut plugin = FakePlugin::join(&bench.gateway.socket(), "10", name, EventMask::ALL).await;
    tokio::spawn(async move {
        while let Some(request) = plugin.requests.next().await {
            request.answer::<service::Shutdown>(Ok(nri_wire::api::Empty {}));
        }
    })
}

/// What a plugin that joins now is told: ids of pods and containers.
async fn told(bench: &Bench, name: &str) -> (Vec<String>, Vec<String>) {
    let plugin =
        FakePlugin::join(&bench.gateway.socket(), "20", name, EventMask::NONE.with(Event::StopContainer))
            .await;
    let told = &plugin.synchronized;
    (
        told.pods.iter().map(|pod| pod.id.clone()).collect(),
        told.containers.iter().map(|container| container.id.clone()).collect(),
    )
}

/// Before it has told the state of the node there are no plugins to ask: what it asks is refused, and not left open.
#[tokio::test]
async fn requests_before_synchronize() {
    let bench = Bench::new(&[]);
    let client = bench.engine.accept().await;
    let refused = client.create(&pod("p1"), &container("c1", "p1")).await.unwrap_err();
    assert_eq!(refused.code, Code::FailedPrecondition);
    client.configure().await;
    let refused = client.notice(Event::RunPodSandbox, &pod("p1"), None).await.unwrap_err();
    assert_eq!(refused.code, Code::FailedPrecondition);
    client.synchronize(Vec::new(), Vec::new()).await;
    client.create(&pod("p1"), &container("c1", "p1")).await.unwrap();
}

/// Duplicate and empty ids, containers of pods that are not there, containers without anything.
#[tokio::test]
async fn a_snapshot_without_sense() {
    let bench = Bench::new(&[]);
    let client = bench.engine.accept().await;
    client.configure().await;
    let pods = vec![pod("p1"), pod("p1"), pod(""), PodSandbox::default()];
    let containers = vec![
        container("c1", "p1"),
        container("c1", "p2"),
        container("c2", "nowhere"),
        container("", "p1"),
        Container::default(),
    ];
    client.synchronize(pods, containers).await;
    bench.until_ready().await;
    let _plugin = agreeable(&bench, "a").await;
    let (pods, containers) = told(&bench, "b").await;
    assert_eq!(pods, ["", "p1"]);
    assert_eq!(containers, ["", "c1", "c2"]);
    client.create(&pod("p1"), &container("c1", "p1")).await.unwrap();
}

#[tokio::test]
async fn a_large_node() {
    let bench = Bench::new(&[]);
    let client = bench.engine.accept().await;
    client.configure().await;
    let pods: Vec<_> = (0..2000).map(|n| pod(&format!("p{n}"))).collect();
    let containers: Vec<_> = (0..6000).map(|n| container(&format!("c{n}"), &format!("p{}", n / 3))).collect();
    client.synchronize(pods.clone(), containers.clone()).await;
    bench.until_ready().await;
    let _plugin = agreeable(&bench, "a").await;
    // Again on the same connection, with something else in it: the plugins are told anew, and requests go on.
    client.synchronize(pods, containers.into_iter().skip(1).collect()).await;
    client.create(&pod("p1"), &container("new", "p1")).await.unwrap();
    let (pods, containers) = told(&bench, "b").await;
    assert_eq!((pods.len(), containers.len()), (2000, 6000));
}

/// Configure and Synchronize twice: the last one counts. A third Synchronize begins and does not end.
#[tokio::test]
async fn everything_twice() {
    let bench = Bench::new(&[]);
    let mut client = bench.engine.accept().await;
    client.configure().await;
    client.configure.runtime_name = "other".into();
    client.configure().await;
    client.synchronize(vec![pod("p1")], vec![container("c1", "p1")]).await;
    bench.until_ready().await;
    let _plugin = agreeable(&bench, "a").await;
    client.synchronize(vec![pod("p2")], vec![container("c2", "p2")]).await;
    client.configure.request_timeout = 3000;
    client.configure().await;
    let part = SynchronizeRequest { pods: vec![pod("p3")], containers: Vec::new(), more: true };
    client.call::<service::Synchronize>(&part).await.unwrap();
    client.create(&pod("p2"), &container("c3", "p2")).await.unwrap();
    assert_eq!(told(&bench, "b").await, (vec!["p2".to_owned()], vec!["c2".to_owned(), "c3".to_owned()]));
}

/// Events about what nobody knows, and events that there are not.
#[tokio::test]
async fn unknown_things() {
    let (bench, mut client) = Bench::ready(&[]).await;
    let _plugin = agreeable(&bench, "a").await;
    let (p, c) = (pod("p1"), container("c1", "p1"));
    for event in [Event::StartContainer, Event::PostUpdateContainer, Event::RemoveContainer] {
        client.notice(event, &p, Some(&c)).await.unwrap();
    }
    // A container that was removed does not come back because it stops afterwards.
    client.stop(&p, &c).await.unwrap();
    assert_eq!(told(&bench, "b").await, (vec![], vec![]));
    client.notice(Event::RemovePodSandbox, &p, None).await.unwrap();

    client.timeout = Duration::from_secs(5);
    for number in [0, 14, 15, 99, -1, i32::MIN, i32::MAX] {
        for (pod, container) in [(Some(pod("p1")), Some(container("c1", "p1"))), (None, None)] {
            let event = StateChangeEvent { event: number, pod, container };
            let answer = client.call::<service::StateChange>(&event).await;
            assert!(!matches!(&answer, Err(status) if status.code == Code::DeadlineExceeded), "{number}");
        }
    }
    let nothing = CreateContainerRequest::default();
    client.call::<service::CreateContainer>(&nothing).await.unwrap_err();
    client.create(&p, &c).await.unwrap();
    client.create(&p, &c).await.unwrap();
    client.create(&PodSandbox::default(), &Container::default()).await.unwrap();
}

/// The pod goes first, its containers with it.
#[tokio::test]
async fn a_pod_is_removed_with_its_containers() {
    let (bench, client) = Bench::ready(&[]).await;
    let _plugin = agreeable(&bench, "a").await;
    let (p, c) = (pod("p1"), container("c1", "p1"));
    client.notice(Event::RunPodSandbox, &p, None).await.unwrap();
    client.create(&p, &c).await.unwrap();
    client.notice(Event::RemovePodSandbox, &p, None).await.unwrap();
    assert_eq!(told(&bench, "b").await, (vec![], vec![]));
    client.notice(Event::RemoveContainer, &p, Some(&c)).await.unwrap();
    client.notice(Event::RemovePodSandbox, &p, None).await.unwrap();
}

/// Time-outs that make no sense, in Configure and in requests; two requests for one container at once.
#[tokio::test]
async fn time_outs() {
    for (registration, request) in [(0, 0), (-1, -1), (i64::MAX, i64::MAX), (i64::MIN, i64::MIN), (1, 1)] {
        let bench = Bench::new(&[]);
        let mut client = bench.engine.accept().await;
        client.configure = ConfigureRequest {
            registration_timeout: registration,
            request_timeout: request,
            ..client.configure.clone()
        };
        client.configure().await;
        client.synchronize(Vec::new(), Vec::new()).await;
        bench.until_ready().await;
        let (p, c) = (pod("p1"), container("c1", "p1"));
        if request != 1 {
            let _plugin = agreeable(&bench, "a").await;
            client.create(&p, &c).await.unwrap();
        }
        client.timeout = Duration::from_millis(1);
        for _ in 0..50 {
            let _ = client.create(&p, &c).await;
        }
        client.timeout = Duration::from_secs(20);
        let (first, second) = tokio::join!(client.create(&p, &c), client.create(&p, &c));
        assert!(first.is_ok() && second.is_ok(), "{request}: {first:?} {second:?}");
    }
}

/// An engine that goes in the middle of a hundred requests, again and again.
#[tokio::test]
async fn gone_in_the_middle() {
    let (bench, mut client) = Bench::ready(&[]).await;
    let silent = FakePlugin::join(
        &bench.gateway.socket(),
        "10",
        "silent",
        EventMask::NONE.with(Event::StartContainer),
    )
    .await;
    let _plugin = agreeable(&bench, "a").await;
    for round in 0..10 {
        let asking = async |client: &Client| {
            let c = container("c1", "p1");
            let p = pod("p1");
            let _ = tokio::join!(
                client.create(&p, &c),
                client.notice(Event::StartContainer, &p, Some(&c)),
                client.notice(Event::RemoveContainer, &p, Some(&c)),
                client.stop(&p, &c),
                async {
                    tokio::time::sleep(Duration::from_millis(round * 3)).await;
                    client.close();
                }
            );
        };
        asking(&client).await;
        client = bench.comes_back(client, vec![pod("p1")], Vec::new()).await;
    }
    drop(silent);
    client.create(&pod("p1"), &container("c2", "p1")).await.unwrap();
    assert!(!bench.gateway.log().contains("panicked"));
}
