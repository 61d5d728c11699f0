//! Makes the links what the document says: which there are, what each has. Whatever was done before, by
//! whomever, only the difference is carried out.

use super::apply::apply;
use super::assign::{Assignment, Device, Role, assign};
use super::ipv6;
use super::made::{self, MARK, Step};
use super::manager::Manager;
use super::plan::{Current, Wanted, leased_address, plan};
use super::state::OwnLink;
use crate::explain::chain;
use keelson_machine_config::model::network::Link as Described;
use keelson_netlink::{Error, Link, LinkChange, NewLink};
use std::collections::BTreeMap;
use std::time::Duration;

/// Rounds of making links that stand on each other; a document that needs more waits for the next event.
const ROUNDS: usize = 8;

impl Manager {
    /// Looks at everything and carries out the difference.
    ///
    /// # Errors
    /// A netlink socket that cannot be used any more; what the kernel refuses is noted and tried again.
    pub(super) fn reconcile(&mut self) -> Result<(), Error> {
        let config = self.config.clone();
        self.failed.clear();
        let mut devices = self.devices()?;
        let mut assignment = assign(config.as_ref(), &devices);
        for _ in 0..ROUNDS {
            let steps = made::plan(config.as_ref(), &devices, &assignment);
            let carried_out = steps.iter().filter(|step| self.step(step)).count();
            if carried_out == 0 {
                break;
            }
            devices = self.devices()?;
            assignment = assign(config.as_ref(), &devices);
        }
        let present = |index: &u32| devices.iter().any(|device| device.link.index == *index);
        let gone: Vec<u32> = self
            .networks
            .links
            .keys()
            .filter(|index| !present(index))
            .copied()
            .collect();
        gone.into_iter().for_each(|index| self.forget(index));
        for device in &devices {
            self.play(&device.link, assignment.roles.get(&device.link.index))?;
        }
        self.networks.machine = config.as_ref().map(|config| config.dns.clone()).unwrap_or_default();
        self.networks.absent = self.absent(&assignment, &devices);
        self.read_addresses()
    }

    fn devices(&mut self) -> Result<Vec<Device>, Error> {
        let links = self.socket.links()?;
        let drivers = &mut self.drivers;
        let device = |link: Link| {
            let driver = drivers.entry(link.index).or_insert_with(|| driver(&link.name)).clone();
            Device { link, driver }
        };
        Ok(links.into_iter().map(device).collect())
    }

    fn absent(&self, assignment: &Assignment<'_>, devices: &[Device]) -> BTreeMap<String, String> {
        let mut absent: BTreeMap<String, String> = BTreeMap::new();
        for (name, why) in &assignment.missing {
            let why = self.failed.get(*name).unwrap_or(why);
            absent.insert((*name).to_owned(), why.clone());
        }
        for (index, why) in &assignment.left_out {
            let device = devices.iter().find(|device| device.link.index == *index);
            absent.extend(device.map(|device| (device.link.name.clone(), why.clone())));
        }
        absent
    }

    /// Carries out one step; true when it worked.
    fn step(&mut self, step: &Step) -> bool {
        let outcome = match step {
            Step::Delete { index, name } => {
                log::info!(link = name; "not asked for any more; removed");
                self.socket.delete_link(*index)
            }
            Step::MakeVlan { name, lower, id } => self.make(name, &NewLink::Vlan { lower: *lower, id: *id }),
            Step::MakeBond { name, settings } => self.make(name, &NewLink::Bond(*settings)),
            Step::ChangeBond { index, settings, .. } => self.socket.change_bond(*index, settings),
            Step::Join { member, bond, .. } => self.join(*member, *bond),
            Step::Leave { member } => self.socket.change_link(
                *member,
                &LinkChange {
                    master: Some(0),
                    ..LinkChange::default()
                },
            ),
        };
        let Err(error) = outcome else { return true };
        let error = chain(&error);
        log::warn!(link = step.name(), error; "link not made as the document says");
        if let Some(name) = step.name() {
            self.failed.insert(name.to_owned(), error);
        }
        self.try_again();
        false
    }

