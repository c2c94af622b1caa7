//! Decision lists: what both the model of a policy and the reader of a compiled filter speak (`spec/seccomp.md` 3.2).
//!
//! A [`List`] is read from the front: the first [`Path`] whose tests all come out as it says answers, and the last path
//! has no tests. Every test speaks of one 32-bit [`Word`] of the arguments.

use std::fmt;

use crate::term::Effect;

/// Syscalls have six arguments.
pub const ARGUMENTS: usize = 6;

/// One half of an argument: twice the index of the argument, plus one for the upper half. In the trie of
/// `spec/seccomp.md` 1.4 a higher word is asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Word(u8);

impl Word {
    /// How many there are.
    pub const COUNT: usize = 2 * ARGUMENTS;

    /// The lower half of an argument; `None` above argument 5.
    #[must_use]
    pub const fn lower(argument: u8) -> Option<Self> {
        if argument < 6 { Some(Self(2 * argument)) } else { None }
    }

    /// The upper half of an argument; `None` above argument 5.
    #[must_use]
    pub const fn upper(argument: u8) -> Option<Self> {
        if argument < 6 { Some(Self(2 * argument + 1)) } else { None }
    }

    /// The argument of which this is a half.
    #[must_use]
    pub const fn argument(self) -> usize {
        self.0 as usize / 2
    }

    /// Whether it is the upper half.
    #[must_use]
    pub const fn is_upper(self) -> bool {
        self.0 % 2 == 1
    }

    /// A place for it in a table of [`Word::COUNT`].
    #[must_use]
    pub const fn place(self) -> usize {
        self.0 as usize
    }

    /// The word in a call's arguments.
    ///
    /// ```
    /// use nri_seccomp::decision::Word;
    /// let args = [0, 0x1_0000_0002, 0, 0, 0, 0];
    /// assert_eq!(Word::lower(1).unwrap().of(&args), 2);
    /// assert_eq!(Word::upper(1).unwrap().of(&args), 1);
    /// ```
    #[must_use]
    pub fn of(self, args: &[u64; ARGUMENTS]) -> u32 {
        let [b0, b1, b2, b3, b4, b5, b6, b7] =
            args.get(self.argument()).copied().unwrap_or_default().to_le_bytes();
        u32::from_le_bytes(if self.is_upper() { [b4, b5, b6, b7] } else { [b0, b1, b2, b3] })
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arg{}.{}", self.argument(), if self.is_upper() { "hi" } else { "lo" })
    }
}

/// How a word is compared, unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// `x == datum`
    Eq,
    /// `x & mask == datum`; in libseccomp's eyes not the same as `Eq`, even with a full mask.
    MaskedEq,
    /// `x > datum`
    Gt,
    /// `x >= datum`
    Ge,
}

/// A question about one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Test {
    /// About which word.
    pub word: Word,
    /// What is asked.
    pub check: Check,
    /// The bits that count: all of them unless it is `MaskedEq`.
    pub mask: u32,
    /// What the word is compared with.
    pub datum: u32,
}

impl Test {
    /// The outcome for a value of the word.
    #[must_use]
    pub const fn holds(&self, word: u32) -> bool {
        match self.check {
            Check::Eq | Check::MaskedEq => word & self.mask == self.datum,
            Check::Gt => word > self.datum,
            Check::Ge => word >= self.datum,
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { word, check, mask, datum } = self;
        match check {
            Check::Eq => write!(f, "{word} == {datum:#x}"),
            Check::MaskedEq => write!(f, "{word} & {mask:#x} == {datum:#x}"),
            Check::Gt => write!(f, "{word} > {datum:#x}"),
            Check::Ge => write!(f, "{word} >= {datum:#x}"),
        }
    }
}

/// Tests with the outcomes that they must all have, and what happens then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The tests, each with its outcome.
    pub tests: Vec<(Test, bool)>,
    /// What happens to the call.
    pub effect: Effect,
}

impl Path {
    /// Whether all tests come out as they must.
    #[must_use]
    pub fn holds(&self, args: &[u64; ARGUMENTS]) -> bool {
        self.tests.iter().all(|(test, outcome)| test.holds(test.word.of(args)) == *outcome)
    }
}

/// The first path that holds answers; the last one has no tests.
pub type List = Vec<Path>;

/// The answer of a list.
#[must_use]
pub fn evaluate(list: &[Path], args: &[u64; ARGUMENTS]) -> Option<Effect> {
    list.iter().find(|path| path.holds(args)).map(|path| path.effect)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_hold() {
        let word = Word::lower(0).unwrap();
        for (check, mask, datum, holds, fails) in [
            (Check::Eq, u32::MAX, 5, [5, 5], [4, 6]),
            (Check::MaskedEq, 6, 2, [2, u32::MAX - 5 + 1], [0, 6]),
            (Check::Gt, u32::MAX, 5, [6, u32::MAX], [0, 5]),
            (Check::Ge, u32::MAX, 5, [5, u32::MAX], [0, 4]),
        ] {
            let test = Test { word, check, mask, datum };
            assert!(holds.iter().all(|x| test.holds(*x)), "{test}");
            assert!(!fails.iter().any(|x| test.holds(*x)), "{test}");
        }
    }

    #[test]
    fn words_are_halves_of_arguments() {
        let args = [1 << 32 | 2, 3 << 32 | 4, 5 << 32 | 6, 7 << 32 | 8, 9 << 32 | 10, 11 << 32 | 12];
        for argument in 0..6u8 {
            let base = u32::from(argument) * 2 + 1;
            assert_eq!(Word::upper(argument).unwrap().of(&args), base);
            assert_eq!(Word::lower(argument).unwrap().of(&args), base + 1);
        }
        assert_eq!((Word::lower(6), Word::upper(6)), (None, None));
        assert_eq!(Word::upper(2).unwrap().to_string(), "arg2.hi");
    }

    #[test]
    fn the_first_path_answers() {
        let test = |datum| Test { word: Word::upper(3).unwrap(), check: Check::Eq, mask: u32::MAX, datum };
        let path = |tests: &[(Test, bool)], effect| Path { tests: tests.to_vec(), effect };
        let list = [
            path(&[(test(1), false), (test(2), false)], Effect::Log),
            path(&[(test(1), true)], Effect::Trap),
            path(&[], Effect::Allow),
        ];
        for (upper, expect) in [(0, Effect::Log), (1, Effect::Trap), (2, Effect::Allow)] {
            assert_eq!(evaluate(&list, &[0, 0, 0, upper << 32, 0, 0]), Some(expect), "{upper}");
        }
        assert_eq!(evaluate(&list[..1], &[0, 0, 0, 1 << 32, 0, 0]), None);
    }
}
