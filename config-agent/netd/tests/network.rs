//! Addresses, routes and options from a real DHCP server and real router advertisements.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use keelson_netlink::route::protocol;
use support::{Lab, ROUTER, eventually};

fn discoveries(lab: &Lab) -> usize {
    lab.router_log().matches("DHCPDISCOVER(lan)").count()
}

#[test]
fn privileged_a_lease_is_applied_whole() {
    let Some(mut lab) = Lab::new() else { return };
    let Some(()) = lab.start_router(&[]) else { return };
    lab.start_daemon();
    let address = lab.leased();
    assert!(
        address.starts_with("10.44.0.5") || address.starts_with("10.44.0.60"),
        "{address}"
    );
    let status = eventually("name servers of both families", 15, || {
        let status = lab.status();
        (status["dns"].as_array()?.len() >= 2).then_some(status)
    });
    assert_eq!(status["dns"], serde_json::json!(["10.44.0.1:53", "[fd44::1]:53"]));
    assert_eq!(
        status["search"],
        serde_json::json!(["example.test", "more.example.test", "six.example.test"])
    );
    assert_eq!(status["ntp"], serde_json::json!(["10.44.0.1"]));
    assert_eq!(
        status["links"].as_array().unwrap().len(),
        1,
        "only eth0 is ours: {status:#}"
    );

    let mut route = lab.machine.route();
    let eth0 = route.link("eth0").unwrap().unwrap();
    assert_eq!((eth0.mtu, eth0.up), (1400, true));
    let seen = route.addresses().unwrap();
    let leased = seen.iter().find(|a| a.link == eth0.index && a.ip.is_ipv4()).unwrap();
    assert!((100..=120).contains(&leased.valid), "{leased:?}");
    eventually("an address by advertisement", 15, || {
        let addresses = lab.machine.route().addresses().unwrap();
        addresses.into_iter().find(|a| a.ip.to_string().starts_with("fd44:"))
    });
    let routes = route.routes().unwrap();
    let default = routes
        .iter()
        .find(|r| r.is_default() && r.protocol == protocol::DHCP)
        .unwrap();
    assert_eq!(default.gateway, Some(ROUTER.into()));
    assert_eq!(default.metric, Some(1024 + eth0.index));
    assert_eq!(default.source, Some(leased.ip));
    assert!(
        routes.iter().any(|r| r.is_default() && r.protocol == protocol::RA),
        "{routes:?}"
    );
    // Links of the engine are as they were.
    let bridge = route.link("keelson0").unwrap().unwrap();
    let of_bridge = seen.iter().filter(|a| a.link == bridge.index && a.ip.is_ipv4());
    assert_eq!(of_bridge.count(), 1);
}

#[test]
fn privileged_a_restart_keeps_the_address_and_asks_for_it_again() {
    let Some(mut lab) = Lab::new() else { return };
    let Some(()) = lab.start_router(&[]) else { return };
    lab.start_daemon();
    let address = lab.leased();
    let discovered = discoveries(&lab);
    lab.stop_daemon();
    let kept = |lab: &Lab| {
        let addresses = lab.machine.route().addresses().unwrap();
        addresses.iter().any(|a| address.starts_with(&a.ip.to_string()))
    };
    assert!(kept(&lab), "containers keep their network meanwhile");
    std::fs::remove_file(lab.path("status.json")).unwrap();
    lab.start_daemon();
    assert_eq!(lab.leased(), address);
    assert!(kept(&lab));
    assert_eq!(discoveries(&lab), discovered, "no new discovery");
}

#[test]
fn privileged_a_cut_cable_is_noticed_and_the_lease_confirmed() {
    let Some(mut lab) = Lab::new() else { return };
    let Some(()) = lab.start_router(&[]) else { return };
    lab.start_daemon();
    let address = lab.leased();
    let carrier = |expected: bool| {
        eventually("the carrier", 10, || {
            (lab.status()["links"][0]["carrier"] == expected).then_some(())
        });
    };
    carrier(true);
    lab.router.set_up("lan", false);
    carrier(false);
    lab.router.set_up("lan", true);
    carrier(true);
    eventually("the lease is confirmed", 10, || {
        (lab.router_log().matches("DHCPACK(lan)").count() >= 2).then_some(())
    });
    assert_eq!(lab.leased(), address);
}

#[test]
fn privileged_another_server_takes_the_old_address_away() {
    let Some(mut lab) = Lab::new() else { return };
    let Some(()) = lab.start_router(&[]) else { return };
    lab.start_daemon();
    let old = lab.leased();
    lab.stop_daemon();
    lab.stop_router();
    std::fs::remove_file(lab.path("leases")).unwrap();
    std::fs::remove_file(lab.path("status.json")).unwrap();
    lab.range = "10.44.0.200,10.44.0.210,2m";
    let Some(()) = lab.start_router(&[]) else { return };
    // The second life asks for its old address, which this server refuses.
    lab.start_daemon();
    let new = lab.leased();
    assert!(new.starts_with("10.44.0.2"), "{new}");
    let addresses = lab.machine.route().addresses().unwrap();
    let leased: Vec<_> = addresses
        .iter()
        .filter(|a| a.ip.to_string().starts_with("10.44."))
        .collect();
    assert_eq!(leased.len(), 1, "{old} then {new}: {leased:?}");
    assert!(new.starts_with(&leased[0].ip.to_string()));
}
