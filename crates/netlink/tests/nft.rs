//! The rule set the container engine needs, against the running kernel, judged by `nft` and by packets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use keelson_netlink::nft::{
    Batch, Chain, Data, DataType, Element, Entry, Family, Field, Hook, Nat, Policy, Reject, Rule, Set, Unit, Verdict,
    ct_state, ct_status, priority,
};
use keelson_netlink::{Address, LinkChange, NewLink, Route, netns};
use rustix::fd::AsFd;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use support::Namespace;

const TABLE: &str = "keelson";
const TCP: u8 = 6;
const PORT_KEY: [DataType; 2] = [DataType::Protocol, DataType::Port];
const PORT_FIELDS: [Field; 2] = [Field::Protocol, Field::PortDestination];

/// The table of runtime.md 4 for one bridge.
fn engine_table(bridge: &str) -> Batch {
    let mut batch = Batch::new(Family::Inet, TABLE);
    batch.destroy_table().add_table();
    batch.add_set(&Set::map("ports4", &PORT_KEY, &[DataType::Ipv4, DataType::Port]));
    batch.add_set(&Set::map("ports6", &PORT_KEY, &[DataType::Ipv6, DataType::Port]));
    batch.add_chain(&Chain::base("raw", "filter", Hook::Prerouting, priority::RAW));
    batch.add_chain(&Chain::base("prerouting", "nat", Hook::Prerouting, priority::DNAT));
    batch.add_chain(&Chain::base("output", "nat", Hook::Output, priority::DNAT));
    batch.add_chain(&Chain::base("postrouting", "nat", Hook::Postrouting, priority::SNAT));
    batch.add_chain(&Chain::base("forward", "filter", Hook::Forward, 0));
    let loopback: IpAddr = Ipv4Addr::new(127, 0, 0, 0).into();
    batch.add_rule(
        "raw",
        Rule::new()
            .differs(Field::InName, "lo")
            .family(Family::Ipv4)
            .in_network(Field::Ipv4Destination, loopback, 8)
            .drop(),
    );
    for chain in ["prerouting", "output"] {
        for (family, map) in [(Family::Ipv4, "ports4"), (Family::Ipv6, "ports6")] {
            batch.add_rule(
                chain,
                Rule::new()
                    .family(family)
                    .to_local()
                    .nat_map(Nat::Destination, family, &PORT_FIELDS, map, true),
            );
        }
    }
    let from_bridge = || Rule::new().equals(Field::InName, bridge);
    let to_bridge = || Rule::new().equals(Field::OutName, bridge);
    batch.add_rule("postrouting", to_bridge().from_local().masquerade());
    batch.add_rule(
        "postrouting",
        from_bridge()
            .equals(Field::OutName, bridge)
            .any_bits(Field::CtStatus, ct_status::DNAT)
            .masquerade(),
    );
    batch.add_rule(
        "postrouting",
        from_bridge().differs(Field::OutName, bridge).masquerade(),
    );
    batch.add_rule(
        "forward",
        to_bridge()
            .any_bits(Field::CtState, ct_state::ESTABLISHED | ct_state::RELATED)
            .accept(),
    );
    batch.add_rule(
        "forward",
        to_bridge().any_bits(Field::CtStatus, ct_status::DNAT).accept(),
    );
    batch.add_rule("forward", from_bridge().accept());
    batch.add_rule("forward", to_bridge().counter().drop().comment("unpublished port"));
    batch
}

fn port(host: u16, to: Ipv4Addr, container: u16) -> Element {
    Element::key(Data::concat([TCP.into(), host.into()])).value(Data::concat([to.into(), container.into()]))
}

