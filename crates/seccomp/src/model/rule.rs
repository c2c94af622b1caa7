//! From the conditions of an entry to rules of one width (`spec/seccomp.md` 1.1 step 4, 1.2, 1.3).

use std::fmt;

use crate::policy::{Condition, doubled};
use crate::term::{Effect, Operator};

/// How much of an argument counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    /// All 64 bits.
    Wide,
    /// The low 32 bits.
    Narrow,
}

impl Width {
    const fn bits(self) -> u64 {
        match self {
            Self::Wide => u64::MAX,
            Self::Narrow => 0xffff_ffff,
        }
    }
}

/// One condition as a filter asks it: operands cut to the width of the ABI, the datum cut to the mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Clause {
    /// Which argument, 0 to 5.
    pub argument: u8,
    /// How it is compared.
    pub operator: Operator,
    /// The bits that count: all of the width unless it is `MaskedEq`.
    pub mask: u64,
    /// What it is compared with.
    pub datum: u64,
}

impl Clause {
    fn of(condition: &Condition, width: Width, swapped: bool) -> Self {
        // An index above 5 is refused before anything is lowered.
        let argument = u8::try_from(condition.index).unwrap_or(u8::MAX);
        let operator = condition.op;
        let (mask, datum) = match operator {
            Operator::MaskedEq => operands(condition, swapped),
            _ => (u64::MAX, condition.value),
        };
        let mask = mask & width.bits();
        Self { argument, operator, mask, datum: datum & mask }
    }

    fn call(call: u8, width: Width) -> Self {
        Self { argument: 0, operator: Operator::Eq, mask: width.bits(), datum: call.into() }
    }

    /// Whether the condition holds for these arguments.
    #[must_use]
    pub fn holds(&self, args: &[u64; 6]) -> bool {
        let given = args.get(usize::from(self.argument)).copied().unwrap_or_default() & self.mask;
        match self.operator {
            Operator::Ne => given != self.datum,
            Operator::Lt => given < self.datum,
            Operator::Le => given <= self.datum,
            Operator::Eq | Operator::MaskedEq => given == self.datum,
            Operator::Ge => given >= self.datum,
            Operator::Gt => given > self.datum,
        }
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { argument, operator, mask, datum } = self;
        let sign = match operator {
            Operator::Ne => "!=",
            Operator::Lt => "<",
            Operator::Le => "<=",
            Operator::Eq => "==",
            Operator::Ge => ">=",
            Operator::Gt => ">",
            Operator::MaskedEq => return write!(f, "arg{argument} & {mask:#x} == {datum:#x}"),
        };
        write!(f, "arg{argument} {sign} {datum:#x}")
    }
}

/// A rule with at least one condition: all must hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Its conditions, on different arguments, in the order of these.
    pub clauses: Vec<Clause>,
    /// What happens then.
    pub effect: Effect,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, clause) in self.clauses.iter().enumerate() {
            write!(f, "{}{clause}", if at == 0 { "" } else { " && " })?;
        }
        write!(f, " -> {}", self.effect)
    }
}

/// The conditions of an entry, as far as a runtime reads them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conditions<'p> {
    args: &'p [Condition],
    /// An argument is named twice, so that each condition is a rule of its own.
    split: bool,
    swapped: bool,
    /// One of the rules has no condition left, on wide and on narrow ABIs.
    unconditional: [bool; 2],
}

impl<'p> Conditions<'p> {
    pub(super) fn new(args: &'p [Condition], swapped: bool) -> Self {
        let split = doubled(args).is_some();
        let unconditional = [Width::Wide, Width::Narrow].map(|width| {
            let always = |arg: &Condition| {
                arg.op == Operator::MaskedEq && operands(arg, swapped).0 & width.bits() == 0
            };
            if split { args.iter().any(always) } else { args.iter().all(always) }
        });
        Self { args, split, swapped, unconditional }
    }

    /// Whether one of the rules has no condition left.
    pub(super) const fn is_unconditional(&self, width: Width) -> bool {
        let [wide, narrow] = self.unconditional;
        match width {
            Width::Wide => wide,
            Width::Narrow => narrow,
        }
    }

    /// How many rules there are.
    pub(super) fn count(&self) -> usize {
        if self.split { self.args.len() } else { 1 }
    }

    /// How many tests the rules have at most, before any are shared.
    pub(super) fn tests(&self, width: Width) -> usize {
        let (mut tests, mut ways) = (0, 1);
        for arg in self.args {
            let (own, exits) = match (width, arg.op) {
                (Width::Narrow, _) => (1, 1),
                (Width::Wide, Operator::Eq | Operator::MaskedEq) => (2, 1),
                (Width::Wide, Operator::Ne) => (2, 2),
                (Width::Wide, Operator::Lt | Operator::Le | Operator::Gt | Operator::Ge) => (3, 2),
            };
            tests += own * ways;
            ways *= if self.split { 1 } else { exits };
        }
        tests + ways
    }

    /// The conditions of each rule, those that always hold left out. With a `call`, they are for `socketcall` or `ipc`:
    /// argument 0 must be the call number, in place of any condition on it.
    pub(super) fn rules(&self, width: Width, call: Option<u8>) -> impl Iterator<Item = Vec<Clause>> {
        let size = if self.split { 1 } else { self.args.len().max(1) };
        let empty = self.args.is_empty().then(Vec::new);
        let rules = self.args.chunks(size).map(move |args| {
            let mut clauses: Vec<Clause> = args
                .iter()
                .map(|arg| Clause::of(arg, width, self.swapped))
                .filter(|clause| clause.mask != 0)
                .collect();
            clauses.sort_by_key(|clause| clause.argument);
            clauses
        });
        rules.chain(empty).map(move |mut clauses| {
            if let Some(call) = call {
                clauses.retain(|clause| clause.argument != 0);
                clauses.insert(0, Clause::call(call, width));
            }
            clauses
        })
    }
}

/// Mask and datum of `MASKED_EQ`; youki swaps them (`spec/seccomp.md` 1.1).
const fn operands(condition: &Condition, swapped: bool) -> (u64, u64) {
    if swapped { (condition.value_two, condition.value) } else { (condition.value, condition.value_two) }
}
