//! `mounts`, and what their propagation asks of the host and of the container's root.

use std::fmt;

use nri_wire::api::Mount;
use nri_wire::field::{self, Entry, Field};
use serde_json::{Map, Value};

use super::error::ApplyError;
use super::keyed::{Wishes, check_keys, key_of};
use super::resolver::Failure;
use super::spec::Spec;

type Read = dyn Fn() -> Result<String, Failure> + Send + Sync;

const ROOT_PROPAGATION: &str = "/linux/rootfsPropagation";

/// How mount events pass between a mount and its copies, by the names of the mount options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Propagation {
    /// Not at all.
    Private,
    /// Into the copy only.
    Slave,
    /// Both ways.
    Shared,
}

impl fmt::Display for Propagation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Private => "rprivate",
            Self::Slave => "rslave",
            Self::Shared => "rshared",
        })
    }
}

/// Replaces mounts by destination, all of that destination, so that applying once more changes nothing (the
/// reference takes out the first one only); then sorts all mounts of the spec, as the reference does: only if mounts are adjusted
/// at all, since the order of a caller who adjusts none is the caller's own.
pub(super) fn replace(
    spec: &mut Spec,
    entries: &[Entry<'_>],
    mountinfo: Option<&Read>,
    unchecked: &mut Vec<String>,
) -> Result<(), ApplyError> {
    let wishes = Wishes::of(entries);
    let mounts: Vec<&Mount> = wishes
        .sets()
        .into_iter()
        .filter_map(|(_, value)| match value {
            field::Value::Mount(mount) => Some(*mount),
            _ => None,
        })
        .collect();
    propagate(spec, &mounts, mountinfo, unchecked)?;
    let pointer = Field::Mounts.info().oci;
    let Some(list) = wishes.list(spec, pointer)? else { return Ok(()) };
    check_keys(list, pointer, "destination")?;
    wishes.clear(list, |element| key_of(element, "destination"));
    list.extend(mounts.iter().map(|mount| to_oci(mount)));
    // Stable, so that mounts over each other keep their order (`spec/README.md` correction 13).
    let mut sorted: Vec<(usize, Value)> =
        list.drain(..).map(|mount| (key_of(&mount, "destination").map_or(0, depth), mount)).collect();
    sorted.sort_by(|(a_depth, a), (b_depth, b)| {
        let destination = |mount| key_of(mount, "destination").unwrap_or_default();
        a_depth.cmp(b_depth).then_with(|| destination(a).cmp(destination(b)))
    });
    list.extend(sorted.into_iter().map(|(_, mount)| mount));
    Ok(())
}

fn to_oci(mount: &Mount) -> Value {
    let Mount { destination, r#type, source, options } = mount;
    let mut map = Map::from_iter([("destination".to_owned(), destination.as_str().into())]);
    for (name, text) in [("type", r#type), ("source", source)] {
        if !text.is_empty() {
            map.insert(name.to_owned(), text.as_str().into());
        }
    }
    if !options.is_empty() {
        map.insert("options".to_owned(), options.as_slice().into());
    }
    Value::Object(map)
}

/// Each mount by itself: one without an option asks for nothing, whatever the one before it said (quirk E4).
fn propagate(
    spec: &mut Spec,
    mounts: &[&Mount],
    mountinfo: Option<&Read>,
    unchecked: &mut Vec<String>,
) -> Result<(), ApplyError> {
    let mut text = None;
    for mount in mounts {
        let wanted = propagation(&mount.options);
        if wanted == Propagation::Private {
            continue;
        }
        match mountinfo {
            None => unchecked.push(mount.source.clone()),
            Some(read) => {
                if text.is_none() {
                    let read = read()
                        .map_err(|source| ApplyError::Refused { field: Some(Field::Mounts), source })?;
                    text = Some(read);
                }
                check_source(&mount.source, wanted, text.as_deref().unwrap_or_default())?;
            }
        }
        let root = spec.text(ROOT_PROPAGATION)?;
        let suffices = match wanted {
            Propagation::Slave => matches!(root, Some("rshared" | "rslave")),
            _ => root == Some("rshared"),
        };
        if !suffices {
            spec.put(ROOT_PROPAGATION, wanted.to_string())?;
        }
    }
    Ok(())
}

/// The last of the options that speak of propagation; the short forms are not among them (`spec/oci-apply.md` 3.20).
fn propagation(options: &[String]) -> Propagation {
    options
        .iter()
        .rev()
        .find_map(|option| match option.as_str() {
            "rprivate" => Some(Propagation::Private),
            "rslave" => Some(Propagation::Slave),
            "rshared" => Some(Propagation::Shared),
            _ => None,
        })
        .unwrap_or(Propagation::Private)
}

/// A shared source will do for both, a slave for a slave only.
fn check_source(source: &str, wanted: Propagation, mountinfo: &str) -> Result<(), ApplyError> {
    let found = source_propagation(source, mountinfo);
    if found.is_some_and(|found| found >= wanted) {
        return Ok(());
    }
    Err(ApplyError::Propagation { source: source.to_owned(), wanted, found })
}

/// The propagation of the mount that a path lies on, from the text of `/proc/self/mountinfo` (proc_pid_mountinfo(5)): the longest
/// mount point above it, of equal ones the last, which lies on top. Lines of another form are passed over.
fn source_propagation(path: &str, mountinfo: &str) -> Option<Propagation> {
    let path = clean(path);
    let mut found: Option<(usize, Propagation)> = None;
    for line in mountinfo.lines() {
        let mut words = line.split(' ').skip(4);
        let Some(point) = words.next() else { continue };
        let point = unescape(point);
        let inside = path
            .strip_prefix(point.as_str())
            .is_some_and(|rest| point == "/" || rest.is_empty() || rest.starts_with('/'));
        if !inside || found.is_some_and(|(length, _)| length > point.len()) {
            continue;
        }
        let kind = words
            .skip(1)
            .take_while(|word| *word != "-")
            .find_map(|word| match word.split_once(':') {
                Some(("shared", _)) => Some(Propagation::Shared),
                Some(("master", _)) => Some(Propagation::Slave),
                _ => None,
            })
            .unwrap_or(Propagation::Private);
        found = Some((point.len(), kind));
    }
    found.map(|(_, kind)| kind)
}

/// Blanks, tabs, line feeds and backslashes of mount points are written in octal.
fn unescape(word: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")].into_iter().fold(
        word.to_owned(),
        |word, (code, text)| if word.contains(code) { word.replace(code, text) } else { word },
    )
}

/// The shortest form of a path, without a look at the file system.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let absolute = path.starts_with('/');
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if absolute => {}
            part => parts.push(part),
        }
    }
    match (absolute, parts.join("/")) {
        (true, rest) => format!("/{rest}"),
        (false, rest) if rest.is_empty() => ".".to_owned(),
        (false, rest) => rest,
    }
}

