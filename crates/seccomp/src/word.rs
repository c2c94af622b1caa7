//! What a conjunction of tests leaves of a call's argument words, and a value that it leaves (`spec/seccomp.md` 3.3).
//!
//! Every test speaks of one 32-bit word and words are independent, so a conjunction can hold iff each word's share of it
//! can. A share is kept as fixed bits, an interval and forbidden cubes.

use crate::decision::{ARGUMENTS, Check, Test, Word};
use crate::search::{Budget, Spent};

/// A value for every word, by [`Word::place`].
pub(crate) type Point = [u32; Word::COUNT];

/// The arguments whose halves these are.
pub(crate) fn arguments(point: &Point) -> [u64; ARGUMENTS] {
    let (halves, _) = point.as_chunks();
    let mut args = [0; ARGUMENTS];
    for (arg, [lower, upper]) in args.iter_mut().zip(halves) {
        *arg = u64::from(*upper) << 32 | u64::from(*lower);
    }
    args
}

/// What is left of one word: the values within the interval that have the fixed bits and lie in no forbidden cube.
#[derive(Clone, Debug)]
struct Share {
    fixed: Cube,
    low: u32,
    high: u32,
    forbidden: Vec<Cube>,
}

/// The values `x` with `x & mask == value`.
#[derive(Clone, Copy, Debug)]
struct Cube {
    mask: u32,
    value: u32,
}

impl Cube {
    const ALL: Self = Self { mask: 0, value: 0 };

    fn holds(self, x: u32) -> bool {
        x & self.mask == self.value
    }

    /// The values in both; `None` if there are none.
    fn join(self, other: Self) -> Option<Self> {
        let differ = (self.value ^ other.value) & self.mask & other.mask;
        (differ == 0).then_some(Self { mask: self.mask | other.mask, value: self.value | other.value })
    }

    /// Its smallest value that is not below `from`.
    fn smallest(self, from: u32) -> Option<u32> {
        let differ = (from ^ self.value) & self.mask;
        if differ == 0 {
            return Some(from);
        }
        // Some bit from the highest differing one upwards must become 1, as low as can be; what is below it is then free.
        (u32::BITS - 1 - differ.leading_zeros()..u32::BITS).find_map(|at| {
            let bit = 1 << at;
            let below = bit - 1;
            let above = !(below | bit);
            let possible = differ & above == 0 && from & bit == 0 && (self.mask & !self.value) & bit == 0;
            possible.then_some((from & above) | bit | (self.value & below))
        })
    }
}

impl Share {
    const fn all() -> Self {
        Self { fixed: Cube::ALL, low: 0, high: u32::MAX, forbidden: Vec::new() }
    }

    /// Takes in one more test. `false`: seen at once to leave nothing, the share is useless then.
    fn assume(&mut self, test: &Test, outcome: bool) -> bool {
        match (test.check, outcome) {
            (Check::Eq | Check::MaskedEq, true) => {
                // Bits of the datum that the mask leaves out can never come up.
                let Some(joined) = self.fixed.join(cube(test)).filter(|_| test.datum & !test.mask == 0)
                else {
                    return false;
                };
                self.fixed = joined;
            }
            (Check::Eq | Check::MaskedEq, false) => {
                if test.datum & !test.mask == 0 {
                    self.forbidden.push(cube(test));
                }
            }
            (Check::Gt, true) => match test.datum.checked_add(1) {
                Some(low) => self.low = self.low.max(low),
                None => return false,
            },
            (Check::Gt, false) => self.high = self.high.min(test.datum),
            (Check::Ge, true) => self.low = self.low.max(test.datum),
            (Check::Ge, false) => match test.datum.checked_sub(1) {
                Some(high) => self.high = self.high.min(high),
                None => return false,
            },
        }
        self.low <= self.high && self.decided(test) != Some(!outcome)
    }

    /// How the test comes out for every value left, if that is easily seen.
    fn decided(&self, test: &Test) -> Option<bool> {
        match test.check {
            Check::Eq | Check::MaskedEq => {
                let cube = cube(test);
                let within = cube.mask & !self.fixed.mask == 0;
                match self.fixed.join(cube) {
                    None => Some(false),
                    Some(_) if test.datum & !test.mask != 0 => Some(false),
                    Some(_) if within => Some(true),
                    Some(_) if cube.mask == u32::MAX && !(self.low..=self.high).contains(&cube.value) => {
                        Some(false)
                    }
                    Some(_) => None,
                }
            }
            Check::Gt => self.above(test.datum.checked_add(1)),
            Check::Ge => self.above(Some(test.datum)),
        }
    }

