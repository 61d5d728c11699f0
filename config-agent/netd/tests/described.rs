//! Links that a document describes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use keelson_netlink::route::protocol;
use keelson_netlink::{Address, LinkChange};
use serde_json::{Value as Json, json};
use support::{Lab, eventually};

/// Writes the configuration in force, as its writer does: by a rename.
fn configure(lab: &Lab, links: &Json) {
    let config = json!({ "schema": 1, "network": { "link": links, "dns": { "servers": ["192.0.2.53"] } } });
    std::fs::write(lab.path("machine.new"), config.to_string()).unwrap();
    std::fs::rename(lab.path("machine.new"), lab.path("machine.json")).unwrap();
}

fn lan() -> Json {
    json!({
        "match": { "name": "eth*" },
        "addresses": ["10.44.0.9/24", "fd44::9/64"],
        "gateways": ["10.44.0.1"],
        "routes": [
            { "to": "198.51.100.0/24", "via": "10.44.0.1", "metric": 7 },
            { "to": "2001:db8:1::/48", "via": "fd44::1" },
            { "to": "203.0.113.0/24", "via": "192.0.2.1", "on-link": true },
        ],
        "mtu": 1300,
        "mac": "02:00:00:00:00:77",
        "accept-ra": false,
        "dns": { "servers": ["10.44.0.1"], "search": ["example.test"] },
    })
}

/// Addresses that were given, IPv6's own apart.
fn addresses(lab: &Lab) -> Vec<String> {
    let mut route = lab.machine.route();
    let eth0 = route.index_of("eth0").unwrap();
    let of_link = route.addresses().unwrap().into_iter().filter(|a| a.link == eth0);
    let mut shown: Vec<String> = of_link
        .filter(|a| !a.ip.to_string().starts_with("fe80"))
        .map(|a| format!("{}/{}", a.ip, a.prefix))
        .collect();
    shown.sort();
    shown
}

fn wait_for(lab: &Lab, expected: &[&str]) {
    eventually(&format!("{expected:?}"), 10, || {
        (addresses(lab) == expected).then_some(())
    });
}

fn routes(lab: &Lab) -> Vec<String> {
    let routes = lab.machine.route().routes().unwrap();
    let ours = routes.iter().filter(|r| r.protocol == protocol::STATIC);
    let mut shown: Vec<String> = ours
        .map(|r| {
            format!(
                "{}/{} via {} {}",
                r.destination,
                r.prefix,
                r.gateway.unwrap(),
                r.metric.unwrap()
            )
        })
        .collect();
    shown.sort();
    shown
}

#[test]
fn privileged_a_described_link_has_what_the_document_says() {
    let Some(mut lab) = Lab::new() else { return };
    configure(
        &lab,
        &json!({ "lan": lan(), "gone": { "match": { "mac": "02:00:00:00:00:99" } } }),
    );
    lab.start_daemon();
    wait_for(&lab, &["10.44.0.9/24", "fd44::9/64"]);
    let metric = 100 + lab.machine.route().index_of("eth0").unwrap();
    let expected = [
        format!("0.0.0.0/0 via 10.44.0.1 {metric}"),
        "198.51.100.0/24 via 10.44.0.1 7".into(),
        format!("2001:db8:1::/48 via fd44::1 {metric}"),
        format!("203.0.113.0/24 via 192.0.2.1 {metric}"),
    ];
    eventually("routes", 10, || (routes(&lab) == expected).then_some(()));
    let eth0 = lab.machine.route().link("eth0").unwrap().unwrap();
    assert_eq!(
        (eth0.mtu, eth0.mac.unwrap().to_string().as_str()),
        (1300, "02:00:00:00:00:77")
    );
    let status = eventually("a status", 10, || {
        let status = lab.status();
        (status["links"][0]["addresses"].as_array()?.len() >= 2).then_some(status)
    });
    assert_eq!(status["dns"], json!(["192.0.2.53:53", "10.44.0.1:53"]));
    assert_eq!(status["search"], json!(["example.test"]));
    assert_eq!(status["links"][0]["described"], "lan");
    assert_eq!(status["links"][0]["problems"], json!([]), "{status:#}");
    let absent = &status["absent"]["gone"];
    assert_eq!(absent, "there is no device with the hardware address 02:00:00:00:00:99");
    // The way out works.
    assert!(lab.router.inside(|| std::net::UdpSocket::bind("10.44.0.1:9").is_ok()));
}

