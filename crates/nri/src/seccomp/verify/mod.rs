//! `nri seccomp verify`: the filters of a live process, and whether they are at least as restrictive as a policy.

mod container;
mod report;
mod status;
mod threads;
mod trace;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use nri_seccomp::bpf::{self, Filters, Program, Stack, Stub};
use nri_seccomp::model::{Model, Reading};
use nri_seccomp::policy::Policy;
use nri_seccomp::profile::Target;
use nri_seccomp::settings::Runtime;

use self::container::Container;
use self::report::{Found, Report};
use self::status::Status;
use self::trace::Trouble;
use super::options::Options;
use super::{input, target};
use crate::failure::Failure;
use crate::output::Output;

/// Read the seccomp filters of a live process, and compare them with a policy
///
/// The process is stopped with ptrace for as long as it takes to copy its filters, which is less than a millisecond; a call
/// in which it waits may return EINTR. Needs CAP_SYS_ADMIN and a kernel with checkpoint support. Without --against, a
/// container is compared with its bundle, and the filters of a PID are only shown.
///
/// Filters have no flags and do not name the agent of SCMP_ACT_NOTIFY: these two are not compared. Exit code: 0 at least as
/// restrictive, 1 not, 2 bad input, 3 the filters cannot be read, 4 cannot tell.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  nri seccomp verify 4711 --against policy.json\n  nri seccomp verify --container web -o json"
)]
pub(crate) struct Args {
    /// A process
    #[arg(required_unless_present = "container", value_parser = clap::value_parser!(i32).range(1..))]
    pid: Option<i32>,
    /// A container of runc, crun or `nri run`: its first process
    #[arg(long, value_name = "ID", conflicts_with = "pid")]
    container: Option<String>,
    /// The policy that should be in force; `-` reads it from stdin
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Form of the answer
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
    #[command(flatten)]
    target: target::Options,
    #[command(flatten)]
    options: Options,
}

/// Runs the command.
pub(crate) fn main(args: &Args) -> ExitCode {
    let result = verify(args).and_then(|report| {
        let text = match args.output {
            Output::Text => report.text(),
            Output::Json => format!("{}\n", report.json()),
        };
        write!(std::io::stdout(), "{text}")
            .map_err(|error| Failure::unavailable(format!("cannot write the answer: {error}")))?;
        Ok(report.exit_code())
    });
    result.unwrap_or_else(|failure| failure.end())
}

fn verify(args: &Args) -> Result<Report, Failure> {
    let container = args.container.as_deref().map(Container::find).transpose()?;
    let pid = container.as_ref().map(|container| container.pid).or(args.pid).unwrap_or_default();
    let target = args.target.target(args.options.host.native());
    let expected = match (&args.against, &container) {
        (Some(file), _) => Some(input::read_valid(file, &target)?),
        (None, Some(container)) => Some(of_bundle(container, &target)?),
        (None, None) => None,
    };
    let before = status(pid)?;
    let (filters, status) = if before.filtered() {
        let read = possible(&before)
            .and_then(|()| trace::read(pid).map_err(|trouble| refused(pid, &before, &trouble)))?;
        (read.filters, Status::of(&read.status))
    } else {
        (Vec::new(), before)
    };
    let mut found = Vec::new();
    for filter in filters {
        let program = Program::new(filter.instructions).map_err(|refused| {
            Failure::unavailable(format!("cannot read a filter of process {pid}: {refused}"))
        })?;
        found.push(Found { stub: program.split_stub(), program, log: filter.log });
    }
    let mut report = Report {
        pid,
        container: args.container.clone(),
        status,
        threads: threads::others(pid, &status),
        filters: found,
        verdict: None,
    };
    if let Some(policy) = expected {
        report.verdict = Some(compare(policy.as_ref(), &report, &args.options)?);
    }
    Ok(report)
}