    /// Whether every value left is at least this number, which may be beyond the highest there is, or none is.
    fn above(&self, number: Option<u32>) -> Option<bool> {
        match number {
            None => Some(false),
            Some(number) if self.low >= number => Some(true),
            Some(number) if self.high < number => Some(false),
            Some(_) => None,
        }
    }
}

fn cube(test: &Test) -> Cube {
    Cube { mask: test.mask, value: test.datum }
}

/// A value of the cube from `low` to `high` that no forbidden cube holds.
///
/// Each call fixes at least one bit more than its caller's, so it is never deeper than a word has bits.
fn witness(
    fixed: Cube,
    low: u32,
    high: u32,
    forbidden: &[Cube],
    budget: &mut Budget,
) -> Result<Option<u32>, Spent> {
    let mut from = low;
    loop {
        budget.step(forbidden.len())?;
        let Some(x) = fixed.smallest(from).filter(|&x| x <= high) else { return Ok(None) };
        let Some(cube) = forbidden.iter().find(|cube| cube.holds(x)) else { return Ok(Some(x)) };
        let mut free = cube.mask & !fixed.mask;
        if free == 0 {
            return Ok(None);
        }
        if fixed.mask | cube.mask == u32::MAX {
            // The cube holds x and nothing else of what is left.
            match x.checked_add(1) {
                Some(next) => from = next,
                None => return Ok(None),
            }
            continue;
        }
        let mut inside = fixed;
        while free != 0 {
            let bit = 1 << free.trailing_zeros();
            free &= !bit;
            inside.mask |= bit;
            let outside = Cube { value: inside.value | (!cube.value & bit), ..inside };
            if let Some(x) = witness(outside, x, high, forbidden, budget)? {
                return Ok(Some(x));
            }
            inside.value |= cube.value & bit;
        }
        return Ok(None);
    }
}

/// The shares of all words, which can be taken back to what they were, and a point within them.
#[derive(Debug)]
pub(crate) struct Words {
    shares: [Share; Word::COUNT],
    trail: Vec<Past>,
    point: Point,
    /// Words whose value in `point` a test has ruled out since.
    stale: [bool; Word::COUNT],
}

/// What a share was before one test.
#[derive(Debug)]
struct Past {
    word: usize,
    fixed: Cube,
    low: u32,
    high: u32,
    forbidden: usize,
}

/// A moment to go back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(usize);

impl Words {
    /// Nothing is ruled out.
    pub(crate) fn new() -> Self {
        Self {
            shares: [const { Share::all() }; Word::COUNT],
            trail: Vec::new(),
            point: [0; Word::COUNT],
            stale: [false; Word::COUNT],
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark(self.trail.len())
    }

    /// Forgets what was assumed since.
    pub(crate) fn back_to(&mut self, mark: Mark) {
        while self.trail.len() > mark.0 {
            let Some(past) = self.trail.pop() else { return };
            let Some(share) = self.shares.get_mut(past.word) else { return };
            share.fixed = past.fixed;
            share.low = past.low;
            share.high = past.high;
            share.forbidden.truncate(past.forbidden);
        }
    }

    /// Takes in one more test. `false`: seen at once to leave nothing; only [`Words::back_to`] makes sense then.
    pub(crate) fn assume(&mut self, test: &Test, outcome: bool) -> bool {
        let word = test.word.place();
        let (Some(share), Some(stale), Some(value)) =
            (self.shares.get_mut(word), self.stale.get_mut(word), self.point.get(word))
        else {
            return false;
        };
        let (fixed, low, high) = (share.fixed, share.low, share.high);
        self.trail.push(Past { word, fixed, low, high, forbidden: share.forbidden.len() });
        *stale |= test.holds(*value) != outcome;
        share.assume(test, outcome)
    }

    /// Takes in a conjunction; as [`Words::assume`].
    pub(crate) fn assume_all(&mut self, tests: &[(Test, bool)]) -> bool {
        tests.iter().all(|(test, outcome)| self.assume(test, *outcome))
    }

    /// How the test comes out for everything left, if that is easily seen.
    pub(crate) fn decided(&self, test: &Test) -> Option<bool> {
        self.shares.get(test.word.place())?.decided(test)
    }

    /// A point of what is left, if there is any. Values that are still possible stay as they are, the others become small.
    pub(crate) fn point(&mut self, budget: &mut Budget) -> Result<Option<Point>, Spent> {
        for ((share, stale), value) in self.shares.iter().zip(&mut self.stale).zip(&mut self.point) {
            if *stale {
                let found = witness(share.fixed, share.low, share.high, &share.forbidden, budget)?;
                let Some(found) = found else { return Ok(None) };
                *value = found;
                *stale = false;
            }
        }
        Ok(Some(self.point))
    }
}

#[cfg(test)]
mod tests;
