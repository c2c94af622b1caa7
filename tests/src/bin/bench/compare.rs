//! Interleaved rounds of all competitors, and the table of ratios against what `design.md` 10 asks.

use crate::entrant::Entrant;
use crate::round::{Round, Took};
use crate::{Failure, ours};

pub(crate) const ROUNDS: usize = 9;
pub(crate) const CALLS: usize = 2000;
pub(crate) const WARM: usize = 200;

/// Who takes part: a driver and a peer.
const FLOOR: usize = 0;
const OURS: usize = 1;
const GO: usize = 2;
const GO_UNDER_OURS: usize = 3;

/// One line of the table: what is divided by what, and the bound that must hold.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) ratio: f64,
    pub(crate) must: f64,
}

pub(crate) fn run(go: &str, go_idle: &str, idle: &str, json: bool) -> Result<(), Failure> {
    let pinned = Contest::hold(go, true)?;
    let unpinned = Contest::hold(go, false)?;
    let mut rows = vec![
        pinned.row("small call, ours ÷ floor, p50", "small", 0, OURS, FLOOR, false, 2.0),
        pinned.row("small call, ours ÷ Go, p50", "small", 0, OURS, GO, false, 1.0),
        pinned.row("create 11 KB, ours ÷ Go, p50", "create", 11 << 10, OURS, GO, false, 1.0 / 3.0),
        pinned.row("create 11 KB, ours ÷ floor, p50", "create", 11 << 10, OURS, FLOOR, false, 7.5),
        pinned.row("create 24 KB, ours ÷ Go, p50", "create", 24 << 10, OURS, GO, false, 0.4),
        pinned.row("create 24 KB, ours ÷ floor, p50", "create", 24 << 10, OURS, FLOOR, false, 8.5),
        pinned.row("create 11 KB, ours ÷ Go, p99 pinned", "create", 11 << 10, OURS, GO, true, 0.2),
        unpinned.row("create 11 KB, ours ÷ Go, p99 unpinned", "create", 11 << 10, OURS, GO, true, 0.5),
        unpinned.row("create 11 KB, ours ÷ Go, p50 unpinned", "create", 11 << 10, OURS, GO, false, 1.0),
        pinned.row(
            "create 11 KB, Go plugin under our host ÷ under Go's, p50",
            "create",
            11 << 10,
            GO_UNDER_OURS,
            GO,
            false,
            0.8,
        ),
    ];
    rows.push(Row {
        what: "resident memory of the idle plugin, ours ÷ Go",
        ratio: ours::resident(idle)? / ours::resident(go_idle)?,
        must: 0.25,
    });
    rows.push(Row {
        what: "size of its stripped binary, ours ÷ Go",
        ratio: size(idle)? / size(go_idle)?,
        must: 1.0 / 3.0,
    });
    settle(&rows, json)
}

/// Prints the table. A figure that misses its bound is a failure.
pub(crate) fn settle(rows: &[Row], json: bool) -> Result<(), Failure> {
    print(rows, json);
    match rows.iter().filter(|row| row.ratio > row.must).count() {
        0 => Ok(()),
        missed => Err(format!("{missed} figures miss what they must reach").into()),
    }
}

fn print(rows: &[Row], json: bool) {
    for row in rows {
        if json {
            println!(
                "{}",
                serde_json::json!({"figure": row.what, "ratio": row.ratio, "must": row.must, "holds": row.ratio <= row.must})
            );
        } else {
            let verdict = if row.ratio <= row.must { "ok" } else { "MISSED" };
            println!("{:<60} {:>6.2}   must be ≤ {:.2}   {verdict}", row.what, row.ratio, row.must);
        }
    }
}

/// Medians over the rounds of everybody, by case.
struct Contest {
    results: Vec<(String, usize, usize, Took)>,
}

impl Contest {
    fn hold(go: &str, pin: bool) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let socket = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let own = std::env::current_exe()?.to_string_lossy().into_owned();
        let (floor, ours, theirs, mixed) = (socket("floor"), socket("ours"), socket("go"), socket("mixed"));
        let mut entrants = [
            Entrant::start(pin, &[&own, "floor", &floor], &[&[&own, "floor-peer", &floor]])?,
            Entrant::start(pin, &[&own, "wire", &ours], &[&[&own, "plugin", &ours]])?,
            Entrant::start(
                pin,
                &[go, "bench", "wire", "-socket", &theirs],
                &[&[go, "bench", "plugin", "-socket", &theirs]],
            )?,
            Entrant::start(pin, &[&own, "wire", &mixed], &[&[go, "bench", "plugin", "-socket", &mixed]])?,
        ];
        let mut results = Vec::new();
        for (what, size) in [("small", 0), ("create", 11 << 10), ("create", 24 << 10)] {
            let mut round = Round {
                what: what.to_owned(),
                size,
                calls: CALLS,
                warm: WARM,
                request_bytes: 0,
                response_bytes: 0,
            };
            let mut took: Vec<Vec<Took>> = vec![Vec::new(); entrants.len()];
            // The Go driver counts the bytes of a call; the floor then moves as many.
            let bytes = entrants[GO].run(&round)?;
            (round.request_bytes, round.response_bytes) = (bytes.request_bytes, bytes.response_bytes);
            for number in 0..ROUNDS {
                progress(&format!("{what} {size}: round {} of {ROUNDS}", number + 1));
                for (entrant, took) in entrants.iter_mut().zip(&mut took) {
                    took.push(entrant.run(&round)?);
                }
            }
            for (who, took) in took.into_iter().enumerate() {
                results.push((what.to_owned(), size, who, median(&took)));
            }
        }
        Ok(Self { results })
    }

    #[expect(clippy::too_many_arguments, reason = "a row of a table")]
    fn row(
        &self,
        text: &'static str,
        what: &str,
        size: usize,
        who: usize,
        by: usize,
        p99: bool,
        must: f64,
    ) -> Row {
        let figure = |entrant: usize| {
            self.results
                .iter()
                .find(|(w, s, e, _)| w == what && *s == size && *e == entrant)
                .map_or(f64::NAN, |(.., took)| nanoseconds(if p99 { took.p99_ns } else { took.p50_ns }))
        };
        Row { what: text, ratio: figure(who) / figure(by), must }
    }
}

pub(crate) fn median(took: &[Took]) -> Took {
    let middle = |figure: fn(&Took) -> u64| {
        let mut all: Vec<u64> = took.iter().map(figure).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied().unwrap_or(0)
    };
    Took { p50_ns: middle(|t| t.p50_ns), p99_ns: middle(|t| t.p99_ns), ..Took::default() }
}

#[expect(clippy::cast_precision_loss, reason = "figures far below 2^53")]
pub(crate) fn nanoseconds(ns: u64) -> f64 {
    ns as f64
}

/// One line that is written over, on a terminal; nothing elsewhere.
pub(crate) fn progress(text: &str) {
    use std::io::IsTerminal as _;
    if std::io::stderr().is_terminal() {
        eprint!("\r{text}\x1b[K\r");
    }
}

fn size(program: &str) -> Result<f64, Failure> {
    Ok(nanoseconds(std::fs::metadata(program)?.len()))
}
