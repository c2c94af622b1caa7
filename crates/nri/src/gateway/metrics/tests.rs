//! The numbers after a few requests. That the text is OpenMetrics is checked where a whole gateway runs (`tests/`).

use nri_runtime::host::{Cause, Created, Tally, Told};
use nri_runtime::merge::{Creation, Merged};

use super::super::engine::Lost;
use super::super::limits;
use super::*;

fn name(name: &str) -> PluginName {
    name.parse().unwrap()
}

fn consulted(plugin: &str, outcome: Outcome, millis: u64) -> Consulted {
    Consulted { took: Duration::from_millis(millis), ..Consulted::new(name(plugin), outcome) }
}

fn relayed(event: Event, outcome: Relay<'_>, lost: &[Lost], metrics: &Metrics) {
    metrics.relayed(&Relayed {
        event,
        pod: None,
        container: None,
        resources: None,
        outcome,
        took: Duration::from_millis(3),
        lost,
    });
}

fn snapshot() -> Snapshot {
    let plugin = PluginStatus {
        name: name("10-a"),
        pid: None,
        launched: false,
        identity: Default::default(),
        connected_since: std::time::SystemTime::UNIX_EPOCH,
        active: true,
        overdue: false,
        waiting: 2,
        events: Default::default(),
        tally: Tally { late_answers: 4, ..Tally::default() },
    };
    let totals = Totals { joined: 3, lost: 2, refused: 1, restarts: 5, ..Totals::default() };
    Snapshot { plugins: vec![plugin], totals, connected: true, connects: 3, unseen: Some(7) }
}

/// Every sample that is expected, and no other of its name.
fn check(text: &str, expect: &[&str]) {
    for sample in expect {
        assert!(text.lines().any(|line| line == *sample), "{sample}\n{text}");
        let name = sample.split(['{', ' ']).next().unwrap();
        let same = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name)).count();
        let expected = expect.iter().filter(|line| line.split(['{', ' ']).next() == Some(name)).count();
        assert_eq!(same, expected, "{name}\n{text}");
    }
}

#[test]
fn requests_and_calls() {
    let metrics = Metrics::new();
    let plugins = vec![
        consulted("10-a", Outcome::Answer, 1),
        consulted("20-b", Outcome::Late, 2000),
        consulted("30-c", Outcome::Late, 0),
        consulted("40-d", Outcome::Gone, 5),
        consulted("50-e", Outcome::Gone, 0),
    ];
    relayed(Event::RunPodSandbox, Relay::Told(&Told { plugins }), &[], &metrics);
    let plugins = vec![consulted("10-a", Outcome::Veto("no".into()), 1)];
    let cause = Cause::Veto { plugin: name("10-a"), reason: "no".into(), code: 2 };
    let failure = Failure { event: Event::CreateContainer, cause, plugins, refused: Vec::new() };
    relayed(Event::CreateContainer, Relay::Failed(&failure), &[], &metrics);
    let plugins = vec![consulted("10-a", Outcome::Answer, 1)];
    let cause = Cause::Invalid { plugin: name("10-a"), reason: "what".into() };
    let failure = Failure { event: Event::CreateContainer, cause, plugins, refused: Vec::new() };
    relayed(Event::CreateContainer, Relay::Failed(&failure), &[], &metrics);
    check(
        &metrics.text(Some(&snapshot())),
        &[
            r#"nri_requests_total{operation="RunPodSandbox",result="ok"} 1"#,
            r#"nri_requests_total{operation="CreateContainer",result="veto"} 1"#,
            r#"nri_requests_total{operation="CreateContainer",result="invalid"} 1"#,
            r#"nri_request_duration_seconds_count{operation="RunPodSandbox"} 1"#,
            r#"nri_request_duration_seconds_count{operation="CreateContainer"} 2"#,
            r#"nri_request_duration_seconds_sum{operation="RunPodSandbox"} 0.003"#,
            r#"nri_request_duration_seconds_sum{operation="CreateContainer"} 0.006"#,
            r#"nri_plugin_request_duration_seconds_count{plugin="10-a",event="RunPodSandbox"} 1"#,
            r#"nri_plugin_request_duration_seconds_count{plugin="10-a",event="CreateContainer"} 2"#,
            r#"nri_plugin_request_duration_seconds_count{plugin="20-b",event="RunPodSandbox"} 1"#,
            r#"nri_plugin_request_duration_seconds_count{plugin="40-d",event="RunPodSandbox"} 1"#,
            r#"nri_plugin_failures_total{plugin="10-a",reason="veto"} 1"#,
            r#"nri_plugin_failures_total{plugin="10-a",reason="invalid"} 1"#,
            r#"nri_plugin_failures_total{plugin="20-b",reason="timeout"} 1"#,
            r#"nri_plugin_failures_total{plugin="40-d",reason="closed"} 1"#,
            r#"nri_plugin_failures_total{plugin="50-e",reason="closed"} 1"#,
            r#"nri_plugin_skipped_total{plugin="30-c"} 1"#,
            r#"nri_plugin_waiting_requests{plugin="10-a"} 2"#,
            r#"nri_plugin_late_answers_total{plugin="10-a"} 4"#,
            "nri_plugins_connected 1",
            "nri_engine_connected 1",
            "nri_engine_reconnects_total 2",
            "nri_unseen_containers 7",
            "nri_plugins_joined_total 3",
            "nri_plugin_connections_lost_total 2",
            "nri_plugin_connections_refused_total 1",
            "nri_plugin_restarts_total 5",
        ],
    );
}

