//! Network configurations, judged by a neighbour on the wire.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use keelson_os_build::qemu::Disk;
use keelson_qemu_tests::config_drive::config_drive;
use keelson_qemu_tests::registry::seed_with_network;
use keelson_qemu_tests::ssh::{Client, Keys, reachable};
use keelson_qemu_tests::wire::{Frame, Neighbour, gateway_mac};
use keelson_qemu_tests::{DiskFile, Environment, Guest, Lab, journal};
use serde_json::{Value, json};

/// Two cards become a bond with static addresses, a route, a name server, a size of packets and a VLAN; the card to the
/// outside has a static address as well, and one link is described that is not there.
const VERSION_2: &str = "network:
  version: 2
  ethernets:
    uplink:
      match: {macaddress: '52:54:00:12:34:56'}
      addresses: [10.0.2.15/24]
      gateway4: 10.0.2.2
      accept-ra: false
    left: {match: {macaddress: '52:54:00:00:00:01'}}
    right: {match: {macaddress: '52:54:00:00:00:02'}}
    gone: {match: {macaddress: '52:54:00:00:00:99'}, dhcp4: true}
  bonds:
    pair:
      interfaces: [left, right]
      parameters: {mode: active-backup, mii-monitor-interval: 100}
      mtu: 1400
      addresses: [10.9.0.2/24, '2001:db8:9::2/64']
      routes: [{to: 198.51.100.0/24, via: 10.9.0.7}]
      nameservers: {addresses: [10.9.0.53]}
  vlans:
    office: {id: 7, link: pair, mtu: 1300, addresses: [10.7.0.2/24]}
";

/// The same, but for the link that is not there.
const VERSION_1: &str = "version: 1
config:
  - type: physical
    name: uplink
    mac_address: '52:54:00:12:34:56'
    accept-ra: false
    subnets: [{type: static, address: 10.0.2.15/24, gateway: 10.0.2.2}]
  - {type: physical, name: left, mac_address: '52:54:00:00:00:01'}
  - {type: physical, name: right, mac_address: '52:54:00:00:00:02'}
  - type: bond
    name: pair
    bond_interfaces: [left, right]
    params: {bond-mode: active-backup, bond-miimon: 100}
    mtu: 1400
    subnets:
      - type: static
        address: 10.9.0.2
        netmask: 255.255.255.0
        routes: [{network: 198.51.100.0, netmask: 255.255.255.0, gateway: 10.9.0.7}]
      - {type: static6, address: '2001:db8:9::2/64'}
  - type: vlan
    name: office
    vlan_link: pair
    vlan_id: 7
    mtu: 1300
    subnets: [{type: static, address: 10.7.0.2/24}]
  - {type: nameserver, address: [10.9.0.53]}
";

/// The same as a cloud writes it.
const OPENSTACK: &str = r#"{
  "links": [
    {"id": "uplink", "type": "phy", "ethernet_mac_address": "52:54:00:12:34:56"},
    {"id": "left", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:01"},
    {"id": "right", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:02"},
    {"id": "pair", "type": "bond", "bond_links": ["left", "right"], "bond_mode": "active-backup",
     "bond_miimon": 100, "mtu": 1400},
    {"id": "office", "type": "vlan", "vlan_link": "pair", "vlan_id": 7, "mtu": 1300}
  ],
  "networks": [
    {"id": "n0", "link": "uplink", "type": "ipv4", "ip_address": "10.0.2.15", "netmask": "255.255.255.0",
     "gateway": "10.0.2.2"},
    {"id": "n1", "link": "pair", "type": "ipv4", "ip_address": "10.9.0.2", "netmask": "255.255.255.0",
     "routes": [{"network": "198.51.100.0", "netmask": "255.255.255.0", "gateway": "10.9.0.7"}]},
    {"id": "n2", "link": "pair", "type": "ipv6", "ip_address": "2001:db8:9::2", "netmask": "64"},
    {"id": "n3", "link": "office", "type": "ipv4", "ip_address": "10.7.0.2", "netmask": "255.255.255.0"}
  ],
  "services": [{"type": "dns", "address": "10.9.0.53"}]
}"#;

/// Links by the name they are described by, how they were made, their addresses and their size of packets.
const LINKS: [(&str, Option<&str>, &[&str], u64); 3] = [
    ("uplink", None, &["10.0.2.15/24"], 1500),
    ("pair", Some("bond"), &["10.9.0.2/24", "2001:db8:9::2/64"], 1400),
    ("office", Some("vlan"), &["10.7.0.2/24"], 1300),
];

const BOND: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const VLAN: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 2);

/// A machine with three cards, a document with keys, and one of the configurations above.
struct Wired {
    guest: Guest,
    client: Client,
    neighbour: Neighbour,
}

impl Wired {
    /// Boots it; `volume` writes the document with the configuration of this name.
    fn boot(
        lab: &Lab,
        name: &str,
        disk: &DiskFile,
        volume: impl FnOnce(&Path, &str) -> Result<PathBuf>,
    ) -> Result<Wired> {
        let keys = Keys::make(&lab.directory().join(name))?;
        let document = format!("schema = 1\n[system]\nhostname = \"wired\"\n{}", keys.section()?);
        let volume = volume(lab.directory(), &document)?;
        let neighbour = Neighbour::new(2)?;
        let wires = neighbour.wires()?;
        let (guest, client) = reachable(lab, name, disk, &keys, |spec| {
            spec.disks.push(Disk::read_only(&volume, "seed"));
            spec.wires = wires;
        })?;
        Ok(Wired {
            guest,
            client,
            neighbour,
        })
    }

