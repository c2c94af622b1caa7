//! `spec/seccomp.md` 3.5 and 3.6: what cannot be told.

use super::*;
use Relation::Undecidable;

/// Pairs of actions that make a group with each of the letters.
const LETTERS: [(&str, &str); 6] = [
    ("A", "ALLOW keyctl: a0!=1 a1==5; ALLOW keyctl: a0!=1 a2==1"),
    ("B", "ALLOW keyctl: a0<5; ALLOW keyctl: a0<0x100000005"),
    ("C", "ALLOW keyctl: a0==1 a1==5; ALLOW keyctl: a1!=5"),
    ("D", "ALLOW keyctl: a0==1; LOG keyctl: a0==1"),
    ("G", "ALLOW keyctl: a1==5; ALLOW keyctl: a0==1 a1==5"),
    ("F", "ALLOW keyctl: a0==5 a1==1; ALLOW keyctl: a0==3; ALLOW prctl: a0==5; ALLOW prctl: a0==3"),
];

#[test]
fn a_hazard_on_either_side_refuses() {
    for (letter, rules) in LETTERS {
        let model = policy(rules).unwrap();
        let model = Model::new(Some(&model), &Host::x86_64(), &Settings::default(), Reading::All).unwrap();
        let keyctl = model.abi(Arch::X86_64).group(crate::model::Key::Number(250)).unwrap();
        let letters: String = keyctl.hazards().iter().map(|letter| format!("{letter:?}")).collect();
        assert!(letters.contains(letter), "{letters}: {rules}");

        // Whatever libseccomp makes of it, this is tighter.
        assert_eq!(relation(rules, "", ""), Tighter, "{rules}");
        // Each of the possible answers is looser than KILL: the counterexample may lie in the group.
        assert_eq!(relation("default KILL", &format!("default ERRNO; {rules}"), ""), Looser, "{rules}");
        // Itself, also with another default action and another listener.
        assert_eq!(relation(rules, rules, ""), Equal, "{rules}");
        assert_eq!(relation(rules, &format!("default KILL; {rules}; listener /l"), ""), Tighter, "{rules}");
        // A change beside it makes another program.
        let beside = format!("{rules}; KILL mkdir");
        let found = compared(rules, &beside, "");
        assert_eq!(found.relation, Undecidable, "{rules}");
        let reason = found.reason.unwrap();
        assert!(reason.contains("keyctl") && reason.contains("libseccomp"), "{reason}");
        // A real loosening elsewhere is the better message.
        let looser = format!("{rules}; ALLOW mkdir");
        let found = compared(rules, &looser, "");
        assert_eq!(found.relation, Incomparable, "{rules}");
        let Some(Counterexample::Call(call)) = found.counterexample else { panic!("{rules}") };
        assert_eq!(call.syscall.as_deref(), Some("mkdir"));
    }
}

/// Whatever the verdict, it is said what a runtime may do (3.6).
#[test]
fn warnings_of_the_runtime() {
    let said = |text: &str| -> Vec<String> {
        let warnings = warnings(&policy(text).unwrap(), &Host::x86_64(), &Settings::default());
        warnings.iter().map(|warning| format!("{} {:?}", warning.syscall, warning.hazard)).collect()
    };
    for (letter, rules) in LETTERS {
        let expect = if "AD".contains(letter) { vec![format!("keyctl {letter}")] } else { Vec::new() };
        assert_eq!(said(&format!("arch X86; {rules}")), expect, "{rules}");
    }
    assert_eq!(said("NOTIFY read"), [""; 0]);
}

/// The rule of 3.6.2: an agent that changed is a loosening of the place with NOTIFY, and the default action of its place.
#[test]
fn the_same_program() {
    let rules = "listener /l; NOTIFY keyctl: a1==5; NOTIFY keyctl: a0==1 a1==5";
    let other = rules.replace("/l", "/m");
    assert_eq!(relation(rules, &other, ""), Undecidable);
    assert_eq!(relation(rules, &rules.replace("/l;", "/l; flags TSYNC;"), ""), Tighter);
    // Other order, other ABIs, an entry without effect here.
    let (one, two) = ("ALLOW keyctl: a1==5", "ALLOW keyctl: a0==1 a1==5");
    let rules = format!("{one}; {two}");
    for other in [
        format!("{two}; {one}"),
        format!("{rules}; arch X86; KILL_PROCESS read"),
        format!("{rules}; ALLOW arm_fadvise64_64"),
    ] {
        assert!(!relation(&rules, &other, "").accepts(), "{other}");
    }
    // Entries that are dropped are not there.
    assert_eq!(relation(&rules, &format!("{rules}; ERRNO(1) mkdir"), ""), Equal);
}

/// Hazard E: rules of a table without any unconditional one are void beside a syscall that the ABI lacks.
#[test]
fn void_tables() {
    let good = "default ALLOW; arch X86,X32; ERRNO ptrace: a0==16";
    let void = "default ALLOW; arch X86,X32; ERRNO ptrace: a0==16; ERRNO stime: a0==1";
    assert_eq!(relation(good, void, ""), Undecidable);
    // x86 has stime, and works.
    assert_eq!(relation(void, good, ""), Incomparable);
    // With an unconditional rule it works.
    let fixed = format!("{void}; KILL vhangup");
    assert_eq!(relation(good, &fixed, ""), Tighter);
    // x86_64 alone is immune.
    let alone = "default ALLOW; ERRNO ptrace: a0==16; ERRNO stime: a0==1";
    assert_eq!(relation("default ALLOW; ERRNO ptrace: a0==16", alone, ""), Equal);
}

/// Random 3-SAT: the rules cover everything, or they do not; finding out takes too long (3.5).
fn hard(cubes: u32) -> String {
    let mut state = 7u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut text = String::new();
    for _ in 0..cubes {
        let (mut mask, mut datum) = (0u64, 0u64);
        for _ in 0..3 {
            let bit = random(64);
            mask |= 1 << bit;
            datum |= random(2) << bit;
        }
        text += &format!("ALLOW keyctl: a0&{mask:#x}=={:#x}; ", datum & mask);
    }
    text
}

#[test]
fn hard_cases_are_refused() {
    let found = compared(&hard(290), "ALLOW keyctl", "");
    assert_eq!(found.relation, Undecidable);
    let reason = found.reason.unwrap();
    for part in ["x86_64", "keyctl", "290", "by digest"] {
        assert!(reason.contains(part), "{reason}");
    }
    // The same twice.
    assert_eq!(compared(&hard(290), "ALLOW keyctl", "").reason, Some(reason));
    // A loosening elsewhere is still found, and easy pairs with the same rules are told.
    assert_eq!(relation(&hard(290), "ALLOW keyctl,mkdir", ""), Looser);
    assert_eq!(relation("ALLOW keyctl", &hard(290), ""), Tighter);
    assert_eq!(relation(&hard(290), &hard(290), ""), Equal);
}

/// More than 1,000 conditional rules cannot be loaded (3.5).
#[test]
fn too_many_rules() {
    let rules = |count: u32, word: &str| -> String {
        (0..count).map(|value| format!("{word} keyctl: a0=={value}; ")).collect()
    };
    let (many, few) = (rules(1001, "ALLOW"), rules(1000, "ALLOW"));
    let found = compared(&few, &many, "");
    assert_eq!(found.relation, Undecidable);
    assert!(found.reason.unwrap().contains("1001"));
    assert_eq!(relation(&few, &rules(999, "ALLOW"), ""), Tighter);
    assert_eq!(relation("ALLOW keyctl", &many, ""), Tighter);
}
