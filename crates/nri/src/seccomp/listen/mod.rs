//! `nri seccomp listen`: the other end of a policy's `listenerPath`.
//!
//! One task for each runtime that connects (`sender`), one for each descriptor it hands over (`watch`); all of them on
//! one thread, since an answer takes no work.

mod answer;
mod notification;
mod report;
mod sender;
mod socket;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use nri_runtime::host;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::answer::{Answer, Answers, SyscallAnswer};
use self::notification::Notification;
use self::sender::{Container, Delivery};
use crate::failure::Failure;

/// Most descriptors that are watched at a time; the usual limit of open files is 1024.
const DESCRIPTORS_MAX: usize = 512;
/// Most runtimes that may be handing over at a time; others wait in the socket's queue.
const SENDERS_MAX: usize = 16;
/// So many notifications of one descriptor are answered before the others have their turn.
const BATCH: usize = 64;

/// Answer the system calls that containers' seccomp policies hand over (SCMP_ACT_NOTIFY)
///
/// Takes the descriptors that runc and crun send to the socket, answers every notification and writes one JSON line for
/// it to stdout. Ends on SIGINT and SIGTERM; calls that wait then return ENOSYS.
///
/// Letting a call run is no protection: a program can change what its pointers point to after the answer.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  nri seccomp listen /run/seccomp/agent.sock --action log --syscall mkdir=errno=1 --syscall getuid=return=0\n\nActions: log and continue let the call run, errno=N refuses it, return=N returns N without running it."
)]
pub(crate) struct Args {
    /// Path of the socket, as the policy's listenerPath has it
    socket: PathBuf,
    /// What to answer
    #[arg(long, value_name = "ACTION", default_value = "log")]
    action: Answer,
    /// What to answer for one system call
    #[arg(long = "syscall", value_name = "NAME=ACTION")]
    syscalls: Vec<SyscallAnswer>,
    /// End once the first container's descriptors are closed
    #[arg(long)]
    once: bool,
}

pub(crate) fn main(args: &Args) -> ExitCode {
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.end(),
    }
}

fn start(args: &Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unavailable(format!("failed to start: {error}")))?;
    runtime.block_on(async {
        let socket = socket::bind(&args.socket)?;
        let answers = Answers::new(args.action, &args.syscalls);
        Listener { socket, answers: Arc::new(answers), once: args.once }.run().await
    })
}

struct Listener {
    socket: host::Listener,
    answers: Arc<Answers>,
    once: bool,
}

impl Listener {
    async fn run(self) -> Result<(), Failure> {
        let failed =
            |error: std::io::Error| Failure::unavailable(format!("failed to wait for signals: {error}"));
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let (deliver, mut deliveries) = mpsc::channel::<Delivery>(SENDERS_MAX);
        let mut senders = JoinSet::new();
        let mut watched = Watched::default();
        loop {
            tokio::select! {
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
                stream = socket::accept(&self.socket), if senders.len() < SENDERS_MAX => {
                    if let Some(stream) = stream {
                        senders.spawn(sender::receive(stream, deliver.clone()));
                    }
                }
                Some(_) = senders.join_next() => {}
                Some(delivery) = deliveries.recv() => watched.add(delivery, &self.answers),
                Some(ended) = watched.tasks.join_next() => {
                    if let Ok(container) = ended
                        && watched.end(&container)
                        && self.once
                    {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// The descriptors that are open, by container.
#[derive(Default)]
struct Watched {
    tasks: JoinSet<String>,
    open: BTreeMap<String, usize>,
    first: Option<String>,
}

impl Watched {
    fn add(&mut self, delivery: Delivery, answers: &Arc<Answers>) {
        let id = delivery.container.id.clone();
        self.first.get_or_insert_with(|| id.clone());
        let container = Arc::new(delivery.container);
        for descriptor in delivery.descriptors {
            if self.tasks.len() >= DESCRIPTORS_MAX {
                tracing::warn!(container = %id, "descriptor refused: {DESCRIPTORS_MAX} are open");
                continue;
            }
            let descriptor = match notification::register(descriptor) {
                Ok(descriptor) => descriptor,
                Err(error) => {
                    tracing::warn!(container = %id, "descriptor refused: {error}");
                    continue;
                }
            };
            *self.open.entry(id.clone()).or_default() += 1;
            self.tasks.spawn(watch(descriptor, Arc::clone(&container), Arc::clone(answers)));
        }
    }

    /// One descriptor of this container has closed. Whether it was the first container's last one.
    fn end(&mut self, container: &str) -> bool {
        let left = self.open.get_mut(container).map_or(0, |open| {
            *open = open.saturating_sub(1);
            *open
        });
        if left == 0 {
            self.open.remove(container);
        }
        left == 0 && self.first.as_deref() == Some(container)
    }
}

/// Answers the notifications of one descriptor until no process is left that could cause one.
async fn watch(descriptor: AsyncFd<OwnedFd>, container: Arc<Container>, answers: Arc<Answers>) -> String {
    while let Ok(mut ready) = descriptor.readable().await {
        let mut answered = 0;
        loop {
            match state(descriptor.get_ref()) {
                State::Waiting => answer_one(descriptor.get_ref(), &container, &answers),
                State::Quiet => break ready.clear_ready(),
                State::Closed => return container.id.clone(),
            }
            answered += 1;
            if answered % BATCH == 0 {
                tokio::task::yield_now().await;
            }
        }
    }
    container.id.clone()
}

enum State {
    /// A notification waits.
    Waiting,
    Quiet,
    /// The filter has no process any more.
    Closed,
}

/// The receiving ioctl blocks where nothing waits, so each is preceded by this.
fn state(descriptor: &OwnedFd) -> State {
    let mut polled = [PollFd::new(descriptor, PollFlags::IN)];
    match poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(0) | Err(Errno::INTR | Errno::AGAIN) => State::Quiet,
        Ok(_) if polled.iter().any(|polled| polled.revents().contains(PollFlags::IN)) => State::Waiting,
        Ok(_) | Err(_) => State::Closed,
    }
}

fn answer_one(descriptor: &OwnedFd, container: &Container, answers: &Answers) {
    match Notification::receive(descriptor) {
        Ok(notification) => {
            let answer = answers.answer(&notification);
            let sent = notification.answer(descriptor, answer);
            report::notification(container, &notification, answer, sent);
        }
        // The caller died, or was interrupted, before its notification was taken.
        Err(Errno::NOENT | Errno::INTR) => {}
        Err(error) => tracing::warn!(container = %container.id, "failed to take a notification: {error}"),
    }
}
