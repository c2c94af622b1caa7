//! Pods come and go on a real engine while plugins join, leave, crash and are upgraded, and the gateway itself is killed
//! and started again: nothing gets lost, nothing comes twice, nothing is left behind (issue "The gateway, on a stock
//! engine", "How it is proved").
//!
//! `NRI_CHURN_PODS` says how many pods (60), `NRI_CHURN_SEED` repeats a run's choices.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `pods` | clients that create and remove pods, and what came of every creation |
//! | `cast` | the plugins, and what is done to them |
//! | `stage` | engine, gateway, and how the gateway is killed |
//! | `transcript` | what reached a plugin |
//! | `verify` | what must hold of all that |

#![expect(clippy::print_stdout, reason = "the seed and the figures of a run are for people")]
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is the report of the failure")]

mod cast;
mod pods;
mod stage;
mod transcript;
mod verify;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nri_tests::skipped;

use crate::cast::Cast;
use crate::pods::{Pods, Worker};
use crate::stage::Stage;

/// Pods of both settings together.
const PODS: usize = 60;
/// Clients that work at the same time.
const WORKERS: usize = 4;
/// After how many pods the gateway is killed, and how often at most.
const KILLED_AFTER: usize = 8;
const KILLS_MAX: usize = 20;

/// One engine after the other: two at once would only wait for each other.
static ALONE: Mutex<()> = Mutex::new(());

/// The engine lets nobody start while the gateway is away.
#[test]
fn with_the_gateway_required() {
    churn(true);
}

/// The engine goes on without the gateway, which says afterwards whom it missed.
#[test]
fn without() {
    churn(false);
}

fn churn(required: bool) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let pods = variable("NRI_CHURN_PODS").map_or(PODS, |pods| usize::try_from(pods).unwrap()) / 2;
    let wanted = (pods / KILLED_AFTER).clamp(1, KILLS_MAX);
    let seed = variable("NRI_CHURN_SEED").unwrap_or_else(now);
    println!("{pods} pods, NRI_CHURN_SEED={seed}");
    let mut random = Random(seed);
    let mut stage = match Stage::set(required) {
        Ok(stage) => stage,
        Err(what) => return skipped(&what),
    };
    let mut cast = match Cast::new(&stage) {
        Ok(cast) => cast,
        Err(what) => return skipped(&what),
    };
    let shared = Arc::new(Pods::new(pods));
    // Some are always under way when the gateway is killed, and not all are through before that.
    shared.allow(pods / (wanted + 1) + WORKERS);
    cast.gather(&stage);
    let workers: Vec<_> = (0..WORKERS)
        .map(|n| {
            let worker = Worker::new(n, &stage, Arc::clone(&shared), Random(seed ^ (n as u64 + 1)));
            let worker = worker.unwrap();
            std::thread::spawn(move || worker.run())
        })
        .collect();

    // The last kills may come when all pods are done; what stays is told again then, too.
    let mut kills = 0;
    while (shared.done() < pods || kills < wanted) && !shared.is_over() {
        if kills < wanted && shared.done() >= (kills + 1) * pods / (wanted + 1) {
            stage.kill_gateway(&mut cast, &shared, &mut random);
            kills += 1;
            shared.allow((kills + 1) * pods / (wanted + 1) + WORKERS);
        } else {
            cast.act(&stage, &mut random);
        }
        std::thread::sleep(Duration::from_millis(random.below(300)));
    }
    for worker in workers {
        worker.join().unwrap();
    }
    let (problems, deliveries) = verify::run(&mut stage, &mut cast, &shared);
    println!("{}; {deliveries} whole creations at plugins", verify::summary(&stage, &cast, &shared));
    assert!(
        problems.is_empty(),
        "NRI_CHURN_SEED={seed}\n{}\nthe gateway's log:\n{}",
        problems.join("\n"),
        stage.gateway_log()
    );
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Nanoseconds since 1970: the clock that test and plugins share.
fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

/// SplitMix64: every run's choices can be repeated, though not its timing.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    /// Puts them into another order.
    fn shuffle<T>(&mut self, all: &mut [T]) {
        for n in 1..all.len() {
            let other = usize::try_from(self.below(n as u64 + 1)).unwrap();
            all.swap(n, other);
        }
    }

    /// One of them, if there is one.
    fn one_of<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        if all.is_empty() {
            return None;
        }
        let place = usize::try_from(self.below(all.len() as u64)).unwrap();
        all.get(place).cloned()
    }
}
