//! What holds for all policies and answers.

use nri_wire::api::{Container, ContainerAdjustment, CreateContainerResponse};
use nri_wire::field::FIELDS;
use proptest::prelude::*;

use super::kit::{Case, judge, left};
use super::sample::{adjustment, sample};
use crate::change::{self, Change, Containers, Op, Recorded};
use crate::rule::FieldKey;

const RULES: [&str; 8] = [
    "allow",
    "deny",
    "{ops: [add]}",
    "{ops: [add, replace, remove]}",
    "{ops: [], onViolation: drop-entry}",
    "{ops: [], mode: warn}",
    "{ops: [], onViolation: drop-plugin}",
    "{ops: [replace, remove], onViolation: drop-entry}",
];

/// A policy that speaks for everybody.
fn policy() -> impl Strategy<Value = String> {
    let keys: Vec<FieldKey> = FieldKey::all().collect();
    let rule = (prop::sample::select(keys), prop::sample::select(RULES.to_vec()));
    let client = prop::sample::select(vec!["ignore", "security", "honour", "honour-unless-tighter"]);
    let mode = prop::sample::select(vec!["enforce", "enforce", "warn", "audit"]);
    (client, mode, prop::collection::vec(rule, 0..6)).prop_map(|(client, mode, mut rules)| {
        rules.sort_by_key(|(key, _)| *key);
        rules.dedup_by_key(|(key, _)| *key);
        let rules: Vec<_> = rules
            .into_iter()
            .filter(|(key, rule)| key.name() != "seccomp" || !rule.starts_with('{'))
            .map(|(key, rule)| format!("\"{key}\": {rule}"))
            .collect();
        let rules = rules.join(", ");
        format!(
            "{{clientOverride: {client}, mode: {mode}, defaultLevel: l, levels: [{{name: l, fields: {{{rules}}}}}]}}"
        )
    })
}

/// What a client has, and what a plugin makes of it.
fn answer() -> impl Strategy<Value = (Container, ContainerAdjustment)> {
    let one = (0..FIELDS.len(), prop::sample::select(vec![Op::Add, Op::Replace, Op::Remove]));
    prop::collection::vec(one, 0..8).prop_map(|picks| {
        use nri_wire::Message as _;
        let mut client = Container::default();
        let mut adjust = ContainerAdjustment::default();
        let mut seen = std::collections::BTreeSet::new();
        for (index, op) in picks {
            let Some(info) = FIELDS.get(index).filter(|_| seen.insert(index)) else { continue };
            let Some(sample) = sample(info.field, op) else { continue };
            client.merge(sample.pristine.encode_to_vec().as_slice()).unwrap();
            adjust.merge(sample.adjust.encode_to_vec().as_slice()).unwrap();
        }
        // Something that the client has already.
        if let Some(same) = FIELDS.first().and_then(|info| adjustment(info.field, 1)) {
            client
                .annotations
                .extend(same.annotations.clone().into_iter().map(|(k, v)| (format!("same{k}"), v)));
            adjust.annotations.extend(same.annotations.into_iter().map(|(k, v)| (format!("same{k}"), v)));
        }
        (client, adjust)
    })
}

/// What counts of an answer; nothing where the request fails.
fn counts(specs: &[&str], client: &Container, adjust: &ContainerAdjustment) -> Vec<Recorded> {
    let verdict = Case::new(client.clone()).adjust(&judge(specs), adjust.clone());
    verdict.permitted.map(|permitted| permitted.changes().to_vec()).unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// A policy more never allows more.
    #[test]
    fn adding_a_policy_never_allows_more(one in policy(), other in policy(), (client, adjust) in answer()) {
        let alone = counts(&[&one], &client, &adjust);
        let both = counts(&[&one, &other], &client, &adjust);
        prop_assert!(both.iter().all(|change| alone.contains(change)), "{one} {other}");
    }

    /// What is on record is what is left of the answer, no more and no less.
    #[test]
    fn what_is_left_is_what_is_recorded(one in policy(), (client, adjust) in answer()) {
        let verdict = Case::new(client.clone()).adjust(&judge(&[&one]), adjust);
        if let Some(left) = left(&verdict) {
            let against = Containers { pristine: &client, running: &client };
            let found: Vec<_> = change::adjustment(&left, against).iter().map(Change::record).collect();
            let permitted = verdict.permitted.unwrap();
            prop_assert_eq!(permitted.changes(), found.as_slice());
            // What says nothing is gone.
            let entries = nri_wire::field::adjustment(&left);
            prop_assert!(entries.iter().all(|entry| !entry.key.starts_with("same")));
        }
    }

    /// No policy refuses a container that nobody changes.
    #[test]
    fn no_changes_no_refusals(one in policy(), (client, _) in answer()) {
        let verdict = Case::new(client).answer(&judge(&[&one]), "10-a", CreateContainerResponse::default(), &());
        prop_assert!(verdict.refused.is_empty() && verdict.permitted.is_some());
    }
}
