//! Answers to single calls.

use super::*;

fn check(json: &Value, arch: Arch, call: (&str, &[u64]), expect: &str) {
    check_under("plain", json, arch, call, expect);
}

fn check_under(runtime: &str, json: &Value, arch: Arch, (name, given): (&str, &[u64]), expect: &str) {
    let mut args = [0; ARGUMENTS];
    args[..given.len()].copy_from_slice(given);
    let answer = answer(json, &under(runtime), arch, name, &args);
    assert_eq!(answer, effect(expect), "{json}: {arch} {name} {given:x?}");
}

const X86_64: Arch = Arch::X86_64;

/// 1.1 step 1: `KILL` is `KILL_THREAD`, numbers are cut to 16 bits, absent ones are EPERM.
#[test]
fn actions_with_their_numbers() {
    check(&policy("KILL", &[]), X86_64, ("read", &[]), "KILL_THREAD");
    check(&policy("ERRNO", &[]), X86_64, ("read", &[]), "ERRNO(1)");
    check(&policy("ERRNO(65536)", &[]), X86_64, ("read", &[]), "ERRNO(0)");
    check(&policy("TRACE(65537)", &[]), X86_64, ("read", &[]), "TRACE(1)");
    check(&policy("ALLOW", &["read -> ERRNO(65574)"]), X86_64, ("read", &[]), "ERRNO(38)");
}

/// 1.1 step 2: an entry that equals the default action does not even hide others.
#[test]
fn entries_that_equal_the_default_action_are_dropped() {
    let hidden = ["read -> ERRNO(5)", "read -> ALLOW"];
    check(&policy("ERRNO(5)", &hidden), X86_64, ("read", &[]), "ALLOW");
    check(&policy("ERRNO(6)", &hidden), X86_64, ("read", &[]), "ERRNO(5)");
    check(&policy("ERRNO(65541)", &hidden), X86_64, ("read", &[]), "ALLOW");
    check(&policy("KILL", &["read -> KILL_THREAD", "read -> LOG"]), X86_64, ("read", &[]), "LOG");
}

/// 1.1 step 4: an argument twice turns all conditions into rules of their own.
#[test]
fn doubled_arguments_are_alternatives() {
    let range = policy("ERRNO", &["read arg0 >= 5 && arg0 <= 10 -> ALLOW"]);
    for given in [0, 5, 7, 11, u64::MAX] {
        check(&range, X86_64, ("read", &[given]), "ALLOW");
    }
    let three = policy("ERRNO", &["read arg0 == 5 && arg1 == 6 && arg0 == 7 -> ALLOW"]);
    for (given, expect) in [([5, 0], "ALLOW"), ([7, 0], "ALLOW"), ([0, 6], "ALLOW"), ([6, 5], "ERRNO")] {
        check(&three, X86_64, ("read", &given), expect);
    }
    let both = policy("ERRNO", &["read arg0 == 5 && arg1 == 6 -> ALLOW"]);
    for (given, expect) in [([5, 0], "ERRNO"), ([5, 6], "ALLOW"), ([0, 6], "ERRNO")] {
        check(&both, X86_64, ("read", &given), expect);
    }
}

/// 1.1 step 5: crun reads six conditions, also to see whether an argument is named twice.
#[test]
fn six_conditions_or_all() {
    let seven = "clone arg0 == 0 && arg1 == 1 && arg2 == 2 && arg3 == 3 && arg4 == 4 && arg5 == 5 && arg0 == 9 -> ALLOW";
    let policy = read(&policy("ERRNO", &[seven]));
    let nr = syscall::number(X86_64, "clone").unwrap();
    for (reading, given, expect) in [
        (Reading::All, args([9]), Effect::Allow),
        (Reading::All, args([8, 1]), Effect::Allow),
        (Reading::FirstSix, args([9]), Effect::Errno(1)),
        (Reading::FirstSix, args([8, 1]), Effect::Errno(1)),
        (Reading::FirstSix, [0, 1, 2, 3, 4, 5], Effect::Allow),
    ] {
        let model = Model::new(Some(&policy), &Host::x86_64(), &Settings::default(), reading).unwrap();
        assert_eq!(model.evaluate(X86_64, nr, &given), Some(expect), "{reading:?} {given:?}");
    }
    assert_eq!(Reading::of(&policy), [Reading::All, Reading::FirstSix]);
    assert_eq!(Reading::of(&Policy::new(crate::term::Action::Allow)), [Reading::All]);
}

