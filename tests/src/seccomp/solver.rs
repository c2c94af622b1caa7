//! z3, asked whether there is a call whose answer was this and is that. It sees the programs that libseccomp emitted,
//! word for word, and knows nothing of rules, tries or lists.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::bpf::{Call, EQ, GE, GT, SET};
use super::filter::{Filter, Graph, Node, Word};

/// Longest that an answer may take, and most memory for it, in MiB: few questions take more than a second, and those
/// that do may take all there is.
const PATIENCE: Duration = Duration::from_secs(20);
const MEMORY: &str = "-memory:2000";

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
    output: Receiver<String>,
    /// How long it was waited for.
    pub spent: Duration,
    /// How often it was asked.
    pub asked: u32,
}

impl Solver {
    /// Starts one; says so and returns nothing where z3 is absent.
    #[must_use]
    pub fn start() -> Option<Self> {
        let Ok((child, input, output)) = Self::spawn() else {
            crate::skipped("z3 is absent; install the package z3");
            return None;
        };
        let mut solver = Self { child, input, output, spent: Duration::ZERO, asked: 0 };
        solver.declare();
        Some(solver)
    }

    fn spawn() -> std::io::Result<(Child, Option<ChildStdin>, Receiver<String>)> {
        let mut command = Command::new("z3");
        let mut child = command
            .args(["-in", "-smt2", MEMORY])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (input, lines) = (child.stdin.take(), child.stdout.take());
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let lines = lines.into_iter().flat_map(|lines| BufReader::new(lines).lines());
            for line in lines.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok((child, input, output))
    }

    fn declare(&mut self) {
        let mut text = "(set-logic QF_BV)\n".to_owned();
        for argument in 0..6 {
            for upper in [false, true] {
                writeln!(text, "(declare-const {} (_ BitVec 32))", name(argument, upper)).ok();
            }
        }
        self.say(&text);
    }

    /// Another one, after a question that was too hard.
    fn restart(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        let (child, input, output) = Self::spawn().unwrap_or_else(|error| panic!("z3 is gone: {error}"));
        (self.child, self.input, self.output) = (child, input, output);
        self.declare();
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
        // It may run out of memory while it reads.
        let sent = self.send(&text);
        let answer = sent.and_then(|()| self.output.recv_timeout(PATIENCE).ok()).unwrap_or_default();
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
            gave_up if ["", "unknown"].contains(&gave_up) || gave_up.contains("out of memory") => {
                self.restart();
                return Verdict::Unknown;
            }
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
        self.send(text).unwrap_or_else(|| panic!("z3 is gone"));
    }

    fn send(&mut self, text: &str) -> Option<()> {
        let input = self.input.as_mut()?;
        input.write_all(text.as_bytes()).and_then(|()| input.flush()).ok()
    }

    fn hear(&self) -> String {
        self.output.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("z3 is gone: {error}"))
    }
}

impl Drop for Solver {
    fn drop(&mut self) {
        self.child.kill().ok();
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
