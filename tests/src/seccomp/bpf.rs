//! Classic BPF as the kernel runs it for seccomp, as far as runtimes emit it.

use std::fmt;

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What it does.
    pub code: u16,
    /// How many to skip where a test holds.
    pub yes: u8,
    /// How many to skip where it does not.
    pub no: u8,
    /// Its operand.
    pub k: u32,
}

/// `BPF_LD | BPF_W | BPF_ABS`
pub const LOAD: u16 = 0x20;
/// `BPF_ALU | BPF_AND | BPF_K`
pub const AND: u16 = 0x54;
/// `BPF_JMP | BPF_JA`
pub const JUMP: u16 = 0x05;
/// `BPF_JMP | BPF_JEQ | BPF_K`
pub const EQ: u16 = 0x15;
/// `BPF_JMP | BPF_JGT | BPF_K`
pub const GT: u16 = 0x25;
/// `BPF_JMP | BPF_JGE | BPF_K`
pub const GE: u16 = 0x35;
/// `BPF_JMP | BPF_JSET | BPF_K`
pub const SET: u16 = 0x45;
/// `BPF_RET | BPF_K`
pub const RETURN: u16 = 0x06;

/// Upper halves of what filters return, but that of `SECCOMP_RET_KILL_THREAD`, which is 0 as a whole.
const ACTIONS: [u32; 7] = [0x8000, 0x0003, 0x0005, 0x7fc0, 0x7ff0, 0x7ffc, 0x7fff];

/// A filter, and the byte order of the machine that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its instructions.
    pub code: Vec<Instruction>,
    /// Whether upper halves of arguments come first.
    pub big_endian: bool,
}

/// A call as a filter sees it (`struct seccomp_data`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// `AUDIT_ARCH_…`
    pub arch: u32,
    /// The number; with bit 30 for x32.
    pub nr: u32,
    /// The arguments.
    pub args: [u64; 6],
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arch {:#x} nr {:#x} args {:#x?}", self.arch, self.nr, self.args)
    }
}

impl Program {
    /// From the bytes of `struct sock_filter`s.
    #[must_use]
    pub fn read(bytes: &[u8], big_endian: bool) -> Self {
        let k_of = if big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
        let code_of = if big_endian { u16::from_be_bytes } else { u16::from_le_bytes };
        let code = bytes.chunks_exact(8).map(|b| {
            let (code, k) = (code_of([b[0], b[1]]), k_of([b[4], b[5], b[6], b[7]]));
            // Where libseccomp builds for a machine of the other byte order, it forgets to turn some answers round.
            let is_turned = big_endian && code == RETURN && k != 0 && !ACTIONS.contains(&(k >> 16));
            Instruction { code, yes: b[2], no: b[3], k: if is_turned { k.swap_bytes() } else { k } }
        });
        Self { code: code.collect(), big_endian }
    }

    /// The word at an offset of `struct seccomp_data`, as `(argument, upper half)`, for those that are arguments.
    #[must_use]
    pub fn argument(&self, offset: u32) -> Option<(usize, bool)> {
        let at = usize::try_from(offset.checked_sub(16)?).ok()?;
        (at < 48 && at % 4 == 0).then_some((at / 8, (at % 8 == 4) != self.big_endian))
    }

    fn load(&self, offset: u32, call: &Call) -> Option<u32> {
        match offset {
            0 => Some(call.nr),
            4 => Some(call.arch),
            _ => {
                let (argument, upper) = self.argument(offset)?;
                Some(half(call.args[argument], upper))
            }
        }
    }

    /// What the filter returns.
    ///
    /// # Panics
    /// Where the kernel would not have loaded it.
    #[must_use]
    pub fn run(&self, call: &Call) -> u32 {
        let (mut at, mut a) = (0, 0);
        loop {
            let Instruction { code, yes, no, k } = self.code[at];
            at += 1;
            let holds = match code {
                LOAD => {
                    a = self.load(k, call).unwrap_or_else(|| panic!("load of offset {k}"));
                    continue;
                }
                AND => {
                    a &= k;
                    continue;
                }
                JUMP => {
                    at += k as usize;
                    continue;
                }
                RETURN => return k,
                EQ => a == k,
                GT => a > k,
                GE => a >= k,
                SET => a & k != 0,
                _ => panic!("instruction {code:#x}"),
            };
            at += usize::from(if holds { yes } else { no });
        }
    }
}

/// A half of an argument.
#[must_use]
pub fn half(argument: u64, upper: bool) -> u32 {
    let [a, b, c, d, e, f, g, h] = argument.to_le_bytes();
    u32::from_le_bytes(if upper { [e, f, g, h] } else { [a, b, c, d] })
}
