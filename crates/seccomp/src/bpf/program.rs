//! A program that the kernel would take as a seccomp filter, and what it answers.

use std::fmt;

use super::instruction::{
    Arithmetic, Condition, DATA_BYTES, Instruction, Operand, Operation, Register, SCRATCH_WORDS,
};
use super::{ByteOrder, Data};

/// Most instructions of one program (`BPF_MAXINSNS`).
pub const INSTRUCTIONS_MAX: usize = 4096;

/// Why the kernel would not take a program (EINVAL), or why it cannot be read at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It has no instructions.
    Empty,
    /// It has more than [`INSTRUCTIONS_MAX`] instructions.
    TooLong,
    /// Its bytes are not a multiple of eight.
    Torn,
    /// The text is not hexadecimal.
    NotHex,
    /// No instruction that seccomp knows.
    Unknown(usize),
    /// A jump past the end.
    Jump(usize),
    /// It does not end with a return.
    NoReturn,
    /// A load that is not one of the sixteen words of the data.
    Load(usize),
    /// Scratch memory that does not exist, or is read before every way there has written it.
    Scratch(usize),
    /// A constant division by zero, or a shift by 32 or more.
    Operand(usize),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the program has no instructions"),
            Self::TooLong => write!(f, "the program has more than {INSTRUCTIONS_MAX} instructions"),
            Self::Torn => f.write_str("the length is not a multiple of 8 bytes"),
            Self::NotHex => f.write_str("the text is not hexadecimal"),
            Self::Unknown(at) => write!(f, "instruction {at} is none that seccomp takes"),
            Self::Jump(at) => write!(f, "instruction {at} jumps past the end"),
            Self::NoReturn => f.write_str("the last instruction is not a return"),
            Self::Load(at) => write!(f, "instruction {at} loads what is not a word of the call's data"),
            Self::Scratch(at) => {
                write!(f, "instruction {at} uses scratch memory that does not exist or was not written")
            }
            Self::Operand(at) => write!(f, "instruction {at} divides by zero or shifts by 32 or more"),
        }
    }
}

impl std::error::Error for Refused {}

/// An operation with its jumps resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Data(u32),
    Set(Register, u32),
    Load(Register, usize),
    Store(Register, usize),
    Copy(Register),
    Compute(Arithmetic, Operand),
    Negate,
    Jump(usize),
    Branch { condition: Condition, operand: Operand, yes: usize, no: usize },
    Return(Option<u32>),
}

/// A program that passed the kernel's checks.
///
/// ```
/// use nri_seccomp::bpf::{ByteOrder, Data, Program};
/// let errno_1 = Program::from_hex("06000000 01000500", ByteOrder::Little)?;
/// assert_eq!(errno_1.run(&Data::default().words(ByteOrder::Little)), 0x0005_0001);
/// # Ok::<(), nri_seccomp::bpf::Refused>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<Instruction>,
    pub(super) steps: Vec<Step>,
}

impl Program {
    /// Checks a program as the kernel does before it installs one.
    ///
    /// # Errors
    /// Where the kernel says EINVAL.
    pub fn new(instructions: Vec<Instruction>) -> Result<Self, Refused> {
        let steps = check(&instructions)?;
        Ok(Self { instructions, steps })
    }

    /// Reads an array of `struct sock_filter`.
    ///
    /// # Errors
    /// As [`Program::new`], and for a torn instruction.
    pub fn from_bytes(bytes: &[u8], order: ByteOrder) -> Result<Self, Refused> {
        if bytes.len() > INSTRUCTIONS_MAX * 8 {
            return Err(Refused::TooLong);
        }
        let (whole, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(Refused::Torn);
        }
        Self::new(whole.iter().map(|chunk| Instruction::from_bytes(*chunk, order)).collect())
    }

