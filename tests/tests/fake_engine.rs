//! The fake engine against a bundled plugin: what it tells arrives, and what it is asked is answered.

use std::process::{Command, Stdio};

use nri_tests::fake_engine::{FakeEngine, container, pod};
use nri_tests::ours::nri;
use nri_wire::event::{Event, EventMask};

#[tokio::test]
async fn a_plugin_goes_through_the_life_of_a_container() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    let engine = FakeEngine::bind(&socket).unwrap();
    let mut plugin = Command::new(nri())
        .args(["plugin", "logger", "--index", "07", "--socket"])
        .arg(&socket)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut client = engine.accept().await;
    assert_eq!(
        (client.registered.plugin_name.as_str(), client.registered.plugin_idx.as_str()),
        ("logger", "07")
    );
    let mask = EventMask::from_bits(client.configure().await.events);
    assert!(mask.contains(Event::CreateContainer), "{mask}");
    assert_eq!(client.synchronize(vec![pod("p1")], vec![container("c0", "p1")]).await, []);
    assert_eq!(client.create(&pod("p1"), &container("c1", "p1")).await.unwrap().update, []);
    for old in [false, true] {
        client.old_notices = old;
        client.notice(Event::PostCreateContainer, &pod("p1"), Some(&container("c1", "p1"))).await.unwrap();
    }
    client.stop(&pod("p1"), &container("c1", "p1")).await.unwrap();
    client.close();
    client.closed().await;
    plugin.kill().unwrap();
    plugin.wait().unwrap();
}
