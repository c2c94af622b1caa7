//! A gateway between a fake engine and fake plugins.

use std::path::Path;
use std::time::Duration;

use nri_tests::fake_engine::{Client, FakeEngine};
use nri_tests::gateway::{Gateway, Settings};
pub(crate) use nri_tests::wait::PATIENCE;
use nri_wire::api::{
    ConfigureRequest, ConfigureResponse, Container, Empty, PodSandbox, RegisterPluginRequest,
    SynchronizeRequest, SynchronizeResponse,
};
use nri_wire::event::EventMask;
use nri_wire::io::tokio::{Peer, Request, Requests, Role};
use nri_wire::service::{self, Rpc};
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout};

pub(crate) struct Bench {
    pub(crate) engine: FakeEngine,
    pub(crate) gateway: Gateway,
    _folder: tempfile::TempDir,
}

impl Bench {
    /// A gateway that has not connected to its engine yet.
    pub(crate) fn new(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine.sock");
        let engine = FakeEngine::bind(&socket).unwrap();
        let args = args.iter().map(Into::into).collect();
        let gateway = Gateway::spawn(&socket, &Settings { args, ..Settings::default() });
        Self { engine, gateway, _folder: folder }
    }

    /// A gateway at an engine without containers.
    pub(crate) async fn ready(args: &[&str]) -> (Self, Client) {
        let bench = Self::new(args);
        let client = bench.engine.joined(Vec::new(), Vec::new()).await;
        bench.until_ready().await;
        (bench, client)
    }

    /// Waits for the line.
    pub(crate) async fn until_ready(&self) -> String {
        self.says("ready ").await
    }

    /// Waits until the gateway has said something.
    pub(crate) async fn says(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.gateway.log();
            if let Some(line) = log.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            assert!(Instant::now() < deadline, "the gateway has not said {text:?} but:\n{log}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The engine's connection ends, and the gateway finds it again in this state.
    pub(crate) async fn comes_back(
        &self,
        client: Client,
        pods: Vec<PodSandbox>,
        containers: Vec<Container>,
    ) -> Client {
        client.close();
        self.engine.joined(pods, containers).await
    }

    /// The gateway's resident memory, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.gateway.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub(crate) async fn plugin(&self, index: &str, name: &str) -> FakePlugin {
        FakePlugin::join(&self.gateway.socket(), index, name, EventMask::ALL).await
    }
}

/// A plugin whose every answer the test gives.
pub(crate) struct FakePlugin {
    pub(crate) peer: Peer,
    pub(crate) requests: Requests,
    pub(crate) configured: ConfigureRequest,
    /// What it was told when it joined, all parts together.
    pub(crate) synchronized: SynchronizeRequest,
}

impl FakePlugin {
    /// Connects, registers, and answers until it is active.
    pub(crate) async fn join(socket: &Path, index: &str, name: &str, events: EventMask) -> Self {
        let stream = UnixStream::connect(socket).await.unwrap();
        let (peer, requests) = Peer::start(stream, Role::Plugin);
        let register = RegisterPluginRequest {
            plugin_name: name.into(),
            plugin_idx: index.into(),
            nri_version: "v0.12.5".into(),
        };
        peer.call::<service::RegisterPlugin>(&register, Instant::now() + PATIENCE).await.unwrap();
        let mut plugin = Self {
            peer,
            requests,
            configured: ConfigureRequest::default(),
            synchronized: SynchronizeRequest::default(),
        };
        let (configure, request) = plugin.expect::<service::Configure>().await;
        plugin.configured = configure;
        let answer = ConfigureResponse { events: events.bits(), ..ConfigureResponse::default() };
        request.answer::<service::Configure>(Ok(answer));
        plugin.synchronize().await;
        plugin
    }

    /// Takes in all parts of a Synchronize.
    pub(crate) async fn synchronize(&mut self) {
        self.synchronized = SynchronizeRequest::default();
        loop {
            let (part, request) = self.expect::<service::Synchronize>().await;
            let answer = SynchronizeResponse { more: part.more, ..SynchronizeResponse::default() };
            request.answer::<service::Synchronize>(Ok(answer));
            self.synchronized.pods.extend(part.pods);
            self.synchronized.containers.extend(part.containers);
            if !part.more {
                return;
            }
        }
    }

    /// The next request.
    pub(crate) async fn next(&mut self) -> Request {
        timeout(PATIENCE, self.requests.next()).await.unwrap().unwrap()
    }

    /// The next request, which is this one.
    pub(crate) async fn expect<R: Rpc>(&mut self) -> (R::Request, Request) {
        let request = self.next().await;
        assert_eq!(request.method(), R::METHOD);
        (request.decode::<R>().unwrap().message, request)
    }

    /// Takes the next request, which is this one, and answers it.
    pub(crate) async fn answers<R: Rpc>(&mut self, response: R::Response) -> R::Request {
        let (message, request) = self.expect::<R>().await;
        request.answer::<R>(Ok(response));
        message
    }

    /// Answers the next request, which is this one. Gives the places of the fields in it that are not known.
    pub(crate) async fn unknown<R: Rpc>(&mut self) -> Vec<String> {
        let (_, request) = self.expect::<R>().await;
        let unknown = request.decode::<R>().unwrap().unknown;
        request.answer::<R>(Ok(R::Response::default()));
        unknown.fields().iter().map(|field| field.path.clone()).collect()
    }

    /// Takes events until one of this name, which it answers too. The others are named.
    pub(crate) async fn takes_until(&mut self, method: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let request = self.next().await;
            let name = request.method().to_owned();
            // An empty message is a valid answer to every call.
            request.answer::<service::Shutdown>(Ok(Empty {}));
            if name == method {
                return seen;
            }
            seen.push(name);
        }
    }
}
