//! Who takes part: a driver, which is asked, and its peers, all processes of their own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::round::{Round, Took};

/// Longest that a socket may take to appear.
const PATIENCE: Duration = Duration::from_secs(10);

/// A driver with its peers, all ended with it.
pub(crate) struct Entrant {
    driver: Child,
    peers: Vec<Child>,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Entrant {
    /// Starts the driver, once it listens its peers, and waits until the driver is ready. A peer whose last word is a
    /// path starts when that is there.
    pub(crate) fn start(pin: bool, driver: &[&str], peers: &[&[&str]]) -> Result<Self, Failure> {
        let mut driver = command(pin, driver).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = driver.stdin.take().ok_or("no stdin")?;
        let output = BufReader::new(driver.stdout.take().ok_or("no stdout")?);
        let mut entrant = Self { driver, peers: Vec::new(), input, output };
        entrant.wait_for("listening")?;
        for words in peers {
            if let Some(path) = words.last().filter(|word| word.starts_with('/')) {
                wait_until_there(Path::new(path))?;
            }
            let mut peer = command(pin, words);
            entrant
                .peers
                .push(peer.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        }
        entrant.wait_for("ready")?;
        Ok(entrant)
    }

    pub(crate) fn run(&mut self, round: &Round) -> Result<Took, Failure> {
        writeln!(self.input, "{}", serde_json::to_string(round)?)?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(serde_json::from_str(&line).map_err(|error| format!("a driver printed {line:?}: {error}"))?)
    }

    /// The driver's process.
    pub(crate) fn driver(&self) -> u32 {
        self.driver.id()
    }

    /// The first peer.
    pub(crate) fn peer(&self) -> Option<&Child> {
        self.peers.first()
    }

    fn wait_for(&mut self, event: &str) -> Result<(), Failure> {
        let mut line = String::new();
        while self.output.read_line(&mut line)? > 0 {
            if line.contains(&format!("\"{event}\"")) {
                return Ok(());
            }
            line.clear();
        }
        Err(format!("a driver ended before it was {event}").into())
    }
}

impl Drop for Entrant {
    fn drop(&mut self) {
        for child in self.peers.iter_mut().chain([&mut self.driver]) {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// On one core, or wherever the kernel likes.
fn command(pin: bool, words: &[&str]) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", if pin { "0" } else { "0-1" }]).args(words);
    command
}

fn wait_until_there(path: &Path) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    while !path.exists() {
        if Instant::now() > deadline {
            return Err(format!("{} does not appear", path.display()).into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
