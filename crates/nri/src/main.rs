//! The `nri` command: one small table of commands; each command is a module of its own.

mod adjust;
mod audit;
mod chain;
mod control;
mod decision;
mod failure;
mod file;
mod gateway;
mod journal;
mod json;
mod log;
mod output;
mod plugins;
mod policy;
mod record;
mod replay;
mod run;
mod seccomp;
mod secrets;
mod settings;
mod spec;
mod table;
mod timestamp;
mod trace;
mod validator;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::failure::Failure;

/// Short-lived commands allocate little; the long-running ones gain most from it (design.md 10).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// NRI on the command line: run containers through plugins, try plugins out, be a plugin.
#[derive(Parser)]
#[command(name = "nri", version, propagate_version = true, disable_help_subcommand = true)]
#[command(after_help = "Example:\n  nri run --plugin ./my-plugin -- sh -c 'echo hello from a container'")]
struct Cli {
    #[command(flatten)]
    log: log::Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Run(Box<run::Args>),
    Adjust(Box<adjust::Args>),
    Gateway(Box<gateway::Args>),
    Plugin(plugins::Args),
    Plugins(control::plugins::Args),
    Policy(policy::Args),
    Replay(replay::Args),
    Seccomp(seccomp::Args),
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(plugin) = arguments.first().and_then(|program| plugins::of_program(program)) {
        log::start(&log::Options::default());
        return plugin.run();
    }
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &arguments),
    };
    log::start(&cli.log);
    match cli.command {
        Command::Run(args) => run::main(&args, cli.log.verbose > 0),
        Command::Adjust(args) => adjust::main(&args),
        Command::Gateway(args) => gateway::main(&args),
        Command::Plugin(args) => plugins::main(&args),
        Command::Plugins(args) => control::plugins::main(&args),
        Command::Policy(args) => policy::main(&args),
        Command::Replay(args) => replay::main(&args),
        Command::Seccomp(args) => seccomp::main(&args),
    }
}

/// Prints what clap found: help and versions as they are, a mistake as one line like every other failure.
fn usage(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    if !error.use_stderr() {
        // A closed stdout leaves nobody to tell.
        drop(error.print());
        return ExitCode::SUCCESS;
    }
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        drop(error.print());
        return ExitCode::from(Failure::USAGE);
    }
    let command = arguments.iter().skip(1).find(|argument| !argument.as_encoded_bytes().starts_with(b"-"));
    let command = command.and_then(|command| command.to_str()).unwrap_or_default();
    let known = Cli::command().find_subcommand(command).is_some();
    let help = if known { format!("nri {command} --help") } else { "nri --help".to_owned() };
    let said = error.render().to_string();
    let (tips, rest): (Vec<&str>, Vec<&str>) = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .partition(|line| line.starts_with("tip: "));
    let tips = tips.iter().filter_map(|tip| tip.strip_prefix("tip: "));
    let tips: String = tips.map(|tip| format!("; {tip}")).collect();
    log::say(format_args!("{}{tips}; see `{help}`", rest.join(" ")));
    ExitCode::from(if command == "run" { run::OWN_FAILURE } else { Failure::USAGE })
}
