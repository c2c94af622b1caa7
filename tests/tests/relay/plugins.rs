//! What the engine asks gets to the plugins, and what they say gets to the engine.

use std::time::{Duration, Instant};

use nri_tests::fake_engine::{container, pod};
use nri_wire::api::{
    ContainerAdjustment, ContainerUpdate, CreateContainerRequest, CreateContainerResponse, KeyValue,
    LinuxContainerAdjustment, LinuxContainerUpdate, LinuxCpu, LinuxResources, OptionalUInt64,
    StateChangeEvent, SynchronizeRequest, UpdateContainerResponse,
};
use nri_wire::event::{Event, EventMask, is_of_pod};
use nri_wire::service;
use nri_wire::ttrpc::{Code, Status};

use super::kit::{Bench, FakePlugin};

fn env(key: &str, value: &str) -> CreateContainerResponse {
    let env = vec![KeyValue { key: key.into(), value: value.into() }];
    CreateContainerResponse {
        adjust: Some(ContainerAdjustment { env, ..ContainerAdjustment::default() }),
        ..CreateContainerResponse::default()
    }
}

pub(crate) fn shares(id: &str, shares: u64) -> ContainerUpdate {
    let cpu = LinuxCpu { shares: Some(OptionalUInt64 { value: shares }), ..LinuxCpu::default() };
    let resources = LinuxResources { cpu: Some(cpu), ..LinuxResources::default() };
    ContainerUpdate {
        container_id: id.into(),
        linux: Some(LinuxContainerUpdate { resources: Some(resources) }),
        ..ContainerUpdate::default()
    }
}

fn told(update: &ContainerUpdate) -> (String, Option<u64>) {
    let resources = update.linux.as_ref().and_then(|linux| linux.resources.as_ref());
    let shares = resources.and_then(|r| r.cpu.as_ref()).and_then(|cpu| cpu.shares.as_ref());
    (update.container_id.clone(), shares.map(|shares| shares.value))
}

/// The whole life of a container, in both event styles; the plugin is told the real engine.
#[tokio::test]
async fn every_event_gets_through() {
    for old in [false, true] {
        let (bench, mut client) = Bench::ready(&[]).await;
        client.old_notices = old;
        let mut plugin = bench.plugin("10", "a").await;
        assert_eq!(plugin.configured.runtime_name, "containerd");
        assert_eq!(plugin.configured.runtime_version, "v2.3.4");
        assert_eq!(plugin.configured.nri_version, "v0.12.0");
        assert_eq!((plugin.configured.registration_timeout, plugin.configured.request_timeout), (5000, 2000));
        let (p, c) = (pod("p1"), container("c1", "p1"));
        for event in service::NOTICES {
            let name = nri_wire::event::display_name(event);
            let about = (!is_of_pod(event)).then_some(&c);
            let (told, seen) = tokio::join!(client.notice(event, &p, about), plugin.takes_until(name));
            told.unwrap();
            assert!(seen.is_empty(), "{name}: {seen:?}");
        }
        let resources = LinuxResources::default();
        let (answer, _) = tokio::join!(
            client.update(&p, &c, resources),
            plugin.answers::<service::UpdateContainer>(UpdateContainerResponse {
                update: vec![shares("c1", 7), shares("c2", 8)],
                ..UpdateContainerResponse::default()
            })
        );
        let updates: Vec<_> = answer.unwrap().update.iter().map(told).collect();
        let own_comes_last = [("c2".to_owned(), Some(8)), ("c1".to_owned(), Some(7))];
        assert_eq!(updates, own_comes_last);
    }
}

