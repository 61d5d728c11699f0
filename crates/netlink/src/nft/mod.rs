//! nftables: transactions of tables, chains, sets, maps and rules.
//!
//! Build a [`Batch`], then [`NftSocket::commit`] it: the kernel applies all of it or nothing. The
//! error of a refused batch names the message at fault.
//!
//! ```no_run
//! use keelson_netlink::nft::{Batch, Chain, Family, Field, Hook, NftSocket, Rule, Verdict};
//! # fn main() -> Result<(), keelson_netlink::Error> {
//! let mut batch = Batch::new(Family::Inet, "keelson");
//! batch.destroy_table().add_table();
//! batch.add_chain(&Chain::base("forward", "filter", Hook::Forward, 0));
//! batch.add_rule("forward", Rule::new().equals(Field::InName, "br0").counter().verdict(Verdict::Drop));
//! NftSocket::open()?.commit(&batch)
//! # }
//! ```

mod batch;
mod chain;
mod data;
mod expr;
mod rule;
mod set;
mod socket;

pub use batch::Batch;
pub use chain::{Chain, Hook, Policy, priority};
pub use data::{Data, DataType, Field, Verdict, ct_state, ct_status};
pub use rule::{Nat, Reject, Rule, Unit};
pub use set::{Element, Entry, Set, SetData};
pub use socket::NftSocket;

/// Which packets a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Family {
    /// IPv4 and IPv6.
    Inet = 1,
    /// IPv4.
    Ipv4 = 2,
    /// Frames on a device, before anything else.
    Netdev = 5,
    /// Frames that pass a bridge.
    Bridge = 7,
    /// IPv6.
    Ipv6 = 10,
}

/// Attribute types and message types of nftables, grouped as its header file does.
pub(crate) mod uapi {
    pub const SUBSYSTEM: u16 = 10 << 8;
    pub const BATCH_BEGIN: u16 = 16;
    pub const BATCH_END: u16 = 17;

    /// Message types.
    pub mod msg {
        pub const NEWTABLE: u16 = 0;
        pub const GETTABLE: u16 = 1;
        pub const DELTABLE: u16 = 2;
        pub const NEWCHAIN: u16 = 3;
        pub const DELCHAIN: u16 = 5;
        pub const NEWRULE: u16 = 6;
        pub const DELRULE: u16 = 8;
        pub const NEWSET: u16 = 9;
        pub const DELSET: u16 = 11;
        pub const NEWSETELEM: u16 = 12;
        pub const GETSETELEM: u16 = 13;
        pub const DELSETELEM: u16 = 14;
        pub const DESTROYTABLE: u16 = 26;
        pub const DESTROYSETELEM: u16 = 30;
    }

    pub const LIST_ELEM: u16 = 1;
    pub const DATA_VALUE: u16 = 1;
    pub const DATA_VERDICT: u16 = 2;
    pub const VERDICT_CODE: u16 = 1;
    pub const VERDICT_CHAIN: u16 = 2;
}
