//! The compiled program against the meaning of the rules, on random policies and on the default profile.

use super::conditions::{Condition, Test};
use super::interpret::{Call, run};
use super::rules::{ALLOW, Alternative, ArchPolicy, ENOSYS, KILL_PROCESS, Policy, Verdict};
use super::{bpf, default_filter, profile, rules};
use crate::spec::capabilities::named;
use keelson_sys::capability::NAMES;
use proptest::prelude::*;
use std::str::FromStr;
use syscalls::{x86, x86_64};

const AMD64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;
const EPERM: u32 = 0x0005_0001;

/// The meaning, straight from its definition.
fn decide(policy: &Policy, call: Call) -> u32 {
    let Some(arch) = policy.arches.iter().find(|arch| arch.audit == call.arch) else {
        return KILL_PROCESS;
    };
    if call.number >= 0x4000_0000 {
        return policy.default;
    }
    if arch.verdicts.keys().last().is_none_or(|last| call.number > *last) {
        return arch.beyond;
    }
    match arch.verdicts.get(&call.number) {
        None => policy.default,
        Some(Verdict::Always(action)) => *action,
        Some(Verdict::Depends(list)) => list
            .iter()
            .find(|alternative| {
                alternative
                    .conditions
                    .iter()
                    .all(|condition| condition.holds(call.arguments[condition.index as usize]))
            })
            .map_or(policy.default, |alternative| alternative.action),
    }
}

fn interesting() -> impl Strategy<Value = u64> {
    prop_oneof![
        0_u64..4,
        Just(u64::MAX),
        Just(u64::from(u32::MAX)),
        Just(1 << 32),
        Just((1 << 32) + 1),
        Just(5 << 32),
        any::<u64>()
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    let test = prop_oneof![
        Just(Test::NotEqual),
        Just(Test::Less),
        Just(Test::LessOrEqual),
        interesting().prop_map(|mask| Test::Equal { mask }),
        Just(Test::Equal { mask: u64::MAX }),
        Just(Test::GreaterOrEqual),
        Just(Test::Greater),
    ];
    (0_u32..6, test, interesting()).prop_map(|(index, test, value)| Condition { index, test, value })
}

fn action() -> impl Strategy<Value = u32> {
    prop_oneof![Just(ALLOW), Just(EPERM), Just(ENOSYS), Just(0), Just(0x7ffc_0000)]
}

fn verdict() -> impl Strategy<Value = Verdict> {
    let alternative = (prop::collection::vec(condition(), 1..7), action())
        .prop_map(|(conditions, action)| Alternative { conditions, action });
    prop_oneof![
        action().prop_map(Verdict::Always),
        prop::collection::vec(alternative, 1..4).prop_map(Verdict::Depends),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let arch = |audit: u32| {
        (prop::collection::btree_map(0_u32..60, verdict(), 0..40), action()).prop_map(move |(verdicts, beyond)| {
            ArchPolicy {
                audit,
                verdicts,
                beyond,
            }
        })
    };
    (action(), arch(AMD64), prop::option::of(arch(I386))).prop_map(|(default, first, second)| Policy {
        default,
        arches: std::iter::once(first).chain(second).collect(),
    })
}

fn call() -> impl Strategy<Value = Call> {
    let number = prop_oneof![4 => 0_u32..64, 1 => Just(u32::MAX), 1 => Just(0x4000_0001), 1 => any::<u32>()];
    let arch = prop_oneof![3 => Just(AMD64), 3 => Just(I386), 1 => any::<u32>()];
    (number, arch, prop::array::uniform6(interesting())).prop_map(|(number, arch, arguments)| Call {
        number,
        arch,
        arguments,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn the_program_says_what_the_rules_say(policy in policy(), calls in prop::collection::vec(call(), 60)) {
        if let Ok(program) = bpf::assemble(&policy) {
            for call in calls {
                prop_assert_eq!(run(&program, call), decide(&policy, call), "{:?}", call);
            }
        }
    }
}

fn amd64(name: &str, arguments: [u64; 6]) -> Call {
    Call {
        number: x86_64::Sysno::from_str(name).unwrap().id() as u32,
        arch: AMD64,
        arguments,
    }
}

#[test]
fn the_default_profile_on_known_calls() {
    let plain = default_filter(named("CAP_CHOWN").unwrap()).unwrap().program;
    let admin = default_filter(named("CAP_SYS_ADMIN").unwrap()).unwrap().program;
    let first = |value: u64| [value, 0, 0, 0, 0, 0];
    for (name, arguments, unprivileged, with_admin) in [
        ("read", first(0), ALLOW, ALLOW),
        ("execve", first(0), ALLOW, ALLOW),
        ("keyctl", first(0), EPERM, EPERM),
        ("mount", first(0), EPERM, ALLOW),
        ("bpf", first(0), EPERM, ALLOW),
        ("unshare", first(0), EPERM, ALLOW),
        ("clone3", first(0), ENOSYS, ALLOW),
        ("clone", first(0x0120_0011), ALLOW, ALLOW),
        ("clone", first(0x1000_0000), EPERM, ALLOW),
        ("socket", first(2), ALLOW, ALLOW),
        ("socket", first(38), EPERM, EPERM),
        ("socket", first(39), ALLOW, ALLOW),
        ("socket", first(40), EPERM, EPERM),
        ("socket", first(44), ALLOW, ALLOW),
        ("personality", first(0), ALLOW, ALLOW),
        ("personality", first(0x40000), EPERM, EPERM),
        ("personality", first(0xffff_ffff), ALLOW, ALLOW),
        ("kexec_load", first(0), EPERM, EPERM),
        ("io_uring_setup", first(0), EPERM, EPERM),
    ] {
        let call = amd64(name, arguments);
        assert_eq!(
            (run(&plain, call), run(&admin, call)),
            (unprivileged, with_admin),
            "{name} {arguments:x?}"
        );
    }
    let strange = |number: u32, arch: u32| {
        run(
            &plain,
            Call {
                number,
                arch,
                arguments: [0; 6],
            },
        )
    };
    assert_eq!(strange(9999, AMD64), ENOSYS);
    assert_eq!(strange(0x4000_0000, AMD64), EPERM);
    assert_eq!(strange(x86::Sysno::read.id() as u32, I386), ALLOW);
    assert_eq!(strange(x86::Sysno::mount.id() as u32, I386), EPERM);
    assert_eq!(strange(0, 0x4000_0028), KILL_PROCESS);
    assert!(plain.len() < 700, "{} instructions", plain.len());
}

/// Every call of both tables, with every single capability, against the rules' meaning.
#[test]
fn the_default_profile_call_by_call() {
    for capability in NAMES {
        let profile = profile::default_profile(named(capability).unwrap()).unwrap();
        let policy = rules::plan_policy(&profile).unwrap();
        let program = bpf::assemble(&policy).unwrap();
        for arch in [AMD64, I386] {
            for number in (0..520).chain([u32::MAX, 0x4000_0000]) {
                for first in [0, 1, 38, 40, 0x1000_0000, 0xffff_ffff] {
                    let call = Call {
                        number,
                        arch,
                        arguments: [first, 0, 0, 0, 0, 0],
                    };
                    assert_eq!(run(&program, call), decide(&policy, call), "{capability} {call:?}");
                }
            }
        }
    }
}
