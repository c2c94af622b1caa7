//! Where a pod's listener is: from the pod's annotation or a template, and always inside an allowed directory.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use nri_wire::api::{Container, PodSandbox};
use serde::{Deserialize, Deserializer, de};

/// Most bytes of a socket's path (`sun_path` of `unix(7)`, with its final zero).
const SOCKET_PATH_MAX: usize = 107;

/// A directory that listeners may be in, at any depth.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Directory(PathBuf);

/// Why a listener is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ListenerError {
    /// A name would be more than a name in a path.
    Name { part: Part, value: String },
    /// The path is not absolute, or has `.`, `..` or doubled slashes in it.
    NotPlain(String),
    /// The path is too long for a socket.
    TooLong(String),
    /// The path is in no allowed directory.
    Outside(String),
}

impl fmt::Display for ListenerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { part, value } => {
                let name = PARTS.iter().find(|(_, known)| known == part).map_or("", |(name, _)| name);
                write!(f, "{{{name}}} is {value:?}, which cannot be part of a path")
            }
            Self::NotPlain(path) => {
                write!(f, "{path:?} is no absolute path without `.`, `..` and doubled slashes")
            }
            Self::TooLong(path) => {
                write!(f, "{path:?} is longer than the {SOCKET_PATH_MAX} bytes of a socket's path")
            }
            Self::Outside(path) => write!(f, "{path:?} is in none of the listenerDirectories"),
        }
    }
}

impl std::error::Error for ListenerError {}

/// Text with `{namespace}`, `{name}`, `{uid}` (of the pod) and `{container}` in it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Part(Part),
}

/// What a template can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Namespace,
    Name,
    Uid,
    Container,
}

const PARTS: [(&str, Part); 4] = [
    ("namespace", Part::Namespace),
    ("name", Part::Name),
    ("uid", Part::Uid),
    ("container", Part::Container),
];

impl Part {
    fn of<'a>(self, pod: &'a PodSandbox, container: &'a Container) -> &'a str {
        match self {
            Self::Namespace => &pod.namespace,
            Self::Name => &pod.name,
            Self::Uid => &pod.uid,
            Self::Container => &container.name,
        }
    }
}

impl Template {
    fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) =
                after.split_once('}').ok_or_else(|| format!("a brace is not closed in {text:?}"))?;
            let (_, part) = PARTS.into_iter().find(|(known, _)| *known == name).ok_or_else(|| {
                format!("{{{name}}} is not known, expected {{namespace}}, {{name}}, {{uid}} or {{container}}")
            })?;
            pieces.extend([Piece::Text(before.to_owned()), Piece::Part(part)]);
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }

    /// The text for a container, as it is.
    pub(super) fn text(&self, pod: &PodSandbox, container: &Container) -> String {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text,
                Piece::Part(part) => part.of(pod, container),
            })
            .collect()
    }

    /// The text for a container as a path: each name is one component, or a piece of one.
    pub(super) fn path(&self, pod: &PodSandbox, container: &Container) -> Result<String, ListenerError> {
        for piece in &self.0 {
            let Piece::Part(part) = piece else { continue };
            let value = part.of(pod, container);
            if value.is_empty() || value == "." || value == ".." || value.contains(['/', '\0']) {
                return Err(ListenerError::Name { part: *part, value: value.to_owned() });
            }
        }
        Ok(self.text(pod, container))
    }
}

/// The path, if it may be a listener's.
pub(super) fn check(path: String, allowed: &[Directory]) -> Result<String, ListenerError> {
    if !is_plain(&path) {
        return Err(ListenerError::NotPlain(path));
    }
    if path.len() > SOCKET_PATH_MAX {
        return Err(ListenerError::TooLong(path));
    }
    if !allowed.iter().any(|directory| directory.holds(Path::new(&path))) {
        return Err(ListenerError::Outside(path));
    }
    Ok(path)
}

/// Absolute, and spelled in the only way: what is compared is what is opened.
fn is_plain(path: &str) -> bool {
    let spelled: PathBuf = Path::new(path).components().collect();
    path.starts_with('/')
        && !path.contains('\0')
        && spelled.as_os_str() == path
        && Path::new(path).components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}

impl Directory {
    /// Below it, also once symbolic links on the way are followed. What is not there (yet, or not where this plugin runs)
    /// is judged by its name.
    fn holds(&self, path: &Path) -> bool {
        let below = |path: &Path, directory: &Path| path.starts_with(directory) && path != directory;
        let real = |path: &Path| path.ancestors().skip(1).find_map(|parent| parent.canonicalize().ok());
        let (Ok(directory), Some(parent)) = (self.0.canonicalize(), real(path)) else {
            return below(path, &self.0);
        };
        below(path, &self.0) && parent.starts_with(&directory)
    }
}

impl<'de> Deserialize<'de> for Directory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path = String::deserialize(deserializer)?;
        if is_plain(&path) && path != "/" {
            Ok(Self(path.into()))
        } else {
            Err(de::Error::custom(format!(
                "{path:?} is no directory for listeners: an absolute path other than / is, without `.`, `..`, doubled slashes and one at the end"
            )))
        }
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str) -> PodSandbox {
        PodSandbox { name: name.into(), namespace: "default".into(), uid: "u-1".into(), ..Default::default() }
    }

    fn container() -> Container {
        Container { name: "app".into(), ..Default::default() }
    }

    #[test]
    fn templates() {
        let template = Template::parse("/l/{namespace}/{name}-{uid}/{container}.sock").unwrap();
        assert_eq!(template.path(&pod("web"), &container()).unwrap(), "/l/default/web-u-1/app.sock");
        for text in ["{pod}", "{name", "{}", "{Name}"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    /// Names are Kubernetes', and here they come from whoever talks to the runtime.
    #[test]
    fn names_that_would_leave_their_place() {
        let template = Template::parse("/l/{name}/s").unwrap();
        for name in ["", ".", "..", "../x", "a/b", "a\0b"] {
            assert!(template.path(&pod(name), &container()).is_err(), "{name:?}");
        }
        assert!(template.path(&pod("..."), &container()).is_ok());
    }

    #[test]
    fn paths_inside_and_outside() {
        let allowed = [Directory("/nonexistent/l".into())];
        let check = |path: &str| super::check(path.to_owned(), &allowed).is_ok();
        for path in ["/nonexistent/l/s", "/nonexistent/l/a/b/s"] {
            assert!(check(path), "{path}");
        }
        for path in [
            "",
            "s",
            "/nonexistent/l",
            "/nonexistent/l/",
            "/nonexistent/lx/s",
            "/nonexistent/s",
            "/nonexistent/l/../s",
            "/nonexistent/l/./s",
            "/nonexistent//l/s",
            "/nonexistent/l/s/",
            "nonexistent/l/s",
            "/nonexistent/l/a\0b",
            &format!("/nonexistent/l/{}", "x".repeat(100)),
        ] {
            assert!(!check(path), "{path:?}");
        }
        assert!(super::check("/s".to_owned(), &[]).is_err());
    }

    /// A link inside an allowed directory does not lead out of it.
    #[test]
    fn links_that_lead_outside() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let (allowed, outside) = (root.join("l"), root.join("o"));
        std::fs::create_dir(&allowed).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, allowed.join("out")).unwrap();
        std::fs::create_dir(allowed.join("in")).unwrap();
        let directories = [Directory(allowed.clone())];
        let check =
            |path: &str| super::check(allowed.join(path).to_str().unwrap().to_owned(), &directories).is_ok();
        assert!(check("s") && check("in/s") && check("new/s"));
        assert!(!check("out/s") && !check("out/new/s"));
    }
}
