//! What a gateway does with its host besides requests: it has plugins before it has an engine, and finds engines again.

use super::*;

/// The start does not wait for launched plugins; whoever wants to, can.
#[tokio::test]
async fn a_host_is_there_before_its_plugins() {
    // It never registers.
    let program = Program {
        name: "10-a".parse().unwrap(),
        path: "/bin/sleep".into(),
        args: vec!["sleep".to_owned(), "60".to_owned()],
        config: String::new(),
    };
    let config = Config {
        launch: vec![program],
        registration_timeout: Duration::from_millis(300),
        restart: false,
        ..Config::default()
    };
    let host = Host::spawn(config, NoEmbedder).unwrap();
    let early = tokio::time::timeout(Duration::ZERO, host.settled()).await;
    assert!(early.is_err(), "it has not failed yet");
    host.create_container(creation("c1"), soon()).await.unwrap();
    tokio::time::timeout_at(soon(), host.settled()).await.unwrap();
    host.shutdown().await;
}

/// The engine is back with another state of the node: the plugin is told over its connection, before the next request.
#[tokio::test]
async fn a_plugin_is_told_anew() {
    let host = host(Config::default()).await;
    let (peer, seen) = plugin(&host, "10-a", CREATE, Behaviour::Env("A", "1")).await;
    host.renew(vec![pod()], vec![container("c1")]);
    host.create_container(creation("c2"), soon()).await.unwrap();
    host.renew(vec![pod()], vec![container("c1"), container("c2")]);
    host.create_container(creation("c3"), soon()).await.unwrap();
    let expected = ["Configure", "Synchronize", "Synchronize", "CreateContainer", "CreateContainer"];
    assert_eq!(*seen.lock().unwrap(), expected);
    assert!(!peer.is_closed());
}
