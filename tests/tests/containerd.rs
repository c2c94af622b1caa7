//! Against a real containerd (`cargo xtask test` builds it).

use nri_tests::engine::Containerd;
use nri_tests::skipped;

#[test]
fn the_engine_comes_up_with_nri_and_goes_away() {
    match Containerd::start() {
        Err(what) => skipped(&what),
        Ok(engine) => assert!(engine.nri_socket().exists(), "{}", engine.log()),
    }
}