#[test]
fn privileged_a_restart_changes_nothing_and_what_is_taken_away_comes_back() {
    let Some(mut lab) = Lab::new() else { return };
    configure(&lab, &json!({ "lan": lan() }));
    lab.start_daemon();
    wait_for(&lab, &["10.44.0.9/24", "fd44::9/64"]);
    eventually("routes", 10, || (routes(&lab).len() == 4).then_some(()));
    lab.stop_daemon();
    let events = keelson_netlink::EventSocket::open_in(std::os::fd::AsFd::as_fd(&lab.machine.0)).unwrap();
    std::fs::remove_file(lab.path("status.json")).unwrap();
    lab.start_daemon();
    eventually("a status", 10, || {
        lab.status()["links"][0]["described"].as_str().map(drop)
    });
    let gone = events.read().unwrap();
    let gone: Vec<_> = gone
        .iter()
        .filter(|event| {
            use keelson_netlink::Event::{AddressGone, LinkGone, RouteGone};
            matches!(event, AddressGone(_) | LinkGone(_) | RouteGone(_))
        })
        .collect();
    assert!(gone.is_empty(), "a restart takes nothing away: {gone:?}");

    let mut route = lab.machine.route();
    let eth0 = route.index_of("eth0").unwrap();
    route
        .delete_address(&Address::new(eth0, std::net::Ipv4Addr::new(10, 44, 0, 9), 24))
        .unwrap();
    lab.machine.set_up("eth0", false);
    wait_for(&lab, &["10.44.0.9/24", "fd44::9/64"]);
    eventually("routes", 10, || (routes(&lab).len() == 4).then_some(()));
}

#[test]
fn privileged_another_document_takes_effect_at_once() {
    let Some(mut lab) = Lab::new() else { return };
    let Some(()) = lab.start_router(&[]) else { return };
    configure(&lab, &json!({ "lan": lan() }));
    lab.start_daemon();
    wait_for(&lab, &["10.44.0.9/24", "fd44::9/64"]);
    configure(
        &lab,
        &json!({ "eth0": { "addresses": ["10.44.0.10/24"], "accept-ra": false } }),
    );
    wait_for(&lab, &["10.44.0.10/24"]);
    assert_eq!(routes(&lab), Vec::<String>::new());

    // Both, and the lease's routes with the document's metric.
    let both = json!({ "eth0": { "addresses": ["10.44.0.10/24"], "dhcp4": true, "metric": 5, "accept-ra": false } });
    configure(&lab, &both);
    let leased = lab.leased();
    eventually("both addresses", 10, || {
        let addresses = addresses(&lab);
        (addresses.contains(&leased) && addresses.contains(&"10.44.0.10/24".to_owned())).then_some(())
    });
    let leased_route = |lab: &Lab| {
        let routes = lab.machine.route().routes().unwrap();
        routes
            .into_iter()
            .find(|r| r.is_default() && r.protocol == protocol::DHCP)
    };
    assert_eq!(leased_route(&lab).unwrap().metric, Some(5));

    // A document that does not speak of the device leaves it without anything.
    configure(&lab, &json!({ "other": {} }));
    wait_for(&lab, &[]);
    assert!(!lab.machine.route().link("eth0").unwrap().unwrap().up);
    eventually("no link in the status", 10, || {
        (lab.status()["links"] == json!([])).then_some(())
    });
}

#[test]
fn privileged_a_device_may_come_later_and_under_another_name() {
    let Some(mut lab) = Lab::new() else { return };
    configure(
        &lab,
        &json!({ "late": { "match": { "mac": "02:00:00:00:00:55" }, "addresses": ["10.55.0.1/24"] } }),
    );
    lab.start_daemon();
    eventually("its absence in words", 10, || {
        lab.status()["absent"]["late"].as_str().map(drop)
    });
    let mut route = lab.machine.route();
    let veth = keelson_netlink::NewLink::Veth {
        peer: "veth9",
        peer_namespace: None,
    };
    let late = route.create_link("lan7", &veth).unwrap();
    let mac = LinkChange {
        mac: Some(keelson_netlink::link::Mac([2, 0, 0, 0, 0, 0x55])),
        ..LinkChange::default()
    };
    route.change_link(late, &mac).unwrap();
    let given = |lab: &Lab| {
        let addresses = lab.machine.route().addresses().unwrap();
        addresses
            .iter()
            .any(|a| a.link == late && a.ip.to_string() == "10.55.0.1")
    };
    eventually("the address", 10, || given(&lab).then_some(()));
    eventually("no absence", 10, || (lab.status()["absent"] == json!({})).then_some(()));
}
