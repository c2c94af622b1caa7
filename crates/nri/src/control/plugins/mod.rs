//! `nri plugins`: what is connected to a running gateway.

mod text;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;

use super::{Report, SOCKET, client};
use crate::failure::Failure;
use crate::output::Output;

/// Show the plugins of a running gateway, and the engine that it serves
///
/// It asks the gateway's control socket, which is for root.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  nri plugins\n  nri plugins -o json | jq '.plugins[] | select(.state == \"late\")'"
)]
pub(crate) struct Args {
    /// Form of the answer
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
    /// The gateway's control socket
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    control: PathBuf,
}

/// `nri plugins …`
pub(crate) fn main(args: &Args) -> ExitCode {
    let result = client::ask(&args.control, "plugins", "nri plugins").and_then(|answer| shown(args, answer));
    match result {
        Ok(text) => {
            // A closed stdout leaves nobody to tell.
            drop(std::io::stdout().write_all(text.as_bytes()));
            ExitCode::SUCCESS
        }
        Err(failure) => failure.end(),
    }
}

/// The answer as it was given, also members that this version does not know; or a table.
fn shown(args: &Args, answer: Value) -> Result<String, Failure> {
    match args.output {
        Output::Json => Ok(format!("{answer}\n")),
        Output::Text => {
            let report: Report = serde_json::from_value(answer).map_err(|error| {
                Failure::unavailable(format!(
                    "the answer at {} is incomplete: {error}",
                    args.control.display()
                ))
            })?;
            let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            Ok(text::report(&report, colour))
        }
    }
}