/// How many separators the shortest form of a path has: `/` counts one, as `/a` does.
fn depth(path: &str) -> usize {
    // Parts that stay, and those of them that lead above the start of a relative path.
    let (mut parts, mut above) = (0_usize, 0_usize);
    let absolute = path.starts_with('/');
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts > above => parts -= 1,
            ".." if absolute => {}
            ".." => {
                parts += 1;
                above += 1;
            }
            _ => parts += 1,
        }
    }
    if absolute { parts.max(1) } else { parts.saturating_sub(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned() {
        for (path, expect, separators) in [
            ("/", "/", 1),
            ("/a", "/a", 1),
            ("//a//b/", "/a/b", 2),
            ("/a/../..", "/", 1),
            ("/../a/./b", "/a/b", 2),
            ("", ".", 0),
            ("a/../..", "..", 0),
            ("../../a", "../../a", 2),
        ] {
            assert_eq!((clean(path).as_str(), depth(path)), (expect, separators), "{path}");
        }
    }

    const MOUNTINFO: &str = r"21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:5 / /data rw master:7 - ext4 /dev/sdb rw
23 21 0:6 / /data/own rw - ext4 /dev/sdc rw
24 21 0:7 / /with\040blank rw shared:3 master:2 - tmpfs tmpfs rw
25 21 0:8 / /twice rw shared:4 - tmpfs tmpfs rw
26 25 0:9 / /twice rw - tmpfs tmpfs rw
nonsense
";

    #[test]
    fn sources_lie_on_the_longest_mount() {
        use Propagation::{Private, Shared, Slave};
        for (path, expect) in [
            ("/", Some(Shared)),
            ("/database", Some(Shared)),
            ("/data", Some(Slave)),
            ("/data/x/../y", Some(Slave)),
            ("/data/own/z", Some(Private)),
            ("/with blank/a", Some(Shared)),
            ("/twice", Some(Private)),
            ("relative", None),
        ] {
            assert_eq!(source_propagation(path, MOUNTINFO), expect, "{path}");
        }
        assert_eq!(source_propagation("/a", ""), None);
    }
}
