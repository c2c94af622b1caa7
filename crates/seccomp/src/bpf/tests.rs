//! The kernel's checks, the interpreter and the reader. `tests/tests/seccomp_bpf.rs` asks the kernel and libseccomp.

use proptest::prelude::*;

use super::*;
use crate::decision;

const LD: u16 = 0x20;
const RET: u16 = 0x06;
const RET_A: u16 = 0x16;
const JA: u16 = 0x05;
const JEQ: u16 = 0x15;
const JGT: u16 = 0x25;
const JGE: u16 = 0x35;
const JSET: u16 = 0x45;
const BY_X: u16 = 0x08;

fn op(code: u16, k: u32) -> Instruction {
    Instruction { code, jt: 0, jf: 0, k }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code, jt, jf, k }
}

fn program(instructions: &[Instruction]) -> Program {
    Program::new(instructions.to_vec()).unwrap()
}

#[test]
fn what_the_kernel_refuses() {
    use Refused::*;
    let allow = op(RET, ALLOW);
    for (instructions, expect) in [
        (vec![], Err(Empty)),
        (vec![allow; INSTRUCTIONS_MAX], Ok(())),
        (vec![allow; INSTRUCTIONS_MAX + 1], Err(TooLong)),
        (vec![op(LD, 0)], Err(NoReturn)),
        (vec![op(0x0e, 0)], Err(Unknown(0))), // RET X
        (vec![op(LD, 60), allow], Ok(())),
        (vec![op(LD, 64), allow], Err(Load(0))),
        (vec![op(LD, 2), allow], Err(Load(0))),
        (vec![op(LD, 0xffff_f000), allow], Err(Load(0))), // ancillary data of sockets
        (vec![op(0x28, 0), allow], Err(Unknown(0))),      // half word
        (vec![op(0x30, 0), allow], Err(Unknown(0))),      // byte
        (vec![op(0x40, 0), allow], Err(Unknown(0))),      // indexed
        (vec![op(0xb1, 0), allow], Err(Unknown(0))),      // MSH
        (vec![op(0x94, 3), allow], Err(Unknown(0))),      // MOD
        (vec![op(0x9c, 0), allow], Err(Unknown(0))),
        (vec![op(0x8c, 0), allow], Err(Unknown(0))), // NEG X
        (vec![op(0x0d, 0), allow], Err(Unknown(0))), // JA X
        (vec![op(0xffff, 0), allow], Err(Unknown(0))),
        (vec![op(0x34, 0), allow], Err(Operand(0))),
        (vec![op(0x3c, 0), allow], Ok(())), // DIV X, whatever X is
        (vec![op(0x64, 31), op(0x74, 31), allow], Ok(())),
        (vec![op(0x64, 32), allow], Err(Operand(0))),
        (vec![op(0x74, 32), allow], Err(Operand(0))),
        (vec![op(0x6c, 99), allow], Ok(())),
        (vec![op(JA, 0), allow], Ok(())),
        (vec![op(JA, 1), allow], Err(Jump(0))),
        (vec![op(JA, u32::MAX), allow], Err(Jump(0))),
        (vec![jump(JEQ, 0, 0, 0), allow], Ok(())),
        (vec![jump(JEQ, 0, 1, 0), allow], Err(Jump(0))),
        (vec![jump(JEQ | BY_X, 0, 0, 1), allow], Err(Jump(0))),
        (vec![op(0x02, 15), op(0x60, 15), allow], Ok(())),
        (vec![op(0x02, 16), allow], Err(Scratch(0))),
        (vec![op(0x60, 0), allow], Err(Scratch(0))),
        (vec![op(0x03, 1), op(0x61, 2), allow], Err(Scratch(1))),
        // Written on one way only.
        (vec![jump(JEQ, 0, 0, 1), op(0x02, 0), op(0x60, 0), allow], Err(Scratch(2))),
        (vec![op(0x02, 0), jump(JEQ, 0, 0, 1), op(0x02, 1), op(0x60, 0), allow], Ok(())),
        // Nothing reaches the load.
        (vec![op(JA, 1), op(0x60, 0), allow], Ok(())),
        (vec![op(0x80, 0), op(0x81, 0), op(0x87, 0), op(0x07, 0), op(0x84, 0), op(RET_A, 0)], Ok(())),
    ] {
        assert_eq!(Program::new(instructions.clone()).map(|_| ()), expect, "{instructions:?}");
    }
    assert_eq!(Program::from_bytes(&[0; 7], ByteOrder::Little), Err(Torn));
    assert_eq!(Program::from_bytes(&vec![0; 4097 * 8], ByteOrder::Little), Err(TooLong));
    for text in ["0600000000000", "06000000 0000000g", "06000000 000000é0"] {
        assert_eq!(Program::from_hex(text, ByteOrder::Little), Err(NotHex), "{text}");
    }
}

