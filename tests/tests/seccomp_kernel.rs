//! The kernel's own checks of filters, and what it computes, against `nri_seccomp::bpf`.

#![expect(unsafe_code, reason = "a raw syscall has no safe form")]
#![expect(clippy::unwrap_used, reason = "in a test a panic is how a failure is reported")]

use std::sync::mpsc::channel;

use nri_seccomp::bpf::{ByteOrder, Data, Instruction, Program};
use nri_tests::random::Random;
use nri_tests::seccomp::install;
use nri_tests::wait::PATIENCE;

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;

fn op(code: u16, k: u32) -> Instruction {
    Instruction { code, jt: 0, jf: 0, k }
}

/// Whether the kernel takes a filter: in a thread that ends with it.
fn taken(instructions: &[Instruction]) -> bool {
    let program = instructions.to_vec();
    let installed = std::thread::spawn(move || install::here(&program)).join().unwrap();
    installed.is_ok()
}

/// A program that never gets to what is tried, which the checks look at all the same.
fn dead(middle: &[Instruction]) -> Vec<Instruction> {
    let skipped = u32::try_from(middle.len()).unwrap();
    [&[op(0x05, skipped)], middle, &[op(0x06, ALLOW)]].concat()
}

/// Every code that there is, and random programs of those that seccomp has.
#[test]
fn the_kernel_takes_what_we_take() {
    let mut random = Random(7);
    let mut programs: Vec<Vec<Instruction>> =
        (0..=0xff).map(|code| dead(&[op(code, 4), op(0x06, 0)])).collect();
    programs.extend([0x100, 0x8006, 0xffff].map(|code| dead(&[op(code, 4), op(0x06, 0)])));
    for k in [0, 1, 2, 4, 15, 16, 31, 32, 60, 61, 64, 0xffff_f000, u32::MAX] {
        for code in [0x20, 0x02, 0x03, 0x60, 0x61, 0x34, 0x64, 0x74, 0x05] {
            programs.push(dead(&[op(0x02, 4), op(code, k), op(0x06, 0)]));
        }
    }
    programs.push(dead(&[]));
    programs.push(vec![op(0x06, ALLOW); 4096]);
    programs.push(vec![op(0x06, ALLOW); 4097]);
    programs.push(vec![]);
    let codes = [
        0x20, 0x00, 0x01, 0x02, 0x03, 0x60, 0x61, 0x60, 0x02, 0x07, 0x87, 0x04, 0x3c, 0x84, 0x06, 0x16, 0x15,
        0x25, 0x1d, 0x05,
    ];
    for _ in 0..3000 {
        let len = 1 + random.below(10);
        let mut middle: Vec<Instruction> = (0..len)
            .map(|_| {
                let small = |random: &mut Random, end| u8::try_from(random.below(end)).unwrap();
                let (jt, jf) = (small(&mut random, 5), small(&mut random, 5));
                Instruction { code: *random.pick(&codes), jt, jf, k: small(&mut random, 4).into() }
            })
            .collect();
        middle.iter_mut().filter(|it| it.code == 0x20).for_each(|it| it.k *= 4);
        programs.push(dead(&middle));
    }
    let mut counts = [0; 2];
    for program in programs {
        let ours = Program::new(program.clone());
        assert_eq!(taken(&program), ours.is_ok(), "{ours:?}: {program:?}");
        counts[usize::from(ours.is_ok())] += 1;
    }
    assert!(counts.iter().all(|count| *count > 100), "{counts:?}");
}

/// What the kernel computes from arguments comes back as an errno, in a thread whose filter answers `getpriority` with
/// some bits of the result.
#[test]
fn the_kernel_computes_as_we_do() {
    let mut random = Random(8);
    let values = [0, 1, 2, 3, 5, 31, 32, 33, 0xff, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, u32::MAX];
    let alu = [
        0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3c, 0x44, 0x4c, 0x54, 0x5c, 0x64, 0x6c, 0x74, 0x7c, 0xa4,
        0xac, 0x84,
    ];
    let jumps = [0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x4d];
    let number = u32::try_from(libc::SYS_getpriority).unwrap();
    let mut compared = 0;
    for _ in 0..400 {
        let mut program =
            vec![op(0x20, 0), Instruction { code: 0x15, jt: 1, jf: 0, k: number }, op(0x06, ALLOW)];
        program.extend([op(0x20, 24), op(0x07, 0), op(0x02, 1), op(0x20, 16)]);
        for _ in 0..1 + random.below(6) {
            let k = *random.pick(&values);
            match random.below(6) {
                0 => program.extend([op(0x03, 2), op(0x61, 1)]),
                1 => program.extend([op(0x02, 2), op(0x87, 0)]),
                2 => {
                    let (jt, jf) = if random.once_in(2) { (0, 1) } else { (1, 0) };
                    program.push(Instruction { code: *random.pick(&jumps), jt, jf, k });
                    program.push(op(0x04, 77));
                }
                _ => {
                    let code = *random.pick(&alu);
                    let shift = matches!(code, 0x64 | 0x74);
                    program.push(op(
                        code,
                        if shift {
                            k % 32
                        } else if code == 0x34 {
                            k | 1
                        } else {
                            k
                        },
                    ));
                }
            }
        }
        // Which twelve bits are told, beside ERRNO; 4095 is the most that the kernel returns.
        program.extend([
            op(0x74, [0, 12, 24][random.below(3)]),
            op(0x54, 0x7ff),
            op(0x44, ERRNO),
            op(0x16, 0),
        ]);
        let ours = Program::new(program.clone()).unwrap();
        let answer = |args: &[u32; 2]| {
            let data =
                Data { nr: number, args: [args[0].into(), args[1].into(), 0, 0, 0, 0], ..Data::default() };
            ours.answer(&data, ByteOrder::HERE)
        };
        let args = (0..8).map(|_| [*random.pick(&values), *random.pick(&values)]);
        // Where a division by zero ends the program with 0, the thread would be gone.
        let args: Vec<[u32; 2]> = args.filter(|args| answer(args) != 0).collect();
        let (send, receive) = channel();
        let tried = args.clone();
        std::thread::spawn(move || {
            install::here(&program).unwrap();
            send.send(tried.iter().map(|args| errno(*args)).collect::<Vec<_>>()).unwrap();
        });
        let theirs =
            receive.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("the kernel ends the thread: {ours}"));
        for (args, theirs) in args.iter().zip(theirs) {
            assert_eq!(answer(args) & 0xffff, theirs, "{args:x?}: {ours}");
            compared += 1;
        }
    }
    assert!(compared > 2000, "{compared}");
}

/// What `getpriority` says under the filter of this thread.
fn errno([which, who]: [u32; 2]) -> u32 {
    // SAFETY: it takes no memory, and the filter answers it.
    let result = unsafe { libc::syscall(libc::SYS_getpriority, u64::from(which), u64::from(who)) };
    if result == 0 { 0 } else { std::io::Error::last_os_error().raw_os_error().unwrap_or(0).cast_unsigned() }
}
