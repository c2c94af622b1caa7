//! The crate `ttrpc` as peer, which knows nothing of us or of Go: its server under our calls, its client on our service.
//! It has no multiplexer, so a shim stands between.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a test a panic is how a failure is reported"
)]

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

use nri_wire::api::{
    Container, CreateContainerRequest, CreateContainerResponse, Empty, RegisterPluginRequest,
    UpdateContainersRequest, UpdateContainersResponse,
};
use nri_wire::connection::Role;
use nri_wire::io::{CallError, blocking};
use nri_wire::mux::{self, FrameReader};
use nri_wire::service::{CreateContainer, RUNTIME, RegisterPlugin, Shutdown, UpdateContainers};
use nri_wire::ttrpc::{Code, Status};
use prost::Message as _;

const LONG: Duration = Duration::from_secs(60);

fn soon() -> Instant {
    Instant::now() + LONG
}

/// Puts frames around what comes from a plain ttRPC connection, in whatever pieces it comes, and takes them off in the other
/// direction.
fn shim(muxed: UnixStream, plain: UnixStream, connection: u32) {
    let (mut from_mux, mut to_mux) = (muxed.try_clone().unwrap(), muxed);
    let (mut from_plain, mut to_plain) = (plain.try_clone().unwrap(), plain);
    thread::spawn(move || {
        let mut buffer = vec![0; 1000];
        while let Ok(len @ 1..) = from_plain.read(&mut buffer) {
            to_mux.write_all(&mux::header(connection, u32::try_from(len).unwrap())).unwrap();
            to_mux.write_all(&buffer[..len]).unwrap();
        }
        drop(to_mux.shutdown(std::net::Shutdown::Both));
    });
    thread::spawn(move || {
        let mut frames = FrameReader::default();
        let mut buffer = vec![0; 3000];
        while let Ok(len @ 1..) = from_mux.read(&mut buffer) {
            let mut input = &buffer[..len];
            while let Some((id, piece)) = frames.read(&mut input).unwrap() {
                assert_eq!(id, connection);
                to_plain.write_all(piece).unwrap();
            }
        }
        drop(to_plain.shutdown(std::net::Shutdown::Both));
    });
}

/// A service of theirs: echoes the container's name as an annotation, or fails as it is told to.
struct Create;

impl ttrpc::MethodHandler for Create {
    fn handler(&self, context: ttrpc::TtrpcContext, request: ttrpc::Request) -> ttrpc::Result<()> {
        let create = CreateContainerRequest::decode(&request.payload[..]).unwrap();
        let name = create.container.unwrap().name;
        let mut response = ttrpc::Response::new();
        if name == "refuse" {
            response.set_status(ttrpc::get_status(ttrpc::Code::NOT_FOUND, "no such thing"));
        } else {
            let adjust = nri_wire::api::ContainerAdjustment {
                annotations: [(format!("within {}", context.timeout_nano > 0), name)].into(),
                ..Default::default()
            };
            response.set_payload(
                CreateContainerResponse { adjust: Some(adjust), ..Default::default() }.encode_to_vec(),
            );
        }
        context.respond(context.mh.stream_id, response)
    }
}

#[expect(clippy::disallowed_types, reason = "their interface wants it")]
fn methods() -> std::collections::HashMap<String, Box<dyn ttrpc::MethodHandler + Send + Sync>> {
    let path = "/nri.pkg.api.v1alpha1.Plugin/CreateContainer".to_owned();
    std::collections::HashMap::from([(path, Box::new(Create) as Box<dyn ttrpc::MethodHandler + Send + Sync>)])
}

