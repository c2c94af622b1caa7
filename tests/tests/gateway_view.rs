//! What can be seen of a running gateway from outside: `nri plugins` on its control socket, and its metrics. The engine
//! is one that does what the test says.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed unwrap is the failure report"
)]

use std::fs::Permissions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use nri_tests::fake_engine::{Client, FakeEngine, container, pod};
use nri_tests::gateway::{Gateway, Settings};
use nri_tests::openmetrics::Samples;
use nri_tests::ours::nri;
use nri_tests::plugin::{Launched, Maker, Plugin};
use nri_tests::wait::until_async as until;
use nri_wire::event::Event;
use rustix::process::Signal;
use serde_json::{Value, json};

#[tokio::test]
async fn plugins_and_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = folder.path().join("metrics.sock");
    let engine = FakeEngine::bind(&folder.path().join("engine.sock")).unwrap();
    let script = json!({"answers": {"CreateContainer": [
        {"for": "bad", "error": "no such thing"},
        {"adjust": {"env": [{"key": "A", "value": "1"}]}},
    ]}});
    let mut gateway = start(&folder.path().join("engine.sock"), &metrics, folder.path(), &script);

    // Before the engine: there is nothing, and that is said.
    until("the control socket is there", || gateway.control().exists() && metrics.exists()).await;
    assert_eq!(gateway.control().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let report = plugins(&gateway);
    assert_eq!((&report["engine"], &report["plugins"]), (&Value::Null, &json!([])));
    let table = table(&gateway);
    assert!(table.starts_with("engine: none has been there yet\nno plugins\n"), "{table}");
    assert_eq!(scrape(&metrics).value("nri_engine_connected"), Some(0.0));

    let client = joined(&engine).await;
    gateway.wait_until_ready(1);
    let _connected = connect(&gateway, folder.path()).await;
    client.create(&pod("p1"), &container("c1", "p1")).await.unwrap();
    client.notice(Event::PostCreateContainer, &pod("p1"), Some(&container("c1", "p1"))).await.unwrap();
    let refusal = client.create(&pod("p1"), &container("bad", "p1")).await.unwrap_err();
    assert!(refusal.message.contains("no such thing"), "{refusal}");

    check_report(&plugins(&gateway), &gateway);
    let text = self::table(&gateway);
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert!(text.starts_with("engine: containerd 2.3.4, NRI 0.12.0, connected since 20"), "{text}");
    assert!(text.contains("\n10-launched ") && text.contains("\n20-connected "), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    check_metrics(&scrape(&metrics));

    // The engine goes and comes again; its plugins stay.
    client.close();
    until("the loss is seen", || plugins(&gateway)["engine"]["connected"] == json!(false)).await;
    let _client = joined(&engine).await;
    until("the engine is back", || plugins(&gateway)["engine"]["connected"] == json!(true)).await;
    assert_eq!(plugins(&gateway)["engine"]["reconnects"], json!(1));
    assert_eq!(plugins(&gateway)["plugins"].as_array().unwrap().len(), 2);
    let samples = scrape(&metrics);
    assert_eq!(samples.value("nri_engine_reconnects_total"), Some(1.0));
    assert_eq!(samples.value("nri_engine_connected"), Some(1.0));

    let control = gateway.control();
    assert_eq!(gateway.end(Signal::TERM).code(), Some(0), "{}", gateway.log());
    assert!(!control.exists() && !metrics.exists());
}

/// A plugin that does not answer in time: what is shown and counted of it while it owes the answer.
#[tokio::test]
async fn a_late_plugin() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = folder.path().join("metrics.sock");
    let socket = folder.path().join("engine.sock");
    let engine = FakeEngine::bind(&socket).unwrap();
    let script = json!({"events": ["CreateContainer"], "answers": {"CreateContainer": [{"never": true}]}});
    let gateway = start(&socket, &metrics, folder.path(), &script);
    let mut client = engine.accept().await;
    client.configure.request_timeout = 300;
    client.configure().await;
    client.synchronize(vec![pod("p1")], vec![]).await;
    gateway.wait_until_ready(1);
    for id in ["c1", "c2"] {
        client.create(&pod("p1"), &container(id, "p1")).await.unwrap();
    }
    let plugin = &plugins(&gateway)["plugins"][0];
    assert_eq!(
        [&plugin["state"], &plugin["answers"], &plugin["lates"], &plugin["skipped"]],
        [&json!("late"), &json!(0), &json!(1), &json!(1)],
        "{plugin}"
    );
    assert!(table(&gateway).contains("\n10-launched  late "), "{}", table(&gateway));
    let samples = scrape(&metrics);
    for (series, expect) in [
        (r#"nri_plugin_failures_total{plugin="10-launched",reason="timeout"}"#, 1.0),
        (r#"nri_plugin_skipped_total{plugin="10-launched"}"#, 1.0),
        (r#"nri_plugin_request_duration_seconds_count{plugin="10-launched",event="CreateContainer"}"#, 1.0),
        (r#"nri_requests_total{operation="CreateContainer",result="ok"}"#, 2.0),
    ] {
        assert_eq!(samples.value(series), Some(expect), "{series}\n{samples:#?}");
    }
}

/// Whoever gets at the control socket without being root gets nothing from it.
#[tokio::test]
async fn others_get_no_answer() {
    if !nri_tests::is_root() {
        return nri_tests::skipped("another user at the control socket; root is needed");
    }
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::spawn(&folder.path().join("engine.sock"), &Settings::default());
    until("the control socket is there", || gateway.control().exists()).await;
    let open = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    open(&gateway.control(), 0o666);
    open(gateway.control().parent().unwrap(), 0o755);
    open(folder.path(), 0o755);
    let copy = folder.path().join("nri");
    // Not by this process, whose other tests' children might hold the copy open for writing.
    assert!(Command::new("cp").arg(nri()).arg(&copy).status().unwrap().success());
    let mut command = Command::new(&copy);
    command.uid(65534).args(["plugins", "--control"]).arg(gateway.control()).current_dir("/");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0), "{said}");
    assert!(said.contains(" ended the connection: it answers to root"), "{said}");
    assert_eq!(plugins(&gateway)["version"], json!(1));
}

/// A second gateway leaves the first one's control socket alone, and serves its plugins all the same.
#[tokio::test]
async fn a_control_socket_that_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let _first_engine = FakeEngine::bind(&path("engine.sock")).unwrap();
    let first = Gateway::spawn(&path("engine.sock"), &Settings::default());
    until("the first one is there", || first.control().exists()).await;
    let engine = FakeEngine::bind(&path("other.sock")).unwrap();
    let args = vec!["--control".into(), first.control().into()];
    let second = Gateway::spawn(&path("other.sock"), &Settings { args, ..Settings::default() });
    let _client = joined(&engine).await;
    let said = second.wait_for("control socket", 1);
    let expect = format!(
        "warning: goes on without a control socket: failed to listen at {}",
        first.control().display()
    );
    assert!(said.starts_with(&expect), "{said}");
    assert!(said.contains(&format!("process {}", first.pid())), "{said}");
    second.wait_until_ready(1);
    assert_eq!(plugins(&first)["version"], json!(1));
}

/// A gateway with metrics and one launched plugin.
fn start(engine: &Path, metrics: &Path, folder: &Path, script: &Value) -> Gateway {
    let launched = Launched::new(Maker::Ours, "10-launched", script, &folder.join("lines")).unwrap();
    let address = format!("unix:{}", metrics.display());
    let args = vec!["--metrics".into(), address.into()];
    Gateway::spawn(engine, &Settings { plugins: vec![launched], args, ..Settings::default() })
}

/// The gateway, registered and told what is there.
async fn joined(engine: &FakeEngine) -> Client {
    engine.joined(vec![pod("p1")], vec![]).await
}

/// A plugin that connects, asks for one event and has been told what is there.
async fn connect(gateway: &Gateway, folder: &Path) -> Plugin {
    let script = json!({"events": ["CreateContainer"]});
    let plugin = Plugin::connect(Maker::Ours, &gateway.socket(), "20-connected", &script, folder).unwrap();
    until("both plugins are active", || {
        let report = plugins(gateway);
        let list = report["plugins"].as_array().unwrap();
        list.len() == 2 && list.iter().all(|plugin| plugin["state"] == json!("active"))
    })
    .await;
    plugin
}

fn check_report(report: &Value, gateway: &Gateway) {
    assert_eq!(report["version"], json!(1));
    let engine = &report["engine"];
    assert_eq!(
        [
            &engine["name"],
            &engine["version"],
            &engine["nriVersion"],
            &engine["connected"],
            &engine["reconnects"]
        ],
        [&json!("containerd"), &json!("2.3.4"), &json!("0.12.0"), &json!(true), &json!(0)]
    );
    let [launched, connected] = [&report["plugins"][0], &report["plugins"][1]];
    assert_eq!(
        [&launched["index"], &launched["name"], &launched["launched"]],
        [&json!("10"), &json!("launched"), &json!(true)]
    );
    // A creation, its validation, and a notice; and a refusal.
    assert_eq!(
        [&launched["answers"], &launched["vetoes"], &launched["lates"]],
        [&json!(3), &json!(1), &json!(0)],
        "{launched}"
    );
    assert_eq!(launched["events"].as_array().unwrap().len(), 14);
    assert_eq!([&connected["launched"], &connected["events"]], [&json!(false), &json!(["CreateContainer"])]);
    assert_ne!(connected["pid"], json!(gateway.pid()));
    assert_eq!(connected["identity"]["assurance"], json!("medium"));
    // A creation and a notice; and a creation that was refused.
    assert_eq!([&report["totals"]["requests"], &report["totals"]["failures"]], [&json!(2), &json!(1)]);
}

fn check_metrics(samples: &Samples) {
    for (series, expect) in [
        (r#"nri_requests_total{operation="CreateContainer",result="ok"}"#, 1.0),
        (r#"nri_requests_total{operation="CreateContainer",result="veto"}"#, 1.0),
        (r#"nri_requests_total{operation="PostCreateContainer",result="ok"}"#, 1.0),
        (r#"nri_request_duration_seconds_count{operation="CreateContainer"}"#, 2.0),
        (r#"nri_plugin_request_duration_seconds_count{plugin="10-launched",event="CreateContainer"}"#, 2.0),
        (
            r#"nri_plugin_request_duration_seconds_count{plugin="10-launched",event="PostCreateContainer"}"#,
            1.0,
        ),
        (
            r#"nri_plugin_request_duration_seconds_count{plugin="10-launched",event="ValidateContainerAdjustment"}"#,
            1.0,
        ),
        (r#"nri_plugin_request_duration_seconds_count{plugin="20-connected",event="CreateContainer"}"#, 1.0),
        (r#"nri_plugin_failures_total{plugin="10-launched",reason="veto"}"#, 1.0),
        (r#"nri_changes_total{field="env",op="add"}"#, 1.0),
        ("nri_plugins_connected", 2.0),
        ("nri_engine_connected", 1.0),
        ("nri_engine_reconnects_total", 0.0),
    ] {
        assert_eq!(samples.value(series), Some(expect), "{series}\n{samples:#?}");
    }
    // What names a pod or a container would make series without end, and tell more than numbers.
    let known = ["event", "field", "le", "op", "operation", "plugin", "reason", "result"];
    assert_eq!(samples.labels().iter().map(String::as_str).collect::<Vec<_>>(), known);
    assert!(samples.kinds().keys().all(|family| family.starts_with("nri_")), "{samples:#?}");
}

fn plugins(gateway: &Gateway) -> Value {
    serde_json::from_str(&shown(gateway, &["-o", "json"])).unwrap()
}

fn table(gateway: &Gateway) -> String {
    shown(gateway, &[])
}

fn shown(gateway: &Gateway, args: &[&str]) -> String {
    let output = Command::new(nri())
        .args(["plugins", "--control"])
        .arg(gateway.control())
        .args(args)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", gateway.log());
    String::from_utf8(output.stdout).unwrap()
}

fn scrape(path: &Path) -> Samples {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: nri\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("application/openmetrics-text; version=1.0.0; charset=utf-8"), "{head}");
    Samples::read(body).unwrap_or_else(|wrong| panic!("{wrong}\n{body}"))
}
