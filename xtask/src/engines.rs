//! `cargo xtask engines`: real engines with the gateway between them and a plugin, and a report of what each of them
//! shows, applies and loses. `--all` adds CRI-O and Docker, whose builds take about five minutes each, once.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, process, setup};

const CRIO: &str = "v1.36.3";
/// The 29 line of Docker: its own tags are no Go versions.
const MOBY: &str = "v2.0.0-beta.24";
/// Docker 29 asks for a time namespace, which the distribution's runc does not know.
const RUNC: &str = "v1.4.3";
const CRIO_TAGS: &str = "containers_image_ostree_stub containers_image_openpgp exclude_graphdriver_btrfs \
                         btrfs_noversion seccomp";
const USAGE: &str = "usage: cargo xtask engines [--all | NAME…] [-o json]; \
                     NAME is containerd, crio or docker";

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let asked = Asked::read(args)?;
    setup::packages_for_tests()?;
    let mut command = Command::new(crate::target().join("debug/engines"));
    if asked.json {
        command.args(["-o", "json"]);
    }
    if asked.wants("containerd") {
        command.args(["containerd", "containerd-2.2"]);
    }
    if asked.wants("containerd") || asked.wants("docker") {
        command.env("NRI_TEST_CONTAINERD", setup::containerd(setup::CONTAINERD)?);
        command.env("NRI_TEST_CONTAINERD_22", setup::containerd(setup::CONTAINERD_22)?);
    }
    if asked.wants("crio") {
        setup::packages_for_crio()?;
        command.arg("crio").env("NRI_TEST_CRIO", crio()?);
    }
    if asked.wants("docker") {
        let folders = [moby()?, runc()?, docker_tools()?, setup::containerd(setup::CONTAINERD)?];
        let folders = std::env::join_paths(folders).map_err(|error| format!("the cache's path: {error}"))?;
        command.arg("docker").env("NRI_TEST_DOCKER", folders);
    }
    process::run(&mut process::cargo(&["build", "-q", "-p", "nri"]))?;
    process::run(&mut process::cargo(&["build", "-q", "-p", "nri-tests", "--bin", "engines"]))?;
    process::run(&mut command)
}

/// What the command line asks for.
struct Asked {
    names: Vec<String>,
    json: bool,
}

impl Asked {
    fn read(args: &[String]) -> Result<Self, Failure> {
        let (mut names, mut json) = (Vec::new(), false);
        let mut words = args.iter().map(String::as_str);
        while let Some(word) = words.next() {
            match word {
                "--all" => names.extend(["containerd", "crio", "docker"].map(str::to_owned)),
                "containerd" | "crio" | "docker" => names.push(word.to_owned()),
                "-o" => match words.next() {
                    Some("json") => json = true,
                    Some("text") => json = false,
                    _ => return Err(USAGE.to_owned()),
                },
                _ => return Err(USAGE.to_owned()),
            }
        }
        if names.is_empty() {
            names.push("containerd".to_owned());
        }
        Ok(Self { names, json })
    }

    fn wants(&self, name: &str) -> bool {
        self.names.iter().any(|asked| asked == name)
    }
}

