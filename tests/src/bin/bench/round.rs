//! Rounds: what a driver is asked, and what it prints.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Failure;

/// One line on a driver's stdin.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Round {
    /// `small` or `create`; `call` and `parallel` where the whole host is measured.
    pub(crate) what: String,
    /// Bytes of the encoded container.
    #[serde(default)]
    pub(crate) size: usize,
    /// Calls that are measured.
    pub(crate) calls: usize,
    /// Calls before them.
    #[serde(default)]
    pub(crate) warm: usize,
    /// Floor only: bytes each way.
    #[serde(default)]
    pub(crate) request_bytes: usize,
    #[serde(default)]
    pub(crate) response_bytes: usize,
}

/// What a round took.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Took {
    pub(crate) p50_ns: u64,
    pub(crate) p99_ns: u64,
    #[serde(default)]
    pub(crate) max_ns: u64,
    #[serde(default)]
    pub(crate) request_bytes: usize,
    #[serde(default)]
    pub(crate) response_bytes: usize,
}

impl Round {
    /// Times each call after the warm ones.
    pub(crate) fn measure(&self, mut call: impl FnMut() -> Result<(), Failure>) -> Result<Took, Failure> {
        let mut took = Vec::with_capacity(self.calls);
        for n in 0..self.warm + self.calls {
            let start = Instant::now();
            call()?;
            if n >= self.warm {
                took.push(start.elapsed());
            }
        }
        Ok(Took::of(took))
    }
}

impl Took {
    /// The figures of single calls.
    pub(crate) fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        let nanoseconds = |took: Option<&Duration>| {
            took.map_or(0, |took| u64::try_from(took.as_nanos()).unwrap_or(u64::MAX))
        };
        let at = |permille: usize| nanoseconds(took.get(took.len() * permille / 1000));
        Self { p50_ns: at(500), p99_ns: at(990), max_ns: nanoseconds(took.last()), ..Self::default() }
    }
}

/// Says that rounds can come, then runs one for each line on stdin.
pub(crate) fn rounds(mut run: impl FnMut(&Round) -> Result<Took, Failure>) -> Result<(), Failure> {
    println!(r#"{{"event":"ready"}}"#);
    for line in std::io::stdin().lines() {
        let took = run(&serde_json::from_str(&line?)?)?;
        println!("{}", serde_json::to_string(&took)?);
    }
    Ok(())
}
