//! The syscall tables of `nri-seccomp` against others: two crates made from the kernel's tables, and libseccomp.

use std::collections::BTreeMap;
use std::ffi::c_long;
use std::fs;
use std::process::Command;

use nri_seccomp::syscall;
use nri_seccomp::term::Arch;

/// Every name with its number on one ABI, as somebody else has it.
type Numbers = BTreeMap<String, u32>;

fn ours(arch: Arch) -> Numbers {
    let numbers = syscall::rows().filter_map(|row| Some((row.name.to_owned(), row.number(arch)?)));
    numbers.collect()
}

/// Each difference must be one of the allowed ones, `name=number` where it is ours and `-name=number` where it is theirs.
fn check(source: &str, arch: Arch, theirs: &Numbers, allowed: impl Fn(&str) -> bool) {
    assert!(theirs.len() > 280, "{source} {arch}: {}", theirs.len());
    let ours = ours(arch);
    let missing = theirs.iter().filter(|(name, number)| ours.get(*name) != Some(number));
    let extra = ours.iter().filter(|(name, number)| theirs.get(*name) != Some(number));
    let differences: Vec<String> = missing
        .map(|(name, number)| format!("-{name}={number}"))
        .chain(extra.map(|(name, number)| format!("{name}={number}")))
        .filter(|difference| !allowed(difference))
        .collect();
    assert!(differences.is_empty(), "{source} {arch}: {}", differences.join(" "));
}

fn name_of(difference: &str) -> &str {
    difference.trim_start_matches('-').split('=').next().unwrap_or_default()
}

/// Where the kernel's tables name a function, a placeholder, or another spelling than libseccomp.
fn is_spelling(arch: Arch, difference: &str) -> bool {
    let name = name_of(difference);
    // The 32-bit ABIs: `clock_gettime32` is the function behind the call clock_gettime.
    let timed = ["clock_", "timer_", "timerfd_", "gettimeofday", "settimeofday"];
    let is_timed =
        timed.iter().any(|prefix| name.starts_with(prefix)) && !name.contains("64") && !arch.is_64();
    let is_placeholder =
        name.starts_with("unused") || name.starts_with("reserved") || name == "arch_specific_syscall";
    let arm = ["arm_fadvise64_64", "fadvise64_64", "arm_sync_file_range", "sync_file_range2"];
    is_timed || is_placeholder || arch == Arch::Arm && arm.contains(&name)
}

fn collected<N: Copy + Into<c_long>>(
    numbers: impl IntoIterator<Item = N>,
    name: impl Fn(N) -> Option<&'static str>,
) -> Numbers {
    let named = |number: N| Some((name(number)?.to_owned(), u32::try_from(number.into()).ok()?));
    numbers.into_iter().filter_map(named).collect()
}

#[test]
fn against_the_crate_syscall_numbers() {
    use syscall_numbers as theirs;
    type Resolve = fn(c_long) -> Option<&'static str>;
    let resolvers: [(Arch, Resolve, c_long); 20] = [
        (Arch::X86_64, theirs::x86_64::sys_call_name, 0),
        (Arch::X86, theirs::x86::sys_call_name, 0),
        (Arch::X32, theirs::x32::sys_call_name, 1 << 30),
        (Arch::Aarch64, theirs::aarch64::sys_call_name, 0),
        (Arch::Arm, theirs::arm::sys_call_name, 0),
        (Arch::Mips, theirs::mips::sys_call_name, 4000),
        (Arch::Mipsel, theirs::mips::sys_call_name, 4000),
        (Arch::Mips64, theirs::mips64::sys_call_name, 5000),
        (Arch::Mipsel64, theirs::mips64::sys_call_name, 5000),
        (Arch::Mips64N32, theirs::mipsn32::sys_call_name, 6000),
        (Arch::Mipsel64N32, theirs::mipsn32::sys_call_name, 6000),
        (Arch::Ppc, theirs::powerpc::sys_call_name, 0),
        (Arch::Ppc64, theirs::powerpc64::sys_call_name, 0),
        (Arch::Ppc64Le, theirs::powerpc64::sys_call_name, 0),
        (Arch::S390X, theirs::s390x::sys_call_name, 0),
        (Arch::Riscv64, theirs::riscv64::sys_call_name, 0),
        (Arch::Loongarch64, theirs::loongarch64::sys_call_name, 0),
        (Arch::M68K, theirs::m68k::sys_call_name, 0),
        (Arch::Sh, theirs::sh::sys_call_name, 0),
        (Arch::Sheb, theirs::sh::sys_call_name, 0),
    ];
    for (arch, resolve, base) in resolvers {
        check("syscall-numbers", arch, &collected(base..base + 1024, resolve), |difference| {
            is_spelling(arch, difference)
                // Lines of the kernel's tables that the crate's generator passes over; `xtask/gen/syscalls.txt` has them.
                || !difference.starts_with('-') && is_filled_in(arch, name_of(difference))
                // libseccomp has no clone3 there.
                || matches!(arch, Arch::Sh | Arch::Sheb) && difference == "-clone3=435"
        });
    }
}

