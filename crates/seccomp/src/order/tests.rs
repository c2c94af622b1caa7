use super::*;
use Effect::{Allow, Errno as E, KillProcess, KillThread, Log as L, Notify, Trace, Trap};

const EFFECTS: [Effect; 11] =
    [KillProcess, KillThread, Trap, E(0), E(1), E(38), Notify, Trace(0), Trace(1), L, Allow];

fn strict() -> Settings {
    Settings::default()
}

fn settings() -> impl Iterator<Item = Settings> {
    (0..32u8).map(|bits| {
        let on = |bit: u8| bits & (1 << bit) != 0;
        Settings {
            errno: if on(0) { Errno::Exact } else { Errno::Any },
            kill: if on(1) { Kill::Merged } else { Kill::Strict },
            log: if on(2) { Log::Ignored } else { Log::Strict },
            delegation: if on(3) { Delegation::Rank } else { Delegation::Deny },
            fake_success: if on(4) { FakeSuccess::Allow } else { FakeSuccess::Deny },
            ..Settings::default()
        }
    })
}

/// Every row of the table of 2.1 that is about answers: old, new, whether it loosens by default, and the settings that
/// turn it round.
#[test]
fn rows() {
    let exact = Settings { errno: Errno::Exact, ..strict() };
    let merged = Settings { kill: Kill::Merged, ..strict() };
    let ignored = Settings { log: Log::Ignored, ..strict() };
    let rank = Settings { delegation: Delegation::Rank, ..strict() };
    let allow = Settings { fake_success: FakeSuccess::Allow, ..strict() };
    let merged_allow = Settings { kill: Kill::Merged, ..allow };
    for (old, new, expect, settings) in [
        // Numbers.
        (E(1), E(38), false, strict()),
        (E(1), E(38), true, exact),
        (E(1), E(1), false, exact),
        (Trace(0), Trace(7), false, strict()),
        (Trace(0), Trace(7), true, exact),
        // Pretended success.
        (E(0), E(0), false, strict()),
        (E(0), E(1), false, strict()),
        (E(0), E(1), true, exact),
        (E(1), E(0), true, strict()),
        (E(1), E(0), false, allow),
        (E(1), E(0), true, Settings { errno: Errno::Exact, ..allow }),
        (Allow, E(0), true, strict()),
        (Allow, E(0), false, allow),
        (Notify, E(0), true, strict()),
        (KillProcess, E(0), true, strict()),
        (KillProcess, E(0), true, allow),
        (KillProcess, E(0), true, merged),
        (KillProcess, E(0), false, merged_allow),
        (E(0), KillProcess, false, merged),
        (E(0), Allow, true, strict()),
        // Delegation.
        (Allow, Notify, true, strict()),
        (L, Notify, true, strict()),
        (Trace(1), Notify, true, strict()),
        (Allow, Trace(1), true, strict()),
        (L, Trace(1), true, strict()),
        (Allow, Notify, false, rank),
        (L, Notify, false, rank),
        (Trace(1), Notify, false, rank),
        (Allow, Trace(1), false, rank),
        (L, Trace(1), false, rank),
        (Notify, Trace(1), true, strict()),
        (Notify, Trace(1), true, rank),
        (Notify, L, true, rank),
        (Notify, Allow, true, strict()),
        (Trace(1), L, true, strict()),
        (E(1), Notify, true, strict()),
        (E(1), Trace(1), true, rank),
        (KillProcess, Notify, true, merged),
        (Notify, E(1), false, strict()),
        (Notify, Trap, false, strict()),
        (Notify, KillThread, false, strict()),
        // Refusals among themselves.
        (KillProcess, KillThread, true, strict()),
        (KillProcess, KillThread, false, merged),
        (KillThread, KillProcess, false, strict()),
        (KillThread, E(1), true, strict()),
        (Trap, E(1), true, strict()),
        (Trap, E(1), false, merged),
        (KillThread, E(1), false, merged),
        (KillThread, Trap, true, strict()),
        (E(1), Trap, false, strict()),
        // Records.
        (Allow, L, false, strict()),
        (L, Allow, true, strict()),
        (L, Allow, false, ignored),
    ] {
        let order = Order::new(&settings, true);
        assert_eq!(order.loosens(old, new), expect, "{old} to {new} under {settings:?}");
    }
}

#[test]
fn another_agent_counts_under_every_setting() {
    for settings in settings() {
        assert!(Order::new(&settings, false).loosens(Notify, Notify));
        assert!(!Order::new(&settings, true).loosens(Notify, Notify));
    }
}

/// An answer never loosens itself, and what does not loosen in two steps does not in one. With exact numbers and merged
/// refusals together it may: from ERRNO(1) by way of KILL to ERRNO(38).
#[test]
fn it_is_an_order() {
    let both = |settings: &Settings| settings.errno == Errno::Exact && settings.kill == Kill::Merged;
    for settings in settings().filter(|settings| !both(settings)) {
        let order = Order::new(&settings, true);
        for one in EFFECTS {
            assert!(!order.loosens(one, one), "{one}");
            for two in EFFECTS {
                for three in EFFECTS {
                    if order.loosens(one, three) {
                        assert!(
                            order.loosens(one, two) || order.loosens(two, three),
                            "{one} {two} {three} under {settings:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn flags() {
    let strict = Order::new(&strict(), true);
    let ignored = Order::new(&Settings { log: Log::Ignored, ..Settings::default() }, true);
    for (flag, old, new, expect) in [
        (Flag::SpecAllow, false, true, true),
        (Flag::SpecAllow, true, false, false),
        (Flag::Log, true, false, true),
        (Flag::Log, false, true, false),
        (Flag::Tsync, true, false, false),
        (Flag::Tsync, false, true, false),
        (Flag::WaitKillableRecv, true, false, false),
        (Flag::WaitKillableRecv, false, true, false),
    ] {
        assert_eq!(strict.flag_loosens(flag, old, new), expect, "{flag}");
    }
    assert!(!ignored.flag_loosens(Flag::Log, true, false));
}
