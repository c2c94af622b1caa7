//! The letters of 1.5: each sentence with a case that has the letter and one beside it that has not.

use super::*;
use crate::model::hazard::Hazard;

const X86_64: Arch = Arch::X86_64;

fn letters(json: &Value, settings: &Settings, arch: Arch, name: &str) -> String {
    let policy = read(json);
    let model = Model::new(Some(&policy), &Host::x86_64(), settings, Reading::All).unwrap();
    let group = model.abi(arch).group(Key::Number(syscall::number(arch, name).unwrap())).unwrap();
    group.hazards().iter().map(|hazard| format!("{hazard:?}")).collect()
}

/// The letters of rules for keyctl on x86_64 and on x86. F is left out, which comes with any of the others where a test
/// is a victim.
fn check(rules: &[&str], wide: &str, narrow: &str) {
    let named: Vec<String> = rules.iter().map(|rule| format!("keyctl {rule}")).collect();
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    // An unconditional rule keeps hazard E away.
    let json = on_x86s(policy("ERRNO", &[&["read -> ALLOW"], named.as_slice()].concat()));
    let both = [X86_64, Arch::X86].map(|arch| {
        let letters = letters(&json, &Settings::default(), arch, "keyctl");
        if letters.len() > 1 { letters.trim_end_matches('F').to_owned() } else { letters }
    });
    assert_eq!(both, [wide, narrow], "{rules:?}");
}

#[test]
fn a() {
    check(&["arg0 != 1 && arg1 != 5 -> ALLOW", "arg0 != 1 && arg2 == 1 -> ALLOW"], "A", "A");
    check(&["arg0 < 1 && arg1 == 5 -> ALLOW", "arg0 == 1 -> ALLOW"], "A", "A");
    // One rule alone, also twice, has nothing to share with; the last condition may branch.
    check(&["arg0 != 1 && arg1 != 5 -> ALLOW"], "", "");
    check(&["arg0 != 1 && arg1 != 5 -> ALLOW", "arg0 != 1 && arg1 != 5 -> ALLOW"], "", "");
    check(&["arg0 == 1 && arg1 != 5 -> ALLOW", "arg0 == 2 && arg2 > 1 -> ALLOW"], "", "");
    check(&["arg0 & 3 == 1 && arg1 != 5 -> ALLOW", "arg0 & 3 == 2 && arg2 > 1 -> ALLOW"], "", "");
    // The order is that of the arguments, not of the entry.
    check(&["arg1 != 5 && arg0 == 1 -> ALLOW", "arg2 > 1 && arg0 == 2 -> ALLOW"], "", "");
    // A mask that is empty there is no condition.
    check(&["arg0 != 1 && arg1 & 0x100000000 == 0 -> ALLOW", "arg0 == 1 -> LOG"], "A", "");
}

#[test]
fn b() {
    check(&["arg0 > 5 -> ALLOW", "arg0 < 0x100000000 -> LOG"], "B", "");
    check(&["arg0 == 1 && arg1 > 5 -> ALLOW", "arg0 == 2 && arg1 >= 0x100000000 -> ALLOW"], "B", "");
    check(&["arg0 > 5 -> ALLOW", "arg0 < 3 -> LOG"], "", "");
    check(&["arg0 > 5 -> ALLOW", "arg0 == 0x100000000 -> LOG", "arg0 != 0x200000000 -> LOG"], "", "");
    check(&["arg0 > 5 -> ALLOW", "arg1 < 0x100000000 -> ALLOW"], "", "");
}

#[test]
fn c() {
    // Equal actions, different conditions in front.
    check(&["arg0 == 1 && arg1 == 5 -> ALLOW", "arg0 == 2 && arg1 != 5 -> ALLOW"], "C", "C");
    check(&["arg0 == 1 && arg1 < 5 -> ALLOW", "arg0 == 2 && arg1 >= 5 -> ALLOW"], "C", "C");
    check(&["arg0 == 1 && arg1 <= 5 -> ALLOW", "arg0 == 2 && arg1 > 5 -> ALLOW"], "C", "C");
    check(&["arg0 == 1 && arg1 < 5 -> ALLOW", "arg0 == 2 && arg1 > 5 -> ALLOW"], "", "");
    check(&["arg0 == 1 && arg1 == 5 -> ALLOW", "arg0 == 2 && arg1 != 6 -> ALLOW"], "", "");
    // Other actions: only with a proper subset in front of the earlier one.
    check(&["arg0 == 1 && arg1 == 5 -> ALLOW", "arg0 == 2 && arg1 != 5 -> LOG"], "", "");
    check(&["arg1 == 5 -> ALLOW", "arg0 == 2 && arg1 != 5 -> LOG"], "C", "C");
    check(&["arg0 == 2 && arg1 != 5 -> LOG", "arg1 == 5 -> ALLOW"], "", "");
    // Equal conditions in front.
    check(&["arg0 == 1 && arg1 == 5 -> ALLOW", "arg0 == 1 && arg1 != 5 -> ALLOW"], "", "");
    check(&["arg0 == 5 -> ALLOW", "arg0 != 5 -> LOG"], "", "");
}

