//! Container images made from Debian's static busybox, so that engines need no registry.

use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Applets that the images offer.
const APPLETS: [&str; 12] =
    ["sh", "cat", "ls", "sleep", "env", "id", "mkdir", "mount", "grep", "true", "stat", "echo"];
const FOLDERS: [&str; 7] = ["bin", "dev", "etc", "proc", "root", "sys", "tmp"];

/// Writes an OCI archive that `ctr images import` takes: `reference` with `command` as its default.
///
/// # Errors
/// Where busybox is absent or the file cannot be written.
pub fn write(archive: &Path, reference: &str, command: &[&str]) -> std::io::Result<()> {
    let mut blobs = Vec::new();
    let mut put = |kind: &str, data: Vec<u8>| {
        let digest = Sha256::digest(&data).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let descriptor = json!({"mediaType": format!("application/vnd.oci.image.{kind}"),
            "digest": format!("sha256:{digest}"), "size": data.len()});
        blobs.push((format!("blobs/sha256/{digest}"), data));
        (descriptor, digest)
    };
    let (layer, layer_digest) = put("layer.v1.tar", root_filesystem()?);
    let (config, _) = put(
        "config.v1+json",
        encode(&json!({
            "architecture": architecture(), "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Cmd": command},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
        })),
    );
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": [layer]});
    let (mut manifest, _) = put("manifest.v1+json", encode(&manifest));
    manifest["annotations"] = json!({"io.containerd.image.name": reference});

    let mut tar = tar::Builder::new(std::fs::File::create(archive)?);
    append(&mut tar, "oci-layout", &encode(&json!({"imageLayoutVersion": "1.0.0"})), 0o644)?;
    append(&mut tar, "index.json", &encode(&json!({"schemaVersion": 2, "manifests": [manifest]})), 0o644)?;
    for (name, data) in &blobs {
        append(&mut tar, name, data, 0o644)?;
    }
    tar.finish()
}

fn root_filesystem() -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for folder in FOLDERS {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        tar.append_data(&mut header, format!("{folder}/"), std::io::empty())?;
    }
    append(&mut tar, "bin/busybox", &std::fs::read("/bin/busybox")?, 0o755)?;
    for applet in APPLETS {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        tar.append_link(&mut header, format!("bin/{applet}"), "busybox")?;
    }
    tar.into_inner()
}

fn append<W: std::io::Write>(
    tar: &mut tar::Builder<W>,
    name: &str,
    data: &[u8],
    mode: u32,
) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(data.len() as u64);
    tar.append_data(&mut header, name, data)
}

fn encode(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
