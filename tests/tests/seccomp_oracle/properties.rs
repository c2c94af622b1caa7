//! What must hold of verdicts whatever the policies are.

use nri_seccomp::compare::{Relation, compare};
use nri_seccomp::policy::{Entry, Policy};
use nri_seccomp::settings::Settings;
use nri_seccomp::term::Action;
use nri_tests::seccomp::policies::{self, HOSTS};
use serde_json::json;

use crate::kit::{pair, random, times};
use crate::model::{host, read};

/// A policy equals itself, also where hazards leave open what it does; each relation has its mirror image; what tightens
/// twice tightens.
#[test]
fn an_order() {
    let mut random = random(8);
    let settings = Settings::default();
    let mut chains = 0;
    for n in 0..times(1500) {
        let archs = *random.pick(HOSTS);
        let host = host(archs);
        let (one, two) = pair(&mut random, archs);
        let three = policies::edited(&mut random, if two.is_null() { &one } else { &two }, archs);
        let policies = [&one, &two, &three].map(|policy| (!policy.is_null()).then(|| read(policy)));
        let [one, two, three] = policies.each_ref().map(Option::as_ref);
        let relation = |old, new| compare(old, new, &host, &settings).relation;
        let show = || policies.each_ref().map(|policy| policy.as_ref().map_or(json!(null), Policy::to_json));
        assert_eq!(relation(one, one), Relation::Equal, "{n}: {:?}", show());
        let (forth, back) = (relation(one, two), relation(two, one));
        let mirrored = match forth {
            Relation::Equal => back == Relation::Equal,
            Relation::Tighter => matches!(back, Relation::Looser | Relation::Undecidable),
            Relation::Looser => back == Relation::Tighter,
            Relation::Incomparable => matches!(back, Relation::Incomparable | Relation::Undecidable),
            Relation::Undecidable => !matches!(back, Relation::Equal | Relation::Looser | Relation::Invalid),
            Relation::Invalid => false,
        };
        assert!(mirrored, "{n}: {forth:?} and {back:?}: {:?}", show());
        if forth.accepts() && relation(two, three).accepts() {
            chains += 1;
            let whole = relation(one, three);
            assert!(whole.accepts() || whole == Relation::Undecidable, "{n}: {whole:?}: {:?}", show());
        }
    }
    assert!(chains > times(100), "{chains}");
}

/// Where all rules allow and the default refuses, a rule more never tightens; where all refuse, it never loosens.
#[test]
fn monotone() {
    let mut random = random(9);
    let settings = Settings::default();
    let (mut accepted, mut undecidable) = (0, 0);
    for n in 0..times(1500) {
        let archs = *random.pick(HOSTS);
        let (default, action) =
            *random.pick(&[(Action::Errno, Action::Allow), (Action::Allow, Action::Errno)]);
        let mut less = read(&policies::policy(&mut random, archs));
        (less.default_action, less.default_errno) = (default, None);
        for entry in &mut less.syscalls {
            (entry.action, entry.errno) = (action, None);
        }
        let mut more = less.clone();
        let extra = read(&policies::policy(&mut random, archs));
        let extra: Vec<Entry> =
            extra.syscalls.into_iter().map(|entry| Entry { action, errno: None, ..entry }).collect();
        more.syscalls.extend(extra);
        let (loose, tight) = if action == Action::Allow { (&more, &less) } else { (&less, &more) };
        let comparison = compare(Some(loose), Some(tight), &host(archs), &settings);
        match comparison.relation {
            Relation::Equal | Relation::Tighter => accepted += 1,
            Relation::Undecidable => undecidable += 1,
            _ => panic!("{n}: {comparison:?}\n{}\n{}", loose.to_json(), tight.to_json()),
        }
    }
    assert!(accepted > times(500), "{accepted}, undecidable {undecidable}");
}

/// Equal policies in other words (`spec/seccomp.md` 5), both ways, wherever no hazard is in play.
#[test]
fn rewritten() {
    let settings = Settings::default();
    let rule = |op: &str, value: u64, two: u64| {
        json!({"names": ["keyctl"], "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "op": format!("SCMP_CMP_{op}"), "value": value, "valueTwo": two}]})
    };
    let policy =
        |rules: &[serde_json::Value]| read(&json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}));
    let mut random = random(10);
    for _ in 0..times(300) {
        let v = policies::small_value(&mut random);
        let mask = policies::small_value(&mut random);
        let bit = 1 << 40;
        let mut same: Vec<(Vec<_>, Vec<_>)> = vec![
            (vec![rule("LE", v, 0)], vec![rule("LT", v, 0), rule("EQ", v, 0)]),
            (vec![rule("NE", v, 0)], vec![rule("LT", v, 0), rule("GT", v, 0)]),
            (vec![rule("EQ", v, 0)], vec![rule("MASKED_EQ", u64::MAX, v)]),
            (vec![rule("LT", 8, 0)], vec![rule("MASKED_EQ", !7, 0)]),
            (vec![rule("LT", 1, 0)], vec![rule("EQ", 0, 0)]),
            (vec![rule("EQ", v, 0)], vec![rule("EQ", v, 77), rule("EQ", v, 0)]),
            (vec![rule("MASKED_EQ", mask, v)], vec![rule("MASKED_EQ", mask, v & mask)]),
            (
                vec![rule("MASKED_EQ", mask | 0x10, v)],
                vec![rule("MASKED_EQ", mask | 0x10 | bit, v), rule("MASKED_EQ", mask | 0x10 | bit, v | bit)],
            ),
        ];
        same.push((
            vec![rule("NE", v, 0), rule("NE", v + 1, 0)],
            vec![json!({"names": ["keyctl"], "action": "SCMP_ACT_ALLOW"})],
        ));
        for (one, two) in &same {
            let comparison = compare(Some(&policy(one)), Some(&policy(two)), &host(HOSTS[0]), &settings);
            assert_eq!(comparison.relation, Relation::Equal, "{one:?} {two:?}: {comparison:?}");
        }
        // On a 64-bit ABI this mask leaves the upper half open.
        let low = compare(
            Some(&policy(&[rule("EQ", v, 0)])),
            Some(&policy(&[rule("MASKED_EQ", 0xffff_ffff, v)])),
            &host(HOSTS[0]),
            &settings,
        );
        assert_eq!(low.relation, Relation::Looser, "{v}");
    }
}
