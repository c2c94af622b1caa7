//! `--batch`: one answer a line for one pair a line.
//!
//! A line is answered before more input is waited for, so that this can be the other end of a pipe. A line that is no pair is
//! answered too, with a "no" that says what is wrong with it; the exit code then says that there was bad input.

use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use nri_seccomp::profile::{self, Fault, Target, Unreadable};
use nri_seccomp::settings::{Host, Settings};
use nri_seccomp::term::Arch;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use crate::failure::Failure;
use crate::seccomp::input::{self, Input};
use crate::seccomp::options::Options;

/// Longest line, bytes.
const LINE_MAX: usize = profile::BYTES;
/// How much is read at a time, bytes.
const PIECE: usize = 1 << 18;

pub(super) fn run(file: &Path, options: &Options) -> Result<ExitCode, Failure> {
    let reader = input::open(file)?;
    let mut batch = Batch { name: input::name(file), options, bad: 0, first: None };
    let mut out = BufWriter::new(io::stdout().lock());
    batch.answer(&mut BufReader::with_capacity(PIECE, reader), &mut out)?;
    batch.end()
}

struct Batch<'a> {
    name: String,
    options: &'a Options,
    /// How many lines were no pairs, and what was wrong with the first.
    bad: u64,
    first: Option<String>,
}

impl Batch<'_> {
    fn answer(&mut self, lines: &mut BufReader<impl Read>, out: &mut impl Write) -> Result<(), Failure> {
        let written = |error: io::Error| Failure::unavailable(format!("cannot write the answers: {error}"));
        let mut line = Vec::new();
        for number in 1u64.. {
            let next = next(lines, &mut line)
                .map_err(|error| Failure::usage(format!("cannot read {}: {error}", self.name)))?;
            let place = format!("{}:{number}", self.name);
            let answer = match next {
                Next::End => break,
                Next::Line if line.trim_ascii().is_empty() => continue,
                Next::Line => pair(&line, &place, self.options),
                Next::TooLong => Err(Bad { id: None, why: format!("{place}: longer than {LINE_MAX} bytes") }),
            };
            let answer = answer.unwrap_or_else(|bad| self.refuse(&bad));
            writeln!(out, "{answer}").map_err(written)?;
            if !lines.buffer().contains(&b'\n') {
                out.flush().map_err(written)?;
            }
        }
        out.flush().map_err(written)
    }

    fn refuse(&mut self, bad: &Bad) -> Value {
        self.bad += 1;
        self.first.get_or_insert_with(|| bad.why.clone());
        json!({"id": bad.id, "verdict": "reject", "relation": "invalid", "reason": bad.why, "micros": 0})
    }

    fn end(self) -> Result<ExitCode, Failure> {
        match (self.bad, self.first) {
            (0, _) | (_, None) => Ok(ExitCode::SUCCESS),
            (1, Some(first)) => Err(Failure::usage(first)),
            (bad, Some(first)) => {
                Err(Failure::usage(format!("{bad} lines are no pairs of policies; the first: {first}")))
            }
        }
    }
}

enum Next {
    Line,
    TooLong,
    End,
}

/// Reads the next line. What is too long is skipped and takes no memory.
fn next(lines: &mut BufReader<impl Read>, line: &mut Vec<u8>) -> io::Result<Next> {
    line.clear();
    let most = u64::try_from(LINE_MAX).unwrap_or(u64::MAX).saturating_add(1);
    if lines.by_ref().take(most).read_until(b'\n', line)? == 0 {
        return Ok(Next::End);
    }
    if line.last() == Some(&b'\n') || line.len() <= LINE_MAX {
        return Ok(Next::Line);
    }
    lines.skip_until(b'\n')?;
    Ok(Next::TooLong)
}

/// A line that is no pair.
struct Bad {
    /// The line's `id`, as far as it has one.
    id: Option<Value>,
    why: String,
}

fn pair(line: &[u8], place: &str, options: &Options) -> Result<Value, Bad> {
    let json = profile::parse(line.trim_ascii_end())
        .map_err(|unreadable| Bad { id: None, why: at(place, &unreadable) })?;
    let id = json.get("id").cloned();
    let bad = |why: String| Bad { id: id.clone(), why: format!("{place}: {why}") };
    let Value::Object(mut members) = json else {
        return Err(bad("an object with old and new is expected".into()));
    };
    let host = host(members.get("archs"), &options.host).map_err(&bad)?;
    let settings = settings(members.get("config"), options.settings).map_err(&bad)?;
    let target = Target::new(host.native());
    let (old, new) = (policy(&mut members, "old", &target), policy(&mut members, "new", &target));
    let (old, new) = (old.map_err(&bad)?, new.map_err(&bad)?);
    Ok(Answer::of(&old, &new, &host, &settings).json(id.as_ref()))
}

/// What is wrong with a line as JSON: it is in line 1 of itself, so only the column says where.
fn at(place: &str, unreadable: &Unreadable) -> String {
    match (&unreadable.fault, unreadable.position) {
        (Fault::Json(message), Some(position)) => format!("{place}:{}: {message}", position.column),
        _ => format!("{place}: {unreadable}"),
    }
}

fn policy(members: &mut Map<String, Value>, side: &str, target: &Target) -> Result<Input, String> {
    let value =
        members.shift_remove(side).ok_or_else(|| format!("{side}: missing; null stands for no policy"))?;
    input::from_value(value, target).map_err(|unreadable| format!("{side}: {unreadable}"))
}

fn host(archs: Option<&Value>, default: &Host) -> Result<Host, String> {
    let list = match archs {
        None | Some(Value::Null) => return Ok(default.clone()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err("archs: expected a list".into()),
    };
    let arch = |(at, arch): (usize, &Value)| match arch.as_str().map(str::parse::<Arch>) {
        Some(Ok(arch)) => Ok(arch),
        Some(Err(unknown)) => Err(format!("archs[{at}]: {unknown}")),
        None => Err(format!("archs[{at}]: expected a string")),
    };
    let archs: Vec<Arch> = list.iter().enumerate().map(arch).collect::<Result<_, _>>()?;
    Host::new(archs).ok_or_else(|| "archs: expected one at least, the native one first".into())
}

fn settings(config: Option<&Value>, mut settings: Settings) -> Result<Settings, String> {
    let config = match config {
        None | Some(Value::Null) => return Ok(settings),
        Some(Value::Object(config)) => config,
        Some(_) => return Err("config: expected an object".into()),
    };
    for (name, value) in config {
        let value = value.as_str().ok_or_else(|| format!("config.{name}: expected a string"))?;
        settings.set(name, value).map_err(|unknown| format!("config.{name}: {unknown}"))?;
    }
    Ok(settings)
}

#[cfg(test)]
mod tests;
