//! What to do so that the VLANs and bonds of the document are there and no others of ours. Pure.
//!
//! One call plans what is possible now; what stands on a link that is yet to be made follows when it is there.

use super::assign::{Assignment, Device, Role};
use keelson_machine_config::model::network::{Bond, BondMode, HashPolicy, LacpRate, Network};
use keelson_netlink::{BondSettings, Link};

/// The note by which links that this program made are known, in a later life too.
pub const MARK: &str = "keelson-netd";

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A link of ours that the document does not ask for (so).
    Delete {
        /// Its index.
        index: u32,
        /// Its name.
        name: String,
    },
    /// A VLAN.
    MakeVlan {
        /// Its name.
        name: String,
        /// Index of the link below.
        lower: u32,
        /// Its tag.
        id: u16,
    },
    /// A bond.
    MakeBond {
        /// Its name.
        name: String,
        /// What it is like.
        settings: BondSettings,
    },
    /// Settings of a bond that is there.
    ChangeBond {
        /// Its name.
        name: String,
        /// Its index.
        index: u32,
        /// What it is to be like.
        settings: BondSettings,
    },
    /// A member joins.
    Join {
        /// The described name of the member.
        name: String,
        /// The member.
        member: u32,
        /// The bond.
        bond: u32,
    },
    /// A link leaves a bond of ours.
    Leave {
        /// The link.
        member: u32,
    },
}

impl Step {
    /// The described link that the step is for.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::MakeVlan { name, .. }
            | Self::MakeBond { name, .. }
            | Self::ChangeBond { name, .. }
            | Self::Join { name, .. } => Some(name),
            Self::Delete { .. } | Self::Leave { .. } => None,
        }
    }
}

/// Plans the changes.
pub fn plan(config: Option<&Network>, devices: &[Device], assignment: &Assignment<'_>) -> Vec<Step> {
    let none = Network::default();
    let config = config.unwrap_or(&none);
    let scene = Scene {
        config,
        devices,
        assignment,
    };
    let unwanted: Vec<Step> = devices
        .iter()
        .filter_map(|device| scene.unwanted(&device.link))
        .collect();
    // What is made anew takes its name only when the old one is gone.
    if !unwanted.is_empty() {
        return unwanted;
    }
    let mut steps = Vec::new();
    for (name, link) in &config.links {
        if let Some(vlan) = &link.vlan {
            let lower = assignment.found.get(vlan.link.as_str());
            if let (false, Some(lower)) = (assignment.found.contains_key(name.as_str()), lower) {
                steps.push(Step::MakeVlan {
                    name: name.as_str().to_owned(),
                    lower: *lower,
                    id: vlan.id,
                });
            }
        }
        if let Some(bond) = &link.bond {
            scene.bond(name.as_str(), bond, &mut steps);
        }
    }
    steps
}

#[derive(Clone, Copy)]
struct Scene<'a> {
    config: &'a Network,
    devices: &'a [Device],
    assignment: &'a Assignment<'a>,
}

impl Scene<'_> {
    fn link(&self, index: u32) -> Option<&Link> {
        let device = self.devices.iter().find(|device| device.link.index == index);
        device.map(|device| &device.link)
    }

    /// Whether a link that we made, or that has a name the document gives to one to be made, is not what it asks for.
    /// (The module `bonding` makes a `bond0` by itself.)
    fn unwanted(&self, link: &Link) -> Option<Step> {
        let described = self.config.links.get(link.name.as_str());
        let made = matches!(link.kind.as_deref(), Some("vlan" | "bond"));
        let named = made && described.is_some_and(|described| !described.is_device());
        if link.alias.as_deref() != Some(MARK) && !named {
            return None;
        }
        let wanted = described.is_some_and(|described| match link.kind.as_deref() {
            Some("vlan") => described.vlan.as_ref().is_some_and(|vlan| {
                let lower = self.assignment.found.get(vlan.link.as_str()).copied();
                link.vlan_id == Some(vlan.id) && lower.is_none_or(|lower| link.lower == Some(lower))
            }),
            Some("bond") => {
                let settings = described.bond.as_ref().map(settings);
                settings
                    .zip(link.bond)
                    .is_some_and(|(new, old)| new.is_reachable_from(&old))
            }
            _ => false,
        });
        (!wanted).then(|| Step::Delete {
            index: link.index,
            name: link.name.clone(),
        })
    }

    fn bond(&self, name: &str, bond: &Bond, steps: &mut Vec<Step>) {
        let Some(index) = self.assignment.found.get(name).copied() else {
            return steps.push(Step::MakeBond {
                name: name.to_owned(),
                settings: settings(bond),
            });
        };
        let mut joined = Vec::new();
        for member in &bond.members {
            let Some(found) = self.assignment.found.get(member.as_str()).copied() else {
                continue;
            };
            match self.link(found).and_then(|link| link.master) {
                Some(master) if master == index => joined.push((member, found)),
                _ => steps.push(Step::Join {
                    name: member.as_str().to_owned(),
                    member: found,
                    bond: index,
                }),
            }
        }
        let strangers = self.devices.iter().filter(|device| device.link.master == Some(index));
        let strangers = strangers.filter(|device| {
            let role = self.assignment.roles.get(&device.link.index);
            !matches!(role, Some(Role::Member(name, _)) if bond.members.iter().any(|member| member.as_str() == *name))
        });
        steps.extend(strangers.map(|device| Step::Leave {
            member: device.link.index,
        }));
        let mut wanted = settings(bond);
        let primary = |(member, _): &&(_, u32)| bond.primary.as_ref() == Some(*member);
        wanted.primary = joined.iter().find(primary).map_or(0, |(_, index)| *index);
        let current = self.link(index).and_then(|link| link.bond);
        if current.is_some_and(|current| differs(&wanted, &current)) {
            steps.push(Step::ChangeBond {
                name: name.to_owned(),
                index,
                settings: wanted,
            });
        }
    }
}

/// Whether a bond needs a change. A primary that is not a member yet cannot be set, and the kernel's is then left.
fn differs(wanted: &BondSettings, current: &BondSettings) -> bool {
    let mut current = *current;
    if wanted.primary == 0 {
        current.primary = 0;
    }
    // The kernel has a rate for 802.3ad only.
    current.lacp_rate = wanted.lacp_rate;
    *wanted != current
}

/// The document's settings in the kernel's numbers; the primary apart, which is known by its index only.
fn settings(bond: &Bond) -> BondSettings {
    let number = |words: &[&str], word: &str| {
        let place = words.iter().position(|known| *known == word);
        place.and_then(|place| u8::try_from(place).ok()).unwrap_or(0)
    };
    let millis = |span: keelson_machine_config::Span| u32::try_from(span.0.as_millis()).unwrap_or(u32::MAX);
    let interval = millis(bond.miimon).max(1);
    let multiple = |delay: u32| delay - delay % interval;
    BondSettings {
        mode: number(BondMode::WORDS, bond.mode.word()),
        miimon: interval,
        up_delay: multiple(millis(bond.up_delay)),
        down_delay: multiple(millis(bond.down_delay)),
        hash_policy: number(HashPolicy::WORDS, bond.hash_policy.word()),
        min_links: bond.min_links,
        lacp_rate: number(LacpRate::WORDS, bond.lacp_rate.word()),
        primary: 0,
    }
}
