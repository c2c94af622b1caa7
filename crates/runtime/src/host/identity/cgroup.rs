//! What the text of `/proc/PID/cgroup` (cgroups(7)) says about a process.

/// Where a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Path of the cgroup.
    pub(super) path: String,
    /// The shallowest service or scope in it.
    pub(super) unit: Option<String>,
    /// The container that it belongs to.
    pub(super) container: Option<String>,
}

/// Hierarchies of cgroup v1 in the order in which they are believed; the empty name is that of v2.
const HIERARCHIES: [&str; 5] = ["name=systemd", "memory", "pids", "cpu", ""];

/// Takes the first hierarchy that puts the process anywhere below the root, else the root.
pub(super) fn place(text: &str) -> Option<Place> {
    let lines: Vec<_> = text.lines().filter_map(hierarchy).collect();
    let of = |name: &str| {
        let has = |names: &str| names.split(',').any(|one| one == name);
        lines.iter().filter(|(names, _)| has(names)).map(|(_, path)| *path).find(|path| *path != "/")
    };
    let path = HIERARCHIES.into_iter().find_map(of).or(lines.first().map(|(_, path)| *path))?;
    let (unit, container) = owner(path);
    Some(Place { path: path.to_owned(), unit, container })
}

/// `12:cpu,cpuacct:/path` gives the names of the controllers and the path.
fn hierarchy(line: &str) -> Option<(&str, &str)> {
    let (_, rest) = line.split_once(':')?;
    let (names, path) = rest.split_once(':')?;
    path.starts_with('/').then_some((names, path))
}

/// The unit and the container of a path. Only the shallowest counts: what is below a unit or a container may have been
/// delegated, and bear any name (`policy.md` 2). So a user's own service holds no containers for us.
fn owner(path: &str) -> (Option<String>, Option<String>) {
    for component in path.split('/') {
        let container = container(component).map(str::to_owned);
        let unit = component.ends_with(".service") || component.ends_with(".scope");
        if unit || container.is_some() {
            return (unit.then(|| component.to_owned()), container);
        }
    }
    (None, None)
}

/// The container of a component: `<id>`, `crio-<id>`, `cri-containerd-<id>.scope`, `…slice:cri-containerd:<id>`.
fn container(component: &str) -> Option<&str> {
    let name = component.strip_suffix(".scope").unwrap_or(component);
    let (prefix, id) = match name.rfind(['-', ':']) {
        Some(at) => (name.get(..at)?, name.get(at + 1..)?),
        None => ("", name),
    };
    // The process that watches over a container is not the container.
    let watcher = prefix.ends_with("conmon");
    let is_id = id.len() == 64 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (is_id && !watcher).then_some(id)
}
