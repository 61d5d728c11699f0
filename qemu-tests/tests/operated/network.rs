//! Network configurations, judged by a neighbour on the wire.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use keelson_os_build::qemu::Disk;
use keelson_qemu_tests::registry::seed_with_network;
use keelson_qemu_tests::wire::{Neighbour, gateway_mac};
use keelson_qemu_tests::{Environment, Lab, journal};
use serde_json::json;

const DOCUMENT: &str = "schema = 1\n[system]\nhostname = \"wired\"\n";

/// Two cards become a bond with a static address, a route, a name server and a VLAN; the card to the outside has a
/// static address as well, and one link is described that is not there.
const NETWORK: &str = "network:
  version: 2
  ethernets:
    uplink:
      match: {macaddress: '52:54:00:12:34:56'}
      addresses: [10.0.2.15/24]
      gateway4: 10.0.2.2
    left: {match: {macaddress: '52:54:00:00:00:01'}}
    right: {match: {macaddress: '52:54:00:00:00:02'}}
    gone: {match: {macaddress: '52:54:00:00:00:99'}, dhcp4: true}
  bonds:
    pair:
      interfaces: [left, right]
      parameters: {mode: active-backup, mii-monitor-interval: 100}
      mtu: 1400
      addresses: [10.9.0.2/24]
      routes: [{to: 198.51.100.0/24, via: 10.9.0.7}]
      nameservers: {addresses: [10.9.0.53]}
  vlans:
    office: {id: 7, link: pair, addresses: [10.7.0.2/24]}
";

const BOND: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const VLAN: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 2);

pub fn bond_and_vlan(environment: &Environment) -> Result<()> {
    Lab::run(environment, "network", |lab| {
        let disk = lab.disk("system")?;
        let volume = seed_with_network(lab.directory(), "network", DOCUMENT, NETWORK)?;
        let neighbour = Neighbour::new(2)?;
        let wires = neighbour.wires()?;
        let mut guest = lab.boot("guest", &disk, |spec| {
            spec.disks.push(Disk::read_only(&volume, "seed"));
            spec.wires = wires;
        })?;
        let up = guest.wait_up(0)?;

        neighbour.datagram_to(Ipv4Addr::new(10, 9, 0, 53), 53)?;
        let plain = neighbour.find(None, BOND)?;
        neighbour.ping(&plain, Ipv4Addr::new(10, 9, 0, 1), BOND)?;
        let tagged = neighbour.find(Some(7), VLAN)?;
        neighbour.ping(&tagged, Ipv4Addr::new(10, 7, 0, 1), VLAN)?;
        // The way back to a stranger is the route of the document.
        let echo = neighbour.ping(&plain, Ipv4Addr::new(198, 51, 100, 9), BOND)?;
        let gateway = gateway_mac(Ipv4Addr::new(10, 9, 0, 7));
        ensure!(echo.to == gateway, "the answer went to {:02x?}", echo.to);

        // A cut cable moves the bond, and what stands on it, to the other card.
        let cut = format!("wire{}", plain.card);
        guest.machine.query("set_link", json!({ "name": cut, "up": false }))?;
        let other = neighbour.find(Some(7), VLAN)?;
        ensure!(
            other.card != plain.card,
            "the answer still comes by card {}",
            plain.card
        );
        neighbour.ping(&other, Ipv4Addr::new(10, 7, 0, 1), VLAN)?;

        let said = "netd: link gone: there is no device with the hardware address 52:54:00:00:00:99";
        guest.wait_for(0, said)?;
        guest.wait_for(up.end, "committed")?;
        guest.power_off()?;
        let leases = said_in_journal(lab, &disk, "lease in force")?;
        ensure!(!leases, "a link asked for an address although none is to");
        Ok(())
    })
}

pub fn refused(environment: &Environment) -> Result<()> {
    Lab::run(environment, "network-refused", |lab| {
        let disk = lab.disk("system")?;
        let wrong = NETWORK.replace("interfaces: [left, right]", "interfaces: [left, wright]");
        let volume = seed_with_network(lab.directory(), "network", DOCUMENT, &wrong)?;
        let guest = lab.boot("guest", &disk, |spec| spec.disks.push(Disk::read_only(&volume, "seed")))?;
        let up = guest.wait_up(0)?;
        let console = guest.machine.console().text();
        for text in [
            "refused, nothing of it is applied",
            "network-config",
            "network-config:13:26",
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

fn said_in_journal(lab: &Lab, disk: &keelson_qemu_tests::DiskFile, text: &str) -> Result<bool> {
    let entries = journal::entries(disk, lab.directory())?;
    let mut values = entries.iter().flat_map(|entry| entry.fields.iter());
    Ok(values.any(|(_, value)| String::from_utf8_lossy(value).contains(text)))
}
