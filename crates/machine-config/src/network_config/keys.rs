//! What becomes of each key of a foreign network configuration. The verdict table of `docs/formats/network-config.md`
//! is written from here.

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It does here what it does elsewhere.
    Honoured,
    /// It is accepted and has no effect, for this reason.
    Noted(&'static str),
    /// It is refused, for this reason, with this cure.
    Refused(&'static str, &'static str),
}

impl Verdict {
    /// Whether it is honoured.
    #[must_use]
    pub fn is_honoured(self) -> bool {
        self == Self::Honoured
    }
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its name.
    pub key: &'static str,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// The keys of one kind of map.
#[derive(Debug)]
pub struct Section {
    /// Where such maps stand, for people.
    pub path: &'static str,
    /// Keys of its own.
    own: &'static [Row],
    /// Keys that it shares with other sections.
    shared: &'static [Row],
}

impl Section {
    /// The row of a key.
    #[must_use]
    pub fn row(&self, key: &str) -> Option<&'static Row> {
        self.rows().find(|row| row.key == key)
    }

    /// All rows.
    pub fn rows(&self) -> impl Iterator<Item = &'static Row> + use<> {
        self.own.iter().chain(self.shared)
    }
}

const fn honour(key: &'static str) -> Row {
    Row {
        key,
        verdict: Verdict::Honoured,
    }
}

const fn note(key: &'static str, why: &'static str) -> Row {
    Row {
        key,
        verdict: Verdict::Noted(why),
    }
}

const fn refuse(key: &'static str, why: &'static str, cure: &'static str) -> Row {
    Row {
        key,
        verdict: Verdict::Refused(why, cure),
    }
}

const fn section(path: &'static str, own: &'static [Row], shared: &'static [Row]) -> Section {
    Section { path, own, shared }
}

const NO_DHCPV6: &str = "there is no DHCPv6 client; IPv6 addresses come from router advertisements";
const OWN_NAMES: &str = "devices keep the kernel's name, the configuration follows the hardware address";
const TUNING: &str = "the kernel's default stays";
const NO_WAITING: &str = "nothing waits for a link";
const CONTAINERS: &str = "containers have bridges of their own";

/// The map around all of it.
pub static WRAPPER: Section = section("the top, around all of it", &[honour("network")], &[]);

/// Version 2.
pub static V2: Section = section(
    "version 2",
    &[
        honour("version"),
        honour("ethernets"),
        honour("bonds"),
        honour("vlans"),
        note("renderer", "there is one network daemon"),
        refuse("bridges", CONTAINERS, "put the addresses on the link itself"),
        refuse("wifis", "there are no wireless devices", "leave it out"),
        refuse("modems", "there are no modems", "leave it out"),
        refuse("tunnels", "the machine makes no tunnels", "run one as a container"),
        refuse("vrfs", "there is one routing table", "leave it out"),
        refuse("dummy-devices", "a link leads somewhere", "leave it out"),
        refuse(
            "nm-devices",
            "there is no NetworkManager",
            "describe the link under `ethernets`",
        ),
        refuse("openvswitch", "there is no Open vSwitch", "leave it out"),
    ],
    &[],
);

/// Keys of every link of version 2.
const V2_LINK: &[Row] = &[
    honour("dhcp4"),
    honour("dhcp6"),
    honour("dhcp4-overrides"),
    note("dhcp6-overrides", NO_DHCPV6),
    honour("dhcp-identifier"),
    honour("accept-ra"),
    honour("addresses"),
    honour("gateway4"),
    honour("gateway6"),
    honour("routes"),
    honour("nameservers"),
    honour("mtu"),
    honour("macaddress"),
    note("optional", NO_WAITING),
    note("optional-addresses", NO_WAITING),
    note("critical", "a link never loses its addresses when the daemon ends"),
    note("ignore-carrier", "addresses stay without a carrier"),
    note(
        "link-local",
        "the kernel makes IPv6 link-local addresses and no IPv4 ones",
    ),
    note("ipv6-privacy", "there are no temporary addresses"),
    note("ipv6-address-generation", TUNING),
    note("ipv6-address-token", TUNING),
    note("ipv6-mtu", "`mtu` counts for both families"),
    note("ra-overrides", "advertisements are taken as they are"),
    note("networkmanager", "there is no NetworkManager"),
    refuse(
        "activation-mode",
        "links are up",
        "leave the link out, so that it stays down",
    ),
    refuse("routing-policy", "there is one routing table", "leave it out"),
    refuse("auth", "there is no 802.1X client", "leave it out"),
    refuse("openvswitch", "there is no Open vSwitch", "leave it out"),
];

