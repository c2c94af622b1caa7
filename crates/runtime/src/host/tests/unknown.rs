//! Fields of the engine's requests that we do not know reach plugins that may (`design.md` 3, invariant 8).

use nri_wire::api::{
    Container, CreateContainerRequest, LinuxContainer, StartContainerRequest, StateChangeEvent,
};
use nri_wire::event::Event;
use nri_wire::scan::{Row, Unknown, scan};

use super::*;

const VALIDATE: i32 = 0x2000;

/// Field 200 with the value 1, inside these fields.
fn raw(parents: &[u8]) -> Vec<u8> {
    let wrap = |inner: Vec<u8>, number: &u8| {
        [&[number << 3 | 2, u8::try_from(inner.len()).unwrap()], &inner[..]].concat()
    };
    parents.iter().rev().fold(vec![0xc0, 0x0c, 1], wrap)
}

/// What scanning the engine's message gives, with unknown fields in these places.
fn received(name: &str, message: &impl prost::Message, places: &[&[u8]]) -> Unknown {
    let unknown = places.iter().flat_map(|place| raw(place));
    let bytes: Vec<_> = message.encode_to_vec().into_iter().chain(unknown).collect();
    scan(Row::find(name).unwrap(), &bytes).unwrap()
}

fn caller(unknown: Unknown) -> Caller {
    Caller { deadline: soon(), unknown }
}

/// Each call that a plugin got, with the places of the fields in it that nobody knows.
type Calls = Arc<Mutex<Vec<(String, Vec<String>)>>>;

/// A plugin that agrees to everything and sets a variable of its own. `old`: it knows most events as StateChange alone.
async fn witness(host: &Host, name: &str, events: i32, old: bool) -> (Peer, Calls) {
    let count = host.active() + 1;
    let (peer, mut requests) = connect(host);
    let seen = Calls::default();
    let (theirs, key) = (Arc::clone(&seen), name.to_owned());
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let method = request.method().to_owned();
            let (.., message, _) = service::CALLS.iter().find(|(_, call, ..)| *call == method).unwrap();
            let unknown = scan(Row::find(message).unwrap(), request.payload()).unwrap();
            if old && method == "StartContainer" {
                request.refuse(Status::no_method(&method));
                continue;
            }
            let places = unknown.fields().iter().map(|field| field.path.clone()).collect();
            theirs.lock().unwrap().push((method.clone(), places));
            match method.as_str() {
                "Configure" => {
                    let answer = ConfigureResponse { events, failure_policy: None };
                    request.answer::<service::Configure>(Ok(answer));
                }
                "CreateContainer" => {
                    let env = vec![KeyValue { key: key.clone(), value: "1".into() }];
                    let adjust = Some(ContainerAdjustment { env, ..Default::default() });
                    let answer = CreateContainerResponse { adjust, ..Default::default() };
                    request.answer::<service::CreateContainer>(Ok(answer));
                }
                // All other answers that say nothing are encoded alike.
                _ => request.answer::<service::Shutdown>(Ok(Default::default())),
            }
        }
    });
    register(&peer, name).await.unwrap();
    assert!(host.wait_active(count, soon()).await);
    seen.lock().unwrap().clear();
    (peer, seen)
}

fn full() -> Container {
    Container { linux: Some(LinuxContainer::default()), ..container("c1") }
}

/// Both forms of an event, from the engine and to the plugin: the numbers of the fields differ, and are put right.
#[tokio::test]
async fn events_keep_them_in_both_forms() {
    let dedicated = StartContainerRequest { pod: Some(pod()), container: Some(full()) };
    let event = StateChangeEvent {
        event: Event::StartContainer.into(),
        pod: dedicated.pod.clone(),
        container: dedicated.container.clone(),
    };
    let engines = [
        received("StartContainerRequest", &dedicated, &[&[1], &[2, 11], &[]]),
        received("StateChangeEvent", &event, &[&[2], &[3, 11], &[]]),
    ];
    for unknown in engines {
        let host = host(Config::default()).await;
        let (_a, new) = witness(&host, "10-a", START, false).await;
        let (_b, old) = witness(&host, "20-b", START, true).await;
        host.start_container(pod(), full(), caller(unknown)).await.unwrap();
        let places = ["pod.200", "container.linux.200", "200"].map(str::to_owned).to_vec();
        assert_eq!(*new.lock().unwrap(), [("StartContainer".to_owned(), places.clone())]);
        assert_eq!(*old.lock().unwrap(), [("StateChange".to_owned(), places)]);
    }
}

/// Each plugin of a chain gets them, also behind what those before it changed, and so do validators. What stands in a list
/// is lost, and counted.
#[tokio::test]
async fn chains_and_validators_keep_them() {
    let host = host(Config::default()).await;
    let (_a, first) = witness(&host, "10-a", CREATE, false).await;
    let (_b, second) = witness(&host, "20-b", CREATE | VALIDATE, false).await;
    let request = CreateContainerRequest { pod: Some(pod()), container: Some(full()) };
    let unknown = received("CreateContainerRequest", &request, &[&[1], &[2, 11], &[], &[2, 9]]);
    assert_eq!(unknown.lost(), 1, "in a mount");
    let created = host.create_container(request, caller(unknown)).await.unwrap();
    assert_eq!(created.merged.adjust.env.len(), 2);
    let places = |places: &[&str]| places.iter().map(|place| (*place).to_owned()).collect::<Vec<_>>();
    let asked = ("CreateContainer".to_owned(), places(&["pod.200", "container.linux.200", "200"]));
    let validated = ("ValidateContainerAdjustment".to_owned(), places(&["pod.200", "container.linux.200"]));
    assert_eq!(*first.lock().unwrap(), std::slice::from_ref(&asked));
    assert_eq!(*second.lock().unwrap(), [asked, validated]);
    assert_eq!(host.status().await.1.unforwarded, 1);
}
