//! The fuzz targets on stable: the corpus, recorded conversations, and random changes of both. What libFuzzer finds goes
//! into the corpus and is tried here for ever.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a test a failed unwrap is the failure report"
)]

use std::path::{Path, PathBuf};

use nri_tests::fuzz::{TARGETS, Target};
use nri_tests::random::Random;

/// Enough for about two seconds a target in a debug build.
const ROUNDS: usize = 40_000;

/// Seeds with a few changes, and bytes of nobody's making: the same on every machine.
struct Input(Random);

impl Input {
    fn next(&mut self) -> u64 {
        self.0.next()
    }

    fn below(&mut self, end: usize) -> usize {
        self.0.below(end)
    }

    fn byte(&mut self) -> u8 {
        // Small numbers, as lengths and tags are, come most often.
        let byte = u8::try_from(self.next() & 0xff).unwrap();
        if self.next() & 1 == 0 { byte & 0x1f } else { byte }
    }

    fn bytes(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = match self.below(4) {
            0 => (0..self.below(200)).map(|_| self.byte()).collect(),
            _ => seeds[self.below(seeds.len())].clone(),
        };
        for _ in 0..self.below(8) {
            let at = self.below(bytes.len() + 1);
            match self.below(5) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.byte()),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 if at < bytes.len() => bytes[at] = self.byte(),
                _ => {
                    let other = &seeds[self.below(seeds.len())];
                    let piece = &other[self.below(other.len() + 1)..];
                    let tail: Vec<_> = bytes.drain(at..).collect();
                    bytes.extend_from_slice(&piece[..piece.len().min(100)]);
                    bytes.extend(tail);
                }
            }
        }
        bytes
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn run(name: &str) {
    let (_, target): &(_, Target) = TARGETS.iter().find(|(target, _)| *target == name).unwrap();
    let seeds = corpus(name);
    seeds.iter().for_each(|seed| target(seed));
    let mut random = Input(Random(name.bytes().fold(1, |seed, byte| seed * 31 + u64::from(byte))));
    // A policy is a text of thousands of bytes, and much is done with it.
    let rounds = if name == "policy" { ROUNDS / 20 } else { ROUNDS };
    for _ in 0..rounds {
        target(&random.bytes(&seeds));
    }
}

#[test]
fn frames() {
    run("frames");
}

#[test]
fn messages() {
    run("messages");
}

#[test]
fn envelopes() {
    run("envelopes");
}

#[test]
fn scan() {
    run("scan");
}

#[test]
fn connection() {
    run("connection");
}

#[test]
fn texts() {
    run("texts");
}

#[test]
fn policy() {
    run("policy");
}

#[test]
fn verdicts() {
    run("verdicts");
}

#[test]
fn filters() {
    run("filters");
}

/// Each target has its test above, its corpus, and its program in `fuzz/`.
#[test]
fn none_is_forgotten() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let this = std::fs::read_to_string(root.join("tests/fuzz.rs")).unwrap();
    let manifest = std::fs::read_to_string(root.join("../fuzz/Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(this.contains(&format!("run(\"{name}\");")), "{name} has no test");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} has no program");
        assert!(!corpus(name).is_empty());
    }
}
