//! `nri policy`: what administrators write, looked at without running anything.

mod check;
mod decided;
mod explain;
pub(crate) mod file;
mod init;
pub(crate) mod lock;
mod render;
mod test;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use nri_policy::document::preset::PRESETS;
use nri_policy::document::schema;

use crate::failure::Failure;

/// Begin, check, test and explain policies
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  nri policy init > 10-node.yaml\n  nri policy check 10-node.yaml\n  nri policy explain --plugin gpu-injector\n  nri policy presets baseline"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Check(check::Args),
    Explain(explain::Args),
    Init(init::Args),
    Presets(Presets),
    Schema(Schema),
    Test(test::Args),
}

/// List the built-in policies, or print one
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  nri policy presets\n  nri policy presets baseline > 10-node.yaml")]
struct Presets {
    /// The preset to print, `baseline` or `preset/baseline@v1`
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// Print the JSON Schema of policy documents, for editors
#[derive(clap::Args)]
#[command(after_help = "Example:\n  nri policy schema > policy.schema.json")]
struct Schema {}

pub(crate) fn main(args: &Args) -> ExitCode {
    let result = match &args.command {
        Command::Check(args) => check::run(args),
        Command::Explain(args) => explain::run(args).map(|text| (text, ExitCode::SUCCESS)),
        Command::Init(args) => init::run(args).map(|text| (text, ExitCode::SUCCESS)),
        Command::Test(args) => test::run(args),
        Command::Presets(args) => presets(args).map(|text| (text, ExitCode::SUCCESS)),
        Command::Schema(_) => Ok((format!("{:#}\n", schema::document()), ExitCode::SUCCESS)),
    };
    match result {
        Ok((text, code)) => {
            // A closed stdout leaves nobody to tell.
            drop(std::io::stdout().write_all(text.as_bytes()));
            code
        }
        Err(failure) => failure.end(),
    }
}

fn presets(args: &Presets) -> Result<String, Failure> {
    let Some(name) = &args.name else {
        let line = |preset: &nri_policy::document::preset::Preset| {
            format!("{}  {}\n", preset.full_name(), preset.about())
        };
        return Ok(PRESETS.iter().map(line).collect());
    };
    let full = if name.starts_with("preset/") { name.clone() } else { format!("preset/{name}") };
    let found = nri_policy::document::preset::find(&full).ok_or_else(|| {
        let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        Failure::usage(format!("there is no preset {name:?}; there are {}", names.join(", ")))
    })?;
    Ok(found.text.to_owned())
}

/// Whether what goes to stdout may have colours.
fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
