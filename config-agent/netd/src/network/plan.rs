//! What to change on a link so that it agrees with a lease and with the document. Pure.

use crate::dhcp::lease::Lease;
use keelson_machine_config::model::network::Link as Described;
use keelson_machine_config::value::Destination;
use keelson_netlink::route::protocol;
use keelson_netlink::{Address, Route};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Metric of routes by DHCP on the link with index 0; the index is added, so that the first link wins
/// and no link's route replaces another's.
const LEASED_METRIC: u32 = 1024;
/// The same for routes of the document, which win over those by DHCP.
const STATIC_METRIC: u32 = 100;
/// Marks addresses of the document as ours (IFA_PROTO; the kernel's own numbers are small).
const OURS: u8 = 75;

/// Changes, in the order they are applied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Addresses of earlier leases and documents.
    pub remove_addresses: Vec<Address>,
    /// Bytes per packet, when it is something else.
    pub mtu: Option<u32>,
    /// Addresses that are not there, and the lease's with its time.
    pub add_addresses: Vec<Address>,
    /// Routes that are not there; those without a gateway come first, for others may need them.
    pub add_routes: Vec<Route>,
    /// Routes of earlier leases and documents.
    pub remove_routes: Vec<Route>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The link as it is.
#[derive(Debug, Clone, Copy)]
pub struct Current<'a> {
    /// Index.
    pub link: u32,
    /// Bytes per packet.
    pub mtu: u32,
    /// Addresses of all links.
    pub addresses: &'a [Address],
    /// Routes of all links.
    pub routes: &'a [Route],
}

/// What a link is to have.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// The lease in force, and how much of its time is over.
    pub lease: Option<(&'a Lease, Duration)>,
    /// What the document says about the link.
    pub described: Option<&'a Described>,
    /// There may be a lease of an earlier life, about which its server has not been asked yet.
    pub undecided: bool,
}

/// Plans the change. Applied and planned again, it is empty (but for the lease's address, whose time is renewed
/// whenever it is missing only).
pub fn plan(current: Current<'_>, wanted: Wanted<'_>) -> Plan {
    let addresses = addresses(current.link, wanted);
    let routes = routes(current.link, wanted);
    let same = |a: &Address, b: &Address| (a.ip, a.prefix) == (b.ip, b.prefix);
    let here = |address: &&Address| address.link == current.link;
    let spared = |address: &Address| wanted.undecided && is_leased(address);
    let outdated =
        |address: &&Address| is_ours(address) && !spared(address) && !addresses.iter().any(|new| same(new, address));
    let there = |new: &Address| {
        current
            .addresses
            .iter()
            .filter(here)
            .any(|old| same(old, new) && old.protocol == new.protocol)
    };
    let ours = |route: &&Route| {
        let leased = route.protocol == protocol::DHCP && !wanted.undecided;
        route.link == Some(current.link) && (leased || route.protocol == protocol::STATIC)
    };
    let replaced = |route: &&Route| routes.iter().any(|new| same_place(new, route));
    Plan {
        remove_addresses: current
            .addresses
            .iter()
            .filter(here)
            .filter(outdated)
            .copied()
            .collect(),
        mtu: mtu(wanted).filter(|mtu| *mtu != current.mtu),
        remove_routes: current
            .routes
            .iter()
            .filter(ours)
            .filter(|route| !replaced(route))
            .cloned()
            .collect(),
        add_addresses: addresses.iter().filter(|new| !there(new)).copied().collect(),
        add_routes: routes.into_iter().filter(|new| !current.routes.contains(new)).collect(),
    }
}

/// The document's word, else the lease's.
fn mtu(wanted: Wanted<'_>) -> Option<u32> {
    let leased = wanted.lease.and_then(|(lease, _)| lease.settings.mtu);
    wanted.described.and_then(|link| link.mtu).or(leased.map(u32::from))
}

/// The address a link has by an earlier lease.
pub fn previous_address(link: u32, addresses: &[Address]) -> Option<Ipv4Addr> {
    addresses
        .iter()
        .filter(|address| address.link == link && is_leased(address))
        .find_map(|address| match address.ip {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        })
}

