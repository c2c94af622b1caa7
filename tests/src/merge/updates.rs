//! CONF-194 to 223: updates of another container, and of the requested one.

use serde_json::{Value as Json, json};

use super::adjustments::{classes, cpu, hugepages, memory, unified};
use super::{Case, overlay};

pub(super) fn cases() -> Vec<Case> {
    [others(), requested()].concat()
}

/// Resources by name, with the field (and key) of the first conflict, and whether the reference picks it at random (D16).
fn kinds() -> [(&'static str, Json, &'static str); 5] {
    [
        ("cpu", cpu(), "CPUShares"),
        ("memory", memory(), "MemLimit"),
        ("classes", classes(), "BlockioClass"),
        ("hugepages", hugepages(), "HugepageLimits 1M"),
        ("unified", unified(), "CgroupsUnified resource.1"),
    ]
}

fn update(id: &str, resources: &Json) -> Json {
    json!({"update": [{"containerId": id, "linux": {"resources": resources}}]})
}

/// The error of two plugins; one of several unified keys is picked at random by the reference.
fn conflict(case: Case, name: &str) -> Case {
    if name == "unified" { case.differs("D16") } else { case }
}

fn others() -> Vec<Case> {
    let mut cases = Vec::new();
    for (n, (name, resources, field)) in kinds().into_iter().enumerate() {
        let answer = update("ctr0", &resources);
        let error = format!(r#"plugins "10-foo" and "00-bar" both tried to set {field}"#);
        cases.push(Case::create(
            format!("CONF-{} {name}", 194 + n),
            &[("00-test", answer.clone())],
            answer.clone(),
        ));
        cases.push(conflict(
            Case::create(
                format!("CONF-{} {name}", 199 + 2 * n),
                &[("00-bar", answer.clone()), ("10-foo", answer.clone())],
                json!({"error": error}),
            ),
            name,
        ));
        cases.push(Case::create(
            format!("CONF-{} {name}", 200 + 2 * n),
            &[("00-bar", json!({})), ("10-foo", answer.clone())],
            answer,
        ));
    }
    cases
}

/// The request carries full CPU and memory values; plugins' values lie over them.
fn requested() -> Vec<Case> {
    let mut request = json!({
        "cpu": {"shares": {"value": "999"}, "quota": {"value": "888"}, "period": {"value": "777"},
                "realtimeRuntime": {"value": "666"}, "realtimePeriod": {"value": "555"}, "cpus": "444", "mems": "333"},
        "memory": {"limit": {"value": "9999"}, "reservation": {"value": "8888"}, "swap": {"value": "7777"},
                   "kernel": {"value": "6666"}, "kernelTcp": {"value": "5555"}, "swappiness": {"value": "44"},
                   "disableOomKiller": {"value": false}, "useHierarchy": {"value": false}},
    });
    let mut cases = Vec::new();
    for (n, (name, resources, field)) in kinds().into_iter().enumerate() {
        let answer = update("ctr1", &resources);
        let mut merged = request.clone();
        overlay(&mut merged, &resources);
        let expect = update("ctr1", &merged);
        let error = format!(r#"plugins "10-foo" and "00-bar" both tried to set {field}"#);
        let on = |case: Case| case.on("update").resources(request.clone());
        cases.push(on(Case::create(
            format!("CONF-{} {name}", 209 + n),
            &[("00-test", answer.clone())],
            expect.clone(),
        )));
        cases.push(conflict(
            on(Case::create(
                format!("CONF-{} {name}", 214 + 2 * n),
                &[("00-bar", answer.clone()), ("10-foo", answer.clone())],
                json!({"error": error}),
            )),
            name,
        ));
        cases.push(on(Case::create(
            format!("CONF-{} {name}", 215 + 2 * n),
            &[("00-bar", json!({})), ("10-foo", answer)],
            expect,
        )));
    }
    request["pids"] = json!({"limit": "5"});
    let shares = |n: &str| json!({"cpu": {"shares": {"value": n}}});
    cases.push(
        Case::create("untouched: no own element", &[("00-a", json!({}))], json!({"update": []}))
            .on("update")
            .resources(request)
            .differs("D7, EXT-031"),
    );
    cases.push(
        Case::create(
            "stop: updates of several, in order of first mention",
            &[
                ("00-a", json!({"update": [{"containerId": "z", "linux": {"resources": shares("1")}}]})),
                ("10-b", json!({"update": [{"containerId": "y", "linux": {"resources": shares("2")}},
                                           {"containerId": "z", "linux": {"resources": {"pids": {"limit": "0"}}}}]})),
            ],
            json!({"update": [
                {"containerId": "z", "linux": {"resources": {"cpu": {"shares": {"value": "1"}}}}},
                {"containerId": "y", "linux": {"resources": shares("2")}}]}),
        )
        .on("stop"),
    );
    cases
}