    fn make(&mut self, name: &str, new: &NewLink<'_>) -> Result<(), Error> {
        let index = self.socket.create_link(name, new)?;
        log::info!(link = name, index; "link made");
        let mark = LinkChange {
            alias: Some(MARK),
            ..LinkChange::default()
        };
        self.socket.change_link(index, &mark)
    }

    /// A link joins a bond while it is down, and without addresses, which would be out of use.
    fn join(&mut self, member: u32, bond: u32) -> Result<(), Error> {
        self.forget(member);
        self.clear(member)?;
        let down = LinkChange {
            up: Some(false),
            ..LinkChange::default()
        };
        self.socket.change_link(member, &down)?;
        let join = LinkChange {
            master: Some(bond),
            ..LinkChange::default()
        };
        self.socket.change_link(member, &join)
    }

    /// Makes a link play its role; without one it is an engine's.
    fn play(&mut self, link: &Link, role: Option<&Role<'_>>) -> Result<(), Error> {
        match role {
            None => self.forget(link.index),
            Some(Role::Unused) => self.leave_alone(link)?,
            Some(Role::Member(..)) => {
                self.forget(link.index);
                if !link.up {
                    self.bring_up(link);
                }
            }
            Some(Role::Automatic) => {
                let automatic = Described {
                    dhcp4: true,
                    ..Described::default()
                };
                self.take(link, None, &automatic)?;
            }
            Some(Role::Described(name, described)) => self.take(link, Some(*name), described)?,
        }
        Ok(())
    }

    /// A link that was ours and is no longer described loses what we gave it.
    fn leave_alone(&mut self, link: &Link) -> Result<(), Error> {
        if !self.networks.links.contains_key(&link.index) {
            return Ok(());
        }
        self.forget(link.index);
        self.clear(link.index)?;
        let _ = ipv6::accept_advertisements(&link.name, false);
        let down = LinkChange {
            up: Some(false),
            ..LinkChange::default()
        };
        if let Err(error) = self.socket.change_link(link.index, &down) {
            log::warn!(link = link.name, error:% = chain(&error); "link does not go down");
        }
        Ok(())
    }

    /// Removes every address and route that we gave.
    fn clear(&mut self, index: u32) -> Result<(), Error> {
        let (addresses, routes) = (self.socket.addresses()?, self.socket.routes()?);
        let current = Current {
            link: index,
            mtu: 0,
            addresses: &addresses,
            routes: &routes,
        };
        apply(&mut self.socket, index, &plan(current, Wanted::default()));
        Ok(())
    }

    /// Makes a link have what is described.
    fn take(&mut self, link: &Link, name: Option<&str>, described: &Described) -> Result<(), Error> {
        let known = self.networks.links.get(&link.index);
        let before = known.map(|own| (own.link.up && own.link.carrier, own.described.accept_ra));
        let own = OwnLink::new(link.clone(), name.map(str::to_owned), described.clone());
        let own = self.networks.links.entry(link.index).or_insert(own);
        own.link = link.clone();
        own.name = name.map(str::to_owned);
        own.described = described.clone();
        if before.is_none() {
            log::info!(link = link.name, index = link.index, described = name; "link found");
        }
        if before.map(|(_, accept)| accept) != Some(described.accept_ra) {
            advertisements(link, described.accept_ra);
        }
        let mut refused = self.hardware_address(link, described);
        if !link.up {
            self.bring_up(link);
        }
        if !described.dhcp4 {
            self.clients.stop(link.index);
            if let Some(own) = self.networks.links.get_mut(&link.index) {
                own.lease = None;
            }
        } else if self.clients.start(link) {
            self.tell_carrier(link, link.up && link.carrier)?;
        } else {
            self.carrier(link, before.is_some_and(|(carrier, _)| carrier))?;
        }
        refused.extend(self.settle(link.index, false)?);
        if !refused.is_empty() {
            self.try_again();
        }
        if let Some(own) = self.networks.links.get_mut(&link.index) {
            own.problems = refused;
        }
        Ok(())
    }

