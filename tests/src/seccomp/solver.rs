//! z3, asked whether there is a call whose answer was this and is that. It sees the programs that libseccomp emitted,
//! word for word, and knows nothing of rules, tries or lists.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::bpf::{Call, EQ, GE, GT, SET};
use super::filter::{Filter, Graph, Node, Word};

/// What the solver says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Such a call exists.
    Exists(Call),
    /// None does.
    None,
    /// It gave up.
    Unknown,
}

/// A running z3.
pub struct Solver {
    child: Child,
    input: Option<ChildStdin>,
    output: Option<BufReader<ChildStdout>>,
    /// How long it was waited for.
    pub spent: Duration,
    /// How often it was asked.
    pub asked: u32,
}

impl Solver {
    /// Starts one; says so and returns nothing where z3 is absent.
    #[must_use]
    pub fn start() -> Option<Self> {
        let mut command = Command::new("z3");
        let child = command.args(["-in", "-smt2"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let Ok(mut child) = child else {
            crate::skipped("z3 is absent; install the package z3");
            return None;
        };
        let (input, output) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        let mut solver = Self { child, input, output, spent: Duration::ZERO, asked: 0 };
        let mut text = "(set-option :timeout 20000)\n(set-logic QF_BV)\n".to_owned();
        for argument in 0..6 {
            for upper in [false, true] {
                writeln!(text, "(declare-const {} (_ BitVec 32))", name(argument, upper)).ok();
            }
        }
        solver.say(&text);
        Some(solver)
    }

    /// Whether some call at one of these points (`AUDIT_ARCH_…` and number) has `wanted(old, new)` of its answers.
    ///
    /// # Panics
    /// Where z3 does not understand a question, or its model is none.
    pub fn find(
        &mut self,
        old: &Filter,
        new: &Filter,
        points: &[(u32, u32)],
        wanted: impl Fn(u32, u32) -> bool,
    ) -> Verdict {
        let mut text = "(push)\n".to_owned();
        let mut open = String::new();
        for (at, &(arch, nr)) in points.iter().enumerate() {
            let (before, after) = (old.graph(arch, nr), new.graph(arch, nr));
            let pairs: Vec<(u32, Vec<u32>)> = before
                .answers()
                .into_iter()
                .map(|a| (a, after.answers().into_iter().filter(|b| wanted(a, *b)).collect()))
                .collect();
            if pairs.iter().all(|(_, after)| after.is_empty()) {
                continue;
            }
            let (from, to) = (define(&mut text, &before, at, 'o'), define(&mut text, &after, at, 'n'));
            for (a, bs) in pairs.iter().filter(|(_, bs)| !bs.is_empty()) {
                let after: String = bs.iter().map(|b| format!(" (= {to} #x{b:08x})")).collect();
                write!(open, " (and (= {from} #x{a:08x}) (or{after}))").ok();
            }
        }
        if open.is_empty() {
            return Verdict::None;
        }
        writeln!(text, "(assert (or{open}))\n(check-sat)").ok();
        let start = Instant::now();
        self.say(&text);
        let answer = self.hear();
        self.spent += start.elapsed();
        self.asked += 1;
        let verdict = match answer.as_str() {
            "unsat" => Verdict::None,
            "sat" => {
                let args = self.model();
                let calls = points.iter().map(|&(arch, nr)| Call { arch, nr, args });
                let found = calls.into_iter().find(|call| wanted(old.answer(call), new.answer(call)));
                Verdict::Exists(found.unwrap_or_else(|| panic!("the model {args:x?} is none")))
            }
            "unknown" | "timeout" => Verdict::Unknown,
            other => panic!("z3 says {other}\n{text}"),
        };
        self.say("(pop)\n");
        verdict
    }

    fn model(&mut self) -> [u64; 6] {
        let mut args = [0; 6];
        for (argument, value) in args.iter_mut().enumerate() {
            for upper in [true, false] {
                let name = name(argument, upper);
                self.say(&format!("(get-value ({name}))\n"));
                let answer = self.hear();
                let digits = answer.split("#x").nth(1).map(|rest| rest.trim_end_matches(')'));
                let half = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
                *value = *value << 32 | half.unwrap_or_else(|| panic!("z3 says {answer}"));
            }
        }
        args
    }

    fn say(&mut self, text: &str) {
        if let Some(input) = &mut self.input {
            input
                .write_all(text.as_bytes())
                .and_then(|()| input.flush())
                .unwrap_or_else(|error| panic!("z3 is gone: {error}"));
        }
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        if let Some(output) = &mut self.output {
            output.read_line(&mut line).unwrap_or_else(|error| panic!("z3 is gone: {error}"));
        }
        line.trim().to_owned()
    }
}

impl Drop for Solver {
    /// The end of its input ends it.
    fn drop(&mut self) {
        self.input = None;
        self.child.wait().ok();
    }
}

fn name(argument: usize, upper: bool) -> String {
    format!("a{argument}{}", if upper { 'h' } else { 'l' })
}

/// A definition for every node; the name of the root.
fn define(text: &mut String, graph: &Graph, point: usize, side: char) -> String {
    let id = |node: usize| format!("{side}{point}_{node}");
    for (at, node) in graph.nodes.iter().enumerate() {
        let body = match node {
            Node::Answer(answer) => format!("#x{answer:08x}"),
            Node::Test(word, code, k, yes, no) => {
                format!("(ite {} {} {})", condition(*word, *code, *k), id(*yes), id(*no))
            }
        };
        writeln!(text, "(define-fun {} () (_ BitVec 32) {body})", id(at)).ok();
    }
    id(graph.nodes.len().saturating_sub(1))
}

fn condition((argument, upper, mask): Word, code: u16, k: u32) -> String {
    let name = name(argument, upper);
    let word = if mask == u32::MAX { name } else { format!("(bvand {name} #x{mask:08x})") };
    match code {
        EQ => format!("(= {word} #x{k:08x})"),
        GT => format!("(bvugt {word} #x{k:08x})"),
        GE => format!("(bvuge {word} #x{k:08x})"),
        SET => format!("(not (= (bvand {word} #x{k:08x}) #x00000000))"),
        other => panic!("test {other:#x}"),
    }
}