/// Answers of several plugins leave as one, each later plugin sees the earlier one's part, a conflict is told with names.
#[tokio::test]
async fn adjustments_are_merged() {
    let (bench, client) = Bench::ready(&[]).await;
    let chain = EventMask::NONE.with(Event::CreateContainer);
    let mut first = FakePlugin::join(&bench.gateway.socket(), "10", "a", chain).await;
    let mut second = FakePlugin::join(&bench.gateway.socket(), "20", "b", chain).await;
    let (p, c) = (pod("p1"), container("c1", "p1"));
    let (answer, _, seen) = tokio::join!(
        client.create(&p, &c),
        first.answers::<service::CreateContainer>(env("A", "1")),
        second.answers::<service::CreateContainer>(env("B", "2"))
    );
    assert!(seen.container.unwrap().env.contains(&"A=1".to_owned()));
    let keys: Vec<_> = answer.unwrap().adjust.unwrap().env.into_iter().map(|env| env.key).collect();
    assert_eq!(keys, ["A", "B"]);
}

/// A veto and a conflict reach the engine with the plugin's name.
#[tokio::test]
async fn refusals_name_the_plugin() {
    let (bench, client) = Bench::ready(&[]).await;
    let chain = EventMask::NONE.with(Event::CreateContainer).with(Event::RunPodSandbox);
    let mut first = FakePlugin::join(&bench.gateway.socket(), "10", "a", chain).await;
    let mut second = FakePlugin::join(&bench.gateway.socket(), "20", "b", chain).await;
    let (p, c) = (pod("p1"), container("c1", "p1"));

    let (refused, ()) = tokio::join!(client.create(&p, &c), async {
        let (_, request) = first.expect::<service::CreateContainer>().await;
        request.refuse(Status::new(Code::Unknown, "not today"));
    });
    let message = refused.unwrap_err().message;
    assert!(message.contains("10-a") && message.contains("not today"), "{message}");

    let (refused, _, _) = tokio::join!(
        client.create(&p, &c),
        first.answers::<service::CreateContainer>(env("A", "1")),
        second.answers::<service::CreateContainer>(env("A", "2"))
    );
    let message = refused.unwrap_err().message;
    assert!(message.contains("20-b") && message.contains("10-a") && message.contains('A'), "{message}");

    let (refused, ..) = tokio::join!(
        client.notice(Event::RunPodSandbox, &p, None),
        async { first.expect::<service::RunPodSandbox>().await.1.refuse(Status::new(Code::Unknown, "full")) },
        second.takes_until("RunPodSandbox")
    );
    let message = refused.unwrap_err().message;
    assert!(message.contains("10-a") && message.contains("full"), "{message}");
}

/// A sysctl would end an engine before NRI 0.12: that engine never gets it.
#[tokio::test]
async fn what_crashes_the_engine_is_refused() {
    let bench = Bench::new(&[]);
    let mut client = bench.engine.accept().await;
    client.configure.runtime_version = "v2.2.7".into();
    client.configure.nri_version = String::new();
    client.configure().await;
    client.synchronize(Vec::new(), Vec::new()).await;
    assert_eq!(
        bench.until_ready().await.split(" listen=").next(),
        Some("ready engine=containerd/2.2.7 nri=0.11.0")
    );
    let events = EventMask::NONE.with(Event::CreateContainer);
    let mut plugin = FakePlugin::join(&bench.gateway.socket(), "10", "a", events).await;
    let linux = LinuxContainerAdjustment {
        sysctl: [("net.core.somaxconn".to_owned(), "1".to_owned())].into(),
        ..LinuxContainerAdjustment::default()
    };
    let adjust = ContainerAdjustment { linux: Some(linux), ..ContainerAdjustment::default() };
    let answer = CreateContainerResponse { adjust: Some(adjust), ..CreateContainerResponse::default() };
    let (p, c) = (pod("p1"), container("c1", "p1"));
    let (refused, _) =
        tokio::join!(client.create(&p, &c), plugin.answers::<service::CreateContainer>(answer));
    let message = refused.unwrap_err().message;
    assert!(message.contains("sysctl") && message.contains("containerd/2.2.7"), "{message}");
}

