//! The Go program that says what the reference makes of answers (`tests/go/README.md`, "oracle").

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value as Json;

/// A running oracle.
pub(crate) struct Oracle {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Oracle {
    /// Starts one; says so and returns nothing where Go is absent.
    pub(crate) fn start() -> Option<Self> {
        let peers = match nri_tests::go::peers() {
            Ok(peers) => peers,
            Err(absent) => {
                nri_tests::skipped(absent);
                return None;
            }
        };
        let mut child = Command::new(peers)
            .arg("oracle")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", peers.display()));
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("a piped output"));
        Some(Self { child, input, output: BufReader::new(output) })
    }

    /// What the reference makes of one line.
    pub(crate) fn ask(&mut self, line: &Json) -> Json {
        let input = self.input.as_mut().expect("open until dropped");
        writeln!(input, "{line}").and_then(|()| input.flush()).expect("the oracle reads");
        let mut answer = String::new();
        self.output.read_line(&mut answer).expect("the oracle answers");
        let answer: Json = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
        assert!(answer["invalid"].is_null(), "the oracle does not understand {line}: {answer}");
        answer
    }
}

impl Drop for Oracle {
    /// The end of its input ends it.
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}
