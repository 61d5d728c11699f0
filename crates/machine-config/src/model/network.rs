//! The machine's own networks.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::value::{Destination, InterfaceAddress, LinkPattern, Mac, Name, Span};

/// Begin the names of links that container engines make; no link of a document has such a name.
pub const ENGINE_PREFIXES: [&str; 5] = ["keelson", "veth", "docker", "br-", "cni"];

/// `[network]`. A machine without it asks DHCP and router advertisements on every link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Links by the name the document gives them. What is not described here gets no address.
    #[serde(default, rename = "link")]
    pub links: BTreeMap<Name, Link>,
    /// Name servers of the whole machine; those of links come after them.
    #[serde(default)]
    pub dns: NameServers,
}

/// `[network.link.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Link {
    /// The devices that are meant; without any condition the one of the link's own name.
    #[serde(default, rename = "match")]
    pub matches: Match,
    /// Ask a DHCP server for an IPv4 address.
    #[serde(default)]
    pub dhcp4: bool,
    /// Take IPv6 addresses and routes from router advertisements.
    #[serde(default = "yes")]
    pub accept_ra: bool,
    /// Lasting addresses.
    #[serde(default)]
    pub addresses: Vec<InterfaceAddress>,
    /// Routers of default routes.
    #[serde(default)]
    pub gateways: Vec<IpAddr>,
    /// Other routes.
    #[serde(default)]
    pub routes: Vec<StaticRoute>,
    /// Metric of routes that have none of their own, those by DHCP included.
    #[serde(default)]
    pub metric: Option<u32>,
    /// Bytes per packet.
    #[serde(default)]
    pub mtu: Option<u32>,
    /// Hardware address to give to the device.
    #[serde(default)]
    pub mac: Option<Mac>,
    /// Name servers to use beside those of DHCP and router advertisements, before them.
    #[serde(default)]
    pub dns: NameServers,
    /// It is a tagged network on another link.
    #[serde(default)]
    pub vlan: Option<Vlan>,
    /// It joins other links to one.
    #[serde(default)]
    pub bond: Option<Bond>,
}

fn yes() -> bool {
    true
}

impl Default for Link {
    fn default() -> Self {
        Self {
            matches: Match::default(),
            dhcp4: false,
            accept_ra: true,
            addresses: Vec::new(),
            gateways: Vec::new(),
            routes: Vec::new(),
            metric: None,
            mtu: None,
            mac: None,
            dns: NameServers::default(),
            vlan: None,
            bond: None,
        }
    }
}

impl Link {
    /// Whether it is a device and not made by the configuration.
    #[must_use]
    pub fn is_device(&self) -> bool {
        self.vlan.is_none() && self.bond.is_none()
    }
}

/// Conditions on a device; all of them must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// The hardware address it was made with.
    #[serde(default)]
    pub mac: Option<Mac>,
    /// The kernel's driver.
    #[serde(default)]
    pub driver: Option<String>,
    /// The kernel's name.
    #[serde(default)]
    pub name: Option<LinkPattern>,
}

impl Match {
    /// Whether there is no condition.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mac.is_none() && self.driver.is_none() && self.name.is_none()
    }
}

/// An entry of `routes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StaticRoute {
    /// Where it leads.
    pub to: Destination,
    /// The router; `None`: the addresses are on the link.
    #[serde(default)]
    pub via: Option<IpAddr>,
    /// Lower wins; `None` is the link's.
    #[serde(default)]
    pub metric: Option<u32>,
    /// The router is on the link although no network of the link holds it.
    #[serde(default)]
    pub on_link: bool,
}

/// Name servers and search domains, in order of preference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameServers {
    /// Their addresses.
    #[serde(default)]
    pub servers: Vec<IpAddr>,
    /// Domains in which short names are looked for.
    #[serde(default)]
    pub search: Vec<String>,
}

impl NameServers {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty() && self.search.is_empty()
    }
}

/// `vlan` of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vlan {
    /// Tag, 1 to 4094.
    pub id: u16,
    /// The described link below.
    pub link: Name,
}

/// `bond` of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bond {
    /// How packets are spread.
    pub mode: BondMode,
    /// The described links that are joined.
    pub members: Vec<Name>,
    /// How often members' carriers are looked at.
    #[serde(default = "miimon")]
    pub miimon: Span,
    /// How long a member is up before it is used.
    #[serde(default = "no_time")]
    pub up_delay: Span,
    /// How long a member is down before it is no longer used.
    #[serde(default = "no_time")]
    pub down_delay: Span,
    /// How often partners are asked for packets (802.3ad).
    #[serde(default)]
    pub lacp_rate: LacpRate,
    /// What decides which member a packet takes.
    #[serde(default)]
    pub hash_policy: HashPolicy,
    /// The member to prefer.
    #[serde(default)]
    pub primary: Option<Name>,
    /// Members with a carrier without which the bond has none (802.3ad).
    #[serde(default)]
    pub min_links: u32,
}

fn miimon() -> Span {
    Span(Duration::from_millis(100))
}

fn no_time() -> Span {
    Span(Duration::ZERO)
}

impl Bond {
    /// A bond of these members with the defaults.
    #[must_use]
    pub fn new(mode: BondMode, members: Vec<Name>) -> Self {
        Self {
            mode,
            members,
            miimon: miimon(),
            up_delay: no_time(),
            down_delay: no_time(),
            lacp_rate: LacpRate::default(),
            hash_policy: HashPolicy::default(),
            primary: None,
            min_links: 0,
        }
    }
}

/// Defines an enum of the kernel's words, in the kernel's order.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// The words, in the order of the kernel's numbers.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The one of this word.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The word.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

words! {
    /// How a bond spreads packets.
    BondMode {
        /// One member after the other.
        BalanceRr = "balance-rr",
        /// One member, another when it fails.
        ActiveBackup = "active-backup",
        /// By a hash of addresses.
        BalanceXor = "balance-xor",
        /// All packets on all members.
        Broadcast = "broadcast",
        /// By agreement with the switch (LACP).
        Lacp = "802.3ad",
        /// Sent by load.
        BalanceTlb = "balance-tlb",
        /// Sent and received by load.
        BalanceAlb = "balance-alb",
    }
}

words! {
    /// How often LACP partners are asked for packets.
    LacpRate {
        /// Every 30 seconds.
        Slow = "slow",
        /// Every second.
        Fast = "fast",
    }
}

words! {
    /// What decides which member a packet takes.
    HashPolicy {
        /// Hardware addresses.
        Layer2 = "layer2",
        /// Addresses and ports.
        Layer34 = "layer3+4",
        /// Hardware addresses and addresses.
        Layer23 = "layer2+3",
        /// As `layer2+3`, within tunnels.
        Encap23 = "encap2+3",
        /// As `layer3+4`, within tunnels.
        Encap34 = "encap3+4",
        /// Tag and source hardware address.
        VlanSource = "vlan+srcmac",
    }
}

#[expect(clippy::derivable_impls, reason = "the enum is defined by a macro")]
impl Default for LacpRate {
    fn default() -> Self {
        Self::Slow
    }
}

#[expect(clippy::derivable_impls, reason = "the enum is defined by a macro")]
impl Default for HashPolicy {
    fn default() -> Self {
        Self::Layer2
    }
}
