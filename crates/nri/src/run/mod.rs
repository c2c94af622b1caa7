//! `nri run`: one container through the whole chain, under a real OCI runtime.

mod executable;
mod profile;
mod rootfs;
mod runtime;
mod signals;
mod spec;
mod state;
mod terminal;

use std::path::PathBuf;
use std::process::ExitCode;

use rustix::process::Signal;
use serde_json::Value;

use self::executable::Files;
use self::rootfs::Bind;
use self::runtime::{Exit, Init, Runtime};
use self::signals::{Action, Signals};
use self::state::State;
use self::terminal::{Console, Terminal};
use crate::failure::{Failure, Kind};

/// The exit code of every refusal or failure of ours.
pub(crate) const OWN_FAILURE: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// So many SIGINTs end a container that catches the signal and goes on.
const PATIENCE: u32 = 3;

/// Run one container through plugins and an OCI runtime
///
/// Without --rootfs and --bundle the container sees the host's programs, read-only, on an empty root.
/// Exit code: the container's own, 128+n after signal n, 125 when we refuse or fail, 126 or 127 when the command
/// cannot be executed or is not found.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  nri run -- id\n  nri run -t -- bash\n  nri run --rootfs ./alpine --env A=1 -- env\n  nri run --runtime crun --bundle ./bundle"
)]
pub(crate) struct Args {
    /// OCI runtime: runc, crun, or a path
    #[arg(long, value_name = "NAME|PATH", default_value = "runc")]
    runtime: String,
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
    #[arg(long, exclusive = true)]
    clean: bool,
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
pub(crate) fn main(args: &Args) -> ExitCode {
    match run(args) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            let code = match failure.kind() {
                Kind::NotExecutable => NOT_EXECUTABLE,
                Kind::NotFound => NOT_FOUND,
                // Who sent the signal knows.
                Kind::Signal(signal) => return ExitCode::from(Exit::Signal(signal).code()),
                Kind::Usage | Kind::Unavailable => OWN_FAILURE,
            };
            failure.print();
            ExitCode::from(code)
        }
    }
}

fn run(args: &Args) -> Result<u8, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::unavailable("nri run needs root, to create containers; `nri adjust` does not"));
    }
    if args.clean {
        for id in state::sweep(true)? {
            tracing::info!("removed what was left of container {id}");
        }
        return Ok(0);
    }
    // Before the first thread: a mount namespace belongs to a thread, and all of ours must be in the new one.
    rootfs::private_mounts()?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|error| Failure::unavailable(format!("cannot become the container's parent: {error}")))?;
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unavailable(format!("cannot start the event loop: {error}")))?;
    let result = tokio.block_on(with_state(args));
    // A thread may sit in a read of our stdin for ever.
    tokio.shutdown_background();
    result
}

