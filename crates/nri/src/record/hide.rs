//! What stands in a recording in the place of a secret: enough to see that two values are equal, nothing to find one out.

use std::io;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::secrets::{self, Replace};

/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;
/// Bytes of the code that are kept: too many for two values to share one by chance.
const KEPT: usize = 16;
/// Values shorter than this are not looked for in texts: words like `no` and `80` say nothing there.
const TELLING: usize = 4;

/// A random key. It is never written down: after the process that made it nobody can try values against the codes.
pub(crate) struct Key([u8; 32]);

impl Key {
    pub(crate) fn random() -> io::Result<Self> {
        let mut key = [0; 32];
        let mut filled = 0;
        while let Some(rest) = key.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty())?;
        }
        Ok(Self(key))
    }

    /// A short mark of this key, for the ids of lines.
    pub(super) fn mark(&self) -> String {
        hex(self.code(b"mark").get(..3).unwrap_or_default())
    }

    /// HMAC-SHA256 (RFC 2104).
    fn code(&self, value: &[u8]) -> [u8; 32] {
        hmac(&self.0, value)
    }

    /// The code of a value, and its length.
    pub(crate) fn hidden(&self, value: &str) -> (String, usize) {
        let code = self.code(value.as_bytes());
        (format!("h1:{}", hex(code.get(..KEPT).unwrap_or_default())), value.len())
    }
}

fn hmac(key: &[u8; 32], value: &[u8]) -> [u8; 32] {
    let pad = |with: u8| {
        let mut block = [with; BLOCK];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(value).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hides the secrets of one line. `texts`: the members of answers that are a plugin's own words, which may quote them.
pub(super) fn secrets(line: &mut Value, texts: &[&str], key: &Key) {
    let mut hider = Hider { key, seen: Vec::new() };
    secrets::replace(line, &mut hider);
    // Longer ones first, since one may hold another.
    hider.seen.sort_by_key(|value| std::cmp::Reverse(value.len()));
    for list in ["answers", "validators"] {
        let entries = line.get_mut(list).and_then(Value::as_array_mut);
        for entry in entries.into_iter().flatten() {
            for text in texts {
                if let Some(Value::String(text)) = entry.get_mut(*text) {
                    hider.purge(text);
                }
            }
        }
    }
}

/// One value of a field of the protocol (`policy.md` 4), as decisions print it, with secrets replaced.
pub(crate) fn value(field: &str, name: &str, value: &Value, key: &Key) -> Value {
    let mut hider = Hider { key, seen: Vec::new() };
    match (field, value) {
        ("env", Value::String(text)) => hider.word(text),
        ("args", Value::Array(words)) => {
            words.iter().map(|word| word.as_str().map_or(Value::Null, |word| hider.word(word))).collect()
        }
        _ => {
            // Below its name, since an annotation may be a secret because of that.
            let mut named = json!({ name: value });
            secrets::replace(&mut named, &mut hider);
            named.get_mut(name).map(Value::take).unwrap_or_default()
        }
    }
}

struct Hider<'a> {
    key: &'a Key,
    seen: Vec<String>,
}

impl Hider<'_> {
    fn purge(&self, text: &mut String) {
        for value in &self.seen {
            if text.contains(value) {
                *text = text.replace(value, "<hidden>");
            }
        }
    }
}

impl Replace for Hider<'_> {
    fn variable(&mut self, name: &str, value: &str) -> Value {
        if value.is_empty() {
            return format!("{name}=").into();
        }
        self.note(value);
        let (hmac, len) = self.key.hidden(value);
        json!({ "key": name, "hmac": hmac, "len": len })
    }

    fn word(&mut self, word: &str) -> Value {
        if word.is_empty() {
            return word.into();
        }
        self.note(word);
        let (hmac, len) = self.key.hidden(word);
        json!({ "hmac": hmac, "len": len })
    }
}

impl Hider<'_> {
    fn note(&mut self, value: &str) {
        if value.len() >= TELLING {
            self.seen.push(value.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, cases 1 and 2, with their keys padded as HMAC pads them.
    #[test]
    fn codes_are_hmac_sha256() {
        let key = |text: &[u8]| {
            let mut key = [0; 32];
            key[..text.len()].copy_from_slice(text);
            key
        };
        for (key, value, expect) in [
            (
                key(&[0x0b; 20]),
                &b"Hi There"[..],
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                key(b"Jefe"),
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
        ] {
            assert_eq!(hex(&hmac(&key, value)), expect);
        }
    }

    #[test]
    fn keys_differ() {
        assert_ne!(Key::random().unwrap().0, Key::random().unwrap().0);
    }

    #[test]
    fn every_place_is_replaced() {
        let key = Key([7; 32]);
        let shown = |value: &str| key.hidden(value).0;
        let mut line = json!({
            "pod": {"annotations": {"env": "kept", "kubectl.kubernetes.io/last-applied-configuration": "{}"}},
            "container": {"args": ["", "sh", "-c"], "env": ["A=secret", "odd", "B=", "C=x=y"],
                "hooks": {"prestart": [{"path": "/h", "args": ["x"], "env": ["H=1"]}]}},
            "spec": {"process": {"env": ["A=secret"], "args": ["sh"]},
                "linux": {"seccomp": {"syscalls": [{"names": ["clone"], "args": [{"index": 0, "value": 3}]}]}}},
            "answers": [
                {"plugin": "10-a", "adjust": {"env": [{"key": "A", "value": "secret"}, {"key": "-B"}]}},
                {"plugin": "20-b", "error": "A must not be secret, nor sh"}]
        });
        secrets(&mut line, &["error"], &key);
        assert_eq!(
            line,
            json!({
                "pod": {"annotations": {"env": "kept",
                    "kubectl.kubernetes.io/last-applied-configuration": {"hmac": shown("{}"), "len": 2}}},
                "container": {"args": ["", {"hmac": shown("sh"), "len": 2}, {"hmac": shown("-c"), "len": 2}],
                    "env": [{"key": "A", "hmac": shown("secret"), "len": 6}, {"hmac": shown("odd"), "len": 3},
                        "B=", {"key": "C", "hmac": shown("x=y"), "len": 3}],
                    "hooks": {"prestart": [{"path": "/h", "args": [{"hmac": shown("x"), "len": 1}],
                        "env": [{"key": "H", "hmac": shown("1"), "len": 1}]}]}},
                "spec": {"process": {"env": [{"key": "A", "hmac": shown("secret"), "len": 6}],
                        "args": [{"hmac": shown("sh"), "len": 2}]},
                    "linux": {"seccomp": {"syscalls": [{"names": ["clone"], "args": [{"index": 0, "value": 3}]}]}}},
                "answers": [
                    {"plugin": "10-a", "adjust": {"env": [
                        {"key": "A", "value": {"hmac": shown("secret"), "len": 6}}, {"key": "-B"}]}},
                    {"plugin": "20-b", "error": "A must not be <hidden>, nor sh"}]
            })
        );
        assert_eq!(shown("secret").len(), 3 + 2 * KEPT);
    }
}