/// `ethernets` of version 2.
pub static V2_ETHERNET: Section = section(
    "ethernets.NAME",
    &[
        honour("match"),
        note("set-name", OWN_NAMES),
        note("wakeonlan", "the firmware's setting stays"),
        note("emit-lldp", "nothing is said about neighbours"),
        note("receive-checksum-offload", TUNING),
        note("transmit-checksum-offload", TUNING),
        note("tcp-segmentation-offload", TUNING),
        note("tcp6-segmentation-offload", TUNING),
        note("generic-segmentation-offload", TUNING),
        note("generic-receive-offload", TUNING),
        note("large-receive-offload", TUNING),
        refuse("virtual-function-count", "there is no SR-IOV set-up", "leave it out"),
        refuse("embedded-switch-mode", "there is no SR-IOV set-up", "leave it out"),
        refuse("link", "there is no SR-IOV set-up", "leave it out"),
        refuse("infiniband-mode", "there is no InfiniBand", "leave it out"),
    ],
    V2_LINK,
);

/// `match` of version 2.
pub static V2_MATCH: Section = section(
    "ethernets.NAME.match",
    &[honour("macaddress"), honour("name"), honour("driver")],
    &[],
);

/// `dhcp4-overrides` of version 2.
pub static V2_OVERRIDES: Section = section(
    "….dhcp4-overrides",
    &[
        honour("route-metric"),
        honour("use-dns"),
        honour("use-ntp"),
        honour("use-mtu"),
        honour("use-routes"),
        honour("use-domains"),
        note("use-hostname", "the machine is named by its document or its metadata"),
        note("send-hostname", "the machine's name is always sent"),
        note("hostname", "the machine's own name is sent"),
    ],
    &[],
);

/// `nameservers` of version 2.
pub static V2_NAMESERVERS: Section = section("….nameservers", &[honour("addresses"), honour("search")], &[]);

/// An entry of `addresses` with settings.
pub static V2_ADDRESS: Section = section(
    "….addresses[].ADDRESS",
    &[
        note("label", "addresses have no labels"),
        note("lifetime", "written addresses last"),
    ],
    &[],
);

/// An entry of `routes` of version 2.
pub static V2_ROUTE: Section = section(
    "….routes[]",
    &[
        honour("to"),
        honour("via"),
        honour("metric"),
        honour("on-link"),
        note("scope", "it follows from `via`"),
        note("congestion-window", TUNING),
        note("advertised-receive-window", TUNING),
        note("advertised-mss", TUNING),
        refuse(
            "type",
            "routes lead somewhere",
            "leave it out for `unicast`, else leave the route out",
        ),
        refuse("from", "the source address is the kernel's choice", "leave it out"),
        refuse("mtu", "packets have the link's size", "give the `mtu` to the link"),
        refuse("table", "there is one routing table", "leave it out"),
    ],
    &[],
);

/// `bonds` of version 2.
pub static V2_BOND: Section = section("bonds.NAME", &[honour("interfaces"), honour("parameters")], V2_LINK);

/// `parameters` of a bond of version 2.
pub static V2_PARAMETERS: Section = section(
    "bonds.NAME.parameters",
    &[
        honour("mode"),
        honour("lacp-rate"),
        honour("mii-monitor-interval"),
        honour("min-links"),
        honour("transmit-hash-policy"),
        honour("up-delay"),
        honour("down-delay"),
        honour("primary"),
        note("ad-select", TUNING),
        note("gratuitous-arp", TUNING),
        note("gratuitious-arp", TUNING),
        note("packets-per-member", TUNING),
        note("packets-per-slave", TUNING),
        note("resend-igmp", TUNING),
        note("learn-packet-interval", TUNING),
        note("primary-reselect-policy", TUNING),
        refuse("all-members-active", "duplicates are dropped", "leave it out"),
        refuse("all-slaves-active", "duplicates are dropped", "leave it out"),
        refuse(
            "fail-over-mac-policy",
            "members take the bond's address",
            "leave it out",
        ),
        refuse("arp-interval", BY_CARRIER, "write `mii-monitor-interval`"),
        refuse("arp-ip-targets", BY_CARRIER, "write `mii-monitor-interval`"),
        refuse("arp-validate", BY_CARRIER, "write `mii-monitor-interval`"),
        refuse("arp-all-targets", BY_CARRIER, "write `mii-monitor-interval`"),
    ],
    &[],
);

const BY_CARRIER: &str = "members are watched by their carrier";

/// `vlans` of version 2.
pub static V2_VLAN: Section = section("vlans.NAME", &[honour("id"), honour("link")], V2_LINK);

/// Version 1.
pub static V1: Section = section("version 1", &[honour("version"), honour("config")], &[]);

/// Keys of every link of version 1.
const V1_LINK: &[Row] = &[
    honour("type"),
    honour("name"),
    honour("mac_address"),
    honour("mtu"),
    honour("subnets"),
    honour("accept-ra"),
    note("wakeonlan", "the firmware's setting stays"),
    note(
        "keep_configuration",
        "a link never loses its addresses when the daemon ends",
    ),
];

/// `type: physical`.
pub static V1_PHYSICAL: Section = section("config[], type: physical", &[], V1_LINK);

/// `type: vlan`.
pub static V1_VLAN: Section = section(
    "config[], type: vlan",
    &[honour("vlan_link"), honour("vlan_id")],
    V1_LINK,
);

/// `type: bond`.
pub static V1_BOND: Section = section(
    "config[], type: bond",
    &[honour("bond_interfaces"), honour("params")],
    V1_LINK,
);

