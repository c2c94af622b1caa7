//! What happens to a gateway on a bad day: killed, out of descriptors, out of disk, its directory deleted, everybody around
//! it hanging.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nri_tests::fake_engine::{Client, FakeEngine, container, pod};
use nri_wire::event::{Event, EventMask};
use nri_wire::service;
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use super::kit::{Bench, FakePlugin, PATIENCE};

/// A gateway whose launched plugin is a script that hangs, whatever it is told.
async fn with_a_hanging_plugin(args: &[&str]) -> (Bench, Client) {
    let mut bench = Bench::new(args);
    let plugin = bench.gateway.path("plugins").join("10-hangs");
    let first = bench.engine.connected().await;
    bench.gateway.end(Signal::TERM);
    drop(first);
    fs::write(&plugin, "#!/bin/sh\ntrap '' TERM INT HUP\nwhile :; do sleep 1; done\n").unwrap();
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).unwrap();
    bench.gateway.start_again();
    let client = attach(&bench).await;
    (bench, client)
}

async fn attach(bench: &Bench) -> Client {
    let client = bench.engine.accept().await;
    client.configure().await;
    client.synchronize(Vec::new(), Vec::new()).await;
    client
}

/// Processes with this text in their command line.
fn processes(text: &str) -> Vec<u32> {
    let all =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    all.filter(|pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(text)
    })
    .collect()
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Waits for the end, and gives how long it took.
async fn ends(bench: &mut Bench) -> Duration {
    let start = Instant::now();
    while bench.gateway.is_alive() {
        assert!(start.elapsed() < PATIENCE, "it does not end:\n{}", bench.gateway.log());
        sleep(Duration::from_millis(10)).await;
    }
    start.elapsed()
}

/// A process that is gone may not be reaped yet by whoever got it.
async fn until_none(text: &str) {
    let start = Instant::now();
    while !processes(text).is_empty() {
        assert!(start.elapsed() < PATIENCE, "{text} still runs");
        sleep(Duration::from_millis(10)).await;
    }
}

/// SIGTERM while a launched plugin, a connected one, the engine and people who ask all hang.
#[tokio::test]
async fn the_end_waits_for_nobody() {
    for signal in [Signal::TERM, Signal::INT] {
        let (mut bench, mut client) = with_a_hanging_plugin(&[]).await;
        client.timeout = Duration::from_secs(2);
        let events = EventMask::NONE.with(Event::CreateContainer).with(Event::StopContainer);
        let silent = FakePlugin::join(&bench.gateway.socket(), "20", "silent", events).await;
        let mut asking = UnixStream::connect(bench.gateway.control()).await.unwrap();
        asking.write_all(b"{").await.unwrap();
        let plugin = bench.gateway.path("plugins/10-hangs").display().to_string();
        let start = Instant::now();
        while processes(&plugin).is_empty() {
            assert!(start.elapsed() < PATIENCE, "{}", bench.gateway.log());
            sleep(Duration::from_millis(10)).await;
        }
        let client = std::sync::Arc::new(client);
        let requests = std::sync::Arc::clone(&client);
        let asked = tokio::spawn(async move {
            let (p, c) = (pod("p1"), container("c1", "p1"));
            tokio::join!(requests.create(&p, &c), requests.stop(&p, &c))
        });
        sleep(Duration::from_millis(100)).await;
        bench.gateway.signal(signal);
        sleep(Duration::from_millis(100)).await;
        bench.gateway.signal(signal);
        let took = ends(&mut bench).await;
        assert!(took < Duration::from_secs(7), "{took:?}");
        let (created, stopped) = timeout(PATIENCE, asked).await.unwrap().unwrap();
        assert!(created.is_ok() && stopped.is_ok(), "{created:?} {stopped:?}");
        until_none(&plugin).await;
        let left = names(&bench.gateway.path(""));
        assert!(!left.contains("nri.sock") && !left.contains("control.sock"), "{left:?}");
        drop((silent, asking));
    }
}

