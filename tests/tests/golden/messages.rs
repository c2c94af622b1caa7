//! Every message in several cases: the reference's bytes mean to us what they mean to it, and ours to it.

use std::io::Write as _;
use std::process::{Command, Stdio};

use nri_tests::{go, proto, skipped};
use nri_wire::api;
use nri_wire::scan::{Row, scan};
use prost::{Message, Name};
use serde_json::{Value as Json, json};

use crate::{golden, hex, unhex};

struct Case {
    message: String,
    case: String,
    bytes: Vec<u8>,
    json: Json,
}

fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(golden("messages.jsonl")).unwrap();
    let case = |line: &str| {
        let line: Json = serde_json::from_str(line).unwrap();
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        Case {
            message: text("message"),
            case: text("case"),
            bytes: unhex(&text("hex")),
            json: line["json"].clone(),
        }
    };
    text.lines().map(case).collect()
}

/// Scans, decodes, compares with the JSON and encodes again.
fn again<T: Message + Name + Default + PartialEq + std::fmt::Debug>(case: &Case) -> Vec<u8> {
    let name = format!("{} {}", case.message, case.case);
    let unknown = scan(Row::find(&case.message).unwrap(), &case.bytes)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(unknown.is_empty(), "{name}: {unknown:?}");
    let decoded = T::decode(&case.bytes[..]).unwrap();
    assert!(decoded == proto::message::<T>(&case.json), "{name}: {decoded:?}");
    let bytes = decoded.encode_to_vec();
    assert!(T::decode(&bytes[..]).unwrap() == decoded, "{name}: {}", hex(&bytes));
    bytes
}

macro_rules! messages {
    ($case:expr; $($name:literal $message:ident,)*) => {
        match $case.message.as_str() {
            $($name => again::<api::$message>($case),)*
            other => panic!("{other} has no line in this test"),
        }
    };
}

fn encoded(case: &Case) -> Vec<u8> {
    messages! { case;
        "RegisterPluginRequest" RegisterPluginRequest,
        "UpdateContainersRequest" UpdateContainersRequest,
        "UpdateContainersResponse" UpdateContainersResponse,
        "LogRequest" LogRequest,
        "ConfigureRequest" ConfigureRequest,
        "ConfigureResponse" ConfigureResponse,
        "FailurePolicy" FailurePolicy,
        "SynchronizeRequest" SynchronizeRequest,
        "SynchronizeResponse" SynchronizeResponse,
        "RunPodSandboxRequest" RunPodSandboxRequest,
        "RunPodSandboxResponse" RunPodSandboxResponse,
        "UpdatePodSandboxRequest" UpdatePodSandboxRequest,
        "UpdatePodSandboxResponse" UpdatePodSandboxResponse,
        "PostUpdatePodSandboxRequest" PostUpdatePodSandboxRequest,
        "PostUpdatePodSandboxResponse" PostUpdatePodSandboxResponse,
        "StopPodSandboxRequest" StopPodSandboxRequest,
        "StopPodSandboxResponse" StopPodSandboxResponse,
        "RemovePodSandboxRequest" RemovePodSandboxRequest,
        "RemovePodSandboxResponse" RemovePodSandboxResponse,
        "CreateContainerRequest" CreateContainerRequest,
        "CreateContainerResponse" CreateContainerResponse,
        "PostCreateContainerRequest" PostCreateContainerRequest,
        "PostCreateContainerResponse" PostCreateContainerResponse,
        "StartContainerRequest" StartContainerRequest,
        "StartContainerResponse" StartContainerResponse,
        "PostStartContainerRequest" PostStartContainerRequest,
        "PostStartContainerResponse" PostStartContainerResponse,
        "UpdateContainerRequest" UpdateContainerRequest,
        "UpdateContainerResponse" UpdateContainerResponse,
        "PostUpdateContainerRequest" PostUpdateContainerRequest,
        "PostUpdateContainerResponse" PostUpdateContainerResponse,
        "StopContainerRequest" StopContainerRequest,
        "StopContainerResponse" StopContainerResponse,
        "RemoveContainerRequest" RemoveContainerRequest,
        "RemoveContainerResponse" RemoveContainerResponse,
        "StateChangeEvent" StateChangeEvent,
        "ValidateContainerAdjustmentRequest" ValidateContainerAdjustmentRequest,
        "PluginInstance" PluginInstance,
        "ValidateContainerAdjustmentResponse" ValidateContainerAdjustmentResponse,
        "Empty" Empty,
        "PodSandbox" PodSandbox,
        "LinuxPodSandbox" LinuxPodSandbox,
        "Container" Container,
        "Image" Image,
        "Mount" Mount,
        "Hooks" Hooks,
        "Hook" Hook,
        "LinuxContainer" LinuxContainer,
        "LinuxNamespace" LinuxNamespace,
        "LinuxDevice" LinuxDevice,
        "LinuxDeviceCgroup" LinuxDeviceCgroup,
        "CDIDevice" CdiDevice,
        "User" User,
        "LinuxResources" LinuxResources,
        "LinuxMemory" LinuxMemory,
        "LinuxCPU" LinuxCpu,
        "HugepageLimit" HugepageLimit,
        "SecurityProfile" SecurityProfile,
        "POSIXRlimit" PosixRlimit,
        "LinuxPids" LinuxPids,
        "LinuxIOPriority" LinuxIoPriority,
        "LinuxNetDevice" LinuxNetDevice,
        "LinuxScheduler" LinuxScheduler,
        "ContainerAdjustment" ContainerAdjustment,
        "LinuxContainerAdjustment" LinuxContainerAdjustment,
        "LinuxSeccomp" LinuxSeccomp,
        "LinuxSyscall" LinuxSyscall,
        "LinuxSeccompArg" LinuxSeccompArg,
        "LinuxMemoryPolicy" LinuxMemoryPolicy,
        "ContainerUpdate" ContainerUpdate,
        "LinuxContainerUpdate" LinuxContainerUpdate,
        "ContainerEviction" ContainerEviction,
        "LinuxRdt" LinuxRdt,
        "KeyValue" KeyValue,
        "OptionalString" OptionalString,
        "OptionalRepeatedString" OptionalRepeatedString,
        "OptionalInt" OptionalInt,
        "OptionalInt32" OptionalInt32,
        "OptionalUInt32" OptionalUInt32,
        "OptionalInt64" OptionalInt64,
        "OptionalUInt64" OptionalUInt64,
        "OptionalBool" OptionalBool,
        "OptionalFileMode" OptionalFileMode,
        "CompoundFieldOwners" CompoundFieldOwners,
        "FieldOwners" FieldOwners,
        "OwningPlugins" OwningPlugins,
    }
}

#[test]
fn messages_mean_the_same() {
    let cases = cases();
    assert!(cases.len() > 400);
    for case in &cases {
        let bytes = encoded(case);
        // Ours leaves out the empty members of map entries, which the reference writes; all else is the same.
        let has_empty_member = matches!(case.case.as_str(), "max" | "min" | "removal");
        assert!(bytes == case.bytes || has_empty_member, "{} {}: {}", case.message, case.case, hex(&bytes));
    }
}

#[test]
fn the_reference_reads_ours() {
    let peers = match go::peers() {
        Ok(peers) => peers,
        Err(why) => return skipped(why),
    };
    let mut lines = String::new();
    for case in cases() {
        let line = json!({"message": case.message, "case": case.case, "hex": hex(&encoded(&case)), "json": case.json});
        lines += &format!("{line}\n");
    }
    let mut check = Command::new(peers)
        .args(["golden", "check"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = check.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = check.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("\"wrong\":0"), "{text}");
}
