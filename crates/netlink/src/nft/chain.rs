//! Chains: lists of rules, some of them hooked into the path of packets.

use crate::wire::Buffer;

const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;

/// Places in the path of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Hook {
    /// Just arrived, before routing.
    Prerouting = 0,
    /// For this host.
    Input = 1,
    /// Passing through.
    Forward = 2,
    /// Made by this host.
    Output = 3,
    /// About to leave.
    Postrouting = 4,
}

/// Well-known priorities; lower runs earlier.
pub mod priority {
    /// Before connection tracking.
    pub const RAW: i32 = -300;
    /// Destination translation.
    pub const DNAT: i32 = -100;
    /// Filtering.
    pub const FILTER: i32 = 0;
    /// Source translation.
    pub const SNAT: i32 = 100;
    /// Filtering in the bridge family.
    pub const BRIDGE_FILTER: i32 = -200;
}

/// What happens at the end of a hooked chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Policy {
    /// The packet is dropped.
    Drop = 0,
    /// It goes on.
    Accept = 1,
}

/// A chain to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain<'a> {
    /// Name, unique in its table.
    pub name: &'a str,
    /// Where it hangs; None for a chain that is only jumped to.
    pub base: Option<Base<'a>>,
}

/// Where a chain hangs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base<'a> {
    /// `filter`, `nat` or `route`.
    pub kind: &'a str,
    /// Place.
    pub hook: Hook,
    /// Order among chains at this place.
    pub priority: i32,
    /// End of the chain.
    pub policy: Policy,
}

impl<'a> Chain<'a> {
    /// A chain that is only jumped to.
    pub const fn regular(name: &'a str) -> Self {
        Self { name, base: None }
    }

    /// A hooked chain that accepts what reaches its end.
    pub const fn base(name: &'a str, kind: &'a str, hook: Hook, priority: i32) -> Self {
        Self {
            name,
            base: Some(Base {
                kind,
                hook,
                priority,
                policy: Policy::Accept,
            }),
        }
    }

    /// The same chain with another end.
    #[must_use]
    pub const fn policy(mut self, policy: Policy) -> Self {
        if let Some(base) = &mut self.base {
            base.policy = policy;
        }
        self
    }

    pub(super) fn write(&self, table: &str, out: &mut Buffer) {
        out.text(CHAIN_TABLE, table).text(CHAIN_NAME, self.name);
        let Some(base) = &self.base else { return };
        out.nest(CHAIN_HOOK, |hook| {
            hook.be32(HOOK_NUMBER, u32::from(base.hook as u8));
            hook.be32(HOOK_PRIORITY, base.priority.cast_unsigned());
        });
        out.be32(CHAIN_POLICY, u32::from(base.policy as u8));
        out.text(CHAIN_TYPE, base.kind);
    }
}

/// Names a chain for deletion.
pub(super) fn write_name(table: &str, name: &str, out: &mut Buffer) {
    out.text(CHAIN_TABLE, table).text(CHAIN_NAME, name);
}
