//! The symbolic reader: what a program asks about a call, once the ABI (and mostly the number) is known.
//!
//! Constants are folded exactly as the interpreter computes them. What is left of a program is a graph without cycles:
//! at each node a test of one word of an argument, with a way on for yes and for no, at the ends the answers. A word may
//! have been cut by AND before it is compared; every other arithmetic, the instruction pointer, and comparisons of two
//! unknown words end in [`Why`], as does a program that needs too many steps.

use std::collections::BTreeMap;
use std::fmt;

use super::instruction::{Arithmetic, Condition, Operand, Register};
use super::program::{Program, Step};
use crate::decision::{Check, Test, Word};
use crate::term::Arch;

/// Most nodes of a graph. The kernel takes 4,096 instructions; more nodes than that come only from programs that compute.
const NODES_MAX: usize = 10_000;

/// Why a program's answer is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It asks for the address of the call.
    InstructionPointer,
    /// It computes with a value and compares the result.
    Arithmetic,
    /// It compares two values of the call with each other.
    TwoValues,
    /// It orders a value whose bits it has masked.
    MaskedOrder,
    /// It looks at the upper half of an argument under an ABI that has 32 bits.
    UpperHalf,
    /// It returns a value that it computed from the call.
    ComputedAnswer,
    /// It computes with the number of the call.
    Number,
    /// It has too many ways to go.
    TooMuch,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InstructionPointer => "the filter asks from where the call is made",
            Self::Arithmetic => "the filter computes with an argument before it compares",
            Self::TwoValues => "the filter compares two values of the call with each other",
            Self::MaskedOrder => "the filter orders the masked bits of an argument",
            Self::UpperHalf => "the filter looks at the upper half of an argument under a 32-bit ABI",
            Self::ComputedAnswer => "the filter returns a value that it computes from the call",
            Self::Number => "the filter computes with the number of the call",
            Self::TooMuch => "the filter has too many ways to go",
        })
    }
}

/// What a register or a word of scratch memory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Known(u32),
    /// A word of an argument, cut by a mask that is not empty.
    Word(Word, u32),
    /// The number of the call where it is not fixed, cut by a mask.
    Number(u32),
    Unknown(Why),
}

/// Everything that a program remembers; what it will not read again is [`Value::Known`] 0, so that ways meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    a: Value,
    x: Value,
    scratch: [Value; 16],
}

/// Where a way leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Node(usize),
    Answer(u32),
    Stop(Why),
}

/// A comparison of a masked value with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) check: Check,
    pub(super) mask: u32,
    pub(super) datum: u32,
}

/// What a node asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Argument(Test),
    Number(Comparison),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// The instruction; it grows along every way.
    pub(super) at: usize,
    pub(super) question: Question,
    pub(super) yes: Target,
    pub(super) no: Target,
}

#[derive(Debug)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    pub(super) start: Target,
}

/// How a branch goes.
enum Decision {
    Known(bool),
    /// The question, and its outcome with which the branch's condition holds.
    Ask(Question, bool),
    Stop(Why),
}

/// How many steps may still be made, over several graphs.
#[derive(Debug)]
pub(super) struct Budget(pub(super) usize);

impl Budget {
    pub(super) fn spend(&mut self, steps: usize) -> Result<(), Why> {
        self.0 = self.0.checked_sub(steps).ok_or(Why::TooMuch)?;
        Ok(())
    }
}

impl Graph {
    /// Reads a program for one ABI, and one number or every number of it.
    ///
    /// # Errors
    /// [`Why::TooMuch`]; every other reason stands where a way ends.
    pub(super) fn read(
        program: &Program,
        live: &Live,
        arch: Arch,
        number: Option<u32>,
        budget: &mut Budget,
    ) -> Result<Self, Why> {
        let mut reader = Reader {
            program,
            live,
            arch,
            number,
            budget,
            known: BTreeMap::new(),
            nodes: Vec::new(),
            open: Vec::new(),
        };
        let zero = Value::Known(0);
        let start = reader.walk(0, State { a: zero, x: zero, scratch: [zero; 16] })?;
        while let Some((node, (yes, no), state)) = reader.open.pop() {
            let (yes, no) = (reader.walk(yes, state)?, reader.walk(no, state)?);
            if let Some(node) = reader.nodes.get_mut(node) {
                (node.yes, node.no) = (yes, no);
            }
        }
        Ok(Self { nodes: reader.nodes, start })
    }

