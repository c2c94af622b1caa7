//! Edits of a policy that take effect, or say why they would not.
//!
//! What a rule does depends on the rules around it (`spec/seccomp.md` 1.1 and 1.4): one whose action equals the default
//! action is dropped and does not even hide others; where a syscall has an unconditional rule, the first of these
//! answers every call, wherever it stands. So a rule appended to an allow-list is void if the list has its name. An edit
//! here either changes what happens, or it is an [`Ineffective`] one and the policy stays as it was.
//!
//! Between conditional rules with different actions that overlap, libseccomp has an order of its own
//! (`spec/seccomp.md` 1.4); edits do not look into that.

use std::collections::BTreeSet;
use std::fmt;

use crate::policy::{Entry, Policy};
use crate::term::{Action, Effect};

/// An edit that would not do what it says, for this syscall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ineffective {
    /// The syscall.
    pub name: String,
    /// Why.
    pub reason: Void,
}

/// Why an edit would not do what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Void {
    /// The action equals the default action, so that the rule is dropped, and other rules for the name answer.
    EqualsDefault,
    /// This element of `syscalls` answers every call of the name, in another way.
    Hidden {
        /// Its position.
        by: usize,
    },
    /// Of the edit's own rules for the name one is unconditional and another has a different action.
    Contradiction,
    /// The default action answers calls that no condition covers, and conditional rules are in the way of an
    /// unconditional one.
    Remainder,
}

impl fmt::Display for Ineffective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match self.reason {
            Void::EqualsDefault => write!(
                f,
                "the rule for {name} equals the default action and is dropped by runtimes, while other rules for {name} stay; remove or set those"
            ),
            Void::Hidden { by } => {
                write!(
                    f,
                    "the rule for {name} has no effect because syscalls[{by}] answers every call of it; set {name} instead"
                )
            }
            Void::Contradiction => {
                write!(
                    f,
                    "the rules for {name} contradict each other: an unconditional one answers every call"
                )
            }
            Void::Remainder => write!(
                f,
                "{name} has rules with conditions and the default action answers the rest, which cannot be switched by name; set {name} instead"
            ),
        }
    }
}

impl std::error::Error for Ineffective {}

impl Policy {
    /// Adds rules to those that are there, at the end. A rule whose answer is already given is not added again.
    ///
    /// # Errors
    /// A rule would be void; nothing is changed then.
    pub fn add(&mut self, entries: &[Entry]) -> Result<(), Ineffective> {
        self.contradiction(entries)?;
        let mut missing = Vec::new();
        for entry in entries {
            let mut added = entry.clone();
            added.names.clear();
            for name in &entry.names {
                if self.is_missing(name, entry)? {
                    added.names.push(name.clone());
                }
            }
            missing.push(added);
        }
        self.syscalls.extend(missing.into_iter().filter(|entry| !entry.names.is_empty()));
        Ok(())
    }

    /// Makes these the only rules for their names, whatever was there.
    ///
    /// # Errors
    /// The rules contradict each other; nothing is changed then.
    pub fn set(&mut self, entries: &[Entry]) -> Result<(), Ineffective> {
        self.contradiction(entries)?;
        let names = entries.iter().flat_map(|entry| &entry.names);
        self.remove(names);
        let default = self.default_effect();
        let effective = entries.iter().filter(|entry| entry.effect() != default && !entry.names.is_empty());
        self.syscalls.extend(effective.cloned());
        Ok(())
    }

    /// Takes all rules for these names away, so that the default action answers. Says how many elements of `syscalls` had one.
    pub fn remove<N: AsRef<str>>(&mut self, names: impl IntoIterator<Item = N>) -> usize {
        let names: BTreeSet<String> = names.into_iter().map(|name| name.as_ref().to_owned()).collect();
        let mut changed = 0;
        self.syscalls.retain_mut(|entry| {
            let before = entry.names.len();
            entry.names.retain(|name| !names.contains(name));
            changed += usize::from(entry.names.len() != before);
            before == 0 || !entry.names.is_empty()
        });
        changed
    }

    /// Gives rules another action: those that answer with `from` (any action if absent), for these names (all if absent).
    /// Conditions stay. A name that is given and has no rule is answered by the default action: if that is `from`, the
    /// name gets a rule. Says how many rules were switched.
    ///
    /// # Errors
    /// The switch would be void for a name; nothing is changed then.
    pub fn switch(
        &mut self,
        from: Option<Action>,
        names: Option<&[String]>,
        to: (Action, Option<u32>),
    ) -> Result<usize, Ineffective> {
        let mut edited = self.clone();
        let selected: BTreeSet<String> = match names {
            Some(names) => names.iter().cloned().collect(),
            None => self.names(),
        };
        let concerns = |at: usize| self.syscalls.get(at).is_some_and(|entry| is_kind(entry.action, from));
        for name in &selected {
            if names.is_some() || self.in_force(name).into_iter().any(concerns) {
                edited.settle(name);
            }
        }
        let mut switched = edited.switch_rules(&selected, from, to)?;
        if names.is_some() && is_kind(self.default_action, from) {
            for name in &selected {
                switched += edited.switch_remainder(name, to)?;
            }
        }
        *self = edited;
        Ok(switched)
    }

    /// Gives the calls that the default action answers another answer, and no others: a rule that was void beside the old
    /// default action does not come into force.
    ///
    /// # Errors
    /// A syscall has rules with conditions whose action equals the new default action, and others; nothing is changed then.
    pub fn switch_default(&mut self, to: (Action, Option<u32>)) -> Result<(), Ineffective> {
        let mut edited = self.clone();
        let names = edited.names();
        for name in &names {
            edited.settle(name);
        }
        (edited.default_action, edited.default_errno) = to;
        let default = edited.default_effect();
        for name in &names {
            let effects: BTreeSet<Effect> = edited
                .syscalls
                .iter()
                .filter(|entry| entry.names.contains(name))
                .map(Entry::effect)
                .collect();
            if effects.len() > 1 && effects.contains(&default) {
                return Err(Ineffective { name: name.clone(), reason: Void::EqualsDefault });
            }
        }
        *self = edited;
        Ok(())
    }

