//! What holds of merging as such; the cases by id stand in `tests/src/merge`, since they run on the reference too.

mod ledger;
mod properties;
mod strip;