/// The folder with `crio` and its helper `pinns`.
fn crio() -> Result<PathBuf, Failure> {
    const MODULE: &str = "github.com/cri-o/cri-o";
    let folder = setup::cache().join("engines").join(format!("crio-{CRIO}"));
    if folder.join("crio").is_file() && folder.join("pinns").is_file() {
        return Ok(folder);
    }
    eprintln!("building CRI-O {CRIO} (about five minutes, once)");
    // `go install` would ask for the module's list of versions, which proxies may refuse; a main module does not.
    let main = folder.join("main");
    write(&main.join("go.mod"), "module local\n\ngo 1.26\n")?;
    let go = |args: &[&str]| -> Result<String, Failure> {
        let mut command = process::program("go", args);
        match process::capture(command.current_dir(&main).env("CGO_ENABLED", "1"))? {
            (text, true) => Ok(text),
            (text, false) => Err(format!("CRI-O does not build:\n{text}")),
        }
    };
    go(&["get", &format!("{MODULE}/cmd/crio@{CRIO}")])?;
    let program = folder.join("crio").display().to_string();
    go(&["build", "-ldflags", "-s -w", "-tags", CRIO_TAGS, "-o", &program, &format!("{MODULE}/cmd/crio")])?;
    let source = go(&["list", "-m", "-f", "{{.Dir}}", MODULE])?;
    let source = Path::new(source.trim()).join("pinns/src");
    let mut cc = process::program("cc", &["-std=c99", "-Os", "-static", "-o"]);
    cc.arg(folder.join("pinns")).args([source.join("pinns.c"), source.join("sysctl.c")]);
    match process::capture(&mut cc)? {
        (_, true) => {
            std::fs::remove_dir_all(&main).map_err(|error| format!("{}: {error}", main.display()))?;
            Ok(folder)
        }
        (text, false) => Err(format!("CRI-O's pinns does not build:\n{text}")),
    }
}

/// The folder with `dockerd`.
fn moby() -> Result<PathBuf, Failure> {
    let version = format!("-s -w -X github.com/moby/moby/v2/dockerversion.Version={MOBY}");
    installed("moby", MOBY, "dockerd", "github.com/moby/moby/v2/cmd/dockerd", &["-ldflags", &version], false)
}

/// The folder with a runc that is new enough for Docker 29.
fn runc() -> Result<PathBuf, Failure> {
    let flags = ["-ldflags", "-s -w", "-tags", "seccomp"];
    installed("runc", RUNC, "runc", "github.com/opencontainers/runc", &flags, true)
}

/// A folder with a program that `go install` builds, if it is not there.
fn installed(
    name: &str,
    version: &str,
    program: &str,
    package: &str,
    flags: &[&str],
    cgo: bool,
) -> Result<PathBuf, Failure> {
    let folder = setup::cache().join("engines").join(format!("{name}-{version}"));
    if folder.join(program).is_file() {
        return Ok(folder);
    }
    eprintln!("building {name} {version} (some minutes, once)");
    let mut command = process::program("go", &["install"]);
    command
        .args(flags)
        .arg(format!("{package}@{version}"))
        .env("CGO_ENABLED", if cgo { "1" } else { "0" })
        .env("GOBIN", &folder);
    match process::capture(&mut command)? {
        (_, true) => Ok(folder),
        (text, false) => Err(format!("{name} does not build:\n{text}")),
    }
}

/// The folder with Docker's client, `docker-init` and `docker-proxy`: the distribution's, unpacked and not installed.
fn docker_tools() -> Result<PathBuf, Failure> {
    let folder = setup::cache().join("engines/docker-tools");
    let tools = ["usr/bin/docker", "usr/bin/docker-init", "usr/sbin/docker-proxy"];
    if tools.iter().all(|tool| folder.join(tool).exists()) {
        return Ok(folder);
    }
    eprintln!("fetching Docker's client");
    let packages = folder.join("packages");
    std::fs::create_dir_all(&packages).map_err(|error| format!("{}: {error}", packages.display()))?;
    let run = |command: &mut Command| match process::capture(command.current_dir(&packages))? {
        (_, true) => Ok(()),
        (text, false) => Err(format!("Docker's client cannot be fetched:\n{text}")),
    };
    run(&mut process::program("apt-get", &["update", "-qq"]))?;
    run(&mut process::program("apt-get", &["download", "-qq", "docker.io", "tini"]))?;
    let found = std::fs::read_dir(&packages).map_err(|error| format!("{}: {error}", packages.display()))?;
    for package in found.flatten() {
        run(process::program("dpkg-deb", &["-x"]).arg(package.path()).arg(&folder))?;
    }
    std::fs::remove_dir_all(&packages).map_err(|error| format!("{}: {error}", packages.display()))?;
    Ok(folder)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, text))
        .map_err(|error| format!("{}: {error}", path.display()))
}
