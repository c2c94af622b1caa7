//! `cargo xtask demo`: the main job on real containers, in five short stories. Each prints the command that a person
//! would type, what it printed, and fails if that is not what was promised.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Failure, process, setup};

/// Longest that one story may take.
const PATIENCE: Duration = Duration::from_secs(30);

const NO_MKDIR: &str = "\
rules:
- edits:
  - set: [{names: [mkdir, mkdirat], action: ERRNO, errnoRet: 1}]
";

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    if let Some(other) = args.iter().find(|arg| *arg != "--yes") {
        return Err(format!("unknown option {other:?}; cargo xtask demo [--yes]"));
    }
    possible_here()?;
    if !consent(!args.is_empty())? {
        println!("Nothing was changed.");
        return Ok(());
    }
    setup::packages_for_demo()?;
    eprintln!("building nri and an example plugin (some minutes the first time)");
    process::run(&mut process::cargo(&["build", "-q", "-p", "nri"]))?;
    process::run(&mut process::cargo(&["build", "-q", "-p", "nri-plugin", "--example", "hello"]))?;
    let start = Instant::now();
    let stage = Stage::new()?;
    for (number, (title, story)) in STORIES.iter().enumerate() {
        println!("\n{}. {title}\n", number + 1);
        story(&stage)?;
    }
    println!(
        "\nAll five as promised, in {} s. `target/debug/nri --help` says what else there is.",
        start.elapsed().as_secs()
    );
    Ok(())
}

/// A story: what it is about, and its course.
type Story = (&'static str, fn(&Stage) -> Result<(), Failure>);

const STORIES: [Story; 5] = [
    ("A container in which mkdir works", |stage| {
        stage.nri(&["run", "--", "sh", "-c", "mkdir /tmp/made && echo made"])?.ended(0)?.says("made")
    }),
    ("The same container; a plugin takes mkdir out of its seccomp policy", |stage| {
        let plugin = format!("seccomp={}", stage.file("no-mkdir.yaml", NO_MKDIR)?);
        let program = "mkdir /tmp/made; grep Seccomp: /proc/self/status";
        let said = stage.nri(&["run", "--plugin", &plugin, "--", "sh", "-c", program])?.ended(0)?;
        said.says("Operation not permitted")?;
        // Mode 2 is a filter, by the kernel's own word.
        said.says("Seccomp:\t2")
    }),
    ("A seccomp listener of the pod's own answers mkdir", listener),
    ("Two plugins that set the same variable are refused, by name", |stage| {
        let (first, second) = (stage.hello("10-first")?, stage.hello("20-second")?);
        let said = stage.nri(&["run", "--plugin", &first, "--plugin", &second, "--", "env"])?.ended(125)?;
        said.says("10-first")?;
        said.says("20-second")?;
        said.says("HELLO")
    }),
    ("Who changed what, as a table and as a difference of the spec", |stage| {
        let plugin = format!("seccomp={}", stage.file("no-mkdir.yaml", NO_MKDIR)?);
        let (hello, spec) = (stage.hello("10-hello")?, stage.spec()?);
        let said =
            stage.nri(&["adjust", "--spec", &spec, "--plugin", &hello, "--plugin", &plugin])?.ended(0)?;
        said.says("HELLO")?;
        said.says("seccomp")
    }),
];

/// The plugin names a socket after the pod; whoever listens there decides what the pod's mkdir does.
fn listener(stage: &Stage) -> Result<(), Failure> {
    let folder = stage.folder.join("agents");
    std::fs::create_dir_all(folder.join("demo")).map_err(|error| error.to_string())?;
    let config = format!(
        "listenerDirectories: [{0}]\nrules:\n- edits:\n  - set: [{{names: [mkdir, mkdirat], action: NOTIFY}}]\n  \
         listener: {{path: \"{0}/{{namespace}}/{{name}}.sock\"}}\n",
        folder.display()
    );
    let plugin = format!("seccomp={}", stage.file("listener.yaml", &config)?);
    let pod = stage.file("pod.json", r#"{"id":"p1","name":"shop","uid":"u1","namespace":"demo"}"#)?;
    let socket = folder.join("demo/shop.sock").display().to_string();
    let agent =
        stage.start(&["seccomp", "listen", &socket, "--action", "errno=30", "--once"], Path::new(&socket))?;
    let program = "mkdir /tmp/made";
    let said = stage.nri(&["run", "--pod", &pod, "--plugin", &plugin, "--", "sh", "-c", program])?;
    // The agent's number, EROFS, comes back to the program as if the kernel had said it.
    said.says("Read-only file system")?;
    println!("{}", agent.finish()?.trim_end());
    Ok(())
}

fn possible_here() -> Result<(), Failure> {
    if !cfg!(target_os = "linux") {
        return Err("the demo runs containers, which needs Linux".to_owned());
    }
    let (uid, _) = process::capture(&mut process::program("id", &["-u"]))?;
    if uid.trim() != "0" {
        return Err("the demo runs containers, which needs root: sudo cargo xtask demo".to_owned());
    }
    Ok(())
}

/// Says what will be installed, and asks where somebody can answer.
fn consent(yes: bool) -> Result<bool, Failure> {
    let absent = setup::absent_for_demo();
    if absent.is_empty() {
        return Ok(true);
    }
    println!(
        "This installs {} with apt-get, builds this project, and runs a few containers.",
        absent.join(", ")
    );
    if yes || !std::io::stdin().is_terminal() {
        return Ok(true);
    }
    print!("Go on? [Y/n] ");
    std::io::stdout().flush().map_err(|error| error.to_string())?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|error| error.to_string())?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "" | "y" | "yes"))
}

