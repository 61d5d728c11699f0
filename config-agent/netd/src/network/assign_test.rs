//! Tables of devices and documents.

use super::*;
use crate::network::made::{self, Step};
use keelson_netlink::BondSettings;
use keelson_netlink::link::Mac;

/// The network of a native document.
pub(crate) fn network(text: &str) -> Network {
    let verdict = keelson_machine_config::validate("t", format!("schema = 1\n{text}").as_bytes());
    let report: Vec<String> = verdict.report.lines().collect();
    let accepted = verdict.accepted.unwrap_or_else(|| panic!("{report:#?}"));
    accepted.config.network.unwrap()
}

fn device(index: u32, name: &str, kind: Option<&str>) -> Device {
    let link = Link {
        index,
        name: name.into(),
        kind: kind.map(str::to_owned),
        mac: Some(Mac([2, 0, 0, 0, 0, u8::try_from(index).unwrap()])),
        hardware: 1,
        ..Link::default()
    };
    Device { link, driver: None }
}

fn made(index: u32, name: &str, kind: &str) -> Device {
    let mut device = device(index, name, Some(kind));
    device.link.alias = Some(made::MARK.into());
    device
}

/// `INDEX is NAME`, `INDEX joins NAME`, `INDEX asks`, `INDEX has nothing`.
fn roles(assignment: &Assignment<'_>) -> Vec<String> {
    let role = |(index, role): (&u32, &Role<'_>)| match role {
        Role::Automatic => format!("{index} asks"),
        Role::Described(name, _) => format!("{index} is {name}"),
        Role::Member(name, _) => format!("{index} joins {name}"),
        Role::Unused => format!("{index} has nothing"),
    };
    assignment.roles.iter().map(role).collect()
}

#[test]
fn without_a_document_every_link_asks() {
    let devices = [
        device(2, "eth0", None),
        device(3, "keelson0", Some("bridge")),
        device(4, "veth1", Some("veth")),
    ];
    assert_eq!(roles(&assign(None, &devices)), ["2 asks"]);
}

#[test]
fn devices_are_known_by_what_the_document_says() {
    let config = network(
        "[network.link.lan]\nmatch = { mac = \"02:00:00:00:00:03\" }\n[network.link.eth0]\ndhcp4 = true\n\
         [network.link.rest]\nmatch = { name = \"en*\" }\n[network.link.nic]\nmatch = { driver = \"e1000e\" }\n",
    );
    let mut by_driver = device(6, "x0", None);
    by_driver.driver = Some("e1000e".into());
    let mut renamed = device(3, "eth7", None);
    // The address it was made with counts, whatever it has now.
    renamed.link.permanent_mac = renamed.link.mac.replace(Mac([2, 9, 9, 9, 9, 9]));
    let devices = [
        device(2, "eth0", None),
        renamed,
        device(4, "enp1", None),
        device(5, "enp2", None),
        by_driver,
        device(7, "wlan0", None),
        device(8, "keelson0", Some("bridge")),
    ];
    let assignment = assign(Some(&config), &devices);
    let expected = [
        "2 is eth0",
        "3 is lan",
        "4 is rest",
        "5 is rest",
        "6 is nic",
        "7 has nothing",
    ];
    assert_eq!(roles(&assignment), expected);
    assert!(assignment.missing.is_empty() && assignment.left_out.is_empty());
}

#[test]
fn an_address_is_given_to_one_device_only() {
    let config = network("[network.link.lan]\nmatch = { name = \"en*\" }\naddresses = [\"192.0.2.1/24\"]\n");
    let assignment = assign(Some(&config), &[device(4, "enp1", None), device(5, "enp2", None)]);
    assert_eq!(roles(&assignment), ["4 is lan", "5 has nothing"]);
    let why = &assignment.left_out[&5];
    assert_eq!(why, "it fits the link \"lan\" as well, which enp1 is already");
}

#[test]
fn what_is_not_there_is_said_in_words() {
    let config = network(
        "[network.link.lan]\nmatch = { mac = \"02:00:00:00:00:03\", name = \"en*\" }\n[network.link.eth0]\n\
         [network.link.office]\nvlan = { id = 7, link = \"lan\" }\n",
    );
    let assignment = assign(Some(&config), &[]);
    let said: Vec<&str> = assignment.missing.values().map(String::as_str).collect();
    let expected = [
        "there is no device named eth0",
        "there is no device with the hardware address 02:00:00:00:00:03 and the name en*",
        "the link below it, \"lan\", is not there",
    ];
    assert_eq!(said, expected);
}

