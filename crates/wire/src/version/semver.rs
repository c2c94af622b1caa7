//! Semantic versions, as far as engines and the protocol use them.

use std::cmp::Ordering;

/// A version with up to three numbers and a pre-release; what follows a `+` does not count.
///
/// ```
/// use nri_wire::version::Semver;
/// assert!(Semver::parse("v2.2.0-rc.1") < Semver::parse("2.2.0"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Semver<'a> {
    /// Major, minor, patch; absent ones are 0.
    pub release: [u64; 3],
    pre: &'a str,
}

impl<'a> Semver<'a> {
    /// Reads a version, with or without a leading `v`. A suffix of `git describe` is stripped first: it would make a
    /// build after a release order as one before it.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let text = strip_git_suffix(text.strip_prefix('v').unwrap_or(text));
        let (text, _build) = text.split_once('+').unwrap_or((text, ""));
        let (numbers, pre) = text.split_once('-').unwrap_or((text, ""));
        let mut release = [0; 3];
        let mut places = release.iter_mut();
        for number in numbers.split('.') {
            let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            *places.next()? = number.parse().ok().filter(|_| is_number)?;
        }
        Some(Self { release, pre })
    }

    /// Whether it comes before the release with its numbers.
    #[must_use]
    pub const fn is_pre_release(&self) -> bool {
        !self.pre.is_empty()
    }
}

impl Ord for Semver<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.release.cmp(&other.release).then_with(|| match (self.pre, other.pre) {
            (a, b) if a == b => Ordering::Equal,
            ("", _) => Ordering::Greater,
            (_, "") => Ordering::Less,
            (a, b) => pre_releases(a, b),
        })
    }
}

impl PartialOrd for Semver<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Identifier by identifier: numbers by value and before words, words by their bytes, a longer one after its beginning.
fn pre_releases(a: &str, b: &str) -> Ordering {
    let identifier = |text: &str| match text.parse::<u64>() {
        Ok(number) => (0, number, String::new()),
        Err(_) => (1, 0, text.to_owned()),
    };
    a.split('.').map(identifier).cmp(b.split('.').map(identifier))
}

/// The text without the suffix `-N-gHEX` of `git describe`, which may have a further one of letters and dots
/// (`.m` for changed sources); other texts as they are.
#[must_use]
pub fn strip_git_suffix(text: &str) -> &str {
    let find = || {
        let (rest, hash) = text.rsplit_once("-g")?;
        let (release, count) = rest.rsplit_once('-')?;
        let hash = hash.split_once('.').map_or(hash, |(hash, _)| hash);
        let is_hash = !hash.is_empty() && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_count = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
        (is_hash && is_count).then_some(release)
    };
    find().unwrap_or(text)
}

/// The greatest of the candidates that is not greater than the version.
#[must_use]
pub fn closest<'c>(version: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let version = Semver::parse(version)?;
    candidates
        .iter()
        .filter_map(|&text| Semver::parse(text).map(|candidate| (candidate, text)))
        .filter(|(candidate, _)| *candidate <= version)
        .max_by_key(|(candidate, _)| *candidate)
        .map(|(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CONF-088 to CONF-096, in their order.
    #[test]
    fn git_suffixes() {
        for (text, stripped) in [
            ("", ""),
            ("v1.2.3", "v1.2.3"),
            ("v1.2", "v1.2"),
            ("v1", "v1"),
            ("v1.2.3-alpha.1", "v1.2.3-alpha.1"),
            ("v0.11.0-37-g41b9c58", "v0.11.0"),
            ("v1.2.3-45", "v1.2.3-45"),
            ("v1.2.3-45-g", "v1.2.3-45-g"),
            ("v1.2.3-45-gz", "v1.2.3-45-gz"),
            ("v2.2.0-3-g41b9c58.m", "v2.2.0"),
        ] {
            assert_eq!(strip_git_suffix(text), stripped, "{text}");
        }
    }

    /// CONF-097 to CONF-107, in their order.
    #[test]
    fn closest_candidates() {
        const CANDIDATES: &[&str] = &[
            "v0.0.10", "v0.1.0", "v0.1.1", "v0.2.0", "v0.10.9", "v1.0", "v1.2.3", "v2", "v2.0.5", "v2.1",
            "v2.1.2", "v3.0.5", "v4",
        ];
        assert_eq!(closest("v1.2.3", &[]), None);
        for (version, expect) in [
            ("v0.0.1", None),
            ("v1.2.3", Some("v1.2.3")),
            ("v1.1.1", Some("v1.0")),
            ("v2.0.6", Some("v2.0.5")),
            ("v2.0.1", Some("v2")),
            ("v3.1", Some("v3.0.5")),
            ("v5", Some("v4")),
            ("v1.2.4-alpha.1", Some("v1.2.3")),
            ("v0.11.0-37-g41b9c58", Some("v0.10.9")),
            ("v0.10.9-37-g41b9c58", Some("v0.10.9")),
        ] {
            assert_eq!(closest(version, CANDIDATES), expect, "{version}");
        }
    }

    #[test]
    fn pre_releases_come_before() {
        let sorted = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
        ];
        for pair in sorted.windows(2) {
            assert!(Semver::parse(pair[0]) < Semver::parse(pair[1]), "{pair:?}");
        }
        for text in ["", "v", "1.", "1..2", "1.2.3.4", "+1", "1.+2", "x", "1.2.x"] {
            assert_eq!(Semver::parse(text), None, "{text}");
        }
    }
}
