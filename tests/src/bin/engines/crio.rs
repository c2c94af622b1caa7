//! CRI-O, from the folder of `$NRI_TEST_CRIO` (`crio`, `pinns`), with the distribution's conmon, podman and runc.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nri_tests::cri::Cri;
use nri_tests::engine::IMAGE;
use nri_tests::image;

use crate::daemon::Daemon;
use crate::probe::Ran;
use crate::{Engine, Failure, pod};

struct Crio {
    daemon: Daemon,
}

pub(crate) fn start() -> Result<Box<dyn Engine>, Failure> {
    let programs = std::env::var_os("NRI_TEST_CRIO").map(PathBuf::from);
    let programs = programs.ok_or("CRI-O is absent; run `cargo xtask engines --all`, which builds it")?;
    let folder = Daemon::folder("crio")?;
    let path = |name: &str| folder.path().join(name);
    for name in ["empty", "cni", "nri", "plugins", "conf.d"] {
        fs::create_dir_all(path(name))?;
    }
    fs::write(path("config"), config(folder.path(), &programs))?;
    image::write(&path("busybox.tar"), IMAGE, &["sh"])?;
    let load = Command::new("podman")
        .args(["--storage-driver", "overlay", "--root"])
        .arg(path("root"))
        .arg("--runroot")
        .arg(path("run"))
        .args(["load", "-i"])
        .arg(path("busybox.tar"))
        .output()?;
    if !load.status.success() {
        return Err(format!("the image does not load: {}", String::from_utf8_lossy(&load.stderr)).into());
    }
    let mut command = Command::new(programs.join("crio"));
    command.arg("--config").arg(path("config")).arg("--config-dir").arg(path("empty"));
    Ok(Box::new(Crio { daemon: Daemon::start(command, folder, "crio.sock")? }))
}

impl Engine for Crio {
    fn nri_socket(&self) -> PathBuf {
        self.daemon.path("nri/nri.sock")
    }

    fn folder(&self) -> &Path {
        self.daemon.root()
    }

    fn run(&mut self, look: &mut dyn FnMut(&str) -> Result<Ran, Failure>) -> Result<Ran, Failure> {
        pod::live(&mut Cri::connect(&self.daemon.path("crio.sock"))?, IMAGE, look)
    }

    fn log(&self) -> String {
        self.daemon.log()
    }
}

fn config(folder: &Path, programs: &Path) -> String {
    let (w, programs) = (folder.display(), programs.display());
    format!(
        r#"[crio]
root = "{w}/root"
runroot = "{w}/run"
storage_driver = "overlay"
log_dir = "{w}/logs"
version_file = "{w}/version"
clean_shutdown_file = "{w}/clean"
[crio.api]
listen = "{w}/crio.sock"
stream_port = "0"
[crio.runtime]
default_runtime = "runc"
cgroup_manager = "cgroupfs"
conmon_cgroup = "pod"
pinns_path = "{programs}/pinns"
namespaces_dir = "{w}/ns"
container_exits_dir = "{w}/exits"
container_attach_socket_dir = "{w}/attach"
[crio.runtime.runtimes.runc]
runtime_path = "/usr/sbin/runc"
runtime_root = "{w}/runc"
monitor_path = "/usr/bin/conmon"
monitor_cgroup = "pod"
[crio.image]
pause_image = "{IMAGE}"
pause_command = ""
[crio.network]
network_dir = "{w}/cni"
plugin_dirs = ["/usr/lib/cni"]
[crio.nri]
enable_nri = true
nri_listen = "{w}/nri/nri.sock"
nri_plugin_dir = "{w}/plugins"
nri_plugin_config_dir = "{w}/conf.d"
"#
    )
}
