//! The report of fields that are not known here.

use prost::encoding::encode_varint;

use super::Place;
use crate::limits::SCAN_UNKNOWN_LISTED_MAX;

/// Fields that a message carries and this version does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unknown {
    listed: Vec<UnknownField>,
    count: usize,
}

/// One occurrence of a field that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownField {
    /// Where it stands, its number last: `linux.13`, `mounts[2].9`.
    pub path: String,
    /// Numbers of the fields around it, outermost first.
    parents: Vec<u32>,
    /// The field with its tag, unless it stands inside an element of a list or map: no encoding can be appended
    /// to a message that would get there.
    raw: Option<Vec<u8>>,
}

impl Unknown {
    /// Whether every field is known.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many occurrences there are, listed or not.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The first [`SCAN_UNKNOWN_LISTED_MAX`] of them, in the order in which they stand.
    #[must_use]
    pub fn fields(&self) -> &[UnknownField] {
        &self.listed
    }

    /// What is in the field with this number of the outer message, seen from that field: for a message that is
    /// taken out of the one that was scanned.
    #[must_use]
    pub fn within(&self, number: u32) -> Self {
        let listed: Vec<_> = self.listed.iter().filter_map(|field| field.within(number)).collect();
        Self { count: listed.len(), listed }
    }

    /// Bytes that, appended to the encoded message, give it the unknown fields back in their places: protobuf
    /// merges what comes twice. Fields inside elements of lists and maps cannot be given back;
    /// [`lost`](Self::lost) counts them.
    #[must_use]
    pub fn appendix(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for field in &self.listed {
            if let Some(raw) = &field.raw {
                let wrapped =
                    field.parents.iter().rev().fold(raw.clone(), |inner, &number| wrap(number, &inner));
                all.extend_from_slice(&wrapped);
            }
        }
        all
    }

    /// How many occurrences are not in [`appendix`](Self::appendix).
    #[must_use]
    pub fn lost(&self) -> usize {
        self.count - self.listed.iter().filter(|field| field.raw.is_some()).count()
    }

    pub(super) fn add(&mut self, parent: Option<&Place<'_>>, number: u32, raw: &[u8]) {
        self.count += 1;
        if self.listed.len() >= SCAN_UNKNOWN_LISTED_MAX {
            return;
        }
        let path = parent.map_or_else(String::new, |place| place.path() + ".") + &number.to_string();
        let mut parents = Vec::new();
        let mut is_singular = true;
        let mut place = parent;
        while let Some(at) = place {
            parents.push(at.field.number);
            is_singular &= !at.field.repeated;
            place = at.parent;
        }
        parents.reverse();
        self.listed.push(UnknownField { path, parents, raw: is_singular.then(|| raw.to_vec()) });
    }
}

impl UnknownField {
    fn within(&self, number: u32) -> Option<Self> {
        let (&first, parents) = self.parents.split_first()?;
        let path = self.path.split_once('.').map_or("", |(_, rest)| rest).to_owned();
        (first == number).then(|| Self { path, parents: parents.to_vec(), raw: self.raw.clone() })
    }
}

fn wrap(number: u32, inner: &[u8]) -> Vec<u8> {
    let mut outer = Vec::with_capacity(inner.len() + 10);
    encode_varint(u64::from(number) << 3 | 2, &mut outer);
    encode_varint(inner.len() as u64, &mut outer);
    outer.extend_from_slice(inner);
    outer
}