#[test]
fn bytes_in_both_orders() {
    let filter = program(&[op(LD, 4), jump(JEQ, 0xc000_003e, 0, 1), op(RET, ALLOW), op(RET, KILL_PROCESS)]);
    for order in [ByteOrder::Little, ByteOrder::Big] {
        assert_eq!(Program::from_bytes(&filter.to_bytes(order), order).as_ref(), Ok(&filter));
    }
    let big = "0020 00 00 00000004  0015 00 01 c000003e  0006 00 00 7fff0000  0006 00 00 80000000";
    assert_eq!(Program::from_hex(big, ByteOrder::Big), Ok(filter));
}

/// A = 10, X = 3, then the instruction, then its result is the answer.
#[test]
fn arithmetic() {
    for (code, k, expect) in [
        (0x04, u32::MAX, 9),
        (0x0c, 0, 13),
        (0x14, 11, u32::MAX),
        (0x1c, 0, 7),
        (0x24, 0x8000_0001, 10),
        (0x2c, 0, 30),
        (0x34, 4, 2),
        (0x3c, 0, 3),
        (0x44, 5, 15),
        (0x4c, 0, 11),
        (0x54, 6, 2),
        (0x5c, 0, 2),
        (0x64, 31, 0),
        (0x6c, 0, 80),
        (0x74, 1, 5),
        (0x7c, 0, 1),
        (0xa4, 3, 9),
        (0xac, 0, 9),
        (0x84, 0, 10_u32.wrapping_neg()),
        (0x80, 0, 64),
        (0x87, 0, 3),
    ] {
        let filter = program(&[op(0x00, 10), op(0x01, 3), op(code, k), op(RET_A, 0)]);
        assert_eq!(filter.run(&[0; 16]), expect, "{code:#x} {k}");
    }
    // A shift by X counts its low five bits; a division by an X of zero ends the program with 0.
    for (code, x, expect) in [(0x6c, 33, 2), (0x7c, 32, 1), (0x3c, 0, 0)] {
        let filter = program(&[op(0x00, 1), op(0x01, x), op(code, 0), op(RET_A, 0)]);
        assert_eq!(filter.run(&[0; 16]), expect, "{code:#x} {x}");
    }
    let filter = program(&[op(0x00, 7), op(0x02, 3), op(0x61, 3), op(0x00, 1), op(0x0c, 0), op(RET_A, 0)]);
    assert_eq!(filter.run(&[0; 16]), 8);
}

#[test]
fn jumps_are_unsigned() {
    for (code, a, k, expect) in [
        (JEQ, 5, 5, true),
        (JEQ, 5, 6, false),
        (JGT, u32::MAX, 1, true),
        (JGT, 1, u32::MAX, false),
        (JGT, 5, 5, false),
        (JGE, 5, 5, true),
        (JGE, 0, 0x8000_0000, false),
        (JSET, 6, 2, true),
        (JSET, 5, 2, false),
        (JSET, u32::MAX, 0, false),
    ] {
        let by_k = program(&[op(0x00, a), jump(code, k, 1, 0), op(RET, 0), op(RET, 1)]);
        let by_x = program(&[op(0x00, a), op(0x01, k), jump(code | BY_X, 0, 1, 0), op(RET, 0), op(RET, 1)]);
        assert_eq!((by_k.run(&[0; 16]) == 1, by_x.run(&[0; 16]) == 1), (expect, expect), "{code:#x} {a} {k}");
    }
}

#[test]
fn data_is_laid_out_as_the_machine_has_it() {
    let data = Data {
        nr: 1,
        arch: 2,
        instruction_pointer: 3 << 32 | 4,
        args: [5 << 32 | 6, 0, 0, 0, 0, 7 << 32 | 8],
    };
    assert_eq!(data.words(ByteOrder::Little), [1, 2, 4, 3, 6, 5, 0, 0, 0, 0, 0, 0, 0, 0, 8, 7]);
    assert_eq!(data.words(ByteOrder::Big), [1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0, 0, 0, 7, 8]);
}

