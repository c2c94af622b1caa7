mod hazards;
mod laws;
mod written;

use self::written::policy;
use super::*;
use crate::term::{Arch, Effect, Flag};
use Relation::{Equal, Incomparable, Invalid, Looser, Tighter};

/// Settings as `config` writes them: `errno=exact kill=merged`.
fn settings(text: &str) -> Settings {
    let mut settings = Settings::default();
    for word in text.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap();
        settings.set(name, value).unwrap();
    }
    settings
}

fn compared(old: &str, new: &str, config: &str) -> Comparison {
    let (old, new) = (policy(old), policy(new));
    let found = compare(old.as_ref(), new.as_ref(), &Host::x86_64(), &settings(config));
    sound(&found);
    assert!(found.contained.is_none_or(|proof| proof.binds(old.as_ref(), new.as_ref())));
    found
}

/// What holds for every answer (`spec/seccomp.md` 7.1).
fn sound(found: &Comparison) {
    assert_eq!(found.contained.is_some(), found.relation.accepts(), "{found:?}");
    assert_eq!(found.reason.is_none(), found.relation.accepts(), "{found:?}");
    let has_counterexample = matches!(found.relation, Looser | Incomparable);
    assert_eq!(found.counterexample.is_some(), has_counterexample, "{found:?}");
}

fn relation(old: &str, new: &str, config: &str) -> Relation {
    compared(old, new, config).relation
}

/// Checks a pair and what it must be the other way round.
fn check(old: &str, new: &str, config: &str, expect: Relation) {
    assert_eq!(relation(old, new, config), expect, "{old} to {new} under {config}");
    let back = match expect {
        Tighter => Looser,
        Looser => Tighter,
        same => same,
    };
    assert_eq!(relation(new, old, config), back, "back from {new} to {old} under {config}");
}

/// Every row of the table of 2.1, as policies.
#[test]
fn rows_of_the_order() {
    for (old, new, config, expect) in [
        ("ERRNO(2) read", "ERRNO(3) read", "", Equal),
        ("ERRNO(2) read", "ERRNO(3) read", "errno=exact", Incomparable),
        ("TRACE(2) read", "TRACE(3) read", "", Equal),
        ("TRACE(2) read", "TRACE(3) read", "errno=exact", Incomparable),
        ("", "ERRNO(0) read", "", Looser),
        ("ALLOW read", "ERRNO(0) read", "", Incomparable),
        ("", "ERRNO(0) read", "fake_success=allow", Equal),
        ("ALLOW read", "ERRNO(0) read", "fake_success=allow", Tighter),
        ("KILL read", "ERRNO(0) read", "fake_success=allow kill=merged", Equal),
        ("KILL read", "ERRNO(0) read", "kill=merged", Looser),
        ("ALLOW read", "listener /l; NOTIFY read", "", Incomparable),
        ("ALLOW read", "listener /l; NOTIFY read", "delegation=rank", Tighter),
        ("LOG read", "TRACE read", "", Incomparable),
        ("LOG read", "TRACE read", "delegation=rank", Tighter),
        ("TRACE read", "listener /l; NOTIFY read", "", Incomparable),
        ("listener /l; NOTIFY read", "listener /m; NOTIFY read", "", Incomparable),
        ("listener /l; NOTIFY read", "listener /m; NOTIFY read", "delegation=rank", Incomparable),
        ("listener /l; NOTIFY read", "listener /l; metadata x; NOTIFY read", "", Incomparable),
        ("listener /l; metadata x; NOTIFY read", "listener /l; metadata x; NOTIFY read", "", Equal),
        ("", "listener /l; NOTIFY read", "", Looser),
        ("", "TRACE read", "", Looser),
        ("listener /l; NOTIFY read", "KILL read", "", Tighter),
        ("KILL_PROCESS read", "KILL_THREAD read", "", Looser),
        ("KILL_PROCESS read", "KILL_THREAD read", "kill=merged", Equal),
        ("KILL read", "TRAP read", "", Looser),
        ("TRAP read", "", "", Looser),
        ("TRAP read", "", "kill=merged", Equal),
        ("ALLOW read", "LOG read", "", Tighter),
        ("ALLOW read", "LOG read", "log=ignored", Equal),
        ("flags LOG", "flags TSYNC", "", Looser),
        ("flags LOG", "flags TSYNC", "log=ignored", Equal),
        ("flags LOG", "flags LOG,SPEC_ALLOW", "", Looser),
        ("flags TSYNC", "flags WAIT_KILLABLE_RECV", "", Equal),
        // No flags mean SPEC_ALLOW.
        ("flags TSYNC", "", "", Looser),
        ("flags SPEC_ALLOW", "", "", Equal),
        ("flags LOG", "", "", Looser),
        ("arch X86; ALLOW read", "ALLOW read", "", Tighter),
        ("arch X86; KILL_PROCESS read", "KILL_PROCESS read", "", Incomparable),
        ("arch X86; default KILL", "default KILL", "", Equal),
        ("arch X86; default KILL_PROCESS", "default KILL_PROCESS", "", Looser),
        ("default ALLOW", "default ALLOW; arch X86,X32", "", Looser),
        // Not an ABI of the host.
        ("ALLOW read", "arch ARM,PPC64; ALLOW read", "", Equal),
        ("none", "ALLOW read", "", Tighter),
        ("none", "listener /l; NOTIFY read", "", Incomparable),
        ("none", "ERRNO(0) read", "", Incomparable),
        ("none", "default ALLOW; arch X86,X32", "", Equal),
        ("none", "default ALLOW; arch X86,X32; flags TSYNC", "", Tighter),
        ("none", "default ALLOW; arch X86", "", Tighter),
        ("none", "none", "", Equal),
    ] {
        check(old, new, config, expect);
    }
}

