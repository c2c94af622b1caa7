//! libseccomp in a process of its own, with a deadline: some policies make it loop for ever (hazard A), and one that
//! crashes it must not end the tests.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::{Value, json};

use super::bpf::Program;
use super::library::{Driver, Library};

/// Longest that a program may take: real ones take milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compiled {
    /// The program.
    Program(Program),
    /// libseccomp refused it: why.
    Refused(String),
    /// It did not come back.
    Hangs,
}

impl Compiled {
    /// The program, if there is one.
    #[must_use]
    pub fn program(self) -> Option<Program> {
        match self {
            Self::Program(program) => Some(program),
            _ => None,
        }
    }
}

/// The process.
pub struct Compiler {
    child: Child,
    input: Option<ChildStdin>,
    output: Receiver<String>,
}

impl Compiler {
    /// Starts one; says so and returns nothing where libseccomp is absent.
    #[must_use]
    pub fn start() -> Option<Self> {
        match Library::load() {
            Ok(_) => Some(Self::spawn()),
            Err(absent) => {
                crate::skipped(absent);
                None
            }
        }
    }

    fn spawn() -> Self {
        let mut child = Command::new(crate::ours::bin("seccomp_compiler"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("seccomp_compiler does not start: {error}"));
        let (input, lines) = (child.stdin.take(), child.stdout.take());
        let (sender, output) = channel();
        std::thread::spawn(move || {
            for line in
                lines.into_iter().flat_map(|lines| BufReader::new(lines).lines()).map_while(Result::ok)
            {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, input, output }
    }

    /// What libseccomp makes of a policy on a machine with this native architecture (`SCMP_ARCH_…`).
    pub fn compile(&mut self, policy: &Value, native: &str, driver: Driver) -> Compiled {
        let answer = self.ask(&json!({"policy": policy, "native": native, "driver": driver.name()}));
        match answer {
            None => Compiled::Hangs,
            Some(answer) => match answer["program"].as_str() {
                Some(text) => Compiled::Program(Program::read(&bytes(text), is_big_endian(native))),
                None => Compiled::Refused(answer["error"].as_str().unwrap_or_default().to_owned()),
            },
        }
    }

    fn ask(&mut self, question: &Value) -> Option<Value> {
        let input = self.input.as_mut()?;
        if let Err(error) = writeln!(input, "{question}").and_then(|()| input.flush()) {
            panic!("seccomp_compiler is gone: {error}");
        }
        match self.output.recv_timeout(PATIENCE) {
            Ok(line) => Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))),
            Err(RecvTimeoutError::Timeout) => {
                *self = Self::spawn();
                None
            }
            Err(RecvTimeoutError::Disconnected) => panic!("seccomp_compiler ended on {question}"),
        }
    }
}

impl Drop for Compiler {
    fn drop(&mut self) {
        // It loops, or it ends with its input anyway.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Answers questions from stdin until its end: the main loop of `src/bin/seccomp_compiler.rs`.
///
/// # Errors
/// Where libseccomp is absent, or a question is no JSON.
pub fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let library = Library::load()?;
    for line in std::io::stdin().lines() {
        let question: Value = serde_json::from_str(&line?)?;
        let named = |driver: &Driver| question["driver"].as_str() == Some(driver.name());
        let driver = Driver::ALL.into_iter().find(named).unwrap_or(Driver::Crun);
        let native = question["native"].as_str().unwrap_or_default();
        let answer = match library.compile(&question["policy"], native, driver) {
            Ok(program) => json!({"program": text(&program)}),
            Err(error) => json!({"error": error}),
        };
        let mut output = std::io::stdout().lock();
        writeln!(output, "{answer}").and_then(|()| output.flush())?;
    }
    Ok(())
}

/// Whether filters of this architecture see upper halves first.
#[must_use]
pub fn is_big_endian(arch: &str) -> bool {
    let name = arch.strip_prefix("SCMP_ARCH_").unwrap_or(arch);
    ["S390", "S390X", "PPC", "PPC64", "MIPS", "MIPS64", "MIPS64N32", "PARISC", "PARISC64"].contains(&name)
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap_or_default(), 16))
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("{error}: {text}"))
}