/// `seccomp_run_filters`: the strictest action, the latest filter's number.
#[test]
fn filters_of_a_process_together() {
    for (answers, expect) in [
        (&[][..], Effect::Allow),
        (&[ALLOW, LOG], Effect::Log),
        (&[ERRNO | 1, ERRNO | 2], Effect::Errno(1)),
        (&[TRACE | 5, ERRNO | 2, USER_NOTIF], Effect::Errno(2)),
        (&[KILL_THREAD, KILL_PROCESS, TRAP], Effect::KillProcess),
        (&[KILL_THREAD, TRAP], Effect::KillThread),
        // Actions that the kernel does not know kill, but a stricter known one is asked first.
        (&[0x0001_0000, TRAP], Effect::KillProcess),
        (&[0x0001_0000, KILL_THREAD], Effect::KillThread),
        (&[0x7fff_0000 | 3], Effect::Allow),
        (&[0x9000_0000, 0x7ffe_0000], Effect::KillProcess),
        (&[ERRNO | 5000], Effect::Errno(4095)),
    ] {
        let stack = Stack::new(answers.iter().map(|answer| program(&[op(RET, *answer)])).collect());
        assert_eq!(stack.evaluate(Arch::X86_64, 0, &[0; 6]), expect, "{answers:x?}");
        for range in stack.read(Arch::X86_64).ranges() {
            assert_eq!(
                range.list,
                Ok(vec![decision::Path { tests: vec![], effect: expect }]),
                "{answers:x?}"
            );
        }
    }
}

fn read_one(instructions: &[Instruction], arch: Arch) -> Result<usize, Why> {
    let table = Stack::new(vec![program(instructions)]).read(arch);
    table.ranges().iter().map(|range| range.list.as_ref().map(Vec::len).map_err(|why| *why)).sum()
}

#[test]
fn what_is_not_understood_is_said() {
    let ends = [op(RET, ALLOW), op(RET, ERRNO)];
    let with = |start: &[Instruction]| [start, &[jump(JEQ, 5, 0, 1)], &ends].concat();
    for (start, expect) in [
        (vec![op(LD, 16)], Ok(2)),
        (vec![op(LD, 16), op(0x54, 7)], Ok(2)),
        (vec![op(LD, 16), op(0x54, 2)], Ok(1)),
        (vec![op(LD, 8)], Err(Why::InstructionPointer)),
        (vec![op(LD, 16), op(0x04, 1)], Err(Why::Arithmetic)),
        (vec![op(LD, 16), op(0x84, 1)], Err(Why::Arithmetic)),
        (vec![op(LD, 16), op(0x07, 0), op(0x00, 6), op(0x3c, 0), op(0x00, 5)], Err(Why::Arithmetic)),
        (vec![op(LD, 16), op(0x07, 0), op(LD, 24), op(0x5c, 0)], Err(Why::Arithmetic)),
        (vec![op(LD, 0), op(0x04, 1)], Err(Why::Number)),
        (vec![op(LD, 0), op(0x54, 0x4000_0000)], Ok(1)),
        (vec![op(LD, 0), op(0x54, 0x0000_0005)], Err(Why::Number)),
        (vec![op(LD, 16), op(0x3c, 0), op(0x00, 5)], Ok(1)), // X is zero: the program ends
        // Computed, but not asked about.
        (vec![op(LD, 8), op(0x04, 1), op(LD, 16)], Ok(2)),
        (vec![op(LD, 16), op(0x54, 0), op(0x04, 5)], Ok(1)),
    ] {
        assert_eq!(read_one(&with(&start), Arch::X86_64), expect, "{start:?}");
    }
    let upper = with(&[op(LD, 20)]);
    assert_eq!(read_one(&upper, Arch::X86), Err(Why::UpperHalf));
    assert_eq!(read_one(&upper, Arch::S390X), Ok(2));
    assert_eq!(read_one(&[op(LD, 16), op(RET_A, 0)], Arch::X86), Err(Why::ComputedAnswer));
    assert_eq!(read_one(&[op(LD, 0), op(RET_A, 0)], Arch::X86), Err(Why::Number));
    let two = [op(LD, 16), op(0x07, 0), op(LD, 24), jump(JEQ | BY_X, 0, 0, 1), ends[0], ends[1]];
    assert_eq!(read_one(&two, Arch::X86_64), Err(Why::TwoValues));
    let order = [op(LD, 16), op(0x54, 5), jump(JGT, 2, 0, 1), ends[0], ends[1]];
    assert_eq!(read_one(&order, Arch::X86_64), Err(Why::MaskedOrder));
}

