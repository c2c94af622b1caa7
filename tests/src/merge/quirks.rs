//! EXT-026 to 034 and the quirks D1 to D17: most of them are where we do something else than the reference.

use serde_json::{Value as Json, json};

use super::Case;

pub(super) fn cases() -> Vec<Case> {
    [
        removals(),
        overrides_of_overrides(),
        keyed_limits(),
        namespaces(),
        rdt(),
        updates(),
        own_updates(),
        invalid(),
    ]
    .concat()
}

fn adjust(adjust: Json) -> Json {
    Json::Object([("adjust".to_owned(), adjust)].into_iter().collect())
}

fn env(entries: &[(&str, &str)]) -> Json {
    adjust(json!({"env": entries.iter().map(|(k, v)| json!({"key": k, "value": v})).collect::<Vec<_>>()}))
}

fn mount(destination: &str) -> Json {
    adjust(json!({"mounts": [{"destination": destination}]}))
}

fn conflict(plugin: &str, other: &str, what: &str) -> Json {
    json!({"error": format!(r#"plugins "{plugin}" and "{other}" both tried to set {what}"#)})
}

/// Marks that stand alone: they reach the reply, take an earlier plugin's value with them, and claim nothing.
fn removals() -> Vec<Case> {
    let a = "00-a";
    let device = |path: &str| adjust(json!({"linux": {"devices": [{"path": path}]}}));
    let sysctl = |key: &str, value: &str| adjust(json!({"linux": {"sysctl": {key: value}}}));
    let net = |key: &str| adjust(json!({"linux": {"netDevices": {key: {}}}}));
    let note = |key: &str, value: &str| adjust(json!({"annotations": {key: value}}));
    let none = json!({"owners": {}});
    let owned = |answer: Json, owners: &Json| {
        let mut expect = answer;
        expect["owners"] = owners.clone();
        expect
    };
    let remover = |field: &str, key: &str| json!({"owners": {"ctr1": {"compound": {field: {"owners": {key: "-10-b"}}}}}});
    vec![
        Case::create(
            "D1, EXT-027 env",
            &[(a, env(&[("-ORIGINAL", "")]))],
            owned(env(&[("-ORIGINAL", "")]), &none),
        )
        .differs("D1"),
        Case::create(
            "D1, EXT-027 device",
            &[(a, device("-/dev/original"))],
            owned(device("-/dev/original"), &none),
        )
        .differs("D1"),
        Case::create("A11 mount: no owner", &[(a, mount("-/original"))], owned(mount("-/original"), &none)),
        Case::create(
            "A11 sysctl: no owner",
            &[(a, sysctl("-original", ""))],
            owned(sysctl("-original", ""), &none),
        ),
        Case::create(
            "A11 annotation: no owner",
            &[(a, note("-original", ""))],
            owned(note("-original", ""), &none),
        ),
        Case::create("A11 net device: no owner", &[(a, net("-original"))], owned(net("-original"), &none)),
        Case::create(
            "D2, EXT-028 annotation",
            &[(a, note("k", "1")), ("10-b", note("-k", ""))],
            owned(note("-k", ""), &remover("1", "k")),
        )
        .differs("D2"),
        Case::create(
            "D2 sysctl",
            &[(a, sysctl("k", "1")), ("10-b", sysctl("-k", ""))],
            owned(sysctl("-k", ""), &remover("34", "k")),
        )
        .differs("D2"),
        Case::create(
            "D2 net device",
            &[(a, net("k")), ("10-b", net("-k"))],
            owned(net("-k"), &remover("35", "k")),
        )
        .differs("D2"),
        Case::create(
            "mount of an earlier plugin",
            &[(a, mount("/m")), ("10-b", mount("-/m"))],
            owned(mount("-/m"), &remover("2", "/m")),
        ),
        Case::create(
            "D1 env of an earlier plugin: the mark stays",
            &[(a, env(&[("K", "1")])), ("10-b", env(&[("-K", "")]))],
            owned(env(&[("-K", "")]), &remover("6", "K")),
        )
        .differs("D1"),
        Case::create(
            "correction 6: one mark is enough",
            &[(a, mount("-/original")), ("10-b", mount("-/original"))],
            mount("-/original"),
        )
        .differs("correction 6"),
        Case::create(
            "correction 6: a mark for '-K' leaves the mark for 'K' alone",
            &[(a, mount("-/original")), ("10-b", mount("--/original"))],
            adjust(json!({"mounts": [{"destination": "-/original"}, {"destination": "--/original"}]})),
        )
        .differs("correction 6"),
        Case::create(
            "a mark survives another plugin's mark and value",
            &[
                (a, mount("-/original")),
                (
                    "10-b",
                    adjust(json!({"mounts": [{"destination": "-/original"}, {"destination": "/original"}]})),
                ),
            ],
            adjust(json!({"mounts": [{"destination": "-/original"}, {"destination": "/original"}]})),
        ),
    ]
}

/// Three plugins: who may set what after a removal.
fn overrides_of_overrides() -> Vec<Case> {
    let three = |id: &str, answers: [Json; 3], expect: Json| {
        let [a, b, c] = answers;
        Case::create(id, &[("00-a", a), ("10-b", b), ("20-c", c)], expect)
    };
    let marks = |key: &str, mark: &str| {
        adjust(json!({"mounts": [{"destination": mark}, {"destination": key, "source": "/c"}]}))
    };
    let note = |key: &str, value: &str| adjust(json!({"annotations": {key: value}}));
    let sysctl = |map: Json| adjust(json!({"linux": {"sysctl": map}}));
    vec![
        three(
            "D9, EXT-026 mount, without a mark",
            [mount("/m"), mount("-/m"), mount("/m")],
            adjust(json!({"mounts": [{"destination": "-/m"}, {"destination": "/m"}]})),
        )
        .differs("D9"),
        three("D9 mount, with a mark", [mount("/m"), mount("-/m"), marks("/m", "-/m")], marks("/m", "-/m"))
            .differs("D9"),
        three(
            "D9 env",
            [env(&[("K", "1")]), env(&[("-K", "")]), env(&[("-K", ""), ("K", "3")])],
            env(&[("-K", ""), ("K", "3")]),
        )
        .differs("D9"),
        three(
            "correction 2 annotation",
            [json!({}), note("-original", ""), note("original", "c")],
            json!({"adjust": {"annotations": {"-original": "", "original": "c"}},
                   "owners": {"owners": {"ctr1": {"compound": {"1": {"owners": {"original": "20-c"}}}}}}}),
        )
        .differs("D2"),
        three(
            "correction 2 sysctl",
            [json!({}), sysctl(json!({"-original": ""})), sysctl(json!({"original": "c"}))],
            sysctl(json!({"-original": "", "original": "c"})),
        )
        .differs("D2"),
        three(
            "an override does not open the key to others",
            [note("k", "1"), adjust(json!({"annotations": {"-k": "", "k": "2"}})), note("k", "3")],
            conflict("20-c", "10-b", "Annotations k"),
        ),
        three(
            "an override of an override",
            [env(&[("K", "1")]), env(&[("-K", ""), ("K", "2")]), env(&[("-K", ""), ("K", "3")])],
            env(&[("K", "3")]),
        ),
        three(
            "args overridden",
            [json!({}), adjust(json!({"args": ["b"]})), adjust(json!({"args": ["", "c"]}))],
            adjust(json!({"args": ["c"]})),
        ),
        Case::create(
            "args: only the mark",
            &[("00-a", adjust(json!({"args": [""]})))],
            json!({"adjust": null}),
        ),
        Case::create(
            "EXT-029",
            &[("00-a", env(&[("K", "1"), ("K", "2")]))],
            conflict("00-a", "00-a", "Env K"),
        ),
        Case::create(
            "D12: equal values conflict",
            &[("00-a", note("k", "1")), ("10-b", note("k", "1"))],
            conflict("10-b", "00-a", "Annotations k"),
        ),
        Case::create(
            "D3, EXT-034: set, then mark, in one answer",
            &[("00-a", env(&[("K", "1"), ("-K", "")]))],
            env(&[("K", "1")]),
        ),
        Case::create(
            "D16: the first key in order",
            &[
                ("00-a", adjust(json!({"annotations": {"a": "", "b": "", "c": "", "d": ""}}))),
                ("10-b", adjust(json!({"annotations": {"d": "", "c": "", "b": ""}}))),
            ],
            conflict("10-b", "00-a", "Annotations b"),
        )
        .differs("D16"),
    ]
}

/// Lists by type or page size.
fn keyed_limits() -> Vec<Case> {
    let limit = |soft: &str| adjust(json!({"rlimits": [{"type": "RLIMIT_CORE", "soft": soft, "hard": "9"}]}));
    let pages = |limit: &str| {
        adjust(json!({"linux": {"resources": {"hugepageLimits": [{"pageSize": "2M", "limit": limit}]}}}))
    };
    let rule =
        |kind: &str| adjust(json!({"linux": {"resources": {"devices": [{"allow": true, "type": kind}]}}}));
    vec![
        Case::create(
            "rlimits",
            &[("00-a", limit("1")), ("10-b", limit("2"))],
            conflict("10-b", "00-a", "Rlimits RLIMIT_CORE"),
        ),
        Case::create("D8 rlimits", &[("00-a", limit("1"))], limit("1"))
            .with(&json!({"rlimits": [{"type": "RLIMIT_CORE", "soft": "3", "hard": "3"}]})),
        Case::create(
            "hugepages",
            &[("00-a", pages("1")), ("10-b", pages("2"))],
            conflict("10-b", "00-a", "HugepageLimits 2M"),
        ),
        Case::create(
            "device rules add up, without an owner",
            &[("00-a", rule("a")), ("10-b", rule("b"))],
            json!({"adjust": {"linux": {"resources": {"devices": [{"allow": true, "type": "a"}, {"allow": true, "type": "b"}]}}},
                   "owners": {}}),
        ),
        Case::create(
            "CDI devices",
            &[
                ("00-a", adjust(json!({"CDIDevices": [{"name": "v/c=d"}]}))),
                ("10-b", adjust(json!({"CDIDevices": [{"name": "v/c=d"}]}))),
            ],
            conflict("10-b", "00-a", "CdiDevices v/c=d"),
        ),
    ]
}

fn namespaces() -> Vec<Case> {
    let ns = |kinds: &[&str]| {
        let list: Vec<_> = kinds
            .iter()
            .map(|kind| json!({"type": kind, "path": if kind.starts_with('-') { "" } else { "/n" }}))
            .collect();
        adjust(json!({"linux": {"namespaces": list}}))
    };
    let owner =
        |plugin: &str| json!({"owners": {"ctr1": {"compound": {"33": {"owners": {"cgroup": plugin}}}}}});
    let with = |mut expect: Json, owners: Json| {
        expect["owners"] = owners;
        expect
    };
    vec![
        Case::create(
            "a removal of a namespace owns",
            &[("00-a", ns(&["-cgroup"]))],
            with(ns(&["-cgroup"]), owner("00-a")),
        ),
        Case::create(
            "namespaces",
            &[("00-a", ns(&["ipc"])), ("10-b", ns(&["ipc"]))],
            conflict("10-b", "00-a", "Namespace ipc"),
        ),
        Case::create(
            "D10 override",
            &[("00-a", ns(&["cgroup"])), ("10-b", ns(&["-cgroup", "cgroup"]))],
            with(ns(&["cgroup"]), owner("10-b")),
        )
        .differs("D10"),
        Case::create(
            "D10 removal of an earlier plugin's",
            &[("00-a", ns(&["cgroup"])), ("10-b", ns(&["-cgroup"]))],
            with(ns(&["-cgroup"]), owner("10-b")),
        )
        .differs("D10"),
        Case::create("D10 one plugin alone", &[("00-a", ns(&["-cgroup", "cgroup"]))], ns(&["cgroup"]))
            .differs("D10"),
        Case::create(
            "a namespace twice",
            &[("00-a", ns(&["ipc", "ipc"]))],
            conflict("00-a", "00-a", "Namespace ipc"),
        ),
    ]
}

fn rdt() -> Vec<Case> {
    let rdt = |rdt: Json| adjust(json!({"linux": {"rdt": rdt}}));
    let removal = rdt(json!({"remove": true}));
    let class = |name: &str| rdt(json!({"closId": {"value": name}}));
    let cleared = json!({"owners": {"ctr1": {"simple": {"37": "-00-a", "38": "-00-a", "39": "-00-a"}}}});
    let client =
        json!({"linux": {"rdt": {"closId": {"value": "client"}, "schemata": {"value": ["L3:0=1"]}}}});
    let mut removed = removal.clone();
    removed["owners"] = cleared;
    let both = rdt(json!({"remove": true, "closId": {"value": "x"}}));
    vec![
        Case::create("RDT removal", &[("00-a", removal.clone())], removed),
        Case::create("E12: the removal reaches what the client had", &[("00-a", both.clone())], both)
            .with(&client)
            .differs("E12"),
        Case::create(
            "D9 RDT: a removal is no claim",
            &[("00-a", removal.clone()), ("10-b", class("b"))],
            class("b"),
        )
        .differs("D9"),
        Case::create(
            "RDT removed by the second",
            &[("00-a", class("a")), ("10-b", removal.clone())],
            removal,
        ),
        Case::create(
            "RDT fields are owned one by one",
            &[("00-a", class("a")), ("10-b", rdt(json!({"enableMonitoring": {"value": true}})))],
            rdt(json!({"closId": {"value": "a"}, "enableMonitoring": {"value": true}})),
        ),
    ]
}

fn updates() -> Vec<Case> {
    let update = |id: &str, resources: Json, ignore: bool| json!({"containerId": id, "linux": {"resources": resources}, "ignoreFailure": ignore});
    let list = |updates: &[Json]| json!({"update": updates});
    let shares = |n: &str| json!({"cpu": {"shares": {"value": n}}});
    let quota = |n: &str| json!({"cpu": {"quota": {"value": n}}});
    let both = |n: &str, q: &str| json!({"cpu": {"shares": {"value": n}, "quota": {"value": q}}});
    let empty = |id: &str, ignore: bool| json!({"containerId": id, "ignoreFailure": ignore});
    vec![
        Case::create("EXT-030", &[("00-a", list(&[update("ctr1", shares("1"), true)]))], json!({"error": r#"plugin "00-a" asked update of "ctr1" during creation"#})),
        Case::create(
            "a dropped update",
            &[("00-a", list(&[update("x", shares("1"), false)])), ("10-b", list(&[update("x", both("2", "2"), true)]))],
            list(&[update("x", shares("1"), false)]),
        ),
        Case::create(
            "D5: a dropped update leaves no claims",
            &[
                ("00-a", list(&[update("x", quota("1"), false)])),
                ("10-b", list(&[update("x", both("2", "2"), true)])),
                ("20-c", list(&[update("x", shares("3"), false)])),
            ],
            list(&[update("x", both("3", "1"), false)]),
        )
        .differs("D5"),
        Case::create(
            "correction 5: an empty update counts for ignore_failure",
            &[("00-a", list(&[update("x", shares("1"), true)])), ("10-b", list(&[empty("x", false)]))],
            list(&[update("x", shares("1"), false)]),
        ),
        Case::create(
            "correction 5: so does a dropped one",
            &[("00-a", list(&[update("x", shares("1"), true)])), ("10-b", list(&[update("x", shares("2"), true), empty("y", true)]))],
            list(&[update("x", shares("1"), true), empty("y", true)]),
        ),
        Case::create(
            "correction 5: the entry of a dropped update stays",
            &[("00-a", list(&[update("x", json!({"hugepageLimits": [{"pageSize": "2M", "limit": "1"}, {"pageSize": "2M", "limit": "2"}]}), true)]))],
            list(&[empty("x", true)]),
        )
        .differs("D5"),
        Case::create("EXT-032, D4: pids", &[("00-a", list(&[update("x", json!({"pids": {"limit": "7"}}), false)]))], list(&[update("x", json!({"pids": {"limit": "7"}}), false)]))
            .differs("D4"),
        Case::create(
            "device rules in updates have no effect",
            &[("00-a", list(&[update("x", json!({"devices": [{"allow": true}], "cpu": {"shares": {"value": "1"}}}), false)]))],
            list(&[update("x", shares("1"), false)]),
        ),
        Case::create(
            "different containers never conflict",
            &[("00-a", list(&[update("x", shares("1"), false)])), ("10-b", list(&[update("y", shares("2"), false)]))],
            list(&[update("x", shares("1"), false), update("y", shares("2"), false)]),
        ),
        Case::create("any id, also of nobody", &[("00-a", list(&[update("", shares("1"), false)]))], list(&[update("", shares("1"), false)])),
        Case::create(
            "C15: evictions",
            &[("00-a", json!({"evict": [{"containerId": "x", "reason": "r"}]}))],
            json!({"evict": [{"containerId": "x", "reason": "r"}]}),
        )
        .differs("C15"),
    ]
}

fn own_updates() -> Vec<Case> {
    let own =
        |resources: Json| json!({"update": [{"containerId": "ctr1", "linux": {"resources": resources}}]});
    let request = json!({"cpu": {"shares": {"value": "9"}}, "pids": {"limit": "5"}});
    let shares = json!({"cpu": {"shares": {"value": "1"}}});
    let on = |case: Case| case.on("update").resources(request.clone());
    vec![
        on(Case::create(
            "EXT-033, D4: pids in the request claim nothing",
            &[("00-a", own(shares.clone())), ("10-b", own(json!({"cpu": {"quota": {"value": "2"}}})))],
            own(json!({"cpu": {"shares": {"value": "1"}, "quota": {"value": "2"}}, "pids": {"limit": "5"}})),
        ))
        .differs("D4"),
        on(Case::create(
            "correction 3: two updates of one plugin",
            &[("00-a", json!({"update": [
                {"containerId": "ctr1", "linux": {"resources": shares}},
                {"containerId": "ctr1", "linux": {"resources": {"cpu": {"quota": {"value": "2"}}}}}]}))],
            own(json!({"cpu": {"shares": {"value": "1"}, "quota": {"value": "2"}}, "pids": {"limit": "5"}})),
        ))
        .differs("D4"),
        on(Case::create("D6: an update without resources", &[("00-a", json!({"update": [{"containerId": "ctr1"}]}))], json!({"update": []})))
            .differs("D6"),
        on(Case::create(
            "correction 4: the only own update is dropped",
            &[("00-a", json!({"update": [{"containerId": "ctr1", "ignoreFailure": true, "linux": {"resources":
                {"hugepageLimits": [{"pageSize": "2M", "limit": "1"}, {"pageSize": "2M", "limit": "2"}]}}}]}))],
            json!({"update": []}),
        ))
        .differs("D6"),
        Case::create(
            "the own update stands last",
            &[("00-a", json!({"update": [
                {"containerId": "ctr1", "linux": {"resources": shares}}, {"containerId": "x", "linux": {"resources": shares}}]}))],
            json!({"update": [
                {"containerId": "x", "linux": {"resources": shares}}, {"containerId": "ctr1", "linux": {"resources": shares}}]}),
        )
        .on("update"),
        Case::create(
            "correction 7: the request's device rules and classes are carried",
            &[("00-a", own(shares.clone()))],
            own(json!({"cpu": {"shares": {"value": "1"}}, "devices": [{"allow": true}], "rdtClass": {"value": "r"}})),
        )
        .on("update")
        .resources(json!({"devices": [{"allow": true}], "rdtClass": {"value": "r"}})),
    ]
}

/// Correction 8: numbers of enums that nobody knows, and names that mean another variable.
fn invalid() -> Vec<Case> {
    let case = |id: &str, linux: Json, text: &str| {
        Case::create(
            id,
            &[("00-a", adjust(json!({"linux": linux})))],
            json!({"error": format!("plugin \"00-a\" gave an invalid {text}")}),
        )
        .differs("correction 8")
    };
    vec![
        case("scheduler policy", json!({"scheduler": {"policy": 99}}), "scheduler: unknown policy number 99"),
        case("scheduler flag", json!({"scheduler": {"policy": 1, "flags": [0, 7]}}), "scheduler: unknown flag number 7"),
        case("I/O class", json!({"ioPriority": {"class": -1}}), "ioPriority: unknown class number -1"),
        case("memory policy mode", json!({"memoryPolicy": {"mode": 8}}), "memoryPolicy: unknown mode number 8"),
        case("memory policy flag", json!({"memoryPolicy": {"mode": 1, "flags": [3]}}), "memoryPolicy: unknown flag number 3"),
        Case::create(
            "a name with '='",
            &[("00-a", env(&[("PATH=/evil:", "x")]))],
            json!({"error": "plugin \"00-a\" gave an invalid env \"PATH=/evil:\": the name of a variable cannot have '=' or NUL in it"}),
        )
        .differs("a name with '='"),
    ]
}
