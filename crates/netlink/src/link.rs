//! Links: what there is, make, change, delete.

use crate::bond::BondSettings;
use crate::message::{Message, flags};
use crate::wire::{self, Buffer};
use crate::{Error, RouteSocket};
use rustix::fd::{AsRawFd, BorrowedFd};
use std::fmt;

pub(crate) const NEWLINK: u16 = 16;
pub(crate) const DELLINK: u16 = 17;
const GETLINK: u16 = 18;
const SETLINK: u16 = 19;

/// Attribute types of links (IFLA_*).
mod ifla {
    pub const ADDRESS: u16 = 1;
    pub const IFNAME: u16 = 3;
    pub const MTU: u16 = 4;
    pub const LINK: u16 = 5;
    pub const MASTER: u16 = 10;
    pub const LINKINFO: u16 = 18;
    pub const NET_NS_PID: u16 = 19;
    pub const IFALIAS: u16 = 20;
    pub const AF_SPEC: u16 = 26;
    pub const NET_NS_FD: u16 = 28;
    pub const PERM_ADDRESS: u16 = 54;
    pub const INFO_KIND: u16 = 1;
    pub const INFO_DATA: u16 = 2;
    pub const INET6_ADDR_GEN_MODE: u16 = 8;
    pub const VETH_PEER: u16 = 1;
    pub const VLAN_ID: u16 = 1;
    pub const BRIDGE_STP: u16 = 5;
}

const AF_INET6: u16 = 10;
const FAMILY_ALL: u8 = 0;
const ADDR_GEN_NONE: u8 = 1;
const IFF_UP: u32 = 0x1;
const IFF_LOOPBACK: u32 = 0x8;
const IFF_LOWER_UP: u32 = 0x1_0000;
const HARDWARE_ETHERNET: u16 = 1;
/// Longest name the kernel takes, in bytes.
pub const NAME_MAX: usize = 15;

/// A hardware address of an ethernet link.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A link as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Link {
    /// Interface index; 1 is loopback in every namespace.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Kind of a virtual link (`bridge`, `veth`, `vlan` …); None for hardware and loopback.
    pub kind: Option<String>,
    /// Hardware type (ARPHRD_*).
    pub hardware: u16,
    /// Hardware address, when it has the length of an ethernet address.
    pub mac: Option<Mac>,
    /// Hardware address the device was made with; None for virtual links, and while nothing else is known.
    pub permanent_mac: Option<Mac>,
    /// What somebody noted about it (`ip link set … alias`).
    pub alias: Option<String>,
    /// Tag of a vlan.
    pub vlan_id: Option<u16>,
    /// Settings of a bond.
    pub bond: Option<BondSettings>,
    /// Bytes per packet.
    pub mtu: u32,
    /// Index of the bridge it is a port of, or of the bond it is a member of.
    pub master: Option<u32>,
    /// Index of the link below (vlan) or of the other end (veth).
    pub lower: Option<u32>,
    /// Administratively up.
    pub up: bool,
    /// There is a carrier.
    pub carrier: bool,
    /// It is loopback.
    pub loopback: bool,
}

impl Link {
    /// True for a link that speaks ethernet (hardware or virtual), loopback excluded.
    pub fn is_ethernet(&self) -> bool {
        self.hardware == HARDWARE_ETHERNET && !self.loopback
    }
}

/// A link to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewLink<'a> {
    /// A bridge, spanning tree off.
    Bridge,
    /// A pair of ends; the second is called `peer` and may be made in another namespace.
    Veth {
        /// Name of the other end.
        peer: &'a str,
        /// Namespace of the other end; None: the same.
        peer_namespace: Option<Namespace<'a>>,
    },
    /// A link that drops everything.
    Dummy,
    /// A tagged network on top of the link with this index.
    Vlan {
        /// Index of the link below.
        lower: u32,
        /// Tag, 1 to 4094.
        id: u16,
    },
    /// Several links as one.
    Bond(BondSettings),
}

/// A network namespace, by one of its names.
#[derive(Debug, Clone, Copy)]
pub enum Namespace<'a> {
    /// The one this descriptor of `/proc/PID/ns/net` refers to.
    Fd(BorrowedFd<'a>),
    /// The one this process lives in.
    Pid(u32),
}

