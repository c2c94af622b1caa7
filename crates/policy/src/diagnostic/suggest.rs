//! "Did you mean": the known word that is nearest.

/// The word nearest to `word`, if it takes at most a third of its letters to get there. Case does not count.
#[must_use]
pub fn nearest<'w>(word: &str, among: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    const LONGEST: usize = 64;
    /// Most words that are looked at; a policy may have names without end.
    const TRIED: usize = 1000;
    let letters: Vec<char> = word.chars().take(LONGEST + 1).flat_map(char::to_lowercase).collect();
    if letters.is_empty() || letters.len() > LONGEST {
        return None;
    }
    let most = (letters.len() / 3).max(1);
    let distance = |candidate: &str| {
        let candidate: Vec<char> = candidate.chars().take(LONGEST).flat_map(char::to_lowercase).collect();
        edits(&letters, &candidate)
    };
    among
        .into_iter()
        .take(TRIED)
        .filter(|candidate| *candidate != word)
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be put in, taken out, replaced, or swapped with their neighbour.
fn edits(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    let mut previous = None;
    for (row, &a) in from.iter().enumerate() {
        let mut line = vec![row + 1];
        let mut left = row + 1;
        let mut behind = None;
        for (column, &b) in to.iter().enumerate() {
            let at = |line: &[usize], column: usize| line.get(column).copied().unwrap_or(usize::MAX - 1);
            let mut cost =
                (left + 1).min(at(&above, column + 1) + 1).min(at(&above, column) + usize::from(a != b));
            if previous == Some(b) && behind == Some(a) {
                cost = cost.min(at(&before, column.saturating_sub(1)) + 1);
            }
            line.push(cost);
            left = cost;
            behind = Some(b);
        }
        before = std::mem::replace(&mut above, line);
        previous = Some(a);
    }
    above.last().copied().unwrap_or(from.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found() {
        let known = ["mounts", "hooks", "env", "args", "seccomp", "memory.limit", "deny"];
        for (word, expect) in [
            ("mount", Some("mounts")),
            ("hook", Some("hooks")),
            ("Env", Some("env")),
            ("secomp", Some("seccomp")),
            ("memory.limti", Some("memory.limit")),
            ("agrs", Some("args")),
            ("dney", Some("deny")),
            ("volumes", None),
            ("", None),
            ("hooks", None),
        ] {
            assert_eq!(nearest(word, known), expect, "{word}");
        }
        assert_eq!(nearest(&"x".repeat(1 << 20), known), None);
    }
}