/// Section 5, both ways.
#[test]
fn equalities() {
    for (one, other) in [
        ("ALLOW read: a0<=7", "ALLOW read: a0<7; ALLOW read: a0==7"),
        ("ALLOW read: a0<=0x100000007", "ALLOW read: a0<0x100000007; ALLOW read: a0==0x100000007"),
        ("ALLOW read: a0!=7", "ALLOW read: a0<7; ALLOW read: a0>7"),
        ("ALLOW read: a0!=0x700000007", "ALLOW read: a0<0x700000007; ALLOW read: a0>0x700000007"),
        ("ALLOW read: a0==7", "ALLOW read: a0&0xffffffffffffffff==7"),
        ("ALLOW read: a0<1", "ALLOW read: a0==0"),
        ("ALLOW read: a0>=0", "ALLOW read"),
        ("ALLOW read: a0<0", ""),
        ("ALLOW read: a0<8", "ALLOW read: a0&~7==0"),
        ("ALLOW read: a0&6==2", "ALLOW read: a0&7==2; ALLOW read: a0&7==3"),
        ("ALLOW read: a0!=1; ALLOW read: a0!=2", "ALLOW read"),
        ("ALLOW read; KILL read: a0==1", "ALLOW read"),
        ("ALLOW read,mkdir", "ALLOW read; ALLOW mkdir"),
        ("ALLOW read,read", "ALLOW read; ALLOW read"),
        ("flags SPEC_ALLOW", "flags SPEC_ALLOW,TSYNC"),
        ("KILL read", "KILL_THREAD read"),
        ("ERRNO(1) read; default KILL", "ERRNO read; default KILL"),
        ("arch X86_64; ALLOW read", "ALLOW read"),
        ("ALLOW read: a0==5/9", "ALLOW read: a0==5"),
        // 1.3: datum bits outside the mask.
        ("ALLOW read: a0&6==3", "ALLOW read: a0&6==2"),
        // 1.1, step 4: an argument twice is an OR.
        ("ALLOW read: a0>=5 a0<=10", "ALLOW read"),
        ("ALLOW read: a0==5 a0==6 a1==7", "ALLOW read: a0==5; ALLOW read: a0==6; ALLOW read: a1==7"),
        // 1.1, step 2: what equals the default is not there, and hides nothing.
        ("ALLOW read; ERRNO(1) read: a0==1", "ALLOW read"),
        ("ERRNO(1) read; ALLOW read", "ALLOW read"),
        ("ERRNO(65537) read", ""),
        // 1.1, step 3.
        ("ALLOW read,stime", "ALLOW read"),
    ] {
        check(one, other, "", Equal);
    }
    // A mask of 32 bits is no equality on a 64-bit ABI.
    check("ALLOW read: a0==7", "ALLOW read: a0&0xffffffff==7", "", Looser);
    // On a 32-bit one it is, where the policy is about nothing else.
    let (one, other) =
        (policy("arch X86; ALLOW waitpid: a0==7"), policy("arch X86; ALLOW waitpid: a0&0xffffffff==7"));
    let found = compare(one.as_ref(), other.as_ref(), &Host::new([Arch::X86]).unwrap(), &Settings::default());
    assert_eq!(found.relation, Equal);
}