/// Rules one after the other on two words each: the list grows with them, not with the ways through the program.
#[test]
fn ways_that_meet_are_written_once() {
    let rules = 500;
    let mut instructions = Vec::new();
    for rule in 0..rules {
        instructions.extend([
            op(LD, 20),
            jump(JEQ, 0, 0, 3),
            op(LD, 16),
            jump(JEQ, rule, 0, 1),
            op(RET, ALLOW),
        ]);
    }
    instructions.push(op(RET, ERRNO | 1));
    let stack = Stack::new(vec![program(&instructions)]);
    let table = stack.read(Arch::Aarch64);
    let [range] = table.ranges() else { panic!("{} ranges", table.ranges().len()) };
    let list = range.list.as_ref().unwrap();
    assert_eq!(list.len(), rules as usize + 1);
    for (arg, expect) in
        [(0, Effect::Allow), (499, Effect::Allow), (500, Effect::Errno(1)), (1 << 32, Effect::Errno(1))]
    {
        assert_eq!(decision::evaluate(list, &[arg, 0, 0, 0, 0, 0]), Some(expect));
    }
}

/// Sixteen registers of scratch memory that all depend on the way: no blow-up, but an end.
#[test]
fn too_many_ways() {
    let mut instructions = vec![op(0x00, 0)];
    instructions.extend((0..16).map(|slot| op(0x02, slot)));
    for bit in 0..16 {
        instructions.extend([op(LD, 16), jump(JSET, 1 << bit, 0, 2), op(0x00, 1), op(0x02, bit)]);
    }
    instructions.extend([op(0x60, 0), op(0x07, 0)]);
    for slot in 1..16 {
        instructions.extend([op(0x60, slot), op(0x0c, 0), op(0x07, 0)]);
    }
    instructions.extend([jump(JEQ, 3, 0, 1), op(RET, ALLOW), op(RET, ERRNO)]);
    assert_eq!(read_one(&instructions, Arch::X86_64), Err(Why::TooMuch));
}

#[test]
fn numbers_are_all_covered() {
    let audit = Arch::X86_64.audit();
    let instructions = [
        op(LD, 4),
        jump(JEQ, audit, 1, 0),
        op(RET, KILL_PROCESS),
        op(LD, 0),
        jump(JSET, 0x4000_0000, 0, 1),
        op(RET, ERRNO | 38),
        jump(JGE, 100, 0, 1),
        op(RET, LOG),
        jump(JEQ, 7, 0, 1),
        op(RET, TRAP),
        op(RET, ALLOW),
    ];
    let stack = Stack::new(vec![program(&instructions)]);
    for (arch, expect) in [
        (
            Arch::X86_64,
            vec![
                (0..=6, Effect::Allow),
                (7..=7, Effect::Trap),
                (8..=99, Effect::Allow),
                (100..=0x3fff_ffff, Effect::Log),
            ],
        ),
        (Arch::X32, vec![(0x4000_0000..=0x7fff_ffff, Effect::Errno(38))]),
        (Arch::X86, vec![(0..=0xffff_fffe, Effect::KillProcess)]),
    ] {
        let table = stack.read(arch);
        let got: Vec<_> = table
            .ranges()
            .iter()
            .map(|range| (range.numbers.clone(), range.list.as_ref().unwrap()[0].effect))
            .collect();
        assert_eq!(got, expect, "{arch}");
        for (numbers, _) in expect {
            assert_eq!(table.find(*numbers.start()).map(|range| &range.numbers), Some(&numbers));
            assert_eq!(table.find(*numbers.end()).map(|range| &range.numbers), Some(&numbers));
        }
        assert_eq!(table.find(u32::MAX), None);
    }
}

