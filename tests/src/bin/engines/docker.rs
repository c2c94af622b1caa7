//! Docker 29: `dockerd` before a containerd of its own. `$NRI_TEST_DOCKER` has the folders of `dockerd`, of a runc that
//! is new enough, and of Docker's tools, with colons between them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nri_tests::engine::{Containerd, IMAGE};
use nri_tests::image;
use serde_json::json;

use crate::daemon::Daemon;
use crate::pod::CLIENTS;
use crate::probe::Ran;
use crate::{Engine, Failure};

struct Docker {
    /// Ended before containerd.
    daemon: Daemon,
    client: PathBuf,
    containerd: Containerd,
    bundles: PathBuf,
}

pub(crate) fn start() -> Result<Box<dyn Engine>, Failure> {
    let variable = std::env::var("NRI_TEST_DOCKER")
        .map_err(|_| "Docker is absent; run `cargo xtask engines --all`, which builds it")?;
    let folders: Vec<&Path> = variable.split(':').map(Path::new).collect();
    let [dockerd, runc, tools, shim] = folders.as_slice() else {
        return Err("NRI_TEST_DOCKER must name four folders: dockerd, runc, tools, containerd".into());
    };
    let containerd = Containerd::start()?;
    let bundles = containerd.cri_socket().parent().map(PathBuf::from).unwrap_or_default();
    let folder = Daemon::folder("dkr")?;
    let path = |name: &str| folder.path().join(name);
    for name in ["plugins", "conf.d"] {
        fs::create_dir_all(path(name))?;
    }
    let nri = json!({"nri-opts": {"enable": true, "socket-path": path("nri.sock"),
        "plugin-path": path("plugins"), "plugin-config-path": path("conf.d")}});
    fs::write(path("daemon.json"), nri.to_string())?;
    image::write(&path("busybox.tar"), IMAGE, &["sh"])?;
    let flag = |name: &str, value: PathBuf| format!("--{name}={}", value.display());
    let mut command = Command::new(dockerd.join("dockerd"));
    command.args([
        flag("config-file", path("daemon.json")),
        flag("data-root", path("d")),
        flag("exec-root", path("e")),
        flag("pidfile", path("p")),
        format!("--host=unix://{}", path("docker.sock").display()),
        flag("containerd", containerd.cri_socket()),
        format!("--add-runtime=new={}", runc.join("runc").display()),
    ]);
    command.args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--default-runtime=new"]);
    let search = [shim.to_path_buf(), tools.join("usr/bin"), tools.join("usr/sbin")];
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    command.env("PATH", std::env::join_paths(search.into_iter().chain(std::env::split_paths(&inherited)))?);
    let daemon = Daemon::start(command, folder, "docker.sock")?;
    let docker = Docker { daemon, client: tools.join("usr/bin/docker"), containerd, bundles };
    docker.ask(&["load", "-i", &docker.daemon.path("busybox.tar").to_string_lossy()])?;
    Ok(Box::new(docker))
}

impl Docker {
    fn ask(&self, words: &[&str]) -> Result<String, Failure> {
        let host = format!("unix://{}", self.daemon.path("docker.sock").display());
        let output = Command::new(&self.client).args(["--host", &host]).args(words).output()?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(format!("docker {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr)).into())
        }
    }
}

impl Engine for Docker {
    fn nri_socket(&self) -> PathBuf {
        self.daemon.path("nri.sock")
    }

    fn folder(&self) -> &Path {
        &self.bundles
    }

    fn run(&mut self, look: &mut dyn FnMut(&str) -> Result<Ran, Failure>) -> Result<Ran, Failure> {
        let variable = format!("{CLIENTS}=1");
        let words = ["run", "-d", "--network", "host", "-e", &variable, IMAGE, "sleep", "1000"];
        let container = self.ask(&words)?;
        let ran = look(&container);
        self.ask(&["rm", "-f", &container])?;
        ran
    }

    fn log(&self) -> String {
        format!("{}\n{}", self.daemon.log(), self.containerd.log())
    }
}