/// Killed and started again, twenty times: no process, no socket and no file of the dead ones stays, and what was seen is
/// known.
#[tokio::test]
async fn killed_again_and_again() {
    let (mut bench, mut client) = with_a_hanging_plugin(&[]).await;
    let hanging = bench.gateway.path("plugins/10-hangs").display().to_string();
    let plugins = bench.gateway.path("plugins");
    std::os::unix::fs::symlink(nri_tests::ours::scripted_plugin(), plugins.join("20-works")).unwrap();
    fs::write(
        bench.gateway.path("conf.d/works.conf"),
        json!({"output": bench.gateway.path("lines")}).to_string(),
    )
    .unwrap();
    let (p, c) = (pod("p1"), container("c1", "p1"));
    client.create(&p, &c).await.unwrap();
    client.notice(Event::PostCreateContainer, &p, Some(&c)).await.unwrap();
    for round in 0..20 {
        let connected = FakePlugin::join(&bench.gateway.socket(), "30", "connected", EventMask::ALL).await;
        if round % 2 == 0 {
            // In the middle of something.
            let _ = timeout(Duration::from_millis(20), client.create(&p, &container("c2", "p1"))).await;
        }
        bench.gateway.end(Signal::KILL);
        timeout(PATIENCE, connected.peer.closed()).await.unwrap();
        until_killed(&hanging);
        bench.gateway.start_again();
        client = bench.engine.accept().await;
        client.configure().await;
        client.synchronize(vec![p.clone()], vec![c.clone()]).await;
        let socket = bench.gateway.socket();
        let start = Instant::now();
        while UnixStream::connect(&socket).await.is_err() {
            assert!(start.elapsed() < PATIENCE);
            sleep(Duration::from_millis(10)).await;
        }
        let there = names(&bench.gateway.path(""));
        assert!(!there.iter().any(|name| name.starts_with('.')), "{round}: {there:?}");
        assert_eq!(fs::read_to_string(bench.gateway.path("state/seen")).unwrap(), "c1\n");
    }
    assert!(!bench.gateway.log().contains("did not go through"), "{}", bench.gateway.log());
    assert_eq!(names(&bench.gateway.path("state")).len(), 1);
}

