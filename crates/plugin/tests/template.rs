//! The template makes a plugin that builds, and a plugin without the attribute is told what is missing.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the failure report")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Copies the template with its placeholders filled in.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            let text = fs::read_to_string(from).unwrap();
            let text = text.replace("{{project-name}}", "my-plugin").replace("{{description}}", "A trial");
            assert!(!text.contains("{{"), "{} has an unknown placeholder", to.display());
            fs::write(to, text).unwrap();
        }
    }
}

/// Checks the plugin against the crates of this workspace, with the workspace's locked versions.
fn check(plugin: &Path, target: &Path) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    fs::copy(root.join("Cargo.lock"), plugin.join("Cargo.lock")).unwrap();
    Command::new(env!("CARGO"))
        .args(["check", "--offline", "--quiet", "--all-targets"])
        .arg("--config")
        .arg(format!("patch.crates-io.nri-plugin.path={:?}", root.join("crates/plugin")))
        .arg("--target-dir")
        .arg(target)
        .current_dir(plugin)
        .output()
        .unwrap()
}

#[test]
fn the_template_makes_a_plugin() {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../templates/plugin");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let plugin = folder.path().join("my-plugin");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("template-target");
    copy(&template, &plugin);

    let output = check(&plugin, &target);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let main = plugin.join("src/main.rs");
    let text = fs::read_to_string(&main).unwrap().replace("#[nri_plugin::plugin]\n", "");
    fs::write(&main, text).unwrap();
    let output = check(&plugin, &target);
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    for text in [
        "`App` does not say which events it handles",
        "write `#[nri_plugin::plugin]` above `impl Plugin for App`",
    ] {
        assert!(errors.contains(text), "{errors}");
    }
}
