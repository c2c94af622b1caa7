//! `nri run`: one container through the whole chain, under a real OCI runtime.

mod executable;
mod lifecycle;
mod profile;
mod rootfs;
mod runtime;
mod signals;
mod spec;
pub(crate) mod state;
mod terminal;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use rustix::process::Signal;

use self::lifecycle::Lifecycle;
use self::runtime::{Exit, Runtime};
use self::signals::Signals;
use self::state::State;
use crate::chain::{self, Plan};
use crate::failure::{Failure, Kind};
use crate::record;
use crate::settings::Command;

/// The exit code of every refusal or failure of ours.
pub(crate) const OWN_FAILURE: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Run one container through plugins and an OCI runtime
///
/// Without --rootfs and --bundle the container sees the host's programs, read-only, on an empty root.
/// Exit code: the container's own, 128+n after signal n, 125 when we refuse or fail, 126 or 127 when the command
/// cannot be executed or is not found.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  nri run -- id\n  nri run -t -- bash\n  nri run --rootfs ./alpine --env A=1 -- env\n  nri run --plugin ./my-plugin --plugin seccomp=seccomp.yaml -v -- sh\n  nri run --runtime crun --bundle ./bundle"
)]
pub(crate) struct Args {
    /// OCI runtime: runc, crun, or a path [default: runc]
    #[arg(long, value_name = "NAME|PATH")]
    runtime: Option<String>,
    /// Directory to use as the container's root file system
    #[arg(long, value_name = "DIR", conflicts_with = "bundle")]
    rootfs: Option<PathBuf>,
    /// OCI bundle: config.json and root file system (not modified)
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Give the container a terminal (default: when stdin and stdout are one)
    #[arg(short, long)]
    terminal: bool,
    /// Id of the container (default: made up)
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Set a variable in the container's environment
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<String>,
    /// Leave state and container in /run/nri/run/ID for inspection
    #[arg(long)]
    keep: bool,
    /// Remove what killed or kept runs left, and end
    #[arg(long, conflicts_with_all = ["runtime", "rootfs", "bundle", "terminal", "id", "env", "keep", "record", "command"])]
    clean: bool,
    #[command(flatten)]
    record: record::Flags,
    #[command(flatten)]
    chain: chain::Options,
    /// Command and arguments (default: what the bundle says, else sh)
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

fn variable(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err("NAME=VALUE is expected".into()),
    }
}

/// Runs the command.
pub(crate) fn main(args: &Args, verbose: bool) -> ExitCode {
    match run(args, verbose) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            let code = match failure.kind() {
                Kind::NotExecutable => NOT_EXECUTABLE,
                Kind::NotFound => NOT_FOUND,
                // Who sent the signal knows.
                Kind::Signal(signal) => return ExitCode::from(Exit::Signal(signal).code()),
                Kind::Rejected | Kind::Usage | Kind::Unavailable => OWN_FAILURE,
            };
            failure.print();
            ExitCode::from(code)
        }
    }
}

fn run(args: &Args, verbose: bool) -> Result<u8, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::unavailable("nri run needs root, to create containers; `nri adjust` does not"));
    }
    if args.clean {
        for id in state::sweep(true)? {
            tracing::info!("removed what was left of container {id}");
        }
        return Ok(0);
    }
    let plan = Plan::new(&args.chain, Command::Run)?;
    // Before the first thread: a mount namespace belongs to a thread, and all of ours must be in the new one.
    rootfs::private_mounts()?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|error| Failure::unavailable(format!("cannot become the container's parent: {error}")))?;
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unavailable(format!("cannot start the event loop: {error}")))?;
    let result = tokio.block_on(with_state(args, plan, verbose));
    // A thread may sit in a read of our stdin for ever.
    tokio.shutdown_background();
    result
}

/// Everything that needs a directory of its own, and its removal whatever comes.
async fn with_state(args: &Args, mut plan: Plan, verbose: bool) -> Result<u8, Failure> {
    let mut signals = Signals::listen()?;
    let wanted = args.runtime.as_deref().or(plan.runtime.as_deref()).unwrap_or("runc").to_owned();
    let runtime = tokio::select! {
        runtime = Runtime::find(&wanted) => runtime?,
        signal = signals.end() => return Err(interrupted(signal)),
    };
    let record = args.record.record.as_deref().or(plan.record.0.as_deref());
    let recorder = record::open(record, args.record.record_secrets || plan.record.1)?;
    if let Some(recorder) = &recorder {
        plan.recorded(std::sync::Arc::clone(recorder));
    }
    plan.under(&runtime.name, &runtime.version);
    for id in state::sweep(false)? {
        tracing::info!("removed what a killed run left of container {id}");
    }
    let mut state = State::create(args.id.as_deref())?;
    state.expect_sockets(plan.sockets())?;
    let result = Lifecycle { args, runtime: &runtime, state: &mut state, signals: &mut signals, verbose }
        .run(plan)
        .await;
    if let Some(recorder) = recorder {
        recorder.close();
    }
    if args.keep {
        state.keep()?;
        tracing::warn!("kept {}; `nri run --clean` removes it", state.dir.display());
    } else {
        state.remove()?;
    }
    result
}

fn interrupted(signal: Signal) -> Failure {
    Failure::new(Kind::Signal(signal.as_raw()), "interrupted")
}
