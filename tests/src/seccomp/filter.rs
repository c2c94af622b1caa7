//! What stands in a container: a program, nothing, or runc's stub before a program.

use std::collections::BTreeMap;

use super::bpf::{AND, Call, EQ, GE, GT, JUMP, LOAD, Program, RETURN, SET};
use super::order::{ALLOW, ENOSYS};

/// What answers calls.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The program; none: everything is allowed.
    pub program: Option<Program>,
    /// runc's stub: by `AUDIT_ARCH_…` and whether the x32 bit is set, the highest number that is not answered by it.
    pub stub: BTreeMap<(u32, bool), u32>,
}

/// A decision graph over the halves of the arguments, for one syscall.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Every node after those that it refers to.
    pub nodes: Vec<Node>,
    seen: BTreeMap<(usize, Option<Word>, u32), usize>,
}

/// A half of an argument, masked.
pub type Word = (usize, bool, u32);

/// A node of a [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// The filter returns this.
    Answer(u32),
    /// A test of a word: the comparison's code and operand, and where to go if it holds and if not.
    Test(Word, u16, u32, usize, usize),
}

impl Filter {
    /// What the filter returns.
    #[must_use]
    pub fn answer(&self, call: &Call) -> u32 {
        match self.stubbed(call.arch, call.nr) {
            Some(answer) => answer,
            None => self.program.as_ref().map_or(ALLOW, |program| program.run(call)),
        }
    }

    fn stubbed(&self, arch: u32, nr: u32) -> Option<u32> {
        let x32 = nr & super::policies::X32_BIT != 0 && arch == super::policies::X86_64_TOKEN;
        self.stub.get(&(arch, x32)).filter(|border| nr > **border).map(|_| ENOSYS)
    }

    /// What the filter returns for any arguments; the root is the last node.
    ///
    /// # Panics
    /// Where the kernel would not have loaded the program.
    #[must_use]
    pub fn graph(&self, arch: u32, nr: u32) -> Graph {
        let mut graph = Graph::default();
        match (self.stubbed(arch, nr), &self.program) {
            (Some(answer), _) => graph.nodes.push(Node::Answer(answer)),
            (None, None) => graph.nodes.push(Node::Answer(ALLOW)),
            (None, Some(program)) => {
                let root = graph.walk(program, (arch, nr), 0, None, 0);
                graph.nodes.push(graph.nodes[root]);
            }
        }
        graph
    }
}

impl Graph {
    /// The answers that it can give.
    #[must_use]
    pub fn answers(&self) -> Vec<u32> {
        let mut answers: Vec<u32> = self
            .nodes
            .iter()
            .filter_map(|node| if let Node::Answer(answer) = node { Some(*answer) } else { None })
            .collect();
        answers.sort_unstable();
        answers.dedup();
        answers
    }

    /// The node for the rest of a program from an instruction on, with a word or else a number in the accumulator.
    fn walk(
        &mut self,
        program: &Program,
        call: (u32, u32),
        from: usize,
        word: Option<Word>,
        number: u32,
    ) -> usize {
        let (mut at, mut word, mut number) = (from, word, number);
        while program.code[at].code == JUMP {
            at += 1 + program.code[at].k as usize;
        }
        if [LOAD, RETURN].contains(&program.code[at].code) {
            // What is in the accumulator does not matter: one node for all ways that lead here.
            (word, number) = (None, 0);
        }
        let key = (at, word, number);
        if let Some(node) = self.seen.get(&key) {
            return *node;
        }
        let node = loop {
            let instruction = program.code[at];
            at += 1;
            let k = instruction.k;
            let holds = match instruction.code {
                LOAD => {
                    word = program.argument(k).map(|(argument, upper)| (argument, upper, u32::MAX));
                    number = match k {
                        0 => call.1,
                        4 => call.0,
                        _ => 0,
                    };
                    continue;
                }
                AND => {
                    word = word.map(|(argument, upper, mask)| (argument, upper, mask & k));
                    number &= k;
                    continue;
                }
                JUMP => {
                    at += k as usize;
                    continue;
                }
                RETURN => break Node::Answer(k),
                EQ => number == k,
                GT => number > k,
                GE => number >= k,
                SET => number & k != 0,
                other => panic!("instruction {other:#x}"),
            };
            let (yes, no) = (at + usize::from(instruction.yes), at + usize::from(instruction.no));
            match word {
                Some(tested) => {
                    let yes = self.walk(program, call, yes, word, number);
                    let no = self.walk(program, call, no, word, number);
                    break Node::Test(tested, instruction.code, k, yes, no);
                }
                None => at = if holds { yes } else { no },
            }
        };
        self.nodes.push(node);
        self.seen.insert(key, self.nodes.len() - 1);
        self.nodes.len() - 1
    }
}