#[test]
fn d() {
    check(&["arg0 == 1 -> ALLOW", "arg0 == 1 -> LOG"], "D", "D");
    check(&["arg0 == 1 -> ALLOW", "arg0 == 1 -> ALLOW"], "", "");
    // The shorter rule takes the place of longer ones only where they agree with it.
    check(&["arg0 == 1 && arg1 == 2 -> ALLOW", "arg0 == 1 -> ALLOW"], "", "");
    check(&["arg0 == 1 && arg1 == 2 -> ALLOW", "arg0 == 1 -> LOG"], "D", "D");
    check(&["arg0 == 1 -> LOG", "arg0 == 1 && arg1 == 2 -> ALLOW"], "", "");
    check(&["arg0 > 1 -> ALLOW", "arg0 >= 2 -> LOG"], "D", "");
    // Values that differ above the width.
    check(&["arg0 == 1 -> ALLOW", "arg0 == 0x100000001 -> LOG"], "", "D");
}

#[test]
fn g() {
    check(&["arg1 == 5 -> ALLOW", "arg0 == 1 && arg1 == 5 -> ALLOW"], "G", "G");
    check(&["arg0 == 1 -> ALLOW", "arg0 == 1 && arg1 == 5 -> ALLOW"], "", "");
    check(&["arg0 == 1 && arg1 == 5 && arg2 == 6 -> ALLOW", "arg0 == 1 && arg2 == 6 -> LOG"], "G", "G");
    check(&["arg0 == 1 && arg1 == 5 -> ALLOW", "arg1 == 6 -> ALLOW"], "", "");
}

/// Where an unconditional rule decides, the conditional ones give no letter.
#[test]
fn decided_groups_have_no_letter() {
    check(&["arg0 == 1 -> ALLOW", "arg0 == 1 -> LOG", "-> TRAP"], "", "");
    check(&["arg0 == 1 -> ALLOW", "arg0 == 1 -> LOG", "arg0 & 0x100000000 == 0 -> TRAP"], "D", "");
    // What equals the default action is no rule.
    check(&["arg0 == 1 -> ALLOW", "arg0 == 1 -> ERRNO"], "", "");
}

#[test]
fn e() {
    let ptrace = "ptrace arg0 == 16 -> ERRNO";
    let check = |rules: &[&str], archs: &[&str], runtime: &str, expect: [&str; 2]| {
        let json = with(policy("ALLOW", rules), "architectures", json!(archs));
        let policy = read(&json);
        let host = Host::x86_64();
        let model = Model::new(Some(&policy), &host, &under(runtime), Reading::All).unwrap();
        let letters = [X86_64, Arch::X86].map(|arch| {
            let group = model.abi(arch).group(Key::Number(syscall::number(arch, "ptrace").unwrap()));
            group.map_or("-".to_owned(), |group| {
                group.hazards().iter().map(|hazard| format!("{hazard:?}")).collect()
            })
        });
        assert_eq!(letters, expect, "{rules:?} {archs:?} {runtime}");
    };
    check(&[ptrace], &X86S, "plain", ["", ""]);
    // stime is on x86, where it is unconditional, and not on the others.
    check(&[ptrace, "stime -> ERRNO"], &X86S, "plain", ["E", ""]);
    check(&[ptrace, "stime -> ERRNO", "mkdir -> ERRNO"], &X86S, "plain", ["", ""]);
    check(&[ptrace, "stime arg0 == 1 -> ERRNO"], &X86S, "plain", ["E", ""]);
    // Dropped entries and names in no table do not count.
    check(&[ptrace, "stime -> ALLOW"], &X86S, "plain", ["", ""]);
    check(&[ptrace, "no_such_call -> ERRNO"], &X86S, "plain", ["", ""]);
    // The missing direct number of accept on x86; the rule of socketcall is conditional.
    check(&[ptrace, "accept arg0 == 1 -> ERRNO"], &X86S, "plain", ["", "E"]);
    // x86_64 by itself is immune, x86 is a table of its own.
    check(&[ptrace, "stime -> ERRNO"], &[], "plain", ["", "-"]);
    check(&[ptrace, "newfstatat arg0 == 1 -> ERRNO"], &X86S[..2], "plain", ["", "E"]);
    // x32 lacks what x86_64 has: one table; an unconditional rule of x86_64 only is enough.
    check(&[ptrace, "create_module arg0 == 1 -> ERRNO"], &X86S, "plain", ["E", ""]);
    check(&[ptrace, "create_module -> ERRNO"], &X86S, "plain", ["", ""]);
    // An unconditional group that is void answers its action or the default.
    let many = "read,write,open,close,stat,fstat,lstat,poll,lseek,mmap,mprotect,munmap,brk,ioctl,pread64,pwrite64,readv,writev,access,pipe,select,mremap,msync,mincore,madvise,dup,dup2,pause,alarm,getpid,sendfile arg0 == 9 -> LOG";
    check(&[ptrace, "stime -> ERRNO", many], &X86S, "runc", ["", ""]);
    check(&[ptrace, "stime -> ERRNO", many], &X86S, "plain", ["E", ""]);
    check(&[ptrace, "stime -> ERRNO"], &X86S, "runc", ["E", ""]);
}

