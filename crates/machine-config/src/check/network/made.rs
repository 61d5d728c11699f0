//! Links that are made: VLANs and bonds, and what they stand on.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Scene;
use crate::check::sink::{Finding, Findings};
use crate::diagnostic::Code;
use crate::model::network::{Bond, BondMode, HashPolicy, LacpRate, Link, Vlan};
use crate::value::LINK_NAME_MAX;

pub(super) fn check(scene: Scene<'_>, name: &str, link: &Link, out: &mut Findings) {
    if link.is_device() {
        return;
    }
    if link.vlan.is_some() && link.bond.is_some() {
        let message = "a link is a VLAN or a bond, not both";
        out.push(scene.contradiction(name, "bond", message, "make two links of it"));
    }
    if !link.matches.is_empty() {
        let message = "a link that is made has no device to match";
        out.push(scene.contradiction(name, "match", message, "leave `match` out"));
    }
    if name.len() > LINK_NAME_MAX {
        let message = format!("the kernel takes names of at most {LINK_NAME_MAX} bytes");
        out.push(scene.finding(Code::BadName, name, "", message).cure("shorten it"));
    }
    if let Some(vlan) = &link.vlan {
        check_vlan(scene, name, link, vlan, out);
    }
    if let Some(bond) = &link.bond {
        check_members(scene, name, link, bond, out);
        check_options(scene, name, bond, out);
    }
}

fn check_vlan(scene: Scene<'_>, name: &str, link: &Link, vlan: &Vlan, out: &mut Findings) {
    let lower = vlan.link.as_str();
    if !scene.known(lower, name, "vlan.link", out) {
        return;
    }
    let lower_mtu = scene.link(lower).and_then(|link| link.mtu);
    if let (Some(mtu), Some(below)) = (link.mtu, lower_mtu)
        && mtu > below
    {
        let message = format!("the link below carries packets of {below} bytes, less than {mtu}");
        let finding = scene.contradiction(
            name,
            "mtu",
            message,
            "give a smaller one, or a larger one to the link below",
        );
        out.push(finding.related("the link below", scene.span(lower, "mtu")));
    }
    let tag = |(other, link): (&'_ str, &'_ Link)| {
        let same = link
            .vlan
            .as_ref()
            .is_some_and(|v| v.id == vlan.id && v.link == vlan.link);
        (same && other < name).then(|| other.to_owned())
    };
    if let Some(other) = scene.readable().find_map(tag) {
        let message = format!("the tag {} on {lower:?} is the link {other:?} already", vlan.id);
        let finding = scene.contradiction(name, "vlan.id", message, "choose another tag");
        out.push(finding.related("first used here", scene.span(&other, "vlan.id")));
    }
}

fn check_members(scene: Scene<'_>, name: &str, link: &Link, bond: &Bond, out: &mut Findings) {
    if bond.members.is_empty() {
        let message = "a bond without members carries nothing";
        out.push(scene.contradiction(name, "bond.members", message, "name the links that it joins"));
    }
    for (index, member) in bond.members.iter().enumerate() {
        let path = format!("bond.members[{index}]");
        if !scene.known(member.as_str(), name, &path, out) {
            continue;
        }
        let Some(joined) = scene.link(member.as_str()) else {
            continue;
        };
        if !joined.is_device() {
            let message = format!("{:?} is made itself; a bond joins devices", member.as_str());
            out.push(scene.contradiction(name, &path, message, "name a link that is a device"));
        }
        member_has_nothing(scene, name, member.as_str(), joined, out);
        if joined.mtu.is_some() && joined.mtu != link.mtu {
            let message = "members carry packets of the bond's size";
            let finding = scene.contradiction(member.as_str(), "mtu", message, "give the `mtu` to the bond");
            out.push(finding.related("the bond", scene.span(name, "")));
        }
    }
    if let Some(primary) = bond.primary.as_ref().filter(|primary| !bond.members.contains(primary)) {
        let message = format!("{:?} is not a member", primary.as_str());
        out.push(scene.contradiction(name, "bond.primary", message, "name one of the members"));
    }
}

