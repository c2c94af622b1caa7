//! What plugins may change: an answer as a list of changes, and the judgement that every answer passes before it counts.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`annotation`] | annotations of a pod that speak of a container |
//! | [`change`] | an answer, flattened into changes against what the client asked for |
//! | [`document`] | policy documents: text to tree, tree to policy |
//! | [`diagnostic`] | what is wrong with a document, and where |
//! | [`rule`] | what a level says about a field, and what it means for a change |
//! | [`identity`] | what is known of a plugin, and what an identity asks for |
//! | [`hidden`] | values that recordings keep to themselves |
//! | [`host`] | what rules ask about the host |
//! | [`explain`] | what a level may do, in plain words |
//! | [`judge`] | the judge, its verdict, and the proof [`judge::Permitted`] without which nothing is merged |
//!
//! Pure: no I/O, no clock.

#![forbid(unsafe_code)]

pub mod annotation;
pub mod change;
pub mod diagnostic;
pub mod document;
pub mod explain;
pub mod hidden;
pub mod host;
pub mod identity;
pub mod judge;
mod path;
pub mod rule;
