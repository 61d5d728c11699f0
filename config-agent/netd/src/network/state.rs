//! What is known about the machine's networks, and what follows for names and time. Pure.

use super::router::RouterInfo;
use crate::dhcp::lease::Lease;
use keelson_machine_config::model::network::{Link as Described, NameServers};
use keelson_netlink::Link;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::time::Instant;

const DNS_PORT: u16 = 53;
/// Name servers in use at once.
const MOST_SERVERS: usize = 6;
/// Search domains in use at once.
const MOST_DOMAINS: usize = 6;

/// One link of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnLink {
    /// As the kernel describes it.
    pub link: Link,
    /// The lease in force.
    pub lease: Option<Lease>,
    /// What routers said.
    pub routers: RouterInfo,
    /// Addresses, with the bits of their networks.
    pub addresses: Vec<(IpAddr, u8)>,
    /// When the lease in force was given.
    pub leased_at: Option<Instant>,
    /// What the document calls it; None when no document speaks of networks.
    pub name: Option<String>,
    /// What the document says, or DHCP and router advertisements.
    pub described: Described,
    /// What it does not have and why, a sentence each.
    pub problems: Vec<String>,
}

/// All links of ours, by index: the order of preference.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks {
    /// The links.
    pub links: BTreeMap<u32, OwnLink>,
    /// Name servers of the whole machine, by the document.
    pub machine: NameServers,
    /// What the document asks for and is not there, and what is left out: by name of the link or device.
    pub absent: BTreeMap<String, String>,
}

/// What other parts of the program need to know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Name servers in order of preference.
    pub dns: Vec<SocketAddr>,
    /// Search domains in order of preference.
    pub search: Vec<String>,
    /// Time servers.
    pub ntp: Vec<Ipv4Addr>,
    /// The first name a lease gives to this host.
    pub hostname: Option<String>,
    /// Some link has a global address.
    pub online: bool,
    /// The links.
    pub links: Vec<OwnLink>,
    /// Described links that are not there and devices that are left out, and why.
    pub absent: BTreeMap<String, String>,
}

impl OwnLink {
    /// A link that has nothing yet.
    pub fn new(link: Link, name: Option<String>, described: Described) -> Self {
        Self {
            link,
            lease: None,
            routers: RouterInfo::default(),
            addresses: Vec::new(),
            leased_at: None,
            name,
            described,
            problems: Vec::new(),
        }
    }
}

impl Networks {
    /// Draws the summary.
    pub fn summary(&self, now: Instant) -> Summary {
        let leases = || self.links.values().filter_map(|link| link.lease.as_ref());
        let machine = self.machine.servers.iter().map(|ip| SocketAddr::new(*ip, DNS_PORT));
        let servers = machine.chain(self.links.values().flat_map(|link| servers(link, now)));
        let search = self.machine.search.iter().cloned();
        let search = search.chain(self.links.values().flat_map(|link| domains(link, now)));
        Summary {
            dns: distinct(servers, MOST_SERVERS),
            search: distinct(search, MOST_DOMAINS),
            ntp: distinct(
                leases().flat_map(|lease| lease.settings.ntp.iter().copied()),
                MOST_SERVERS,
            ),
            hostname: leases().find_map(|lease| lease.settings.hostname.clone()),
            online: self
                .links
                .values()
                .any(|link| link.addresses.iter().any(|(ip, _)| is_global(*ip))),
            links: self.links.values().cloned().collect(),
            absent: self.absent.clone(),
        }
    }

    /// When the summary changes by itself.
    pub fn next_end(&self, now: Instant) -> Option<Instant> {
        self.links.values().filter_map(|link| link.routers.next_end(now)).min()
    }
}

fn servers(link: &OwnLink, now: Instant) -> Vec<SocketAddr> {
    let at = |ip: IpAddr| match ip {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => SocketAddrV6::new(ip, DNS_PORT, 0, link.link.index).into(),
        ip => SocketAddr::new(ip, DNS_PORT),
    };
    let described = link.described.dns.servers.iter().copied();
    let leased = link.lease.iter().flat_map(|lease| lease.settings.dns.iter().copied());
    let leased = leased.map(IpAddr::from);
    let advertised = link.routers.servers(now).map(IpAddr::from);
    described.chain(leased).chain(advertised).map(at).collect()
}

fn domains(link: &OwnLink, now: Instant) -> Vec<String> {
    let leased = link
        .lease
        .iter()
        .flat_map(|lease| lease.settings.search.iter().cloned());
    let described = link.described.dns.search.iter().cloned();
    described
        .chain(leased)
        .chain(link.routers.domains(now).map(str::to_owned))
        .collect()
}

fn is_global(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_link_local() && !ip.is_loopback(),
        IpAddr::V6(ip) => !ip.is_unicast_link_local() && !ip.is_loopback(),
    }
}

fn distinct<T: PartialEq>(values: impl Iterator<Item = T>, most: usize) -> Vec<T> {
    let mut kept = Vec::new();
    for value in values {
        if kept.len() < most && !kept.contains(&value) {
            kept.push(value);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::super::router::RouterOption;
    use super::*;
    use crate::dhcp::lease::Settings;
    use std::net::Ipv6Addr;
    use std::time::Duration;

    fn own(index: u32, dns: &[[u8; 4]], router: Option<Ipv6Addr>, now: Instant) -> OwnLink {
        let settings = Settings {
            dns: dns.iter().copied().map(Ipv4Addr::from).collect(),
            search: vec!["example.org".into()],
            ..Settings::default()
        };
        let lease = Lease {
            address: [10, 0, 2, 15].into(),
            prefix: 24,
            server: [10, 0, 2, 2].into(),
            duration: None,
            renew: Duration::MAX,
            rebind: Duration::MAX,
            settings,
        };
        let mut routers = RouterInfo::default();
        let lifetime = Some(Duration::from_secs(600));
        routers.update(
            now,
            RouterOption::Dns {
                lifetime,
                servers: router.into_iter().collect(),
            },
        );
        let link = Link {
            index,
            ..Link::default()
        };
        OwnLink {
            lease: Some(lease),
            routers,
            addresses: vec![([10, 0, 2, 15].into(), 24)],
            ..OwnLink::new(link, None, Described::default())
        }
    }

    #[test]
    fn servers_of_all_links_in_order_without_repetition() {
        let now = Instant::now();
        let local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
        let links = [
            (3, own(3, &[[9, 9, 9, 9], [10, 0, 2, 3]], None, now)),
            (2, own(2, &[[10, 0, 2, 3]], Some(local), now)),
        ];
        let mut networks = Networks {
            links: links.into(),
            ..Networks::default()
        };
        let summary = networks.summary(now);
        let shown: Vec<_> = summary.dns.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.2.3:53", "[fe80::1%2]:53", "9.9.9.9:53"]);
        assert_eq!(summary.search, ["example.org"]);
        assert!(summary.online);
        assert_eq!(networks.next_end(now), Some(now + Duration::from_secs(600)));
        assert_eq!(networks.summary(now + Duration::from_secs(601)).dns.len(), 2);

        networks.machine.servers = vec![[192, 0, 2, 53].into()];
        let third = networks.links.get_mut(&3).unwrap();
        third.described.dns.servers = vec![local.into()];
        let shown: Vec<_> = networks.summary(now).dns.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "192.0.2.53:53",
                "10.0.2.3:53",
                "[fe80::1%2]:53",
                "[fe80::1%3]:53",
                "9.9.9.9:53"
            ]
        );
    }
}
