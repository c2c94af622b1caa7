//! Makes the system calls that it reads, each in a child of its own, and says how they ended: `ok`, `errno N`, `signal N`.
//!
//! Lines are `native NR A0 … A5` or `compat …` (a call of 32-bit programs), up to an empty one. Then it waits until its
//! input ends, so that somebody can look at its filters.

#![expect(unsafe_code, reason = "raw system calls")]
#![expect(clippy::print_stdout, reason = "a command that reports")]

use std::io::{BufRead as _, Read as _, Write as _};

fn main() {
    let mut input = std::io::stdin().lock();
    loop {
        let mut line = String::new();
        match input.read_line(&mut line) {
            Ok(read) if read > 0 && !line.trim().is_empty() => println!("{}", outcome(&line)),
            _ => break,
        }
    }
    println!("done");
    std::io::stdout().flush().ok();
    input.read_to_end(&mut Vec::new()).ok();
}

fn outcome(line: &str) -> String {
    let mut words = line.split_whitespace();
    let compat = words.next() == Some("compat");
    let numbers: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
    let Ok([nr, a, b, c, d, e, f]) = <[u64; 7]>::try_from(numbers) else { return "no call".to_owned() };
    // SAFETY: the child makes one call and ends; this process has one thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let result =
            if compat { compat_call(nr, [a, b, c, d, e, f]) } else { native_call(nr, [a, b, c, d, e, f]) };
        // Numbers of errors that tests use fit in a status.
        let status = if (-255..0).contains(&result) { i32::try_from(-result).unwrap_or(255) } else { 0 };
        // SAFETY: ends this child.
        unsafe { libc::_exit(status) }
    }
    let mut status = 0;
    // SAFETY: the status is ours.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    match (libc::WIFSIGNALED(status), libc::WEXITSTATUS(status)) {
        (true, _) => format!("signal {}", libc::WTERMSIG(status)),
        (false, 0) => "ok".to_owned(),
        (false, errno) => format!("errno {errno}"),
    }
}

#[cfg(target_arch = "x86_64")]
fn native_call(nr: u64, [a, b, c, d, e, f]: [u64; 6]) -> i64 {
    let result;
    // SAFETY: a system call; whoever wrote the line answers for what it does.
    unsafe {
        std::arch::asm!("syscall", inlateout("rax") nr => result, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _);
    }
    result
}

#[cfg(target_arch = "x86_64")]
fn compat_call(nr: u64, [a, b, c, d, e, f]: [u64; 6]) -> i64 {
    let result: u64;
    // SAFETY: as above. rbx and rbp are not for operands.
    unsafe {
        std::arch::asm!("push rbp", "push rbx", "mov rbx, {a}", "mov rbp, r9", "int 0x80", "pop rbx", "pop rbp",
            a = in(reg) a, inlateout("rax") nr => result, in("rcx") b, in("rdx") c, in("rsi") d, in("rdi") e,
            in("r9") f, lateout("r8") _, lateout("r10") _, lateout("r11") _);
    }
    // Results of 32-bit calls are 32 bits wide.
    let [b0, b1, b2, b3, ..] = result.to_le_bytes();
    i32::from_le_bytes([b0, b1, b2, b3]).into()
}

#[cfg(not(target_arch = "x86_64"))]
fn native_call(nr: u64, [a, b, c, d, e, f]: [u64; 6]) -> i64 {
    // SAFETY: a system call; whoever wrote the line answers for what it does.
    let result = unsafe { libc::syscall(nr.cast_signed(), a, b, c, d, e, f) };
    if result < 0 {
        -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or(255))
    } else {
        result
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn compat_call(_: u64, _: [u64; 6]) -> i64 {
    0
}