/// The filters against what a runtime makes of the policy. Where it is not known how the runtime reads rules of more than six
/// conditions, either way will do.
fn compare(policy: Option<&Policy>, report: &Report, options: &Options) -> Result<bpf::Verdict, Failure> {
    let Options { settings, host } = options;
    let plain = settings.runtime != Runtime::Runc;
    // The stub runs nothing and is not in the policy; only where runc's reading is asked for, it is compared as well.
    let program = |found: &Found| match &found.stub {
        Some((_, behind)) if plain => behind.clone(),
        _ => found.program.clone(),
    };
    let is_runc = report.filters.iter().any(|found| found.stub.is_some());
    let filters = Filters::read(Stack::new(report.filters.iter().map(program).collect()), host);
    let readings = policy
        .map_or(&[Reading::All][..], |policy| if is_runc { &[Reading::All] } else { Reading::of(policy) });
    let mut first = None;
    for reading in readings {
        let model = Model::new(policy, host, settings, *reading)
            .map_err(|invalid| Failure::usage(format!("the policy is invalid: {invalid}")))?;
        let verdict = bpf::compare(&model, &filters, host, settings);
        if verdict.relation.accepts() {
            return Ok(verdict);
        }
        first.get_or_insert(verdict);
    }
    first.ok_or_else(|| Failure::unavailable("nothing was compared"))
}

/// The policy of the bundle that the runtime was given.
fn of_bundle(container: &Container, target: &Target) -> Result<Option<Policy>, Failure> {
    let Some(bundle) = &container.bundle else {
        return Err(Failure::unavailable(
            "the runtime's state does not name the bundle; pass --against FILE",
        ));
    };
    let file = bundle.join("config.json");
    input::read_valid(&file, target)
}

fn status(pid: i32) -> Result<Status, Failure> {
    std::fs::read_to_string(format!("/proc/{pid}/status"))
        .map(|text| Status::of(&text))
        .map_err(|_| Failure::unavailable(format!("there is no process {pid}")))
}

/// What can be seen beforehand that would not go well.
fn possible(target: &Status) -> Result<(), Failure> {
    let own = std::fs::read_to_string("/proc/self/status").map(|text| Status::of(&text)).unwrap_or_default();
    if own.mode.is_some_and(|mode| mode != 0) {
        return Err(Failure::unavailable(
            "the kernel shows filters only to a process that is under none itself, and this one is; run it on the host",
        ));
    }
    if !own.admin {
        return Err(Failure::unavailable(
            "reading the filters of a process needs CAP_SYS_ADMIN; run it as root",
        ));
    }
    if target.tracer != 0 {
        let name = std::fs::read_to_string(format!("/proc/{}/comm", target.tracer)).unwrap_or_default();
        return Err(Failure::unavailable(format!(
            "the process is traced by process {} ({}), and a process has one tracer only; try again when it is gone",
            target.tracer,
            name.trim()
        )));
    }
    Ok(())
}

fn refused(pid: i32, status: &Status, trouble: &Trouble) -> Failure {
    Failure::unavailable(match trouble {
        Trouble::Gone => format!("process {pid} has ended"),
        Trouble::NotOurs(error) => format!("process {pid} cannot be traced: {error}"),
        Trouble::DoesNotStop => {
            format!("process {pid} did not stop, it waits in the kernel; it was let go, try again later")
        }
        Trouble::Forbidden => {
            "the kernel does not show filters to us: CAP_SYS_ADMIN in the first user namespace is needed, and no seccomp filter of one's own".to_owned()
        }
        Trouble::Unsupported => {
            "this kernel does not show filters; it was built without CONFIG_CHECKPOINT_RESTORE".to_owned()
        }
        Trouble::Withheld(index) => format!(
            "the kernel does not hand out filter {} of {} of process {pid}",
            index + 1,
            status.filters.map_or_else(|| "several".to_owned(), |filters| filters.to_string())
        ),
        Trouble::Failed(error) => format!("cannot read the filters of process {pid}: {error}"),
    })
}

/// A stub and the filter behind it.
type Split = Option<(Stub, Program)>;