/// 1.1: youki swaps the operands of `MASKED_EQ`.
#[test]
fn youki_swaps_operands() {
    let clone = policy("ERRNO", &["clone arg0 & 0x7e020000 == 0 -> ALLOW"]);
    check(&clone, X86_64, ("clone", &[0x1000_0000]), "ERRNO");
    check_under("youki", &clone, X86_64, ("clone", &[0x1000_0000]), "ALLOW");
    let other = policy("ERRNO", &["clone arg0 & 4 == 6 -> ALLOW"]);
    check(&other, X86_64, ("clone", &[4]), "ALLOW");
    check_under("youki", &other, X86_64, ("clone", &[4]), "ALLOW");
    check_under("youki", &other, X86_64, ("clone", &[6]), "ERRNO");
}

/// 1.2: the native ABI is always there, others when listed; what is not there answers `KILL_THREAD`.
#[test]
fn abis() {
    let read_only = policy("ERRNO", &["read -> ALLOW"]);
    let native = with(read_only.clone(), "architectures", json!(["SCMP_ARCH_X86_64"]));
    for json in [&read_only, &native] {
        check(json, X86_64, ("read", &[]), "ALLOW");
        check(json, Arch::X86, ("read", &[]), "KILL_THREAD");
        check(json, Arch::X32, ("read", &[]), "KILL_THREAD");
    }
    let all = on_x86s(read_only.clone());
    for arch in [X86_64, Arch::X86, Arch::X32] {
        check(&all, arch, ("read", &[]), "ALLOW");
        check(&all, arch, ("write", &[]), "ERRNO");
    }
    // One that the host cannot run, and one that cannot even be loaded there.
    let foreign = with(read_only, "architectures", json!(["SCMP_ARCH_AARCH64", "SCMP_ARCH_S390X"]));
    let policy = read(&foreign);
    let model = Model::new(Some(&policy), &Host::x86_64(), &Settings::default(), Reading::All).unwrap();
    assert!(model.archs().eq([X86_64, Arch::Aarch64]));
    // No syscall of this name there.
    check(&on_x86s(super::policy("ERRNO", &["socketcall -> ALLOW"])), X86_64, ("socketcall", &[]), "ERRNO");
}

/// 1.2: rules for sockets and System V IPC also go to `socketcall` and `ipc`.
#[test]
fn calls_behind_a_gate() {
    let json =
        on_x86s(policy("ERRNO", &["socket -> ALLOW", "bind arg0 == 7 && arg1 == 5 -> LOG", "shmat -> TRAP"]));
    check(&json, Arch::X86, ("socket", &[]), "ALLOW");
    check(&json, Arch::X86, ("socketcall", &[1, 40]), "ALLOW");
    check(&json, Arch::X86, ("socketcall", &[0x1_0000_0001]), "ALLOW");
    check(&json, Arch::X86, ("socketcall", &[3]), "ERRNO");
    // The condition on argument 0 is replaced, the others stay.
    check(&json, Arch::X86, ("socketcall", &[2, 5]), "LOG");
    check(&json, Arch::X86, ("socketcall", &[2, 6]), "ERRNO");
    check(&json, Arch::X86, ("bind", &[7, 5]), "LOG");
    check(&json, Arch::X86, ("bind", &[2, 5]), "ERRNO");
    check(&json, Arch::X86, ("ipc", &[21]), "TRAP");
    check(&json, Arch::X86, ("ipc", &[22]), "ERRNO");
    check(&json, X86_64, ("bind", &[7, 5]), "LOG");
    // A condition on the address family does not reach socketcall.
    let family = on_x86s(policy("ERRNO", &["socket arg0 == 1 -> ALLOW"]));
    check(&family, Arch::X86, ("socket", &[2]), "ERRNO");
    check(&family, Arch::X86, ("socketcall", &[1, 2]), "ALLOW");
    // Alternatives stay alternatives; those on argument 0 come to the call number alone.
    let either = on_x86s(policy("ERRNO", &["socket arg1 == 3 && arg1 == 4 -> ALLOW"]));
    check(&either, Arch::X86, ("socketcall", &[1, 4]), "ALLOW");
    check(&either, Arch::X86, ("socketcall", &[1, 5]), "ERRNO");
    // Beside rules in its own name, of which an unconditional one decides.
    let own = on_x86s(policy("ERRNO", &["socket -> ALLOW", "socketcall arg0 == 2 -> LOG"]));
    check(&own, Arch::X86, ("socketcall", &[1]), "ALLOW");
    check(&own, Arch::X86, ("socketcall", &[2]), "LOG");
    let decided = on_x86s(policy("ERRNO", &["socket -> ALLOW", "socketcall -> LOG"]));
    check(&decided, Arch::X86, ("socketcall", &[1]), "LOG");
    // `accept`, `send` and `recv` have no number of their own on x86.
    let accept = on_x86s(policy("ERRNO", &["accept -> ALLOW", "read -> ALLOW"]));
    check(&accept, Arch::X86, ("socketcall", &[5]), "ALLOW");
}