    fn names(&self) -> BTreeSet<String> {
        self.syscalls.iter().flat_map(|entry| entry.names.iter().cloned()).collect()
    }

    /// Positions of the entries that decide about a name: the first unconditional one, else all with conditions.
    fn in_force(&self, name: &str) -> Vec<usize> {
        let default = self.default_effect();
        let rules: Vec<(usize, &Entry)> = self
            .syscalls
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.effect() != default && entry.names.iter().any(|n| n == name))
            .collect();
        match rules.iter().find(|(_, entry)| entry.is_unconditional()) {
            Some((at, _)) => vec![*at],
            None => rules.into_iter().map(|(at, _)| at).collect(),
        }
    }

    /// Takes a name out of every entry that does nothing for it, so that what stands is what happens.
    fn settle(&mut self, name: &str) {
        let keep = self.in_force(name);
        let mut at = 0;
        self.syscalls.retain_mut(|entry| {
            let (before, kept) = (entry.names.len(), keep.contains(&at));
            at += 1;
            let mut first = kept;
            entry.names.retain(|n| n != name || std::mem::take(&mut first));
            before == 0 || !entry.names.is_empty()
        });
    }

    fn is_missing(&self, name: &str, entry: &Entry) -> Result<bool, Ineffective> {
        let void = |reason| Err(Ineffective { name: name.to_owned(), reason });
        let rules = self.in_force(name);
        if entry.effect() == self.default_effect() {
            return if rules.is_empty() { Ok(false) } else { void(Void::EqualsDefault) };
        }
        let first = rules.first().and_then(|&at| Some((at, self.syscalls.get(at)?)));
        match first {
            Some((_, rule)) if rule.is_unconditional() && rule.effect() == entry.effect() => Ok(false),
            Some((by, rule)) if rule.is_unconditional() => void(Void::Hidden { by }),
            _ => Ok(true),
        }
    }

    fn contradiction(&self, entries: &[Entry]) -> Result<(), Ineffective> {
        let names: BTreeSet<&String> = entries.iter().flat_map(|entry| &entry.names).collect();
        for name in names {
            let own: Vec<&Entry> = entries.iter().filter(|entry| entry.names.contains(name)).collect();
            let differ = own.windows(2).any(|pair| matches!(pair, [a, b] if a.effect() != b.effect()));
            let void = |reason| Err(Ineffective { name: name.clone(), reason });
            if differ && own.iter().any(|entry| entry.is_unconditional()) {
                return void(Void::Contradiction);
            }
            if differ && own.iter().any(|entry| entry.effect() == self.default_effect()) {
                return void(Void::EqualsDefault);
            }
        }
        Ok(())
    }

    /// After [`Self::settle`]: the rules for these names, split off their entries at the same place.
    fn switch_rules(
        &mut self,
        names: &BTreeSet<String>,
        from: Option<Action>,
        to: (Action, Option<u32>),
    ) -> Result<usize, Ineffective> {
        let (default, effect) = (self.default_effect(), Effect::of(to.0, to.1));
        let mut edited = Vec::with_capacity(self.syscalls.len());
        let (mut switched, mut gone) = (0, BTreeSet::new());
        for mut entry in std::mem::take(&mut self.syscalls) {
            if !is_kind(entry.action, from) || !entry.names.iter().any(|name| names.contains(name)) {
                edited.push(entry);
                continue;
            }
            let mut own = entry.clone();
            own.names.retain(|name| names.contains(name));
            (own.action, own.errno) = to;
            entry.names.retain(|name| !names.contains(name));
            switched += own.names.len();
            if !entry.names.is_empty() {
                edited.push(entry);
            }
            if effect == default {
                gone.extend(own.names);
            } else {
                edited.push(own);
            }
        }
        self.syscalls = edited;
        // A rule that now equals the default action is dropped, which is right only where no other answers its calls.
        match gone.into_iter().find(|name| !self.in_force(name).is_empty()) {
            Some(name) => Err(Ineffective { name, reason: Void::EqualsDefault }),
            None => Ok(switched),
        }
    }

    /// The calls of a name that the default action answers.
    fn switch_remainder(&mut self, name: &str, to: (Action, Option<u32>)) -> Result<usize, Ineffective> {
        let rules: Vec<&Entry> =
            self.syscalls.iter().filter(|entry| entry.names.iter().any(|n| n == name)).collect();
        if rules.iter().any(|entry| entry.is_unconditional())
            || Effect::of(to.0, to.1) == self.default_effect()
        {
            return Ok(0);
        }
        if !rules.is_empty() {
            return Err(Ineffective { name: name.to_owned(), reason: Void::Remainder });
        }
        let mut own = Entry::new([name], to.0);
        own.errno = to.1;
        match self.syscalls.last_mut() {
            // The last entry says the same: a switch of many names leaves one entry.
            Some(last) if *last == (Entry { names: last.names.clone(), ..own.clone() }) => {
                last.names.extend(own.names);
            }
            _ => self.syscalls.push(own),
        }
        Ok(1)
    }
}

fn is_kind(action: Action, from: Option<Action>) -> bool {
    // KILL is KILL_THREAD; numbers do not matter here.
    from.is_none_or(|from| Effect::of(action, None) == Effect::of(from, None))
}

#[cfg(test)]
mod tests;