    pub(super) fn node(&self, target: Target) -> Option<&Node> {
        match target {
            Target::Node(node) => self.nodes.get(node),
            Target::Answer(_) | Target::Stop(_) => None,
        }
    }
}

struct Reader<'a> {
    program: &'a Program,
    live: &'a Live,
    arch: Arch,
    number: Option<u32>,
    budget: &'a mut Budget,
    known: BTreeMap<(usize, State), usize>,
    nodes: Vec<Node>,
    /// Nodes whose ways have not been walked: where they lead if the question's answer is yes and no, and with what.
    open: Vec<(usize, (usize, usize), State)>,
}

impl Reader<'_> {
    /// Goes on from an instruction to the next question, or to the end.
    fn walk(&mut self, mut at: usize, mut state: State) -> Result<Target, Why> {
        while let Some(step) = self.program.steps.get(at) {
            self.budget.spend(1)?;
            match *step {
                Step::Branch { condition, operand, yes, no } => {
                    let operand = match operand {
                        Operand::Number(number) => Value::Known(number),
                        Operand::X => state.x,
                    };
                    match decide(condition, state.a, operand) {
                        Decision::Known(outcome) => at = if outcome { yes } else { no },
                        Decision::Stop(why) => return Ok(Target::Stop(why)),
                        Decision::Ask(question, outcome) => {
                            let ways = if outcome { (yes, no) } else { (no, yes) };
                            return self.node(at, question, ways, state);
                        }
                    }
                    continue;
                }
                Step::Jump(to) => {
                    at = to;
                    continue;
                }
                Step::Return(Some(value)) => return Ok(Target::Answer(value)),
                Step::Return(None) => {
                    return Ok(match state.a {
                        Value::Known(value) => Target::Answer(value),
                        Value::Number(_) => Target::Stop(Why::Number),
                        Value::Unknown(why) if why != Why::Arithmetic => Target::Stop(why),
                        _ => Target::Stop(Why::ComputedAnswer),
                    });
                }
                Step::Compute(arithmetic, operand) => {
                    let operand = match operand {
                        Operand::Number(number) => Value::Known(number),
                        Operand::X => state.x,
                    };
                    match (arithmetic, state.a, operand) {
                        (_, Value::Known(a), Value::Known(b)) => match arithmetic.apply(a, b) {
                            Some(result) => state.a = Value::Known(result),
                            None => return Ok(Target::Answer(0)),
                        },
                        (Arithmetic::Div, _, Value::Known(0)) => return Ok(Target::Answer(0)),
                        // It may be zero, and then the program ends here.
                        (Arithmetic::Div, _, Value::Word(..) | Value::Number(_) | Value::Unknown(_)) => {
                            return Ok(Target::Stop(spoilt(operand)));
                        }
                        (_, a, b) => state.a = compute(arithmetic, a, b),
                    }
                }
                Step::Negate => {
                    state.a = match state.a {
                        Value::Known(value) => Value::Known(value.wrapping_neg()),
                        other => Value::Unknown(spoilt(other)),
                    };
                }
                Step::Data(word) => state.a = self.data(word),
                Step::Set(Register::A, number) => state.a = Value::Known(number),
                Step::Set(Register::X, number) => state.x = Value::Known(number),
                Step::Copy(Register::A) => state.a = state.x,
                Step::Copy(Register::X) => state.x = state.a,
                Step::Load(register, slot) => {
                    let value = state.scratch.get(slot).copied().unwrap_or(Value::Known(0));
                    match register {
                        Register::A => state.a = value,
                        Register::X => state.x = value,
                    }
                }
                Step::Store(register, slot) => {
                    let value = if register == Register::A { state.a } else { state.x };
                    if let Some(slot) = state.scratch.get_mut(slot) {
                        *slot = value;
                    }
                }
            }
            at += 1;
        }
        // A checked program ends in a return.
        Ok(Target::Answer(super::KILL_PROCESS))
    }

    fn node(
        &mut self,
        at: usize,
        question: Question,
        ways: (usize, usize),
        state: State,
    ) -> Result<Target, Why> {
        let state = self.live.keep(at, state);
        if let Some(&node) = self.known.get(&(at, state)) {
            return Ok(Target::Node(node));
        }
        let node = self.nodes.len();
        if node >= NODES_MAX {
            return Err(Why::TooMuch);
        }
        let nowhere = Target::Stop(Why::TooMuch);
        self.nodes.push(Node { at, question, yes: nowhere, no: nowhere });
        self.known.insert((at, state), node);
        self.open.push((node, ways, state));
        Ok(Target::Node(node))
    }

    fn data(&self, word: u32) -> Value {
        match word {
            0 => self.number.map_or(Value::Number(u32::MAX), Value::Known),
            1 => Value::Known(self.arch.audit()),
            2 | 3 => Value::Unknown(Why::InstructionPointer),
            _ => {
                let (pair, half) = (word.saturating_sub(4) / 2, word % 2);
                let upper = (half == 1) == self.arch.is_little_endian();
                if upper && !self.arch.is_64() {
                    return Value::Unknown(Why::UpperHalf);
                }
                let argument = u8::try_from(pair).unwrap_or(u8::MAX);
                let word = if upper { Word::upper(argument) } else { Word::lower(argument) };
                word.map_or(Value::Unknown(Why::Arithmetic), |word| Value::Word(word, u32::MAX))
            }
        }
    }
}

