//! Plugins that follow a script, as processes of their own: the Go peer (`tests/go/README.md` has the script's form)
//! and one by our SDK (`src/bin/scripted_plugin`), which reads the same scripts and writes the same lines.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use rustix::process::Signal;
use serde_json::{Value as Json, json};

use crate::process;
use crate::wait::until_some;

/// Who made a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// The reference's stub.
    Go,
    /// The reference's protocol without the nine dedicated calls, as plugins before NRI 0.12 have it: the host falls back
    /// to `StateChange`. Only connecting, for a launched one has no arguments.
    GoOld,
    /// Our SDK.
    Ours,
}

impl Maker {
    fn program(self) -> Result<PathBuf, String> {
        match self {
            Self::Go | Self::GoOld => Ok(crate::go::peers()?.to_owned()),
            Self::Ours => Ok(crate::ours::scripted_plugin()),
        }
    }

    const fn args(self) -> &'static [&'static str] {
        match self {
            Self::GoOld => &["-style", "old"],
            Self::Go | Self::Ours => &[],
        }
    }
}

/// A plugin for a plugin directory.
#[derive(Clone, Debug)]
pub struct Launched {
    name: String,
    program: PathBuf,
    config: String,
}

impl Launched {
    /// A plugin of the full name `name` that follows the script and writes its lines to `output`.
    ///
    /// # Errors
    /// A text for [`crate::skipped`] where Go is absent.
    pub fn new(maker: Maker, name: &str, script: &Json, output: &Path) -> Result<Self, String> {
        let mut script = script.clone();
        script["output"] = json!(output);
        Ok(Self { name: name.to_owned(), program: maker.program()?, config: script.to_string() })
    }

    /// Puts it into a plugin directory, and its script into the drop-in directory.
    ///
    /// # Errors
    /// Where that cannot be written.
    pub fn install(&self, plugins: &Path, drop_ins: &Path) -> std::io::Result<()> {
        fs::create_dir_all(plugins)?;
        fs::create_dir_all(drop_ins)?;
        let base = self.name.split_once('-').map_or(self.name.as_str(), |(_, base)| base);
        fs::write(drop_ins.join(format!("{base}.conf")), &self.config)?;
        std::os::unix::fs::symlink(&self.program, plugins.join(&self.name))
    }
}

/// A plugin that connects to a socket. It ends with this value.
pub struct Plugin {
    process: Child,
    commands: ChildStdin,
    output: PathBuf,
    name: String,
}

impl Plugin {
    /// Starts a plugin of the full name `name` (`10-a`) in a folder for its files. It need not have connected yet.
    ///
    /// # Errors
    /// A text for [`crate::skipped`] where Go is absent.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn connect(
        maker: Maker,
        socket: &Path,
        name: &str,
        script: &Json,
        folder: &Path,
    ) -> Result<Self, String> {
        let program = maker.program()?;
        let (index, base) = name.split_once('-').unwrap_or(("", name));
        let (path, output) = (folder.join(format!("{name}.json")), folder.join(format!("{name}.lines")));
        let start = || {
            fs::write(&path, script.to_string())?;
            let mut process = Command::new(program)
                .args(["plugin", "-name", base, "-index", index, "-socket"])
                .arg(socket)
                .arg("-script")
                .arg(&path)
                .args(maker.args())
                .stdin(Stdio::piped())
                .stdout(File::create(&output)?)
                .stderr(File::create(folder.join(format!("{name}.stderr")))?)
                .spawn()?;
            let commands = process.stdin.take().ok_or_else(|| std::io::Error::other("no pipe"))?;
            Ok::<_, std::io::Error>((process, commands))
        };
        match start() {
            Ok((process, commands)) => Ok(Self { process, commands, output, name: name.to_owned() }),
            Err(error) => panic!("plugin {name} does not start: {error}"),
        }
    }

    /// What it has written so far.
    #[must_use]
    pub fn lines(&self) -> Vec<Json> {
        lines(&self.output)
    }

    /// Waits until it has written a line of this event, and returns the last one.
    ///
    /// # Panics
    /// Where that does not happen.
    pub fn until(&self, event: &str) -> Json {
        self.until_count(event, 1)
    }

    /// Waits until it has written so many lines of this event, and returns the last one.
    ///
    /// # Panics
    /// Where that does not happen.
    pub fn until_count(&self, event: &str, count: usize) -> Json {
        until_count(&self.name, &self.output, event, count)
    }

    /// Gives it a command, unless it has ended.
    pub fn tell(&mut self, command: &Json) -> bool {
        writeln!(self.commands, "{command}").is_ok()
    }

    /// Sends unsolicited updates and waits for the outcome: the line `updated`.
    ///
    /// # Panics
    /// Where there is none.
    pub fn update(&mut self, updates: &Json) -> Json {
        let before = self.lines().iter().filter(|line| line["event"] == "updated").count();
        assert!(self.tell(&json!({"do": "update", "update": updates})), "{} has ended", self.name);
        self.until_count("updated", before + 1)
    }

    /// Sends a signal to it.
    pub fn signal(&self, signal: Signal) {
        process::signal(&self.process, signal);
    }

    /// Whether its process runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Waits until the plugin that writes to `output` has written so many lines of this event; the last one.
///
/// # Panics
/// Where that does not happen.
#[must_use]
pub fn until_count(name: &str, output: &Path, event: &str, count: usize) -> Json {
    let fits =
        || lines(output).into_iter().filter(|line| line["event"] == event).nth(count.saturating_sub(1));
    let seen = || lines(output).iter().map(told).collect::<Vec<_>>().join("\n");
    until_some(fits, || format!("{name} has not written {event} {count} times, but:\n{}", seen()))
}

/// The whole lines of a plugin's output. A line that is still being written is left out.
#[must_use]
pub fn lines(output: &Path) -> Vec<Json> {
    let text = fs::read_to_string(output).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Whether a line is about the plugin's own connection, not about pods and containers.
#[must_use]
pub fn is_own(line: &Json) -> bool {
    let own = ["started", "Configure", "Synchronize", "updated", "closed", "failed", "Shutdown"];
    own.iter().any(|event| line["event"] == *event)
}

/// What happened to whom, as a plugin's lines tell it: `CreateContainer web/c1`. Without those of [`is_own`].
#[must_use]
pub fn sequence(lines: &[Json]) -> Vec<String> {
    lines.iter().filter(|line| !is_own(line)).map(told).collect()
}

/// A line in short.
fn told(line: &Json) -> String {
    // Validators' lines, and all those of old plugins, have the whole request.
    let about = if line["request"].is_object() { &line["request"] } else { line };
    let name = |of: &str| about[of]["name"].as_str().unwrap_or_default().to_owned();
    let event = if line["event"] == "StateChange" { &about["event"] } else { &line["event"] };
    let event = event.as_str().unwrap_or_default();
    let error = line["error"].as_str().map(|error| format!(": {error}")).unwrap_or_default();
    match name("container") {
        container if container.is_empty() => format!("{event} {}{error}", name("pod")),
        container => format!("{event} {}/{container}", name("pod")),
    }
}