    /// Reads such an array in hexadecimal; white space does not matter.
    ///
    /// # Errors
    /// As [`Program::from_bytes`], and for other characters.
    pub fn from_hex(text: &str, order: ByteOrder) -> Result<Self, Refused> {
        let mut bytes = Vec::new();
        let mut digits = text.chars().filter(|c| !c.is_ascii_whitespace()).map(|c| c.to_digit(16));
        while let Some(high) = digits.next() {
            let (Some(high), Some(Some(low))) = (high, digits.next()) else { return Err(Refused::NotHex) };
            bytes.push(u8::try_from(high << 4 | low).map_err(|_| Refused::NotHex)?);
            if bytes.len() > INSTRUCTIONS_MAX * 8 {
                return Err(Refused::TooLong);
            }
        }
        Self::from_bytes(&bytes, order)
    }

    /// The instructions as they were given.
    #[must_use]
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// The array of `struct sock_filter`.
    #[must_use]
    pub fn to_bytes(&self, order: ByteOrder) -> Vec<u8> {
        self.instructions.iter().flat_map(|instruction| instruction.to_bytes(order)).collect()
    }

    /// What the program returns for a call: action and number in one word. Never more steps than instructions,
    /// because jumps go forward only.
    #[must_use]
    pub fn run(&self, data: &[u32; 16]) -> u32 {
        let mut at = 0;
        let (mut a, mut x, mut scratch) = (0, 0, [0_u32; SCRATCH_WORDS as usize]);
        while let Some(step) = self.steps.get(at) {
            at += 1;
            let mut set = |register, value| match register {
                Register::A => a = value,
                Register::X => x = value,
            };
            match *step {
                Step::Data(word) => a = data.get(word as usize).copied().unwrap_or_default(),
                Step::Set(register, number) => set(register, number),
                Step::Load(register, slot) => set(register, scratch.get(slot).copied().unwrap_or_default()),
                Step::Store(register, slot) => {
                    let value = if register == Register::A { a } else { x };
                    if let Some(slot) = scratch.get_mut(slot) {
                        *slot = value;
                    }
                }
                Step::Copy(Register::A) => a = x,
                Step::Copy(Register::X) => x = a,
                Step::Compute(arithmetic, operand) => match arithmetic.apply(a, value(operand, x)) {
                    Some(result) => a = result,
                    None => return 0,
                },
                Step::Negate => a = a.wrapping_neg(),
                Step::Jump(to) => at = to,
                Step::Branch { condition, operand, yes, no } => {
                    at = if condition.holds(a, value(operand, x)) { yes } else { no };
                }
                Step::Return(Some(number)) => return number,
                Step::Return(None) => return a,
            }
        }
        // A checked program ends in a return; what is not known must not be taken for permission.
        super::KILL_PROCESS
    }

    /// The answer to a call on a machine of this byte order.
    #[must_use]
    pub fn answer(&self, data: &Data, order: ByteOrder) -> u32 {
        self.run(&data.words(order))
    }
}

/// One instruction a line, numbered, with where jumps lead, what the words of the data are and what the answers mean.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, instruction) in self.instructions.iter().enumerate() {
            let text = instruction.to_string();
            match instruction.operation() {
                Some(Operation::Data(0)) => writeln!(f, "{at:4}: {text:32}; number")?,
                Some(Operation::Data(4)) => writeln!(f, "{at:4}: {text:32}; architecture")?,
                Some(Operation::Data(8 | 12)) => writeln!(f, "{at:4}: {text:32}; instruction pointer")?,
                Some(Operation::Data(offset)) => {
                    writeln!(
                        f,
                        "{at:4}: {text:32}; args[{}] + {}",
                        offset.saturating_sub(16) / 8,
                        offset % 8
                    )?;
                }
                Some(Operation::Return(Some(value))) => {
                    writeln!(f, "{at:4}: {text:32}; {}", super::effect(value))?;
                }
                Some(Operation::Jump(skipped)) => {
                    writeln!(
                        f,
                        "{at:4}: jmp {}",
                        (at + 1).saturating_add(usize::try_from(skipped).unwrap_or(usize::MAX))
                    )?;
                }
                Some(Operation::Branch(condition, operand)) => {
                    let to = |skipped: u8| at + 1 + usize::from(skipped);
                    let (yes, no) = (to(instruction.jt), to(instruction.jf));
                    writeln!(f, "{at:4}: {condition} {operand}, {yes}, {no}")?;
                }
                _ => writeln!(f, "{at:4}: {text}")?,
            }
        }
        Ok(())
    }
}

