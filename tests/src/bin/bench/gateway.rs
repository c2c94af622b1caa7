//! What the gateway and its host cost: `cargo xtask bench gateway` runs `bench gateway`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::Failure;
use crate::compare::{CALLS, ROUNDS, Row, WARM, median, nanoseconds, progress, settle};
use crate::entrant::Entrant;
use crate::ours::resident_of;
use crate::round::{Round, Took};

/// What one plugin gets for a request, unless its settings say otherwise.
const TIMEOUT: Duration = nri_wire::limits::REQUEST_TIMEOUT;
const IDLE: usize = 100;

pub(crate) fn run(go: &str, nri: &str, json: bool) -> Result<(), Failure> {
    let mut rows = Vec::new();
    added(go, nri, &mut rows)?;
    at_once(go, &mut rows)?;
    stopped(go, &mut rows)?;
    rows.push(Row {
        what: "memory of one of 100 idle plugins in the host ÷ 64 KiB",
        ratio: idle()? / 64.0,
        must: 1.0,
    });
    settle(&rows, json)
}

fn round(what: &str, size: usize, calls: usize, warm: usize) -> Round {
    Round { what: what.to_owned(), size, calls, warm, request_bytes: 0, response_bytes: 0 }
}

/// A Go engine and a Go plugin, directly and with the gateway between them, in turns on one core.
fn added(go: &str, nri: &str, rows: &mut Vec<Row>) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (direct, engine, listen) = (path("direct"), path("engine"), path("listen"));
    let (state, control) = (path("state"), path("control"));
    let gateway = [
        nri,
        "gateway",
        "--listen",
        &listen,
        "--state-dir",
        &state,
        "--control",
        &control,
        "--engine-socket",
        &engine,
    ];
    let mut entrants = [
        Entrant::start(
            true,
            &[go, "bench", "adaptation", "-socket", &direct],
            &[&[go, "bench", "plugin", "-socket", &direct]],
        )?,
        Entrant::start(
            true,
            &[go, "bench", "adaptation", "-socket", &engine],
            &[&gateway, &[go, "bench", "plugin", "-socket", &listen]],
        )?,
    ];
    for (text, what, size, must) in [
        ("gateway adds to a small CreateContainer ÷ Go, p50", "rpc", 0, 1.2),
        ("gateway adds to one of 11 KB ÷ Go, p50", "rpc", 11 << 10, 1.2),
        ("the same, small, with the engine's validation call", "call", 0, 2.8),
        ("the same, 11 KB, with the engine's validation call", "call", 11 << 10, 2.8),
    ] {
        let round = round(what, size, CALLS, WARM);
        let mut took: [Vec<Took>; 2] = Default::default();
        for number in 0..ROUNDS {
            progress(&format!("{text}: round {} of {ROUNDS}", number + 1));
            for (entrant, took) in entrants.iter_mut().zip(&mut took) {
                took.push(entrant.run(&round)?);
            }
        }
        let [direct, through] = took.map(|took| nanoseconds(median(&took).p50_ns));
        rows.push(Row { what: text, ratio: (through - direct) / direct, must });
    }
    Ok(())
}

/// 8 containers at once through 4 plugins that take 20 ms each.
fn at_once(go: &str, rows: &mut Vec<Row>) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let own = std::env::current_exe()?.to_string_lossy().into_owned();
    let (theirs, ours, wide) = (path("go"), path("ours"), path("wide"));
    let host = |socket: &str, driver: &[&str]| -> Result<u64, Failure> {
        let plugins = sleepers(go, socket);
        let plugins: Vec<Vec<&str>> =
            plugins.iter().map(|words| words.iter().map(String::as_str).collect()).collect();
        let plugins: Vec<&[&str]> = plugins.iter().map(Vec::as_slice).collect();
        let mut entrant = Entrant::start(false, driver, &plugins)?;
        let took =
            (0..ROUNDS).map(|_| entrant.run(&round("parallel", 0, 8, 0))).collect::<Result<Vec<_>, _>>()?;
        Ok(median(&took).p50_ns)
    };
    progress("8 containers at once");
    let go_took = host(&theirs, &[go, "bench", "adaptation", "-plugins", "4", "-socket", &theirs])?;
    let took = host(&ours, &[&own, "host", &ours, "4", "1"])?;
    let wide_took = host(&wide, &[&own, "host", &wide, "4", "8"])?;
    let ratio = |took| nanoseconds(took) / nanoseconds(go_took);
    rows.push(Row { what: "8 containers, 4 plugins of 20 ms, ours ÷ Go", ratio: ratio(took), must: 0.4 });
    rows.push(Row { what: "the same with concurrency = 8", ratio: ratio(wide_took), must: 0.15 });
    Ok(())
}