/// As runc 1.1 writes it for x86_64 with x86 and x32, in front of a filter.
#[test]
fn the_stub_of_runc() {
    let no_syscall = ERRNO | 38;
    let stub = [
        op(LD, 4),
        jump(JEQ, 0x4000_0003, 2, 0),
        jump(JEQ, 0xc000_003e, 4, 0),
        op(JA, 10),
        op(LD, 0),
        jump(JGT, 0x1c8, 7, 0),
        op(JA, 7),
        op(LD, 0),
        jump(JSET, 0x4000_0000, 1, 0),
        jump(JGT, 0x1c8, 3, 1),
        jump(JGT, 0x4000_0223, 2, 0),
        op(JA, 2),
        op(JA, 1),
        op(RET, no_syscall),
    ];
    let filter = [op(LD, 4), jump(JEQ, 0xc000_003e, 0, 1), op(RET, ALLOW), op(RET, KILL_THREAD)];
    let (found, behind) = program(&[&stub[..], &filter].concat()).split_stub().unwrap();
    assert_eq!((found.instructions, behind), (14, program(&filter)));
    for (arch, expect) in [
        (Arch::X86, Some(0x1c8)),
        (Arch::X86_64, Some(0x1c8)),
        (Arch::X32, Some(0x4000_0223)),
        (Arch::Aarch64, None),
    ] {
        assert_eq!(found.border(arch), expect, "{arch}");
    }
    for (other, why) in [
        (filter.to_vec(), "no stub"),
        ([&[op(LD, 4), op(RET, no_syscall)][..], &filter[1..]].concat(), "no filter behind"),
        ([&[op(LD, 4), jump(JEQ, 5, 0, 1), op(RET, ALLOW)], &filter[..]].concat(), "another answer"),
        ([&[op(LD, 16), jump(JEQ, 5, 0, 1), op(RET, no_syscall)], &filter[..]].concat(), "arguments"),
        ([&[op(LD, 0), jump(JGT, 5, 0, 2), op(RET, no_syscall)], &filter[..]].concat(), "goes on elsewhere"),
        ([&[op(LD, 0), jump(JGT, 5, 0, 0)], &filter[..]].concat(), "never answers"),
    ] {
        assert_eq!(program(&other).split_stub(), None, "{why}");
    }
}

#[test]
fn a_stub_is_put_in_front() {
    let filter = program(&[op(LD, 4), jump(JEQ, 0xc000_003e, 0, 1), op(RET, ALLOW), op(RET, KILL_THREAD)]);
    for borders in [
        &[][..],
        &[(Arch::X86_64, 456)],
        &[(Arch::X32, 0x4000_0223)],
        &[(Arch::X86_64, 456), (Arch::X86, 500), (Arch::X32, 0x4000_0223)],
        &[(Arch::Aarch64, 300), (Arch::Arm, 0x000f_0005)],
    ] {
        let whole = Stub::before(&filter, borders).unwrap();
        let Some((stub, behind)) = whole.split_stub() else {
            assert!(borders.is_empty(), "{whole}");
            continue;
        };
        assert_eq!(behind, filter);
        let whole = Stack::new(vec![whole]);
        for arch in [Arch::X86_64, Arch::X86, Arch::X32, Arch::Aarch64, Arch::Arm] {
            let border = borders.iter().find(|(known, _)| *known == arch).map(|(_, border)| *border);
            assert_eq!(stub.border(arch), border, "{arch} of {borders:?}");
            let past = Stack::new(vec![filter.clone()]).evaluate(arch, border.unwrap_or(0), &[0; 6]);
            assert_eq!(whole.evaluate(arch, border.unwrap_or(0), &[0; 6]), past);
            if let Some(border) = border {
                assert_eq!(whole.evaluate(arch, border + 1, &[0; 6]), Effect::Errno(38));
            }
        }
    }
}

/// Few numbers, so that tests and values meet.
const NUMBERS: [u32; 12] = [0, 1, 2, 3, 5, 6, 7, 16, 0x4000_0000, 0x7fff_ffff, 0xffff_fff8, u32::MAX];

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![8 => prop::sample::select(&NUMBERS[..]), 1 => any::<u32>()]
}

