//! A call within one conjunction of tests and outside others (`spec/seccomp.md` 3.4), in bounded work (3.5).

use crate::decision::{Path, Test};
use crate::term::Effect;
use crate::word::{Mark, Point, Words};

/// Most steps for one group pair (`spec/seccomp.md` 3.5).
const GROUP_STEPS: u64 = 100_000;
/// Most steps for one pair of policies.
const POLICY_STEPS: u64 = 1_000_000;
/// A step in the unit of work. A step that looks at a conjunction or cube costs one unit more for each, so that steps over
/// long lists, which no real policy has, count for what they take.
const STEP: u64 = 64;

/// The limit of work is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spent;

/// What work is left, counted and not timed, so that a verdict does not depend on the machine.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    group: u64,
    policy: u64,
}

impl Budget {
    /// For a pair of policies.
    pub(crate) const fn new() -> Self {
        Self { group: GROUP_STEPS * STEP, policy: POLICY_STEPS * STEP }
    }

    /// The next group pair begins.
    pub(crate) fn next_group(&mut self) {
        self.group = GROUP_STEPS * STEP;
    }

    /// Takes one step, over a list of this length.
    pub(crate) fn step(&mut self, list: usize) -> Result<(), Spent> {
        self.take(STEP.saturating_add(u64::try_from(list).unwrap_or(u64::MAX)))
    }

    /// Takes work that is less than a step.
    fn take(&mut self, units: u64) -> Result<(), Spent> {
        self.group = self.group.checked_sub(units).ok_or(Spent)?;
        self.policy = self.policy.checked_sub(units).ok_or(Spent)?;
        Ok(())
    }
}

/// A call that `old` and `new`, two decision lists, answer so that `loosens(old's answer, new's answer)`.
///
/// # Errors
/// The work left is not enough to tell.
pub(crate) fn find(
    old: &[Path],
    new: &[Path],
    loosens: impl Fn(Effect, Effect) -> bool,
    budget: &mut Budget,
) -> Result<Option<Point>, Spent> {
    let mut words = Words::new();
    let start = words.mark();
    for (at, path) in old.iter().enumerate() {
        if !new.iter().any(|other| loosens(path.effect, other.effect)) {
            continue;
        }
        words.back_to(start);
        if !words.assume_all(&path.tests) {
            continue;
        }
        let within = words.mark();
        budget.step(at)?;
        let before = Avoid::earlier(old, at, &words);
        for (other_at, other) in new.iter().enumerate() {
            if !loosens(path.effect, other.effect) {
                continue;
            }
            words.back_to(within);
            budget.take(1)?;
            if !words.assume_all(&other.tests) {
                continue;
            }
            budget.step(before.paths.len().saturating_add(other_at))?;
            let avoid = before.narrowed(&words).and(Avoid::earlier(new, other_at, &words));
            if let Some(point) = avoid.escape(&mut words, budget)? {
                return Ok(Some(point));
            }
        }
    }
    Ok(None)
}

/// Conjunctions that must not hold.
struct Avoid {
    paths: Vec<Conjunction>,
}

struct Conjunction {
    tests: Vec<(Test, bool)>,
    /// Taken care of further up in the search.
    done: bool,
}

impl Avoid {
    /// The paths that come before this one in its list and would give another answer. Those with the same answer need not
    /// be avoided: the pair of answers is the same.
    fn earlier(list: &[Path], at: usize, words: &Words) -> Self {
        let Some((path, before)) = list.get(at).zip(list.get(..at)) else {
            return Self { paths: Vec::new() };
        };
        let other = before.iter().filter(|earlier| earlier.effect != path.effect);
        Self { paths: other.filter_map(|earlier| narrowed(&earlier.tests, words)).collect() }
    }

    fn narrowed(&self, words: &Words) -> Self {
        Self { paths: self.paths.iter().filter_map(|path| narrowed(&path.tests, words)).collect() }
    }

    fn and(mut self, other: Self) -> Self {
        self.paths.extend(other.paths);
        self
    }

    /// A point of `words` at which none of the conjunctions holds.
    ///
    /// Depth first: a conjunction that holds at a point is left by one of its tests, the earlier ones kept. Only those that
    /// a point runs into are ever split. The stack is a list of our own, since its depth is the number of conjunctions.
    fn escape(mut self, words: &mut Words, budget: &mut Budget) -> Result<Option<Point>, Spent> {
        let mut splits: Vec<Split> = Vec::new();
        loop {
            budget.step(self.paths.len())?;
            if let Some(point) = words.point(budget)? {
                let Some(path) = self.holding(&point) else { return Ok(Some(point)) };
                splits.push(Split { path, next: 0, tried: None, mark: words.mark() });
            }
            loop {
                let Some(split) = splits.last_mut() else { return Ok(None) };
                if self.leave(split, words) {
                    break;
                }
                if let Some(path) = self.paths.get_mut(split.path) {
                    path.done = false;
                }
                words.back_to(split.mark);
                splits.pop();
            }
        }
    }

    /// The first conjunction that holds there, and that is taken care of from now on.
    fn holding(&mut self, point: &Point) -> Option<usize> {
        let holds = |(test, outcome): &(Test, bool)| {
            point.get(test.word.place()).is_some_and(|&word| test.holds(word) == *outcome)
        };
        let at = self.paths.iter().position(|path| !path.done && path.tests.iter().all(holds))?;
        self.paths.get_mut(at)?.done = true;
        Some(at)
    }

    /// Leaves a conjunction by its next test. `false`: by none of those that are left.
    fn leave(&self, split: &mut Split, words: &mut Words) -> bool {
        let Some(path) = self.paths.get(split.path) else { return false };
        loop {
            if let Some(tried) = split.tried {
                words.back_to(tried);
                // The tests before the next one are kept as in the conjunction.
                let kept = path
                    .tests
                    .get(split.next - 1)
                    .is_some_and(|(test, outcome)| words.assume(test, *outcome));
                if !kept {
                    return false;
                }
            }
            let Some((test, outcome)) = path.tests.get(split.next) else { return false };
            split.tried = Some(words.mark());
            split.next += 1;
            if words.assume(test, !*outcome) {
                return true;
            }
        }
    }
}

/// A conjunction that is being left.
struct Split {
    path: usize,
    /// Its test to try next.
    next: usize,
    /// Before the test that is being tried.
    tried: Option<Mark>,
    /// Before the conjunction.
    mark: Mark,
}

/// What is left to avoid of a conjunction within these words: `None` if it cannot hold there.
fn narrowed(tests: &[(Test, bool)], words: &Words) -> Option<Conjunction> {
    let mut open = Vec::new();
    for (test, outcome) in tests {
        match words.decided(test) {
            Some(decided) if decided == *outcome => {}
            Some(_) => return None,
            None => open.push((*test, *outcome)),
        }
    }
    Some(Conjunction { tests: open, done: false })
}

#[cfg(test)]
mod tests;