/// 1.3: on a 32-bit ABI the low 32 bits of argument, value and mask count.
#[test]
fn words() {
    let equal = on_x86s(policy("ERRNO", &["read arg0 == 0x100000005 -> ALLOW"]));
    check(&equal, X86_64, ("read", &[5]), "ERRNO");
    check(&equal, X86_64, ("read", &[0x1_0000_0005]), "ALLOW");
    for arch in [Arch::X86, Arch::X32] {
        check(&equal, arch, ("read", &[5]), "ALLOW");
        check(&equal, arch, ("read", &[0x7_0000_0005]), "ALLOW");
    }
    let above = on_x86s(policy("ERRNO", &["read arg0 > 0x100000004 -> ALLOW"]));
    check(&above, Arch::X86, ("read", &[5]), "ALLOW");
    check(&above, Arch::X86, ("read", &[4]), "ERRNO");
    check(&above, X86_64, ("read", &[5]), "ERRNO");
    check(&above, X86_64, ("read", &[0x1_0000_0005]), "ALLOW");
    check(&above, X86_64, ("read", &[u64::MAX]), "ALLOW");
}

/// 1.3: the datum is masked too; a mask of zero, on a 32-bit ABI of zero low half, always matches.
#[test]
fn masks() {
    let beyond = policy("ERRNO", &["read arg0 & 6 == 0xb -> ALLOW"]);
    check(&beyond, X86_64, ("read", &[3]), "ALLOW");
    check(&beyond, X86_64, ("read", &[0xb]), "ALLOW");
    check(&beyond, X86_64, ("read", &[6]), "ERRNO");
    let zero = policy("ERRNO", &["read arg0 & 0 == 7 -> ALLOW", "read arg0 == 1 -> LOG"]);
    check(&zero, X86_64, ("read", &[1]), "ALLOW");
    let zero_beside = policy("ERRNO", &["read arg0 & 0 == 7 && arg1 == 2 -> ALLOW"]);
    check(&zero_beside, X86_64, ("read", &[5, 2]), "ALLOW");
    check(&zero_beside, X86_64, ("read", &[5, 3]), "ERRNO");
    let upper = on_x86s(policy("ERRNO", &["read arg0 & 0xff00000000 == 0x100000000 -> ALLOW"]));
    check(&upper, X86_64, ("read", &[0x1_0000_0000]), "ALLOW");
    check(&upper, X86_64, ("read", &[0]), "ERRNO");
    check(&upper, Arch::X86, ("read", &[0]), "ALLOW");
    // `valueTwo` of other operators is ignored.
    let mut json = policy("ERRNO", &["read arg0 == 5 -> ALLOW"]);
    json["syscalls"][0]["args"][0]["valueTwo"] = 9.into();
    check(&json, X86_64, ("read", &[5]), "ALLOW");
}

/// 1.4: the first unconditional rule decides every call, wherever it stands.
#[test]
fn unconditional_rules_win() {
    let json = policy(
        "ERRNO",
        &["read arg0 == 5 -> KILL", "read -> ALLOW", "read -> LOG", "read arg0 == 6 -> TRAP"],
    );
    for given in [0, 5, 6] {
        check(&json, X86_64, ("read", &[given]), "ALLOW");
    }
}

/// 1.4: overlapping rules with different actions are asked in the order of the trie.
#[test]
fn overlapping_rules() {
    let five = policy("ERRNO", &["read arg0 == 5 -> KILL", "read arg0 != 3 -> ALLOW"]);
    for (given, expect) in [(5, "KILL"), (3, "ERRNO"), (4, "ALLOW"), (0x1_0000_0005, "ALLOW")] {
        check(&five, X86_64, ("read", &[given]), expect);
    }
    let two = policy("ERRNO", &["read arg0 == 2 -> KILL", "read arg0 != 3 -> ALLOW"]);
    check(&two, X86_64, ("read", &[2]), "ALLOW");
    let flags = ["read arg0 & 2 == 2 -> KILL", "read arg0 & 4 == 4 -> ALLOW"];
    for rules in [[flags[0], flags[1]], [flags[1], flags[0]]] {
        let json = policy("ERRNO", &rules);
        for (given, expect) in [(6, "ALLOW"), (2, "KILL"), (4, "ALLOW"), (1, "ERRNO")] {
            check(&json, X86_64, ("read", &[given]), expect);
        }
    }
    let later = policy("ERRNO", &["read arg0 == 1 -> KILL", "read arg1 == 1 -> ALLOW"]);
    check(&later, X86_64, ("read", &[1, 1]), "ALLOW");
    check(&later, X86_64, ("read", &[1, 2]), "KILL");
    // `<` and `<=` rank before `>` and `>=`, the smaller bound first.
    let sizes = policy("ERRNO", &["read arg0 > 4 -> KILL", "read arg0 < 9 -> LOG", "read arg0 < 6 -> ALLOW"]);
    for (given, expect) in [(9, "KILL"), (8, "LOG"), (5, "ALLOW"), (0, "ALLOW")] {
        check(&on_x86s(sizes.clone()), Arch::X86, ("read", &[given]), expect);
    }
}

