//! One instruction of classic BPF: the words of `struct sock_filter`, and what they mean.

use std::fmt;

/// Bytes of `struct seccomp_data`: what a program may load from, in steps of four.
pub(super) const DATA_BYTES: u32 = 64;

/// Words of scratch memory.
pub(super) const SCRATCH_WORDS: u32 = 16;

/// `struct sock_filter`, as the kernel takes it.
///
/// ```
/// use nri_seccomp::bpf::Instruction;
/// let load_number = Instruction { code: 0x20, jt: 0, jf: 0, k: 0 };
/// assert_eq!(load_number.to_string(), "ld [0]");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instruction {
    /// Class, operation, and where the operand comes from.
    pub code: u16,
    /// How many instructions a condition that holds skips.
    pub jt: u8,
    /// How many one that does not hold skips.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

/// The two registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Register {
    A,
    X,
}

/// What A is computed or compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    Number(u32),
    X,
}

/// Arithmetic of A with an operand, on 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
    Or,
    And,
    Lsh,
    Rsh,
    Xor,
}

impl Arithmetic {
    /// As the kernel computes: wrapping, shifts by the operand's low five bits; `None` for a division by zero,
    /// which ends the program with 0.
    pub(super) fn apply(self, a: u32, b: u32) -> Option<u32> {
        Some(match self {
            Self::Add => a.wrapping_add(b),
            Self::Sub => a.wrapping_sub(b),
            Self::Mul => a.wrapping_mul(b),
            Self::Div => return a.checked_div(b),
            Self::Or => a | b,
            Self::And => a & b,
            Self::Lsh => a.wrapping_shl(b),
            Self::Rsh => a.wrapping_shr(b),
            Self::Xor => a ^ b,
        })
    }
}

/// The conditions of a jump, unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// A equals the operand.
    Equal,
    /// A is greater.
    Greater,
    /// A is greater or equal.
    AtLeast,
    /// A and the operand have a bit in common.
    Common,
}

impl Condition {
    pub(super) fn holds(self, a: u32, b: u32) -> bool {
        match self {
            Self::Equal => a == b,
            Self::Greater => a > b,
            Self::AtLeast => a >= b,
            Self::Common => a & b != 0,
        }
    }
}

/// What an instruction does; jumps still relative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// A becomes the word at this offset of the data.
    Data(u32),
    /// A register becomes a number.
    Set(Register, u32),
    /// A register is read from scratch memory.
    Load(Register, u32),
    /// A register is written there.
    Store(Register, u32),
    /// A register becomes the other one.
    Copy(Register),
    Compute(Arithmetic, Operand),
    Negate,
    Jump(u32),
    Branch(Condition, Operand),
    /// The program's answer: a number, or A.
    Return(Option<u32>),
}

impl Instruction {
    /// What the instruction does, if seccomp takes it: `bpf_check_classic` and `seccomp_check_filter` of the kernel,
    /// as far as they look at one instruction's code. MOD, loads of other sizes and indexed loads are for sockets only.
    pub(super) fn operation(self) -> Option<Operation> {
        use {Arithmetic as Do, Condition as Is, Operation as Op, Register as To};
        let k = self.k;
        let from = if self.code & 0x08 == 0 { Operand::Number(k) } else { Operand::X };
        Some(match self.code {
            0x20 => Op::Data(k),
            0x80 => Op::Set(To::A, DATA_BYTES),
            0x81 => Op::Set(To::X, DATA_BYTES),
            0x00 => Op::Set(To::A, k),
            0x01 => Op::Set(To::X, k),
            0x60 => Op::Load(To::A, k),
            0x61 => Op::Load(To::X, k),
            0x02 => Op::Store(To::A, k),
            0x03 => Op::Store(To::X, k),
            0x04 | 0x0c => Op::Compute(Do::Add, from),
            0x14 | 0x1c => Op::Compute(Do::Sub, from),
            0x24 | 0x2c => Op::Compute(Do::Mul, from),
            0x34 | 0x3c => Op::Compute(Do::Div, from),
            0x44 | 0x4c => Op::Compute(Do::Or, from),
            0x54 | 0x5c => Op::Compute(Do::And, from),
            0x64 | 0x6c => Op::Compute(Do::Lsh, from),
            0x74 | 0x7c => Op::Compute(Do::Rsh, from),
            0xa4 | 0xac => Op::Compute(Do::Xor, from),
            0x84 => Op::Negate,
            0x05 => Op::Jump(k),
            0x15 | 0x1d => Op::Branch(Is::Equal, from),
            0x25 | 0x2d => Op::Branch(Is::Greater, from),
            0x35 | 0x3d => Op::Branch(Is::AtLeast, from),
            0x45 | 0x4d => Op::Branch(Is::Common, from),
            0x06 => Op::Return(Some(k)),
            0x16 => Op::Return(None),
            0x07 => Op::Copy(To::X),
            0x87 => Op::Copy(To::A),
            _ => return None,
        })
    }