/// Leased IPv4 addresses are those that expire; lasting ones were given by the document or by somebody else.
fn is_leased(address: &Address) -> bool {
    address.ip.is_ipv4() && address.valid != keelson_netlink::addr::FOREVER
}

fn is_ours(address: &Address) -> bool {
    address.protocol == OURS || is_leased(address)
}

/// The kernel's key of a route; another gateway with the same key is a replacement.
fn same_place(a: &Route, b: &Route) -> bool {
    (a.destination, a.prefix, a.metric, a.table) == (b.destination, b.prefix, b.metric, b.table)
}

fn addresses(link: u32, wanted: Wanted<'_>) -> Vec<Address> {
    let leased = wanted.lease.map(|(lease, over)| leased_address(link, lease, over));
    let described = wanted.described.into_iter().flat_map(|link| &link.addresses);
    let lasting = described.map(|given| Address {
        protocol: OURS,
        ..Address::new(link, given.ip, given.prefix)
    });
    // A lasting address that a server leases as well stays what the document says.
    let lasting: Vec<Address> = lasting.collect();
    let leased = leased.filter(|leased| !lasting.iter().any(|address| address.ip == leased.ip));
    lasting.iter().copied().chain(leased).collect()
}

/// The lease's address with the time that is left of it.
pub fn leased_address(link: u32, lease: &Lease, over: Duration) -> Address {
    let mut address = Address::new(link, lease.address, lease.prefix);
    // A lease without end is given a very long one: what never expires is not known as leased.
    let left = lease.duration.map(|time| time.saturating_sub(over).as_secs().max(1));
    let seconds = left.and_then(|seconds| u32::try_from(seconds).ok());
    let seconds = seconds.unwrap_or(u32::MAX - 1).min(u32::MAX - 1);
    (address.valid, address.preferred) = (seconds, seconds);
    address
}

fn routes(link: u32, wanted: Wanted<'_>) -> Vec<Route> {
    let metric = wanted.described.and_then(|link| link.metric);
    let leased = wanted
        .lease
        .map(|(lease, _)| leased_routes(link, lease, metric))
        .unwrap_or_default();
    let described = wanted
        .described
        .map(|described| described_routes(link, described))
        .unwrap_or_default();
    let mut routes = described;
    for route in leased {
        // The document's word counts.
        if !routes.iter().any(|other| same_place(other, &route)) {
            routes.push(route);
        }
    }
    routes.sort_by_key(|route| route.gateway.is_some());
    routes
}

fn leased_routes(link: u32, lease: &Lease, metric: Option<u32>) -> Vec<Route> {
    let route = |route: &crate::dhcp::options::ClasslessRoute| Route {
        gateway: route.gateway.map(IpAddr::from),
        link: Some(link),
        source: Some(lease.address.into()),
        metric: metric.or(Some(LEASED_METRIC.saturating_add(link))),
        protocol: protocol::DHCP,
        onlink: route.gateway.is_some_and(|gateway| !contains(lease, gateway)),
        ..Route::to(route.destination, route.prefix)
    };
    lease.settings.routes.iter().map(route).collect()
}

fn contains(lease: &Lease, ip: Ipv4Addr) -> bool {
    let mask = u32::MAX.checked_shl(32 - u32::from(lease.prefix)).unwrap_or(0);
    (lease.address.to_bits() ^ ip.to_bits()) & mask == 0
}

