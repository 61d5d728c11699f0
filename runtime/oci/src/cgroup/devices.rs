//! Device rules of the specification in the order they hold: the last rule that matches decides. Pure.

use crate::error::{Error, Result};
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

/// Access bits as the kernel's device program sees them.
pub const MKNOD: u32 = 1;
/// Reading.
pub const READ: u32 = 2;
/// Writing.
pub const WRITE: u32 = 4;

/// Block or character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// Block device.
    Block,
    /// Character device.
    Character,
}

/// One rule; `None` means any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceRule {
    /// Allow or deny.
    pub allow: bool,
    /// Kind.
    pub kind: Option<DeviceKind>,
    /// Major number.
    pub major: Option<u32>,
    /// Minor number.
    pub minor: Option<u32>,
    /// Accesses it speaks of: [`MKNOD`], [`READ`], [`WRITE`].
    pub access: u32,
}

impl DeviceRule {
    /// Whether it speaks of every access to every device.
    pub fn is_total(&self) -> bool {
        self.kind.is_none() && self.major.is_none() && self.minor.is_none() && self.access == MKNOD | READ | WRITE
    }
}

/// Reads `linux.resources.devices` and adds the devices every container has. Without any rule nothing is restricted,
/// as the specification's default is to allow.
pub fn plan_rules(rules: &[LinuxDeviceCgroup]) -> Result<Vec<DeviceRule>> {
    if rules.is_empty() {
        return Ok(Vec::new());
    }
    let mut planned = rules.iter().map(plan_rule).collect::<Result<Vec<_>>>()?;
    if planned.iter().any(|rule| !rule.allow) {
        planned.extend(always_allowed());
    }
    Ok(planned)
}

fn plan_rule(rule: &LinuxDeviceCgroup) -> Result<DeviceRule> {
    let member = "linux.resources.devices";
    let kind = match rule.typ().unwrap_or_default() {
        LinuxDeviceType::A => None,
        LinuxDeviceType::B => Some(DeviceKind::Block),
        LinuxDeviceType::C | LinuxDeviceType::U => Some(DeviceKind::Character),
        LinuxDeviceType::P => return Err(Error::spec(member, "a FIFO is no device")),
    };
    let access = match rule.access().as_deref() {
        None | Some("") => MKNOD | READ | WRITE,
        Some(letters) => letters.chars().try_fold(0, |bits, letter| match letter {
            'r' => Ok(bits | READ),
            'w' => Ok(bits | WRITE),
            'm' => Ok(bits | MKNOD),
            other => Err(Error::spec(member, format!("access {other:?} is not r, w or m"))),
        })?,
    };
    Ok(DeviceRule {
        allow: rule.allow(),
        kind,
        major: number(rule.major())?,
        minor: number(rule.minor())?,
        access,
    })
}

/// Negative means any.
fn number(number: Option<i64>) -> Result<Option<u32>> {
    match number {
        None => Ok(None),
        Some(number) if number < 0 => Ok(None),
        Some(number) => u32::try_from(number).map(Some).map_err(|_| {
            Error::spec(
                "linux.resources.devices",
                format!("device number {number} is too large"),
            )
        }),
    }
}

/// Devices the specification promises to every container, and making nodes of any kind (which alone opens nothing).
fn always_allowed() -> Vec<DeviceRule> {
    let all = MKNOD | READ | WRITE;
    let mut rules = vec![
        allow(DeviceKind::Character, None, None, MKNOD),
        allow(DeviceKind::Block, None, None, MKNOD),
    ];
    // null, zero, full, random, urandom, tty, console, ptmx, and every pseudo terminal.
    let numbers = [
        (1, Some(3)),
        (1, Some(5)),
        (1, Some(7)),
        (1, Some(8)),
        (1, Some(9)),
        (5, Some(0)),
        (5, Some(1)),
        (5, Some(2)),
        (136, None),
    ];
    rules.extend(numbers.map(|(major, minor)| allow(DeviceKind::Character, Some(major), minor, all)));
    rules
}

fn allow(kind: DeviceKind, major: Option<u32>, minor: Option<u32>, access: u32) -> DeviceRule {
    DeviceRule {
        allow: true,
        kind: Some(kind),
        major,
        minor,
        access,
    }
}

/// What the rules say about one access, by their definition: each requested bit is decided by the last rule that speaks
/// of it. The device program is tested against this.
pub fn decide(rules: &[DeviceRule], kind: DeviceKind, major: u32, minor: u32, access: u32) -> bool {
    [MKNOD, READ, WRITE]
        .into_iter()
        .filter(|bit| access & bit != 0)
        .all(|bit| {
            rules
                .iter()
                .rev()
                .find(|rule| {
                    rule.access & bit != 0
                        && rule.kind.is_none_or(|wanted| wanted == kind)
                        && rule.major.is_none_or(|wanted| wanted == major)
                        && rule.minor.is_none_or(|wanted| wanted == minor)
                })
                .is_none_or(|rule| rule.allow)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(json: &str) -> Result<Vec<DeviceRule>> {
        plan_rules(&serde_json::from_str::<Vec<LinuxDeviceCgroup>>(json).unwrap())
    }

    #[test]
    fn dockers_rules() {
        let rules = plan(
            r#"[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":10,"minor":229,"access":"rw"},
                {"allow":false,"type":"c","major":10,"minor":229,"access":"w"}]"#,
        )
        .unwrap();
        assert!(rules[0].is_total());
        let c = DeviceKind::Character;
        for (kind, major, minor, access, expected) in [
            (c, 1, 3, READ | WRITE, true),
            (c, 10, 229, READ, true),
            (c, 10, 229, READ | WRITE, false),
            (c, 136, 77, READ, true),
            (DeviceKind::Block, 8, 0, READ, false),
            (DeviceKind::Block, 8, 0, MKNOD, true),
            (c, 10, 230, READ, false),
        ] {
            assert_eq!(
                decide(&rules, kind, major, minor, access),
                expected,
                "{kind:?} {major}:{minor} {access}"
            );
        }
    }

    #[test]
    fn no_rules_restrict_nothing() {
        assert!(plan("[]").unwrap().is_empty());
        assert!(decide(&[], DeviceKind::Block, 8, 0, READ));
    }

    #[test]
    fn mistakes_are_named() {
        assert!(plan(r#"[{"allow":true,"access":"x"}]"#).is_err());
        assert!(plan(r#"[{"allow":true,"type":"c","major":99999999999}]"#).is_err());
    }
}
