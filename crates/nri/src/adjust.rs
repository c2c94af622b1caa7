//! `nri adjust`: what plugins would make of a container, without running it.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nri_wire::api::Container;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::chain::{self, Plan, container_from, message, pod_for};
use crate::decision::{self, Decision};
use crate::failure::{Failure, Kind};
use crate::file;
use crate::settings::Command;
use crate::spec;

/// Show what plugins make of a container, without running it
///
/// Reads an OCI runtime spec, asks the plugins to adjust the container, and prints who changed what and how the spec
/// changes. Exit code: 0 adjusted or unchanged, 1 rejected, 2 bad usage or input, 3 a plugin or the spec failed.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  nri adjust --bundle ./bundle --plugin ./my-plugin\n  nri adjust --spec config.json --plugin seccomp=seccomp.yaml -o json\n  runc spec && nri adjust --spec config.json --plugin ./my-plugin --write adjusted.json"
)]
#[command(group = clap::ArgGroup::new("input").required(true).args(["bundle", "spec", "stdin"]))]
pub(crate) struct Args {
    /// OCI bundle, whose config.json is read
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// OCI runtime spec
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,
    /// `-`: read the spec from stdin
    #[arg(value_name = "-", value_parser = dash)]
    stdin: Option<()>,
    /// What is known of the container besides its spec, as Container in JSON
    #[arg(long, value_name = "FILE")]
    container: Option<PathBuf>,
    /// Write the adjusted spec to a file
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// What to print: text for people, the decision as JSON, or the adjusted spec alone
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Form,
    #[command(flatten)]
    chain: chain::Options,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Text,
    Json,
    Spec,
}

fn dash(text: &str) -> Result<(), String> {
    if text == "-" { Ok(()) } else { Err("only `-` is expected; pass a file with --spec".into()) }
}

/// Runs the command.
pub(crate) fn main(args: &Args) -> ExitCode {
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.end(),
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    let plan = Plan::new(&args.chain, Command::Adjust)?;
    let (spec, id, source) = input(args)?;
    let mut about = args.container.as_deref().map(message::<Container>).transpose()?.unwrap_or_default();
    if let Some(class) = plan.seccomp_class {
        class.tell(&spec, &mut about);
    }
    let said = about.linux.as_ref().and_then(|linux| linux.seccomp_policy.clone());
    let id = if about.id.is_empty() { id } else { about.id.clone() };
    let pod = pod_for(args.chain.pod.as_deref(), &id, &spec)?;
    let container = container_from(&spec, &id, &pod, about, &source)?;
    if said.is_some() && said != container.linux.as_ref().and_then(|linux| linux.seccomp_policy.clone()) {
        tracing::warn!("the container's seccompPolicy is another than that of {source}, which counts");
    }

    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unavailable(format!("cannot start the event loop: {error}")))?;
    let adjusted = tokio.block_on(async {
        let interrupted = |error| Failure::unavailable(format!("cannot listen to signals: {error}"));
        let mut interrupt = signal(SignalKind::interrupt()).map_err(interrupted)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(interrupted)?;
        let ended = || Failure::new(Kind::Signal(rustix::process::Signal::INT.as_raw()), "interrupted");
        let chain = tokio::select! {
            chain = plan.start() => chain?,
            _ = interrupt.recv() => return Err(ended()),
            _ = terminate.recv() => return Err(ended()),
        };
        let adjusted = tokio::select! {
            adjusted = chain.adjust(&spec, &pod, &container) => Ok(adjusted),
            _ = interrupt.recv() => Err(ended()),
            _ = terminate.recv() => Err(ended()),
        };
        chain.shutdown().await;
        adjusted
    })?;
    finish(args, &spec, &Decision::new(&id, adjusted))
}

/// The spec, the id that its place suggests, and what messages call it.
fn input(args: &Args) -> Result<(Value, String, String), Failure> {
    let placeholder = "container".to_owned();
    if let Some(bundle) = &args.bundle {
        let file = bundle.join("config.json");
        let spec = spec::read(&file)?;
        let id = std::fs::canonicalize(bundle)
            .ok()
            .and_then(|bundle| Some(bundle.file_name()?.to_str()?.to_owned()));
        return Ok((spec, id.unwrap_or(placeholder), file.display().to_string()));
    }
    if let Some(file) = &args.spec {
        return Ok((spec::read(file)?, placeholder, file.display().to_string()));
    }
    let mut text = Vec::new();
    std::io::stdin()
        .read_to_end(&mut text)
        .map_err(|error| Failure::usage(format!("cannot read stdin: {error}")))?;
    Ok((spec::parse(&text, "stdin")?, placeholder, "stdin".to_owned()))
}

fn finish(args: &Args, spec: &Value, decision: &Decision) -> Result<(), Failure> {
    if let (Some(file), Some(spec)) = (&args.write, &decision.spec) {
        write(file, spec)?;
    }
    let text = match args.output {
        Form::Text => for_people(spec, decision),
        Form::Json => serde_json::to_string(decision)
            .map(|text| text + "\n")
            .map_err(|error| Failure::unavailable(format!("cannot print the decision: {error}")))?,
        Form::Spec => decision.spec.as_ref().map(|spec| format!("{spec:#}\n")).unwrap_or_default(),
    };
    // A reader that has gone has seen enough.
    drop(std::io::stdout().write_all(text.as_bytes()));
    decision.failure().map_or(Ok(()), Err)
}

fn write(file: &Path, spec: &Value) -> Result<(), Failure> {
    file::replace(file, format!("{spec:#}\n").as_bytes())
        .map_err(|error| Failure::unavailable(format!("cannot write {}: {error}", file.display())))
}

fn for_people(before: &Value, decision: &Decision) -> String {
    let mut text = String::new();
    if !decision.refused.is_empty() {
        text.push_str(&decision::refusals(&decision.refused));
        text.push('\n');
    }
    let Some(after) = &decision.spec else { return text };
    if decision.changes.is_empty() {
        text.push_str("no changes\n");
        return text;
    }
    text.push_str(&decision::changes(&decision.changes));
    let diff = decision::diff(before, after);
    if !diff.is_empty() {
        text.push('\n');
        text.push_str(&diff);
    }
    text
}