#[test]
fn privileged_the_engine_table_reads_as_meant() {
    let Some(ns) = Namespace::new() else { return };
    let mut nft = ns.nft();
    if let Err(error) = nft.commit(&engine_table("br0")) {
        panic!("{error}");
    }
    // Twice: it replaces itself.
    nft.commit(&engine_table("br0")).unwrap();
    assert_eq!(nft.tables(Family::Inet).unwrap(), [TABLE]);
    let shown = ns.output("nft", &["list", "ruleset"]);
    if !shown.contains("table") {
        eprintln!("skipped: no nft to judge: {shown}");
        return;
    }
    for line in [
        "type inet_proto . inet_service : ipv4_addr . inet_service",
        "type inet_proto . inet_service : ipv6_addr . inet_service",
        "type nat hook prerouting priority dstnat; policy accept;",
        "type filter hook prerouting priority raw; policy accept;",
        "iifname != \"lo\" ip daddr 127.0.0.0/8 drop",
        "meta nfproto ipv4 fib daddr type local dnat ip to meta l4proto . th dport map @ports4",
        "meta nfproto ipv6 fib daddr type local dnat ip6 to meta l4proto . th dport map @ports6",
        "oifname \"br0\" fib saddr type local masquerade",
        "iifname \"br0\" oifname \"br0\" ct status dnat masquerade",
        "iifname \"br0\" oifname != \"br0\" masquerade",
        "oifname \"br0\" ct state established,related accept",
        "oifname \"br0\" counter packets 0 bytes 0 drop comment \"unpublished port\"",
    ] {
        assert!(shown.contains(line), "{line}\nnot in\n{shown}");
    }
}

#[test]
fn privileged_other_expressions_read_as_meant() {
    let Some(ns) = Namespace::new() else { return };
    let mut nft = ns.nft();
    let mut batch = Batch::new(Family::Inet, "t");
    batch.add_table();
    batch.add_chain(&Chain::base("in", "filter", Hook::Input, 0).policy(Policy::Drop));
    batch.add_chain(&Chain::regular("more"));
    batch.add_set(&Set {
        interval: true,
        ..Set::of("nets", &[DataType::Ipv4])
    });
    batch.add_set(&Set::verdicts("doors", &[DataType::Name]));
    let timeout = Some(Duration::from_secs(60));
    batch.add_set(&Set {
        timeout,
        dynamic: true,
        ..Set::of("seen", &[DataType::Ipv4])
    });
    let net = |last| Ipv4Addr::new(10, 0, last, 0);
    batch.add_elements("nets", &[Element::range(net(1), net(2))]);
    batch.add_elements("doors", &[Element::key("eth0").verdict(Verdict::Jump("more".into()))]);
    let rules = [
        Rule::new().between(Field::PortDestination, 1000u16, 2000u16).accept(),
        Rule::new().equals(Field::Protocol, TCP).reject(Reject::Reset),
        Rule::new().limit(10, Unit::Minute, 5).accept(),
        Rule::new()
            .family(Family::Ipv4)
            .in_set(&[Field::Ipv4Source], "nets")
            .accept(),
        Rule::new()
            .family(Family::Ipv4)
            .add_to_set(&[Field::Ipv4Source], "seen"),
        Rule::new().verdict_map(&[Field::InName], "doors"),
        Rule::new()
            .equals(Field::InName, Data::name_prefix("veth"))
            .set_mark(7)
            .jump("more"),
        Rule::new().equals(Field::Mark, 7u32).reject(Reject::Prohibited),
    ];
    for rule in rules {
        batch.add_rule("in", rule);
    }
    batch.insert_rule("in", Rule::new().equals(Field::InName, "lo").accept());
    nft.commit(&batch).unwrap_or_else(|error| panic!("{error}"));
    let shown = ns.output("nft", &["list", "ruleset"]);
    for line in [
        "type filter hook input priority filter; policy drop;",
        "elements = { 10.0.1.0/24 }",
        "elements = { \"eth0\" : jump more }",
        "th dport 1000-2000 accept",
        "reject with tcp reset",
        "limit rate 10/minute accept",
        "ip saddr @nets accept",
        "add @seen { ip saddr }",
        "iifname vmap @doors",
        "iifname \"veth*\" meta mark set 0x00000007 jump more",
        "meta mark 0x00000007 reject with icmpx admin-prohibited",
    ] {
        assert!(shown.contains(line), "{line}\nnot in\n{shown}");
    }
    let first = shown.lines().position(|line| line.contains("iifname \"lo\" accept"));
    let second = shown.lines().position(|line| line.contains("1000-2000"));
    assert!(first < second, "{shown}");
}

