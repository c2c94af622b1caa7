//! Where ours differs from the reference on purpose. Each deviation says where, and in which cases; a difference that
//! none explains fails the test, and so does a deviation that does not occur any more.

use std::collections::{BTreeMap, BTreeSet};

use nri_wire::field::{Field, adjustment, is_marked};

use serde_json::{Value, json};

use crate::case::Case;

pub(crate) struct Deviation {
    /// Quirk or correction.
    pub(crate) id: &'static str,
    /// JSON pointers below which the spec may differ; "" where the one fails and the other does not.
    places: &'static [&'static str],
    when: fn(&Case) -> bool,
    /// What both sides must still have in common there.
    alike: fn(&Value, &Value) -> bool,
}

impl Deviation {
    pub(crate) fn explains(&self, pointer: &str, (ours, theirs): &(Value, Value), case: &Case) -> bool {
        let here = self
            .places
            .iter()
            .any(|place| if place.is_empty() { pointer.is_empty() } else { pointer.starts_with(place) });
        here && (self.when)(case) && (self.alike)(ours, theirs)
    }
}

pub(crate) const DEVIATIONS: &[Deviation] = &[
    Deviation {
        id: "E10: specs without a process or a linux part",
        places: &[""],
        when: |case| {
            let crashes = |part: &str, is_set: bool| case.spec.get(part).is_none() && is_set;
            crashes("linux", case.linux().seccomp_policy.is_some())
                || crashes("process", !case.adjust.rlimits.is_empty())
        },
        alike: crashes,
    },
    Deviation {
        id: "E11: classes that nobody resolves",
        places: &["", "/linux/resources/blockIO", "/linux/intelRdt"],
        when: |case| {
            let resources = case.resources();
            !case.resolves && (resources.blockio_class.is_some() || resources.rdt_class.is_some())
        },
        alike: any,
    },
    Deviation {
        id: "correction 8: unknown numbers",
        places: &[""],
        when: |case| {
            let linux = case.linux();
            linux.io_priority.as_ref().is_some_and(|io| io.class == 9)
                || linux.scheduler.as_ref().is_some_and(|scheduler| scheduler.policy == 9)
                || linux.memory_policy.as_ref().is_some_and(|policy| policy.mode == 9)
        },
        alike: theirs_only,
    },
    Deviation {
        id: "correction 1: time namespaces",
        places: &[""],
        when: |case| case.linux().namespaces.iter().any(|namespace| namespace.r#type == "time"),
        alike: ours_only,
    },
    Deviation {
        id: "variables with '=' in their name",
        places: &[""],
        when: |case| case.adjust.env.iter().any(|variable| variable.key.contains('=')),
        alike: theirs_only,
    },
    Deviation {
        id: "E4: propagation of the mount before",
        places: &["", "/linux/rootfsPropagation"],
        when: |case| {
            let names = ["rprivate", "rslave", "rshared"];
            let last = |options: &[String]| options.iter().any(|option| names.contains(&option.as_str()));
            let set = case.adjust.mounts.iter().filter(|mount| is_marked(&mount.destination).is_none());
            set.clone().any(|mount| last(&mount.options)) && set.clone().any(|mount| !last(&mount.options))
        },
        alike: any,
    },
    Deviation {
        id: "D3, E1: maps with a key and its removal",
        places: &["/annotations", "/linux/sysctl", "/linux/netDevices"],
        when: |case| {
            let both = |keys: Vec<&String>| {
                keys.iter()
                    .any(|key| is_marked(key).is_some_and(|key| keys.iter().any(|other| *other == key)))
            };
            let linux = case.linux();
            both(case.adjust.annotations.keys().collect())
                || both(linux.sysctl.keys().collect())
                || both(linux.net_devices.keys().collect())
        },
        alike: any,
    },
    Deviation {
        id: "idempotence: hooks with which the spec's end already",
        places: &["/hooks/prestart", "/hooks/poststop"],
        when: |case| {
            let there = |kind: &str| case.spec.pointer(&format!("/hooks/{kind}/0/path")).cloned();
            let Some(hooks) = &case.adjust.hooks else { return false };
            [("prestart", &hooks.prestart), ("poststop", &hooks.poststop)].into_iter().any(|(kind, list)| {
                let there = there(kind);
                !list.is_empty()
                    && list.iter().all(|hook| there.as_ref().is_some_and(|path| *path == hook.path))
            })
        },
        alike: any,
    },
    Deviation {
        id: "E2: the default errno",
        places: &["/linux/seccomp/defaultErrnoRet"],
        when: |case| {
            case.linux().seccomp_policy.as_ref().is_some_and(|policy| policy.default_errno.is_some())
        },
        alike: absent_there,
    },
    Deviation {
        id: "E3: memory fields",
        places: &["/linux/resources/memory"],
        when: |case| {
            adjustment(&case.adjust)
                .iter()
                .any(|entry| entry.field != Field::MemoryLimit && entry.field.name().starts_with("memory."))
        },
        alike: any,
    },
    Deviation {
        id: "E5, D8: limits of one type",
        places: &["/process/rlimits"],
        when: |case| meets(case, Field::Rlimits, &case.has("/process/rlimits", Some("type"))),
        alike: any,
    },
    Deviation {
        id: "D8: huge page limits that the spec has twice",
        places: &["/linux/resources/hugepageLimits"],
        when: |case| doubled(&case.has("/linux/resources/hugepageLimits", Some("pageSize"))),
        alike: any,
    },
    Deviation {
        id: "E6: unlimited processes",
        places: &["/linux/resources/pids"],
        when: |case| case.resources().pids.as_ref().is_some_and(|pids| pids.limit < 0),
        alike: unlimited,
    },
    Deviation {
        id: "E7: device rules",
        places: &["/linux/resources/devices"],
        when: |case| {
            let set = || case.linux().devices.iter().filter(|device| is_marked(&device.path).is_none());
            // Other kinds than block devices, rules that are there already, devices that one adjustment has twice.
            set().any(|device| device.r#type != "b")
                || !case.resources().devices.is_empty()
                || set().count() > 1
                || (set().count() == 1 && case.spec.pointer("/linux/resources/devices").is_some())
        },
        alike: same_rules,
    },
    Deviation {
        id: "rules of devices that an adjustment has twice",
        places: &["/linux/resources/devices"],
        when: |case| repeated(case, Field::Devices),
        alike: fewer_rules,
    },
    Deviation {
        id: "correction 10: devices of one path, removals first",
        places: &["/linux/devices"],
        when: |case| doubled(&case.has("/linux/devices", Some("path"))) || repeated(case, Field::Devices),
        alike: any,
    },
    Deviation {
        id: "correction 11, E8: doubled variables and such without '=' or a name",
        places: &["/process/env"],
        when: |case| {
            let env = case.has("/process/env", None);
            let names: Vec<&str> =
                env.iter().map(|variable| variable.split('=').next().unwrap_or_default()).collect();
            doubled(&names)
                || env.iter().any(|variable| !variable.contains('='))
                || names.contains(&"")
                || repeated(case, Field::Env)
        },
        alike: any,
    },
    Deviation {
        id: "mounts of one destination, removals first",
        places: &["", "/mounts", "/linux/rootfsPropagation"],
        when: |case| doubled(&case.has("/mounts", Some("destination"))) || repeated(case, Field::Mounts),
        alike: any,
    },
    Deviation {
        id: "namespaces of one type, removals first",
        places: &["/linux/namespaces"],
        when: |case| {
            doubled(&case.has("/linux/namespaces", Some("type"))) || repeated(case, Field::Namespaces)
        },
        alike: any,
    },
];

fn any(_: &Value, _: &Value) -> bool {
    true
}

fn crashes(_: &Value, theirs: &Value) -> bool {
    theirs.get("panic").is_some()
}

fn ours_only(ours: &Value, theirs: &Value) -> bool {
    ours.get("error").is_none() && theirs.get("error").is_some()
}

fn theirs_only(ours: &Value, theirs: &Value) -> bool {
    ours.get("error").is_some() && theirs.get("error").is_none()
}

fn absent_there(ours: &Value, theirs: &Value) -> bool {
    ours.is_number() && theirs.is_null()
}

fn unlimited(ours: &Value, _: &Value) -> bool {
    *ours == json!(-1)
}

fn same_rules(ours: &Value, theirs: &Value) -> bool {
    rules(ours) == rules(theirs)
}

fn fewer_rules(ours: &Value, theirs: &Value) -> bool {
    rules(ours).is_subset(&rules(theirs))
}

/// Rules as a set, if each device that is a device gets all access.
fn rules(list: &Value) -> BTreeSet<String> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter(|rule| rule["type"] != "p")
        .map(|rule| {
            let mut rule = rule.clone();
            if rule["access"] == "rw" {
                rule["access"] = json!("rwm");
            }
            if rule["type"] == "u" {
                rule["type"] = json!("c");
            }
            ["allow", "type", "major", "minor", "access"].map(|name| rule[name].to_string()).join(" ")
        })
        .collect()
}

fn doubled(keys: &[&str]) -> bool {
    let mut seen = BTreeSet::new();
    !keys.iter().all(|key| seen.insert(key))
}

/// Whether the adjustment names a key of the field more than once.
fn repeated(case: &Case, field: Field) -> bool {
    let mut count = BTreeMap::new();
    for entry in adjustment(&case.adjust).iter().filter(|entry| entry.field == field) {
        *count.entry(entry.key).or_insert(0) += 1;
    }
    count.values().any(|count| *count > 1)
}

/// Whether the adjustment names a key that is there, or one more than once.
fn meets(case: &Case, field: Field, there: &[&str]) -> bool {
    doubled(there)
        || repeated(case, field)
        || adjustment(&case.adjust).iter().any(|entry| entry.field == field && there.contains(&entry.key))
}