#[test]
fn changes_and_losses() {
    use nri_policy::change::Recorded;
    let metrics = Metrics::new();
    let change = |subject, op| Attributed {
        plugin: name("10-a"),
        change: Recorded {
            update: None,
            subject,
            key: "secret".into(),
            op,
            before: serde_json::Value::Null,
            after: serde_json::Value::Null,
        },
    };
    let env = Subject::Field(nri_wire::field::Field::Env);
    let changes = vec![
        change(env, Op::Add),
        change(env, Op::Add),
        change(env, Op::Remove),
        change(Subject::Unknown, Op::Add),
    ];
    let created = Created {
        merged: Merged { changes, ..Creation::new(Default::default()).finish() },
        plugins: Vec::new(),
        validators: vec![consulted("90-v", Outcome::Answer, 1)],
        refused: Vec::new(),
    };
    let lost = [Lost { plugin: name("10-a"), field: "sysctl", key: "k".into(), why: "it is old" }];
    relayed(Event::CreateContainer, Relay::Created(&created), &lost, &metrics);
    metrics.unsolicited(&name("10-a"), &[ContainerUpdate::default(), ContainerUpdate::default()], 1);
    let text = metrics.text(None);
    check(
        &text,
        &[
            r#"nri_changes_total{field="env",op="add"} 2"#,
            r#"nri_changes_total{field="env",op="remove"} 1"#,
            r#"nri_changes_total{field="unknown",op="add"} 1"#,
            r#"nri_lost_total{field="sysctl"} 1"#,
            r#"nri_unsolicited_updates_total{result="applied"} 1"#,
            r#"nri_unsolicited_updates_total{result="failed"} 1"#,
            r#"nri_plugin_request_duration_seconds_count{plugin="90-v",event="ValidateContainerAdjustment"} 1"#,
        ],
    );
    assert!(!text.contains("secret") && !text.contains("nri_engine_connected"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}

/// Names are what plugins say they are: whoever makes up many gets no more labels for it.
#[test]
fn labels_are_bounded() {
    let names = Names::default();
    for number in 0..METRICS_PLUGINS_MAX {
        let own = format!("10-{number}");
        assert_eq!(&*names.label(&name(&own)), own);
    }
    assert_eq!(&*names.label(&name("10-one-more")), OTHER);
    assert_eq!(&*names.label(&name("10-0")), "10-0");
    names.trust(&name("20-ours"));
    assert_eq!(&*names.label(&name("20-ours")), "20-ours");
    assert_eq!(&*names.label(&name("10-one-more")), OTHER);
}

#[test]
fn addresses() {
    for (text, expect) in [
        ("127.0.0.1:9464", Some("127.0.0.1:9464")),
        ("[::1]:9464", Some("[::1]:9464")),
        ("unix:/run/nri/metrics.sock", Some("unix:/run/nri/metrics.sock")),
        ("unix:", None),
        ("localhost:9464", None),
        ("9464", None),
        ("/run/m.sock", None),
    ] {
        let address = text.parse::<Address>().map(|address| address.to_string());
        assert_eq!(address.as_deref().ok(), expect, "{text}");
        if let Err(failure) = address {
            assert!(failure.to_string().starts_with(&format!("--metrics {text}: an IP address with port")));
        }
    }
}

/// Sees always the same.
struct Fixed;

impl Sight for Fixed {
    fn look(&self) -> Callback<'_, Snapshot> {
        Box::pin(std::future::ready(snapshot()))
    }
}

/// Sends a request, and gives all that comes back.
async fn ask(path: &std::path::Path, request: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::UnixStream::connect(path).await.unwrap();
    // A refused connection may be gone before all is written.
    drop(stream.write_all(request.as_bytes()).await);
    let mut answer = String::new();
    drop(stream.read_to_string(&mut answer).await);
    answer
}

#[tokio::test]
async fn over_http() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.sock");
    let endpoint = Endpoint::bind(&Address::Unix(path.clone())).await.unwrap();
    let server = tokio::spawn(endpoint.serve(Arc::new(Metrics::new()), Arc::new(Fixed)));
    for (request, status, holds) in [
        ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK", "\nnri_engine_connected 1\n"),
        ("GET /metrics?x=1 HTTP/1.0\r\n\r\n", "200 OK", "# EOF\n"),
        ("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK", "content-type: application/openmetrics-text"),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "404 Not Found", "metrics are at /metrics"),
        ("POST /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "405 Method Not Allowed", "allow: GET, HEAD"),
        ("GET /metrics\r\n\r\n", "400 Bad Request", ""),
        ("hello\r\n\r\n", "400 Bad Request", ""),
    ] {
        let answer = ask(&path, request).await;
        let start = request.get(..30.min(request.len())).unwrap();
        assert!(answer.get(9..).is_some_and(|said| said.starts_with(status)), "{start}: {answer}");
        assert!(answer.contains(holds), "{start}: {answer}");
    }
    // The end of the connection may overtake the answer 431.
    let long = ask(&path, &format!("GET /metrics?{} HTTP/1.1\r\n\r\n", "x".repeat(100_000))).await;
    assert!(!long.contains("200 OK"), "{long}");
    // Connections that say nothing take their places and no others.
    let mut silent = Vec::new();
    while silent.len() < limits::METRICS_CONNECTIONS_MAX {
        silent.push(tokio::net::UnixStream::connect(&path).await.unwrap());
    }
    let request = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(ask(&path, request).await, "");
    drop(silent);
    while ask(&path, request).await.is_empty() {}
    server.abort();
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let first = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::Tcp(first.local_addr().unwrap());
    let failure = Endpoint::bind(&address).await.unwrap_err().to_string();
    assert!(failure.starts_with(&format!("failed to listen at {address} for --metrics: ")), "{failure}");
}
