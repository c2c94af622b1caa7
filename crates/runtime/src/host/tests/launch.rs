//! Launched plugins: what they get, what they are, and how they end.

use super::*;

/// A plugin that is a script. Read by a shell, not executed: another test's fork may hold the file open for writing.
fn script(name: &str, text: &str, dir: &std::path::Path) -> Program {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    let args = vec!["sh".to_owned(), path.to_str().unwrap().to_owned()];
    Program { name: name.parse().unwrap(), path: "/bin/sh".into(), args, config: String::new() }
}

/// `spec/wire.md` 4.3: exactly three variables, descriptor 3.
#[tokio::test]
async fn a_launched_plugin_gets_its_environment_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    let text =
        format!("{{ tr '\\0' '\\n' < /proc/$$/environ; readlink /proc/$$/fd/3; }} > {}\n", out.display());
    let program = script("10-a", &text, root.path());
    let settings = PluginSettings { restart: Some(false), ..Default::default() };
    let plugins = std::collections::BTreeMap::from([("*".to_owned(), settings)]);
    let host = host(Config { launch: vec![program], plugins, ..Config::default() }).await;
    let text = std::fs::read_to_string(&out).unwrap();
    let mut lines: Vec<_> = text.lines().collect();
    assert!(lines.pop().unwrap().starts_with("socket:"), "{text}");
    assert_eq!(lines, ["NRI_PLUGIN_IDX=10", "NRI_PLUGIN_NAME=a", "NRI_PLUGIN_SOCKET=3"]);
    assert_eq!(host.status().await.0.len(), 0);
}

/// B7, B8: a launched plugin that ignores everything is killed and reaped; the start does not wait for ever, either.
#[tokio::test]
async fn a_stubborn_plugin_is_killed() {
    let root = tempfile::tempdir().unwrap();
    let pid_file = root.path().join("pid");
    let text = format!("trap '' TERM HUP\necho $$ > {}\nwhile :; do sleep 1; done\n", pid_file.display());
    let config = Config {
        launch: vec![script("10-a", &text, root.path())],
        registration_timeout: Duration::from_millis(300),
        ..Config::default()
    };
    let host = host(config).await;
    let pid = std::fs::read_to_string(&pid_file).unwrap();
    host.shutdown().await;
    assert!(!std::path::Path::new(&format!("/proc/{}", pid.trim())).exists());
}

/// A file that cannot be executed is a warning.
#[tokio::test]
async fn a_plugin_that_cannot_start_is_skipped() {
    let program = Program {
        name: "10-a".parse().unwrap(),
        path: "/nonexistent/10-a".into(),
        args: Vec::new(),
        config: String::new(),
    };
    let host = host(Config { launch: vec![program], ..Config::default() }).await;
    host.create_container(creation("c1"), soon()).await.unwrap();
}

