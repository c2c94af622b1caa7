//! The Go program that says what the reference makes of answers (`tests/go/README.md`, "oracle").

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value as Json;

/// A running oracle.
pub struct Oracle {
    child: Child,
    input: Option<ChildStdin>,
    output: Option<BufReader<ChildStdout>>,
}

impl Oracle {
    /// Starts one with these arguments; says so and returns nothing where Go is absent.
    ///
    /// # Panics
    /// Where the program is there and does not start.
    #[must_use]
    pub fn start(args: &[&str]) -> Option<Self> {
        let peers = match crate::go::peers() {
            Ok(peers) => peers,
            Err(absent) => {
                crate::skipped(absent);
                return None;
            }
        };
        let mut child = Command::new(peers)
            .arg("oracle")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", peers.display()));
        let (input, output) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        Some(Self { child, input, output })
    }

    /// What the reference makes of one line.
    ///
    /// # Panics
    /// Where the oracle ends, or does not understand the line.
    pub fn ask(&mut self, line: &Json) -> Json {
        let mut text = String::new();
        if let (Some(input), Some(output)) = (&mut self.input, &mut self.output) {
            writeln!(input, "{line}")
                .and_then(|()| input.flush())
                .and_then(|()| output.read_line(&mut text))
                .unwrap_or_else(|error| panic!("the oracle is gone: {error}"));
        }
        let answer: Json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"));
        assert!(answer["invalid"].is_null(), "the oracle does not understand {line}: {answer}");
        answer
    }
}

impl Drop for Oracle {
    /// The end of its input ends it.
    fn drop(&mut self) {
        self.input = None;
        self.child.wait().ok();
    }
}
