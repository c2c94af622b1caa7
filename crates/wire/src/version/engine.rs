//! What is known of engines: which version has which NRI.
//!
//! Sources: `spec/api.md` 8 up to containerd 2.2.1 and CRI-O 1.35, `engines.md` 1 for the newer ones. Only the versions
//! where the answer changes are listed. NRI versions between two releases stand as the release before.

use super::{NriVersion, Semver};

/// Name of the engine as it configures plugins, and from which of its versions it has which NRI, oldest first.
const ENGINES: &[(&str, &[(&str, NriVersion)])] = &[
    (
        "containerd",
        &[
            ("1.7.0", NriVersion::new(0, 3, 0)),
            ("1.7.7", NriVersion::new(0, 4, 0)),
            ("1.7.14", NriVersion::new(0, 6, 0)),
            ("1.7.16", NriVersion::new(0, 6, 1)),
            ("1.7.26", NriVersion::new(0, 8, 0)),
            ("2.2.0", NriVersion::new(0, 10, 0)),
            ("2.2.1", NriVersion::new(0, 11, 0)),
            ("2.3.0", NriVersion::new(0, 12, 0)),
            ("2.4.0", NriVersion::new(0, 12, 3)),
        ],
    ),
    (
        "cri-o",
        &[
            ("1.26.0", NriVersion::new(0, 2, 0)),
            ("1.26.2", NriVersion::new(0, 3, 0)),
            ("1.29.0", NriVersion::new(0, 5, 0)),
            ("1.29.2", NriVersion::new(0, 6, 0)),
            ("1.31.0", NriVersion::new(0, 6, 1)),
            ("1.32.0", NriVersion::new(0, 9, 0)),
            ("1.34.0", NriVersion::new(0, 10, 0)),
            ("1.35.0", NriVersion::new(0, 11, 0)),
        ],
    ),
    ("docker", &[("29.0.0", NriVersion::new(0, 12, 3))]),
];

/// The NRI version of an engine. Engines newer than is known have at least what the newest known one has.
///
/// A leading `v` does not matter (quirk H5), nor does a suffix of `git describe`. A build without a
/// version, or of an unknown engine, has none.
#[must_use]
pub fn infer(runtime_name: &str, runtime_version: &str) -> Option<NriVersion> {
    let (_, versions) = ENGINES.iter().find(|(name, _)| *name == runtime_name)?;
    let version = Semver::parse(runtime_version)?;
    let known =
        versions.iter().rev().find(|(from, _)| Semver::parse(from).is_some_and(|from| from <= version));
    known.map(|(_, nri)| *nri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines() {
        for (name, version, expect) in [
            ("containerd", "v1.6.30", None),
            ("containerd", "v1.7.0", Some((0, 3, 0))),
            ("containerd", "v1.7.24", Some((0, 6, 1))),
            ("containerd", "v2.1.9", Some((0, 8, 0))),
            ("containerd", "v2.2.0-rc.1", Some((0, 8, 0))),
            ("containerd", "v2.2.0", Some((0, 10, 0))),
            ("containerd", "v2.2.7", Some((0, 11, 0))),
            ("containerd", "2.3.4+unknown", Some((0, 12, 0))),
            ("containerd", "2.3.4-12-gabcdef0.m", Some((0, 12, 0))),
            ("containerd", "v2.4.2", Some((0, 12, 3))),
            ("containerd", "v3.0.0", Some((0, 12, 3))),
            ("cri-o", "1.28.4", Some((0, 3, 0))),
            ("cri-o", "1.33.1", Some((0, 9, 0))),
            ("cri-o", "1.34.0", Some((0, 10, 0))),
            ("cri-o", "v1.36.3", Some((0, 11, 0))),
            ("docker", "29.1.2", Some((0, 12, 3))),
            ("docker", "28.5.0", None),
            ("docker", "dev", None),
            ("other", "1.0.0", None),
        ] {
            let expect = expect.map(|(major, minor, patch)| NriVersion::new(major, minor, patch));
            assert_eq!(infer(name, version), expect, "{name} {version}");
        }
    }

    #[test]
    fn the_tables_rise() {
        for (name, versions) in ENGINES {
            for pair in versions.windows(2) {
                assert!(
                    Semver::parse(pair[0].0) < Semver::parse(pair[1].0) && pair[0].1 < pair[1].1,
                    "{name}"
                );
            }
        }
    }
}