/// The kernel tells a launched plugin that the gateway is gone; one that does not care is left to the service manager,
/// which kills the whole unit. Here the test does.
fn until_killed(plugin: &str) {
    for pid in processes(plugin) {
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

/// SIGHUP in a loop.
#[tokio::test]
async fn settings_read_again_and_again() {
    let (mut bench, client) = Bench::ready(&[]).await;
    let (p, c) = (pod("p1"), container("c1", "p1"));
    for _ in 0..200 {
        bench.gateway.signal(Signal::HUP);
        client.create(&p, &c).await.unwrap();
    }
    bench.gateway.signal(Signal::TERM);
    bench.gateway.signal(Signal::HUP);
    ends(&mut bench).await;
}

/// No descriptor is left: connections wait, what is there goes on, and all is well once connections go.
#[tokio::test]
async fn out_of_descriptors() {
    let (bench, mut client) = Bench::ready(&[]).await;
    let mut plugin = FakePlugin::join(&bench.gateway.socket(), "10", "a", EventMask::ALL).await;
    tokio::spawn(async move {
        while let Some(request) = plugin.requests.next().await {
            request.answer::<service::Shutdown>(Ok(nri_wire::api::Empty {}));
        }
    });
    let pid = Pid::from_raw(i32::try_from(bench.gateway.pid()).unwrap());
    let limit = Rlimit { current: Some(40), maximum: Some(40) };
    prlimit(pid, Resource::Nofile, limit).unwrap();
    let before = bench.gateway.log().len();
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(UnixStream::connect(bench.gateway.socket()).await.unwrap());
    }
    let (p, c) = (pod("p1"), container("c1", "p1"));
    for _ in 0..20 {
        client.create(&p, &c).await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    let said = bench.gateway.log().len() - before;
    assert!(said < 12 << 10, "{said} bytes of log in 2 s:\n{}", bench.gateway.log());
    // The engine goes, and there is no descriptor to reach it: it is found again when there is.
    client.close();
    sleep(Duration::from_millis(500)).await;
    drop(silent);
    client = attach(&bench).await;
    client.create(&p, &c).await.unwrap();
    let _another = bench.plugin("20", "b").await;
    let answer = ask(&bench, b"{\"version\":1,\"do\":\"plugins\"}\n").await;
    assert!(answer.contains("\"totals\""), "{answer}");
}

/// Many containers come and go, some of them in vain, and nothing is left of them.
#[tokio::test]
async fn containers_come_and_go() {
    let (bench, client) = Bench::ready(&[]).await;
    let mut plugin = bench.plugin("10", "a").await;
    tokio::spawn(async move {
        while let Some(request) = plugin.requests.next().await {
            request.answer::<service::Shutdown>(Ok(nri_wire::api::Empty {}));
        }
    });
    let mut memory = 0;
    for number in 0..1500 {
        let p = pod(&format!("p{number}"));
        let mut c = container(&format!("c{number}"), &p.id);
        c.env = vec![format!("A={}", "x".repeat(10_000))];
        let mut vain = container(&format!("v{number}"), &p.id);
        vain.env.clone_from(&c.env);
        client.notice(Event::RunPodSandbox, &p, None).await.unwrap();
        client.create(&p, &vain).await.unwrap();
        client.create(&p, &c).await.unwrap();
        client.notice(Event::StartContainer, &p, Some(&c)).await.unwrap();
        client.stop(&p, &c).await.unwrap();
        client.notice(Event::RemoveContainer, &p, Some(&c)).await.unwrap();
        client.notice(Event::RemovePodSandbox, &p, None).await.unwrap();
        if number == 300 {
            memory = bench.memory();
        }
    }
    // What is left of each would be 12 MB at least.
    assert!(bench.memory() < memory + (8 << 10), "{memory} -> {} KiB", bench.memory());
}

/// Nobody reads the log: it is full at some time, and nothing waits for it.
#[tokio::test]
async fn a_log_that_nobody_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let engine = FakeEngine::bind(&path("engine.sock")).unwrap();
    let mut command = Command::new(nri_tests::ours::nri());
    command.args(["-vv", "gateway"]).stderr(Stdio::piped());
    for (flag, name) in [
        ("--engine-socket", "engine.sock"),
        ("--listen", "nri.sock"),
        ("--control", "c.sock"),
        ("--state-dir", "s"),
    ] {
        command.arg(flag).arg(path(name));
    }
    let mut gateway = command.spawn().unwrap();
    let mut client = engine.accept().await;
    client.configure().await;
    client.synchronize(Vec::new(), Vec::new()).await;
    client.timeout = Duration::from_secs(2);
    let mut plugin = FakePlugin::join(&path("nri.sock"), "10", "a", EventMask::ALL).await;
    tokio::spawn(async move {
        while let Some(request) = plugin.requests.next().await {
            request.answer::<service::Shutdown>(Ok(nri_wire::api::Empty {}));
        }
    });
    for number in 0..400 {
        client.create(&pod("p1"), &container(&format!("c{number}"), "p1")).await.unwrap();
    }
    let mut log = gateway.stderr.take().unwrap();
    let read = tokio::task::spawn_blocking(move || {
        let mut text = Vec::new();
        log.read_to_end(&mut text).map(|_| text)
    });
    rustix::process::kill_process(Pid::from_child(&gateway), Signal::TERM).unwrap();
    let read = timeout(PATIENCE, read).await.unwrap().unwrap().unwrap();
    // It was full.
    assert!((56 << 10..80 << 10).contains(&read.len()), "{}", read.len());
    assert!(gateway.wait().unwrap().success());
}

/// The directory of the sockets is deleted: what is connected stays, and the end is in order.
#[tokio::test]
async fn a_directory_that_is_deleted() {
    let (mut bench, client) = Bench::ready(&[]).await;
    let _plugin =
        FakePlugin::join(&bench.gateway.socket(), "10", "a", EventMask::NONE.with(Event::RunPodSandbox))
            .await;
    let (p, c) = (pod("p1"), container("c1", "p1"));
    for name in ["nri.sock", "control.sock", "state/seen", "state"] {
        let path = bench.gateway.path(name);
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
    }
    for number in 0..200 {
        let c = container(&format!("c{number}"), "p1");
        client.create(&p, &c).await.unwrap();
        client.notice(Event::StartContainer, &p, Some(&c)).await.unwrap();
        client.notice(Event::RemoveContainer, &p, Some(&c)).await.unwrap();
    }
    client.create(&p, &c).await.unwrap();
    let warnings = bench.gateway.log().lines().filter(|line| line.starts_with("warning")).count();
    assert!(warnings < 20, "{}", bench.gateway.log());
    bench.gateway.signal(Signal::TERM);
    ends(&mut bench).await;
}

/// What comes back on the control socket, until it ends.
async fn ask(bench: &Bench, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(bench.gateway.control()).await.unwrap();
    // It may have heard enough before it has heard all.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// People who ask, and do not know how.
#[tokio::test]
async fn the_control_socket() {
    let (mut bench, client) = Bench::ready(&[]).await;
    for bytes in [
        &b"\n"[..],
        b"{\n",
        b"[[[[[[\n",
        b"{\"version\":-1}\n",
        b"{\"version\":1,\"do\":\"\xff\"}\n",
        b"{\"version\":1,\"do\":\"plug\0ins\"}\n",
        b"null\n",
        &[b'x'; 100_000],
        &b"[".repeat(4000),
        &[0; 4096],
    ] {
        let mut bytes = bytes.to_vec();
        bytes.push(b'\n');
        let answer = ask(&bench, &bytes).await;
        assert!(answer.is_empty() || answer.contains("\"error\""), "{answer}");
    }
    // More than are served, none of which takes its answer.
    let mut lazy = Vec::new();
    for _ in 0..100 {
        let mut stream = UnixStream::connect(bench.gateway.control()).await.unwrap();
        let _ = stream.write_all(b"{\"version\":1,\"do\":\"plugins\"}").await;
        lazy.push(stream);
    }
    client.create(&pod("p1"), &container("c1", "p1")).await.unwrap();
    // They have had their time.
    let start = Instant::now();
    while !ask(&bench, b"{\"version\":1,\"do\":\"plugins\"}\n").await.contains("\"totals\"") {
        assert!(start.elapsed() < PATIENCE);
        sleep(Duration::from_millis(100)).await;
    }
    assert!(bench.gateway.is_alive() && !bench.gateway.log().contains("panicked"));
    drop(lazy);
}

/// Those who fetch metrics, and do not know how.
#[tokio::test]
async fn the_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.sock");
    let address = format!("unix:{}", path.display());
    let (mut bench, client) = Bench::ready(&["--metrics", &address]).await;
    let mut held = Vec::new();
    for bytes in [
        &b"GET"[..],
        b"\0\0\0\0\r\n\r\n",
        b"POST /metrics HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        b"GET /metrics HTTP/9.9\r\n\r\n",
        &[b'a'; 100_000],
        &b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1000),
    ] {
        for _ in 0..4 {
            let mut stream = UnixStream::connect(&path).await.unwrap();
            let _ = timeout(Duration::from_secs(1), stream.write_all(bytes)).await;
            held.push(stream);
        }
    }
    client.create(&pod("p1"), &container("c1", "p1")).await.unwrap();
    let start = Instant::now();
    loop {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let mut text = String::new();
        let _ = timeout(PATIENCE, stream.read_to_string(&mut text)).await.unwrap();
        if text.contains("nri_requests_total") {
            break;
        }
        assert!(start.elapsed() < PATIENCE);
        sleep(Duration::from_millis(100)).await;
    }
    assert!(bench.gateway.is_alive() && !bench.gateway.log().contains("panicked"));
}