/// Where the stories take place: a folder of their own, removed at the end.
struct Stage {
    folder: PathBuf,
    programs: PathBuf,
}

impl Stage {
    fn new() -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("nri-demo-{}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .map_err(|error| format!("failed to make {}: {error}", folder.display()))?;
        Ok(Self { folder, programs: crate::target().join("debug") })
    }

    fn file(&self, name: &str, text: &str) -> Result<String, Failure> {
        let path = self.folder.join(name);
        std::fs::write(&path, text)
            .map_err(|error| format!("failed to write {}: {error}", path.display()))?;
        Ok(path.display().to_string())
    }

    /// The example plugin under a name of its own; its index orders it.
    fn hello(&self, name: &str) -> Result<String, Failure> {
        let link = self.folder.join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(self.programs.join("examples/hello"), &link)
                .map_err(|error| error.to_string())?;
        }
        Ok(link.display().to_string())
    }

    /// A spec as the OCI runtime itself makes it, with a policy to edit.
    fn spec(&self) -> Result<String, Failure> {
        let mut command = process::program("runc", &["spec", "--bundle"]);
        let path = self.folder.join("config.json");
        std::fs::remove_file(&path).ok();
        let (text, success) = process::capture(command.arg(&self.folder))?;
        if !success {
            return Err(format!("runc spec: {text}"));
        }
        let spec = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
        let mut spec: serde_json::Value = serde_json::from_str(&spec).map_err(|error| error.to_string())?;
        if let Some(linux) = spec.get_mut("linux").and_then(serde_json::Value::as_object_mut) {
            linux.insert("seccomp".to_owned(), serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW"}));
        }
        self.file("spec.json", &format!("{spec:#}"))
    }

    /// Runs `nri` as a person would, and shows it.
    fn nri(&self, args: &[&str]) -> Result<Said, Failure> {
        show(args);
        let mut command = Command::new(self.programs.join("nri"));
        let output =
            command.args(args).stdin(Stdio::null()).output().map_err(|error| format!("nri: {error}"))?;
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        print!("{text}");
        Ok(Said { text, code: output.status.code() })
    }

    /// Starts `nri` in the background and waits for the file that shows that it is ready.
    fn start(&self, args: &[&str], ready: &Path) -> Result<Agent, Failure> {
        show(args);
        let child = Command::new(self.programs.join("nri"))
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("nri: {error}"))?;
        let agent = Agent(Some(child));
        let deadline = Instant::now() + PATIENCE;
        while !ready.exists() {
            if Instant::now() > deadline {
                return Err(format!("{} did not appear", ready.display()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(agent)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

fn show(args: &[&str]) {
    let words: Vec<String> = args
        .iter()
        .map(|arg| if arg.contains([' ', ';', '&']) { format!("'{arg}'") } else { (*arg).to_owned() })
        .collect();
    println!("$ nri {}", words.join(" "));
}

/// What a command printed, and how it ended.
struct Said {
    text: String,
    code: Option<i32>,
}

impl Said {
    fn ended(self, code: i32) -> Result<Self, Failure> {
        match self.code {
            Some(own) if own == code => Ok(self),
            other => Err(format!("it should have ended with {code}, not {other:?}")),
        }
    }

    fn says(&self, word: &str) -> Result<(), Failure> {
        if self.text.contains(word) { Ok(()) } else { Err(format!("it should have said {word:?}")) }
    }
}

/// A background command, ended with the story.
struct Agent(Option<Child>);

impl Agent {
    /// Waits for its own end, and returns what it printed.
    fn finish(mut self) -> Result<String, Failure> {
        let child = self.0.take().ok_or("it has ended already")?;
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
