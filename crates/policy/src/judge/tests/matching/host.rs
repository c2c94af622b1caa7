//! Members that reach into the host: mounts, hooks, devices.

use nri_wire::api::{
    ContainerAdjustment, Hook, Hooks, LinuxContainerAdjustment, LinuxDevice, LinuxDeviceCgroup,
    LinuxResources, Mount,
};

use super::super::kit::{Case, judge, level};
use super::{check, linux, none, resources};

#[test]
fn mounts() {
    let mount = |kind: &str, source: &str, destination: &str, options: &[&str]| ContainerAdjustment {
        mounts: vec![Mount {
            destination: destination.into(),
            source: source.into(),
            r#type: kind.into(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
        }],
        ..Default::default()
    };
    check(
        none(),
        mount("none", "/usr/lib/../lib/nvidia/a", "/usr//lib/x/", &["rbind", "ro", "nodev"]),
        &[
            ("mounts: {allow: [{source: \"/usr/lib/nvidia/**\", destination: \"/usr/lib/**\"}]}", true),
            ("mounts: {allow: [{source: \"/usr/lib/*\"}]}", false),
            ("mounts: {allow: [{type: bind}]}", true),
            ("mounts: {allow: [{type: [tmpfs, none]}]}", false),
            ("mounts: {allow: [{options: {require: [ro, nodev]}}]}", true),
            ("mounts: {allow: [{options: {require: [ro, nosuid]}}]}", false),
            ("mounts: {allow: [{options: {forbid: [rw, nodev]}}]}", false),
            ("mounts: {deny: [\"@host-sensitive\", \"@runtime-sockets\"]}", true),
            ("mounts: {deny: [{options: {require: [rshared]}}]}", true),
        ],
    );
    check(
        none(),
        mount("bind", "/link", "/d", &[]),
        &[
            ("mounts: {allow: [{source: \"/usr/*\", resolve: real}]}", true),
            ("mounts: {allow: [{source: \"/link\", resolve: real}]}", false),
            ("mounts: {allow: [{source: \"/link\"}]}", true),
            ("mounts: {allow: [{source: \"/link\", resolve: no-symlinks}]}", false),
        ],
    );
    check(
        none(),
        mount("bind", "/gone", "/d", &[]),
        &[
            ("mounts: {allow: [{source: \"/gone\", resolve: real}]}", false),
            ("mounts: {allow: [{source: \"/gone\", resolve: no-symlinks}]}", false),
        ],
    );
    check(
        none(),
        mount("bind", "/var/run/containerd", "/d", &[]),
        &[
            ("mounts: {deny: [\"@host-sensitive\"]}", false),
            ("mounts: {deny: [\"@runtime-sockets\"]}", false),
            ("mounts: {deny: [{source: /run/containerd}]}", false),
        ],
    );
}

#[test]
fn hooks() {
    let hook = |path: &str, timeout: Option<i64>| ContainerAdjustment {
        hooks: Some(Hooks {
            create_runtime: vec![Hook {
                path: path.into(),
                args: vec!["h".into(), "x".into()],
                env: vec!["A=1".into(), "B=2".into()],
                timeout: timeout.map(Into::into),
            }],
            ..Default::default()
        }),
        ..Default::default()
    };
    let digest = "ab".repeat(32);
    check(
        none(),
        hook("/h", Some(5)),
        &[
            ("hooks: {allow: [{path: /h, type: createRuntime}]}", true),
            ("hooks: {allow: [{type: [poststart, poststop]}]}", false),
            (&format!("hooks: {{allow: [{{sha256: \"sha256:{digest}\"}}]}}"), true),
            (&format!("hooks: {{allow: [{{sha256: \"{}\"}}]}}", "cd".repeat(32)), false),
            ("hooks: {allow: [{args: [h, \"*\"]}]}", true),
            ("hooks: {allow: [{args: [h]}]}", false),
            ("hooks: {allow: [{env: [A, \"B*\"]}]}", true),
            ("hooks: {allow: [{env: [A]}]}", false),
            ("hooks: {allow: [{timeoutMax: 5}]}", true),
            ("hooks: {allow: [{timeoutMax: 4}]}", false),
        ],
    );
    check(
        none(),
        hook("/other", None),
        &[
            (&format!("hooks: {{allow: [{{sha256: \"{digest}\"}}]}}"), false),
            ("hooks: {allow: [{timeoutMax: 5}]}", false),
        ],
    );
}

