//! The CRI client (`tests/go-cri`) as a process that is asked line by line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// A client of one engine.
pub struct Cri {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Cri {
    /// Connects to the CRI socket of an engine.
    ///
    /// # Errors
    /// A text for [`crate::skipped`] where Go is absent.
    ///
    /// # Panics
    /// Where the client does not start.
    pub fn connect(socket: &Path) -> Result<Self, String> {
        let mut process = Command::new(crate::go::cri()?)
            .arg("-socket")
            .arg(socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("the CRI client does not start: {error}"));
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            panic!("the CRI client has no pipes")
        };
        Ok(Self { process, input, output: BufReader::new(output) })
    }

    /// Asks one thing. The engine's refusal is the error.
    ///
    /// # Errors
    /// What the engine says.
    ///
    /// # Panics
    /// Where the client has ended.
    pub fn ask(&mut self, line: &Value) -> Result<Value, String> {
        let mut answer = String::new();
        writeln!(self.input, "{line}").and_then(|()| self.output.read_line(&mut answer)).unwrap_or_else(
            |error| {
                panic!("the CRI client is gone: {error}");
            },
        );
        let answer: Value =
            serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{answer:?}: {error}"));
        match answer.get("error").and_then(Value::as_str) {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer),
        }
    }

    /// Runs a pod in the host's network, with annotations.
    ///
    /// # Errors
    /// What the engine says.
    pub fn run_pod(&mut self, name: &str, annotations: &Value) -> Result<String, String> {
        let config = json!({"metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}")},
            "annotations": annotations, "linux": security_context()});
        self.ask(&json!({"do": "runp", "config": config})).map(|answer| text(&answer, "pod"))
    }

    /// Creates a container in a pod: the command and further members of its configuration.
    ///
    /// # Errors
    /// What the engine says.
    pub fn create(
        &mut self,
        pod: &str,
        name: &str,
        command: &[&str],
        more: &Value,
    ) -> Result<String, String> {
        let mut config = json!({"metadata": {"name": name}, "image": {"image": crate::engine::IMAGE},
            "command": command, "linux": confined()});
        merge(&mut config, more);
        let answer = self.ask(&json!({"do": "create", "pod": pod, "config": config}))?;
        Ok(text(&answer, "container"))
    }

    /// Asks one thing about a container, by its id: `start`, `stop`, `rm`, `inspect`.
    ///
    /// # Errors
    /// What the engine says.
    pub fn container(&mut self, verb: &str, id: &str) -> Result<Value, String> {
        self.ask(&json!({"do": verb, "container": id}))
    }

    /// Changes a container's resources.
    ///
    /// # Errors
    /// What the engine says.
    pub fn update(&mut self, id: &str, resources: &Value) -> Result<(), String> {
        self.ask(&json!({"do": "update", "container": id, "resources": resources})).map(drop)
    }

    /// The runtime's configuration that the engine made for a container.
    ///
    /// # Errors
    /// What the engine says.
    pub fn spec(&mut self, id: &str) -> Result<Value, String> {
        let answer = self.container("inspect", id)?;
        Ok(answer.pointer("/info/runtimeSpec").cloned().unwrap_or_default())
    }

    /// The ids of all pods, and those of all containers, sorted.
    ///
    /// # Errors
    /// What the engine says.
    pub fn list(&mut self) -> Result<(Vec<String>, Vec<String>), String> {
        let answer = self.ask(&json!({"do": "ps"}))?;
        let ids = |member: &str| {
            let list = answer.get(member).and_then(Value::as_array).into_iter().flatten();
            let mut ids: Vec<String> = list.map(|item| text(item, "id")).collect();
            ids.sort();
            ids
        };
        Ok((ids("pods"), ids("containers")))
    }

    /// Creates and starts a container in a pod.
    ///
    /// # Errors
    /// What the engine says.
    pub fn run_container(&mut self, pod: &str, name: &str, command: &[&str]) -> Result<String, String> {
        let id = self.create(pod, name, command, &Value::Null)?;
        self.container("start", &id)?;
        Ok(id)
    }

    /// Runs a command in a container: stdout and stderr together, and the exit code.
    ///
    /// # Errors
    /// What the engine says.
    pub fn exec(&mut self, container: &str, command: &[&str]) -> Result<(String, i64), String> {
        let answer =
            self.ask(&json!({"do": "exec", "container": container, "command": command, "timeout": 10}))?;
        let output = text(&answer, "stdout") + &text(&answer, "stderr");
        Ok((output, answer.get("exit").and_then(Value::as_i64).unwrap_or(0)))
    }

    /// Removes a pod with all that is in it.
    ///
    /// # Errors
    /// What the engine says.
    pub fn remove_pod(&mut self, pod: &str) -> Result<(), String> {
        self.ask(&json!({"do": "stopp", "pod": pod}))?;
        self.ask(&json!({"do": "rmp", "pod": pod})).map(|_| ())
    }
}

impl Drop for Cri {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn security_context() -> Value {
    json!({"security_context": {"namespace_options": {"network": "NODE"}}})
}

/// The same with the engine's own seccomp policy, which plugins then get to see.
fn confined() -> Value {
    json!({"security_context": {"namespace_options": {"network": "NODE"},
        "seccomp": {"profile_type": "RuntimeDefault"}}})
}

/// Puts the members of one object into another, at every depth.
fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (_, Value::Null) => {}
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more.clone(),
    }
}

fn text(answer: &Value, member: &str) -> String {
    answer.get(member).and_then(Value::as_str).unwrap_or_default().to_owned()
}