#[test]
fn privileged_bridge_family_isolates_ports() {
    let Some(ns) = Namespace::new() else { return };
    let mut batch = Batch::new(Family::Bridge, TABLE);
    batch.add_table();
    batch.add_chain(&Chain::base(
        "forward",
        "filter",
        Hook::Forward,
        priority::BRIDGE_FILTER,
    ));
    batch.add_rule("forward", Rule::new().equals(Field::InBridge, "br0").drop());
    if let Err(error) = ns.nft().commit(&batch) {
        eprintln!("skipped: bridge family: {error}");
        return;
    }
    let shown = ns.output("nft", &["list", "ruleset"]);
    assert!(shown.contains("meta ibrname \"br0\" drop"), "{shown}");
}

#[test]
fn privileged_a_refused_batch_changes_nothing_and_names_the_message() {
    let Some(ns) = Namespace::new() else { return };
    let mut nft = ns.nft();
    let mut batch = engine_table("br0");
    batch.add_rule("forward", Rule::new().jump("nowhere"));
    batch.add_rule("forward", Rule::new().accept());
    let error = nft.commit(&batch).unwrap_err();
    assert!(error.is_absent(), "{error}");
    assert!(error.to_string().contains("add rule to chain forward"), "{error}");
    assert!(nft.tables(Family::Inet).unwrap().is_empty());
}

#[test]
fn privileged_a_thousand_ports_come_and_go() {
    let Some(ns) = Namespace::new() else { return };
    let mut nft = ns.nft();
    nft.commit(&engine_table("br0")).unwrap();
    let to = Ipv4Addr::new(172, 17, 0, 2);
    let ports: Vec<_> = (1..=1003).map(|number| port(number, to, number)).collect();
    let mut add = Batch::new(Family::Inet, TABLE);
    add.add_elements("ports4", &ports);
    nft.commit(&add).unwrap();
    let elements = nft.elements(Family::Inet, TABLE, "ports4").unwrap();
    assert_eq!(elements.len(), 1003);
    assert!(elements.contains(&Entry {
        key: vec![6, 0, 0, 0, 0, 80, 0, 0],
        value: Some(vec![172, 17, 0, 2, 0, 80, 0, 0]),
    }));
    let mut remove = Batch::new(Family::Inet, TABLE);
    remove.delete_elements("ports4", &ports[..1000]);
    nft.commit(&remove).unwrap();
    let mut again = Batch::new(Family::Inet, TABLE);
    again.delete_elements("ports4", &ports[..1]);
    assert!(nft.commit(&again).unwrap_err().is_absent());
    let mut tolerant = Batch::new(Family::Inet, TABLE);
    tolerant.destroy_elements("ports4", &ports[..1]);
    nft.commit(&tolerant).unwrap();
    assert_eq!(nft.elements(Family::Inet, TABLE, "ports4").unwrap().len(), 3);
}

/// Host with a bridge at 172.30.0.1, a container at 172.30.0.2 behind it, a client outside at 10.30.0.2.
struct Machine {
    host: Namespace,
    container: Namespace,
    client: Namespace,
}

const BRIDGE: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 1);
const CONTAINER: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 2);
const HOST: Ipv4Addr = Ipv4Addr::new(10, 30, 0, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 30, 0, 2);

fn wire(host: &Namespace, name: &str, other: &Namespace) -> (u32, u32) {
    use keelson_netlink::link::Namespace as Where;
    let peer_namespace = Some(Where::Fd(other.0.as_fd()));
    let new = NewLink::Veth {
        peer: "eth0",
        peer_namespace,
    };
    let near = host.route().create_link(name, &new).unwrap();
    let far = other.route().index_of("eth0").unwrap();
    (near, far)
}

