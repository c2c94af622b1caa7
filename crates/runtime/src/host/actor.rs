//! The shell around the core: one task that feeds it, and does what it says.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::SystemTime;

use nri_policy::judge::Judge;
use nri_wire::api::{Container, PodSandbox, RegisterPluginRequest, UpdateContainersRequest};
use nri_wire::io::Trace;
use nri_wire::io::tokio::{Peer, Receive, Role};
use nri_wire::restrictions::{RestrictionsRequest, RestrictionsResponse};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::warn;

use super::call;
use super::caller::Caller;
use super::config::{Embedder, PluginSettings, SharedEmbedder, Tracer};
use super::core::{
    Action, CallId, Completion, Core, End, Origin, Permission, PluginId, Refusal, RequestId, SeatId,
    Submission,
};
use super::identity::{Exit, Hasher, Proof, Sha256, Witness, observe};
use super::launch::{self, Launched, Launcher};
use super::listen::Listener;
use super::outcome::Failure;
use super::serve::{apply, serve};
use super::status::{PluginStatus, Totals};
use crate::limits::{ACCEPT_PAUSE, END_MAX, ORPHAN_GRACE};

/// What users of the host ask for.
#[derive(Debug)]
pub(super) enum Order {
    Submit {
        id: RequestId,
        submission: Box<Submission>,
        caller: Caller,
        reply: oneshot::Sender<Result<Completion, Failure>>,
    },
    Cancel(RequestId),
    Connect(UnixStream),
    SetRuntime {
        name: String,
        version: String,
        nri_version: String,
    },
    Renew {
        pods: Vec<PodSandbox>,
        containers: Vec<Container>,
    },
    SetPlugins(BTreeMap<String, PluginSettings>),
    SetJudge(Judge),
    Look(oneshot::Sender<(Vec<PluginStatus>, Totals)>),
    Shutdown,
}

/// Who waits for what becomes of a registration.
type Registered = oneshot::Sender<Result<(), Refusal>>;

/// A new connection.
#[derive(Debug)]
struct Accepted {
    stream: UnixStream,
    /// Which listener has it.
    listener: Option<Arc<str>>,
}

/// What happens at the host's own connections and processes.
#[derive(Debug)]
pub(super) enum News {
    Register {
        plugin: PluginId,
        request: RegisterPluginRequest,
        reply: Registered,
    },
    Ask {
        plugin: PluginId,
        request: UpdateContainersRequest,
        unknown: Vec<String>,
        reply: oneshot::Sender<Result<Permission, Refusal>>,
    },
    /// A plugin asks what it may do.
    Restrictions {
        plugin: PluginId,
        request: RestrictionsRequest,
        reply: oneshot::Sender<Option<RestrictionsResponse>>,
    },
    End {
        call: CallId,
        end: End,
    },
    Closed {
        plugin: PluginId,
        why: String,
    },
    Launched {
        seat: SeatId,
        result: Box<std::io::Result<Launched>>,
    },
    /// Of a connected plugin's executable.
    Digest {
        plugin: PluginId,
        sha256: Option<Sha256>,
    },
}

/// What can be seen from outside at any time.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) active: usize,
    /// Each launched plugin has been active or failed at least once.
    pub(super) settled: bool,
    /// Everything is closed and reaped.
    pub(super) stopped: bool,
}

pub(super) struct Actor {
    core: Core,
    embedder: Arc<dyn Embedder>,
    orders: mpsc::UnboundedReceiver<Order>,
    news: mpsc::UnboundedReceiver<News>,
    /// Connections, one at a time: what plugins say does not wait behind all that somebody makes in a loop.
    accepted: mpsc::Receiver<Accepted>,
    /// For the tasks that bring news. What a peer can put in is bounded by its connection's own limits.
    sender: mpsc::UnboundedSender<News>,
    view: watch::Sender<View>,
    peers: BTreeMap<PluginId, Peer>,
    /// Executables of connections that have not registered.
    images: BTreeMap<PluginId, OwnedFd>,
    /// Registrations that wait for such a digest.
    waiting: BTreeMap<PluginId, (RegisterPluginRequest, Registered)>,
    /// That processes are still what they were.
    proofs: BTreeMap<PluginId, Proof>,
    /// The word to end for processes that live.
    processes: BTreeMap<PluginId, oneshot::Sender<()>>,
    replies: BTreeMap<RequestId, oneshot::Sender<Result<Completion, Failure>>>,
    hasher: Hasher,
    launcher: Launcher,
    tasks: JoinSet<()>,
    accepting: JoinSet<()>,
    stopped: bool,
    trace: Option<Arc<dyn Trace>>,
}

