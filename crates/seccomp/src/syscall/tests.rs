use std::collections::BTreeMap;

use super::*;

#[test]
fn names_are_sorted_and_numbers_are_used_once() {
    assert!(TABLE.windows(2).all(|pair| pair[0].name < pair[1].name));
    for &arch in Arch::ALL {
        let mut seen = BTreeMap::new();
        for row in rows() {
            assert_eq!(super::row(row.name), Some(row));
            if let Some(number) = row.number(arch) {
                assert_eq!(seen.insert(number, row.name), None, "{arch} {number} {}", row.name);
                assert_eq!(super::name(arch, number), Some(row.name));
            }
        }
        assert!(seen.len() > 300, "{arch}: {}", seen.len());
    }
}

#[test]
fn numbers() {
    for (arch, name, expect) in [
        (Arch::X86_64, "read", Some(0)),
        (Arch::X86_64, "clone3", Some(435)),
        (Arch::X86_64, "socketcall", None),
        (Arch::X86, "socketcall", Some(102)),
        (Arch::X86, "socket", Some(359)),
        (Arch::X86, "accept", None),
        (Arch::X86, "clock_gettime", Some(265)),
        (Arch::X32, "ioctl", Some(0x4000_0202)),
        (Arch::Aarch64, "read", Some(63)),
        (Arch::Aarch64, "open", None),
        (Arch::Arm, "arm_sync_file_range", Some(341)),
        (Arch::Arm, "sync_file_range2", None),
        (Arch::Arm, "set_tls", Some(0xf0005)),
        (Arch::Mips, "read", Some(4003)),
        (Arch::Mipsel, "read", Some(4003)),
        (Arch::Mips64, "read", Some(5000)),
        (Arch::Mipsel64N32, "read", Some(6000)),
        (Arch::S390, "mkdir", Some(39)),
        (Arch::Parisc, "socket", Some(17)),
        (Arch::Riscv64, "riscv_flush_icache", Some(259)),
        (Arch::Sheb, "sync_file_range2", Some(388)),
        (Arch::X86_64, "mkdri", None),
    ] {
        assert_eq!(number(arch, name), expect, "{arch} {name}");
    }
    assert!(is_known("set_tls") && is_known("socketcall") && !is_known("mkdri") && !is_known(""));
}

/// What shares a column shares its base, and a call is of the ABI that it says.
#[test]
fn abis() {
    for &arch in Arch::ALL {
        let number = number(arch, "read").unwrap();
        assert_eq!(Arch::of_call(arch.audit(), number), Some(arch));
        assert_eq!(Arch::from_short(arch.short()), Some(arch));
        assert_eq!(
            arch.as_str().strip_prefix("SCMP_ARCH_").map(str::to_lowercase).as_deref(),
            Some(arch.short())
        );
        assert_eq!(super::number(arch, "socketcall").is_some(), arch.has_socketcall(), "{arch}");
        assert_eq!(super::number(arch, "ipc").is_some(), arch.has_ipc(), "{arch}");
        // The N32 ABI of MIPS has the mark of 64 bits but 32-bit arguments, as x32.
        let narrow = matches!(arch, Arch::X32 | Arch::Mips64N32 | Arch::Mipsel64N32);
        assert_eq!(arch.is_64(), arch.audit() & 0x8000_0000 != 0 && !narrow, "{arch}");
    }
    assert_eq!(Arch::of_call(0xdead_beef, 0), None);
}

#[test]
fn gates() {
    let with = |gate| rows().filter(|row| row.gate.is_some_and(|found| found.name() == gate)).count();
    assert_eq!((with("socketcall"), with("ipc")), (20, 12));
    let row = row("shmctl").unwrap();
    assert_eq!(row.gate, Some(Gate::Ipc(24)));
}

/// The oracle: the headers of this machine, which may be older than the table and then have fewer names.
#[test]
fn table_agrees_with_the_headers_of_this_machine() {
    for (arch, file) in [(Arch::X86_64, "64"), (Arch::X86, "32"), (Arch::X32, "x32")] {
        let path = format!("/usr/include/x86_64-linux-gnu/asm/unistd_{file}.h");
        let Ok(text) = std::fs::read_to_string(&path) else {
            println!("skipped: {path} is absent; install linux-libc-dev");
            continue;
        };
        let mut compared = 0;
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some("#define"), Some(name), Some(value)) =
                (words.next(), words.next(), line.split_whitespace().last())
            else {
                continue;
            };
            let (Some(name), Ok(value)) =
                (name.strip_prefix("__NR_"), value.trim_end_matches(')').parse::<u32>())
            else {
                continue;
            };
            assert_eq!(number(arch, name), Some(value + arch.base()), "{arch} {name}");
            compared += 1;
        }
        assert!(compared > 300, "{path}: {compared}");
    }
}
