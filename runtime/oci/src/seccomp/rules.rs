//! The specification's rules sorted by architecture and system call number. Pure.
//!
//! Meaning: a call without a rule gets the default action; one beyond every call the policy names gets ENOSYS where the
//! default is a refusal, so that programs fall back from calls newer than the policy. A rule without conditions holds for
//! every use of its calls; of rules with conditions the first that matches decides, then the default.

use crate::error::{Error, Result};
use crate::seccomp::conditions::{Condition, plan_condition};
use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSyscall};
use std::collections::BTreeMap;
use std::str::FromStr;

/// `SECCOMP_RET_ALLOW`.
pub const ALLOW: u32 = 0x7fff_0000;
/// `SECCOMP_RET_KILL_PROCESS`.
pub const KILL_PROCESS: u32 = 0x8000_0000;
/// `SECCOMP_RET_ERRNO` with ENOSYS.
pub const ENOSYS: u32 = 0x0005_0000 | 38;

/// What happens to one system call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Always this.
    Always(u32),
    /// The first alternative whose conditions all hold, else the default.
    Depends(Vec<Alternative>),
}

/// Conditions and what they lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternative {
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// `SECCOMP_RET_*` with data.
    pub action: u32,
}

/// Verdicts of one architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchPolicy {
    /// `AUDIT_ARCH_*`.
    pub audit: u32,
    /// By number.
    pub verdicts: BTreeMap<u32, Verdict>,
    /// For numbers beyond the last.
    pub beyond: u32,
}

/// The whole policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// For calls without a rule.
    pub default: u32,
    /// Architectures; calls of others kill the process.
    pub arches: Vec<ArchPolicy>,
}

/// An architecture a container on this machine can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    Amd64,
    I386,
}

impl Table {
    fn audit(self) -> u32 {
        match self {
            Self::Amd64 => 0xc000_003e,
            Self::I386 => 0x4000_0003,
        }
    }

    fn number(self, name: &str) -> Option<u32> {
        let number = match self {
            Self::Amd64 => syscalls::x86_64::Sysno::from_str(name).ok()?.id(),
            Self::I386 => syscalls::x86::Sysno::from_str(name).ok()?.id(),
        };
        u32::try_from(number).ok()
    }
}

/// Sorts a specification's rules.
pub fn plan_policy(seccomp: &LinuxSeccomp) -> Result<Policy> {
    let default = plan_action(seccomp.default_action(), seccomp.default_errno_ret())?;
    let mut policy = Policy {
        default,
        arches: Vec::new(),
    };
    for table in plan_tables(seccomp.architectures().as_deref().unwrap_or_default()) {
        let mut verdicts = BTreeMap::new();
        let mut last = 0;
        for rule in seccomp.syscalls().iter().flatten() {
            let numbers: Vec<u32> = rule.names().iter().filter_map(|name| table.number(name)).collect();
            last = numbers.iter().copied().fold(last, u32::max);
            add_rule(&mut verdicts, rule, &numbers, default)?;
        }
        let beyond = if is_refusal(default) { ENOSYS } else { default };
        verdicts.entry(last).or_insert(Verdict::Always(default));
        policy.arches.push(ArchPolicy {
            audit: table.audit(),
            verdicts,
            beyond,
        });
    }
    Ok(policy)
}

/// The native architecture always, i386 if named. x32 shares amd64's and is refused by number; others cannot run here.
fn plan_tables(arches: &[Arch]) -> Vec<Table> {
    let mut tables = vec![Table::Amd64];
    if arches.contains(&Arch::ScmpArchX86) {
        tables.push(Table::I386);
    }
    tables
}

fn is_refusal(action: u32) -> bool {
    !(0x7ff0_0000..KILL_PROCESS).contains(&action)
}