/// Arithmetic with at least one value that is not known.
fn compute(arithmetic: Arithmetic, a: Value, b: Value) -> Value {
    match (arithmetic, a, b) {
        (Arithmetic::And, Value::Known(mask), value) | (Arithmetic::And, value, Value::Known(mask)) => {
            match value {
                Value::Word(_, own) | Value::Number(own) if own & mask == 0 => Value::Known(0),
                Value::Word(word, own) => Value::Word(word, own & mask),
                Value::Number(own) => Value::Number(own & mask),
                other => other,
            }
        }
        (_, Value::Known(_), b) => Value::Unknown(spoilt(b)),
        (_, a, Value::Known(_)) => Value::Unknown(spoilt(a)),
        // That the number is in it matters most: see `Why::Number`.
        (_, _, b) if spoilt(b) == Why::Number => Value::Unknown(spoilt(b)),
        (_, a, _) => Value::Unknown(spoilt(a)),
    }
}

/// Why a value that was computed with is not known any more.
fn spoilt(value: Value) -> Why {
    match value {
        Value::Known(_) | Value::Word(..) => Why::Arithmetic,
        Value::Number(_) => Why::Number,
        Value::Unknown(why) => why,
    }
}

fn decide(condition: Condition, a: Value, b: Value) -> Decision {
    let flipped = |condition| match condition {
        // k > w is not w >= k; k >= w is not w > k.
        Condition::Greater => (Condition::AtLeast, false),
        Condition::AtLeast => (Condition::Greater, false),
        other => (other, true),
    };
    let (value, number, condition, sense) = match (a, b) {
        (Value::Known(a), Value::Known(b)) => return Decision::Known(condition.holds(a, b)),
        (value, Value::Known(number)) => (value, number, condition, true),
        (Value::Known(number), value) => {
            let (condition, sense) = flipped(condition);
            (value, number, condition, sense)
        }
        (Value::Number(_) | Value::Unknown(Why::Number), _)
        | (_, Value::Number(_) | Value::Unknown(Why::Number)) => {
            return Decision::Stop(Why::Number);
        }
        (Value::Unknown(why), _) | (_, Value::Unknown(why)) => return Decision::Stop(why),
        _ => return Decision::Stop(Why::TwoValues),
    };
    let mask = match value {
        Value::Word(_, mask) | Value::Number(mask) => mask,
        Value::Unknown(why) => return Decision::Stop(why),
        Value::Known(known) => return Decision::Known(condition.holds(known, number) == sense),
    };
    match (compare(condition, mask, number), value) {
        (Some(Ok((Comparison { check, mask, datum }, outcome))), Value::Word(word, _)) => {
            Decision::Ask(Question::Argument(Test { word, check, mask, datum }), outcome == sense)
        }
        (Some(Ok((comparison, outcome))), _) => Decision::Ask(Question::Number(comparison), outcome == sense),
        (Some(Err(known)), _) => Decision::Known(known == sense),
        (None, Value::Number(_)) => Decision::Stop(Why::Number),
        (None, _) => Decision::Stop(Why::MaskedOrder),
    }
}

