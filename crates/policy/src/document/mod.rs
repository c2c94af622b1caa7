//! Policy documents: text to tree, tree to policy.

pub mod node;
pub mod policy;
pub mod source;
pub mod word;
