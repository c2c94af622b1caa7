use std::collections::BTreeMap;

use super::*;

#[test]
fn names_are_sorted_and_numbers_are_used_once() {
    assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
    for abi in Abi::ALL {
        let mut seen = BTreeMap::new();
        for (name, numbers) in TABLE {
            if let Some(number) = on(numbers, abi) {
                assert_eq!(seen.insert(number, name), None, "{abi} {number} {name}");
                assert_eq!(super::name(abi, number), Some(*name));
            }
        }
        assert!(seen.len() > 300, "{abi}: {}", seen.len());
    }
}

#[test]
fn numbers() {
    for (abi, name, expect) in [
        (Abi::X86_64, "read", Some(0)),
        (Abi::X86_64, "clone3", Some(435)),
        (Abi::X86_64, "socketcall", None),
        (Abi::X86, "socketcall", Some(102)),
        (Abi::X86, "socket", Some(359)),
        (Abi::X32, "ioctl", Some(0x4000_0202)),
        (Abi::Aarch64, "read", Some(63)),
        (Abi::Aarch64, "open", None),
        (Abi::Arm, "arm_sync_file_range", Some(341)),
        (Abi::Arm, "set_tls", Some(0xf0005)),
        (Abi::X86_64, "mkdri", None),
    ] {
        assert_eq!(number(abi, name), expect, "{abi} {name}");
    }
    assert!(is_known("set_tls") && is_known("socketcall") && !is_known("mkdri") && !is_known(""));
}

/// The oracle: the headers of this machine, which may be older than the table and then have fewer names.
#[test]
fn table_agrees_with_the_headers_of_this_machine() {
    for (abi, file) in [(Abi::X86_64, "64"), (Abi::X86, "32"), (Abi::X32, "x32")] {
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
            let bit = if abi == Abi::X32 { X32_BIT } else { 0 };
            assert_eq!(number(abi, name), Some(value | bit), "{abi} {name}");
            compared += 1;
        }
        assert!(compared > 300, "{path}: {compared}");
    }
}
