//! The pod of a container, and what is known of the container besides its spec.

use std::path::Path;

use nri_runtime::oci::describe;
use nri_wire::api::{Container, PodSandbox};
use serde_json::Value;

use super::message;
use crate::failure::Failure;

/// Where engines write what a container belongs to: containerd, CRI-O, the kubelet's own labels.
const ID: &[&str] = &["io.kubernetes.cri.sandbox-id", "io.kubernetes.cri-o.SandboxID"];
const NAME: &[&str] = &["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"];
const NAMESPACE: &[&str] = &["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"];
const UID: &[&str] = &["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"];
const CONTAINER: &[&str] = &["io.kubernetes.cri.container-name", "io.kubernetes.container.name"];

/// The pod of a container with this id: from the file, else from the spec's annotations, else a placeholder.
///
/// # Errors
/// The file cannot be read or is no PodSandbox.
pub(crate) fn pod_for(file: Option<&Path>, id: &str, spec: &Value) -> Result<PodSandbox, Failure> {
    let mut pod = file.map(message::<PodSandbox>).transpose()?.unwrap_or_default();
    let annotated = |keys: &[&str]| annotation(spec, keys);
    fill(&mut pod.id, annotated(ID), || format!("pod-{id}"));
    fill(&mut pod.name, annotated(NAME), || id.to_owned());
    fill(&mut pod.namespace, annotated(NAMESPACE), || "default".to_owned());
    fill(&mut pod.uid, annotated(UID), || pod.id.clone());
    Ok(pod)
}

/// The container that plugins are told of: the spec, and what `about` knows besides.
///
/// # Errors
/// The spec has another shape than an OCI runtime spec.
pub(crate) fn container_from(
    spec: &Value,
    id: &str,
    pod: &PodSandbox,
    about: Container,
    name: &str,
) -> Result<Container, Failure> {
    let mut about = about;
    fill(&mut about.id, None, || id.to_owned());
    fill(&mut about.pod_sandbox_id, None, || pod.id.clone());
    fill(&mut about.name, annotation(spec, CONTAINER), || id.to_owned());
    describe(spec, about).map_err(|error| Failure::usage(format!("{name}: {error}")))
}

fn fill(place: &mut String, annotated: Option<String>, placeholder: impl FnOnce() -> String) {
    if place.is_empty() {
        *place = annotated.unwrap_or_else(placeholder);
    }
}

fn annotation(spec: &Value, keys: &[&str]) -> Option<String> {
    let annotations = spec.get("annotations")?;
    keys.iter().find_map(|key| annotations.get(key)?.as_str()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pods() {
        let plain = pod_for(None, "c1", &json!({})).unwrap();
        assert_eq!(
            (plain.id.as_str(), plain.namespace.as_str(), plain.uid.as_str()),
            ("pod-c1", "default", "pod-c1")
        );
        let spec = json!({"annotations": {
            "io.kubernetes.cri.sandbox-id": "p", "io.kubernetes.cri.sandbox-name": "web",
            "io.kubernetes.cri.sandbox-namespace": "prod", "io.kubernetes.cri.sandbox-uid": "u",
            "io.kubernetes.cri.container-name": "main",
        }});
        let pod = pod_for(None, "c1", &spec).unwrap();
        assert_eq!([pod.id.as_str(), &pod.name, &pod.namespace, &pod.uid], ["p", "web", "prod", "u"]);
        let container = container_from(&spec, "c1", &pod, Container::default(), "f").unwrap();
        assert_eq!([container.id.as_str(), &container.name, &container.pod_sandbox_id], ["c1", "main", "p"]);
        let error = container_from(&json!({"process": {"args": 1}}), "c1", &pod, Container::default(), "f")
            .unwrap_err();
        assert!(error.to_string().starts_with("f: "), "{error}");
    }

    #[test]
    fn a_file_counts_before_annotations() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pod.json");
        let check = |text: &str, expect: &str| {
            std::fs::write(&file, text).unwrap();
            let error = pod_for(Some(&file), "c", &json!({})).unwrap_err().to_string();
            assert_eq!(error.replace(file.to_str().unwrap(), "FILE"), expect);
        };
        check("{", "FILE:1:1: not JSON: EOF while parsing an object; a PodSandbox is expected");
        check(r#"{"name": 1}"#, "FILE: no PodSandbox: name: expected a string");
        std::fs::write(&file, r#"{"name": "n", "labels": {"a": "b"}}"#).unwrap();
        let pod = pod_for(Some(&file), "c", &json!({})).unwrap();
        assert_eq!((pod.name.as_str(), pod.id.as_str(), pod.labels["a"].as_str()), ("n", "pod-c", "b"));
    }
}
