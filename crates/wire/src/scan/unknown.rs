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
    number: u32,
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

    /// The same for a message of another type that has the fields of these names too, under these numbers. What stands
    /// in other fields is left out, and so are unknown fields of the outer message itself whose numbers are not above
    /// `known`, the highest number that the other type uses: there they would be something else.
    ///
    /// ```
    /// use nri_wire::scan::{Row, scan};
    /// // A field 200 in the pod, a field 9 beside it. In a StateChangeEvent, the pod has the number 2.
    /// let unknown = scan(Row::named("RunPodSandboxRequest"), &[0x0a, 3, 0xc0, 0x0c, 1, 0x48, 1])?;
    /// assert_eq!(unknown.appendix_as(&[("pod", 2), ("container", 3)], 3), [0x12, 3, 0xc0, 0x0c, 1, 0x48, 1]);
    /// # Ok::<(), nri_wire::scan::ScanError>(())
    /// ```
    #[must_use]
    pub fn appendix_as(&self, fields: &[(&str, u32)], known: u32) -> Vec<u8> {
        let renumbered = self.listed.iter().filter_map(|field| {
            let mut field = field.clone();
            if let Some(outermost) = field.parents.first_mut() {
                let name = field.path.split('.').next()?;
                *outermost = fields.iter().find(|(known, _)| *known == name)?.1;
            } else if field.number <= known {
                return None;
            }
            Some(field)
        });
        let listed: Vec<_> = renumbered.collect();
        Self { count: listed.len(), listed }.appendix()
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
        self.listed.push(UnknownField { path, number, parents, raw: is_singular.then(|| raw.to_vec()) });
    }
}

impl UnknownField {
    /// It stands inside an element of a list or map, so [`Unknown::appendix`] cannot have it.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        self.raw.is_none()
    }

    /// Its path without the numbers of elements, so that the same field of many elements is one place:
    /// `container.mounts[].9`.
    #[must_use]
    pub fn place(&self) -> String {
        let mut parts = self.path.split('[');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |done, part| done + "[" + part.trim_start_matches(|c: char| c.is_ascii_digit()))
    }

    fn within(&self, number: u32) -> Option<Self> {
        let (&first, parents) = self.parents.split_first()?;
        let path = self.path.split_once('.').map_or("", |(_, rest)| rest).to_owned();
        (first == number).then(|| Self { path, parents: parents.to_vec(), ..self.clone() })
    }
}

fn wrap(number: u32, inner: &[u8]) -> Vec<u8> {
    let mut outer = Vec::with_capacity(inner.len() + 10);
    encode_varint(u64::from(number) << 3 | 2, &mut outer);
    encode_varint(inner.len() as u64, &mut outer);
    outer.extend_from_slice(inner);
    outer
}
