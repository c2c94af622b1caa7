//! The plugins that come with the binary: `nri plugin NAME`, or a link `NN-NAME` to the binary in a plugin directory.

mod config;
pub(crate) mod logger;
mod seccomp;
mod template;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nri_plugin::{Builder, Notice, Plugin};

use self::config::Given;
use crate::failure::Failure;

/// A bundled plugin.
#[derive(Clone, Copy)]
pub(crate) struct Bundled {
    name: &'static str,
    /// What it does, for the list.
    summary: &'static str,
    /// The index where neither the runtime nor the command line gives one.
    index: &'static str,
    run: fn(Builder, &Given) -> Result<(), Failure>,
}

const BUNDLED: &[Bundled] = &[
    Bundled {
        name: "logger",
        summary: "writes every event with its messages, as YAML or JSON",
        index: "99",
        run: logger::run,
    },
    Bundled {
        name: "seccomp",
        summary: "replaces or edits seccomp policies, and sets a listener for each pod",
        index: "60",
        run: seccomp::run,
    },
    Bundled {
        name: "template",
        summary: "does nothing; the shape of a plugin",
        index: "50",
        run: template::run,
    },
];

/// Be one of the plugins that come with this program
///
/// A link named NN-NAME to this program in a runtime's plugin directory does the same, for runtimes that launch plugins.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  nri plugin list\n  nri plugin logger --socket /run/nri/nri.sock\n  nri plugin seccomp --config seccomp.yaml\n  ln -s /usr/bin/nri /opt/nri/plugins/60-seccomp"
)]
pub(crate) struct Args {
    /// Name of the plugin, or `list`
    name: String,
    /// Socket of the runtime (default: /var/run/nri/nri.sock)
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Two digits: plugins are called in their order
    #[arg(long, value_name = "NN", value_parser = index)]
    index: Option<String>,
    /// Configuration, for runtimes that send none
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn index(text: &str) -> Result<String, String> {
    let valid = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if valid { Ok(text.to_owned()) } else { Err("expected two digits, such as 10".to_owned()) }
}

/// `nri plugin …`
pub(crate) fn main(args: &Args) -> ExitCode {
    if args.name == "list" {
        return list();
    }
    let result = bundled(&args.name)
        .ok_or_else(|| {
            let names: Vec<&str> = BUNDLED.iter().map(|plugin| plugin.name).collect();
            Failure::usage(format!(
                "no bundled plugin is named {:?}, expected {}",
                args.name,
                names.join(", ")
            ))
        })
        .and_then(|plugin| plugin.start(args));
    exit(result)
}

/// The bundled plugin that a program's name `NN-NAME` asks for.
pub(crate) fn of_program(program: &OsStr) -> Option<Bundled> {
    let (digits, name) = Path::new(program).file_name()?.to_str()?.split_once('-')?;
    index(digits).ok().and_then(|_| bundled(name))
}

/// The bundled plugin of this name.
pub(crate) fn bundled(name: &str) -> Option<Bundled> {
    BUNDLED.iter().copied().find(|plugin| plugin.name == name)
}

impl Bundled {
    /// Runs it as a program `NN-NAME`: name, index and connection as the runtime says, or the name.
    pub(crate) fn run(self) -> ExitCode {
        exit((self.run)(Builder::new(), &Given::default()))
    }

    fn start(self, args: &Args) -> Result<(), Failure> {
        let mut builder = Builder::new();
        // What the runtime says in the environment counts, unless the command line says otherwise.
        if std::env::var_os("NRI_PLUGIN_NAME").is_none() {
            builder = builder.name(self.name);
        }
        if args.index.is_some() || std::env::var_os("NRI_PLUGIN_IDX").is_none() {
            builder = builder.index(args.index.as_deref().unwrap_or(self.index));
        }
        if let Some(socket) = &args.socket {
            builder = builder.socket(socket);
        }
        let given = args.config.as_deref().map(Given::read).transpose()?.unwrap_or_default();
        (self.run)(builder, &given)
    }
}

/// Runs a plugin whose `--config` has been read already.
fn run<P: Plugin>(builder: Builder, plugin: P) -> Result<(), Failure> {
    builder
        .on_notice(say)
        .run(plugin)
        .map_err(|error| Failure::unavailable(format!("failed to run the plugin: {error}")))
}

/// That all is well is for `-v`; a plugin that waits for its runtime, or answers with an error, is not to look idle.
fn say(notice: &Notice<'_>) {
    match notice {
        Notice::Connected { .. } => tracing::info!("{notice}"),
        _ => tracing::warn!("{notice}"),
    }
}

fn exit(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.end(),
    }
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn list() -> ExitCode {
    for plugin in BUNDLED {
        println!("{:<10}{}", plugin.name, plugin.summary);
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_are_plugins() {
        for (program, expect) in [
            ("60-seccomp", Some("seccomp")),
            ("/opt/nri/plugins/00-logger", Some("logger")),
            ("seccomp", None),
            ("6-seccomp", None),
            ("xx-seccomp", None),
            ("60-other", None),
            ("/usr/bin/nri", None),
            ("", None),
        ] {
            assert_eq!(of_program(OsStr::new(program)).map(|plugin| plugin.name), expect, "{program}");
        }
    }
}