/// What a plugin writes to a file that it then names like this.
async fn written(path: &std::path::Path) -> String {
    let there = async {
        loop {
            match std::fs::read_to_string(path) {
                Ok(text) => break text,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout_at(soon(), there).await.unwrap()
}

/// Of the only plugin, which may have come further than the host has.
async fn identity(host: &Host) -> Identity {
    let known = async {
        loop {
            match host.status().await.0.pop() {
                Some(plugin) => break plugin.identity,
                None => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout_at(soon(), known).await.unwrap()
}

/// A program is executed by the descriptor that was hashed, under the name that it was given; it inherits what it was
/// given, though this process has descriptors that are not closed by exec.
#[tokio::test]
async fn a_program_is_what_was_hashed() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    let leak = std::fs::File::open("/").unwrap();
    rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
    let text = format!(
        "ls /proc/$$/fd > {0}.1\n{{ readlink /proc/$$/exe; tr '\\0' '\\n' < /proc/$$/cmdline; cat {0}.1; }} > {0}.2\n\
         mv {0}.2 {0}\nexec sleep 60\n",
        out.display()
    );
    let config = Config { launch: vec![script("10-a", &text, root.path())], ..Config::default() };
    let host = Host::spawn(config, NoEmbedder).unwrap();
    let text = written(&out).await;
    let shell = std::fs::canonicalize("/bin/sh").unwrap();
    let mut lines = text.lines();
    assert_eq!((lines.next(), lines.next()), (shell.to_str(), Some("sh")));
    assert!(lines.next().unwrap().ends_with("/10-a"), "{text}");
    // From 10 on are the shell's own.
    let inherited: Vec<_> = lines.filter(|number| number.parse::<u8>().unwrap() < 10).collect();
    assert_eq!(inherited, ["0", "1", "2", "3"], "{text}");
    let identity = identity(&host).await;
    let digest = std::process::Command::new("sha256sum").arg(&shell).output().unwrap().stdout;
    assert!(String::from_utf8(digest).unwrap().starts_with(&identity.sha256.unwrap().to_string()));
    // Links are resolved: the real path is what policies match.
    assert_eq!(identity.exe, Some(shell));
    assert_eq!((identity.launched, identity.assurance()), (true, Assurance::Strong));
    host.shutdown().await;
    drop(leak);
}

/// A script is executed by its path, and its digest says little: the interpreter is not covered.
#[tokio::test]
async fn a_script_is_executed_by_its_path() {
    let root = tempfile::tempdir().unwrap();
    let (text, path, out) = (root.path().join("text"), root.path().join("10-a"), root.path().join("out"));
    std::fs::write(
        &text,
        format!("#!/bin/sh\necho $0 > {0}.1\nmv {0}.1 {0}\nexec sleep 60\n", out.display()),
    )
    .unwrap();
    // Another process writes it: while one that may write has it open, it cannot be executed.
    let install = std::process::Command::new("install").args(["-m", "700"]).arg(&text).arg(&path).status();
    assert!(install.unwrap().success());
    let program = Program {
        name: "10-a".parse().unwrap(),
        path: path.clone(),
        args: Vec::new(),
        config: String::new(),
    };
    let host = Host::spawn(Config { launch: vec![program], ..Config::default() }, NoEmbedder).unwrap();
    assert_eq!(written(&out).await.trim(), path.to_str().unwrap());
    let identity = identity(&host).await;
    assert!(identity.script && identity.sha256.is_some());
    assert_eq!((identity.assurance(), identity.exe), (Assurance::Medium, Some(path)));
    host.shutdown().await;
}

/// What is no file is not waited for.
#[tokio::test]
async fn a_pipe_is_no_plugin() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("10-a");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let program = Program { name: "10-a".parse().unwrap(), path, args: Vec::new(), config: String::new() };
    let host = host(Config { launch: vec![program], ..Config::default() }).await;
    assert_eq!(host.status().await.0.len(), 0);
    host.shutdown().await;
}

/// B10: a plugin that crashes at once is started again after its pause, and each of its processes is reaped.
#[tokio::test]
async fn a_plugin_that_crashes_is_reaped() {
    let root = tempfile::tempdir().unwrap();
    let (out, again) = (root.path().join("out"), root.path().join("again"));
    let text = format!(
        "echo $$ >> {0}\n[ $(wc -l < {0}) -lt 2 ] || cp {0} {1}\nexit 1\n",
        out.display(),
        again.display()
    );
    let host = host(Config { launch: vec![script("10-a", &text, root.path())], ..Config::default() }).await;
    written(&again).await;
    host.shutdown().await;
    let processes = std::fs::read_to_string(&out).unwrap();
    assert_eq!(processes.lines().count(), 2);
    for process in processes.lines() {
        assert!(!std::path::Path::new("/proc").join(process).exists(), "{process}");
    }
}

/// A host that is killed leaves no plugin behind.
#[tokio::test]
async fn a_plugin_ends_with_its_host() {
    let root = tempfile::tempdir().unwrap();
    let mut host = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "host::tests::launch::launches_if_told_to"])
        .env("NRI_TEST_LAUNCH", root.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let plugin = written(&root.path().join("out")).await;
    let plugin = rustix::process::Pid::from_raw(plugin.trim().parse().unwrap()).unwrap();
    let plugin = rustix::process::pidfd_open(plugin, rustix::process::PidfdFlags::empty()).unwrap();
    host.kill().unwrap();
    host.wait().unwrap();
    let mut ends = [rustix::event::PollFd::new(&plugin, rustix::event::PollFlags::IN)];
    let limit = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut ends, Some(&limit)), Ok(1));
}

/// The host of the test before; nothing to see without being told so.
#[tokio::test]
async fn launches_if_told_to() {
    if let Some(root) = std::env::var_os("NRI_TEST_LAUNCH") {
        let root = std::path::Path::new(&root);
        let text = format!("echo $$ > {0}.1\nmv {0}.1 {0}\nexec sleep 60\n", root.join("out").display());
        host(Config { launch: vec![script("10-a", &text, root)], ..Config::default() }).await;
        std::future::pending::<()>().await;
    }
}
