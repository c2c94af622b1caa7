//! `nri plugin logger`: writes every event with its messages.
//!
//! ```yaml
//! format: yaml            # or json: one line an event
//! events: all             # or names and groups: pod,CreateContainer
//! secrets: hide           # or show: values of variables and command lines as they are
//! file: /var/log/nri.log  # default: standard error
//! ```

pub(crate) mod hide;

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::SystemTime;

use nri_plugin::{
    Adjustment, Builder, Configure, CreateContainer, EventMask, Plugin, PostCreateContainer,
    PostStartContainer, PostUpdateContainer, PostUpdatePodSandbox, RemoveContainer, RemovePodSandbox,
    Request, Result, RunPodSandbox, StartContainer, StopContainer, StopPodSandbox, Synchronize, Update,
    UpdateContainer, UpdatePodSandbox, Updates, Validate,
};
use prost::{Message, Name};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Value, json};

use super::config::{self, Current, Given};
use crate::failure::Failure;
use crate::json::to_json;
use crate::timestamp::timestamp;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Config {
    format: Format,
    #[serde(deserialize_with = "events")]
    events: EventMask,
    secrets: Secrets,
    file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self { format: Format::Yaml, events: EventMask::ALL, secrets: Secrets::Hide, file: None }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    Yaml,
    Json,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Secrets {
    Hide,
    Show,
}

fn events<'de, D: Deserializer<'de>>(deserializer: D) -> Result<EventMask, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}

struct Logger {
    writer: Current<Writer>,
}

/// Where events go, and how.
struct Writer {
    config: Config,
    file: Option<File>,
}

/// Runs it.
pub(super) fn run(builder: Builder, given: &Given) -> Result<(), Failure> {
    let config = given.parse::<Config>()?;
    let writer = Writer::open(config.unwrap_or_default()).map_err(Failure::unavailable)?;
    super::run(builder, Logger { writer: Current::new(writer) })
}

impl Logger {
    fn log<M: Message + Name>(&self, event: &str, request: &Request<M>) {
        self.writer.get().write(event, to_json(request.message()));
    }
}

impl Writer {
    fn open(config: Config) -> Result<Self, String> {
        let open = |path: &PathBuf| {
            let mut options = File::options();
            let file = options.create(true).append(true).mode(0o600).open(path);
            file.map_err(|error| format!("failed to open {}: {error}", path.display()))
        };
        let file = config.file.as_ref().map(open).transpose()?;
        Ok(Self { config, file })
    }

    fn write(&self, event: &str, message: Value) {
        let text = self.render(event, message, SystemTime::now());
        // One write for each event: lines of several threads do not mix.
        let written = match self.file.as_ref() {
            Some(mut file) => file.write_all(text.as_bytes()),
            None => io::stderr().lock().write_all(text.as_bytes()),
        };
        if let Err(error) = written {
            tracing::warn!("failed to write an event: {error}");
        }
    }

    fn render(&self, event: &str, mut message: Value, now: SystemTime) -> String {
        if self.config.secrets == Secrets::Hide {
            hide::secrets(&mut message);
        }
        let entry = json!({ "time": timestamp(now), "event": event, "message": message });
        match self.config.format {
            Format::Json => format!("{entry}\n"),
            Format::Yaml => match serde_saphyr::to_string(&entry) {
                Ok(yaml) => format!("---\n{yaml}"),
                Err(_) => format!("---\n{entry}\n"),
            },
        }
    }
}

#[nri_plugin::plugin]
impl Plugin for Logger {
    fn configure(&self, request: &Configure) -> Result<EventMask> {
        if let Some(config) = config::parse(&request.config)? {
            self.writer.set(Writer::open(config)?);
        }
        let writer = self.writer.get();
        // The text may hold secrets of whoever runs the runtime.
        let mut message = request.message().clone();
        message.config.clear();
        writer.write("Configure", to_json(&message));
        Ok(writer.config.events)
    }

    fn synchronize(&self, request: &Synchronize) -> Result<Vec<Update>> {
        self.log("Synchronize", request);
        Ok(Vec::new())
    }

    fn shutdown(&self) {
        self.writer.get().write("Shutdown", json!({}));
    }

