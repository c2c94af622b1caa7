//! Numbers in rules: as such, or relative to what the client asked for or what the host has (`policy.md` 3, "Matching").

use std::fmt;

/// A number in a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// A number.
    Number(i128),
    /// What the client asked for.
    Requested,
    /// So many hundredths of it, rounded down.
    Percent(u64),
    /// What the host has.
    Host,
}

/// A number to compare with. Unlimited is above every number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Amount {
    /// A number.
    Finite(i128),
    /// No limit.
    Unlimited,
}

/// Not a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadQuantity;

/// Suffixes and what they multiply by.
const SUFFIXES: [(&str, i128); 8] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
];

impl Quantity {
    /// Reads `64Mi`, `-1`, `requested`, `50%`, `host`.
    ///
    /// # Errors
    /// Anything else.
    ///
    /// ```
    /// use nri_policy::rule::quantity::Quantity;
    /// assert_eq!(Quantity::read("64Mi"), Ok(Quantity::Number(64 << 20)));
    /// assert!(Quantity::read("0x10").is_err());
    /// ```
    pub fn read(text: &str) -> Result<Self, BadQuantity> {
        match text {
            "requested" => Ok(Self::Requested),
            "host" => Ok(Self::Host),
            _ => match text.strip_suffix('%') {
                Some(percent) => digits(percent).map(Self::Percent),
                None => number(text).map(Self::Number),
            },
        }
    }

    /// Whether it depends on the client's value.
    #[must_use]
    pub const fn is_relative(self) -> bool {
        matches!(self, Self::Requested | Self::Percent(_))
    }
}

/// Reads a plain number with an optional sign and suffix.
///
/// # Errors
/// Anything else, and what does not fit.
pub fn number(text: &str) -> Result<i128, BadQuantity> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let suffix = SUFFIXES.iter().find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)));
    let (text, factor) = suffix.unwrap_or((text, 1));
    let number = i128::from(digits(text)?) * factor;
    Ok(if negative { -number } else { number })
}

fn digits(text: &str) -> Result<u64, BadQuantity> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadQuantity);
    }
    text.parse().map_err(|_| BadQuantity)
}

impl Amount {
    /// So many hundredths of it, rounded down.
    #[must_use]
    pub fn percent(self, percent: u64) -> Self {
        match self {
            Self::Finite(number) => Self::Finite((number * i128::from(percent)).div_euclid(100)),
            Self::Unlimited => Self::Unlimited,
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finite(number) => number.fmt(f),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Requested => f.write_str("requested"),
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Host => f.write_str("host"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        use Quantity::{Host, Number, Percent, Requested};
        for (text, expect) in [
            ("0", Some(Number(0))),
            ("007", Some(Number(7))),
            ("-1", Some(Number(-1))),
            ("5k", Some(Number(5_000))),
            ("2Ti", Some(Number(2 << 40))),
            ("1T", Some(Number(1_000_000_000_000))),
            ("18446744073709551615", Some(Number(u64::MAX.into()))),
            ("-2Mi", Some(Number(-2 << 20))),
            ("requested", Some(Requested)),
            ("host", Some(Host)),
            ("150%", Some(Percent(150))),
            ("0%", Some(Percent(0))),
            ("", None),
            ("-", None),
            ("+1", None),
            ("1.5Gi", None),
            ("1e3", None),
            ("0x10", None),
            ("1_000", None),
            ("5K", None),
            ("5 k", None),
            ("Mi", None),
            ("%", None),
            ("-5%", None),
            ("5.5%", None),
            ("Requested", None),
            ("18446744073709551616", None),
        ] {
            assert_eq!(Quantity::read(text).ok(), expect, "{text}");
        }
    }

    #[test]
    fn percentages_are_rounded_down() {
        for (number, percent, expect) in [(10, 50, 5), (7, 50, 3), (-7, 50, -4), (1, 150, 1), (0, 10, 0)] {
            assert_eq!(Amount::Finite(number).percent(percent), Amount::Finite(expect));
        }
        assert_eq!(Amount::Unlimited.percent(1), Amount::Unlimited);
        assert!(Amount::Unlimited > Amount::Finite(i128::MAX));
    }
}
