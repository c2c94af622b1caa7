//! Against a real containerd (`cargo xtask test` builds it).

use nri_tests::cri::Cri;
use nri_tests::engine::Containerd;
use nri_tests::skipped;
use serde_json::json;

#[test]
fn a_container_runs_and_everything_goes_away() {
    let engine = match Containerd::start() {
        Ok(engine) => engine,
        Err(what) => return skipped(&what),
    };
    let mut cri = match Cri::connect(&engine.cri_socket()) {
        Ok(cri) => cri,
        Err(what) => return skipped(&what),
    };
    let pod = cri.run_pod("plain", &json!({})).unwrap_or_else(|error| panic!("{error}\n{}", engine.log()));
    let container = cri.run_container(&pod, "main", &["sleep", "1000"]).unwrap();
    let (output, code) = cri.exec(&container, &["mkdir", "/tmp/made"]).unwrap();
    assert_eq!((output.as_str(), code), ("", 0));
    cri.remove_pod(&pod).unwrap();
}
