//! Every field: each operation under each kind of rule; nothing gets through where everything is denied.

use std::collections::BTreeMap;

use nri_wire::api::{
    Container, ContainerAdjustment, CreateContainerResponse, LinuxResources, StopContainerResponse,
    SynchronizeResponse, UpdateContainerResponse, UpdateContainersRequest,
};
use nri_wire::field::{self, FIELDS, Field};

use super::kit::{Case, fields, judge, left, lines};
use super::sample::{adjustment, sample, update};
use crate::change::{Op, Subject};
use crate::identity::Facts;
use crate::judge::{Answer, Asked, Judge, Other, Permitted, Target, Targets, Update};
use crate::rule::{FieldKey, table};

const OPS: [Op; 3] = [Op::Add, Op::Replace, Op::Remove];

/// What a rule says about each operation of a field, if it is no rule of its own kind.
fn is_granted(field: Field, rule: &str, op: Op) -> Option<bool> {
    let seccomp = field == Field::Seccomp;
    match rule {
        "allow" => Some(op != Op::Remove),
        "deny" => Some(false),
        _ if seccomp => None,
        "{ops: [remove]}" => Some(op == Op::Remove),
        "{ops: [add]}" => Some(op == Op::Add),
        "{ops: [add, replace, remove]}" => Some(true),
        "{allow: []}" => Some(false),
        "{allow: [{}], ops: [add, replace, remove]}" => Some(true),
        "{deny: [{}]}" => Some(false),
        _ => None,
    }
}

/// For every field, operation and kind of rule, by the field's own key and by each group that it is in.
#[test]
fn every_field_under_every_kind_of_rule() {
    let rules = [
        "allow",
        "deny",
        "{ops: [remove]}",
        "{ops: [add]}",
        "{ops: [add, replace, remove]}",
        "{allow: []}",
        "{allow: [{}], ops: [add, replace, remove]}",
        "{deny: [{}]}",
    ];
    let mut judged = 0;
    for info in FIELDS {
        let subject = Subject::Field(info.field);
        for key in FieldKey::deciding(subject) {
            for rule in rules {
                if !matches!(key, FieldKey::Subject(_)) && (rule.contains("allow:") || rule.contains("deny:"))
                {
                    continue;
                }
                for op in OPS {
                    let Some(sample) = sample(info.field, op) else { continue };
                    let through_group = info.field == Field::Seccomp && !matches!(key, FieldKey::Subject(_));
                    let granted = match is_granted(info.field, rule, op) {
                        _ if through_group => rule != "deny",
                        Some(granted) => granted,
                        None => continue,
                    };
                    let judge = fields(&format!("\"{key}\": {rule}"));
                    let verdict = Case::new(sample.pristine).adjust(&judge, only(&sample.adjust, info.field));
                    let refused = lines(&verdict);
                    let expect = if table::danger(subject) >= 5 { "reject" } else { "drop-entry" };
                    let ends = format!(" p0/l/{key} {expect}");
                    let is_right = if granted {
                        refused.is_empty() && left(&verdict).is_some_and(|left| says(&left, info.field))
                    } else {
                        refused.len() == 1
                            && refused.iter().all(|line| line.ends_with(&ends))
                            && left(&verdict).is_none_or(|left| !says(&left, info.field))
                    };
                    assert!(is_right, "{} {op:?} {key}: {rule}: {refused:?}", info.name);
                    judged += 1;
                }
            }
        }
    }
    assert!(judged > 900, "only {judged} cases");
}

/// The part of a sample that is about the field.
fn only(adjust: &ContainerAdjustment, field: Field) -> ContainerAdjustment {
    let mut adjust = adjust.clone();
    let fields: Vec<Field> = field::adjustment(&adjust).iter().map(|entry| entry.field).collect();
    field::retain_adjustment(&mut adjust, |number| fields.get(number) == Some(&field));
    adjust
}

fn says(adjust: &ContainerAdjustment, field: Field) -> bool {
    field::adjustment(adjust).iter().any(|entry| entry.field == field)
}

