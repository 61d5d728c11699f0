//! A policy as a classic BPF program: the architecture, then a binary search over ranges of call numbers. Pure.
//!
//! Code is built from its leaves up, so every jump knows its distance; one beyond 255 goes over a long jump.

use crate::error::{Error, Result};
use crate::seccomp::conditions::{Condition, Test};
use crate::seccomp::rules::{Alternative, ArchPolicy, KILL_PROCESS, Policy, Verdict};
use keelson_sys::seccomp_filter::Instruction;

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// From here on amd64's numbers are x32's.
const X32: u32 = 0x4000_0000;
/// The kernel's limit.
const LONGEST: usize = 4096;

/// A run of call numbers with one fate.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Range<'a> {
    first: u32,
    fate: Fate<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate<'a> {
    Action(u32),
    Depends(&'a [Alternative]),
}

/// The program of a policy.
pub fn assemble(policy: &Policy) -> Result<Vec<Instruction>> {
    let mut rest = vec![statement(RETURN, KILL_PROCESS)];
    for arch in policy.arches.iter().rev() {
        let ranges = plan_ranges(arch, policy.default);
        let mut code = vec![statement(LOAD, NUMBER)];
        code.extend(search(&ranges, policy.default));
        // Another architecture goes over this one's code, which returns in every case.
        rest = branch(JUMP_EQUAL, arch.audit, code, rest);
    }
    let mut program = vec![statement(LOAD, ARCH)];
    program.extend(rest);
    if program.len() > LONGEST {
        let reason = format!(
            "makes a filter of {} instructions; the kernel takes {LONGEST}",
            program.len()
        );
        return Err(Error::spec("linux.seccomp", reason));
    }
    Ok(program)
}

fn plan_ranges(arch: &ArchPolicy, default: u32) -> Vec<Range<'_>> {
    let mut ranges = Vec::new();
    let mut next = 0;
    for (number, verdict) in &arch.verdicts {
        if *number > next {
            add(&mut ranges, next, Fate::Action(default));
        }
        let fate = match verdict {
            Verdict::Always(action) => Fate::Action(*action),
            Verdict::Depends(list) => Fate::Depends(list),
        };
        add(&mut ranges, *number, fate);
        next = number.saturating_add(1);
    }
    add(&mut ranges, next, Fate::Action(arch.beyond));
    add(&mut ranges, X32, Fate::Action(default));
    ranges
}

fn add<'a>(ranges: &mut Vec<Range<'a>>, first: u32, fate: Fate<'a>) {
    if ranges.last().is_none_or(|last| last.fate != fate) {
        ranges.push(Range { first, fate });
    }
}

/// Code that finds the call's range by halving.
fn search(ranges: &[Range<'_>], default: u32) -> Vec<Instruction> {
    match ranges {
        [] => vec![statement(RETURN, default)],
        [only] => match only.fate {
            Fate::Action(action) => vec![statement(RETURN, action)],
            Fate::Depends(list) => alternatives(list, default),
        },
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let first = high.first().map_or(0, |range| range.first);
            branch(
                JUMP_GREATER_OR_EQUAL,
                first,
                search(high, default),
                search(low, default),
            )
        }
    }
}

/// `if A <test> operand then yes else no`; both end by returning.
fn branch(test: u16, operand: u32, yes: Vec<Instruction>, no: Vec<Instruction>) -> Vec<Instruction> {
    let mut code = Vec::with_capacity(no.len() + yes.len() + 2);
    match u8::try_from(no.len()) {
        Ok(over) => code.push(Instruction {
            code: test,
            if_true: over,
            if_false: 0,
            operand,
        }),
        Err(_) => {
            code.push(Instruction {
                code: test,
                if_true: 0,
                if_false: 1,
                operand,
            });
            code.push(statement(JUMP, u32::try_from(no.len()).unwrap_or(u32::MAX)));
        }
    }
    code.extend(no);
    code.extend(yes);
    code
}

/// Each alternative's conditions, its action, then the next; at last the default.
fn alternatives(list: &[Alternative], default: u32) -> Vec<Instruction> {
    let mut code = Vec::new();
    for alternative in list {
        let mut tail = vec![statement(RETURN, alternative.action)];
        for condition in alternative.conditions.iter().rev() {
            let mut with = test(condition, tail.len());
            with.extend(tail);
            tail = with;
        }
        code.extend(tail);
    }
    code.push(statement(RETURN, default));
    code
}

/// Falls through to the next instruction if the condition holds, else skips `rest` instructions beyond its own end.
/// Arguments are 64 bits wide and the machine's words 32: the high half decides, or leaves it to the low one.
fn test(condition: &Condition, rest: usize) -> Vec<Instruction> {
    let (high, low) = halves(condition.value);
    let base = ARGUMENTS + 8 * condition.index;
    let (load_high, load_low) = (statement(LOAD, base + 4), statement(LOAD, base));
    // Six conditions of seven instructions at most follow, so distances fit.
    let fail = |left: usize| u8::try_from(left + rest).unwrap_or(u8::MAX);
    match condition.test {
        Test::Equal { mask } => equal(mask, condition.value, load_high, load_low, rest),
        Test::NotEqual => vec![
            load_high,
            jump(JUMP_EQUAL, high, 0, 2),
            load_low,
            jump(JUMP_EQUAL, low, fail(0), 0),
        ],
        Test::Greater => vec![
            load_high,
            jump(JUMP_GREATER, high, 3, 0),
            jump(JUMP_EQUAL, high, 0, fail(2)),
            load_low,
            jump(JUMP_GREATER, low, 0, fail(0)),
        ],
        Test::GreaterOrEqual => vec![
            load_high,
            jump(JUMP_GREATER, high, 3, 0),
            jump(JUMP_EQUAL, high, 0, fail(2)),
            load_low,
            jump(JUMP_GREATER_OR_EQUAL, low, 0, fail(0)),
        ],
        Test::Less => vec![
            load_high,
            jump(JUMP_GREATER, high, fail(3), 0),
            jump(JUMP_EQUAL, high, 0, 2),
            load_low,
            jump(JUMP_GREATER_OR_EQUAL, low, fail(0), 0),
        ],
        Test::LessOrEqual => vec![
            load_high,
            jump(JUMP_GREATER, high, fail(3), 0),
            jump(JUMP_EQUAL, high, 0, 2),
            load_low,
            jump(JUMP_GREATER, low, fail(0), 0),
        ],
    }
}

fn equal(mask: u64, value: u64, load_high: Instruction, load_low: Instruction, rest: usize) -> Vec<Instruction> {
    let (mask_high, mask_low) = halves(mask);
    let (high, low) = halves(value & mask);
    let fail = |left: usize| u8::try_from(left + rest).unwrap_or(u8::MAX);
    vec![
        load_high,
        statement(AND, mask_high),
        jump(JUMP_EQUAL, high, 0, fail(3)),
        load_low,
        statement(AND, mask_low),
        jump(JUMP_EQUAL, low, 0, fail(0)),
    ]
}

fn halves(value: u64) -> (u32, u32) {
    // Truncation is the point.
    #[allow(clippy::cast_possible_truncation)]
    ((value >> 32) as u32, value as u32)
}

fn statement(code: u16, operand: u32) -> Instruction {
    Instruction {
        code,
        if_true: 0,
        if_false: 0,
        operand,
    }
}

fn jump(code: u16, operand: u32, if_true: u8, if_false: u8) -> Instruction {
    Instruction {
        code,
        if_true,
        if_false,
        operand,
    }
}
