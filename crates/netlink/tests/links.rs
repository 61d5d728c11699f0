//! Links, addresses, routes and neighbours against the running kernel, judged by `ip`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use keelson_netlink::link::{LinkChange, Mac, Namespace as Where, NewLink};
use keelson_netlink::{Address, Event, EventSocket, Route};
use rustix::fd::AsFd;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use support::Namespace;

const UP: LinkChange<'static> = LinkChange {
    up: Some(true),
    mtu: None,
    name: None,
    master: None,
    mac: None,
    alias: None,
    namespace: None,
    no_link_local: false,
};

#[test]
fn privileged_bridge_with_a_port() {
    let Some(ns) = Namespace::new() else { return };
    let mut route = ns.route();
    let bridge = route.create_link("br0", &NewLink::Bridge).unwrap();
    let end = route
        .create_link(
            "v0",
            &NewLink::Veth {
                peer: "v1",
                peer_namespace: None,
            },
        )
        .unwrap();
    route
        .change_link(
            end,
            &LinkChange {
                master: Some(bridge),
                mtu: Some(1400),
                ..UP
            },
        )
        .unwrap();
    route.change_link(bridge, &UP).unwrap();
    let link = route.link("v0").unwrap().unwrap();
    assert_eq!(
        (link.index, link.master, link.mtu, link.up, link.kind.as_deref()),
        (end, Some(bridge), 1400, true, Some("veth"))
    );
    assert_eq!(route.link_at(bridge).unwrap().unwrap().name, "br0");
    assert_eq!(route.links().unwrap().len(), 4);
    let shown = ns.output("ip", &["-o", "link", "show", "v0"]);
    assert!(shown.contains("master br0") && shown.contains("mtu 1400"), "{shown}");
    route.delete_link(end).unwrap();
    assert_eq!(route.link("v1").unwrap(), None);
}

#[test]
fn privileged_peer_in_another_namespace() {
    let (Some(here), Some(there)) = (Namespace::new(), Namespace::new()) else {
        return;
    };
    let mut route = here.route();
    let peer_namespace = Some(Where::Fd(there.0.as_fd()));
    route
        .create_link(
            "v0",
            &NewLink::Veth {
                peer: "eth0",
                peer_namespace,
            },
        )
        .unwrap();
    let plain = here.plain_link("d0");
    let away = LinkChange {
        namespace: peer_namespace,
        name: Some("moved"),
        ..LinkChange::default()
    };
    route.change_link(plain, &away).unwrap();
    let mut far = there.route();
    assert!(far.link("eth0").unwrap().is_some());
    assert!(far.link("moved").unwrap().is_some());
    assert_eq!(route.link("d0").unwrap(), None);
}

#[test]
fn privileged_dummy() {
    let Some(ns) = Namespace::new() else { return };
    match ns.route().create_link("d0", &NewLink::Dummy) {
        Ok(_) => assert_eq!(ns.route().link("d0").unwrap().unwrap().kind.as_deref(), Some("dummy")),
        Err(error) => eprintln!("skipped: {error}"),
    }
}

#[test]
fn privileged_vlan_rename_and_hardware_address() {
    let Some(ns) = Namespace::new() else { return };
    let mut route = ns.route();
    let lower = ns.plain_link("d0");
    let mac = Mac([2, 0, 0, 0, 0, 7]);
    let change = LinkChange {
        name: Some("wan"),
        mac: Some(mac),
        no_link_local: true,
        ..UP
    };
    route
        .change_link(
            lower,
            &LinkChange {
                up: Some(false),
                ..change.clone()
            },
        )
        .unwrap();
    route.change_link(lower, &UP).unwrap();
    let link = route.link("wan").unwrap().unwrap();
    assert_eq!(link.mac, Some(mac));
    assert!(link.is_ethernet());
    assert!(
        route.addresses().unwrap().iter().all(|a| a.link != lower),
        "no link-local address"
    );
    match route.create_link("wan.7", &NewLink::Vlan { lower, id: 7 }) {
        Ok(_) => {
            let vlan = route.link("wan.7").unwrap().unwrap();
            assert_eq!((vlan.lower, vlan.kind.as_deref()), (Some(lower), Some("vlan")));
        }
        Err(error) => eprintln!("skipped: vlan: {error}"),
    }
}