    fn run_pod_sandbox(&self, request: &RunPodSandbox) -> Result {
        self.log("RunPodSandbox", request);
        Ok(())
    }

    fn update_pod_sandbox(&self, request: &UpdatePodSandbox) -> Result {
        self.log("UpdatePodSandbox", request);
        Ok(())
    }

    fn post_update_pod_sandbox(&self, request: &PostUpdatePodSandbox) -> Result {
        self.log("PostUpdatePodSandbox", request);
        Ok(())
    }

    fn stop_pod_sandbox(&self, request: &StopPodSandbox) -> Result {
        self.log("StopPodSandbox", request);
        Ok(())
    }

    fn remove_pod_sandbox(&self, request: &RemovePodSandbox) -> Result {
        self.log("RemovePodSandbox", request);
        Ok(())
    }

    fn create_container(&self, request: &CreateContainer) -> Result<Adjustment> {
        self.log("CreateContainer", request);
        Ok(Adjustment::new())
    }

    fn post_create_container(&self, request: &PostCreateContainer) -> Result {
        self.log("PostCreateContainer", request);
        Ok(())
    }

    fn start_container(&self, request: &StartContainer) -> Result {
        self.log("StartContainer", request);
        Ok(())
    }

    fn post_start_container(&self, request: &PostStartContainer) -> Result {
        self.log("PostStartContainer", request);
        Ok(())
    }

    fn update_container(&self, request: &UpdateContainer) -> Result<Updates> {
        self.log("UpdateContainer", request);
        Ok(Updates::new())
    }

    fn post_update_container(&self, request: &PostUpdateContainer) -> Result {
        self.log("PostUpdateContainer", request);
        Ok(())
    }

    fn stop_container(&self, request: &StopContainer) -> Result<Vec<Update>> {
        self.log("StopContainer", request);
        Ok(Vec::new())
    }

    fn remove_container(&self, request: &RemoveContainer) -> Result {
        self.log("RemoveContainer", request);
        Ok(())
    }

    fn validate_container_adjustment(&self, request: &Validate) -> Result {
        self.log("ValidateContainerAdjustment", request);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        config::parse::<Config>(text).map(Option::unwrap_or_default)
    }

    #[test]
    fn configurations() {
        for text in ["", "# nothing\n"] {
            let config = parse(text).unwrap();
            assert_eq!((config.events, config.file), (EventMask::ALL, None), "{text:?}");
        }
        let config = parse("events: pod,StopContainer\nsecrets: show\nformat: json\nfile: /tmp/x").unwrap();
        assert_eq!(
            config.events.to_string(),
            "RunPodSandbox,StopPodSandbox,RemovePodSandbox,StopContainer,UpdatePodSandbox,PostUpdatePodSandbox"
        );
    }

    /// Errors come with their position.
    #[test]
    fn errors() {
        for (text, what, line) in [
            ("format: xml", "xml", "line 1"),
            ("format: json\nevents: pods", "unknown event", "line 2"),
            ("format: json\n\nevnts: pod", "evnts", "line 3"),
            ("[]", "", "line 1"),
        ] {
            let error = parse(text).err().unwrap();
            assert!(error.contains(what) && error.contains(line), "{text}: {error}");
        }
    }

    /// `design.md` 3, invariant 9.
    #[test]
    fn secrets_are_hidden_unless_asked_for() {
        let message = json!({"container": {"args": ["login", "s3cret"], "env": ["TOKEN=s3cret"]}});
        let render = |text: &str| {
            let writer = Writer::open(parse(text).unwrap()).unwrap();
            writer.render("CreateContainer", message.clone(), SystemTime::UNIX_EPOCH)
        };
        assert_eq!(
            render("format: json"),
            "{\"time\":\"1970-01-01T00:00:00.000Z\",\"event\":\"CreateContainer\",\"message\":{\"container\":{\"args\":[\"<5 bytes>\",\"<6 bytes>\"],\"env\":[\"TOKEN=<6 bytes>\"]}}}\n"
        );
        assert!(render("secrets: show").contains("TOKEN=s3cret"));
        let yaml = render("");
        assert!(
            yaml.starts_with("---\n") && !yaml.contains("s3cret") && yaml.contains("event: CreateContainer"),
            "{yaml}"
        );
    }
}
