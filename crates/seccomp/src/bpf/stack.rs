//! The filters of a process, and what they say together about every number of an ABI.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::graph::{Budget, Comparison, Graph, Live, Question, Target, Why};
use super::list::{self, Answer};
use super::program::Program;
use super::{ALLOW, ByteOrder, Data, effect, stricter};
use crate::decision::{ARGUMENTS, Check, List, Path};
use crate::term::{Arch, Effect};

/// Most steps of reading a stack for one ABI; ordinary filters take some hundred thousand.
const STEPS_MAX: usize = 20_000_000;

/// Most numbers at which the answers of a filter may change, and most paths of filters taken together.
const BORDERS_MAX: usize = 20_000;
const PATHS_MAX: usize = 4096;

/// Filters in the order in which the kernel asks them: the one installed last comes first. None: unconfined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    programs: Vec<Program>,
}

/// What the filters say about all numbers of one ABI, but -1, which is no call (`spec/seccomp.md` 1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    ranges: Vec<Range>,
}

/// Numbers that are treated alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The numbers.
    pub numbers: RangeInclusive<u32>,
    /// What happens to them, or why that is not known.
    pub list: Result<List, Why>,
}

impl Stack {
    /// Filters, the one installed last first.
    #[must_use]
    pub fn new(programs: Vec<Program>) -> Self {
        Self { programs }
    }

    /// The filters, the one installed last first.
    #[must_use]
    pub fn programs(&self) -> &[Program] {
        &self.programs
    }

    /// The answer that the kernel acts upon.
    #[must_use]
    pub fn answer(&self, data: &Data, order: ByteOrder) -> u32 {
        let words = data.words(order);
        self.programs.iter().fold(ALLOW, |answer, program| stricter(answer, program.run(&words)))
    }

    /// What happens to a call.
    #[must_use]
    pub fn evaluate(&self, arch: Arch, number: u32, args: &[u64; ARGUMENTS]) -> Effect {
        let data = Data { nr: number, arch: arch.audit(), instruction_pointer: 0, args: *args };
        effect(self.answer(&data, ByteOrder::of(arch)))
    }

    /// Reads what the filters say about every number of an ABI.
    #[must_use]
    pub fn read(&self, arch: Arch) -> Table {
        let mut budget = Budget(STEPS_MAX);
        let lives: Vec<Live> = self.programs.iter().map(Live::of).collect();
        let all = numbers(arch);
        let borders = match self.borders(arch, &lives, &mut budget) {
            Ok(borders) => borders,
            Err(why) => return Table { ranges: vec![Range { numbers: all, list: Err(why) }] },
        };
        let mut ranges: Vec<Range> = Vec::new();
        let firsts = borders.range(all.clone()).copied();
        let ends = borders.range(all.clone()).skip(1).map(|next| next - 1).chain([*all.end()]);
        for (first, last) in firsts.zip(ends) {
            let list = self.list(arch, first, &lives, &mut budget);
            match ranges.last_mut() {
                Some(before) if before.list == list => {
                    before.numbers = *before.numbers.start()..=last;
                }
                _ => ranges.push(Range { numbers: first..=last, list }),
            }
        }
        Table { ranges }
    }

    fn list(&self, arch: Arch, number: u32, lives: &[Live], budget: &mut Budget) -> Result<List, Why> {
        let mut all: Vec<Answer> = vec![(Vec::new(), ALLOW)];
        for (program, live) in self.programs.iter().zip(lives) {
            let graph = Graph::read(program, live, arch, Some(number), budget)?;
            let own = list::flatten(&graph, budget)?;
            all = both(&all, &own, budget)?;
        }
        Ok(all.into_iter().map(|(tests, value)| Path { tests, effect: effect(value) }).collect())
    }

    /// Where ranges of numbers begin that every program treats alike.
    fn borders(&self, arch: Arch, lives: &[Live], budget: &mut Budget) -> Result<BTreeSet<u32>, Why> {
        let mut borders = BTreeSet::from([*numbers(arch).start()]);
        for (program, live) in self.programs.iter().zip(lives) {
            let graph = Graph::read(program, live, arch, None, budget)?;
            let ends = graph.nodes.iter().flat_map(|node| [node.yes, node.no]).chain([graph.start]);
            // Then numbers between two borders may be treated differently.
            if ends.into_iter().any(|end| end == Target::Stop(Why::Number)) {
                return Err(Why::Number);
            }
            for node in &graph.nodes {
                if let Question::Number(comparison) = node.question {
                    add_borders(comparison, &mut borders)?;
                }
            }
        }
        Ok(borders)
    }
}

impl Table {
    /// The ranges, ascending and without gaps.
    #[must_use]
    pub fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    /// The range of a number; `None` for -1 and for numbers of another ABI.
    #[must_use]
    pub fn find(&self, number: u32) -> Option<&Range> {
        let at = self.ranges.partition_point(|range| *range.numbers.end() < number);
        self.ranges.get(at).filter(|range| range.numbers.contains(&number))
    }
}

/// The numbers of an ABI. x86_64 and x32 are told apart by bit 30, and negative numbers are left out there: libseccomp takes
/// them for x32, runc's stub takes some for x86_64, and the kernel runs none of them.
pub(super) fn numbers(arch: Arch) -> RangeInclusive<u32> {
    const X32: u32 = 1 << 30;
    match arch {
        Arch::X86_64 => 0..=X32 - 1,
        Arch::X32 => X32..=2 * X32 - 1,
        _ => 0..=u32::MAX - 1,
    }
}

/// Where the outcome of a comparison may change as numbers grow.
fn add_borders(comparison: Comparison, borders: &mut BTreeSet<u32>) -> Result<(), Why> {
    let Comparison { check, mask, datum } = comparison;
    match check {
        Check::Gt => borders.extend(datum.checked_add(1)),
        Check::Ge => {
            borders.insert(datum);
        }
        Check::Eq | Check::MaskedEq => {
            // The numbers come in runs over the bits below the mask's lowest, one run for each setting of the free bits above.
            let low = mask.trailing_zeros();
            let run = 1_u32.checked_shl(low).map_or(u32::MAX, |run| run - 1);
            let free = !mask & !run;
            if free.count_ones() > 10 {
                return Err(Why::Number);
            }
            let mut bits = 0_u32;
            loop {
                borders.insert(datum | bits);
                borders.extend((datum | bits | run).checked_add(1));
                bits = bits.wrapping_sub(free) & free;
                if bits == 0 {
                    break;
                }
            }
        }
    }
    if borders.len() > BORDERS_MAX { Err(Why::TooMuch) } else { Ok(()) }
}

/// Two lists as one: the answer of both, in the order in which their paths are tried.
fn both(first: &[Answer], then: &[Answer], budget: &mut Budget) -> Result<Vec<Answer>, Why> {
    if first.len().saturating_mul(then.len()) > PATHS_MAX {
        return Err(Why::TooMuch);
    }
    let mut all = Vec::new();
    for (tests, value) in first {
        for (more, other) in then {
            budget.spend(1 + tests.len() + more.len())?;
            let tests =
                tests.iter().chain(more.iter().filter(|test| !tests.contains(test))).copied().collect();
            all.push((tests, stricter(*value, *other)));
        }
    }
    Ok(all)
}