/// Everything that needs a directory of its own, and its removal whatever comes.
async fn with_state(args: &Args) -> Result<u8, Failure> {
    let mut signals = Signals::listen()?;
    let runtime = tokio::select! {
        runtime = Runtime::find(&args.runtime) => runtime?,
        signal = signals.end() => return Err(interrupted(signal)),
    };
    for id in state::sweep(false)? {
        tracing::info!("removed what a killed run left of container {id}");
    }
    let mut state = State::create(args.id.as_deref())?;
    let result = lifecycle(args, &runtime, &mut state, &mut signals).await;
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

async fn lifecycle(
    args: &Args,
    runtime: &Runtime,
    state: &mut State,
    signals: &mut Signals,
) -> Result<u8, Failure> {
    let terminal = args.terminal || terminal::is_ours();
    let (spec, binds) = base_spec(args, state, terminal)?;
    let own_root = spec.pointer("/root/path").and_then(Value::as_str).map(PathBuf::from).unwrap_or_default();
    let files = binds.as_ref().map_or(Files::Root(&own_root), |binds| Files::Host(binds));
    executable::check(&spec, &files)?;
    tracing::info!("container {} under {} {}", state.id, runtime.name, runtime.version);

    write_config(state, &spec)?;
    let cgroup = spec.pointer("/linux/cgroupsPath").and_then(Value::as_str);
    state.expect_container(&runtime.path, cgroup)?;
    let console = if terminal { Some(Console::listen(&state.dir)?) } else { None };
    let socket = console.as_ref().map(|console| console.path.clone());
    let init = runtime.create(&state.dir, &state.id, socket.as_deref(), signals.end()).await?;
    let mut terminal = match console {
        Some(console) => Some(console.accept().await?),
        None => None,
    };
    let early = start(runtime, state, signals).await?;
    let exit = watch(&init, early, terminal.as_mut(), signals).await?;
    if let Some(terminal) = terminal {
        terminal.finish().await;
    }
    Ok(exit.code())
}

/// The spec to start from, and what of the host it binds where it uses the default root file system.
fn base_spec(args: &Args, state: &State, terminal: bool) -> Result<(Value, Option<Vec<Bind>>), Failure> {
    let process = spec::Process { command: &args.command, env: &args.env, terminal };
    if let Some(bundle) = &args.bundle {
        return Ok((spec::from_bundle(bundle, &process)?, None));
    }
    if let Some(root) = &args.rootfs {
        spec::check_root(root, "pass a directory with --rootfs")?;
        let root = std::fs::canonicalize(root)
            .map_err(|error| Failure::usage(format!("cannot open {}: {error}", root.display())))?;
        return Ok((spec::default(&state.id, &root, &[], &process)?, None));
    }
    let root = state.dir.join("rootfs");
    let binds = rootfs::build(&root, &state.id)?;
    Ok((spec::default(&state.id, &root, &binds, &process)?, Some(binds)))
}

fn write_config(state: &State, spec: &Value) -> Result<(), Failure> {
    let file = state.dir.join("config.json");
    let text = serde_json::to_vec_pretty(spec).map_err(|error| Failure::unavailable(error.to_string()))?;
    std::fs::write(&file, text)
        .map_err(|error| Failure::unavailable(format!("cannot write {}: {error}", file.display())))
}

/// Lets the container's process go. It may run before the runtime has returned, so a signal in between is the
/// container's; it comes back to be passed on. A second one ends a runtime that hangs.
async fn start(runtime: &Runtime, state: &State, signals: &mut Signals) -> Result<Option<Signal>, Failure> {
    let mut early = None;
    let twice = async {
        early = Some(signals.end().await);
        signals.end().await
    };
    runtime.start(&state.dir, &state.id, twice).await?;
    Ok(early)
}

/// Passes signals on until the container's process has ended.
async fn watch(
    init: &Init,
    early: Option<Signal>,
    mut terminal: Option<&mut Terminal>,
    signals: &mut Signals,
) -> Result<Exit, Failure> {
    let mut asked = 0;
    let mut forced = early.filter(|&signal| init.signal(signal)).map(Signal::as_raw);
    loop {
        tokio::select! {
            exit = init.wait() => {
                let exit = exit.map_err(|error| Failure::unavailable(format!("cannot wait for the container: {error}")))?;
                return Ok(match (exit, forced) {
                    (Exit::Signal(signal), Some(meant)) if signal == Signal::KILL.as_raw() => Exit::Signal(meant),
                    _ => exit,
                });
            }
            action = signals.next() => match action {
                Action::End(signal) => {
                    asked += u32::from(signal == Signal::INT);
                    if asked >= PATIENCE {
                        init.signal(Signal::KILL);
                    } else if init.signal(signal) {
                        forced = Some(signal.as_raw());
                    }
                }
                Action::Forward(signal) => {
                    init.signal(signal);
                }
                Action::Resize => {
                    if let Some(terminal) = &terminal {
                        terminal.resize();
                    }
                }
                Action::Suspend => {
                    if let Some(terminal) = &mut terminal {
                        terminal.suspend();
                    }
                    signals::stop_here();
                }
                Action::Continue => {
                    if let Some(terminal) = &mut terminal {
                        drop(terminal.resume());
                    }
                }
            },
        }
    }
}
