//! What to change on a link so that it agrees with a lease. Pure.

use crate::dhcp::lease::Lease;
use keelson_netlink::route::protocol;
use keelson_netlink::{Address, Route};
use std::net::{IpAddr, Ipv4Addr};

/// Metric of routes by DHCP on the link with index 0; the index is added, so that the first link wins
/// and no link's route replaces another's.
const METRIC: u32 = 1024;

/// Changes, in the order they are applied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Addresses of earlier leases.
    pub remove_addresses: Vec<Address>,
    /// The lease's.
    pub add_address: Option<Address>,
    /// Bytes per packet, when it is not what the lease says.
    pub mtu: Option<u32>,
    /// Routes of the lease; those without a gateway come first, for others may need them.
    pub add_routes: Vec<Route>,
    /// Routes of earlier leases.
    pub remove_routes: Vec<Route>,
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

/// Plans the change to `lease`, or (None) to no lease.
pub fn plan(current: Current<'_>, lease: Option<&Lease>) -> Plan {
    let add_address = lease.map(|lease| address_of(current.link, lease));
    let add_routes = lease.map(|lease| routes_of(current.link, lease)).unwrap_or_default();
    let outdated = |address: &&Address| {
        is_leased(address, current.link)
            && add_address.is_none_or(|new| (new.ip, new.prefix) != (address.ip, address.prefix))
    };
    let remove_routes = current
        .routes
        .iter()
        .filter(|route| route.link == Some(current.link) && route.protocol == protocol::DHCP)
        .filter(|route| !add_routes.iter().any(|new| same_place(new, route)))
        .cloned()
        .collect();
    Plan {
        remove_addresses: current.addresses.iter().filter(outdated).copied().collect(),
        add_address,
        mtu: lease
            .and_then(|lease| lease.settings.mtu)
            .map(u32::from)
            .filter(|mtu| *mtu != current.mtu),
        add_routes,
        remove_routes,
    }
}

/// The address a link has by an earlier lease.
pub fn previous_address(link: u32, addresses: &[Address]) -> Option<Ipv4Addr> {
    addresses
        .iter()
        .filter(|address| is_leased(address, link))
        .find_map(|address| match address.ip {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        })
}

/// Leased IPv4 addresses are those that expire; lasting ones were given by somebody else.
fn is_leased(address: &Address, link: u32) -> bool {
    address.link == link && address.ip.is_ipv4() && address.valid != keelson_netlink::addr::FOREVER
}

/// The kernel's key of a route; another gateway with the same key is a replacement.
fn same_place(a: &Route, b: &Route) -> bool {
    (a.destination, a.prefix, a.metric, a.table) == (b.destination, b.prefix, b.metric, b.table)
}

fn address_of(link: u32, lease: &Lease) -> Address {
    let mut address = Address::new(link, lease.address, lease.prefix);
    // A lease without end is given a very long one: what never expires is not known as leased.
    let seconds = lease.duration.and_then(|time| u32::try_from(time.as_secs()).ok());
    let seconds = seconds.unwrap_or(u32::MAX - 1).min(u32::MAX - 1);
    (address.valid, address.preferred) = (seconds, seconds);
    address
}

fn routes_of(link: u32, lease: &Lease) -> Vec<Route> {
    let mut routes: Vec<_> = lease
        .settings
        .routes
        .iter()
        .map(|route| Route {
            gateway: route.gateway.map(IpAddr::from),
            link: Some(link),
            source: Some(lease.address.into()),
            metric: Some(METRIC.saturating_add(link)),
            protocol: protocol::DHCP,
            onlink: route.gateway.is_some_and(|gateway| !contains(lease, gateway)),
            ..Route::to(route.destination, route.prefix)
        })
        .collect();
    routes.sort_by_key(|route| route.gateway.is_some());
    routes
}

fn contains(lease: &Lease, ip: Ipv4Addr) -> bool {
    let mask = u32::MAX.checked_shl(32 - u32::from(lease.prefix)).unwrap_or(0);
    (lease.address.to_bits() ^ ip.to_bits()) & mask == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::lease::Settings;
    use crate::dhcp::options::ClasslessRoute;
    use std::time::Duration;

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

    fn after(plan: &Plan) -> (Vec<Address>, Vec<Route>) {
        (plan.add_address.into_iter().collect(), plan.add_routes.clone())
    }

    #[test]
    fn a_first_lease() {
        let current = Current {
            link: LINK,
            mtu: 1500,
            addresses: &[],
            routes: &[],
        };
        let plan = plan(current, Some(&lease([10, 0, 2, 15], 24, [10, 0, 2, 2])));
        assert_eq!(plan.add_address.unwrap().valid, 3600);
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
        let (addresses, routes) = after(&plan(empty, Some(&lease)));
        let again = plan(
            Current {
                addresses: &addresses,
                routes: &routes,
                ..empty
            },
            Some(&lease),
        );
        assert!(again.remove_addresses.is_empty() && again.remove_routes.is_empty() && again.mtu.is_none());
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
        let (mut addresses, mut routes) = after(&plan(empty, Some(&old)));
        addresses.push(Address::new(LINK, Ipv4Addr::new(192, 0, 2, 1), 24));
        addresses.push(Address {
            link: 9,
            ..addresses[0]
        });
        routes.push(Route {
            protocol: protocol::STATIC,
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
        let next = plan(current, Some(&lease([10, 0, 3, 15], 24, [10, 0, 3, 2])));
        assert_eq!(next.remove_addresses, addresses[..1]);
        assert_eq!(next.remove_routes, routes[2..]);
        let none = plan(current, None);
        assert_eq!(none.remove_addresses, addresses[..1]);
        assert_eq!(none.remove_routes, [routes[0].clone(), routes[2].clone()]);
        assert!(none.add_address.is_none() && none.add_routes.is_empty());
    }

    #[test]
    fn a_gateway_outside_the_network_is_on_the_link() {
        let empty = Current {
            link: LINK,
            mtu: 1400,
            addresses: &[],
            routes: &[],
        };
        let plan = plan(empty, Some(&lease([10, 128, 0, 2], 32, [10, 128, 0, 1])));
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
        let (addresses, _) = after(&plan(empty, Some(&lease([10, 0, 2, 15], 24, [10, 0, 2, 2]))));
        assert_eq!(previous_address(LINK, &addresses), Some(Ipv4Addr::new(10, 0, 2, 15)));
        assert_eq!(previous_address(4, &addresses), None);
    }
}