/// `params` of a bond of version 1, with `_` or `-`.
pub static V1_PARAMETERS: Section = section(
    "config[].params of a bond (`_` as well as `-`)",
    &[
        honour("bond-mode"),
        honour("bond-lacp-rate"),
        honour("bond-miimon"),
        honour("bond-min-links"),
        honour("bond-xmit-hash-policy"),
        honour("bond-updelay"),
        honour("bond-downdelay"),
        honour("bond-primary"),
        note("bond-ad-select", TUNING),
        note("bond-num-grat-arp", TUNING),
        note("bond-primary-reselect", TUNING),
        note("bond-resend-igmp", TUNING),
        note("bond-slaves", "the members stand in `bond_interfaces`"),
        refuse("bond-fail-over-mac", "members take the bond's address", "leave it out"),
        refuse("bond-arp-interval", BY_CARRIER, "write `bond-miimon`"),
        refuse("bond-arp-ip-target", BY_CARRIER, "write `bond-miimon`"),
        refuse("bond-arp-validate", BY_CARRIER, "write `bond-miimon`"),
    ],
    &[],
);

/// An entry of `subnets`.
pub static V1_SUBNET: Section = section(
    "config[].subnets[]",
    &[
        honour("type"),
        honour("address"),
        honour("netmask"),
        honour("gateway"),
        honour("dns_nameservers"),
        honour("dns_search"),
        honour("routes"),
        honour("metric"),
        note("control", "links are brought up when they are there"),
        note("broadcast", "it follows from the address"),
        note("scope", "it follows from the address"),
        note("ipv4", "it follows from the type"),
        note("ipv6", "it follows from the type"),
        refuse(
            "pointopoint",
            "there is no other end",
            "write a route with the prefix 32",
        ),
    ],
    &[],
);

/// A route of version 1, of a subnet or by itself.
pub static V1_ROUTE: Section = section(
    "config[].subnets[].routes[], and type: route",
    &[
        honour("type"),
        honour("id"),
        honour("destination"),
        honour("network"),
        honour("netmask"),
        honour("prefix"),
        honour("gateway"),
        honour("metric"),
    ],
    &[],
);

/// `type: nameserver`.
pub static V1_NAMESERVER: Section = section(
    "config[], type: nameserver",
    &[honour("type"), honour("address"), honour("search"), honour("interface")],
    &[],
);

/// `type: loopback`.
pub static V1_LOOPBACK: Section = section(
    "config[], type: loopback",
    &[
        honour("type"),
        note("name", "loopback is always up"),
        note("subnets", "loopback has 127.0.0.1 and ::1"),
    ],
    &[],
);

/// OpenStack.
pub static OPENSTACK: Section = section(
    "network_data.json",
    &[honour("links"), honour("networks"), honour("services")],
    &[],
);

/// An entry of `links`.
pub static OPENSTACK_LINK: Section = section(
    "links[]",
    &[
        honour("id"),
        honour("type"),
        honour("ethernet_mac_address"),
        honour("mtu"),
        honour("bond_links"),
        honour("bond_mode"),
        honour("bond_miimon"),
        honour("bond_xmit_hash_policy"),
        honour("vlan_link"),
        honour("vlan_id"),
        honour("vlan_mac_address"),
        note("name", OWN_NAMES),
        note("vif_id", "it is the platform's"),
    ],
    &[],
);

/// An entry of `networks`.
pub static OPENSTACK_NETWORK: Section = section(
    "networks[]",
    &[
        honour("link"),
        honour("type"),
        honour("ip_address"),
        honour("netmask"),
        honour("gateway"),
        honour("routes"),
        honour("services"),
        honour("dns_nameservers"),
        honour("dns_search"),
        note("id", "it is the platform's"),
        note("network_id", "it is the platform's"),
    ],
    &[],
);

/// An entry of `routes` of a network.
pub static OPENSTACK_ROUTE: Section = section(
    "networks[].routes[]",
    &[
        honour("network"),
        honour("netmask"),
        honour("gateway"),
        note("services", "name servers stand in `services` of the network"),
    ],
    &[],
);

/// An entry of `services`.
pub static OPENSTACK_SERVICE: Section = section("services[]", &[honour("type"), honour("address")], &[]);

/// All sections, in the order of the page.
pub static SECTIONS: [&Section; 25] = [
    &WRAPPER,
    &V2,
    &V2_ETHERNET,
    &V2_MATCH,
    &V2_BOND,
    &V2_PARAMETERS,
    &V2_VLAN,
    &V2_OVERRIDES,
    &V2_ADDRESS,
    &V2_ROUTE,
    &V2_NAMESERVERS,
    &V1,
    &V1_PHYSICAL,
    &V1_BOND,
    &V1_PARAMETERS,
    &V1_VLAN,
    &V1_SUBNET,
    &V1_ROUTE,
    &V1_NAMESERVER,
    &V1_LOOPBACK,
    &OPENSTACK,
    &OPENSTACK_LINK,
    &OPENSTACK_NETWORK,
    &OPENSTACK_ROUTE,
    &OPENSTACK_SERVICE,
];
