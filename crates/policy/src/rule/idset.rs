//! Sets of CPUs and memory nodes, `0-3,7`.

use std::str::FromStr;

/// Highest number: far above what a kernel can have, and far below what costs memory.
const HIGHEST: u32 = 1 << 20;

/// A set of numbers, as ranges that neither overlap nor touch, in order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct IdSet(Vec<(u32, u32)>);

/// Not a list of numbers and ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadIdSet;

impl FromStr for IdSet {
    type Err = BadIdSet;

    fn from_str(text: &str) -> Result<Self, BadIdSet> {
        let number = |text: &str| match text.parse::<u32>() {
            Ok(number) if number <= HIGHEST && text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(number),
            _ => Err(BadIdSet),
        };
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(BadIdSet);
            }
            ranges.push((first, last));
        }
        Ok(Self::of(ranges))
    }
}

impl IdSet {
    fn of(mut ranges: Vec<(u32, u32)>) -> Self {
        ranges.sort_unstable();
        let mut joined: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match joined.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => joined.push((first, last)),
            }
        }
        Self(joined)
    }

    /// Whether everything in it is in the other one.
    ///
    /// ```
    /// use nri_policy::rule::idset::IdSet;
    /// let (small, large): (IdSet, IdSet) = ("1,2".parse()?, "0-3".parse()?);
    /// assert!(small.is_subset(&large) && !large.is_subset(&small));
    /// # Ok::<(), nri_policy::rule::idset::BadIdSet>(())
    /// ```
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.iter().all(|(first, last)| other.before(*first).is_some_and(|(_, end)| last <= end))
    }

    /// Whether something is in both.
    #[must_use]
    pub fn shares(&self, other: &Self) -> bool {
        self.0.iter().any(|(first, last)| other.before(*last).is_some_and(|(_, end)| first <= end))
    }

    /// The last range that begins at or before a number.
    fn before(&self, number: u32) -> Option<&(u32, u32)> {
        let after = self.0.partition_point(|(first, _)| *first <= number);
        self.0.get(after.checked_sub(1)?)
    }

    /// How many are in it.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| u64::from(last - first) + 1).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading() {
        for (text, count) in [
            ("0", Some(1)),
            ("0-3,7", Some(5)),
            ("0-3,2-5", Some(6)),
            ("7,0-3,4", Some(6)),
            ("0-1048576", Some(1_048_577)),
            ("", None),
            ("0,", None),
            ("3-1", None),
            ("-1", None),
            ("+1", None),
            ("0 1", None),
            ("0-1048577", None),
            ("a", None),
        ] {
            assert_eq!(text.parse::<IdSet>().ok().map(|set| set.count()), count, "{text}");
        }
    }

    #[test]
    fn relations() {
        for (a, b, subset, shares) in [
            ("0-3", "0-3", true, true),
            ("0,1", "0-7", true, true),
            ("0-3", "0-1,2-3", true, true),
            ("0-4", "0-1,2-3", false, true),
            ("5", "0-3,7", false, false),
            ("8", "0-7", false, false),
        ] {
            let (a, b): (IdSet, IdSet) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!((a.is_subset(&b), a.shares(&b)), (subset, shares), "{a:?} {b:?}");
        }
    }
}
