//! Where metrics are fetched: HTTP/1.1 at an address or a unix socket, `GET /metrics` and nothing else.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use nri_runtime::host::Listener;
use nri_runtime::limits::ACCEPT_PAUSE;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::super::limits::{
    METRICS_CONNECTIONS_MAX, METRICS_HEADER_TIMEOUT, METRICS_LOOK_TIMEOUT, METRICS_REQUEST_MAX,
    METRICS_TIMEOUT,
};
use super::{Metrics, Sight};
use crate::failure::Failure;

/// The media type of what [`Metrics::text`] gives.
const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Where to listen: `--metrics ADDR|unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        match text.strip_prefix("unix:") {
            Some(path) if !path.is_empty() => Ok(Self::Unix(path.into())),
            _ => text.parse().map(Self::Tcp).map_err(|_| {
                Failure::usage(format!(
                    "--metrics {text}: an IP address with port is expected, such as 127.0.0.1:9464, or unix:PATH"
                ))
            }),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A socket that listens.
#[derive(Debug)]
pub(crate) enum Endpoint {
    Tcp(TcpListener),
    Unix(Listener),
}

impl Endpoint {
    /// # Errors
    /// The address cannot be had.
    pub(crate) async fn bind(address: &Address) -> Result<Self, Failure> {
        match address {
            Address::Tcp(socket) => {
                let listener = TcpListener::bind(socket).await.map_err(|error| {
                    Failure::unavailable(format!("failed to listen at {address} for --metrics: {error}"))
                })?;
                // With port 0 the system chooses one.
                let at = listener.local_addr().unwrap_or(*socket);
                info!("metrics at http://{at}/metrics");
                Ok(Self::Tcp(listener))
            }
            Address::Unix(path) => Listener::bind(&path.clone().into())
                .map(Self::Unix)
                .map_err(|error| Failure::unavailable(format!("--metrics: failed to {error}"))),
        }
    }

    /// Answers for ever. Whoever lets go of this future closes the socket.
    pub(crate) async fn serve(self, metrics: Arc<Metrics>, sight: Arc<dyn Sight>) {
        let mut connections = JoinSet::new();
        let mut is_said = false;
        loop {
            let accepted = self.accept().await;
            // Those that have ended make room.
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok(stream) if connections.len() < METRICS_CONNECTIONS_MAX => {
                    let scrape = Scrape { metrics: Arc::clone(&metrics), sight: Arc::clone(&sight) };
                    connections.spawn(scrape.converse(stream));
                    is_said = false;
                }
                // Once: whoever may connect could fill the log.
                Ok(_) if std::mem::replace(&mut is_said, true) => {}
                Ok(_) => warn!("too many connections for metrics: refused"),
                Err(error) => {
                    warn!("failed to accept a connection for metrics: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Tcp(listener) => Ok(Box::new(listener.accept().await?.0)),
            Self::Unix(listener) => Ok(Box::new(listener.accept().await?)),
        }
    }
}

/// A connection of either kind.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// One connection, which carries one request.
#[derive(Clone)]
struct Scrape {
    metrics: Arc<Metrics>,
    sight: Arc<dyn Sight>,
}

impl Scrape {
    async fn converse(self, stream: Box<dyn Stream>) {
        let service = service_fn(|request| self.respond(request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(METRICS_HEADER_TIMEOUT)
            .max_buf_size(METRICS_REQUEST_MAX)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        match timeout(METRICS_TIMEOUT, connection).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!("a connection for metrics: {error}"),
            Err(_) => debug!("a connection for metrics took too long"),
        }
    }

    async fn respond(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        if request.uri().path() != "/metrics" {
            return Ok(failure(StatusCode::NOT_FOUND, "metrics are at /metrics\n"));
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = failure(StatusCode::METHOD_NOT_ALLOWED, "GET it\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Ok(response);
        }
        let snapshot = timeout(METRICS_LOOK_TIMEOUT, self.sight.look()).await.ok();
        let mut response = Response::new(Full::from(self.metrics.text(snapshot.as_ref())));
        response.headers_mut().insert(CONTENT_TYPE, OPENMETRICS);
        Ok(response)
    }
}

fn failure(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
