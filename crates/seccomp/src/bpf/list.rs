//! From the graph of a program to the decision list of a call.
//!
//! A node answers like `yes`'s list with the test in front of every path, then `no`'s list. Written out, that doubles
//! with every rule, because after a rule that does not match, both ways go on with the same next rule. So each node keeps
//! only the paths of its own and the place where its ways meet again; what follows there is written once. That is exact:
//! a path that is not of its own would be tried under the test and, alike, without it.

use super::graph::{Budget, Graph, Node, Question, Target, Why};
use crate::decision::Test;

/// A path to an answer: what the program returns.
pub(super) type Answer = (Vec<(Test, bool)>, u32);

/// Most paths of a list, and most tests in all of them.
const PATHS_MAX: usize = 4096;

/// The paths of a node before its ways meet, and where they do.
struct Piece {
    own: Vec<Answer>,
    rest: Target,
}

/// The list of a graph whose questions are all about arguments; the last path has no tests.
///
/// # Errors
/// An end that is not known, or too much of it.
pub(super) fn flatten(graph: &Graph, budget: &mut Budget) -> Result<Vec<Answer>, Why> {
    let mut order: Vec<usize> = (0..graph.nodes.len()).collect();
    order.sort_by_key(|node| std::cmp::Reverse(graph.nodes.get(*node).map(|node| node.at)));
    let mut pieces = Pieces { graph, pieces: Vec::new() };
    pieces.pieces.resize_with(graph.nodes.len(), || None);
    // Ways lead forward, so what follows a node is done before it.
    for node in order {
        let Some(Node { question: Question::Argument(test), yes, no, .. }) = graph.nodes.get(node) else {
            return Err(Why::Number);
        };
        let piece = pieces.join(*test, *yes, *no, budget)?;
        if let Some(slot) = pieces.pieces.get_mut(node) {
            *slot = Some(piece);
        }
    }
    let mut list = Vec::new();
    let mut at = Some(graph.start);
    while let Some(target) = at {
        pieces.copy(target, None, &mut list, budget)?;
        at = pieces.rest(target);
    }
    Ok(list)
}

struct Pieces<'a> {
    graph: &'a Graph,
    pieces: Vec<Option<Piece>>,
}

impl Pieces<'_> {
    fn join(&self, test: Test, yes: Target, no: Target, budget: &mut Budget) -> Result<Piece, Why> {
        let meeting = self.meeting(yes, no, budget)?;
        let mut own = Vec::new();
        let rest = match meeting {
            Some(target @ Target::Node(_)) => {
                self.until(yes, target, (test, true), &mut own, budget)?;
                self.until(no, target, (test, false), &mut own, budget)?;
                target
            }
            // They meet at an answer or not at all: the shorter one is written out to its end.
            _ if self.len(yes, no, budget)? <= self.len(no, yes, budget)? => {
                self.until(yes, no, (test, true), &mut own, budget)?;
                no
            }
            _ => {
                self.until(no, yes, (test, false), &mut own, budget)?;
                yes
            }
        };
        Ok(Piece { own, rest })
    }

    /// Writes out a way under a test, as far as another place on it, or its end.
    fn until(
        &self,
        start: Target,
        end: Target,
        front: (Test, bool),
        own: &mut Vec<Answer>,
        budget: &mut Budget,
    ) -> Result<(), Why> {
        let mut at = Some(start);
        while let Some(target) = at.filter(|target| *target != end) {
            self.copy(target, Some(front), own, budget)?;
            at = self.rest(target);
        }
        Ok(())
    }

    /// The first place that both ways come to.
    fn meeting(&self, mut a: Target, mut b: Target, budget: &mut Budget) -> Result<Option<Target>, Why> {
        loop {
            if a == b {
                return Ok(Some(a));
            }
            budget.spend(1)?;
            let (left, right) = (self.graph.node(a), self.graph.node(b));
            match (left.map(|node| node.at), right.map(|node| node.at)) {
                (None, None) => return Ok(None),
                (Some(left), Some(right)) if left > right => b = self.rest(b).unwrap_or(b),
                (Some(_), _) => a = self.rest(a).unwrap_or(a),
                (None, Some(_)) => b = self.rest(b).unwrap_or(b),
            }
        }
    }

    fn len(&self, start: Target, end: Target, budget: &mut Budget) -> Result<usize, Why> {
        let mut at = Some(start);
        let mut len = 0;
        while let Some(target) = at.filter(|target| *target != end) {
            budget.spend(1)?;
            len += self.piece(target).map_or(1, |piece| piece.own.len());
            at = self.rest(target);
        }
        Ok(len)
    }

    fn piece(&self, target: Target) -> Option<&Piece> {
        match target {
            Target::Node(node) => self.pieces.get(node)?.as_ref(),
            Target::Answer(_) | Target::Stop(_) => None,
        }
    }

    fn rest(&self, target: Target) -> Option<Target> {
        self.piece(target).map(|piece| piece.rest)
    }

    /// Appends a node's own paths, each with a test in front unless it has it already.
    fn copy(
        &self,
        target: Target,
        front: Option<(Test, bool)>,
        to: &mut Vec<Answer>,
        budget: &mut Budget,
    ) -> Result<(), Why> {
        let end = match target {
            Target::Answer(value) => vec![(Vec::new(), value)],
            Target::Stop(why) => return Err(why),
            Target::Node(_) => Vec::new(),
        };
        for (tests, value) in self.piece(target).map_or(&end, |piece| &piece.own) {
            budget.spend(1 + tests.len())?;
            let known = front.and_then(|(front, _)| tests.iter().find(|(test, _)| *test == front));
            // Asked again with the other outcome, it cannot be gone.
            if known.is_some_and(|known| Some(*known) != front) {
                continue;
            }
            let front = front.filter(|_| known.is_none());
            to.push((front.into_iter().chain(tests.iter().copied()).collect(), *value));
            if to.len() > PATHS_MAX {
                return Err(Why::TooMuch);
            }
        }
        Ok(())
    }
}
