//! Paths as policies compare them (`policy.md` 3, "Matching").

use std::borrow::Cow;

/// Cleans an absolute path lexically: `//`, `.`, `..`, a trailing `/`; `/var/run` is `/run`. Others stay as they are.
pub(crate) fn clean(path: &str) -> Cow<'_, str> {
    if !path.starts_with('/') {
        return Cow::Borrowed(path);
    }
    if looks_clean(path) {
        return Cow::Borrowed(without_var(path));
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let joined = format!("/{}", parts.join("/"));
    Cow::Owned(without_var(&joined).to_owned())
}

/// Whether there is certainly nothing to clean; parts that begin with a dot are looked at closer.
fn looks_clean(path: &str) -> bool {
    path == "/"
        || (!path.ends_with('/') && !path.as_bytes().windows(2).any(|pair| matches!(pair, b"//" | b"/.")))
}

fn without_var(path: &str) -> &str {
    match path.strip_prefix("/var") {
        Some(rest) if rest == "/run" || rest.starts_with("/run/") => rest,
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (path, expect) in [
            ("/", "/"),
            ("/data", "/data"),
            ("/data/", "/data"),
            ("//a/./b/../c", "/a/c"),
            ("/../..", "/"),
            ("/var/run", "/run"),
            ("/var/run/x/", "/run/x"),
            ("/var/runner", "/var/runner"),
            ("/var/./run/a", "/run/a"),
            ("/a/.hidden", "/a/.hidden"),
            ("/a/..b/c", "/a/..b/c"),
            ("/run/var/run", "/run/var/run"),
            ("relative/../x", "relative/../x"),
            ("", ""),
        ] {
            assert_eq!(clean(path), expect, "{path}");
        }
    }
}