fn add_rule(verdicts: &mut BTreeMap<u32, Verdict>, rule: &LinuxSyscall, numbers: &[u32], default: u32) -> Result<()> {
    let action = plan_action(rule.action(), rule.errno_ret())?;
    if action == default {
        return Ok(());
    }
    let alternatives = plan_alternatives(rule, action)?;
    for number in numbers {
        if alternatives.is_empty() {
            match verdicts.insert(*number, Verdict::Always(action)) {
                Some(Verdict::Always(other)) if other != action => {
                    let reason = format!("two rules without conditions contradict each other: {:?}", rule.names());
                    return Err(Error::spec("linux.seccomp.syscalls", reason));
                }
                _ => {}
            }
        } else if let Verdict::Depends(list) = verdicts.entry(*number).or_insert_with(|| Verdict::Depends(Vec::new())) {
            list.extend(alternatives.iter().cloned());
        }
    }
    Ok(())
}

/// Conditions on different arguments must all hold. A rule with two on the same argument means either, as libseccomp's
/// users have come to rely on: each of its conditions stands alone.
fn plan_alternatives(rule: &LinuxSyscall, action: u32) -> Result<Vec<Alternative>> {
    let conditions = rule
        .args()
        .iter()
        .flatten()
        .map(plan_condition)
        .collect::<Result<Vec<_>>>()?;
    let is_repeated = conditions.iter().enumerate().any(|(at, condition)| {
        conditions
            .iter()
            .take(at)
            .any(|earlier| earlier.index == condition.index)
    });
    Ok(match conditions.as_slice() {
        [] => Vec::new(),
        _ if is_repeated => conditions
            .into_iter()
            .map(|condition| Alternative {
                conditions: vec![condition],
                action,
            })
            .collect(),
        _ => vec![Alternative { conditions, action }],
    })
}

fn plan_action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<u32> {
    use LinuxSeccompAction as A;
    if errno.is_some_and(|errno| errno > 4095) {
        return Err(Error::spec("linux.seccomp", "errnoRet is above 4095"));
    }
    match action {
        A::ScmpActKill | A::ScmpActKillThread => Ok(0),
        A::ScmpActKillProcess => Ok(KILL_PROCESS),
        A::ScmpActTrap => Ok(0x0003_0000),
        A::ScmpActErrno => Ok(0x0005_0000 | errno.unwrap_or(1)),
        A::ScmpActTrace => Ok(0x7ff0_0000 | errno.unwrap_or(1)),
        A::ScmpActLog => Ok(0x7ffc_0000),
        A::ScmpActAllow => Ok(ALLOW),
        A::ScmpActNotify => Err(Error::spec("linux.seccomp", "SCMP_ACT_NOTIFY is not supported")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(json: &str) -> Result<Policy> {
        plan_policy(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn rules_are_sorted_by_call() {
        let policy = policy(
            r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"syscalls":[
                {"names":["read","no_such_call"],"action":"SCMP_ACT_ALLOW"},
                {"names":["write"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]},
                {"names":["open"],"action":"SCMP_ACT_ERRNO"}]}"#,
        )
        .unwrap();
        assert_eq!((policy.default, policy.arches.len()), (0x0005_0001, 1));
        let arch = &policy.arches[0];
        assert_eq!(arch.verdicts[&0], Verdict::Always(ALLOW));
        assert!(matches!(&arch.verdicts[&1], Verdict::Depends(list) if list.len() == 2));
        // open is the last call named, so its own number is no stranger.
        assert_eq!(arch.verdicts[&2], Verdict::Always(0x0005_0001));
        assert_eq!(arch.beyond, ENOSYS);
    }

    #[test]
    fn a_rule_without_conditions_wins() {
        for order in [
            ["", r#","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]"#],
            [r#","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]"#, ""],
        ] {
            let json = format!(
                r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"names":["read"],"action":"SCMP_ACT_ALLOW"{}}},{{"names":["read"],"action":"SCMP_ACT_ALLOW"{}}}]}}"#,
                order[0], order[1]
            );
            assert_eq!(policy(&json).unwrap().arches[0].verdicts[&0], Verdict::Always(ALLOW));
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (json, part) in [
            (r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#, "NOTIFY"),
            (r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":5000}"#, "4095"),
            (
                r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":6,"value":1,"op":"SCMP_CMP_EQ"}]}]}"#,
                "index 6",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"},{"names":["read"],"action":"SCMP_ACT_LOG"}]}"#,
                "contradict",
            ),
        ] {
            let error = policy(json).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
