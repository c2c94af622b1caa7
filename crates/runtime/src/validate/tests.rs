//! CONF-180 to 193 and 245 to 254 as far as they speak of the request and the default validator; A10 to A12.

use std::collections::BTreeMap;

use nri_policy::identity::Facts;
use nri_policy::judge::{Asked, Judge};
use nri_wire::api::*;
use nri_wire::name::PluginName;

use super::{DefaultValidator, REQUIRED_PLUGINS, Rejection, request};
use crate::merge::Creation;

/// A pod with annotations, a container `ctr` with a kind of seccomp profile, and one answer of `00-foo`.
struct Setting {
    annotations: &'static [(&'static str, &'static str)],
    profile: Option<i32>,
    adjust: ContainerAdjustment,
    answered: &'static [&'static str],
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            annotations: &[],
            profile: None,
            adjust: ContainerAdjustment::default(),
            answered: &["00-foo"],
        }
    }
}

impl Setting {
    fn request(&self) -> ValidateContainerAdjustmentRequest {
        let text = |pairs: &[(&str, &str)]| -> BTreeMap<_, _> {
            pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()
        };
        let mut creation = Creation::new(CreateContainerRequest {
            pod: Some(PodSandbox { annotations: text(self.annotations), ..Default::default() }),
            container: Some(Container {
                id: "id".into(),
                name: "ctr".into(),
                linux: Some(LinuxContainer {
                    namespaces: vec![LinuxNamespace { r#type: "cgroup".into(), path: String::new() }],
                    sysctl: text(&[("client", "1")]),
                    seccomp_profile: self
                        .profile
                        .map(|profile_type| SecurityProfile { profile_type, localhost_ref: String::new() }),
                    ..Default::default()
                }),
                ..Default::default()
            }),
        });
        let plugin: PluginName = "00-foo".parse().unwrap();
        let answer = CreateContainerResponse { adjust: Some(self.adjust.clone()), ..Default::default() };
        let asked =
            Asked { plugin: &plugin, facts: Facts::nothing(), basis: creation.basis(&()), unknown: &[] };
        let permitted = Judge::allow_all().judge(&asked, answer).permitted.unwrap();
        creation.apply(&plugin, permitted).unwrap();
        let answered: Vec<PluginName> = self.answered.iter().map(|name| name.parse().unwrap()).collect();
        request(&creation.finish(), &answered)
    }
}

#[track_caller]
fn check(id: &str, validator: &DefaultValidator, setting: &Setting, expect: Result<(), &str>) {
    let result = validator.validate(&setting.request()).map_err(|rejection| rejection.to_string());
    assert_eq!(result, expect.map_err(str::to_owned), "{id}");
}

fn linux(linux: LinuxContainerAdjustment) -> ContainerAdjustment {
    ContainerAdjustment { linux: Some(linux), ..Default::default() }
}

fn sysctl(key: &str) -> ContainerAdjustment {
    linux(LinuxContainerAdjustment {
        sysctl: [(key.to_owned(), "1".to_owned())].into(),
        ..Default::default()
    })
}

fn hooks() -> ContainerAdjustment {
    let hooks = Hooks { prestart: vec![Hook::default()], ..Default::default() };
    ContainerAdjustment { hooks: Some(hooks), ..Default::default() }
}

fn namespaces(kinds: &[&str]) -> ContainerAdjustment {
    let namespaces =
        kinds.iter().map(|&kind| LinuxNamespace { r#type: kind.into(), path: String::new() }).collect();
    linux(LinuxContainerAdjustment { namespaces, ..Default::default() })
}

/// 12.1: what a validator sees. CONF-180, 181: a validator decides by the owner of an annotation.
#[test]
fn the_request() {
    let adjust = ContainerAdjustment {
        annotations: [("key".to_owned(), "v".to_owned())].into(),
        ..Default::default()
    };
    let request =
        Setting { adjust: adjust.clone(), answered: &["00-foo", "10-bar-x"], ..Default::default() }.request();
    assert_eq!(request.adjust, Some(adjust));
    let container = request.container.unwrap();
    assert!(container.annotations.is_empty(), "the container is the one before any plugin");
    assert!(container.hooks.is_some(), "and normalised");
    let owners = &request.owners.unwrap().owners["id"].compound[&1].owners;
    assert_eq!(owners, &[("key".to_owned(), "00-foo".to_owned())].into());
    let plugin = |name: &str, index: &str| PluginInstance { name: name.into(), index: index.into() };
    assert_eq!(request.plugins, [plugin("foo", "00"), plugin("bar-x", "10")]);
}

#[test]
fn hooks_and_namespaces() {
    let validator = DefaultValidator { reject_hooks: true, reject_namespaces: true, ..Default::default() };
    check("CONF-182 without", &validator, &Setting::default(), Ok(()));
    let text = r#"validation error: plugin "00-foo" attempted restricted OCI hook injection"#;
    check("CONF-182 with", &validator, &Setting { adjust: hooks(), ..Default::default() }, Err(text));
    check("off", &DefaultValidator::default(), &Setting { adjust: hooks(), ..Default::default() }, Ok(()));
    assert_eq!(
        Rejection::Hooks("a,b".into()).to_string(),
        r#"validation error: plugins "a,b" attempted restricted OCI hook injection"#
    );
    for (id, kinds, key) in [("CONF-189", ["cgroup"], "cgroup"), ("A11, removal", ["-cgroup"], "cgroup")] {
        let setting = Setting { adjust: namespaces(&kinds), ..Default::default() };
        let rejection = validator.validate(&setting.request()).unwrap_err();
        assert_eq!(rejection, Rejection::Namespaces(vec![("00-foo".into(), key.into())]), "{id}");
        check(id, &DefaultValidator::default(), &setting, Ok(()));
    }
}

/// CONF-183 to 188: which rule holds depends on the kind of the container's own profile.
#[test]
fn seccomp() {
    let adjust = linux(LinuxContainerAdjustment {
        seccomp_policy: Some(LinuxSeccomp { default_action: "SCMP_ACT_ALLOW".into(), ..Default::default() }),
        ..Default::default()
    });
    let rules = |runtime_default, unconfined, custom| DefaultValidator {
        reject_runtime_default_seccomp: runtime_default,
        reject_unconfined_seccomp: unconfined,
        reject_custom_seccomp: custom,
        ..Default::default()
    };
    let all = rules(true, true, true);
    for (id, profile, on, off, kind) in [
        ("CONF-183, 184", Some(0), rules(true, false, false), rules(false, true, true), "runtime default"),
        ("CONF-185, 186", Some(2), rules(false, false, true), rules(true, true, false), "custom"),
        ("CONF-187, 188", Some(1), rules(false, true, false), rules(true, false, true), "unconfined"),
        (
            "A12: no profile is unconfined",
            None,
            rules(false, true, false),
            rules(true, false, true),
            "unconfined",
        ),
        ("an unknown kind", Some(9), rules(false, false, true), rules(false, false, false), "unknown"),
    ] {
        let text = format!(
            r#"validation error: plugin "00-foo" attempted restricted {kind} seccomp policy adjustment"#
        );
        let setting = Setting { profile, adjust: adjust.clone(), ..Default::default() };
        check(id, &on, &setting, Err(&text));
        check(id, &off, &setting, Ok(()));
        check(id, &all, &Setting { profile, ..Default::default() }, Ok(()));
    }
}

/// CONF-190 to 193, 245 to 253; A10: plugins count if they answered.
#[test]
fn required_plugins() {
    let required = |names: &[&str]| DefaultValidator {
        required_plugins: names.iter().map(|&name| name.into()).collect(),
        tolerate_missing_annotation: "tolerate".into(),
        ..Default::default()
    };
    let both = required(&["foo", "10-bar"]);
    let missing = |names: &str| format!("validation error: required plugin {names:?} not present");
    assert_eq!(REQUIRED_PLUGINS, "required-plugins.noderesource.dev");
    let plugin: &'static [(&str, &str)] =
        &[("required-plugins.noderesource.dev/container.ctr", "[ plugin ]")];
    let with = |annotations, answered| Setting { annotations, answered, ..Default::default() };

    check("CONF-245", &required(&[]), &with(&[], &[]), Ok(()));
    check("CONF-246", &required(&[]), &with(plugin, &[]), Err(&missing("plugin")));
    check("CONF-247", &required(&[]), &with(plugin, &["00-plugin"]), Ok(()));
    check("CONF-248", &required(&["global"]), &with(&[], &[]), Err(&missing("global")));
    check("CONF-249", &required(&["global"]), &with(&[], &["00-global"]), Ok(()));
    check("CONF-250", &required(&["global"]), &with(&[("tolerate", "true")], &[]), Ok(()));
    check("CONF-251", &required(&["global"]), &with(plugin, &["00-global", "10-plugin"]), Ok(()));
    check("CONF-252", &required(&["global"]), &with(plugin, &["00-global"]), Err(&missing("plugin")));
    check("CONF-253", &required(&["global"]), &with(plugin, &["00-plugin"]), Err(&missing("global")));
    check("CONF-190", &both, &with(&[], &["00-foo"]), Err(&missing("10-bar")));
    check("CONF-191", &both, &with(&[("tolerate/container.ctr", "true")], &["00-foo"]), Ok(()));
    check("CONF-192", &both, &with(&[], &["00-foo", "10-bar"]), Ok(()));
    let xyzzy: &'static [(&str, &str)] = &[("required-plugins.noderesource.dev/container.ctr", "- xyzzy\n")];
    check("CONF-193 before", &both, &with(xyzzy, &["00-foo", "10-bar"]), Err(&missing("xyzzy")));
    check("CONF-193 after", &both, &with(xyzzy, &["00-foo", "10-bar", "20-xyzzy"]), Ok(()));
    let elsewhere: &'static [(&str, &str)] =
        &[("required-plugins.noderesource.dev/container.other", "[xyzzy]")];
    check("another container's", &both, &with(elsewhere, &["00-foo", "10-bar"]), Ok(()));

    check("an index that differs", &both, &with(&[], &["00-foo", "20-bar"]), Err(&missing("10-bar")));
    check(
        "both missing",
        &both,
        &with(&[], &[]),
        Err(r#"validation error: required plugins "foo,10-bar" not present"#),
    );
    check("not tolerated", &both, &with(&[("tolerate", "F")], &["00-foo"]), Err(&missing("10-bar")));
    check(
        "the container's word counts",
        &both,
        &with(&[("tolerate", "true"), ("tolerate/container.ctr", "0")], &["00-foo"]),
        Err(&missing("10-bar")),
    );
    let text = r#"invalid tolerate annotation "yes": not a boolean"#;
    check("no boolean", &both, &with(&[("tolerate", "yes")], &["00-foo", "10-bar"]), Err(text));
    let text = r#"invalid required-plugins.noderesource.dev annotation "{a: b}": not a list"#;
    let map: &'static [(&str, &str)] = &[("required-plugins.noderesource.dev", "{a: b}")];
    check("no list", &both, &with(map, &["00-foo", "10-bar"]), Err(text));
    let plain = DefaultValidator { required_plugins: vec!["global".into()], ..Default::default() };
    check("no toleration key", &plain, &with(&[("", "true")], &[]), Err(&missing("global")));
}

#[test]
fn sysctls() {
    let validator = DefaultValidator { reject_sysctl: true, ..Default::default() };
    let changed = |by: &str, key: &str| Err(Rejection::Sysctl(vec![(by.into(), key.into())]));
    for (id, key, expect) in [
        ("CONF-254", "net.ipv4.ip_forward", changed("00-foo", "net.ipv4.ip_forward")),
        ("A11: a removal of the client's", "-client", changed("unknown", "client")),
    ] {
        let setting = Setting { adjust: sysctl(key), ..Default::default() };
        assert_eq!(validator.validate(&setting.request()), expect, "{id}");
        check(id, &DefaultValidator::default(), &setting, Ok(()));
    }
    check("none", &validator, &Setting::default(), Ok(()));
}

/// A request that says nothing is accepted, whatever is missing in it.
#[test]
fn an_empty_request() {
    let validator = DefaultValidator {
        reject_hooks: true,
        reject_namespaces: true,
        reject_sysctl: true,
        reject_unconfined_seccomp: true,
        ..Default::default()
    };
    assert_eq!(validator.validate(&ValidateContainerAdjustmentRequest::default()), Ok(()));
}
