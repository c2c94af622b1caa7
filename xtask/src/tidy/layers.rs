//! Dependencies between our crates point one way (`ARCHITECTURE.md`, "Crates").

use crate::{Failure, process};

/// Which of our crates each one may use, beside what everybody may use.
const ALLOWED: &[(&str, &[&str])] = &[
    ("nri-wire", &[]),
    ("nri-seccomp", &[]),
    ("nri-plugin-macros", &[]),
    ("nri-policy", &["nri-wire", "nri-seccomp"]),
    ("nri-plugin", &["nri-wire", "nri-plugin-macros"]),
    ("nri-runtime", &["nri-wire", "nri-policy"]),
    ("nri", &["nri-wire", "nri-policy", "nri-seccomp", "nri-plugin", "nri-runtime"]),
    ("xtask", &[]),
    ("nri-gen", &[]),
];

/// The libraries whose dependencies stay few: everything they may use from elsewhere.
const FRUGAL: &[(&str, &[&str])] = &[
    ("nri-wire", &["bytes", "prost", "tokio"]),
    ("nri-seccomp", &["serde", "serde_json", "sha2"]),
    ("nri-plugin-macros", &[]),
    ("nri-plugin", &[]),
    ("nri-policy", &["granit-parser", "serde", "serde_json", "sha2"]),
    (
        "nri-runtime",
        &[
            "bytes",
            "command-fds",
            "libc",
            "prost",
            "rustix",
            "serde",
            "serde_json",
            "sha2",
            "tokio",
            "tracing",
        ],
    ),
];

pub(super) fn check() -> Result<Vec<String>, Failure> {
    let mut command = process::cargo(&["metadata", "--format-version", "1", "--no-deps"]);
    let (text, success) = process::capture(command.stderr(std::process::Stdio::null()))?;
    if !success {
        return Err(format!("cargo metadata: {text}"));
    }
    let start = text.find('{').unwrap_or(0);
    let metadata: serde_json::Value =
        serde_json::Deserializer::from_str(text.get(start..).unwrap_or_default())
            .into_iter()
            .next()
            .and_then(Result::ok)
            .ok_or("cargo metadata printed no JSON")?;
    let packages =
        metadata.get("packages").and_then(|list| list.as_array()).ok_or("cargo metadata has no packages")?;
    let ours: Vec<&str> = packages.iter().filter_map(|package| package.get("name")?.as_str()).collect();
    let mut findings = Vec::new();
    for package in packages {
        let name = package.get("name").and_then(|name| name.as_str()).unwrap_or_default();
        let used = package.get("dependencies").and_then(|list| list.as_array()).into_iter().flatten();
        // What only tests use binds nobody.
        for dependency in
            used.filter(|dependency| dependency.get("kind").is_none_or(serde_json::Value::is_null))
        {
            let Some(on) = dependency.get("name").and_then(|name| name.as_str()) else { continue };
            let list = if ours.contains(&on) { ALLOWED } else { FRUGAL };
            let allowed = list.iter().find(|(crate_name, _)| *crate_name == name).map(|(_, allowed)| allowed);
            if allowed.is_some_and(|allowed| !allowed.contains(&on)) {
                findings.push(format!("{name} must not depend on {on} (ARCHITECTURE.md, \"Crates\")"));
            }
        }
    }
    Ok(findings)
}