#[test]
fn we_call_their_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let mut server =
        ttrpc::Server::new().bind(&format!("unix://{}", path.display())).unwrap().register_service(methods());
    server.start().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    shim(theirs, UnixStream::connect(&path).unwrap(), mux::PLUGIN_CONNECTION);
    let peer = blocking::Peer::new(ours, Role::Runtime);
    peer.admit();
    let create = |name: String| {
        let container = Some(Container { name, ..Default::default() });
        peer.call::<CreateContainer>(&CreateContainerRequest { container, ..Default::default() }, soon())
    };
    for len in [0, 1, 100, 4000, 4096, 5000, 100_000, 2_000_000] {
        let adjust = create("x".repeat(len)).unwrap().message.adjust.unwrap();
        assert_eq!(adjust.annotations["within true"].len(), len);
    }
    match create("refuse".to_owned()) {
        Err(CallError::Status(status)) => assert_eq!(status, Status::new(Code::NotFound, "no such thing")),
        other => panic!("{other:?}"),
    }
    match peer.call::<Shutdown>(&Empty {}, soon()) {
        Err(CallError::Status(status)) => assert!(status.message.contains("Shutdown"), "{status}"),
        other => panic!("{other:?}"),
    }
    thread::scope(|scope| {
        for index in 0..4 {
            scope.spawn(move || {
                for len in 0..20 {
                    let name = "y".repeat(len * 1000 + index);
                    let adjust = create(name.clone()).unwrap().message.adjust.unwrap();
                    assert_eq!(adjust.annotations["within true"], name);
                }
            });
        }
    });
    peer.close("done");
    server.shutdown();
}

#[test]
fn their_client_calls_us() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let client = ttrpc::Client::connect(&format!("unix://{}", path.display())).unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    shim(theirs, listener.accept().unwrap().0, mux::RUNTIME_CONNECTION);
    let server = thread::spawn(move || {
        let peer = blocking::Peer::new(ours, Role::Runtime);
        peer.admit();
        while let Ok(request) = peer.next_request() {
            match request.method() {
                "RegisterPlugin" => {
                    let result = match request.decode::<RegisterPlugin>() {
                        Ok(register) if register.message.plugin_idx == "10" => Ok(Empty {}),
                        Ok(_) => Err(Status::new(Code::Unknown, "invalid plugin index")),
                        Err(status) => Err(status),
                    };
                    request.answer::<RegisterPlugin>(result);
                }
                "UpdateContainers" => {
                    let failed = request.decode::<UpdateContainers>().unwrap().message.update;
                    request.answer::<UpdateContainers>(Ok(UpdateContainersResponse { failed }));
                }
                method => {
                    let status = Status::no_method(method);
                    request.refuse(status);
                }
            }
        }
    });
    let request = |method: &str, payload: Vec<u8>| {
        let request = ttrpc::Request {
            service: RUNTIME.to_owned(),
            method: method.to_owned(),
            payload,
            timeout_nano: i64::try_from(LONG.as_nanos()).unwrap(),
            ..Default::default()
        };
        client.request(request)
    };
    let register = |idx: &str| {
        RegisterPluginRequest { plugin_idx: idx.to_owned(), ..Default::default() }.encode_to_vec()
    };
    assert!(request("RegisterPlugin", register("10")).unwrap().payload.is_empty());
    let status = |result: ttrpc::Result<ttrpc::Response>| match result {
        Err(ttrpc::Error::RpcStatus(status)) => (status.code(), status.message),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        status(request("RegisterPlugin", register("9"))),
        (ttrpc::Code::UNKNOWN, "invalid plugin index".to_owned())
    );
    assert_eq!(
        status(request("Nothing", Vec::new())),
        (ttrpc::Code::UNIMPLEMENTED, "method Nothing".to_owned())
    );
    let (code, text) = status(request("RegisterPlugin", b"\x0a\x01\xff".to_vec()));
    assert_eq!(code, ttrpc::Code::INTERNAL);
    assert_eq!(text, "ttrpc: error unmarshalling payload: the string plugin_name is not UTF-8");
    for len in [0, 10, 4000, 5000, 3_000_000] {
        let update = nri_wire::api::ContainerUpdate { container_id: "x".repeat(len), ..Default::default() };
        let payload = UpdateContainersRequest { update: vec![update], ..Default::default() }.encode_to_vec();
        let response = request("UpdateContainers", payload).unwrap();
        let failed = UpdateContainersResponse::decode(&response.payload[..]).unwrap().failed;
        assert_eq!(failed[0].container_id.len(), len);
    }
    drop(client);
    server.join().unwrap();
}