fn instruction() -> impl Strategy<Value = Instruction> {
    let answer = prop::sample::select(vec![
        ALLOW,
        LOG,
        ERRNO | 1,
        ERRNO | 2,
        TRAP,
        KILL_PROCESS,
        KILL_THREAD,
        0x1234_0000,
    ]);
    let load = prop_oneof![3 => Just(0), 1 => Just(4), 12 => (4_u32..16).prop_map(|word| word * 4)];
    let code = prop::sample::select(vec![JEQ, JEQ, JGT, JGE, JSET]);
    let other = prop::sample::select(vec![
        0x00,
        0x01,
        0x04,
        0x0c,
        0x14,
        0x24,
        0x34,
        0x3c,
        0x44,
        0x54,
        0x54,
        0x54,
        0x5c,
        0x6c,
        0x74,
        0xa4,
        0xac,
        0x84,
        0x80,
        0x81,
        0x07,
        0x87,
        RET_A,
        0x02,
        0x03,
        0x60,
        0x61,
        JEQ | BY_X,
        JGT | BY_X,
    ]);
    prop_oneof![
        30 => load.prop_map(|k| op(LD, k)),
        40 => (code, number(), 0_u8..8, 0_u8..8).prop_map(|(code, k, jt, jf)| jump(code, k, jt, jf)),
        12 => answer.prop_map(|answer| op(RET, answer)),
        2 => (0_u32..6).prop_map(|skipped| op(JA, skipped)),
        6 => (other, number(), 0_u8..4, 0_u8..4).prop_map(|(code, k, jt, jf)| jump(code, k, jt, jf)),
    ]
}

/// A program that the checks take: what they refuse is bent or left out.
fn any_program() -> impl Strategy<Value = Program> {
    prop::collection::vec(instruction(), 1..40).prop_filter_map("not a program", |mut instructions| {
        let len = instructions.len() + 8;
        instructions.extend((0..8).map(|answer| op(RET, [ALLOW, ERRNO | 1][answer % 2])));
        for (at, instruction) in instructions.iter_mut().enumerate() {
            if matches!(instruction.code, 0x02 | 0x03 | 0x60 | 0x61) {
                instruction.k %= 2;
            }
            if matches!(instruction.code, 0x64 | 0x74) {
                instruction.k %= 32;
            }
            let room = u8::try_from(len - at - 1).unwrap_or(u8::MAX);
            if instruction.code & 7 == 5 && instruction.code != JA {
                instruction.jt = instruction.jt.min(room.saturating_sub(1));
                instruction.jf = instruction.jf.min(room.saturating_sub(1));
            }
        }
        Program::new(instructions).ok()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 800 } else { 20_000 }))]

    /// What the reader says of a call is what the interpreter does with it.
    #[test]
    fn the_reader_agrees_with_the_interpreter(
        programs in prop::collection::vec(any_program(), 1..3),
        arch in prop::sample::select(vec![Arch::X86_64, Arch::X86, Arch::X32, Arch::S390X, Arch::Aarch64]),
        args in prop::collection::vec((number(), number()), 6 * 16),
        numbers in prop::collection::vec(number(), 8),
    ) {
        let stack = Stack::new(programs);
        let table = stack.read(arch);
        let mut expected = None;
        for range in table.ranges() {
            if let Some(expected) = expected {
                prop_assert_eq!(*range.numbers.start(), expected);
            }
            expected = range.numbers.end().checked_add(1);
            let Ok(list) = &range.list else { continue };
            prop_assert!(list.last().unwrap().tests.is_empty());
            let inside = numbers.iter().filter(|number| range.numbers.contains(number));
            for number in inside.chain([range.numbers.start(), range.numbers.end()]) {
                for args in args.chunks(6) {
                    let args: Vec<u64> = args.iter().map(|(high, low)| u64::from(*high) << 32 | u64::from(*low)).collect();
                    let args: [u64; 6] = args.try_into().unwrap();
                    prop_assert_eq!(decision::evaluate(list, &args), Some(stack.evaluate(arch, *number, &args)));
                }
            }
        }
    }

    /// Text and bytes of any words: no panic, and what is taken comes back.
    #[test]
    fn any_words(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(program) = Program::from_bytes(&bytes, ByteOrder::Little) {
            prop_assert_eq!(program.to_bytes(ByteOrder::Little), bytes);
            prop_assert!(program.to_string().lines().count() == program.instructions().len());
        }
    }
}
