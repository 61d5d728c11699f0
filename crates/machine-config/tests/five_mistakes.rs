//! Mistakes of every kind planted into documents of the network's formats and into metadata, up to five at once: each is
//! named with its place in one run. The native document and cloud-config have tests of their own for this.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use keelson_machine_config::network_config::{NetworkFormat, validate};
use keelson_machine_config::{MetaData, Severity};
use proptest::prelude::*;

/// A line of a document that is right, and what it becomes.
type Mistake = (&'static str, &'static str);

/// The lines at which something wrong is said.
type Reader = fn(&str) -> Vec<usize>;

fn of_network(text: &str, format: NetworkFormat) -> Vec<usize> {
    let report = validate("t", text.as_bytes(), format).report;
    let errors = report
        .diagnostics
        .iter()
        .filter(|found| found.severity == Severity::Error);
    errors.map(|error| error.place.line).collect()
}

fn cloud_init(text: &str) -> Vec<usize> {
    of_network(text, NetworkFormat::CloudInit)
}

fn openstack(text: &str) -> Vec<usize> {
    of_network(text, NetworkFormat::OpenStack)
}

fn meta_data(text: &str) -> Vec<usize> {
    let notes = MetaData::parse(text.as_bytes()).notes;
    let line = |note: &String| note.strip_prefix("meta-data:")?.split(':').next()?.parse().ok();
    notes.iter().filter_map(line).collect()
}

const VERSION_1: (&str, Reader, &[Mistake]) = (
    include_str!("network-config/v1-everything.yaml"),
    cloud_init,
    &[
        (
            "    mac_address: 52:54:00:12:34:56",
            "    mac_adress: 52:54:00:12:34:56",
        ),
        ("    mtu: 1500", "    mtu: big"),
        ("        address: 192.0.2.10", "        address: 192.0.2.300"),
        ("        metric: 20", "        metric: [20"),
        ("        dns_search: example.org", "        dns_search example.org"),
        ("            gateway: 192.0.2.7", "            gateway: \"192.0.2.7"),
        ("      bond-mode: active-backup", "      bond-mode: active-backupp"),
        ("    vlan_id: 7", "    vlan_id: 7000"),
        ("    search: [example.net]", "    search: [example.net"),
        ("  - {type: physical, name: eth3}", "  - {type: fysical, name: eth3}"),
    ],
);

const VERSION_2: (&str, Reader, &[Mistake]) = (
    include_str!("network-config/v2-everything.yaml"),
    cloud_init,
    &[
        ("      set-name: lan0", "      set-nam: lan0"),
        ("        route-metric: 100", "        route-metric: many"),
        ("      accept-ra: true", "      accept-ra: perhaps"),
        ("        - 192.0.2.10/24", "        - 192.0.2.10/240"),
        ("      gateway4: 192.0.2.1", "      gateway4: 2001:db8::1"),
        ("          via: 192.0.2.7", "          via 192.0.2.7"),
        (
            "        search: [Example.ORG., lan]",
            "        search: [Example.ORG., lan",
        ),
        ("        lacp-rate: fast", "        lacp-rate: quick"),
        ("        min-links: 1", "        min-links: \"1"),
        ("      addresses: [10.7.0.2/24]", "      addresses: [10.7.0.2/x]"),
    ],
);