/// An adjustment that says something about every field.
fn everything() -> ContainerAdjustment {
    let mut all = ContainerAdjustment::default();
    for info in FIELDS {
        merge(&mut all, &adjustment(info.field, 1).unwrap());
    }
    all
}

fn merge(all: &mut ContainerAdjustment, one: &ContainerAdjustment) {
    use nri_wire::Message as _;
    let bytes = one.encode_to_vec();
    all.merge(bytes.as_slice()).unwrap();
}

/// Each entry of an adjustment can be taken out alone, and nothing else goes with it.
#[test]
fn single_entries_can_be_taken_out() {
    let all = everything();
    let entries = field::adjustment(&all);
    assert!(FIELDS.iter().all(|info| entries.iter().any(|entry| entry.field == info.field)));
    for out in 0..entries.len() {
        let mut rest = all.clone();
        field::retain_adjustment(&mut rest, |number| number != out);
        let expect: Vec<_> = entries
            .iter()
            .enumerate()
            .filter(|(number, _)| *number != out)
            .map(|(_, entry)| entry.clone())
            .collect();
        assert_eq!(field::adjustment(&rest), expect);
    }
    let mut none = all.clone();
    field::retain_adjustment(&mut none, |_| false);
    assert_eq!(none, ContainerAdjustment::default());
}

const DENY: &str = "{defaultLevel: l, levels: [{name: l, onViolation: drop-entry, fields: {\"*\": deny}, \
                    updates: {self: allow, others: allow, onStop: allow, sync: allow, unsolicited: allow}}]}";

struct Known(LinuxResources);

impl Targets for Known {
    fn target(&self, _: &str) -> Option<Target<'_>> {
        Some(Target { namespace: Some("default"), labels: None, resources: Some(&self.0) })
    }
}

fn asked<A: Answer>(judge: &Judge, basis: A::Basis<'_>, answer: A) -> Permitted<A> {
    let plugin = "10-a".parse().unwrap();
    let asked = Asked { plugin: &plugin, facts: Facts::nothing(), basis, unknown: &[] };
    judge.judge(&asked, answer).permitted.unwrap()
}

/// Under `"*": deny` no change of any field survives, in no kind of answer.
#[test]
fn where_all_is_denied_nothing_survives() {
    let judge = judge(&[DENY]);
    let verdict = Case::new(Container::default()).adjust(&judge, everything());
    assert_eq!(left(&verdict), Some(ContainerAdjustment::default()));
    assert_eq!(verdict.permitted.unwrap().changes(), &[]);
    assert_eq!(verdict.refused.len(), field::adjustment(&everything()).len());

    let updates: Vec<_> = FIELDS.iter().filter_map(|info| update(info.field, "c")).collect();
    assert!(updates.len() > 18);
    let known = Known(LinuxResources::default());
    for update in updates {
        let list = vec![update.clone()];
        let case = Case::new(Container::default());
        let created = CreateContainerResponse { update: list.clone(), ..Default::default() };
        let created = case.answer(&judge, "10-a", created, &known).permitted.unwrap();
        assert_eq!((created.answer().update.len(), created.changes().len()), (0, 0));
        let pod = case.pod;
        let own = Update { id: "c", pod: Some(&pod), requested: Some(&known.0), targets: &known };
        let updated = UpdateContainerResponse { update: list.clone(), ..Default::default() };
        assert_eq!(asked(&judge, own, updated).answer().update, []);
        let other = Other { targets: &known };
        assert_eq!(asked(&judge, other, StopContainerResponse { update: list.clone() }).answer().update, []);
        let synced = SynchronizeResponse { update: list.clone(), ..Default::default() };
        assert_eq!(asked(&judge, other, synced).answer().update, []);
        let unasked = UpdateContainersRequest { update: list, ..Default::default() };
        assert_eq!(asked(&judge, other, unasked).answer().update, []);
    }
}

