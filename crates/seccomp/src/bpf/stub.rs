//! The stub that runc puts in front of a filter: ENOSYS for numbers that are newer than the policy (`spec/seccomp.md` 1.9).

use super::instruction::{Operand, Operation};
use super::program::Program;
use super::{ALLOW, ERRNO, Instruction, Stack};
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
    /// The highest number of an ABI that gets past it; `None` where every number does.
    #[must_use]
    pub fn border(&self, arch: Arch) -> Option<u32> {
        let table = Stack::new(vec![self.program.clone()]).read(arch);
        let last = table.ranges().last()?;
        let list = last.list.as_ref().ok()?;
        let refuses = list.iter().all(|path| path.effect == Effect::Errno(38));
        refuses.then(|| last.numbers.start().saturating_sub(1))
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