    /// The eight bytes of `struct sock_filter`.
    #[must_use]
    pub fn to_bytes(self, order: super::ByteOrder) -> [u8; 8] {
        let ([a, b], [c, d, e, f]) = match order {
            super::ByteOrder::Little => (self.code.to_le_bytes(), self.k.to_le_bytes()),
            super::ByteOrder::Big => (self.code.to_be_bytes(), self.k.to_be_bytes()),
        };
        [a, b, self.jt, self.jf, c, d, e, f]
    }

    /// Reads eight bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 8], order: super::ByteOrder) -> Self {
        let [a, b, jt, jf, c, d, e, f] = bytes;
        let (code, k) = match order {
            super::ByteOrder::Little => (u16::from_le_bytes([a, b]), u32::from_le_bytes([c, d, e, f])),
            super::ByteOrder::Big => (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f])),
        };
        Self { code, jt, jf, k }
    }
}

/// As the kernel's `bpf_asm` writes it, with relative jumps; what is no instruction of seccomp's as its words.
impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(operation) = self.operation() else {
            return write!(f, ".word {:#06x}, {}, {}, {:#x}", self.code, self.jt, self.jf, self.k);
        };
        match operation {
            Operation::Data(offset) => write!(f, "ld [{offset}]"),
            Operation::Set(register, number) => write!(f, "{} #{number:#x}", load(register)),
            Operation::Load(register, slot) => write!(f, "{} M[{slot}]", load(register)),
            Operation::Store(register, slot) => {
                let name = if register == Register::A { "st" } else { "stx" };
                write!(f, "{name} M[{slot}]")
            }
            Operation::Copy(Register::X) => f.write_str("tax"),
            Operation::Copy(Register::A) => f.write_str("txa"),
            Operation::Compute(arithmetic, operand) => {
                let name = match arithmetic {
                    Arithmetic::Add => "add",
                    Arithmetic::Sub => "sub",
                    Arithmetic::Mul => "mul",
                    Arithmetic::Div => "div",
                    Arithmetic::Or => "or",
                    Arithmetic::And => "and",
                    Arithmetic::Lsh => "lsh",
                    Arithmetic::Rsh => "rsh",
                    Arithmetic::Xor => "xor",
                };
                write!(f, "{name} {operand}")
            }
            Operation::Negate => f.write_str("neg"),
            Operation::Jump(skipped) => write!(f, "jmp +{skipped}"),
            Operation::Branch(condition, operand) => {
                write!(f, "{condition} {operand}, +{}, +{}", self.jt, self.jf)
            }
            Operation::Return(Some(value)) => write!(f, "ret #{value:#x}"),
            Operation::Return(None) => f.write_str("ret a"),
        }
    }
}

fn load(register: Register) -> &'static str {
    if register == Register::A { "ld" } else { "ldx" }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "jeq",
            Self::Greater => "jgt",
            Self::AtLeast => "jge",
            Self::Common => "jset",
        })
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "#{number:#x}"),
            Self::X => f.write_str("x"),
        }
    }
}
