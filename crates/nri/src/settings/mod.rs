//! `--config FILE.toml`: the flags of a command under the same names, and what an operator says about each plugin
//! (cli.md, "Configuration file"). A flag on the command line overrides the file.

pub(crate) mod gateway;
mod list;
pub(crate) mod plugin;
pub(crate) mod run;
mod socket;
pub(crate) mod validator;

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use nri_wire::name::PluginName;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, de::DeserializeOwned};
use toml::de::{DeTable, DeValue};

use crate::failure::Failure;

pub(crate) use self::socket::parse as socket;

/// A command that reads such a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Run,
    Adjust,
    Gateway,
}

/// Each key and the commands that know it.
const KEYS: &[(&str, &[Command])] = {
    use Command::{Adjust, Gateway, Run};
    &[
        ("runtime", &[Run]),
        ("plugin", &[Run, Adjust]),
        ("wait", &[Run, Adjust]),
        ("wait-timeout", &[Run, Adjust]),
        ("engine-socket", &[Gateway]),
        ("listen", &[Run, Adjust, Gateway]),
        ("plugin-dir", &[Run, Adjust, Gateway]),
        ("plugin-config-dir", &[Run, Adjust, Gateway]),
        ("policy", &[Run, Adjust, Gateway]),
        ("on-missing-policy", &[Run, Adjust, Gateway]),
        ("audit", &[Run, Adjust, Gateway]),
        ("record", &[Run, Gateway]),
        ("record-secrets", &[Run, Gateway]),
        ("metrics", &[Gateway]),
        ("index", &[Gateway]),
        ("name", &[Gateway]),
        ("state-dir", &[Gateway]),
        ("control", &[Gateway]),
        ("plugins", &[Run, Adjust, Gateway]),
        ("default-validator", &[Run, Adjust, Gateway]),
    ]
};

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Run => "nri run",
            Self::Adjust => "nri adjust",
            Self::Gateway => "nri gateway",
        })
    }
}

/// Reads a command's file.
///
/// # Errors
/// The file cannot be read, or the first thing in it that is wrong, with its place.
pub(crate) fn read<S: DeserializeOwned>(file: &Path, command: Command) -> Result<S, Failure> {
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
    parse(&text, &shown.to_string(), command)
}

fn parse<S: DeserializeOwned>(text: &str, name: &str, command: Command) -> Result<S, Failure> {
    let wrong = |span: Option<Range<usize>>, message: &str| {
        let (line, column) = position(text, span.map_or(0, |span| span.start));
        Failure::usage(format!("{name}:{line}:{column}: {message}"))
    };
    let table = DeTable::parse(text).map_err(|error| wrong(error.span(), error.message()))?;
    for (key, value) in table.get_ref() {
        known(key.get_ref(), command).map_err(|message| wrong(Some(key.span()), &message))?;
        let DeValue::Table(plugins) = value.get_ref() else { continue };
        let bad = plugins.keys().find(|name| key.get_ref() == "plugins" && !is_plugin(name.get_ref()));
        if let Some(bad) = bad {
            let name = bad.get_ref();
            let message = format!(
                "[plugins.{name:?}]: a plugin's name is expected, with or without its index, or \"*\""
            );
            return Err(wrong(Some(bad.span()), &message));
        }
    }
    toml::from_str(text).map_err(|error| wrong(error.span(), error.message()))
}

/// A key of another command is most often one in the wrong file.
fn known(key: &str, command: Command) -> Result<(), String> {
    // As containerd spells it.
    let key = if key == "default_validator" { "default-validator" } else { key };
    let of = KEYS.iter().find(|(name, _)| *name == key).map(|(_, commands)| *commands);
    match of {
        Some(commands) if commands.contains(&command) => Ok(()),
        Some(commands) => {
            let others: Vec<String> = commands.iter().map(|other| format!("`{other}`")).collect();
            Err(format!("key `{key}` is one of {}, not of `{command}`; take it out", others.join(" and ")))
        }
        None => {
            let own = KEYS.iter().filter(|(_, commands)| commands.contains(&command));
            let own: Vec<String> = own.map(|(name, _)| format!("`{name}`")).collect();
            Err(format!("unknown key `{key}`, expected one of {}", own.join(", ")))
        }
    }
}