fn described_routes(link: u32, described: &Described) -> Vec<Route> {
    let metric = described.metric.unwrap_or(STATIC_METRIC.saturating_add(link));
    let gateways = described.gateways.iter().map(|gateway| Route {
        metric: Some(metric),
        ..Route::default_via(*gateway).on(link)
    });
    let routes = described.routes.iter().filter_map(|route| {
        let (destination, prefix) = match (route.to, route.via) {
            (Destination::Network(ip, prefix), _) => (ip, prefix),
            (Destination::Default, Some(IpAddr::V4(_))) => (Ipv4Addr::UNSPECIFIED.into(), 0),
            (Destination::Default, Some(IpAddr::V6(_))) => (Ipv6Addr::UNSPECIFIED.into(), 0),
            (Destination::Default, None) => return None,
        };
        Some(Route {
            gateway: route.via,
            metric: Some(route.metric.unwrap_or(metric)),
            onlink: route.on_link,
            ..Route::to(destination, prefix).on(link)
        })
    });
    gateways.chain(routes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::lease::Settings;
    use crate::dhcp::options::ClasslessRoute;

    const LINK: u32 = 3;

    fn lease(address: [u8; 4], prefix: u8, gateway: [u8; 4]) -> Lease {
        let default = ClasslessRoute {
            destination: Ipv4Addr::UNSPECIFIED,
            prefix: 0,
            gateway: Some(gateway.into()),
        };
        Lease {
            address: address.into(),
            prefix,
            server: gateway.into(),
            duration: Some(Duration::from_secs(3600)),
            renew: Duration::from_secs(1800),
            rebind: Duration::from_secs(3150),
            settings: Settings {
                routes: vec![default],
                mtu: Some(1400),
                ..Settings::default()
            },
        }
    }

    fn leased(lease: &Lease) -> Wanted<'_> {
        Wanted {
            lease: Some((lease, Duration::ZERO)),
            ..Wanted::default()
        }
    }

    fn after(plan: &Plan) -> (Vec<Address>, Vec<Route>) {
        (plan.add_addresses.clone(), plan.add_routes.clone())
    }

    #[test]
    fn a_first_lease() {
        let current = Current {
            link: LINK,
            mtu: 1500,
            addresses: &[],
            routes: &[],
        };
        let plan = plan(current, leased(&lease([10, 0, 2, 15], 24, [10, 0, 2, 2])));
        assert_eq!(plan.add_addresses[0].valid, 3600);
        assert_eq!(plan.mtu, Some(1400));
        let [route] = &plan.add_routes[..] else {
            panic!("{plan:?}")
        };
        assert!(route.is_default() && !route.onlink);
        assert_eq!(route.metric, Some(1027));
    }

    #[test]
    fn a_renewal_changes_nothing_else() {
        let lease = lease([10, 0, 2, 15], 24, [10, 0, 2, 2]);
        let empty = Current {
            link: LINK,
            mtu: 1400,
            addresses: &[],
            routes: &[],
        };
        let (addresses, routes) = after(&plan(empty, leased(&lease)));
        let again = plan(
            Current {
                addresses: &addresses,
                routes: &routes,
                ..empty
            },
            leased(&lease),
        );
        assert!(again.is_empty(), "{again:?}");
    }

    #[test]
    fn another_lease_replaces_the_old_one_and_nothing_foreign() {
        let empty = Current {
            link: LINK,
            mtu: 1400,
            addresses: &[],
            routes: &[],
        };
        let old = lease([10, 0, 2, 15], 24, [10, 0, 2, 2]);
        let (mut addresses, mut routes) = after(&plan(empty, leased(&old)));
        addresses.push(Address::new(LINK, Ipv4Addr::new(192, 0, 2, 1), 24));
        addresses.push(Address {
            link: 9,
            ..addresses[0]
        });
        routes.push(Route {
            protocol: protocol::KERNEL,
            ..routes[0].clone()
        });
        routes.push(Route {
            prefix: 8,
            ..routes[0].clone()
        });
        let foreign = Route {
            link: Some(9),
            prefix: 8,
            ..routes[0].clone()
        };
        let routes_of_all = [&routes[..], &[foreign]].concat();
        let current = Current {
            addresses: &addresses,
            routes: &routes_of_all,
            ..empty
        };
        let next = plan(current, leased(&lease([10, 0, 3, 15], 24, [10, 0, 3, 2])));
        assert_eq!(next.remove_addresses, addresses[..1]);
        assert_eq!(next.remove_routes, routes[2..]);
        let none = plan(current, Wanted::default());
        assert_eq!(none.remove_addresses, addresses[..1]);
        assert_eq!(none.remove_routes, [routes[0].clone(), routes[2].clone()]);
        assert!(none.add_addresses.is_empty() && none.add_routes.is_empty());
    }

    #[test]
    fn a_gateway_outside_the_network_is_on_the_link() {
        let empty = Current {
            link: LINK,
            mtu: 1400,
            addresses: &[],
            routes: &[],
        };
        let plan = plan(empty, leased(&lease([10, 128, 0, 2], 32, [10, 128, 0, 1])));
        assert!(plan.add_routes[0].onlink);
    }

    #[test]
    fn addresses_of_an_earlier_life_are_found() {
        let empty = Current {
            link: LINK,
            mtu: 1400,
            addresses: &[],
            routes: &[],
        };
        let (addresses, _) = after(&plan(empty, leased(&lease([10, 0, 2, 15], 24, [10, 0, 2, 2]))));
        assert_eq!(previous_address(LINK, &addresses), Some(Ipv4Addr::new(10, 0, 2, 15)));
        assert_eq!(previous_address(4, &addresses), None);
    }

    const DOCUMENT: &str = "[network.link.lan]\naddresses = [\"192.0.2.10/24\", \"2001:db8::10/64\"]\n\
        gateways = [\"192.0.2.1\"]\nmtu = 1400\n[[network.link.lan.routes]]\nto = \"198.51.100.0/24\"\n\
        via = \"203.0.113.1\"\non-link = true\nmetric = 7\n";

    fn now<'a>(addresses: &'a [Address], routes: &'a [Route]) -> Current<'a> {
        Current {
            link: LINK,
            mtu: 1400,
            addresses,
            routes,
        }
    }

    fn described(text: &str) -> Described {
        let network = crate::network::assign::tests::network(text);
        network.links.values().next().unwrap().clone()
    }

    #[test]
    fn what_the_document_says_is_there_once_and_goes_with_it() {
        let link = described(DOCUMENT);
        let wanted = Wanted {
            described: Some(&link),
            ..Wanted::default()
        };
        let empty = Current {
            link: LINK,
            mtu: 1500,
            addresses: &[],
            routes: &[],
        };
        let first = plan(empty, wanted);
        let shown: Vec<String> = first
            .add_routes
            .iter()
            .map(|r| {
                format!(
                    "{}/{} {:?} {} {}",
                    r.destination,
                    r.prefix,
                    r.gateway,
                    r.metric.unwrap(),
                    r.onlink
                )
            })
            .collect();
        let expected = [
            "0.0.0.0/0 Some(192.0.2.1) 103 false",
            "198.51.100.0/24 Some(203.0.113.1) 7 true",
        ];
        assert_eq!(shown, expected);
        assert_eq!(first.mtu, Some(1400));
        let (mut addresses, mut routes) = after(&first);
        assert!(plan(now(&addresses, &routes), wanted).is_empty());

        // Somebody took one away, somebody gave another.
        addresses.remove(1);
        addresses.push(Address::new(LINK, Ipv4Addr::new(198, 51, 100, 1), 24));
        let repaired = plan(now(&addresses, &routes), wanted);
        assert_eq!((repaired.add_addresses.len(), repaired.remove_addresses.len()), (1, 0));

        // The document says less.
        let fewer = described("[network.link.lan]\naddresses = [\"2001:db8::10/64\"]\n");
        let wanted = Wanted {
            described: Some(&fewer),
            ..Wanted::default()
        };
        routes.push(Route {
            protocol: protocol::RA,
            ..routes[0].clone()
        });
        let less = plan(now(&addresses, &routes), wanted);
        assert_eq!(less.remove_addresses, addresses[..1]);
        assert_eq!(less.remove_routes, routes[..2]);
    }

    #[test]
    fn a_lease_of_an_earlier_life_stays_until_its_server_has_spoken() {
        let lease = lease([10, 0, 2, 15], 24, [10, 0, 2, 2]);
        let empty = Current {
            link: LINK,
            mtu: 1400,
            addresses: &[],
            routes: &[],
        };
        let (addresses, routes) = after(&plan(empty, leased(&lease)));
        let current = Current {
            addresses: &addresses,
            routes: &routes,
            ..empty
        };
        let undecided = Wanted {
            undecided: true,
            ..Wanted::default()
        };
        assert!(plan(current, undecided).is_empty());
        let half = Wanted {
            lease: Some((&lease, Duration::from_secs(1800))),
            ..Wanted::default()
        };
        assert!(plan(current, half).is_empty());
        assert_eq!(plan(empty, half).add_addresses[0].valid, 1800);
    }
}