/// The counterexample itself, in the order of preference.
#[test]
fn counterexamples() {
    type Expect = (Arch, Option<&'static str>, Option<u32>, [u64; 6], Effect, Effect);
    let check = |old: &str, new: &str, expect: Expect| {
        let found = compared(old, new, "").counterexample;
        let Some(Counterexample::Call(call)) = found else { panic!("{old} to {new}: {found:?}") };
        let Call { arch, syscall, nr, args, old: before, new: after, .. } = &call;
        assert_eq!((*arch, syscall.as_deref(), *nr, *args, *before, *after), expect, "{old} to {new}");
    };
    let (errno, allow) = (Effect::Errno(1), Effect::Allow);
    check(
        "ALLOW clone: a0&0x7e020000==0; ALLOW read",
        "ALLOW clone,read",
        (Arch::X86_64, Some("clone"), Some(56), [0x20000, 0, 0, 0, 0, 0], errno, allow),
    );
    check(
        "ALLOW read: a2==0xffffffffffffffff",
        "ALLOW read: a2>0xfffffffffffffffd",
        (Arch::X86_64, Some("read"), Some(0), [0, 0, u64::MAX - 1, 0, 0, 0], errno, allow),
    );
    // Named syscalls before the others, the native ABI first, then by number.
    check(
        "arch X86,X32",
        "arch X86,X32; default ALLOW; KILL read; TRACE mkdir",
        (Arch::X86_64, Some("mkdir"), Some(83), [0; 6], errno, Effect::Trace(1)),
    );
    check("arch X86", "arch X86; ALLOW stime", (Arch::X86, Some("stime"), Some(25), [0; 6], errno, allow));
    check(
        "arch X32",
        "arch X32; ALLOW read: a0==7",
        (Arch::X86_64, Some("read"), Some(0), [7, 0, 0, 0, 0, 0], errno, allow),
    );
    check(
        "ALLOW read",
        "arch X32; ALLOW read",
        (Arch::X32, Some("read"), Some(0x4000_0000), [0; 6], Effect::KillThread, allow),
    );
    // 32-bit words.
    check(
        "arch X86; ALLOW read; ALLOW waitpid: a0==0x100000005",
        "arch X86; ALLOW read,waitpid",
        (Arch::X86, Some("waitpid"), Some(7), [0; 6], errno, allow),
    );
    // A socket rule reaches socketcall by its number alone (1.2).
    check(
        "arch X86",
        "arch X86; ALLOW socket: a0==1; ALLOW read",
        (Arch::X86_64, Some("read"), Some(0), [0; 6], errno, allow),
    );
    // What nobody names.
    check("", "default ALLOW; KILL read", (Arch::X86_64, Some("write"), Some(1), [0; 6], errno, allow));
    // Names in no table come after what has a number.
    check("", "ALLOW frobnicate", (Arch::X86_64, Some("frobnicate"), None, [0; 6], errno, allow));
    // Answers outside the filter.
    check("ALLOW read", "none", (Arch::X86_64, Some("write"), Some(1), [0; 6], errno, allow));
    let flag = |flag, old, new| Some(Counterexample::Flag { flag, old, new });
    for (old, new, expect) in [
        ("flags TSYNC", "", flag(Flag::SpecAllow, false, true)),
        ("flags LOG,SPEC_ALLOW", "", flag(Flag::Log, true, false)),
        ("flags TSYNC", "none", None),
    ] {
        let found = compared(old, new, "");
        assert!(found.counterexample.is_some());
        if expect.is_some() {
            assert_eq!(found.counterexample, expect, "{old} to {new}");
        }
    }
}

/// An agent that changed counts only where both sides ask one.
#[test]
fn agents() {
    for (old, new, expect) in [
        ("listener /l", "listener /m", Equal),
        ("listener /l; NOTIFY read", "listener /m; NOTIFY mkdir", Incomparable),
        ("listener /l; ALLOW mkdir; NOTIFY read", "listener /m; KILL mkdir,read", Tighter),
        ("listener /l; NOTIFY read: a0==1", "listener /m; NOTIFY read: a0==2", Incomparable),
        ("listener /l; NOTIFY read: a0==1", "listener /m; NOTIFY read: a0==1", Incomparable),
        (
            "default ALLOW; listener /l; NOTIFY read: a0==1; NOTIFY read: a0==2",
            "default ALLOW; listener /m; ERRNO(1) read",
            Tighter,
        ),
        // Hidden by an unconditional rule.
        ("listener /l; ALLOW read; NOTIFY read: a0==1", "listener /m; ALLOW read; NOTIFY read: a0==1", Equal),
    ] {
        check(old, new, "", expect);
    }
}

/// runc's stub (1.9): numbers above the highest one named answer ENOSYS.
#[test]
fn runc() {
    for (old, new, config, expect) in [
        // Naming a high syscall moves the border, and KILL becomes ENOSYS or back.
        ("default KILL; ALLOW write", "default KILL; ALLOW write; KILL mkdir", "runtime=runc", Tighter),
        ("default KILL; ALLOW write", "default KILL; ALLOW write; KILL mkdir", "", Equal),
        ("ALLOW write", "ALLOW write; ERRNO(2) mkdir", "runtime=runc", Equal),
        ("ALLOW write", "ALLOW write; ERRNO(2) mkdir", "runtime=runc errno=exact", Incomparable),
        // An ABI whose highest number is 0 has no stub.
        ("default KILL; ALLOW read", "default KILL; ALLOW read; KILL mkdir", "runtime=runc", Looser),
        // No stub with such a default action.
        ("default LOG; KILL read", "default LOG; KILL read,mkdir", "runtime=runc", Tighter),
    ] {
        check(old, new, config, expect);
    }
    let found =
        compared("default KILL; ALLOW write; KILL mkdir", "default KILL; ALLOW write", "runtime=runc");
    let Some(Counterexample::Call(call)) = found.counterexample else { panic!("{found:?}") };
    assert_eq!((call.nr, call.old, call.new), (Some(2), Effect::KillThread, Effect::Errno(38)));
}

/// youki's swapped operands (1.1): the usual rule for clone allows everything.
#[test]
fn youki() {
    let usual = "ALLOW clone: a0&0x7e020000==0";
    check(usual, "ALLOW clone", "", Looser);
    check(usual, "ALLOW clone", "runtime=youki", Equal);
}

/// More than six conditions: both readings must accept (1.1, step 5).
#[test]
fn readings() {
    // Read in full argument 0 stands twice, so each condition is a rule: all is allowed. The first six are one rule.
    let seven = "ALLOW read: a0==0 a1==1 a2==2 a3==3 a4==4 a5==5 a0!=0";
    let six = "ALLOW read: a0==0 a1==1 a2==2 a3==3 a4==4 a5==5";
    for (old, new, expect) in [
        (seven, seven, Equal),
        ("ALLOW read", seven, Tighter),
        // By crun's reading they are the same.
        (six, seven, Looser),
        (seven, six, Tighter),
        ("ALLOW read: a1==1", seven, Incomparable),
    ] {
        assert_eq!(relation(old, new, ""), expect, "{old} to {new}");
    }
    // Accepted by one reading and not by the other, each way.
    let or = "ALLOW read: a0==0 a1==1 a2==2 a3==3 a4==4 a5==5 a0==7";
    assert_eq!(relation(six, or, ""), Looser);
    assert_eq!(relation(or, six, ""), Tighter);
    assert_eq!(relation(or, "ALLOW read: a0==0", ""), Incomparable);
    assert_eq!(relation("ALLOW read: a0==7", or, ""), Incomparable);
}

#[test]
fn invalid() {
    let check = |old: &str, new: &str, expect: &str| {
        let found = compared(old, new, "");
        assert_eq!(found.relation, Invalid, "{old} to {new}");
        let reason = found.reason.unwrap();
        assert!(reason.starts_with(expect), "{reason}");
    };
    let bad = "ERRNO(4095) read";
    check("", bad, "the new policy is invalid: syscalls[0].errnoRet: ");
    check(bad, "", "the old policy is invalid: syscalls[0].errnoRet: ");
    // Also where both sides are the same, and where there is a counterexample.
    check(bad, bad, "the old policy is invalid: ");
    check("", "default ALLOW; NOTIFY read", "the new policy is invalid: syscalls[0].action: ");
}

/// What people read.
#[test]
fn reasons() {
    for (old, new, expect) in [
        (
            "ALLOW clone: a0&0x7e020000==0",
            "ALLOW clone: a0&0x6e020000==0",
            "x86_64: clone(0x10000000, ...) is refused with error 1 by the old policy and allowed by the new one (ERRNO(1) -> ALLOW)",
        ),
        (
            "",
            "default ALLOW",
            "x86_64: read(...) is refused with error 1 by the old policy and allowed by the new one, like every system call for which neither has a rule (ERRNO(1) -> ALLOW)",
        ),
        (
            "ALLOW read",
            "listener /l; NOTIFY read",
            "x86_64: read(...) is allowed by the old policy and handed to an agent by the new one (ALLOW -> NOTIFY)",
        ),
        (
            "listener /l; NOTIFY read",
            "listener /m; NOTIFY read",
            "x86_64: read(...) is handed to an agent by both policies, by the new one to another agent or with other metadata (NOTIFY -> NOTIFY)",
        ),
        (
            "",
            "ALLOW frobnicate",
            "x86_64: frobnicate, a name that is in no table, is refused with error 1 by the old policy and allowed by the new one (ERRNO(1) -> ALLOW)",
        ),
        (
            "flags LOG,SPEC_ALLOW",
            "",
            "SECCOMP_FILTER_FLAG_LOG is in force in the old policy and not in force in the new one; answers are no longer recorded",
        ),
    ] {
        assert_eq!(compared(old, new, "").reason.as_deref(), Some(expect));
    }
}
