//! Which device is which described link. Pure.

use super::choose::{decide_managed, decide_ours};
use keelson_machine_config::model::network::{Link as Described, Network};
use keelson_machine_config::value::Mac;
use keelson_netlink::Link;
use std::collections::{BTreeMap, BTreeSet};

/// A link and what only sysfs knows about it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    /// As the kernel describes it.
    pub link: Link,
    /// The kernel's driver; None for virtual links.
    pub driver: Option<String>,
}

/// What a link is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role<'a> {
    /// No document speaks of networks: DHCP and router advertisements.
    Automatic,
    /// This link of the document.
    Described(&'a str, &'a Described),
    /// This link of the document, which is a member of a bond.
    Member(&'a str, &'a Described),
    /// The document speaks of networks and not of this one.
    Unused,
}

/// Who is what.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assignment<'a> {
    /// By index; links of engines are not in it.
    pub roles: BTreeMap<u32, Role<'a>>,
    /// The index of each described link that is there.
    pub found: BTreeMap<&'a str, u32>,
    /// Described links that are not there, and why.
    pub missing: BTreeMap<&'a str, String>,
    /// Devices that are left out, and why.
    pub left_out: BTreeMap<u32, String>,
}

/// Assigns every link of the machine.
pub fn assign<'a>(config: Option<&'a Network>, devices: &[Device]) -> Assignment<'a> {
    let mut out = Assignment::default();
    let Some(config) = config else {
        let managed = devices.iter().filter(|device| decide_managed(&device.link));
        out.roles = managed.map(|device| (device.link.index, Role::Automatic)).collect();
        return out;
    };
    let members = members(config);
    let single = single(config, &members);
    for device in devices.iter().filter(|device| decide_ours(&device.link)) {
        let index = device.link.index;
        let role = match meant(config, device) {
            Some((name, link)) => match out.found.get(name) {
                Some(first) if single.contains(name) => {
                    let first = devices.iter().find(|device| device.link.index == *first);
                    let first = first.map_or("another device", |device| device.link.name.as_str());
                    let why = format!("it fits the link {name:?} as well, which {first} is already");
                    out.left_out.insert(index, why);
                    Role::Unused
                }
                _ => {
                    out.found.entry(name).or_insert(index);
                    if members.contains(name) {
                        Role::Member(name, link)
                    } else {
                        Role::Described(name, link)
                    }
                }
            },
            None => Role::Unused,
        };
        out.roles.insert(index, role);
    }
    for (name, link) in &config.links {
        if !out.found.contains_key(name.as_str()) {
            out.missing.insert(name.as_str(), why_missing(name.as_str(), link));
        }
    }
    out
}

/// Links that join a bond.
fn members(config: &Network) -> BTreeSet<&str> {
    let bonds = config.links.values().filter_map(|link| link.bond.as_ref());
    bonds
        .flat_map(|bond| bond.members.iter().map(|member| member.as_str()))
        .collect()
}

/// Links that can be only one device: those with addresses of their own, members, and what VLANs stand on.
fn single<'a>(config: &'a Network, members: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    let lower: BTreeSet<&str> = config
        .links
        .values()
        .filter_map(|link| link.vlan.as_ref())
        .map(|vlan| vlan.link.as_str())
        .collect();
    let single = |(name, link): (&'a str, &'a Described)| {
        let own = !link.addresses.is_empty() || !link.gateways.is_empty() || link.mac.is_some();
        (own || lower.contains(name) || members.contains(name)).then_some(name)
    };
    let links = config.links.iter().map(|(name, link)| (name.as_str(), link));
    links.filter_map(single).collect()
}

/// The described link that a device is: by hardware address first, then by exact name, then by any other condition.
fn meant<'a>(config: &'a Network, device: &Device) -> Option<(&'a str, &'a Described)> {
    let links = config.links.iter().map(|(name, link)| (name.as_str(), link));
    links
        .filter(|(name, link)| fits(name, link, device))
        .max_by_key(|(name, link)| (closeness(link), std::cmp::Reverse(*name)))
}

fn closeness(link: &Described) -> u8 {
    match (&link.matches.mac, &link.matches.name) {
        (Some(_), _) => 3,
        (None, None) if link.matches.driver.is_none() => 2,
        (None, Some(name)) if !name.is_glob() => 2,
        _ => 1,
    }
}

fn fits(name: &str, described: &Described, device: &Device) -> bool {
    let link = &device.link;
    match link.kind.as_deref() {
        Some("vlan") => described.vlan.is_some() && link.name == name,
        Some("bond") => described.bond.is_some() && link.name == name,
        _ => described.is_device() && conditions(name, described, device),
    }
}

fn conditions(name: &str, described: &Described, device: &Device) -> bool {
    let matches = &described.matches;
    if matches.is_empty() {
        return device.link.name == name;
    }
    let mac = device.link.permanent_mac.or(device.link.mac).map(|mac| Mac(mac.0));
    let mac_fits = matches.mac.is_none() || matches.mac == mac;
    let driver_fits = matches.driver.is_none() || matches.driver == device.driver;
    let name_fits = matches
        .name
        .as_ref()
        .is_none_or(|pattern| pattern.matches(&device.link.name));
    mac_fits && driver_fits && name_fits
}

fn why_missing(name: &str, link: &Described) -> String {
    if let Some(vlan) = &link.vlan {
        return format!("the link below it, {:?}, is not there", vlan.link.as_str());
    }
    if link.bond.is_some() {
        return "it could not be made".to_owned();
    }
    let matches = &link.matches;
    let conditions = [
        matches.mac.map(|mac| format!("the hardware address {mac}")),
        matches.driver.as_ref().map(|driver| format!("the driver {driver}")),
        matches.name.as_ref().map(|pattern| format!("the name {pattern}")),
    ];
    let conditions: Vec<String> = conditions.into_iter().flatten().collect();
    match conditions.is_empty() {
        true => format!("there is no device named {name}"),
        false => format!("there is no device with {}", conditions.join(" and ")),
    }
}

#[cfg(test)]
#[path = "assign_test.rs"]
pub(crate) mod tests;