    /// Changes the hardware address; gives what the kernel refused.
    fn hardware_address(&mut self, link: &Link, described: &Described) -> Vec<String> {
        let Some(mac) = described.mac.map(|mac| keelson_netlink::link::Mac(mac.0)) else {
            return Vec::new();
        };
        if link.mac == Some(mac) {
            return Vec::new();
        }
        let set = LinkChange {
            mac: Some(mac),
            ..LinkChange::default()
        };
        let down = LinkChange {
            up: Some(false),
            ..set.clone()
        };
        // Most devices change it while they are up; the others must be down.
        let outcome = self.socket.change_link(link.index, &set);
        let outcome = outcome.or_else(|_| self.socket.change_link(link.index, &down));
        outcome.err().map(|error| chain(&error)).into_iter().collect()
    }

    /// Gives a link its addresses and routes; with `renew` the lease's address its time too. Gives what was refused.
    pub(super) fn settle(&mut self, index: u32, renew: bool) -> Result<Vec<String>, Error> {
        let Some(own) = self.networks.links.get(&index) else {
            return Ok(Vec::new());
        };
        let (addresses, routes) = (self.socket.addresses()?, self.socket.routes()?);
        let current = Current {
            link: index,
            mtu: own.link.mtu,
            addresses: &addresses,
            routes: &routes,
        };
        let over = own.leased_at.map_or(Duration::ZERO, |at| at.elapsed());
        let wanted = Wanted {
            lease: own.lease.as_ref().map(|lease| (lease, over)),
            described: Some(&own.described),
            undecided: own.described.dhcp4 && own.lease.is_none() && !renew,
        };
        let mut plan = plan(current, wanted);
        if let (true, Some(lease)) = (renew, &own.lease) {
            let address = leased_address(index, lease, over);
            let lasting = own.described.addresses.iter().any(|given| given.ip == address.ip);
            if !lasting && !plan.add_addresses.contains(&address) {
                plan.add_addresses.push(address);
            }
        }
        let refused = apply(&mut self.socket, index, &plan);
        let complete = refused.is_empty();
        for error in &refused {
            log::warn!(link = own.link.name, error; "link not set up as it should be");
        }
        if let (true, Some(lease)) = (renew, &own.lease) {
            let seconds = lease.duration.map_or(u64::MAX, |time| time.as_secs());
            log::info!(
                link = own.link.name, address:% = lease.address, prefix = lease.prefix,
                server:% = lease.server, seconds, complete; "lease in force"
            );
        } else if !plan.is_empty() {
            log::info!(link = own.link.name, complete; "link set up");
        }
        Ok(refused)
    }

    pub(super) fn forget(&mut self, index: u32) {
        self.clients.stop(index);
        if let Some(own) = self.networks.links.remove(&index) {
            log::info!(link = own.link.name; "link gone");
        }
    }

    pub(super) fn bring_up(&mut self, link: &Link) {
        let change = LinkChange {
            up: Some(true),
            ..LinkChange::default()
        };
        if let Err(error) = self.socket.change_link(link.index, &change) {
            log::warn!(link = link.name, error:% = chain(&error); "link does not come up");
            self.try_again();
        }
    }
}

/// Says to the kernel whether routers are listened to, and asks them to speak.
fn advertisements(link: &Link, accept: bool) {
    if let Err(error) = ipv6::accept_advertisements(&link.name, accept) {
        log::info!(link = link.name, error:% = error; "router advertisements cannot be set on this link");
    }
    let ready = accept && link.up && link.carrier;
    if let (true, Err(error)) = (ready, ipv6::solicit(link.index)) {
        log::debug!(link = link.name, error:% = error; "routers not asked");
    }
}

/// The name of a device's driver; None for a virtual link.
fn driver(name: &str) -> Option<String> {
    let link = std::fs::read_link(format!("/sys/class/net/{name}/device/driver")).ok()?;
    Some(link.file_name()?.to_str()?.to_owned())
}