/// State and recording on a disk that is full, and has room again.
#[tokio::test]
async fn a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16k", "none"]).arg(&disk).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return nri_tests::skipped("mounting needs root");
    }
    let record = disk.join("record");
    let (mut bench, client) = Bench::ready(&["--record", record.to_str().unwrap()]).await;
    let p = pod("p1");
    let mut plugin = bench.plugin("10", "a").await;
    tokio::spawn(async move {
        while let Some(request) = plugin.requests.next().await {
            request.answer::<service::Shutdown>(Ok(nri_wire::api::Empty {}));
        }
    });
    for number in 0..300 {
        let c = container(&format!("c{number}"), "p1");
        client.create(&p, &c).await.unwrap();
        client.notice(Event::StartContainer, &p, Some(&c)).await.unwrap();
    }
    let warnings = bench.gateway.log().lines().filter(|line| line.starts_with("warning")).count();
    assert!((1..20).contains(&warnings), "{}", bench.gateway.log());
    assert!(bench.gateway.is_alive() && !bench.gateway.log().contains("panicked"));
    bench.gateway.signal(Signal::TERM);
    let took = ends(&mut bench).await;
    let unmounted = Command::new("umount").arg(&disk).status().unwrap();
    assert!(unmounted.success() && took < Duration::from_secs(6), "{took:?}");
}