/// `value & mask` against a number: the comparison with the outcome that makes the condition hold, or what is always so.
/// `None` for an order of bits with gaps between them.
fn compare(condition: Condition, mask: u32, number: u32) -> Option<Result<(Comparison, bool), bool>> {
    let whole = mask == u32::MAX;
    let equal = |mask: u32, datum| {
        let check = if mask == u32::MAX { Check::Eq } else { Check::MaskedEq };
        Comparison { check, mask, datum }
    };
    Some(match condition {
        Condition::Equal if number & !mask != 0 => Err(false),
        Condition::Equal => Ok((equal(mask, number), true)),
        Condition::Common if mask & number == 0 => Err(false),
        Condition::Common => Ok((equal(mask & number, 0), false)),
        Condition::Greater if number >= mask => Err(false),
        Condition::Greater if whole => Ok((Comparison { check: Check::Gt, mask, datum: number }, true)),
        Condition::Greater if number == 0 => Ok((equal(mask, 0), false)),
        // The upper bits of the word, without gaps: greater than the largest word with the same upper bits.
        Condition::Greater if mask.leading_ones() + mask.trailing_zeros() == 32 => {
            Ok((Comparison { check: Check::Gt, mask: u32::MAX, datum: number | !mask }, true))
        }
        Condition::Greater => return None,
        Condition::AtLeast if number == 0 => Err(true),
        Condition::AtLeast if whole => Ok((Comparison { check: Check::Ge, mask, datum: number }, true)),
        Condition::AtLeast => return compare(Condition::Greater, mask, number - 1),
    })
}

/// What each instruction, or one after it, may still read: a bit for each word of scratch memory, then A and X.
#[derive(Debug)]
pub(super) struct Live(Vec<u32>);

const A: u32 = 1 << 16;
const X: u32 = 1 << 17;

impl Live {
    pub(super) fn of(program: &Program) -> Self {
        let bit = |register| if register == Register::A { A } else { X };
        let read = |operand| if operand == Operand::X { A | X } else { A };
        let mut live = vec![0; program.steps.len()];
        for (at, step) in program.steps.iter().enumerate().rev() {
            let after = |to: usize| live.get(to).copied().unwrap_or_default();
            let next = after(at + 1);
            let now = match *step {
                Step::Data(_) => next & !A,
                Step::Set(register, _) => next & !bit(register),
                Step::Load(register, slot) => next & !bit(register) | 1 << slot,
                Step::Store(register, slot) => next & !(1 << slot) | bit(register),
                Step::Copy(Register::A) => next & !A | X,
                Step::Copy(Register::X) => next & !X | A,
                Step::Compute(_, operand) => next | read(operand),
                Step::Negate => next | A,
                Step::Jump(to) => after(to),
                Step::Branch { operand, yes, no, .. } => after(yes) | after(no) | read(operand),
                Step::Return(Some(_)) => 0,
                Step::Return(None) => A,
            };
            if let Some(slot) = live.get_mut(at) {
                *slot = now;
            }
        }
        Self(live)
    }

    fn keep(&self, at: usize, mut state: State) -> State {
        let live = self.0.get(at).copied().unwrap_or(u32::MAX);
        let values = state.scratch.iter_mut().chain([&mut state.a, &mut state.x]);
        for (bit, value) in values.enumerate() {
            if live & 1 << bit == 0 {
                *value = Value::Known(0);
            }
        }
        state
    }
}
