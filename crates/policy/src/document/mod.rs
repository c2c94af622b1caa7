//! Policy documents: text to tree, tree to policy (`policy.md` 1).
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`source`], [`node`] | files and places in them; YAML and JSON as a tree with places |
//! | `shape`, `walk` | the members of every object, and the walk that compares |
//! | [`word`], [`policy`] | what a document says, as types |
//! | `read`, [`preset`], `extend` | a tree as a policy; what it takes over; levels that extend levels |
//! | `check`, `lint` | what no member shows alone: errors, warnings |
//! | [`load`] | files to a [`load::PolicySet`] |
//! | [`schema`] | the JSON Schema, from the same tables |
//! | [`suite`] | documents of the kind `PluginPolicyTest` |
//! | `hash` | what tells one set of policies from another |

mod check;
mod extend;
mod hash;
mod lint;
pub mod load;
pub mod node;
pub mod policy;
pub mod preset;
mod read;
mod rules;
pub mod schema;
mod shape;
pub mod source;
pub mod suite;
#[cfg(test)]
mod tests;
mod walk;
pub mod word;
