//! The stub that runc puts in front of a filter: ENOSYS for numbers that are newer than the policy (`spec/seccomp.md` 1.9).

use super::instruction::{Operand, Operation};
use super::program::{Program, Refused};
use super::{ALLOW, ERRNO, Instruction, Stack};
use crate::decision::List;
use crate::term::{Arch, Effect};

/// `ERRNO(38)`, ENOSYS.
const NO_SYSCALL: u32 = ERRNO | 38;

/// runc's stub, taken apart from the filter behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stub {
    /// How many instructions it has.
    pub instructions: usize,
    program: Program,
}

impl Stub {
    /// A filter with a stub in front that lets numbers of these ABIs pass up to their borders, and every number of the others.
    /// runc lays it out in another way, which answers alike.
    ///
    /// # Errors
    /// Both together are too long for the kernel.
    pub fn before(filter: &Program, borders: &[(Arch, u32)]) -> Result<Program, Refused> {
        let on = |arch: Arch| borders.iter().find(|(known, _)| *known == arch).map(|(_, border)| *border);
        let others = borders.iter().filter(|(arch, _)| !matches!(arch, Arch::X86_64 | Arch::X32));
        let mut sections: Vec<(u32, Vec<Instruction>)> =
            others.map(|(arch, border)| (arch.audit(), vec![above(*border, 0, 1)])).collect();
        let x32 = |yes, no| Instruction { code: 0x45, jt: yes, jf: no, k: 1 << 30 };
        match (on(Arch::X86_64), on(Arch::X32)) {
            (Some(border), Some(x32_border)) => sections
                .push((Arch::X86_64.audit(), vec![x32(1, 0), above(border, 1, 2), above(x32_border, 0, 1)])),
            (Some(border), None) => {
                sections.push((Arch::X86_64.audit(), vec![x32(2, 0), above(border, 0, 1)]));
            }
            (None, Some(border)) => {
                sections.push((Arch::X86_64.audit(), vec![x32(0, 2), above(border, 0, 1)]));
            }
            (None, None) => {}
        }
        if sections.is_empty() {
            return Ok(filter.clone());
        }
        let plain = |code, k| Instruction { code, jt: 0, jf: 0, k };
        let mut behind: usize = sections.iter().map(|(_, tests)| tests.len() + 4).sum();
        let mut instructions = vec![plain(0x20, 4)];
        for (audit, tests) in sections {
            let len = tests.len() + 4;
            behind -= len;
            let skipped = u8::try_from(len - 1).map_err(|_| Refused::TooLong)?;
            instructions.push(Instruction { code: 0x15, jt: 0, jf: skipped, k: audit });
            instructions.push(plain(0x20, 0));
            instructions.extend(tests);
            instructions.push(plain(0x06, NO_SYSCALL));
            instructions.push(plain(0x05, u32::try_from(behind).map_err(|_| Refused::TooLong)?));
        }
        instructions.extend_from_slice(filter.instructions());
        Program::new(instructions)
    }

    /// The highest number of an ABI that gets past it; `None` where every number does.
    #[must_use]
    pub fn border(&self, arch: Arch) -> Option<u32> {
        let table = Stack::new(vec![self.program.clone()]).read(arch);
        let refuses = |list: &List| list.iter().all(|path| path.effect == Effect::Errno(38));
        let above =
            table.ranges().iter().rev().take_while(|range| range.list.as_ref().is_ok_and(refuses)).last()?;
        above.numbers.start().checked_sub(1)
    }
}

impl Program {
    /// Takes a filter as runc installs it apart: its stub, and the filter that libseccomp made. `None` where there is no stub.
    ///
    /// A stub asks for ABI and number only, returns nothing but ENOSYS, and goes on at one place, which is where the filter
    /// begins by loading the ABI.
    #[must_use]
    pub fn split_stub(&self) -> Option<(Stub, Self)> {
        let instructions = self.instructions();
        let load_arch =
            |at: &usize| instructions.get(*at).and_then(|it| it.operation()) == Some(Operation::Data(4));
        // The stub begins with such a load, too.
        let behind = (1..instructions.len()).filter(load_arch).find(|&at| is_stub(instructions, at))?;
        let (stub, filter) = instructions.split_at_checked(behind)?;
        let end = Instruction { code: 0x06, jt: 0, jf: 0, k: ALLOW };
        let program = Self::new(stub.iter().copied().chain([end]).collect()).ok()?;
        Some((Stub { instructions: behind, program }, Self::new(filter.to_vec()).ok()?))
    }
}

fn above(border: u32, yes: u8, no: u8) -> Instruction {
    Instruction { code: 0x25, jt: yes, jf: no, k: border }
}

/// Whether the instructions before this place are a stub.
fn is_stub(instructions: &[Instruction], behind: usize) -> bool {
    let mut returns = false;
    let is_part = |at: usize, it: &Instruction, returns: &mut bool| {
        let inside = |skipped: u32| usize::try_from(skipped).is_ok_and(|skipped| at + 1 + skipped <= behind);
        match it.operation() {
            Some(Operation::Data(0 | 4)) => true,
            Some(Operation::Jump(skipped)) => inside(skipped),
            Some(Operation::Branch(_, Operand::Number(_))) => inside(it.jt.into()) && inside(it.jf.into()),
            Some(Operation::Return(Some(NO_SYSCALL))) => {
                *returns = true;
                true
            }
            _ => false,
        }
    };
    instructions.iter().take(behind).enumerate().all(|(at, it)| is_part(at, it, &mut returns)) && returns
}
