//! Both sides of the control socket against each other, and the server against what is no client.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nri_runtime::host::{Callback, ListenError, PluginStatus, Tally};
use nri_wire::event::{Event, EventMask};
use serde_json::{Value, json};

use super::*;

/// One plugin, one engine.
struct Fixed;

impl Source for Fixed {
    fn report(&self) -> Callback<'_, Report> {
        let tally = Tally { answers: 2, time: Duration::from_micros(300), ..Tally::default() };
        let plugin = PluginStatus {
            name: "10-a".parse().unwrap(),
            pid: Some(7),
            launched: true,
            identity: nri_runtime::host::Identity::default(),
            connected_since: std::time::SystemTime::UNIX_EPOCH,
            active: true,
            overdue: false,
            waiting: 1,
            events: EventMask::NONE.with(Event::CreateContainer),
            tally,
        };
        let engine = Engine { name: "containerd".into(), connected: true, ..Engine::default() };
        let report = Report::new(Some(engine), &[plugin], nri_runtime::host::Totals::default());
        Box::pin(std::future::ready(report))
    }
}

/// A server on a thread of its own; it ends with the process.
fn serve() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let (bound, is_bound) = std::sync::mpsc::channel();
    let at = path.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::bind(&at).unwrap();
            bound.send(()).unwrap();
            server.serve(Arc::new(Fixed)).await;
        });
    });
    is_bound.recv().unwrap();
    (folder, path)
}

fn say(path: &Path, line: &[u8]) -> Value {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(line).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with('\n'), "{answer:?}");
    serde_json::from_str(&answer).unwrap()
}

/// The form that scripts rely on (cli.md, "nri plugins").
#[test]
fn the_report_comes_as_json() {
    let (_folder, path) = serve();
    let expect = json!({
        "version": 1,
        "engine": {"name": "containerd", "version": "", "nriVersion": "", "connected": true, "since": "", "reconnects": 0},
        "plugins": [{"name": "a", "index": "10", "pid": 7, "launched": true, "state": "active",
            "since": "1970-01-01T00:00:00.000Z",
            "identity": {"launched": false, "proofs": [], "assurance": "weak"},
            "events": ["CreateContainer"], "queue": 1, "answers": 2, "vetoes": 0, "lates": 0, "skipped": 0,
            "lateAnswers": 0, "meanMicros": 150}],
        "totals": {"calls": 0, "joined": 0, "lost": 0, "refused": 0, "restarts": 0, "requests": 0, "failures": 0},
        "unseen": [],
    });
    assert_eq!(client::ask(&path, "plugins", "nri plugins").unwrap(), expect);
    // Members that are not known yet are no fault.
    assert_eq!(say(&path, b"{\"version\":1,\"do\":\"plugins\",\"since\":3}\n"), expect);
}

#[test]
fn what_is_no_request_is_told_so() {
    let (_folder, path) = serve();
    let long = vec![b' '; REQUEST_MAX + 2];
    for (line, kind, message) in [
        (
            &b"{\"version\":1,\"do\":\"dance\"}\n"[..],
            "unknown",
            "do \"dance\": this gateway knows \"plugins\"",
        ),
        (b"{\"version\":2,\"do\":\"plugins\"}\n", "version", "version 2 of the protocol"),
        (b"{\"version\":1}\n", "request", "missing field `do`"),
        (b"plugins\n", "request", "expected value"),
        (b"\xff\n", "request", "expected value"),
        (b"\n", "request", "EOF"),
        (&long, "request", "a request has at most 4096 bytes"),
    ] {
        let answer = say(&path, line);
        assert_eq!((&answer["version"], &answer["error"]["kind"]), (&json!(1), &json!(kind)), "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().starts_with(message), "{answer}");
    }
    let failure = client::ask(&path, "dance", "nri dance").unwrap_err().to_string();
    assert!(failure.ends_with("refuses: do \"dance\": this gateway knows \"plugins\""), "{failure}");
}

/// Silent connections take their places, no others, and give them back.
#[test]
fn connections_are_bounded() {
    let (_folder, path) = serve();
    let silent: Vec<UnixStream> = (0..CONNECTIONS_MAX).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let failure = client::ask(&path, "plugins", "nri plugins").unwrap_err().to_string();
    assert!(failure.contains("ended the connection"), "{failure}");
    drop(silent);
    while client::ask(&path, "plugins", "nri plugins").is_err() {}
}

#[tokio::test]
async fn a_live_gateway_keeps_its_socket() {
    let (_folder, path) = serve();
    assert!(matches!(Server::bind(&path), Err(ListenError::InUse(..))));
    let (stream, _other) = tokio::net::UnixStream::pair().unwrap();
    assert!(server::is_trusted(stream.peer_cred().unwrap().uid()));
    assert!(server::is_trusted(0));
    assert!(!server::is_trusted(rustix::process::geteuid().as_raw() + 1));
}

#[test]
fn what_is_no_gateway_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for answer in ["", "220 mail\n", "{}\n", "{\"version\":2}\n"] {
            let (mut stream, _) = listener.accept().unwrap();
            drop(stream.read(&mut [0; 256]));
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    for expect in
        ["ended the connection", "is not a gateway's", "does not speak version 1", "does not speak version 1"]
    {
        let failure = client::ask(&path, "plugins", "nri plugins").unwrap_err().to_string();
        assert!(failure.contains(expect), "{failure}");
    }
}