/// The most specific key alone decides.
#[test]
fn the_most_specific_key_decides() {
    for (rules, granted) in [
        ("\"*\": deny, \"@resources\": deny, \"@cpu\": allow", true),
        ("\"*\": allow, \"@resources\": allow, \"@cpu\": deny", false),
        ("\"*\": deny, \"@resources\": allow", true),
        ("\"@cpu\": deny, cpu.shares: allow", true),
        ("\"@cpu\": allow, cpu.shares: deny", false),
        ("\"@memory\": allow", false),
        ("\"*\": allow", true),
        ("\"*\": {bound: {max: 5}}", true),
        ("\"*\": {bound: {max: 0}}", false),
    ] {
        let sample = sample(Field::CpuShares, Op::Add).unwrap();
        let verdict = Case::new(sample.pristine).adjust(&fields(rules), sample.adjust);
        assert_eq!(verdict.refused.is_empty(), granted, "{rules}");
    }
}

/// With `bound` in a group, members without numbers are denied.
#[test]
fn bounds_of_groups() {
    for info in FIELDS {
        let sample = sample(info.field, Op::Add);
        let Some(sample) = sample else { continue };
        let verdict = Case::new(sample.pristine)
            .adjust(&fields("\"*\": {bound: {min: 0}}"), only(&sample.adjust, info.field));
        let numeric = table::of(info.field).bounds.is_some() || info.field == Field::Seccomp;
        assert_eq!(verdict.refused.is_empty(), numeric, "{}", info.name);
    }
}

/// What a client has and what a policy does not cover.
#[test]
fn the_kinds_of_client_override() {
    let spec = |client: &str, level: &str| {
        format!(
            "{{clientOverride: {client}, defaultLevel: l, levels: [{{name: l, {level} \
             fields: {{\"*\": {{ops: [add, replace, remove]}}, memory.limit: {{bound: {{max: \"200%\"}}}}}}}}]}}"
        )
    };
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for client in ["security", "honour", "honour-unless-tighter", "ignore"] {
        for info in FIELDS {
            for op in [Op::Replace, Op::Remove] {
                let Some(sample) = sample(info.field, op) else { continue };
                let case = Case::new(sample.pristine);
                let adjust = only(&sample.adjust, info.field);
                let verdict = case.adjust(&judge(&[&spec(client, "")]), adjust.clone());
                if verdict.refused.iter().any(|refused| refused.rule == "p0/clientOverride") {
                    found.entry(client).or_default().push(format!("{} {}", info.name, op.name()));
                }
                let free = case.adjust(&judge(&[&spec(client, "mayOverrideClient: true,")]), adjust);
                assert_eq!(lines(&free), [""; 0], "{client} {} {op:?}", info.name);
            }
        }
    }
    assert_eq!(
        found.get("security").unwrap(),
        &["seccomp replace", "namespaces replace", "namespaces remove", "sysctl replace", "sysctl remove"]
    );
    assert_eq!(found.get("ignore"), None);
    // All but what has a relative rule; of RDT the sample's client has nothing.
    let honoured = found.get("honour").unwrap();
    assert!(!honoured.iter().any(|line| line.starts_with("memory.limit") || line.starts_with("hooks")));
    let all = FIELDS.iter().flat_map(|info| [(info, Op::Replace), (info, Op::Remove)]);
    let all = all.filter(|(info, op)| {
        !matches!(info.field, Field::MemoryLimit | Field::RdtRemove) && sample(info.field, *op).is_some()
    });
    let all: Vec<_> = all.map(|(info, op)| format!("{} {}", info.name, op.name())).collect();
    assert_eq!(honoured, &all);
    // Every sample asks for more than the client did, but the seccomp policy, which is tighter.
    let unless: Vec<_> = found.get("honour-unless-tighter").unwrap().iter().collect();
    let looser: Vec<_> = honoured
        .iter()
        .filter(|line| !matches!(line.as_str(), "oomScoreAdj replace" | "seccomp replace"))
        .collect();
    assert_eq!(unless, looser);
}