const MADE: &str = "[network.link.eth0]\n[network.link.eth1]\n\
    [network.link.pair]\nbond = { mode = \"active-backup\", members = [\"eth0\", \"eth1\"], primary = \"eth1\" }\n\
    [network.link.office]\nvlan = { id = 7, link = \"pair\" }\n";

fn steps(config: Option<&Network>, devices: &[Device]) -> Vec<Step> {
    made::plan(config, devices, &assign(config, devices))
}

const SETTINGS: BondSettings = BondSettings {
    mode: 1,
    miimon: 100,
    up_delay: 0,
    down_delay: 0,
    hash_policy: 0,
    min_links: 0,
    lacp_rate: 0,
    primary: 0,
};

#[test]
fn links_are_made_from_the_bottom_up() {
    let config = network(MADE);
    let (eth0, eth1) = (device(2, "eth0", None), device(3, "eth1", None));
    let make = Step::MakeBond {
        name: "pair".into(),
        settings: SETTINGS,
    };
    assert_eq!(steps(Some(&config), &[eth0.clone(), eth1.clone()]), [make]);

    let mut pair = made(4, "pair", "bond");
    pair.link.bond = Some(SETTINGS);
    let join = |name: &str, member| Step::Join {
        name: name.into(),
        member,
        bond: 4,
    };
    let vlan = Step::MakeVlan {
        name: "office".into(),
        lower: 4,
        id: 7,
    };
    let devices = [eth0.clone(), eth1.clone(), pair.clone()];
    assert_eq!(steps(Some(&config), &devices), [vlan, join("eth0", 2), join("eth1", 3)]);

    let (mut eth0, mut eth1, mut office) = (eth0, eth1, made(5, "office", "vlan"));
    (eth0.link.master, eth1.link.master) = (Some(4), Some(4));
    (office.link.vlan_id, office.link.lower) = (Some(7), Some(4));
    let devices = [eth0.clone(), eth1.clone(), pair.clone(), office.clone()];
    let primary = BondSettings { primary: 3, ..SETTINGS };
    let change = Step::ChangeBond {
        name: "pair".into(),
        index: 4,
        settings: primary,
    };
    assert_eq!(steps(Some(&config), &devices), [change]);

    pair.link.bond = Some(primary);
    let devices = [eth0, eth1, pair, office];
    assert_eq!(steps(Some(&config), &devices), []);
    assert_eq!(
        roles(&assign(Some(&config), &devices)),
        ["2 joins eth0", "3 joins eth1", "4 is pair", "5 is office"]
    );

    let delete = |index, name: &str| Step::Delete {
        index,
        name: name.into(),
    };
    assert_eq!(steps(None, &devices), [delete(4, "pair"), delete(5, "office")]);
    let other_tag = network(&MADE.replace("id = 7", "id = 8"));
    assert_eq!(steps(Some(&other_tag), &devices), [delete(5, "office")]);
    let other_mode = network(&MADE.replace("active-backup", "balance-alb"));
    assert_eq!(steps(Some(&other_mode), &devices), [delete(4, "pair")]);
    let fewer = network(&MADE.replace("[\"eth0\", \"eth1\"]", "[\"eth1\"]"));
    assert_eq!(steps(Some(&fewer), &devices), [Step::Leave { member: 2 }]);
}

#[test]
fn links_of_others_are_left_alone() {
    let devices = [device(4, "bond0", Some("bond")), device(5, "eth0.7", Some("vlan"))];
    assert_eq!(steps(Some(&network("[network.link.eth0]\n")), &devices), []);

    let config = network(&MADE.replace("pair", "bond0"));
    let mut own = device(4, "bond0", Some("bond"));
    own.link.bond = Some(BondSettings { mode: 0, ..SETTINGS });
    let delete = Step::Delete {
        index: 4,
        name: "bond0".into(),
    };
    assert_eq!(steps(Some(&config), &[own]), [delete]);
}
