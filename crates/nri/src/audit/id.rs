//! Names of audit lines: sortable by time, short enough for an error message.

use std::fmt::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::rand::{GetRandomFlags, getrandom};

/// Crockford's digits: none looks like another one.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Bits below the milliseconds.
const LOW: u32 = 30;

/// The name of an audit line: ten digits for the millisecond, as in a ULID, and six that tell those of one apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id(u128);

/// Gives out ids, each greater than those before it.
#[derive(Debug)]
pub(super) struct Ids(Mutex<u128>);

impl Ids {
    pub(super) fn new() -> Self {
        Self(Mutex::new(0))
    }

    /// The next id. Other processes that write to the same file have a start of their own in each millisecond.
    pub(super) fn next(&self, now: SystemTime) -> Id {
        let millis = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The upper half is left for those that follow within the millisecond.
        *last = (*last + 1).max(millis << LOW | random() >> 1);
        Id(*last)
    }
}

fn random() -> u128 {
    let mut bytes = [0; 4];
    if getrandom(&mut bytes, GetRandomFlags::empty()).is_err() {
        // Ids are still distinct within the process.
        return 0;
    }
    u128::from(u32::from_le_bytes(bytes)) & ((1 << LOW) - 1)
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for digit in (0..16_u32).rev() {
            let digit = usize::try_from(self.0 >> (digit * 5) & 31).unwrap_or_default();
            f.write_char(DIGITS.get(digit).copied().map_or('0', char::from))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_are_distinct() {
        let ids = Ids::new();
        let at = |millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        let mut all: Vec<String> = (0..100).map(|_| ids.next(at(1_700_000_000_000)).to_string()).collect();
        all.push(ids.next(at(1_700_000_000_001)).to_string());
        // A clock that is set back.
        all.push(ids.next(at(5)).to_string());
        assert!(all.is_sorted_by(|a, b| a < b), "{all:?}");
        assert!(
            all.iter()
                .all(|id| id.len() == 16 && id.starts_with("01HF7YAT00") | id.starts_with("01HF7YAT01"))
        );
    }
}