impl Actor {
    pub(super) fn new(
        core: Core,
        embedder: SharedEmbedder,
        listeners: Vec<Listener>,
        orders: mpsc::UnboundedReceiver<Order>,
        view: watch::Sender<View>,
        trace: Option<Tracer>,
        log_lines: u32,
    ) -> Self {
        let (sender, news) = mpsc::unbounded_channel();
        let hasher = Hasher::default();
        let mut accepting = JoinSet::new();
        let (acceptor, accepted) = mpsc::channel(1);
        for listener in listeners {
            accepting.spawn(accept(listener, acceptor.clone()));
        }
        Self {
            core,
            embedder: embedder.0,
            orders,
            news,
            accepted,
            sender,
            view,
            peers: BTreeMap::new(),
            images: BTreeMap::new(),
            waiting: BTreeMap::new(),
            proofs: BTreeMap::new(),
            processes: BTreeMap::new(),
            replies: BTreeMap::new(),
            launcher: Launcher::new(hasher.clone(), log_lines),
            hasher,
            tasks: JoinSet::new(),
            accepting,
            stopped: false,
            trace: trace.map(|Tracer(trace)| trace),
        }
    }

    pub(super) async fn run(mut self) {
        self.core.handle_start();
        let mut forsaken = false;
        while !self.stopped {
            self.act();
            if self.stopped {
                break;
            }
            let due = self.core.next_timeout().map(Instant::from_std);
            tokio::select! {
                order = self.orders.recv(), if !forsaken => match order {
                    Some(order) => self.handle_order(order),
                    None => {
                        forsaken = true;
                        self.core.handle_shutdown(now());
                    }
                },
                Some(news) = self.news.recv() => self.handle_news(news),
                Some(accepted) = self.accepted.recv() => self.connected(accepted),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.core.handle_timeout(now());
                }
                Some(_) = self.tasks.join_next(), if !self.tasks.is_empty() => {}
            }
        }
        self.accepting.shutdown().await;
        self.processes.clear();
        self.peers.clear();
        if timeout(END_MAX, async { while self.tasks.join_next().await.is_some() {} }).await.is_err() {
            warn!("some tasks did not end in time");
        }
        self.launcher.end().await;
        self.view.send_modify(|view| view.stopped = true);
    }

    fn handle_order(&mut self, order: Order) {
        match order {
            Order::Submit { id, submission, caller: Caller { deadline, unknown }, reply } => {
                self.replies.insert(id, reply);
                self.core.handle_request(id, *submission, unknown, deadline.into_std(), now());
            }
            Order::Cancel(id) => {
                if self.replies.remove(&id).is_some() {
                    self.core.handle_cancel(id, now());
                }
            }
            Order::Connect(stream) => self.connected(Accepted { stream, listener: None }),
            Order::SetRuntime { name, version, nri_version } => {
                self.core.set_runtime(name, version, nri_version);
            }
            Order::Renew { pods, containers } => self.core.renew(pods, containers, now()),
            Order::SetPlugins(table) => self.core.set_plugins(table, now()),
            Order::SetJudge(judge) => self.core.set_judge(judge, now()),
            Order::Look(reply) => drop(reply.send((self.core.plugins(), self.core.totals()))),
            Order::Shutdown => {
                self.accepting.abort_all();
                self.core.handle_shutdown(now());
            }
        }
    }

    fn handle_news(&mut self, news: News) {
        match news {
            News::Register { plugin, request, reply } => {
                if self.core.awaits_digest(plugin) && !self.waiting.contains_key(&plugin) {
                    // The policy cannot tell who it is before that.
                    self.waiting.insert(plugin, (request, reply));
                    self.take_digest(plugin);
                } else {
                    self.register(plugin, &request, reply);
                }
            }
            News::Ask { plugin, request, unknown, reply } => {
                self.look_again(plugin);
                drop(reply.send(self.core.handle_update_containers(plugin, request, &unknown, now())));
            }
            News::Restrictions { plugin, request, reply } => {
                self.look_again(plugin);
                drop(reply.send(self.core.restrictions(plugin, &request)));
            }
            News::End { call, end } => {
                if let (End::Answer(..), Some(plugin)) = (&end, self.core.called(call)) {
                    self.look_again(plugin);
                }
                self.core.handle_end(call, end, now());
            }
            News::Launched { seat, result } => self.launched(seat, *result),
            News::Closed { plugin, why } => {
                self.waiting.remove(&plugin);
                self.core.handle_closed(plugin, &why, now());
            }
            News::Digest { plugin, sha256 } => {
                self.core.handle_digest(plugin, sha256, now());
                if let Some((request, reply)) = self.waiting.remove(&plugin) {
                    self.register(plugin, &request, reply);
                }
            }
        }
    }

    /// Does everything that the core wants done.
    fn act(&mut self) {
        while let Some(action) = self.core.poll_action() {
            match action {
                Action::Call { plugin, call, parcel, deadline } => {
                    let Some(peer) = self.peers.get(&plugin).cloned() else { continue };
                    let (sender, deadline) = (self.sender.clone(), Instant::from_std(deadline));
                    self.tasks.spawn(async move {
                        let end = call::make(&peer, parcel, deadline).await;
                        drop(sender.send(News::End { call, end }));
                    });
                }
                Action::Admit(plugin) => {
                    if let Some(peer) = self.peers.get(&plugin) {
                        peer.admit();
                    }
                }
                Action::Close { plugin, reason } => {
                    if let Some(peer) = self.peers.remove(&plugin) {
                        peer.close(&reason);
                    }
                    self.images.remove(&plugin);
                    self.proofs.remove(&plugin);
                    self.waiting.remove(&plugin);
                    // Dropping the word is the word.
                    self.processes.remove(&plugin);
                }
                Action::Complete { request, result } => {
                    if let Some(reply) = self.replies.remove(&request) {
                        drop(reply.send(result));
                    }
                }
                Action::Apply(permission) => self.apply(permission),
                Action::Launch(seat) => self.launch(seat),
                Action::Changed => self.show(),
                Action::Stopped => self.stopped = true,
            }
        }
    }

    fn show(&self) {
        let (active, settled) = (self.core.active(), self.core.settled());
        self.view.send_replace(View { active, settled, stopped: false });
    }

    fn apply(&mut self, permission: Permission) {
        let embedder = Arc::clone(&self.embedder);
        self.tasks.spawn(async move {
            let plugin = permission.plugin.clone();
            let failed = apply(&*embedder, permission).await;
            if !failed.is_empty() {
                warn!(%plugin, "{} of its updates could not be applied", failed.len());
            }
        });
    }

    fn launch(&mut self, seat: SeatId) {
        let Some(program) = self.core.program(seat).cloned() else { return };
        let sender = self.sender.clone();
        self.launcher.launch(program, move |result| {
            drop(sender.send(News::Launched { seat, result: Box::new(result) }));
        });
    }

    fn launched(&mut self, seat: SeatId, result: std::io::Result<Launched>) {
        let Launched { stream, pid, child, identity, proof } = match result {
            Ok(launched) => launched,
            Err(error) => return self.core.handle_launch_failed(seat, &error.to_string(), now()),
        };
        let origin = Origin { pid, since: SystemTime::now(), identity, pending: false };
        // If it comes too late, it ends with this.
        let Ok(plugin) = self.core.handle_connected(Some(seat), origin, now()) else { return };
        self.proofs.extend(proof.map(|proof| (plugin, proof)));
        let (word, end) = oneshot::channel();
        self.processes.insert(plugin, word);
        let sender = self.sender.clone();
        self.tasks.spawn(async move {
            let why = launch::mind(child, end).await;
            drop(sender.send(News::Closed { plugin, why }));
        });
        self.serve(plugin, stream, pid, None);
    }

    /// A plugin has connected by itself.
    fn connected(&mut self, Accepted { stream, listener }: Accepted) {
        let mut seen = observe(&stream);
        seen.identity.listener = listener;
        let pid = seen.pid;
        let pending = seen.image.is_some();
        let origin = Origin { pid, since: SystemTime::now(), identity: seen.identity, pending };
        match self.core.handle_connected(None, origin, now()) {
            Ok(plugin) => {
                self.proofs.extend(seen.proof.map(|proof| (plugin, proof)));
                self.serve(plugin, stream, pid, seen.exit);
                if let Some(image) = seen.image {
                    self.images.insert(plugin, image);
                }
            }
            Err(_) => warn!(pid, "too many connections that have not registered: refused"),
        }
    }

    fn register(&mut self, plugin: PluginId, request: &RegisterPluginRequest, reply: Registered) {
        let result = self.core.handle_register(plugin, request, now());
        if result.is_ok() {
            self.take_digest(plugin);
        }
        drop(reply.send(result));
    }

    /// Whether the plugin still is who it was found to be. Who is not is nobody from now on.
    fn look_again(&mut self, plugin: PluginId) {
        if let Some(Err(changed)) = self.proofs.get(&plugin).map(Proof::check) {
            self.proofs.remove(&plugin);
            self.core.handle_changed(plugin, &changed.to_string());
        }
    }

    /// Takes the digest of a registered plugin's executable. Who only connects is not worth the work.
    fn take_digest(&mut self, plugin: PluginId) {
        let Some((image, peer)) = self.images.remove(&plugin).zip(self.peers.get(&plugin).cloned()) else {
            return;
        };
        let (hasher, sender) = (self.hasher.clone(), self.sender.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                sha256 = hasher.digest(image) => drop(sender.send(News::Digest { plugin, sha256 })),
                _ = peer.closed() => {}
            }
        });
    }

    /// Lets a plugin speak: the process with this number, if it is known, and no other.
    fn serve(&mut self, plugin: PluginId, stream: UnixStream, pid: Option<u32>, exit: Option<Exit>) {
        let witness = Witness::of(&stream, pid).map(|witness| Box::new(witness) as Box<dyn Receive>);
        let (peer, requests) = Peer::start_received(stream, Role::Runtime, self.trace.clone(), witness);
        self.peers.insert(plugin, peer.clone());
        let (sender, embedder) = (self.sender.clone(), Arc::clone(&self.embedder));
        if let Some(exit) = exit {
            self.tasks.spawn(outlive(peer.clone(), exit));
        }
        self.tasks.spawn(serve(plugin, peer, requests, sender, embedder));
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// Accepts for ever: what fails once may work again (quirk A9).
async fn accept(listener: Listener, sender: mpsc::Sender<Accepted>) {
    loop {
        match listener.accept().await {
            Ok(stream) => drop(sender.send(Accepted { stream, listener: listener.name() }).await),
            Err(error) => {
                warn!(path = %listener.path().display(), "failed to accept: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Closes a connection that lives on without the process that made it: whoever holds it now is not who was looked at.
async fn outlive(peer: Peer, exit: Exit) {
    tokio::select! {
        () = exit.wait() => {
            // What it said last is still on its way.
            if timeout(ORPHAN_GRACE, peer.closed()).await.is_err() {
                peer.close("the process that connected has ended, its connection is held by another one");
            }
        }
        _ = peer.closed() => {}
    }
}
