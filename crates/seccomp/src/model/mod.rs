//! What a policy means on a host: for every call the answer of the filter that a runtime makes of it
//! (`spec/seccomp.md` 1).
//!
//! | module | what it holds |
//! | --- | --- |
//! | `load` | from the entries of a policy to the numbers of each ABI |
//! | [`rule`] | conditions as a filter asks them |
//! | `trie` | the order in which libseccomp asks |
//! | [`group`] | all that a policy says of one syscall on one ABI |
//! | [`hazard`] | where libseccomp's program is not what the rules say |
//!
//! ```
//! use nri_seccomp::model::{Key, Model, Reading};
//! use nri_seccomp::policy::{Entry, Policy};
//! use nri_seccomp::settings::{Host, Settings};
//! use nri_seccomp::term::{Action, Arch, Effect};
//!
//! let mut policy = Policy::new(Action::Errno);
//! policy.syscalls.push(Entry::new(["mkdir"], Action::Allow));
//! let model = Model::new(Some(&policy), &Host::x86_64(), &Settings::default(), Reading::All)?;
//! let x86_64 = model.abi(Arch::X86_64);
//! assert_eq!(x86_64.group(Key::Number(83)).and_then(|mkdir| mkdir.constant()), Some(Effect::Allow));
//! assert_eq!(x86_64.unnamed(84), Effect::Errno(1));
//! assert_eq!(model.abi(Arch::X86).unnamed(84), Effect::KillThread); // not in the filter
//! # Ok::<(), nri_seccomp::policy::Invalid>(())
//! ```

pub mod group;
pub mod hazard;
mod load;
pub mod rule;
mod sharing;
#[cfg(test)]
mod tests;
mod trie;

use std::sync::OnceLock;

use crate::decision::ARGUMENTS;
use crate::policy::{Invalid, Policy};
use crate::settings::{Host, Settings};
use crate::syscall;
use crate::term::{Arch, Effect, Flag};
use group::Group;
use hazard::Hazards;
use load::{Loaded, Table};

/// What runc's stub returns: ENOSYS.
const NO_SUCH_CALL: Effect = Effect::Errno(38);

/// How many conditions of an entry a runtime reads (`spec/seccomp.md` 1.1, step 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reading {
    /// All of them: runc and youki.
    All,
    /// The first six: crun.
    FirstSix,
}

impl Reading {
    /// The readings of a policy that may differ.
    #[must_use]
    pub fn of(policy: &Policy) -> &'static [Self] {
        let long = policy.syscalls.iter().any(|entry| entry.args.len() > ARGUMENTS);
        if long { &[Self::All, Self::FirstSix] } else { &[Self::All] }
    }

    const fn limit(self) -> usize {
        match self {
            Self::All => usize::MAX,
            Self::FirstSix => ARGUMENTS,
        }
    }
}

/// Which syscall of an ABI. Numbers come before names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key<'p> {
    /// By its number, as a filter sees it.
    Number(u32),
    /// By a name that is in no table: it may exist on every ABI, with a number above all that are known.
    Name(&'p str),
}

impl Key<'_> {
    /// The syscall's name on this ABI, for people; `system call 9999` for a number without one.
    pub(crate) fn shown(self, arch: Arch) -> String {
        match self {
            Self::Number(number) => {
                syscall::name(arch, number).map_or_else(|| format!("system call {number}"), str::to_owned)
            }
            Self::Name(name) => name.to_owned(),
        }
    }
}

/// The flags that change what a filter does, as they are in force (`spec/seccomp.md` 1.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flags {
    /// The mitigation of speculation is not forced.
    pub spec_allow: bool,
    /// Every answer but ALLOW is recorded.
    pub log: bool,
}

/// Who is asked by `SCMP_ACT_NOTIFY`; absent and empty are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener<'p> {
    /// `listenerPath`
    pub path: &'p str,
    /// `listenerMetadata`
    pub metadata: &'p str,
}

/// A policy, or none, as a host runs it. Making one costs a look-up for each name; what the arguments decide is worked
/// out when it is asked for.
#[derive(Debug)]
pub struct Model<'p> {
    policy: Option<&'p Policy>,
    loaded: Loaded<'p>,
    /// Letters of each conditional group but E, which is a matter of the table.
    letters: OnceLock<Vec<Hazards>>,
}

impl<'p> Model<'p> {
    /// Reads a policy as a runtime on this host does.
    ///
    /// # Errors
    /// Runtimes refuse the policy ([`Policy::check`]).
    pub fn new(
        policy: Option<&'p Policy>,
        host: &Host,
        settings: &Settings,
        reading: Reading,
    ) -> Result<Self, Invalid> {
        let loaded = match policy {
            Some(policy) => {
                policy.check()?;
                load::load(policy, host.native(), settings.runtime, reading)
            }
            None => Loaded::unconfined(),
        };
        Ok(Self { policy, loaded, letters: OnceLock::new() })
    }