#[test]
fn e_leaves_two_answers() {
    let json =
        with(policy("ALLOW", &["accept -> KILL", "newfstatat -> ERRNO"]), "architectures", json!(X86S));
    let policy = read(&json);
    let model = Model::new(Some(&policy), &Host::x86_64(), &Settings::default(), Reading::All).unwrap();
    let group =
        |arch: Arch, name| model.abi(arch).group(Key::Number(syscall::number(arch, name).unwrap())).unwrap();
    let socketcall = group(Arch::X86, "socketcall");
    assert!(socketcall.hazards().contains(Hazard::E));
    assert_eq!(socketcall.constant(), None);
    assert_eq!(socketcall.effects().collect::<Vec<_>>(), [Effect::KillThread, Effect::Allow]);
    assert_eq!(group(X86_64, "accept").constant(), Some(Effect::KillThread));
    assert_eq!(group(X86_64, "accept").effects().collect::<Vec<_>>(), [Effect::KillThread]);
}

#[test]
fn f() {
    let check = |rules: &[&str], expect: &str| {
        let json = policy("ERRNO", rules);
        assert_eq!(letters(&json, &Settings::default(), X86_64, "keyctl"), expect, "{rules:?}");
    };
    let keyctl = ["keyctl arg0 == 5 && arg1 == 1 -> ALLOW", "keyctl arg0 == 3 -> ALLOW"];
    let with = |more: &[&'static str]| [&keyctl, more].concat();
    check(&with(&["prctl arg0 == 5 -> ALLOW", "prctl arg0 == 3 -> ALLOW"]), "F");
    // Without a donor, or with one whose test is another.
    check(&with(&[]), "");
    check(&with(&["prctl arg0 == 3 -> ALLOW"]), "");
    check(&with(&["prctl arg0 == 5 -> ALLOW", "prctl arg0 == 3 -> LOG"]), "");
    check(&with(&["prctl arg0 == 5 -> ALLOW", "prctl arg0 == 2 -> ALLOW"]), "");
    check(&with(&["prctl arg1 == 5 -> ALLOW", "prctl arg1 == 3 -> ALLOW"]), "");
    // EQ is MASKED_EQ with a full mask, as far as code goes.
    check(
        &with(&[
            "prctl arg0 & 0xffffffffffffffff == 5 -> ALLOW",
            "prctl arg0 & 0xffffffffffffffff == 3 -> ALLOW",
        ]),
        "F",
    );
    // Any test of a group with another letter may be a donor.
    check(
        &with(&[
            "prctl arg0 == 3 -> ALLOW",
            "prctl arg1 == 3 && arg0 == 3 -> ALLOW",
            "prctl arg1 == 3 -> ALLOW",
        ]),
        "F",
    );
    // The donor has no letter itself.
    let donor = policy("ERRNO", &with(&["prctl arg0 == 5 -> ALLOW", "prctl arg0 == 3 -> ALLOW"]));
    assert_eq!(letters(&donor, &Settings::default(), X86_64, "prctl"), "");
}