impl PartialEq for Namespace<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Fd(a), Self::Fd(b)) => a.as_raw_fd() == b.as_raw_fd(),
            (Self::Pid(a), Self::Pid(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Namespace<'_> {}

impl Namespace<'_> {
    fn write(self, body: &mut Buffer) {
        match self {
            Self::Fd(fd) => body.u32(ifla::NET_NS_FD, fd.as_raw_fd().cast_unsigned()),
            Self::Pid(pid) => body.u32(ifla::NET_NS_PID, pid),
        };
    }
}

/// Changes to a link; what is None stays.
#[derive(Debug, Clone, Default)]
pub struct LinkChange<'a> {
    /// Administratively up or down.
    pub up: Option<bool>,
    /// Bytes per packet.
    pub mtu: Option<u32>,
    /// New name; most links must be down for it.
    pub name: Option<&'a str>,
    /// Bridge to become a port of or bond to become a member of, 0 for none.
    pub master: Option<u32>,
    /// Hardware address.
    pub mac: Option<Mac>,
    /// Note about it.
    pub alias: Option<&'a str>,
    /// Namespace to move to.
    pub namespace: Option<Namespace<'a>>,
    /// Stop the kernel from making a link-local IPv6 address by itself.
    pub no_link_local: bool,
}

impl RouteSocket {
    /// All links.
    ///
    /// # Errors
    /// As [`crate::socket::Socket::query`].
    pub fn links(&mut self) -> Result<Vec<Link>, Error> {
        let message = Message::new(GETLINK, flags::DUMP, "list links", &ifinfo(0, 0, 0));
        self.query(&message, |kind, body| {
            (kind == NEWLINK).then(|| parse_link(body)).flatten()
        })
    }

    /// The link with this name; None if there is none.
    ///
    /// # Errors
    /// As [`crate::socket::Socket::query`].
    pub fn link(&mut self, name: &str) -> Result<Option<Link>, Error> {
        let what = format!("look up link {name}");
        let mut message = Message::new(GETLINK, 0, what, &ifinfo(0, 0, 0));
        message.body.text(ifla::IFNAME, name);
        self.one_link(&message)
    }

    /// The link with this index; None if there is none.
    ///
    /// # Errors
    /// As [`crate::socket::Socket::query`].
    pub fn link_at(&mut self, index: u32) -> Result<Option<Link>, Error> {
        let what = format!("look up link {index}");
        self.one_link(&Message::new(GETLINK, 0, what, &ifinfo(index, 0, 0)))
    }

    /// The index of the link with this name.
    ///
    /// # Errors
    /// [`Error::NoLink`].
    pub fn index_of(&mut self, name: &str) -> Result<u32, Error> {
        let link = self.link(name)?;
        link.map(|link| link.index)
            .ok_or_else(|| Error::NoLink { name: name.to_owned() })
    }

    /// Makes a link, down, and returns its index.
    ///
    /// # Errors
    /// [`Error::Refused`], with [`Error::is_exists`] when the name is taken.
    pub fn create_link(&mut self, name: &str, new: &NewLink<'_>) -> Result<u32, Error> {
        self.run(&create_message(name, new))?;
        self.index_of(name)
    }

