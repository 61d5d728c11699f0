//! Conditions on a system call's arguments: six comparisons and the masked one, on 64-bit values. Pure.

use crate::error::{Error, Result};
use oci_spec::runtime::{LinuxSeccompArg, LinuxSeccompOperator as Operator};

/// One condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Argument, 0–5.
    pub index: u32,
    /// Comparison.
    pub test: Test,
    /// What the argument is compared with.
    pub value: u64,
}

/// A comparison of an argument with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// Not equal.
    NotEqual,
    /// Less, unsigned.
    Less,
    /// Less or equal.
    LessOrEqual,
    /// Equal in the bits of the mask.
    Equal {
        /// All ones for the whole argument.
        mask: u64,
    },
    /// Greater or equal.
    GreaterOrEqual,
    /// Greater.
    Greater,
}

impl Condition {
    /// Whether an argument's value fulfils it.
    pub fn holds(&self, argument: u64) -> bool {
        match self.test {
            Test::NotEqual => argument != self.value,
            Test::Less => argument < self.value,
            Test::LessOrEqual => argument <= self.value,
            Test::Equal { mask } => argument & mask == self.value & mask,
            Test::GreaterOrEqual => argument >= self.value,
            Test::Greater => argument > self.value,
        }
    }
}

/// Reads one condition.
pub fn plan_condition(argument: &LinuxSeccompArg) -> Result<Condition> {
    let index = u32::try_from(argument.index()).ok().filter(|index| *index < 6);
    let index = index.ok_or_else(|| {
        Error::spec(
            "linux.seccomp.syscalls.args",
            format!("index {} is not in 0..5", argument.index()),
        )
    })?;
    let (test, value) = match argument.op() {
        Operator::ScmpCmpNe => (Test::NotEqual, argument.value()),
        Operator::ScmpCmpLt => (Test::Less, argument.value()),
        Operator::ScmpCmpLe => (Test::LessOrEqual, argument.value()),
        Operator::ScmpCmpEq => (Test::Equal { mask: u64::MAX }, argument.value()),
        Operator::ScmpCmpGe => (Test::GreaterOrEqual, argument.value()),
        Operator::ScmpCmpGt => (Test::Greater, argument.value()),
        Operator::ScmpCmpMaskedEq => (
            Test::Equal { mask: argument.value() },
            argument.value_two().unwrap_or(0),
        ),
    };
    Ok(Condition { index, test, value })
}