/// A plugin that never answers: the engine's deadline is kept, and the next container does not wait for it.
#[tokio::test]
async fn a_silent_plugin_costs_one_deadline_once() {
    let (bench, mut client) = Bench::ready(&[]).await;
    client.timeout = Duration::from_secs(2);
    let events = EventMask::NONE.with(Event::CreateContainer);
    let silent = FakePlugin::join(&bench.gateway.socket(), "10", "silent", events).await;
    let mut good = FakePlugin::join(&bench.gateway.socket(), "20", "good", events).await;
    let p = pod("p1");
    for (id, least, most) in [("c1", 1000, 2000), ("c2", 0, 500), ("c3", 0, 500)] {
        let c = container(id, "p1");
        let start = Instant::now();
        let (answer, _) =
            tokio::join!(client.create(&p, &c), good.answers::<service::CreateContainer>(env("A", "1")));
        let took = start.elapsed().as_millis();
        assert_eq!(answer.unwrap().adjust.unwrap().env.len(), 1);
        assert!((least..most).contains(&took), "{id}: {took} ms");
    }
    drop(silent);
}

/// What a newer engine says and we do not know reaches a plugin that may know it, whichever form the event came in.
#[tokio::test]
async fn fields_of_a_newer_engine_get_through() {
    let (bench, client) = Bench::ready(&[]).await;
    let events = EventMask::NONE.with(Event::CreateContainer).with(Event::StartContainer);
    let mut plugin = FakePlugin::join(&bench.gateway.socket(), "10", "a", events).await;
    let (p, c) = (Some(pod("p1")), Some(container("c1", "p1")));
    // Field 200 of the container, which has the number 2 here and 3 in a StateChangeEvent.
    let create = CreateContainerRequest { pod: p.clone(), container: c.clone() };
    let (created, unknown) = tokio::join!(
        client.call_with::<service::CreateContainer>(&create, &[0x12, 3, 0xc0, 0x0c, 1]),
        plugin.unknown::<service::CreateContainer>()
    );
    created.unwrap();
    assert_eq!(unknown, ["container.200"]);
    let start = StateChangeEvent { event: Event::StartContainer.into(), pod: p, container: c };
    let (started, unknown) = tokio::join!(
        client.call_with::<service::StateChange>(&start, &[0x1a, 3, 0xc0, 0x0c, 1]),
        plugin.unknown::<service::StartContainer>()
    );
    started.unwrap();
    assert_eq!(unknown, ["container.200"]);
}

/// What it says of the node in a list cannot be passed on: that is said once for each place.
#[tokio::test]
async fn fields_of_a_newer_engine_in_lists_are_named() {
    let bench = Bench::new(&[]);
    let client = bench.engine.accept().await;
    client.configure().await;
    // Two containers with field 200.
    let containers = [0x12, 3, 0xc0, 0x0c, 1].repeat(2);
    let state = SynchronizeRequest::default();
    client.call_with::<service::Synchronize>(&state, &containers).await.unwrap();
    bench.until_ready().await;
    assert_eq!(bench.gateway.log().matches("containers[].200").count(), 1);
}

/// A node with 5,000 containers: the engine is answered at once, and a plugin is told all of them in parts.
#[tokio::test]
async fn five_thousand_containers() {
    let bench = Bench::new(&[]);
    let client = bench.engine.accept().await;
    client.configure().await;
    let containers: Vec<_> = (0..5000)
        .map(|number| {
            let mut container = container(&format!("c{number}"), "p1");
            container.env = (0..20).map(|n| format!("VARIABLE_{n}={}", "x".repeat(100))).collect();
            container
        })
        .collect();
    client.synchronize(vec![pod("p1")], containers).await;
    bench.until_ready().await;
    let plugin = bench.plugin("10", "a").await;
    assert_eq!((plugin.synchronized.pods.len(), plugin.synchronized.containers.len()), (1, 5000));
}
