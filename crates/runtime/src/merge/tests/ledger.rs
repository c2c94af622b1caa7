//! CONF-026 to 036, and what the ledger records beyond the reference's tables.

use std::sync::Arc;

use nri_wire::api::{Field as ApiField, FieldOwners, OwningPlugins};
use nri_wire::field::Field::{
    self, Args, CpuShares, DeviceCgroup, Env, Hooks, MemoryLimit, Mounts, Namespaces,
};
use nri_wire::name::PluginName;

use crate::merge::{Holder, Ledger};

fn plugin(name: &str) -> Arc<PluginName> {
    Arc::new(name.parse().unwrap())
}

/// One operation of plugin `0`, on container `1`, field `2`, key `3`, and whether it succeeds.
enum Step {
    Claim(&'static str, &'static str, Field, &'static str, bool),
    Clear(&'static str, &'static str, Field, &'static str),
    Remove(&'static str, &'static str, Field, &'static str),
    Share(&'static str, &'static str, Field, &'static str),
}
use Step::{Claim, Clear, Remove, Share};

const X: &str = "10-x";
const Y: &str = "20-y";
const Z: &str = "30-z";

#[track_caller]
fn check(id: &str, steps: &[Step]) -> Ledger {
    let mut ledger = Ledger::default();
    for (n, step) in steps.iter().enumerate() {
        match *step {
            Claim(by, container, field, key, ok) => {
                let result = ledger.claim(container, field, key, &plugin(by));
                assert_eq!(result.is_ok(), ok, "{id}, step {n}: {result:?}");
            }
            Clear(by, container, field, key) => ledger.clear(container, field, key, &plugin(by)),
            Remove(by, container, field, key) => ledger.remove(container, field, key, &plugin(by)),
            Share(by, container, field, key) => ledger.share(container, field, key, &plugin(by)),
        }
    }
    ledger
}

#[test]
fn claims() {
    let simple = [
        Share(X, "a", Hooks, ""),
        Claim(X, "a", MemoryLimit, "", true),
        Claim(X, "a", CpuShares, "", true),
        Claim(X, "a", Args, "", true),
    ];
    check("CONF-026", &simple);
    check("CONF-027", &[Claim(X, "a", MemoryLimit, "", true), Claim(X, "b", MemoryLimit, "", true)]);
    for field in [MemoryLimit, CpuShares, Args] {
        check("CONF-028", &[Claim(X, "a", field, "", true), Claim(Y, "a", field, "", false)]);
    }
    for (set, other, field, key) in [
        ("CONF-029", "CONF-030", Args, ""),
        ("CONF-033", "CONF-034", Env, "V"),
        ("mounts", "mounts", Mounts, "/m"),
    ] {
        check(
            set,
            &[Claim(X, "a", field, key, true), Clear(Y, "a", field, key), Claim(Y, "a", field, key, true)],
        );
        check(other, &[Clear(Y, "a", field, key), Claim(X, "a", field, key, false)]);
    }
    check(
        "CONF-031",
        &[Claim(X, "a", Env, "V", true), Claim(X, "a", Env, "W", true), Claim(Y, "b", Env, "V", true)],
    );
    check("CONF-032", &[Claim(X, "a", Env, "V", true), Claim(Y, "a", Env, "V", false)]);
    check("D12", &[Claim(X, "a", Env, "V", true), Claim(X, "a", Env, "V", false)]);
    check("correction 2", &[Remove(X, "a", Env, "V"), Claim(Y, "a", Env, "V", true)]);
    check("D9", &[Claim(X, "a", Env, "V", true), Remove(Y, "a", Env, "V"), Claim(Z, "a", Env, "V", true)]);
}

/// CONF-035: the owners of hooks in order, each once in a row.
#[test]
fn hooks_are_shared() {
    let ledger = check(
        "CONF-035",
        &[
            Share(X, "a", Hooks, ""),
            Share(X, "a", Hooks, ""),
            Share(Y, "a", Hooks, ""),
            Share(Z, "a", Hooks, ""),
        ],
    );
    let owners = FieldOwners { simple: [(3, "10-x,20-y,30-z".to_owned())].into(), ..Default::default() };
    assert_eq!(ledger.owners(), OwningPlugins { owners: [("a".to_owned(), owners)].into() });
}

/// CONF-036: the numbers print as the protocol's names; a conflict names both plugins, field and key.
#[test]
fn texts() {
    assert_eq!(ApiField::try_from(1).unwrap().as_str_name(), "Annotations");
    let mut ledger = Ledger::default();
    for (field, key, text) in [
        (Field::PidsLimit, "", r#"plugins "20-y" and "10-x" both tried to set PidsLimit"#),
        (Field::Annotations, "k", r#"plugins "20-y" and "10-x" both tried to set Annotations k"#),
        (Field::Sysctl, "", r#"plugins "20-y" and "10-x" both tried to set Sysctl"#),
    ] {
        ledger.claim("a", field, key, &plugin(X)).unwrap();
        assert_eq!(ledger.claim("a", field, key, &plugin(Y)).unwrap_err().to_string(), text);
    }
}

/// A11: removals and device rules are recorded; validators see the reference's tables.
#[test]
fn recorded_and_shown() {
    let ledger = check(
        "A11",
        &[
            Remove(X, "a", Mounts, "/client"),
            Claim(X, "a", Mounts, "/plugin", true),
            Remove(Y, "a", Mounts, "/plugin"),
            Remove(Z, "a", Mounts, "/plugin"),
            Remove(X, "a", Namespaces, "ipc"),
            Share(X, "a", DeviceCgroup, "c 1:*"),
            Remove(X, "a", Field::RdtClosId, ""),
        ],
    );
    let removed = |by, earlier| Some(Holder::Removed { by: plugin(by), earlier });
    assert_eq!(ledger.holder("a", Mounts, "/client").cloned(), removed(X, false));
    assert_eq!(ledger.holder("a", Mounts, "/plugin").cloned(), removed(Y, true));
    assert_eq!(ledger.holder("a", DeviceCgroup, "c 1:*"), Some(&Holder::Shared(vec![plugin(X)])));
    assert_eq!(ledger.holder("b", Mounts, "/client"), None);
    let shown = ledger.owners();
    let owners = &shown.owners["a"];
    let compound: Vec<_> = owners.compound.iter().map(|(n, c)| (*n, c.owners.clone())).collect();
    let row = |k: &str, v: &str| [(k.to_owned(), v.to_owned())].into();
    assert_eq!(compound, [(2, row("/plugin", "-20-y")), (33, row("ipc", "10-x"))]);
    assert_eq!(owners.simple, [(37, "-10-x".to_owned())].into());
}
