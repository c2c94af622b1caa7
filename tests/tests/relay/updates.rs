//! What plugins ask for on their own account, and when the engine gets it (`design.md` 9.2).

use std::time::Duration;

use nri_tests::fake_engine::{container, pod};
use nri_tests::wait::PATIENCE;
use nri_wire::api::{CreateContainerResponse, Empty, StopContainerResponse, UpdateContainersRequest};
use nri_wire::event::{Event, EventMask};
use nri_wire::service;
use tokio::time::{Instant, timeout};

use super::kit::{Bench, FakePlugin};
use super::plugins::shares;

fn asking(id: &str) -> UpdateContainersRequest {
    UpdateContainersRequest { update: vec![shares(id, 5)], evict: Vec::new() }
}

/// With no request in flight they go to the engine at once, and what failed comes back.
#[tokio::test]
async fn at_rest_they_are_passed_on() {
    let (bench, mut client) = Bench::ready(&[]).await;
    client.fail_updates_of("nope");
    let plugin = bench.plugin("10", "a").await;
    for (id, failed) in [("c1", vec![]), ("nope", vec![shares("nope", 5)])] {
        let asking = asking(id);
        let call = plugin.peer.call::<service::UpdateContainers>(&asking, Instant::now() + PATIENCE);
        let (answer, asked) = tokio::join!(call, client.asked());
        assert_eq!(answer.unwrap().message.failed, failed);
        assert_eq!(asked.update, [shares(id, 5)]);
    }
}

/// A plugin that asks from within its handler is answered at once, and the update leaves with the request's answer.
#[tokio::test]
async fn from_a_handler_they_leave_with_the_answer() {
    let (bench, client) = Bench::ready(&[]).await;
    let events = EventMask::NONE.with(Event::CreateContainer);
    let mut plugin = FakePlugin::join(&bench.gateway.socket(), "10", "a", events).await;
    let (p, c) = (pod("p1"), container("c2", "p1"));
    let handler = async {
        let (_, request) = plugin.expect::<service::CreateContainer>().await;
        for id in ["c1", "c1", "c2"] {
            let deadline = Instant::now() + Duration::from_secs(1);
            let answer = plugin.peer.call::<service::UpdateContainers>(&asking(id), deadline).await;
            assert_eq!(answer.unwrap().message.failed, []);
        }
        request.answer::<service::CreateContainer>(Ok(CreateContainerResponse::default()));
    };
    let (answer, ()) = tokio::join!(client.create(&p, &c), handler);
    // One per container, and none of the container that is being created.
    assert_eq!(answer.unwrap().update, [shares("c1", 5)]);
}

/// What an answer cannot carry goes out once the request is through, in the order in which it was asked for.
#[tokio::test]
async fn what_an_event_cannot_carry_comes_after_it() {
    let (bench, mut client) = Bench::ready(&[]).await;
    let events = EventMask::NONE.with(Event::PostStartContainer);
    let mut plugin = FakePlugin::join(&bench.gateway.socket(), "10", "a", events).await;
    let (p, c) = (pod("p1"), container("c1", "p1"));
    let handler = async {
        let request = plugin.next().await;
        let deadline = Instant::now() + Duration::from_secs(1);
        for id in ["c1", "c2"] {
            plugin.peer.call::<service::UpdateContainers>(&asking(id), deadline).await.unwrap();
        }
        request.answer::<service::Shutdown>(Ok(Empty {}));
    };
    let (told, ()) = tokio::join!(client.notice(Event::PostStartContainer, &p, Some(&c)), handler);
    told.unwrap();
    for id in ["c1", "c2"] {
        let asked = timeout(PATIENCE, client.asked()).await.unwrap();
        assert_eq!(asked.update, [shares(id, 5)]);
    }
}

/// Engines before NRI 0.12.1 may lock themselves up (`gateway/engine/updates.rs`): the answer to a stop carries nothing that
/// can wait, and nothing is sent while the removal may go on that the stop was the beginning of.
#[tokio::test]
async fn an_older_engine_is_not_disturbed_in_a_removal() {
    for (nri, carried, pause) in [("v0.12.0", vec![], 400), ("v0.12.1", vec![shares("c2", 5)], 0)] {
        let bench = Bench::new(&[]);
        let mut client = bench.engine.accept().await;
        client.configure.nri_version = nri.into();
        client.configure().await;
        client.synchronize(Vec::new(), Vec::new()).await;
        bench.until_ready().await;
        let events = EventMask::NONE.with(Event::StopContainer);
        let mut plugin = FakePlugin::join(&bench.gateway.socket(), "10", "a", events).await;
        let (p, c) = (pod("p1"), container("c1", "p1"));
        let handler = async {
            let (_, request) = plugin.expect::<service::StopContainer>().await;
            let deadline = Instant::now() + Duration::from_secs(1);
            for _ in 0..2 {
                plugin.peer.call::<service::UpdateContainers>(&asking("c2"), deadline).await.unwrap();
            }
            request.answer::<service::StopContainer>(Ok(StopContainerResponse::default()));
        };
        let (answer, ()) = tokio::join!(client.stop(&p, &c), handler);
        let answered = Instant::now();
        assert_eq!(answer.unwrap().update, carried, "{nri}");
        client.notice(Event::RemoveContainer, &p, Some(&c)).await.unwrap();
        client.asked().await;
        assert!(answered.elapsed() >= Duration::from_millis(pause), "{nri}: {:?}", answered.elapsed());
    }
}
