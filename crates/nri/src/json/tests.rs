use nri_wire::api;
use serde_json::json;

use super::*;

fn round<M: Message + Name + Default + PartialEq + std::fmt::Debug>(json: &Value, expect: &M) {
    let read = from_json::<M>(json).unwrap();
    assert_eq!((&read.message, read.unknown), (expect, Vec::new()), "{json}");
    assert_eq!(to_json(expect), *json);
}

/// Correction 15 of `spec/README.md`: names that are not simply camel case, removal marks, wrappers with value zero.
#[test]
fn correction_15() {
    round(
        &json!({"CDIDevices": [{"name": "vendor.com/gpu=0"}]}),
        &api::ContainerAdjustment {
            cdi_devices: vec![api::CdiDevice { name: "vendor.com/gpu=0".into() }],
            ..Default::default()
        },
    );
    round(
        &json!({"pluginName": "p", "NRIVersion": "0.12.5"}),
        &api::RegisterPluginRequest {
            plugin_name: "p".into(),
            nri_version: "0.12.5".into(),
            ..Default::default()
        },
    );
    round(
        &json!({"netDevices": {"-eth0": {}}, "oomScoreAdj": {}}),
        &api::LinuxContainerAdjustment {
            net_devices: [("-eth0".to_owned(), api::LinuxNetDevice::default())].into(),
            oom_score_adj: Some(0.into()),
            ..Default::default()
        },
    );
}

#[test]
fn numbers_of_64_bits_are_strings() {
    round(
        &json!({"limit": {"value": "-9223372036854775808"}, "swappiness": {"value": "18446744073709551615"}}),
        &api::LinuxMemory {
            limit: Some(i64::MIN.into()),
            swappiness: Some(u64::MAX.into()),
            ..Default::default()
        },
    );
    for (value, expect) in
        [(json!(5), 5), (json!("5"), 5), (json!(5.0), 5), (json!("-5"), -5), (json!(1e3), 1000)]
    {
        let read: Read<api::OptionalInt64> = from_json(&json!({ "value": value })).unwrap();
        assert_eq!(read.message.value, expect, "{value}");
    }
}

#[test]
fn both_forms_of_names_are_read() {
    for json in [
        json!({"pod_sandbox_id": "p", "created_at": 3, "CDI_devices": [{"name": "x"}], "state": 3}),
        json!({"podSandboxId": "p", "createdAt": "3", "CDIDevices": [{"name": "x"}], "state": "CONTAINER_RUNNING"}),
    ] {
        let read: Read<api::Container> = from_json(&json).unwrap();
        assert_eq!(read.unknown, Vec::<String>::new());
        assert_eq!(read.message.pod_sandbox_id, "p");
        assert_eq!((read.message.created_at, read.message.state, read.message.cdi_devices.len()), (3, 3, 1));
    }
}

#[test]
fn maps_with_numbers_as_keys() {
    let owners =
        json!({"owners": {"c1": {"simple": {"8": "10-a"}, "compound": {"4": {"owners": {"FOO": "10-a"}}}}}});
    let read: Read<api::OwningPlugins> = from_json(&owners).unwrap();
    assert_eq!(to_json(&read.message), owners);
}

#[test]
fn unknown_members_are_reported() {
    let json = json!({
        "id": "c", "hint": 1,
        "linux": {"resources": {"memory": {"Limit": 3}}, "netDevices": {"eth0": {"mtu": 9000}}},
        "mounts": [{"destination": "/x", "uidMappings": []}]
    });
    let read: Read<api::Container> = from_json(&json).unwrap();
    assert_eq!(
        read.unknown,
        ["hint", "linux.resources.memory.Limit", "linux.netDevices[\"eth0\"].mtu", "mounts[0].uidMappings"]
    );
}

#[test]
fn errors_name_the_place() {
    let container = |json: Value| from_json::<api::Container>(&json).unwrap_err().to_string();
    for (json, expect) in [
        (json!(1), "expected an object"),
        (json!({"id": 1}), "id: expected a string"),
        (json!({"args": "x"}), "args: expected a list"),
        (json!({"args": ["x", null]}), "args[1]: expected a string"),
        (json!({"labels": {"a": 1}}), "labels[\"a\"]: expected a string"),
        (json!({"pid": -1}), "pid: expected a whole number of 32 bits without sign"),
        (json!({"pid": 4_294_967_296_u64}), "pid: expected a whole number of 32 bits without sign"),
        (json!({"createdAt": "1.5"}), "createdAt: expected a whole number of 64 bits"),
        (json!({"createdAt": ""}), "createdAt: expected a whole number of 64 bits"),
        (
            json!({"linux": {"resources": {"memory": {"useHierarchy": {"value": "true"}}}}}),
            "linux.resources.memory.useHierarchy.value: expected true or false",
        ),
        (
            json!({"podSandboxId": "a", "pod_sandbox_id": "b"}),
            "podSandboxId: expected either this or \"pod_sandbox_id\", both are there",
        ),
    ] {
        assert_eq!(container(json.clone()), expect, "{json}");
    }
    assert!(container(json!({"state": "RUNNING"})).starts_with("state: expected one of CONTAINER_UNKNOWN, "));
}

/// Every message has a descriptor of its name, with every field that prost encodes.
#[test]
fn every_message_is_described() {
    fn check<M: Message + Name + Default>() {
        assert_eq!(to_json(&M::default()), json!({}));
        assert_eq!(from_json::<M>(&json!({})).unwrap().message.encoded_len(), 0);
    }
    macro_rules! messages {
        ($($name:ident)*) => { $(check::<api::$name>();)* };
    }
    messages!(RegisterPluginRequest UpdateContainersRequest UpdateContainersResponse LogRequest ConfigureRequest
        ConfigureResponse SynchronizeRequest SynchronizeResponse RunPodSandboxRequest UpdatePodSandboxRequest
        StopPodSandboxRequest RemovePodSandboxRequest CreateContainerRequest CreateContainerResponse
        UpdateContainerRequest UpdateContainerResponse StopContainerRequest StopContainerResponse StateChangeEvent
        ValidateContainerAdjustmentRequest ValidateContainerAdjustmentResponse PodSandbox Container
        ContainerAdjustment ContainerUpdate ContainerEviction LinuxResources OwningPlugins PluginInstance
        LinuxSeccomp Empty);
}

/// Every message in several cases, as the reference encodes them and writes them as JSON (`tests/go/golden.go`).
#[test]
fn golden() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/messages.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let mut cases = 0;
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let name = format!("nri.pkg.api.v1alpha1.{}", case["message"].as_str().unwrap());
        let descriptor = pool().get_message_by_name(&name).unwrap();
        let bytes: Vec<u8> = case["hex"]
            .as_str()
            .unwrap()
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        let message = DynamicMessage::decode(descriptor.clone(), bytes.as_slice()).unwrap();
        assert_eq!(write::message(&message), case["json"], "{name} {}", case["case"]);
        let mut unknown = Vec::new();
        let read = read::message(&descriptor, &case["json"], "", &mut unknown).unwrap();
        assert_eq!((read, unknown), (message, Vec::new()), "{name} {}", case["case"]);
        cases += 1;
    }
    assert!(cases > 400, "{cases}");
}