    /// Links, addresses and sizes as the machine tells them; addresses, VLAN, route and name server as the neighbour sees
    /// them. Gives where the bond answered.
    fn is_as_written(&self) -> Result<Frame> {
        let status = self.client.ssh("core", "core", &["status", "--json"])?;
        let status: Value = serde_json::from_str(&status.output).with_context(|| format!("{status:?}"))?;
        links_are_as_written(&status["network"]).with_context(|| format!("{:#}", status["network"]))?;

        self.neighbour.datagram_to(Ipv4Addr::new(10, 9, 0, 53), 53)?;
        let plain = self.neighbour.find(None, BOND)?;
        self.neighbour.ping(&plain, Ipv4Addr::new(10, 9, 0, 1), BOND)?;
        let tagged = self.neighbour.find(Some(7), VLAN)?;
        self.neighbour.ping(&tagged, Ipv4Addr::new(10, 7, 0, 1), VLAN)?;
        // The way back to a stranger is the route of the document.
        let echo = self.neighbour.ping(&plain, Ipv4Addr::new(198, 51, 100, 9), BOND)?;
        let gateway = gateway_mac(Ipv4Addr::new(10, 9, 0, 7));
        ensure!(echo.to == gateway, "the answer went to {:02x?}", echo.to);
        Ok(plain)
    }
}

/// Every address of the machine but those that the kernel gives by itself is a written one.
fn links_are_as_written(network: &Value) -> Result<()> {
    let links = network["links"].as_array().context("links")?;
    for (described, kind, addresses, mtu) in LINKS {
        let link = links.iter().find(|link| link["described"] == described);
        let link = link.with_context(|| format!("no link is described as {described}"))?;
        ensure!(link["kind"].as_str() == kind, "{described} is a {}", link["kind"]);
        ensure!(
            link["mtu"].as_u64() == Some(mtu),
            "{described} has packets of {}",
            link["mtu"]
        );
        let found = link["addresses"].as_array().context("addresses")?;
        let found: Vec<&str> = found.iter().filter_map(Value::as_str).collect();
        let given: Vec<&str> = found
            .iter()
            .copied()
            .filter(|address| !address.starts_with("fe80:"))
            .collect();
        ensure!(given == addresses, "{described} has {found:?}");
    }
    ensure!(network["dns"] == json!(["10.9.0.53:53"]), "name servers");
    Ok(())
}

pub fn bond_and_vlan(environment: &Environment) -> Result<()> {
    Lab::run(environment, "network", |lab| {
        let disk = lab.disk("system")?;
        let mut wired = Wired::boot(lab, "guest", &disk, |folder, document| {
            seed_with_network(folder, "network", document, VERSION_2)
        })?;
        let plain = wired.is_as_written()?;

        // A cut cable moves the bond, and what stands on it, to the other card.
        let cut = format!("wire{}", plain.card);
        let link = json!({ "name": cut, "up": false });
        wired.guest.machine.query("set_link", link)?;
        let other = wired.neighbour.find(Some(7), VLAN)?;
        ensure!(
            other.card != plain.card,
            "the answer still comes by card {}",
            plain.card
        );
        wired.neighbour.ping(&other, Ipv4Addr::new(10, 7, 0, 1), VLAN)?;

        let said = "netd: link gone: there is no device with the hardware address 52:54:00:00:00:99";
        wired.guest.wait_for(0, said)?;
        wired.guest.power_off()?;
        let leases = said_in_journal(lab, &disk, "lease in force")?;
        ensure!(!leases, "a link asked for an address although none is to");
        Ok(())
    })
}

/// Version 1 beside a NoCloud document and a cloud's own form on a config drive say what version 2 says.
pub fn other_formats(environment: &Environment) -> Result<()> {
    Lab::run(environment, "network-formats", |lab| {
        let disk = lab.disk("version-1")?;
        let wired = Wired::boot(lab, "version-1", &disk, |folder, document| {
            seed_with_network(folder, "version-1", document, VERSION_1)
        })?;
        wired.is_as_written()?;
        wired.guest.power_off()?;

        let disk = lab.disk("openstack")?;
        let wired = Wired::boot(lab, "openstack", &disk, |folder, document| {
            config_drive(folder, "openstack", document, Some(OPENSTACK))
        })?;
        wired.is_as_written()?;
        wired.guest.power_off()?;
        Ok(())
    })
}

pub fn refused(environment: &Environment) -> Result<()> {
    Lab::run(environment, "network-refused", |lab| {
        let disk = lab.disk("system")?;
        let wrong = VERSION_2.replace("interfaces: [left, right]", "interfaces: [left, wright]");
        let volume = seed_with_network(lab.directory(), "network", "schema = 1\n", &wrong)?;
        let guest = lab.boot("guest", &disk, |spec| spec.disks.push(Disk::read_only(&volume, "seed")))?;
        let up = guest.wait_up(0)?;
        let console = guest.machine.console().text();
        for text in [
            "refused, nothing of it is applied",
            "network-config",
            "network-config:14:26",
            "did you mean \"right\"",
        ] {
            ensure!(console.contains(text), "the console does not say {text:?}");
        }
        guest.wait_for(up.end, "committed")?;
        guest.power_off()?;
        ensure!(
            disk.state_file("/config/current/machine.json").is_err(),
            "something was applied"
        );
        ensure!(said_in_journal(lab, &disk, "lease in force")?, "no address by DHCP");
        Ok(())
    })
}

fn said_in_journal(lab: &Lab, disk: &DiskFile, text: &str) -> Result<bool> {
    let entries = journal::entries(disk, lab.directory())?;
    let mut values = entries.iter().flat_map(|entry| entry.fields.iter());
    Ok(values.any(|(_, value)| String::from_utf8_lossy(value).contains(text)))
}
