//! A plugin asks what it may do (`nri_wire::restrictions`).

use nri_wire::name::PluginName;
use nri_wire::restrictions::{Get, RestrictionsRequest, RestrictionsResponse};

use super::*;

/// Tells the name that it was asked about, and what it knows of the process.
struct Teller;

impl Embedder for Teller {
    fn restrictions(&self, plugin: &PluginName, identity: &Identity) -> Option<RestrictionsResponse> {
        let policy_hash = identity.uid.map(|uid| uid.to_string()).unwrap_or_default();
        Some(RestrictionsResponse { level: plugin.full().to_owned(), policy_hash, fields: Vec::new() })
    }
}

async fn ask(peer: &Peer) -> Result<RestrictionsResponse, Code> {
    let request = RestrictionsRequest { plugin_name: "said".into(), plugin_idx: "77".into() };
    match peer.call::<Get>(&request, soon()).await {
        Ok(reply) => Ok(reply.message),
        Err(CallError::Status(status)) => Err(status.code),
        Err(error) => panic!("{error}"),
    }
}

/// Before it registers, under the name that it says; afterwards under its own.
#[tokio::test]
async fn told_before_and_after_registration() {
    let host = Host::start(Config::default(), Teller).await.unwrap();
    let (peer, requests) = connect(&host);
    let told = ask(&peer).await.unwrap();
    assert_eq!(
        (told.level.as_str(), told.policy_hash),
        ("77-said", rustix::process::getuid().as_raw().to_string())
    );
    tokio::spawn(serve(requests, 0, Behaviour::Silent, Arc::default()));
    register(&peer, "10-a").await.unwrap();
    assert_eq!(ask(&peer).await.unwrap().level, "10-a");
    host.shutdown().await;
}

/// Where there is nothing to tell, the service is as absent as in every other runtime.
#[tokio::test]
async fn not_there_without_a_policy() {
    let host = host(Config::default()).await;
    let (peer, _requests) = connect(&host);
    assert_eq!(ask(&peer).await, Err(Code::Unimplemented));
    host.shutdown().await;
}
