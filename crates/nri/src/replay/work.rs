//! Many lines at once, their decisions in order.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::hidden;
use crate::decision::Decision;

/// Most bytes of one line; a request with all its answers has at most a few messages of 4 MiB.
const LINE_MAX: usize = 64 * 1024 * 1024;
/// Most lines, and about most bytes, that are worked on together.
const LINES_MAX: usize = 1024;
const BATCH_MAX: usize = 4 * 1024 * 1024;

/// How it went.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) lines: usize,
    /// Decisions that are rejections or failures.
    pub(super) negative: usize,
}

/// Decides about every line. Blank lines are passed over.
///
/// # Errors
/// The input cannot be read. An output that nobody reads any more ends the work without an error.
pub(super) fn lines<R: Read>(
    mut input: BufReader<R>,
    output: &mut impl Write,
    jobs: usize,
    decide: impl Fn(usize, &[u8]) -> Decided + Sync,
) -> io::Result<Done> {
    let mut done = Done::default();
    let mut number = 0;
    loop {
        let batch = batch(&mut input, &mut number)?;
        if batch.is_empty() {
            return Ok(done);
        }
        let decisions = decided(&batch, jobs, &decide);
        done.lines += decisions.len();
        done.negative += decisions.iter().filter(|decided| decided.negative).count();
        let text: String = decisions.into_iter().map(|decided| decided.text).collect();
        if output.write_all(text.as_bytes()).and_then(|()| output.flush()).is_err() {
            return Ok(done);
        }
    }
}

/// The next line, and those after it that are there already: who writes a line and waits for its decision gets it.
pub(super) fn batch<R: Read>(
    input: &mut BufReader<R>,
    number: &mut usize,
) -> io::Result<Vec<(usize, Vec<u8>)>> {
    let (mut lines, mut bytes) = (Vec::new(), 0);
    while lines.is_empty() || input.buffer().contains(&b'\n') {
        let mut line = Vec::new();
        let most = u64::try_from(LINE_MAX).unwrap_or(u64::MAX);
        if input.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        *number += 1;
        if line.len() == LINE_MAX && line.last() != Some(&b'\n') {
            // What was read of it is no JSON, and its decision says so.
            input.skip_until(b'\n')?;
        }
        bytes += line.len();
        if !line.iter().all(u8::is_ascii_whitespace) {
            lines.push((*number, line));
        }
        if lines.len() == LINES_MAX || bytes >= BATCH_MAX {
            break;
        }
    }
    Ok(lines)
}

/// A decision as it is printed.
#[derive(Debug)]
pub(super) struct Decided {
    /// A line; empty where nothing is to be printed.
    text: String,
    /// A rejection or failure.
    negative: bool,
}

impl Decided {
    /// `against`: the decision under another policy. What does not differ from it is not printed.
    pub(super) fn new(decision: &Decision, against: Option<&Decision>) -> Self {
        let mut shown = json(decision);
        let other = against.map(json);
        let differs = other.as_ref() != Some(&shown);
        if let (Some(other), Some(members)) = (other, shown.as_object_mut()) {
            members.insert("against".to_owned(), other);
        }
        let text = if differs { format!("{shown}\n") } else { String::new() };
        Self { text, negative: decision.error.is_some() }
    }
}

/// As it is printed.
pub(super) fn json(decision: &Decision) -> Value {
    let mut json = serde_json::to_value(decision).unwrap_or_default();
    hidden::into_objects(&mut json);
    json
}

fn decided(
    batch: &[(usize, Vec<u8>)],
    jobs: usize,
    decide: &(impl Fn(usize, &[u8]) -> Decided + Sync),
) -> Vec<Decided> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(batch.len()));
    let work = || {
        let mut own = Vec::new();
        while let Some((at, (number, line))) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            batch.get(at).map(|line| (at, line))
        } {
            own.push((at, decide(*number, line)));
        }
        results.lock().unwrap_or_else(PoisonError::into_inner).append(&mut own);
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs.min(batch.len()) {
            scope.spawn(work);
        }
        work();
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, decided)| decided).collect()
}