/// 1.9: runc's stub answers ENOSYS above the highest number that any entry names, dropped entries included.
#[test]
fn runc_stub() {
    let json = on_x86s(policy("KILL", &["read,openat2 -> ALLOW", "clone3,socket -> KILL"]));
    for (arch, below, above) in [(X86_64, "mount", "close_range"), (Arch::X86, "mount", "close_range")] {
        check_under("runc", &json, arch, (below, &[]), "KILL");
        check_under("plain", &json, arch, (above, &[]), "KILL");
    }
    // openat2 is 437: faccessat2 (439) lies above, close_range (436) below.
    check_under("runc", &json, X86_64, ("close_range", &[]), "KILL");
    for arch in [X86_64, Arch::X86, Arch::X32] {
        check_under("runc", &json, arch, ("faccessat2", &[]), "ERRNO(38)");
        check_under("plain", &json, arch, ("faccessat2", &[]), "KILL");
    }
    for default in ["ALLOW", "LOG", "TRACE"] {
        check_under("runc", &policy(default, &["read -> TRAP"]), X86_64, ("faccessat2", &[]), default);
    }
    // Socket names do not count where there is `socketcall`, so that their own numbers may lie above the border.
    let socket = on_x86s(policy("KILL", &["read,socket -> ALLOW"]));
    check_under("runc", &socket, Arch::X86, ("socket", &[]), "ERRNO(38)");
    check_under("plain", &socket, Arch::X86, ("socket", &[]), "ALLOW");
    check_under("runc", &socket, X86_64, ("mount", &[]), "ERRNO(38)");
    check_under("runc", &socket, X86_64, ("socket", &[]), "ALLOW");
    // An ABI whose highest number is 0 has no stub.
    check_under("runc", &policy("KILL", &["read -> ALLOW"]), X86_64, ("write", &[]), "KILL");
    check_under("runc", &policy("KILL", &[]), X86_64, ("write", &[]), "KILL");
}

/// 1.10 and 1.11.
#[test]
fn flags_and_no_policy() {
    let in_force = |flags: Value| {
        let policy = read(&with(policy("ALLOW", &[]), "flags", flags));
        let host = Host::x86_64();
        let model = Model::new(Some(&policy), &host, &Settings::default(), Reading::All).unwrap();
        (model.flags_in_force().spec_allow, model.flags_in_force().log)
    };
    assert_eq!(in_force(json!(null)), (true, false));
    assert_eq!(in_force(json!([])), (true, false));
    assert_eq!(in_force(json!(["SECCOMP_FILTER_FLAG_TSYNC"])), (false, false));
    assert_eq!(in_force(json!(["SECCOMP_FILTER_FLAG_LOG"])), (false, true));
    assert_eq!(in_force(json!(["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"])), (true, true));
    let none = Model::new(None, &Host::x86_64(), &Settings::default(), Reading::All).unwrap();
    assert_eq!(none.flags_in_force(), Flags { spec_allow: true, log: false });
    assert_eq!(none.listener(), Listener { path: "", metadata: "" });
    for arch in [X86_64, Arch::X86, Arch::Aarch64] {
        assert_eq!(none.evaluate(arch, 0, &args([])), Some(Effect::Allow));
        assert_eq!(none.abi(arch).keys().count(), 0);
    }
}

/// 3.1: a name that is in no table may exist on every ABI of the filter.
#[test]
fn names_in_no_table() {
    let policy =
        read(&on_x86s(policy("ERRNO", &["zz_new,read -> ALLOW", "aa_new arg0 == 0x100000000 -> LOG"])));
    let model = Model::new(Some(&policy), &Host::x86_64(), &Settings::default(), Reading::All).unwrap();
    for arch in [X86_64, Arch::X86, Arch::X32] {
        let abi = model.abi(arch);
        let read = Key::Number(syscall::number(arch, "read").unwrap());
        assert!(abi.keys().eq([read, Key::Name("aa_new"), Key::Name("zz_new")]));
        assert_eq!(abi.group(Key::Name("zz_new")).unwrap().constant(), Some(Effect::Allow));
        let high = if arch == X86_64 { Effect::Errno(1) } else { Effect::Log };
        assert_eq!(abi.evaluate(Key::Name("aa_new"), &args([0])), Some(high));
        assert_eq!(abi.evaluate(Key::Name("aa_new"), &args([0x1_0000_0000])), Some(Effect::Log));
    }
}