/// `10-name`, `name`, or `*`.
fn is_plugin(name: &str) -> bool {
    name == "*" || PluginName::new("00", name).is_ok()
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

#[cfg(test)]
mod tests {
    use super::gateway::Gateway;
    use super::run::Run;
    use super::*;

    /// The table of keys and the types that are read have the same keys.
    #[test]
    fn every_key_is_read_by_the_commands_that_know_it() {
        for (key, commands) in KEYS {
            for command in [Command::Run, Command::Adjust, Command::Gateway] {
                // No key takes a list of lists: one that is read says so, one that is not is unknown.
                let text = format!("{key} = [[]]\n");
                let message = match command {
                    Command::Gateway => parse::<Gateway>(&text, "f", command).unwrap_err(),
                    Command::Run | Command::Adjust => parse::<Run>(&text, "f", command).unwrap_err(),
                }
                .to_string();
                let read = ["invalid type", "wanted string"].iter().any(|said| message.contains(said));
                assert_eq!(commands.contains(&command), read, "{message}");
                assert!(!message.contains("unknown"), "{message}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let run = |text: &str, expect: &str| {
            let message = parse::<Run>(text, "f.toml", Command::Run).unwrap_err().to_string();
            assert!(message.starts_with(expect), "{message}");
        };
        run(
            "plugin = []\nplugins_dir = \"x\"\n",
            "f.toml:2:1: unknown key `plugins_dir`, expected one of `runtime`, `plugin`,",
        );
        run(
            "index = \"00\"\n",
            "f.toml:1:1: key `index` is one of `nri gateway`, not of `nri run`; take it out",
        );
        run("[plugins.a]\ntimeuot = \"1s\"\n", "f.toml:2:1: unknown field `timeuot`");
        run("[plugins.a]\ntimeout = \"2\"\n", "f.toml:2:11: invalid duration \"2\"");
        run("[plugins.a]\ntimeout = \"0s\"\n", "f.toml:2:11: invalid duration \"0s\"");
        run(
            "[plugins.a]\nlate = \"never\"\n",
            "f.toml:2:8: unknown variant `never`, expected `close` or `keep`",
        );
        run("[plugins.a]\nconcurrency = 0\n", "f.toml:2:15: invalid value");
        run("[plugins.a]\nevents = [\"Create\"]\n", "f.toml:2:10: unknown event \"Create\"");
        run("[plugins.\"a b\"]\n", "f.toml:1:10: [plugins.\"a b\"]: a plugin's name is expected");
        run("wait = \n", "f.toml:1:8: ");
        run("listen = [\"s\", \"a=\"]\n", "f.toml:1:16: invalid socket \"a=\": the path is missing");
        let gateway = |text: &str, expect: &str| {
            let message = parse::<Gateway>(text, "f.toml", Command::Gateway).unwrap_err().to_string();
            assert!(message.starts_with(expect), "{message}");
        };
        gateway(
            "wait = 1\n",
            "f.toml:1:1: key `wait` is one of `nri run` and `nri adjust`, not of `nri gateway`",
        );
        gateway(
            "listen = \"s,mode=9\"\n",
            "f.toml:1:10: invalid socket \"s,mode=9\": mode \"9\" is no octal number",
        );
        gateway(
            "listen = 1\n",
            "f.toml:1:10: invalid type: integer `1`, expected a socket or a list of them",
        );
    }

    #[test]
    fn positions() {
        for (at, expect) in [(0, (1, 1)), (3, (1, 3)), (4, (2, 1)), (99, (3, 1))] {
            assert_eq!(position("äb\nc\n", at), expect);
        }
    }
}