fn value(operand: Operand, x: u32) -> u32 {
    match operand {
        Operand::Number(number) => number,
        Operand::X => x,
    }
}

/// `bpf_check_classic`, then `seccomp_check_filter`.
fn check(instructions: &[Instruction]) -> Result<Vec<Step>, Refused> {
    let len = instructions.len();
    if len == 0 {
        return Err(Refused::Empty);
    }
    if len > INSTRUCTIONS_MAX {
        return Err(Refused::TooLong);
    }
    let mut steps = Vec::with_capacity(len);
    for (at, instruction) in instructions.iter().enumerate() {
        let to = |skipped: u32| {
            let to =
                usize::try_from(skipped).ok().and_then(|skipped| at.checked_add(skipped)?.checked_add(1));
            to.filter(|to| *to < len).ok_or(Refused::Jump(at))
        };
        let slot = |slot: u32| {
            let slot = (slot < SCRATCH_WORDS).then_some(slot).and_then(|slot| usize::try_from(slot).ok());
            slot.ok_or(Refused::Scratch(at))
        };
        steps.push(match instruction.operation().ok_or(Refused::Unknown(at))? {
            Operation::Data(offset) if offset >= DATA_BYTES || offset % 4 != 0 => {
                return Err(Refused::Load(at));
            }
            Operation::Data(offset) => Step::Data(offset / 4),
            Operation::Set(register, number) => Step::Set(register, number),
            Operation::Load(register, at) => Step::Load(register, slot(at)?),
            Operation::Store(register, at) => Step::Store(register, slot(at)?),
            Operation::Copy(register) => Step::Copy(register),
            Operation::Compute(Arithmetic::Div, Operand::Number(0)) => return Err(Refused::Operand(at)),
            Operation::Compute(Arithmetic::Lsh | Arithmetic::Rsh, Operand::Number(32..)) => {
                return Err(Refused::Operand(at));
            }
            Operation::Compute(arithmetic, operand) => Step::Compute(arithmetic, operand),
            Operation::Negate => Step::Negate,
            Operation::Jump(skipped) => Step::Jump(to(skipped)?),
            Operation::Branch(condition, operand) => Step::Branch {
                condition,
                operand,
                yes: to(instruction.jt.into())?,
                no: to(instruction.jf.into())?,
            },
            Operation::Return(value) => Step::Return(value),
        });
    }
    if !matches!(steps.last(), Some(Step::Return(_))) {
        return Err(Refused::NoReturn);
    }
    check_scratch(&steps)?;
    Ok(steps)
}

/// `check_load_and_stores`: what is read from scratch memory was written on every way there. As in the kernel, a return
/// passes on to the next instruction what it had, which only matters to what no jump reaches.
fn check_scratch(steps: &[Step]) -> Result<(), Refused> {
    let mut arriving = vec![u16::MAX; steps.len()];
    let mut written = 0_u16;
    for (at, step) in steps.iter().enumerate() {
        written &= arriving.get(at).copied().unwrap_or_default();
        let mut arrive = |to: usize| {
            if let Some(mask) = arriving.get_mut(to) {
                *mask &= written;
            }
        };
        match *step {
            Step::Store(_, slot) => written |= 1 << slot,
            Step::Load(_, slot) if written & 1 << slot == 0 => return Err(Refused::Scratch(at)),
            Step::Jump(to) => {
                arrive(to);
                written = u16::MAX;
            }
            Step::Branch { yes, no, .. } => {
                arrive(yes);
                arrive(no);
                written = u16::MAX;
            }
            _ => {}
        }
    }
    Ok(())
}
