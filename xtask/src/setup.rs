//! What a fresh machine lacks. Packages come from apt, engines and tools are built once into the cache.

use std::path::PathBuf;

use crate::{Failure, process};

/// A Debian package and a program, or a file by its whole path, that shows that it is there.
struct Package {
    name: &'static str,
    shown_by: &'static str,
}

const FOR_TESTS: [Package; 7] = [
    Package { name: "runc", shown_by: "runc" },
    Package { name: "crun", shown_by: "crun" },
    Package { name: "busybox-static", shown_by: "busybox" },
    Package { name: "shellcheck", shown_by: "shellcheck" },
    Package { name: "systemd", shown_by: "systemd-analyze" },
    Package { name: "libseccomp-dev", shown_by: "/usr/include/seccomp.h" },
    Package { name: "z3", shown_by: "z3" },
];

/// The engines' default seccomp profiles: a package, the file in it, and its name in the cache. The packages are not
/// installed: their dependencies are a hundred megabytes of Go.
const PROFILES: [(&str, &str, &str); 3] = [
    (
        "golang-github-docker-docker-dev",
        "usr/share/gocode/src/github.com/docker/docker/profiles/seccomp/default.json",
        "docker.json",
    ),
    ("golang-github-containers-common", "usr/share/containers/seccomp.json", "podman.json"),
    (
        "golang-github-containerd-containerd-dev",
        "usr/share/gocode/src/github.com/containerd/containerd/contrib/seccomp/seccomp_default.go",
        "containerd.go",
    ),
];

const FOR_CRIO: [Package; 3] = [
    Package { name: "podman", shown_by: "podman" },
    Package { name: "conmon", shown_by: "conmon" },
    Package { name: "libseccomp-dev", shown_by: "/usr/include/seccomp.h" },
];

const FOR_DEMO: [Package; 1] = [Package { name: "runc", shown_by: "runc" }];

/// The containerd that CI runs against: the newest of the 2.3 line (NRI 0.12.0, one call per event).
pub(crate) const CONTAINERD: &str = "v2.3.7";

/// The other one: the newest of the 2.2 line, the last before (NRI 0.11.0, `StateChange`).
pub(crate) const CONTAINERD_22: &str = "v2.2.9";

/// Installs what the tests need and is absent.
pub(crate) fn packages_for_tests() -> Result<(), Failure> {
    install(&FOR_TESTS)
}

/// Installs what CRI-O needs, to be built and to run, and is absent.
pub(crate) fn packages_for_crio() -> Result<(), Failure> {
    install(&FOR_CRIO)
}

/// Installs what the demo needs and is absent.
pub(crate) fn packages_for_demo() -> Result<(), Failure> {
    install(&FOR_DEMO)
}

/// What the demo would install.
pub(crate) fn absent_for_demo() -> Vec<&'static str> {
    absent(&FOR_DEMO)
}

/// Takes the engines' default seccomp profiles out of their packages into the cache, where they are absent.
pub(crate) fn seccomp_profiles() -> Result<(), Failure> {
    let folder = cache().join("seccomp");
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    for (package, file, name) in PROFILES {
        if folder.join(name).is_file() {
            continue;
        }
        let unpacked = folder.join("unpacked");
        std::fs::create_dir_all(&unpacked).map_err(failed)?;
        eprintln!("fetching {package} for its seccomp profile");
        let mut download = process::program("apt-get", &["download", "-qq", package]);
        process::run(download.current_dir(&folder))?;
        let mut found = std::fs::read_dir(&folder).map_err(failed)?.flatten().map(|entry| entry.path());
        let archive = found.find(|path| path.extension().is_some_and(|extension| extension == "deb"));
        let archive = archive.ok_or_else(|| format!("apt-get download {package} left no file"))?;
        process::run(process::program("dpkg-deb", &["-x"]).arg(&archive).arg(&unpacked))?;
        std::fs::rename(unpacked.join(file), folder.join(name)).map_err(failed)?;
        std::fs::remove_file(archive).map_err(failed)?;
        std::fs::remove_dir_all(unpacked).map_err(failed)?;
    }
    Ok(())
}

fn absent(packages: &[Package]) -> Vec<&'static str> {
    packages.iter().filter(|package| !process::exists(package.shown_by)).map(|package| package.name).collect()
}

fn install(packages: &[Package]) -> Result<(), Failure> {
    let absent = absent(packages);
    if absent.is_empty() {
        return Ok(());
    }
    if !process::exists("apt-get") {
        return Err(format!("{} must be installed, and there is no apt-get here", absent.join(", ")));
    }
    eprintln!("installing {}", absent.join(", "));
    let apt = |args: &[&str]| {
        let mut command = process::program("apt-get", args);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        match process::capture(&mut command)? {
            (_, true) => Ok(()),
            (text, false) => {
                Err(format!("apt-get failed; run as root, or install {}:\n{text}", absent.join(", ")))
            }
        }
    };
    apt(&["update", "-qq"])?;
    let mut args = vec!["install", "-y", "--no-install-recommends"];
    args.extend(&absent);
    apt(&args)
}

/// The folder with a containerd, its shim and `ctr`, built if absent.
pub(crate) fn containerd(version: &str) -> Result<PathBuf, Failure> {
    const MODULE: &str = "github.com/containerd/containerd/v2";
    let folder = cache().join("engines").join(format!("containerd-{version}"));
    let programs = ["containerd", "containerd-shim-runc-v2", "ctr"];
    if programs.iter().all(|name| folder.join(name).is_file()) {
        return Ok(folder);
    }
    eprintln!("building containerd {version} (about two minutes, once)");
    let mut command = process::program("go", &["install", "-ldflags"]);
    command
        .arg(format!("-s -w -X {MODULE}/version.Version={version}"))
        .args(programs.map(|name| format!("{MODULE}/cmd/{name}@{version}")))
        .env("CGO_ENABLED", "0")
        .env("GOBIN", &folder);
    match process::capture(&mut command)? {
        (_, true) => Ok(folder),
        (text, false) => Err(format!("containerd {version} does not build:\n{text}")),
    }
}

/// `cargo deny`, built if absent.
pub(crate) fn cargo_deny() -> Result<PathBuf, Failure> {
    const VERSION: &str = "0.20.2";
    let folder = cache().join("tools").join(format!("cargo-deny-{VERSION}"));
    let program = folder.join("bin/cargo-deny");
    if program.is_file() {
        return Ok(program);
    }
    eprintln!("building cargo-deny {VERSION} (some minutes, once)");
    let mut command =
        process::cargo(&["install", "--quiet", "--locked", "--debug", "cargo-deny", "--version", VERSION]);
    command.arg("--root").arg(&folder).env("CARGO_TARGET_DIR", folder.join("build"));
    let result = process::capture(&mut command)?;
    // The objects are a hundred times the program; nobody needs them again.
    std::fs::remove_dir_all(folder.join("build")).ok();
    match result {
        (_, true) => Ok(program),
        (text, false) => Err(format!("cargo-deny does not build:\n{text}")),
    }
}

/// Where downloads and builds of others' programs stay between runs: the same folder that the test kit uses.
pub(crate) fn cache() -> PathBuf {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    var("NRI_CACHE")
        .or_else(|| var("XDG_CACHE_HOME").map(|dir| dir.join("nri-rs")))
        .or_else(|| var("HOME").map(|dir| dir.join(".cache/nri-rs")))
        .unwrap_or_else(|| std::env::temp_dir().join("nri-rs"))
}