/// A device is its type and number, not its path (F15).
#[test]
fn devices() {
    let device = |kind: &str, major, minor, mode: Option<u32>| {
        linux(LinuxContainerAdjustment {
            devices: vec![LinuxDevice {
                path: "/dev/x".into(),
                r#type: kind.into(),
                major,
                minor,
                file_mode: mode.map(|value| nri_wire::api::OptionalFileMode { value }),
                uid: Some(5.into()),
                gid: None,
            }],
            ..Default::default()
        })
    };
    check(
        none(),
        device("c", 195, 0, Some(0o660)),
        &[
            ("devices: {allow: [{host: \"/dev/nvidia*\"}]}", true),
            ("devices: {allow: [{host: \"/dev/sd*\"}]}", false),
            ("devices: {allow: [{number: \"c 195:*\"}]}", true),
            ("devices: {allow: [{number: [\"b *:*\", \"c 195:1\"]}]}", false),
            ("devices: {allow: [{path: \"/dev/*\"}]}", true),
            ("devices: {allow: [{fileMode: 0660}]}", true),
            ("devices: {allow: [{fileMode: \"0o777\"}]}", true),
            ("devices: {allow: [{fileMode: 0640}]}", false),
            ("devices: {allow: [{fileMode: 432}]}", true),
            ("devices: {allow: [{uid: 5, gid: [0, 7]}]}", true),
            ("devices: {allow: [{uid: [4, 6]}]}", false),
            ("devices: {deny: [\"@host-devices\"]}", true),
        ],
    );
    check(
        none(),
        device("b", 195, 0, None),
        &[
            ("devices: {allow: [{host: \"/dev/nvidia*\"}]}", false),
            ("devices: {allow: [{number: \"c 195:*\"}]}", false),
            ("devices: {allow: [{fileMode: 0400}]}", true),
            ("devices: {deny: [\"@host-devices\"]}", false),
        ],
    );
}

/// What comes with a device is cut to the letters of the entries that match, of several policies to what all give.
#[test]
fn device_access_is_cut() {
    let device = LinuxDevice { path: "/dev/x".into(), r#type: "c".into(), major: 195, ..Default::default() };
    let adjust = linux(LinuxContainerAdjustment { devices: vec![device], ..Default::default() });
    let one = level("devices: {allow: [{access: r}, {access: w}, {path: /other}]}");
    let two = level("devices: {allow: [{access: rm}]}");
    let all = level("devices: allow");
    for (specs, expect) in [
        (&[&*one][..], Some("rw")),
        (&[&*one, &*two], Some("r")),
        (&[&*two, &*all], Some("rm")),
        (&[&*all], None),
    ] {
        let judge = judge(specs);
        let verdict = Case::new(none()).adjust(&judge, adjust.clone());
        let permitted = verdict.permitted.unwrap();
        let cuts: Vec<_> =
            permitted.cuts().iter().map(|(path, access)| (&**path, access.letters())).collect();
        assert_eq!(
            cuts,
            expect.map(|letters| ("/dev/x", letters.to_owned())).into_iter().collect::<Vec<_>>()
        );
    }
}

#[test]
fn device_rules() {
    let rule = |allow, kind: &str, major: Option<i64>, minor: Option<i64>, access: &str| {
        resources(LinuxResources {
            devices: vec![LinuxDeviceCgroup {
                allow,
                r#type: kind.into(),
                major: major.map(Into::into),
                minor: minor.map(Into::into),
                access: access.into(),
            }],
            ..Default::default()
        })
    };
    check(
        none(),
        rule(true, "c", Some(195), Some(0), "rw"),
        &[
            ("deviceCgroup: {allow: [{effect: allow}]}", true),
            ("deviceCgroup: {allow: [{effect: deny}]}", false),
            ("deviceCgroup: {allow: [{access: rwm}]}", true),
            ("deviceCgroup: {allow: [{access: r}]}", false),
            ("deviceCgroup: {allow: [{number: \"c 195:*\"}]}", true),
            ("deviceCgroup: {allow: [{host: \"/dev/nvidia*\"}]}", true),
            ("deviceCgroup: {deny: [\"@host-devices\"]}", true),
        ],
    );
    check(
        none(),
        rule(true, "c", Some(195), None, ""),
        &[
            ("deviceCgroup: {allow: [{number: \"c 195:*\"}]}", true),
            ("deviceCgroup: {allow: [{number: \"c 195:0\"}]}", false),
            ("deviceCgroup: {allow: [{access: rw}]}", false),
            ("deviceCgroup: {allow: [{host: \"/dev/nvidia*\"}]}", false),
            ("deviceCgroup: {deny: [\"@host-devices\"]}", false),
        ],
    );
    check(
        none(),
        rule(true, "a", None, None, "rwm"),
        &[
            ("deviceCgroup: {allow: [{number: \"c *:*\"}]}", false),
            ("deviceCgroup: {allow: [{number: \"* *:*\"}]}", true),
            ("deviceCgroup: {deny: [\"@host-devices\"]}", false),
        ],
    );
}

/// A rule with `expand` refuses every CDI device until CDI files can be looked into.
#[test]
fn cdi_devices() {
    let adjust = ContainerAdjustment {
        cdi_devices: vec![nri_wire::api::CdiDevice { name: "nvidia.com/gpu=0".into() }],
        ..Default::default()
    };
    check(
        none(),
        adjust,
        &[
            ("cdiDevices: {allow: [{name: \"nvidia.com/gpu=*\"}]}", true),
            ("cdiDevices: {allow: [{name: \"*\"}], expand: {hooks: deny}}", false),
            ("cdiDevices: {allow: [{name: \"amd.com/*\"}]}", false),
        ],
    );
}
