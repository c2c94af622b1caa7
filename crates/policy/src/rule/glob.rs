//! Globs: `*` any run of characters, `?` one, and in paths `**` any number of segments (`policy.md` 3, "Matching").
//! Brackets, braces and backslashes mean themselves.

use std::fmt;

use crate::path::clean;

/// A pattern for a whole text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Glob {
    /// As written; in paths, cleaned.
    text: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// No wildcard in it.
    Literal,
    Text,
    Path,
}

/// `**` is a part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadGlob;

impl Glob {
    /// A pattern in which `/` is a character like others, and `**` is `*`.
    ///
    /// ```
    /// use nri_policy::rule::glob::Glob;
    /// assert!(Glob::text("LD_*").is_match("LD_PRELOAD"));
    /// ```
    #[must_use]
    pub fn text(pattern: &str) -> Self {
        let kind = if has_wildcard(pattern) { Kind::Text } else { Kind::Literal };
        Self { text: pattern.to_owned(), kind }
    }

    /// A pattern for paths. It is cleaned like the paths that it is compared with.
    ///
    /// # Errors
    /// `**` that is not a whole segment.
    ///
    /// ```
    /// use nri_policy::rule::glob::Glob;
    /// let glob = Glob::path("/var/run/**")?;
    /// assert!(glob.is_match("/run/a/b") && !glob.is_match("/run"));
    /// # Ok::<(), nri_policy::rule::glob::BadGlob>(())
    /// ```
    pub fn path(pattern: &str) -> Result<Self, BadGlob> {
        if pattern.split('/').any(|segment| segment != "**" && segment.contains("**")) {
            return Err(BadGlob);
        }
        let kind = if has_wildcard(pattern) { Kind::Path } else { Kind::Literal };
        Ok(Self { text: clean(pattern).into_owned(), kind })
    }

    /// Whether the whole text matches. A path must be clean.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        match self.kind {
            Kind::Literal => self.text == text,
            Kind::Text => matches(&self.text, text),
            Kind::Path => matches_segments(&self.text, text),
        }
    }

    /// The pattern.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The folder, without a wildcard in it, that everything that matches lies in; `None` where there is none.
    #[must_use]
    pub fn folder(&self) -> Option<&str> {
        let literal = match self.kind {
            Kind::Literal => self.text.as_str(),
            _ => self.text.split(['*', '?']).next().unwrap_or_default(),
        };
        let (folder, _) = literal.rsplit_once('/')?;
        Some(if folder.is_empty() { "/" } else { folder })
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

fn has_wildcard(pattern: &str) -> bool {
    pattern.contains(['*', '?'])
}

/// The root is one empty segment, like the start of every absolute path.
fn segments(path: &str) -> std::str::Split<'_, char> {
    let path = if path == "/" { "" } else { path };
    path.split('/')
}

/// Goes through pattern and text together. At a mismatch the last `*` takes one character more: what an earlier one took
/// need not be looked at again, so the work is at most the product of the lengths.
fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        match pattern.next() {
            Some('*') => {
                retry = Some((pattern.clone(), text.clone()));
                continue;
            }
            Some(wanted) if text.next().is_some_and(|found| wanted == '?' || wanted == found) => continue,
            None if text.as_str().is_empty() => return true,
            _ => {}
        }
        let Some((star, start)) = &mut retry else { return false };
        if start.next().is_none() {
            return false;
        }
        (pattern, text) = (star.clone(), start.clone());
    }
}

/// The same over segments: `**` takes any number, at the end at least one.
fn matches_segments(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (segments(pattern), segments(path));
    let mut retry: Option<(std::str::Split<'_, char>, std::str::Split<'_, char>)> = None;
    loop {
        let (mut wanted, mut found) = (pattern.clone(), path.clone());
        match (wanted.next(), found.next()) {
            (Some("**"), first) => {
                if wanted.clone().next().is_none() {
                    return first.is_some();
                }
                pattern = wanted;
                retry = Some((pattern.clone(), path.clone()));
                continue;
            }
            (Some(one), Some(other)) if matches(one, other) => {
                (pattern, path) = (wanted, found);
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        let Some((star, start)) = &mut retry else { return false };
        if start.next().is_none() {
            return false;
        }
        (pattern, path) = (star.clone(), start.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for (pattern, text, expect) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "a/b", true),
            ("**", "a/b", true),
            ("?", "", false),
            ("?", "ä", true),
            ("?", "ab", false),
            ("LD_*", "LD_PRELOAD", true),
            ("LD_*", "ld_preload", false),
            ("LD_*", "XLD_A", false),
            ("*.crio.io", "a.crio.io", true),
            ("*.crio.io", "a.crio.io/b", false),
            ("*.crio.io/*", "a.crio.io/b", true),
            ("a*b*c", "aXbYbc", true),
            ("a*b*c", "aXbYb", false),
            ("a**b", "a/x/b", true),
            ("a[bc]", "ab", false),
            ("a[bc]", "a[bc]", true),
            ("a\\*", "a\\x", true),
            ("{a,b}", "a", false),
            ("*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(Glob::text(pattern).is_match(text), expect, "{pattern} {text}");
        }
    }

    #[test]
    fn paths() {
        for (pattern, path, expect) in [
            ("/a/**", "/a/b", true),
            ("/a/**", "/a/b/c", true),
            ("/a/**", "/a", false),
            ("/a/**", "/ab", false),
            ("/a/**/b", "/a/b", true),
            ("/a/**/b", "/a/x/y/b", true),
            ("/a/**/b", "/a/x/y/c", false),
            ("/a/*", "/a/b", true),
            ("/a/*", "/a/b/c", false),
            ("/a/?", "/a/b", true),
            ("/a?b", "/a/b", false),
            ("/**", "/", false),
            ("/**", "/x", true),
            ("**", "/x/y", true),
            ("**/docker.sock", "/run/docker.sock", true),
            ("**/docker.sock", "docker.sock", true),
            ("/var/run/*", "/run/x", true),
            ("/a/../b/", "/b", true),
            ("/", "/", true),
            ("", "", true),
            ("", "/a", false),
            ("*", "a", true),
            ("*", "/a", false),
            ("/a/**/b/**", "/a/b/c", true),
            ("/a/**/b/**", "/a/b", false),
            ("/a/**/**/b", "/a/b", true),
            ("/dev/nvidia*", "/dev/nvidia0", true),
            ("/dev/nvidia*", "/dev/nvidia/0", false),
        ] {
            assert_eq!(Glob::path(pattern).unwrap().is_match(path), expect, "{pattern} {path}");
        }
        for pattern in ["/a/**b", "a**", "/***", "**a/b"] {
            assert_eq!(Glob::path(pattern), Err(BadGlob), "{pattern}");
        }
    }

    #[test]
    fn folders() {
        for (pattern, expect) in [
            ("/dev/nvidia*", Some("/dev")),
            ("/dev/**", Some("/dev")),
            ("/dev/a", Some("/dev")),
            ("/*", Some("/")),
            ("**", None),
            ("/dev/a?/b", Some("/dev")),
        ] {
            assert_eq!(Glob::path(pattern).unwrap().folder(), expect, "{pattern}");
        }
    }
}