const NETWORK_DATA: (&str, Reader, &[Mistake]) = (
    "{\n\
     \"links\": [\n\
     {\"id\": \"a\", \"type\": \"phy\",\n\
     \"mtu\": 1450,\n\
     \"ethernet_mac_address\": \"fa:16:3e:ed:9a:59\"},\n\
     {\"id\": \"b\", \"type\": \"phy\",\n\
     \"ethernet_mac_address\": \"fa:16:3e:ed:9a:60\"}\n\
     ],\n\
     \"networks\": [\n\
     {\"link\": \"a\", \"type\": \"ipv4\",\n\
     \"ip_address\": \"192.0.2.10\",\n\
     \"netmask\": \"255.255.255.0\",\n\
     \"gateway\": \"192.0.2.1\"},\n\
     {\"link\": \"b\",\n\
     \"type\": \"ipv4_dhcp\"}\n\
     ],\n\
     \"services\": [{\"type\": \"dns\",\n\
     \"address\": \"192.0.2.53\"}]\n\
     }\n",
    openstack,
    &[
        ("\"mtu\": 1450,", "\"mtuu\": 1450,"),
        (
            "\"ethernet_mac_address\": \"fa:16:3e:ed:9a:59\"},",
            "\"ethernet_mac_address\": \"fa:16:3e\"},",
        ),
        (
            "\"ethernet_mac_address\": \"fa:16:3e:ed:9a:60\"}",
            "\"ethernet_mac_address\": \"none\"}",
        ),
        ("\"ip_address\": \"192.0.2.10\",", "\"ip_address\": \"192.0.2.300\","),
        ("\"gateway\": \"192.0.2.1\"},", "\"gateway\": \"gate\"},"),
        ("\"type\": \"ipv4_dhcp\"}", "\"type\": \"ipx\"}"),
        ("\"address\": \"192.0.2.53\"}]", "\"address\": \"dns.example\"}]"),
    ],
);

const META_DATA: (&str, Reader, &[Mistake]) = (
    "instance-id: i-1\n\
     local-hostname: web-1\n\
     region: here\n\
     placement:\n\
     \x20 zone: a\n\
     public-keys:\n\
     \x20 - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAzKfjUkBvcDtpZDPDM4dFT+PX8QgvTzKacsDX322N2 a\n\
     \x20 - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAzKfjUkBvcDtpZDPDM4dFT+PX8QgvTzKacsDX322N2 b\n",
    meta_data,
    &[
        ("instance-id: i-1", "instance-id: [i-1]"),
        ("local-hostname: web-1", "local-hostname: web_1"),
        ("region: here", "region here"),
        ("  zone: a", "  zone: \"a"),
        (
            "  - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAzKfjUkBvcDtpZDPDM4dFT+PX8QgvTzKacsDX322N2 a",
            "  - ssh-ed25519 AAAA a",
        ),
        (
            "  - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAzKfjUkBvcDtpZDPDM4dFT+PX8QgvTzKacsDX322N2 b",
            "  - my key",
        ),
    ],
);

const FORMATS: [(&str, Reader, &[Mistake]); 4] = [VERSION_1, VERSION_2, NETWORK_DATA, META_DATA];

/// The document with some of its mistakes, and the lines they stand in.
fn plant(document: &str, mistakes: &[&Mistake]) -> (String, Vec<usize>) {
    let mut lines: Vec<&str> = document.lines().collect();
    let mut planted = Vec::new();
    for (right, wrong) in mistakes {
        let at = lines.iter().position(|line| line == right);
        let at = at.unwrap_or_else(|| panic!("{right:?} is in no line"));
        lines[at] = wrong;
        planted.push(at + 1);
    }
    (lines.join("\n") + "\n", planted)
}

/// The planted lines at which nothing is said, within a line.
fn missed(text: &str, read: Reader, planted: &[usize]) -> Vec<usize> {
    let said = read(text);
    let near = |line: &&usize| !said.iter().any(|said| said.abs_diff(**line) <= 1);
    planted.iter().filter(near).copied().collect()
}

#[test]
fn every_mistake_alone_is_named_at_its_place() {
    for (document, read, mistakes) in FORMATS {
        assert!(read(document).is_empty(), "{document}");
        for mistake in mistakes {
            let (text, planted) = plant(document, &[mistake]);
            assert!(
                missed(&text, read, &planted).is_empty(),
                "{mistake:?}: {:?}",
                read(&text)
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn five_mistakes_are_named_in_one_run(choice in prop::sample::subsequence((0..10).collect::<Vec<usize>>(), 5)) {
        for (document, read, mistakes) in FORMATS {
            let chosen: Vec<&Mistake> = choice.iter().filter_map(|index| mistakes.get(*index)).collect();
            let (text, planted) = plant(document, &chosen);
            prop_assert!(missed(&text, read, &planted).is_empty(), "{}\n{:?}", text, read(&text));
        }
    }
}