    /// Changes a link.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn change_link(&mut self, index: u32, change: &LinkChange<'_>) -> Result<(), Error> {
        self.run(&change_message(index, change))
    }

    /// Changes settings of a bond that can be changed while it has members.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn change_bond(&mut self, index: u32, settings: &BondSettings) -> Result<(), Error> {
        let what = format!("change bond {index}");
        let mut message = Message::new(NEWLINK, 0, what, &ifinfo(index, 0, 0));
        message.body.nest(ifla::LINKINFO, |info| {
            info.text(ifla::INFO_KIND, "bond")
                .nest(ifla::INFO_DATA, |data| settings.write_changeable(data));
        });
        self.run(&message)
    }

    /// Deletes a link. For a veth the other end goes too.
    ///
    /// # Errors
    /// [`Error::Refused`], with [`Error::is_absent`] when there is none.
    pub fn delete_link(&mut self, index: u32) -> Result<(), Error> {
        let what = format!("delete link {index}");
        self.run(&Message::new(DELLINK, 0, what, &ifinfo(index, 0, 0)))
    }

    fn one_link(&mut self, message: &Message) -> Result<Option<Link>, Error> {
        match self.query(message, |kind, body| {
            (kind == NEWLINK).then(|| parse_link(body)).flatten()
        }) {
            Ok(links) => Ok(links.into_iter().next()),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The message that changes a link, for [`RouteSocket::run_all`].
pub fn change_message(index: u32, change: &LinkChange<'_>) -> Message {
    let (set, mask) = match change.up {
        Some(true) => (IFF_UP, IFF_UP),
        Some(false) => (0, IFF_UP),
        None => (0, 0),
    };
    let what = format!("change link {index}");
    let mut message = Message::new(SETLINK, 0, what, &ifinfo(index, set, mask));
    let body = &mut message.body;
    if let Some(mtu) = change.mtu {
        body.u32(ifla::MTU, mtu);
    }
    if let Some(name) = change.name {
        body.text(ifla::IFNAME, name);
    }
    if let Some(master) = change.master {
        body.u32(ifla::MASTER, master);
    }
    if let Some(mac) = change.mac {
        body.attr(ifla::ADDRESS, &mac.0);
    }
    if let Some(alias) = change.alias {
        body.text(ifla::IFALIAS, alias);
    }
    if let Some(namespace) = change.namespace {
        namespace.write(body);
    }
    if change.no_link_local {
        body.nest(ifla::AF_SPEC, |families| {
            families.nest(AF_INET6, |v6| {
                v6.u8(ifla::INET6_ADDR_GEN_MODE, ADDR_GEN_NONE);
            });
        });
    }
    message
}

fn create_message(name: &str, new: &NewLink<'_>) -> Message {
    let what = format!("create link {name}");
    let flags = flags::CREATE | flags::EXCL;
    let mut message = Message::new(NEWLINK, flags, what, &ifinfo(0, 0, 0));
    let body = &mut message.body;
    body.text(ifla::IFNAME, name);
    if let NewLink::Vlan { lower, .. } = new {
        body.u32(ifla::LINK, *lower);
    }
    body.nest(ifla::LINKINFO, |info| write_info(info, new));
    message
}

fn write_info(info: &mut Buffer, new: &NewLink<'_>) {
    match new {
        NewLink::Bridge => info.text(ifla::INFO_KIND, "bridge").nest(ifla::INFO_DATA, |data| {
            data.u32(ifla::BRIDGE_STP, 0);
        }),
        NewLink::Dummy => info.text(ifla::INFO_KIND, "dummy"),
        NewLink::Vlan { id, .. } => info.text(ifla::INFO_KIND, "vlan").nest(ifla::INFO_DATA, |data| {
            data.u16(ifla::VLAN_ID, *id);
        }),
        NewLink::Bond(settings) => info
            .text(ifla::INFO_KIND, "bond")
            .nest(ifla::INFO_DATA, |data| settings.write(data)),
        NewLink::Veth { peer, peer_namespace } => info.text(ifla::INFO_KIND, "veth").nest(ifla::INFO_DATA, |data| {
            data.nest(ifla::VETH_PEER, |other| {
                other.raw(&ifinfo(0, 0, 0)).text(ifla::IFNAME, peer);
                if let Some(namespace) = peer_namespace {
                    namespace.write(other);
                }
            });
        }),
    };
}

/// `struct ifinfomsg`.
fn ifinfo(index: u32, flags: u32, mask: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&mask.to_ne_bytes());
    header
}

fn read_info(info: &wire::Attr<'_>, link: &mut Link) {
    link.kind = info
        .nested()
        .find(ifla::INFO_KIND)
        .and_then(|kind| kind.as_text())
        .map(str::to_owned);
    let Some(data) = info.nested().find(ifla::INFO_DATA) else {
        return;
    };
    match link.kind.as_deref() {
        Some("vlan") => link.vlan_id = data.nested().find(ifla::VLAN_ID).and_then(|id| id.as_u16()),
        Some("bond") => link.bond = Some(BondSettings::parse(&data)),
        _ => {}
    }
}

/// Reads a link from a message's body; None if it is cut short, or if it speaks of the link as seen by
/// one family only (a bridge reporting a port: "gone" means no port any more).
pub fn parse_link(body: &[u8]) -> Option<Link> {
    if *body.first()? != FAMILY_ALL {
        return None;
    }
    let hardware = u16::from_ne_bytes(*body.get(2..)?.first_chunk()?);
    let index = u32::from_ne_bytes(*body.get(4..)?.first_chunk()?);
    let bits = u32::from_ne_bytes(*body.get(8..)?.first_chunk()?);
    let mut link = Link {
        index,
        hardware,
        up: bits & IFF_UP != 0,
        carrier: bits & IFF_LOWER_UP != 0,
        loopback: bits & IFF_LOOPBACK != 0,
        ..Link::default()
    };
    for attr in wire::attributes(body.get(16..)?) {
        match attr.kind {
            ifla::IFNAME => link.name = attr.as_text()?.to_owned(),
            ifla::ADDRESS => link.mac = attr.value.try_into().ok().map(Mac),
            ifla::MTU => link.mtu = attr.as_u32()?,
            ifla::LINK => link.lower = attr.as_u32(),
            ifla::MASTER => link.master = attr.as_u32().filter(|index| *index != 0),
            ifla::LINKINFO => read_info(&attr, &mut link),
            ifla::IFALIAS => link.alias = attr.as_text().map(str::to_owned),
            ifla::PERM_ADDRESS => link.permanent_mac = attr.value.try_into().ok().map(Mac),
            _ => {}
        }
    }
    Some(link)
}
