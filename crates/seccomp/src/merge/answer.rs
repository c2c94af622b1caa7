//! What a policy answers for one syscall on one ABI, as a diagram.

use std::collections::BTreeSet;

use super::diagram::{Diagram, Diagrams, TooComplex};
use super::meet::code;
use crate::model::group::Group;
use crate::model::hazard::Hazards;
use crate::model::{Key, Model};
use crate::term::{Arch, Effect};

/// A syscall on an ABI.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) arch: Arch,
    /// `None` for a name that is in no table.
    pub(super) number: Option<u32>,
}

impl Place {
    pub(super) fn key<'n>(&self, name: &'n str) -> Key<'n> {
        self.number.map_or(Key::Name(name), Key::Number)
    }
}

/// What a policy answers.
pub(super) enum Answer {
    /// Exactly this.
    Known(Diagram),
    /// One of these at each call: libseccomp's program is not what the rules say (`spec/seccomp.md` 3.6).
    OneOf(BTreeSet<Effect>, Hazards),
}

/// What a policy answers for a syscall. An ABI that is not in its filter kills.
pub(super) fn answer(
    diagrams: &mut Diagrams,
    model: &Model<'_>,
    place: &Place,
    name: &str,
) -> Result<Answer, TooComplex> {
    let abi = model.abi(place.arch);
    let key = place.key(name);
    let Some(group) = abi.group(key) else {
        return Ok(Answer::Known(Diagram::leaf(code(abi.otherwise(key)))));
    };
    let hazards = group.hazards();
    if hazards.is_empty() {
        return Ok(Answer::Known(listed(diagrams, group)?));
    }
    let effects: BTreeSet<Effect> = group.effects().collect();
    Ok(match effects.first() {
        Some(only) if effects.len() == 1 => Answer::Known(Diagram::leaf(code(*only))),
        _ => Answer::OneOf(effects, hazards),
    })
}

/// What the rules of a group say, hazards aside.
pub(super) fn listed(diagrams: &mut Diagrams, group: Group<'_>) -> Result<Diagram, TooComplex> {
    let list = group.list().ok_or(TooComplex)?;
    diagrams.list(&list, &|path| code(path.effect))
}
