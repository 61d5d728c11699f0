//! The eBPF program for device rules: rules are tested from the last to the first, so the first that matches decides.
//!
//! Pure: it makes instructions. Loading is `keelson_sys::cgroup_device`'s.
//!
//! The context (`struct bpf_cgroup_dev_ctx`) is three words: access type (kind in the low half: 1 block, 2 character;
//! access bits in the high half), major, minor. r2 holds the kind, r3 the bits, r4 and r5 the numbers.

use crate::cgroup::devices::{DeviceKind, DeviceRule, MKNOD, READ, WRITE};

const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xbf;
const MOVE_IMMEDIATE: u8 = 0xb7;
const AND_IMMEDIATE: u8 = 0x54;
const SHIFT_RIGHT_IMMEDIATE: u8 = 0x74;
const JUMP_NOT_EQUAL_IMMEDIATE: u8 = 0x56;
const JUMP_EQUAL_IMMEDIATE: u8 = 0x16;
const EXIT: u8 = 0x95;
const ALL: u32 = MKNOD | READ | WRITE;

/// The program, or `None` if the rules restrict nothing.
pub fn compile(rules: &[DeviceRule]) -> Option<Vec<u64>> {
    if rules.iter().all(|rule| rule.allow) {
        return None;
    }
    let mut program = prologue();
    // A rule that speaks of everything ends the search: what stands before it can never decide.
    let start = rules.iter().rposition(DeviceRule::is_total).unwrap_or(0);
    for rule in rules.get(start..).unwrap_or_default().iter().rev() {
        append_rule(&mut program, *rule);
    }
    if !rules.get(start).is_some_and(DeviceRule::is_total) {
        program.extend([instruction(MOVE_IMMEDIATE, 0, 0, 0, 1), instruction(EXIT, 0, 0, 0, 0)]);
    }
    Some(program)
}

fn prologue() -> Vec<u64> {
    vec![
        instruction(LOAD_WORD, 2, 1, 0, 0),
        instruction(AND_IMMEDIATE, 2, 0, 0, 0xffff),
        instruction(LOAD_WORD, 3, 1, 0, 0),
        instruction(SHIFT_RIGHT_IMMEDIATE, 3, 0, 0, 16),
        instruction(LOAD_WORD, 4, 1, 4, 0),
        instruction(LOAD_WORD, 5, 1, 8, 0),
    ]
}

/// Tests, each of which jumps over the rest of the rule, then what the rule does to the bits still undecided (r3): a
/// denying rule that speaks of one of them ends in a refusal; an allowing one takes its bits out, and ends in a grant
/// once none is left.
fn append_rule(program: &mut Vec<u64>, rule: DeviceRule) {
    let mut tests = Vec::new();
    if let Some(kind) = rule.kind {
        tests.push((2, if kind == DeviceKind::Block { 1 } else { 2 }));
    }
    tests.extend(rule.major.map(|major| (4, major)));
    tests.extend(rule.minor.map(|minor| (5, minor)));
    let effect = effect(rule);
    for (index, (register, number)) in tests.iter().enumerate() {
        let over = tests.len() - index - 1 + effect.len();
        let over = u16::try_from(over).unwrap_or_default();
        program.push(instruction(JUMP_NOT_EQUAL_IMMEDIATE, *register, 0, over, *number));
    }
    program.extend(effect);
}

fn effect(rule: DeviceRule) -> Vec<u64> {
    let verdict = [
        instruction(MOVE_IMMEDIATE, 0, 0, 0, u32::from(rule.allow)),
        instruction(EXIT, 0, 0, 0, 0),
    ];
    let mut effect = match (rule.access, rule.allow) {
        (ALL, _) => Vec::new(),
        (bits, true) => {
            vec![
                instruction(AND_IMMEDIATE, 3, 0, 0, !bits),
                instruction(JUMP_NOT_EQUAL_IMMEDIATE, 3, 0, 2, 0),
            ]
        }
        (bits, false) => vec![
            instruction(MOVE, 6, 3, 0, 0),
            instruction(AND_IMMEDIATE, 6, 0, 0, bits),
            instruction(JUMP_EQUAL_IMMEDIATE, 6, 0, 2, 0),
        ],
    };
    effect.extend(verdict);
    effect
}

fn instruction(code: u8, destination: u8, source: u8, offset: u16, immediate: u32) -> u64 {
    u64::from(code)
        | u64::from(destination & 0xf) << 8
        | u64::from(source & 0xf) << 12
        | u64::from(offset) << 16
        | u64::from(immediate) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::devices::decide;
    use proptest::prelude::*;

    /// Runs the few instructions the compiler uses.
    fn run(program: &[u64], kind: DeviceKind, major: u32, minor: u32, access: u32) -> bool {
        let context = [
            if kind == DeviceKind::Block { 1 } else { 2 } | access << 16,
            major,
            minor,
        ];
        let mut registers = [0_u64; 8];
        let mut at = 0;
        loop {
            let word = program[at];
            let (code, to, from) = (word as u8, (word >> 8 & 0xf) as usize, (word >> 12 & 0xf) as usize);
            let (offset, immediate) = ((word >> 16) as u16 as usize, (word >> 32) as u32);
            at += 1;
            match code {
                LOAD_WORD => registers[to] = u64::from(context[offset / 4]),
                MOVE => registers[to] = registers[from],
                MOVE_IMMEDIATE => registers[to] = u64::from(immediate),
                AND_IMMEDIATE => registers[to] &= u64::from(immediate),
                SHIFT_RIGHT_IMMEDIATE => registers[to] >>= immediate,
                JUMP_NOT_EQUAL_IMMEDIATE if registers[to] != u64::from(immediate) => at += offset,
                JUMP_EQUAL_IMMEDIATE if registers[to] == u64::from(immediate) => at += offset,
                JUMP_NOT_EQUAL_IMMEDIATE | JUMP_EQUAL_IMMEDIATE => {}
                EXIT => return registers[0] == 1,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    fn rule() -> impl Strategy<Value = DeviceRule> {
        let kind = prop::option::of(prop_oneof![Just(DeviceKind::Block), Just(DeviceKind::Character)]);
        let number = || prop::option::of(0_u32..3);
        (any::<bool>(), kind, number(), number(), 1_u32..8).prop_map(|(allow, kind, major, minor, access)| DeviceRule {
            allow,
            kind,
            major,
            minor,
            access,
        })
    }

    proptest! {
        /// Every access, of one bit or several, is decided as the rules say.
        #[test]
        fn the_program_says_what_the_rules_say(
            rules in prop::collection::vec(rule(), 0..7),
            block in any::<bool>(), major in 0_u32..4, minor in 0_u32..4, access in 1_u32..8,
        ) {
            let kind = if block { DeviceKind::Block } else { DeviceKind::Character };
            let got = compile(&rules).is_none_or(|program| run(&program, kind, major, minor, access));
            prop_assert_eq!(got, decide(&rules, kind, major, minor, access));
        }
    }

    #[test]
    fn rules_that_deny_nothing_need_no_program() {
        assert!(compile(&[]).is_none());
    }
}
