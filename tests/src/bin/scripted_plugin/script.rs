//! The script: which answer a call gets, and where the lines go.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nri_plugin::{Error, EventMask, Result};
use serde_json::{Value as Json, json};

/// Follows a script.
pub(crate) struct Player {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    script: Json,
    /// How often each answer was taken, by call and place.
    taken: std::collections::BTreeMap<(String, usize), u64>,
    output: Output,
}

#[derive(Default)]
enum Output {
    #[default]
    Stdout,
    File(File),
    /// Lines of a launched plugin before its script names a file.
    Kept(Vec<String>),
}

/// Ends the process as a crash does: nothing is said to the host.
#[expect(clippy::disallowed_methods, clippy::exit, reason = "no guards are to run")]
pub(crate) fn end(code: i32) -> ! {
    std::process::exit(code)
}

impl Player {
    /// Without a script: every answer is empty.
    pub(crate) fn new(launched: bool) -> Self {
        let output = if launched { Output::Kept(Vec::new()) } else { Output::Stdout };
        Self { state: Mutex::new(State { output, ..State::default() }) }
    }

    /// Takes over a script.
    pub(crate) fn load(&self, text: &str) {
        let script: Json = serde_json::from_str(text).unwrap_or_else(|error| panic!("no script: {error}"));
        let mut state = self.state();
        if let Some(path) = script["output"].as_str() {
            let file = OpenOptions::new().create(true).append(true).open(path);
            let file = file.unwrap_or_else(|error| panic!("{path}: {error}"));
            if let Output::Kept(lines) = std::mem::replace(&mut state.output, Output::File(file)) {
                lines.iter().for_each(|line| state.write(line));
            }
        }
        state.script = script;
    }

    /// The events that the script subscribes to; absent: all.
    pub(crate) fn events(&self) -> Result<EventMask> {
        match self.state().script["events"].as_array() {
            None => Ok(EventMask::NONE),
            Some(names) => {
                let names: Vec<&str> = names.iter().filter_map(Json::as_str).collect();
                names.join(",").parse().map_err(Error::from)
            }
        }
    }

    /// Writes a line.
    pub(crate) fn note(&self, event: &str, line: Json, more: Json) {
        let mut whole = json!({"event": event});
        for part in [line, more] {
            if let (Json::Object(whole), Json::Object(part)) = (&mut whole, part) {
                whole.extend(part);
            }
        }
        self.state().write(&whole.to_string());
    }

    /// The first answer that fits, and all of it that is no message.
    pub(crate) fn play(&self, call: &str, subjects: &[&str]) -> Result<Json> {
        let answer = self.state().take(call, subjects);
        if let Some(ms) = answer["sleep_ms"].as_u64() {
            std::thread::sleep(Duration::from_millis(ms));
        }
        if answer["never"] == true {
            loop {
                std::thread::park();
            }
        }
        if let Some(code) = answer["exit"].as_i64() {
            end(i32::try_from(code).unwrap_or(1));
        }
        match answer["error"].as_str() {
            Some(error) => Err(error.into()),
            None => Ok(answer),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, call: &str, subjects: &[&str]) -> Json {
        let answers = self.script["answers"][call].as_array().cloned().unwrap_or_default();
        for (place, answer) in answers.into_iter().enumerate() {
            let fits = answer["for"].as_str().is_none_or(|subject| subjects.contains(&subject));
            let taken = self.taken.entry((call.to_owned(), place)).or_default();
            if fits && answer["times"].as_u64().is_none_or(|times| *taken < times) {
                *taken = taken.saturating_add(1);
                return answer;
            }
        }
        json!({})
    }

    fn write(&mut self, line: &str) {
        let result = match &mut self.output {
            Output::Stdout => writeln!(std::io::stdout(), "{line}"),
            Output::File(file) => writeln!(file, "{line}"),
            Output::Kept(lines) => {
                lines.push(line.to_owned());
                Ok(())
            }
        };
        result.unwrap_or_else(|error| panic!("failed to write a line: {error}"));
    }
}