/// What `xtask/gen/syscalls.txt` adds to the crate.
fn is_filled_in(arch: Arch, name: &str) -> bool {
    let facts = include_str!("../../xtask/gen/syscalls.txt");
    let mut sections = facts.split("\n[").filter_map(|section| section.split_once("]\n"));
    sections.any(|(abi, entries)| {
        [arch.short(), "*"].contains(&abi)
            && entries
                .split_whitespace()
                .any(|entry| entry.split_once('=').is_some_and(|(known, _)| known == name))
    })
}

#[test]
fn against_the_crate_syscalls() {
    macro_rules! theirs {
        ($($arch:ident = $module:ident,)*) => {
            [$((
                Arch::$arch,
                syscalls::$module::Sysno::iter()
                    .map(|call| (call.name().trim_start_matches("r#").to_owned(), u32::try_from(call.id()).unwrap()))
                    .collect::<Numbers>(),
            ),)*]
        };
    }
    let tables = theirs! {
        X86_64 = x86_64, X86 = x86, Aarch64 = aarch64, Arm = arm, Mips = mips, Mips64 = mips64, Ppc = powerpc,
        Ppc64 = powerpc64, S390X = s390x, Riscv64 = riscv64, Loongarch64 = loongarch64,
    };
    for (arch, theirs) in tables {
        check("syscalls", arch, &theirs, |difference| {
            // The crate is of an older kernel: it lacks what came since.
            let name = name_of(difference);
            let is_newer = syscall::number(Arch::X86_64, name).is_some_and(|number| number >= 463);
            is_spelling(arch, difference)
                || !difference.starts_with('-') && is_newer
                // Its lists for newer ABIs hold what the generic header has for 32-bit ones.
                || arch.is_64() && is_of_32_bits(difference)
                || arch == Arch::Loongarch64 && lacks(name)
                // Calls that only ARM has, far beyond the others.
                || arch == Arch::Arm && difference.contains("=9830")
                // It has the call everywhere else; that table of the kernel got it later.
                || arch == Arch::Mips64 && difference == "set_mempolicy_home_node=5450"
                // The kernel's own name of the number is newfstatat.
                || ["-fstatat=79", "newfstatat=79"].contains(&difference)
        });
    }
}

/// Calls of the generic header that LoongArch does not have.
fn lacks(name: &str) -> bool {
    ["getrlimit", "setrlimit", "memfd_secret", "renameat"].contains(&name)
}

/// The calls with 64-bit times that 32-bit ABIs got in Linux 5.1: 403 to 423.
fn is_of_32_bits(difference: &str) -> bool {
    let number = difference.split_once('=').and_then(|(_, number)| number.parse::<u32>().ok());
    difference.starts_with('-') && number.is_some_and(|number| (403..=423).contains(&number))
}

/// `scmp_sys_resolver` is one process a name; this asks the same library for all of them at once.
const RESOLVER: &str = r#"
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
    const struct scmp_version *version = seccomp_version();
    printf("version %u.%u.%u\n", version->major, version->minor, version->micro);
    for (int at = 1; at < argc; at++) {
        unsigned arch = seccomp_arch_resolve_name(argv[at]);
        int base = argv[at][0] == 'x' && argv[at][1] == '3' ? 1 << 30 : 0;
        for (int number = 0; arch != 0 && number < 0xf0010; number = number == 8191 ? 0xf0000 : number + 1) {
            char *name = seccomp_syscall_resolve_num_arch(arch, number + base);
            if (name != NULL)
                printf("%s %s %d\n", argv[at], name, number + base);
            free(name);
        }
    }
}
"#;

#[test]
fn against_libseccomp() {
    let dir = tempfile::tempdir().unwrap();
    let (source, program) = (dir.path().join("resolver.c"), dir.path().join("resolver"));
    fs::write(&source, RESOLVER).unwrap();
    let built = Command::new("cc").arg(&source).arg("-o").arg(&program).arg("-lseccomp").output();
    if !built.is_ok_and(|output| output.status.success()) {
        println!("skipped: needs cc and libseccomp-dev");
        return;
    }
    let output = Command::new(&program).args(Arch::ALL.iter().map(|arch| arch.short())).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines();
    let version = lines.next().unwrap();
    let mut tables = BTreeMap::<Arch, Numbers>::new();
    for line in lines {
        let [arch, name, number] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let arch = Arch::from_short(arch).unwrap();
        tables.entry(arch).or_default().insert(name.to_owned(), number.parse().unwrap());
    }
    // Newer versions know more ABIs.
    assert!(tables.len() >= 15, "{version}: {:?}", tables.keys());
    for (arch, theirs) in &tables {
        check(version, *arch, theirs, |difference| {
            let name = name_of(difference);
            // An older library has fewer names.
            let is_newer = !difference.starts_with('-') && !theirs.contains_key(name);
            // Up to 2.5.4 it had this there, which the kernel does not.
            is_newer || (*arch, difference) == (Arch::Parisc64, "-_llseek=140")
        });
    }
}