fn up(ns: &Namespace, link: u32, address: Option<Ipv4Addr>) {
    let mut route = ns.route();
    let change = LinkChange {
        up: Some(true),
        ..LinkChange::default()
    };
    route.change_link(link, &change).unwrap();
    route.change_link(1, &change).unwrap();
    if let Some(address) = address {
        route.add_address(&Address::new(link, address, 24)).unwrap();
    }
}

fn machine() -> Option<Machine> {
    let machine = Machine {
        host: Namespace::new()?,
        container: Namespace::new()?,
        client: Namespace::new()?,
    };
    let Machine {
        host,
        container,
        client,
    } = &machine;
    let bridge = host.route().create_link("br0", &NewLink::Bridge).unwrap();
    up(host, bridge, Some(BRIDGE));
    let (port, eth0) = wire(host, "port0", container);
    let change = LinkChange {
        master: Some(bridge),
        ..LinkChange::default()
    };
    host.route().change_link(port, &change).unwrap();
    up(host, port, None);
    up(container, eth0, Some(CONTAINER));
    container.route().add_route(&Route::default_via(BRIDGE.into())).unwrap();
    let (wan, eth0) = wire(host, "wan", client);
    up(host, wan, Some(HOST));
    up(client, eth0, Some(CLIENT));
    // A neighbour that tries to reach containers directly.
    let direct = Route {
        gateway: Some(HOST.into()),
        ..Route::to(Ipv4Addr::new(172, 30, 0, 0), 24)
    };
    client.route().add_route(&direct).unwrap();
    netns::run_in(host.0.as_fd(), || {
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        std::fs::write("/proc/sys/net/ipv4/conf/br0/route_localnet", "1").unwrap();
        // Where br_netfilter is built in, it would break the hairpin; the image does not have it.
        for family in ["iptables", "ip6tables"] {
            let _ = std::fs::write(format!("/proc/sys/net/bridge/bridge-nf-call-{family}"), "0");
        }
    })
    .unwrap();
    Some(machine)
}

/// Answers each connection inside `ns` with the address it came from.
fn serve(ns: &Namespace, port: u16) {
    let listener = netns::run_in(ns.0.as_fd(), || TcpListener::bind(("0.0.0.0", port)).unwrap()).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let from = stream.peer_addr().unwrap().ip();
            let _ = write!(stream, "{from}");
        }
    });
}

/// What the server at `to` says when asked from inside `ns`; None when nobody answers in time.
fn ask(ns: &Namespace, to: Ipv4Addr, port: u16) -> Option<String> {
    netns::run_in(ns.0.as_fd(), || {
        let to = SocketAddr::from((to, port));
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_millis(700)).ok()?;
        stream.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    })
    .unwrap()
}

#[test]
fn privileged_published_ports_answer_and_nothing_else_does() {
    let Some(machine) = machine() else { return };
    let Machine {
        host,
        container,
        client,
    } = &machine;
    let mut nft = host.nft();
    nft.commit(&engine_table("br0")).unwrap();
    serve(container, 80);
    serve(client, 81);
    let mut add = Batch::new(Family::Inet, TABLE);
    add.add_elements("ports4", &[port(8080, CONTAINER, 80)]);
    nft.commit(&add).unwrap();
    // From outside, with the client's own address.
    assert_eq!(ask(client, HOST, 8080), Some(CLIENT.to_string()));
    // From the host: its address, and localhost, which is masqueraded.
    assert_eq!(ask(host, HOST, 8080), Some(BRIDGE.to_string()));
    assert_eq!(ask(host, Ipv4Addr::LOCALHOST, 8080), Some(BRIDGE.to_string()));
    // Hairpin: the container through the published port of its own.
    assert_eq!(ask(container, HOST, 8080), Some(BRIDGE.to_string()));
    // Outgoing, under the host's address.
    assert_eq!(ask(container, CLIENT, 81), Some(HOST.to_string()));
    // Not published, and not directly.
    assert_eq!(ask(client, HOST, 80), None);
    assert_eq!(ask(client, CONTAINER, 80), None);
    let started = Instant::now();
    let mut remove = Batch::new(Family::Inet, TABLE);
    remove.delete_elements("ports4", &[port(8080, CONTAINER, 80)]);
    nft.commit(&remove).unwrap();
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(ask(client, HOST, 8080), None);
}