#[test]
fn privileged_addresses_and_routes() {
    let Some(ns) = Namespace::new() else { return };
    let mut route = ns.route();
    let link = ns.plain_link("d0");
    route.change_link(link, &UP).unwrap();
    let mut v4 = Address::new(link, Ipv4Addr::new(10, 9, 0, 2), 24);
    (v4.valid, v4.preferred) = (3600, 1800);
    let v6 = Address::new(link, Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, 2), 64);
    route.add_address(&v4).unwrap();
    route.add_address(&v6).unwrap();
    let all = route.addresses().unwrap();
    let seen = all.iter().find(|a| a.ip == v4.ip).unwrap();
    assert!((3590..=3600).contains(&seen.valid), "{seen:?}");
    assert!(all.iter().any(|a| a.ip == v6.ip && !a.tentative), "{all:?}");
    assert!(ns.output("ip", &["-4", "addr"]).contains("brd 10.9.0.255"));

    let gateway = Ipv4Addr::new(10, 9, 0, 1).into();
    let default = Route {
        metric: Some(100),
        ..Route::default_via(gateway).on(link)
    };
    let strange = Route {
        onlink: true,
        metric: Some(50),
        ..default.clone()
    };
    let strange = Route {
        gateway: Some(Ipv4Addr::new(192, 0, 2, 1).into()),
        ..strange
    };
    let v6_gateway: IpAddr = Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, 1).into();
    let in_table = Route {
        table: 1000,
        ..Route::to(Ipv4Addr::new(10, 8, 0, 0), 16).on(link)
    };
    for new in [&default, &strange, &Route::default_via(v6_gateway).on(link), &in_table] {
        route.add_route(new).unwrap();
    }
    let routes = route.routes().unwrap();
    for expected in [&default, &strange, &in_table] {
        assert!(routes.contains(expected), "{expected:?} in {routes:?}");
    }
    let shown = ns.output("ip", &["route"]);
    assert!(
        shown.contains("default via 192.0.2.1 dev d0 proto static metric 50 onlink"),
        "{shown}"
    );
    route.delete_route(&default).unwrap();
    assert!(route.delete_route(&default).unwrap_err().is_absent());
    route.delete_address(&v4).unwrap();
    assert!(route.delete_address(&v4).unwrap_err().is_absent());
}

#[test]
fn privileged_neighbours() {
    let Some(ns) = Namespace::new() else { return };
    let mut route = ns.route();
    let link = ns.plain_link("d0");
    route.change_link(link, &UP).unwrap();
    let (ip, mac) = (IpAddr::from([10, 9, 0, 9]), Mac([2, 0, 0, 0, 0, 9]));
    route.pin_neighbour(link, ip, mac).unwrap();
    let seen = route.neighbours().unwrap();
    assert!(
        seen.iter().any(|n| n.ip == ip && n.mac == Some(mac) && n.permanent),
        "{seen:?}"
    );
    route.delete_neighbour(link, ip).unwrap();
    assert!(route.neighbours().unwrap().iter().all(|n| n.ip != ip || !n.permanent));
}

#[test]
fn privileged_refusals_say_what_and_why() {
    let Some(ns) = Namespace::new() else { return };
    let mut route = ns.route();
    ns.plain_link("d0");
    let error = route.create_link("d0", &NewLink::Bridge).unwrap_err();
    assert!(error.is_exists());
    assert_eq!(error.to_string(), "the kernel refuses to create link d0");
    let unreachable = Route::default_via(Ipv4Addr::new(192, 0, 2, 1).into());
    let text = route.add_route(&unreachable).unwrap_err().to_string();
    assert_eq!(
        text,
        "the kernel refuses to add route 0.0.0.0/0 (Nexthop has invalid gateway)"
    );
    assert!(route.index_of("none").unwrap_err().is_absent());
}

#[test]
fn privileged_events_follow_changes() {
    let Some(ns) = Namespace::new() else { return };
    let events = EventSocket::open_in(ns.0.as_fd()).unwrap();
    let mut route = ns.route();
    let bridge = route.create_link("br0", &NewLink::Bridge).unwrap();
    let port = ns.plain_link("d0");
    route
        .change_link(
            port,
            &LinkChange {
                master: Some(bridge),
                ..UP
            },
        )
        .unwrap();
    route
        .add_address(&Address::new(bridge, Ipv4Addr::new(10, 9, 0, 2), 24))
        .unwrap();
    let before = events.read().unwrap();
    assert!(
        before
            .iter()
            .any(|e| matches!(e, Event::Link(l) if l.name == "d0" && l.up))
    );
    assert!(
        before
            .iter()
            .any(|e| matches!(e, Event::Address(a) if a.link == bridge))
    );
    let free = LinkChange {
        master: Some(0),
        ..LinkChange::default()
    };
    route.change_link(port, &free).unwrap();
    let after = events.read().unwrap();
    assert!(
        after.iter().all(|e| !matches!(e, Event::LinkGone(_))),
        "leaving a bridge is not the end of a link: {after:?}"
    );
    route.delete_link(port).unwrap();
    let gone = events.read().unwrap();
    assert!(gone.iter().any(|e| matches!(e, Event::LinkGone(l) if l.name == "d0")));
}