    /// What happens on one ABI, whether it is in the filter or not.
    #[must_use]
    pub fn abi(&self, arch: Arch) -> Abi<'_> {
        Abi { model: self, table: self.loaded.tables.iter().find(|table| table.arch == arch) }
    }

    /// The ABIs of the filter, the native one first. Those that the host cannot run and that cannot even be loaded
    /// there, because their byte order is another, are left out.
    pub fn archs(&self) -> impl ExactSizeIterator<Item = Arch> {
        self.loaded.tables.iter().map(|table| table.arch)
    }

    /// The answer where no rule does, on the ABIs of the filter.
    #[must_use]
    pub fn default_effect(&self) -> Effect {
        self.loaded.default
    }

    /// The answer to a call. `None` where the group is [too complex](Group::is_too_complex). In a group with a hazard
    /// the real filter may answer otherwise.
    #[must_use]
    pub fn evaluate(&self, arch: Arch, number: u32, args: &[u64; ARGUMENTS]) -> Option<Effect> {
        self.abi(arch).evaluate(Key::Number(number), args)
    }

    /// Which flags are in force. No flags mean `SPEC_ALLOW`, and so does no policy.
    #[must_use]
    pub fn flags_in_force(&self) -> Flags {
        let flags = self.policy.map_or(&[] as &[Flag], |policy| &policy.flags);
        Flags {
            spec_allow: flags.is_empty() || flags.contains(&Flag::SpecAllow),
            log: flags.contains(&Flag::Log),
        }
    }

    /// Who is asked.
    #[must_use]
    pub fn listener(&self) -> Listener<'p> {
        let text = |text: fn(&Policy) -> &Option<String>| {
            self.policy.and_then(|policy| text(policy).as_deref()).unwrap_or_default()
        };
        Listener {
            path: text(|policy| &policy.listener_path),
            metadata: text(|policy| &policy.listener_metadata),
        }
    }

    /// Whether both come to the same rules in the same order on the same ABIs, so that the programs differ in the answers
    /// of the default action and the listener at most (`spec/seccomp.md` 3.6). False where finding out costs too
    /// much, which is on the side of refusing.
    #[must_use]
    pub fn is_same_program(&self, other: &Model<'_>) -> bool {
        self.loaded.is_same_program(&other.loaded)
    }

    fn letters(&self) -> &[Hazards] {
        self.letters.get_or_init(|| hazard::letters(&self.loaded))
    }
}

/// What a policy says on one ABI.
#[derive(Clone, Copy, Debug)]
pub struct Abi<'m> {
    model: &'m Model<'m>,
    /// `None` where the filter does not have the ABI, or there is no filter.
    table: Option<&'m Table>,
}

impl<'m> Abi<'m> {
    /// Whether the filter has the ABI. Where it does not, every call gets the answer of [`Abi::unnamed`].
    #[must_use]
    pub fn is_in_filter(&self) -> bool {
        self.table.is_some()
    }

    /// The answer to a number that no rule names (`spec/seccomp.md` 1.2, 1.6, 1.9, 1.11).
    #[must_use]
    pub fn unnamed(&self, number: u32) -> Effect {
        match self.table {
            Some(table) if table.is_cut_off(number) => NO_SUCH_CALL,
            Some(_) => self.model.loaded.default,
            None if self.model.policy.is_some() => Effect::KillThread,
            None => Effect::Allow,
        }
    }

    /// The answer for a key that this policy does not name.
    #[must_use]
    pub fn otherwise(&self, key: Key<'_>) -> Effect {
        match key {
            Key::Number(number) => self.unnamed(number),
            Key::Name(_) => self.unnamed(u32::MAX),
        }
    }

    /// The number above which runc's stub answers ENOSYS, if it is there.
    #[must_use]
    pub fn border(&self) -> Option<u32> {
        self.table.and_then(|table| table.border)
    }

    /// What the policy names, in order.
    pub fn keys(&self) -> impl Iterator<Item = Key<'m>> + use<'m> {
        self.groups().map(|(key, _)| key)
    }

    /// What the policy names, in order, with what it says of it.
    pub fn groups(&self) -> impl Iterator<Item = (Key<'m>, Group<'m>)> + use<'m> {
        let (model, table) = (self.model, self.table);
        table.into_iter().flat_map(move |table| {
            let numbers = table
                .numbers
                .iter()
                .map(move |(number, slot)| (Key::Number(*number), table.group(model, *number, *slot)));
            let strangers = model.loaded.strangers.iter().filter_map(move |stranger| {
                let slot = stranger.slot(table.width())?;
                Some((Key::Name(stranger.name), Group::new(model, slot, table.is_void)))
            });
            numbers.chain(strangers)
        })
    }

    /// What the policy says of one syscall; `None` where it does not name it.
    #[must_use]
    pub fn group(&self, key: Key<'_>) -> Option<Group<'m>> {
        let table = self.table?;
        match key {
            Key::Number(number) => {
                let at = table.numbers.binary_search_by_key(&number, |(number, _)| *number).ok()?;
                table.numbers.get(at).map(|(number, slot)| table.group(self.model, *number, *slot))
            }
            Key::Name(name) => {
                let strangers = &self.model.loaded.strangers;
                let at = strangers.binary_search_by_key(&name, |stranger| stranger.name).ok()?;
                let slot = strangers.get(at)?.slot(table.width())?;
                Some(Group::new(self.model, slot, table.is_void))
            }
        }
    }

    /// As [`Model::evaluate`].
    #[must_use]
    pub fn evaluate(&self, key: Key<'_>, args: &[u64; ARGUMENTS]) -> Option<Effect> {
        match self.group(key) {
            Some(group) => group.evaluate(args),
            None => Some(self.otherwise(key)),
        }
    }
}