#[test]
fn privileged_containers_cannot_reach_the_hosts_loopback() {
    let Some(machine) = machine() else { return };
    let Machine { host, container, .. } = &machine;
    netns::run_in(host.0.as_fd(), || {
        let listener = TcpListener::bind("127.0.0.1:90").unwrap();
        std::thread::spawn(move || listener.incoming().count());
    })
    .unwrap();
    let victim = Ipv4Addr::new(127, 0, 0, 1);
    let local = Route {
        gateway: None,
        ..Route::to(victim, 32).on(container.route().index_of("eth0").unwrap())
    };
    // The container does what it can to send packets for 127.0.0.1 out of its interface.
    container.output("ip", &["route", "flush", "table", "local", "127.0.0.0/8"]);
    container.output("ip", &["addr", "flush", "dev", "lo"]);
    container
        .route()
        .add_route(&Route {
            gateway: Some(BRIDGE.into()),
            ..local
        })
        .unwrap();
    netns::run_in(container.0.as_fd(), || {
        std::fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1").unwrap();
    })
    .unwrap();
    let reaches = || {
        netns::run_in(container.0.as_fd(), || {
            let to = SocketAddr::from((victim, 90));
            TcpStream::connect_timeout(&to, Duration::from_millis(700)).is_ok()
        })
        .unwrap()
    };
    let open = reaches();
    host.nft().commit(&engine_table("br0")).unwrap();
    assert!(!reaches());
    assert!(
        open,
        "the attack must work without the rule, or this test shows nothing"
    );
}

#[test]
fn privileged_ipv6_ports_answer() {
    let Some(machine) = machine() else { return };
    let Machine {
        host,
        container,
        client,
    } = &machine;
    let address = |net: u16, last| Ipv6Addr::new(0xfd00, net, 0, 0, 0, 0, 0, last);
    for (ns, name, ip) in [
        (host, "br0", address(1, 1)),
        (container, "eth0", address(1, 2)),
        (host, "wan", address(2, 1)),
        (client, "eth0", address(2, 2)),
    ] {
        let mut route = ns.route();
        let link = route.index_of(name).unwrap();
        route.add_address(&Address::new(link, ip, 64)).unwrap();
    }
    container
        .route()
        .add_route(&Route::default_via(address(1, 1).into()))
        .unwrap();
    let listener = netns::run_in(container.0.as_fd(), || TcpListener::bind("[::]:80").unwrap()).unwrap();
    std::thread::spawn(move || listener.incoming().count());
    netns::run_in(host.0.as_fd(), || {
        std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
    })
    .unwrap();
    let mut batch = engine_table("br0");
    batch.add_elements(
        "ports6",
        &[Element::key(Data::concat([TCP.into(), 8080u16.into()]))
            .value(Data::concat([address(1, 2).into(), 80u16.into()]))],
    );
    host.nft().commit(&batch).unwrap();
    let to = SocketAddr::from((address(2, 1), 8080));
    let reached = netns::run_in(client.0.as_fd(), || {
        let deadline = Instant::now() + Duration::from_secs(5);
        // Duplicate detection of the link-local addresses delays the first packets.
        while Instant::now() < deadline {
            if TcpStream::connect_timeout(&to, Duration::from_millis(500)).is_ok() {
                return true;
            }
        }
        false
    })
    .unwrap();
    assert!(reached);
}
