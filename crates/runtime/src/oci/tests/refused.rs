//! What cannot be carried out: the error, and a spec that is untouched (E10, E11, E13).

use nri_wire::api::{
    CdiDevice, ContainerAdjustment, IoPrioClass, LinuxIoPriority, LinuxMemoryPolicy, LinuxNamespace,
    LinuxScheduler,
};
use serde_json::{Value, json};

use super::{Resolvers, adjust, apply, env, linux, mount, prestart, resources, strings};

fn check(spec: &Value, adjust: &ContainerAdjustment, with: &Resolvers, expect: &str) {
    let before = spec.to_string();
    let error = apply(spec, adjust, with).expect_err(expect);
    assert!(error.to_string().starts_with(expect), "{error}\n{expect}");
    assert_eq!(spec.to_string(), before);
}

#[test]
fn wrong_shapes_are_named() {
    let everything = || {
        adjust(|a| {
            a.annotations = [("a".to_owned(), "b".to_owned())].into();
            a.env = env(&[("A", "1")]);
            a.mounts = vec![mount("/a", "/b", &["rslave"])];
            a.hooks = prestart(&["/h"]);
            a.rlimits = vec![nri_wire::api::PosixRlimit::default()];
            let linux = a.linux.get_or_insert_default();
            linux.devices = vec![nri_wire::api::LinuxDevice { r#type: "c".into(), ..Default::default() }];
            linux.namespaces = vec![LinuxNamespace { r#type: "pid".into(), path: String::new() }];
            let resources = linux.resources.get_or_insert_default();
            resources.pids = Some(nri_wire::api::LinuxPids { limit: 1 });
            resources.hugepage_limits = vec![nri_wire::api::HugepageLimit::default()];
            resources.unified = [("a".to_owned(), "b".to_owned())].into();
        })
    };
    for (spec, expect) in [
        (json!(3), "read the whole of the OCI spec: it is a number, it must be an object"),
        (json!(null), "read the whole of the OCI spec: it is null, it must be an object"),
        (json!({"linux": 3}), "read /linux of the OCI spec: it is a number, it must be an object"),
        (json!({"process": []}), "read /process of the OCI spec: it is a list, it must be an object"),
        (json!({"annotations": "x"}), "read /annotations of the OCI spec: it is a string"),
        (
            json!({"process": {"env": {}}}),
            "read /process/env of the OCI spec: it is an object, it must be a list",
        ),
        (
            json!({"process": {"env": ["A=1", true]}}),
            "read /process/env/1 of the OCI spec: it is true or false",
        ),
        (json!({"process": {"rlimits": [3]}}), "read /process/rlimits/0 of the OCI spec"),
        (json!({"hooks": {"prestart": 1}}), "read /hooks/prestart of the OCI spec"),
        (
            json!({"mounts": [null, {"destination": 1}]}),
            "read /mounts/1/destination of the OCI spec: it is a number",
        ),
        (json!({"linux": {"devices": [{"path": []}]}}), "read /linux/devices/0/path of the OCI spec"),
        (json!({"linux": {"namespaces": [{"type": {}}]}}), "read /linux/namespaces/0/type of the OCI spec"),
        (json!({"linux": {"rootfsPropagation": 1}}), "read /linux/rootfsPropagation of the OCI spec"),
        (json!({"linux": {"resources": "x"}}), "read /linux/resources of the OCI spec"),
        (
            json!({"linux": {"resources": {"devices": [1]}}}),
            "read /linux/resources/devices/0 of the OCI spec",
        ),
        (json!({"linux": {"resources": {"pids": 1}}}), "read /linux/resources/pids of the OCI spec"),
        (json!({"linux": {"resources": {"hugepageLimits": [[]]}}}), "read /linux/resources/hugepageLimits/0"),
        (json!({"linux": {"resources": {"unified": []}}}), "read /linux/resources/unified of the OCI spec"),
    ] {
        check(&spec, &everything(), &Resolvers::default(), expect);
    }
    // Nothing that is not adjusted is looked at.
    let odd = json!({"linux": 3, "process": {"args": ["a"]}});
    assert!(apply(&odd, &adjust(|a| a.args = strings(&["b"])), &Resolvers::default()).is_ok());
}

/// Correction 8.
#[test]
fn unknown_numbers_are_invalid() {
    let known = i32::from(IoPrioClass::IoprioClassBe);
    for (adjust, expect) in [
        (
            linux(|l| l.io_priority = Some(LinuxIoPriority { class: 99, priority: 0 })),
            "apply ioPriority: invalid, there is no class number 99",
        ),
        (
            linux(|l| l.scheduler = Some(LinuxScheduler { policy: -1, ..Default::default() })),
            "apply scheduler: invalid, there is no policy number -1",
        ),
        (
            linux(|l| {
                l.scheduler = Some(LinuxScheduler { policy: 1, flags: vec![0, 7], ..Default::default() });
            }),
            "apply scheduler: invalid, there is no flag number 7",
        ),
        (
            linux(|l| l.memory_policy = Some(LinuxMemoryPolicy { mode: 7, ..Default::default() })),
            "apply memoryPolicy: invalid, there is no mode number 7",
        ),
        (
            linux(|l| l.memory_policy = Some(LinuxMemoryPolicy { flags: vec![3], ..Default::default() })),
            "apply memoryPolicy: invalid, there is no flag number 3",
        ),
        (
            linux(|l| l.namespaces = vec![LinuxNamespace { r#type: "-moon".into(), path: String::new() }]),
            r#"apply namespaces "moon": invalid, the types are pid,"#,
        ),
        (adjust(|a| a.env = env(&[("A=B", "c")])), r#"apply env "A=B": invalid, the name of a variable"#),
    ] {
        // E13: what comes before the error leaves no trace.
        let mut adjust = adjust;
        adjust.args = strings(&["x"]);
        check(&json!({}), &adjust, &Resolvers::default(), expect);
    }
    let fine = linux(|l| l.io_priority = Some(LinuxIoPriority { class: known, priority: 0 }));
    assert!(apply(&json!({}), &fine, &Resolvers::default()).is_ok());
}

/// E11.
#[test]
fn what_nobody_resolves_is_an_error() {
    for (adjust, expect) in [
        (
            resources(|r| r.blockio_class = Some("gold".to_owned().into())),
            r#"apply blockio.class "gold": nothing here resolves it; give classes"#,
        ),
        (
            resources(|r| r.rdt_class = Some("gold".to_owned().into())),
            r#"apply rdt.class "gold": nothing here resolves it; give classes"#,
        ),
        (
            adjust(|a| a.cdi_devices = vec![CdiDevice { name: "v/c=d".into() }]),
            r#"apply cdiDevices "v/c=d": nothing here resolves it; run the container with"#,
        ),
    ] {
        check(&json!({}), &adjust, &Resolvers::default(), expect);
    }
}

#[test]
fn callbacks_may_refuse() {
    let text = || [("k".to_owned(), "v".to_owned())].into();
    let with = || {
        Resolvers::default()
            .annotations(|_| Err("no annotations".into()))
            .sysctl(|_| Err("no sysctl".into()))
            .blockio(|_| Err("no block I/O".into()))
            .rdt(|_| Err("no RDT".into()))
            .cdi(|_, _| Err("no CDI".into()))
            .mountinfo(|| Err("no table".into()))
    };
    for (adjust, expect) in [
        (adjust(|a| a.annotations = text()), "apply annotations: no annotations"),
        (linux(|l| l.sysctl = text()), "apply sysctl: no sysctl"),
        (resources(|r| r.blockio_class = Some("g".to_owned().into())), "apply blockio.class: no block I/O"),
        (resources(|r| r.rdt_class = Some("g".to_owned().into())), "apply rdt.class: no RDT"),
        (adjust(|a| a.cdi_devices = vec![CdiDevice::default()]), "apply cdiDevices: no CDI"),
        (adjust(|a| a.mounts = vec![mount("/a", "/b", &["rshared"])]), "apply mounts: no table"),
    ] {
        check(&json!({}), &adjust, &with(), expect);
    }
    let strict = Resolvers::default().resources(|resources| match resources {
        None => Err("there are none".into()),
        Some(_) => Ok(()),
    });
    check(&json!({}), &resources(|_| {}), &strict, "apply resources: there are none");
    assert!(apply(&json!({}), &linux(|_| {}), &strict).is_ok());
}

#[test]
fn propagation_needs_a_source_that_has_it() {
    let table = "1 0 8:1 / /own rw - ext4 d rw\n2 0 8:1 / /slave rw master:1 - ext4 d rw\n";
    let with = || Resolvers::default().mountinfo(move || Ok(table.to_owned()));
    for (source, option, expect) in [
        (
            "/own/x",
            "rslave",
            r#"apply mounts: "/own/x" lies on a mount that is rprivate, it shall be rslave; make"#,
        ),
        (
            "/slave",
            "rshared",
            r#"apply mounts: "/slave" lies on a mount that is rslave, it shall be rshared; make"#,
        ),
        ("/other", "rslave", r#"apply mounts: no mount found below "/other", which shall be rslave"#),
    ] {
        let adjust = adjust(|a| a.mounts = vec![mount("/m", source, &[option])]);
        check(&json!({}), &adjust, &with(), expect);
    }
}