/// A member's addresses would never be used: packets that come in are the bond's.
fn member_has_nothing(scene: Scene<'_>, bond: &str, member: &str, link: &Link, out: &mut Findings) {
    let table = [
        (link.dhcp4, "dhcp4"),
        (!link.addresses.is_empty(), "addresses"),
        (!link.gateways.is_empty(), "gateways"),
        (!link.routes.is_empty(), "routes"),
        (!link.dns.is_empty(), "dns"),
        (link.metric.is_some(), "metric"),
    ];
    for (_, path) in table.iter().filter(|(there, _)| *there) {
        let message = format!("{member:?} is a member of the bond {bond:?} and has no addresses of its own");
        let finding = scene.contradiction(member, path, message, "write it for the bond");
        out.push(finding.related("the bond", scene.span(bond, "bond.members")));
    }
}

fn check_options(scene: Scene<'_>, name: &str, bond: &Bond, out: &mut Findings) {
    use BondMode::{ActiveBackup, BalanceAlb, BalanceTlb, BalanceXor, Lacp};
    let table: [(bool, &str, &[BondMode]); 4] = [
        (bond.lacp_rate != LacpRate::Slow, "bond.lacp-rate", &[Lacp]),
        (
            bond.hash_policy != HashPolicy::Layer2,
            "bond.hash-policy",
            &[BalanceXor, Lacp, BalanceTlb],
        ),
        (
            bond.primary.is_some(),
            "bond.primary",
            &[ActiveBackup, BalanceTlb, BalanceAlb],
        ),
        (bond.min_links > 0, "bond.min-links", &[Lacp]),
    ];
    for (_, path, modes) in table
        .iter()
        .filter(|(said, _, modes)| *said && !modes.contains(&bond.mode))
    {
        let modes: Vec<String> = modes.iter().map(|mode| format!("{:?}", mode.word())).collect();
        let message = format!("this has no effect with the mode {:?}", bond.mode.word());
        let cure = format!("leave it out, or choose the mode {}", modes.join(" or "));
        let finding = scene.contradiction(name, path, message, &cure);
        out.push(finding.related("the mode is chosen here", scene.span(name, "bond.mode")));
    }
    let interval = bond.miimon.0;
    if interval < Duration::from_millis(1) {
        let message = "without looking at carriers no failure of a member is noticed";
        let finding = scene.finding(Code::OutOfRange, name, "bond.miimon", message);
        out.push(finding.cure("leave it out for 100ms"));
        return;
    }
    for (delay, path) in [
        (bond.up_delay.0, "bond.up-delay"),
        (bond.down_delay.0, "bond.down-delay"),
    ] {
        if delay.as_millis() % interval.as_millis() != 0 {
            let (span, key) = scene.places.place(name, path);
            let message = "the kernel rounds this down to a multiple of `miimon`";
            let finding = Finding::warning(Code::Contradiction, span, &key, message);
            out.push(finding.cure("write a multiple"));
        }
    }
}

/// A device is a member of one bond, and nothing else is made on it.
pub(super) fn members_once(scene: Scene<'_>, out: &mut Findings) {
    let mut taken: BTreeMap<&str, (&str, String)> = BTreeMap::new();
    for (name, link) in scene.readable() {
        let members = link.bond.iter().flat_map(|bond| bond.members.iter().enumerate());
        for (index, member) in members {
            let path = format!("bond.members[{index}]");
            match taken.get(member.as_str()) {
                Some((bond, first)) => {
                    let message = format!("{:?} is a member of the bond {bond:?} already", member.as_str());
                    let finding = scene.contradiction(name, &path, message, "leave it out of one");
                    out.push(finding.related("it joins here", scene.span(bond, first)));
                }
                None => drop(taken.insert(member.as_str(), (name, path))),
            }
        }
    }
    for (name, link) in scene.readable() {
        let lower = link.vlan.as_ref().map(|vlan| vlan.link.as_str());
        if let Some((lower, (bond, path))) = lower.and_then(|lower| Some((lower, taken.get(lower)?))) {
            let message = format!("{lower:?} is a member of the bond {bond:?}");
            let finding = scene.contradiction(name, "vlan.link", message, &format!("put the VLAN on {bond:?}"));
            out.push(finding.related("it joins here", scene.span(bond, path)));
        }
    }
}

/// No link stands on itself.
pub(super) fn loops(scene: Scene<'_>, out: &mut Findings) {
    for (name, link) in scene.readable() {
        let mut at = link;
        for _ in 0..scene.links.len() {
            let Some(vlan) = &at.vlan else { break };
            if vlan.link.as_str() == name {
                let message = format!("{name:?} stands on itself");
                out.push(scene.contradiction(name, "vlan.link", message, "name the link below"));
                break;
            }
            let Some(below) = scene.link(vlan.link.as_str()) else {
                break;
            };
            at = below;
        }
    }
}
