//! `--config FILE.toml`: the flags of a command under the same names, and what an operator says about each plugin
//! (cli.md, "Configuration file"). A flag on the command line overrides the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error};

use crate::failure::Failure;

/// The file's content. Unknown keys are errors.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) runtime: Option<String>,
    pub(crate) plugin: Vec<String>,
    pub(crate) plugin_dir: Option<PathBuf>,
    pub(crate) plugin_config_dir: Option<PathBuf>,
    pub(crate) listen: Vec<String>,
    pub(crate) wait: Option<u32>,
    #[serde(deserialize_with = "some_duration")]
    pub(crate) wait_timeout: Option<Duration>,
    pub(crate) plugins: BTreeMap<String, Plugin>,
}

/// One table `[plugins.NAME]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Plugin {
    #[serde(deserialize_with = "some_duration")]
    pub(crate) timeout: Option<Duration>,
    #[serde(deserialize_with = "some_duration")]
    pub(crate) sync_timeout: Option<Duration>,
    pub(crate) concurrency: Option<std::num::NonZeroUsize>,
    pub(crate) late: Option<Late>,
    pub(crate) on_failure: Option<OnFailure>,
    pub(crate) restart: Option<Restart>,
    #[serde(deserialize_with = "events")]
    pub(crate) events: Option<nri_wire::event::EventMask>,
}

/// What a time-out does to the connection.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Late {
    Close,
    Keep,
}

/// What a late or lost answer does to the request.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnFailure {
    Continue,
    Reject,
}

/// Whether a launched plugin that ended is started again.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Restart {
    Always,
    Never,
}

impl Settings {
    /// # Errors
    /// The file cannot be read, or the first thing in it that is wrong, with its place.
    pub(crate) fn read(file: &Path) -> Result<Self, Failure> {
        let shown = file.display();
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
        Self::parse(&text, &shown.to_string())
    }

    fn parse(text: &str, name: &str) -> Result<Self, Failure> {
        let settings: Self = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let (line, column) = position(text, at);
            Failure::usage(format!("{name}:{line}:{column}: {}", error.message()))
        })?;
        match settings.plugins.keys().find(|name| !is_plugin(name)) {
            Some(key) => Err(Failure::usage(format!(
                "{name}: [plugins.{key:?}]: a plugin's name is expected, with or without its index, or \"*\""
            ))),
            None => Ok(settings),
        }
    }
}

/// `10-name`, `name`, or `*`.
fn is_plugin(name: &str) -> bool {
    name == "*" || nri_wire::name::PluginName::new("00", name).is_ok()
}

/// Line and column, in characters, both from 1.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before.get(start..).unwrap_or_default().chars().count() + 1)
}

/// A span of time as people write it: `500ms`, `2s`, `1m`.
///
/// # Errors
/// What is expected.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        _ => None,
    };
    let number: Option<u64> = number.parse().ok();
    match number.zip(milliseconds).and_then(|(number, unit)| number.checked_mul(unit)) {
        Some(milliseconds) if milliseconds > 0 => Ok(Duration::from_millis(milliseconds)),
        _ => Err(format!("invalid duration {text:?}: a number with ms, s or m is expected, such as \"2s\"")),
    }
}

fn some_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    duration(&text).map(Some).map_err(D::Error::custom)
}

fn events<'de, D: Deserializer<'de>>(from: D) -> Result<Option<nri_wire::event::EventMask>, D::Error> {
    let names = Vec::<String>::deserialize(from)?;
    names.join(",").parse().map(Some).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nri_wire::event::{Event, EventMask};

    #[test]
    fn the_example_of_the_manual() {
        let text = r#"
            plugin = ["./a", "logger"]
            wait-timeout = "500ms"
            [plugins."10-topology-aware"]
            timeout = "2s"
            sync-timeout = "10s"
            concurrency = 1
            late = "close"
            on-failure = "continue"
            restart = "always"
            events = ["CreateContainer"]
            [plugins."*"]
            late = "keep"
        "#;
        let settings = Settings::parse(text, "f").unwrap();
        assert_eq!(settings.wait_timeout, Some(Duration::from_millis(500)));
        let plugin = &settings.plugins["10-topology-aware"];
        assert_eq!(plugin.timeout, Some(Duration::from_secs(2)));
        assert_eq!(plugin.late, Some(Late::Close));
        assert_eq!(plugin.events, Some(EventMask::NONE.with(Event::CreateContainer)));
        assert_eq!(settings.plugins["*"].late, Some(Late::Keep));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let check = |text: &str, expect: &str| {
            let message = Settings::parse(text, "f.toml").unwrap_err().to_string();
            assert!(message.starts_with(expect), "{message}");
        };
        check(
            "plugin = []\nplugins_dir = \"x\"\n",
            "f.toml:2:1: unknown field `plugins_dir`, expected one of `runtime`",
        );
        check("[plugins.a]\ntimeuot = \"1s\"\n", "f.toml:2:1: unknown field `timeuot`");
        check("[plugins.a]\ntimeout = \"2\"\n", "f.toml:2:11: invalid duration \"2\"");
        check("[plugins.a]\ntimeout = \"0s\"\n", "f.toml:2:11: invalid duration \"0s\"");
        check(
            "[plugins.a]\nlate = \"never\"\n",
            "f.toml:2:8: unknown variant `never`, expected `close` or `keep`",
        );
        check("[plugins.a]\nconcurrency = 0\n", "f.toml:2:15: invalid value");
        check("[plugins.a]\nevents = [\"Create\"]\n", "f.toml:2:10: unknown event \"Create\"");
        check("[plugins.\"a b\"]\n", "f.toml: [plugins.\"a b\"]: a plugin's name is expected");
        check("wait = \n", "f.toml:1:8: ");
    }

    #[test]
    fn positions() {
        for (at, expect) in [(0, (1, 1)), (3, (1, 3)), (4, (2, 1)), (99, (3, 1))] {
            assert_eq!(position("äb\nc\n", at), expect);
        }
    }
}