/// The command lines of four Go plugins that take 20 ms to adjust nothing.
fn sleepers(go: &str, socket: &str) -> Vec<Vec<String>> {
    (0..4)
        .map(|n| {
            let name = format!("sleeper{n}");
            [go, "bench", "plugin", "-name", &name, "-index", "10", "-sleep", "20ms", "-socket", socket]
                .map(str::to_owned)
                .to_vec()
        })
        .collect()
}

/// One of two plugins is stopped: the creations that are under way wait for it once, all later ones do not.
fn stopped(go: &str, rows: &mut Vec<Row>) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("host").to_string_lossy().into_owned();
    let own = std::env::current_exe()?.to_string_lossy().into_owned();
    let plugin = |name: &'static str| {
        [go, "bench", "plugin", "-name", name, "-index", "10", "-sleep", "1ms", "-socket", &socket]
    };
    let mut entrant =
        Entrant::start(false, &[&own, "host", &socket, "2", "1"], &[&plugin("stops"), &plugin("goes-on")])?;
    progress("one plugin is stopped");
    let usual = entrant.run(&round("create", 0, 50, 5))?.max_ns;
    let plugin = Pid::from_child(entrant.peer().ok_or("no plugin")?);
    kill_process(plugin, Signal::STOP)?;
    let first = entrant.run(&round("parallel", 0, 8, 0))?.p50_ns;
    let later = entrant.run(&round("create", 0, 200, 0))?.max_ns;
    kill_process(plugin, Signal::CONT)?;
    let timeout = TIMEOUT.as_secs_f64() * 1e9;
    let share = |took: u64| nanoseconds(took.saturating_sub(usual)) / timeout;
    rows.push(Row {
        what: "8 creations when a plugin stops ÷ its time-out",
        ratio: share(first),
        must: 1.05,
    });
    rows.push(Row {
        what: "worst of 200 creations after that ÷ its time-out",
        ratio: share(later),
        must: 0.05,
    });
    Ok(())
}

/// Kilobytes that one of many idle plugins adds to what the host has resident.
fn idle() -> Result<f64, Failure> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("host").to_string_lossy().into_owned();
    let own = std::env::current_exe()?.to_string_lossy().into_owned();
    progress("idle plugins");
    let entrant = Entrant::start(false, &[&own, "host", &socket, "0", "1"], &[])?;
    let settle = || std::thread::sleep(Duration::from_secs(1));
    settle();
    let before = resident_of(entrant.driver())?;
    let _plugins = IdlePlugins::start(&own, &socket)?;
    settle();
    #[expect(clippy::cast_precision_loss, reason = "a hundred")]
    Ok((resident_of(entrant.driver())? - before) / IDLE as f64)
}

struct IdlePlugins(Child);

impl IdlePlugins {
    fn start(own: &str, socket: &str) -> Result<Self, Failure> {
        let count = IDLE.to_string();
        let mut child = Command::new(own)
            .args(["idle-plugins", socket, &count])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or("no stdout")?;
        let plugins = Self(child);
        let mut line = String::new();
        if BufReader::new(output).read_line(&mut line)? == 0 {
            return Err("the idle plugins did not connect".into());
        }
        Ok(plugins)
    }
}

impl Drop for IdlePlugins {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
