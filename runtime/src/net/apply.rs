//! Makes the kernel's network look as planned, over netlink. Each change undoes what it did when a
//! later part of it fails. Decides nothing: who has which address and port comes in.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use keelson_netlink::link::{Mac, Namespace};
use keelson_netlink::{Address, Link, LinkChange, NewLink, NftSocket, Route, RouteSocket};

use super::drivers;
use super::firewall::{plan_publish, plan_table, plan_unpublish};
use super::ipam::Subnets;
use super::netns::{self, NetnsError};
use crate::engine::error::chain;
use crate::engine::id::ContainerId;
use crate::engine::record::Endpoint;

/// The default bridge.
pub const BRIDGE: &str = "keelson0";

/// The container's own name for its link.
const INSIDE: &str = "eth0";

/// Why the network is not as planned.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// Netlink refused.
    #[error("cannot {action}")]
    Netlink {
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: keelson_netlink::Error,
    },
    /// A kernel setting could not be written.
    #[error("cannot set {}", path.display())]
    Setting {
        /// Its file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A namespace could not be made.
    #[error(transparent)]
    Namespace(#[from] NetnsError),
}

fn netlink(action: &'static str) -> impl FnOnce(keelson_netlink::Error) -> NetError {
    move |source| NetError::Netlink { action, source }
}

/// The network of one engine.
#[derive(Debug)]
pub struct Network {
    subnets: Subnets,
    namespaces: PathBuf,
    /// Whether bridge and table are there.
    established: Mutex<bool>,
}

impl Network {
    /// The bridge with these networks; namespaces are pinned in the directory `namespaces`.
    pub fn new(subnets: Subnets, namespaces: PathBuf) -> Network {
        Network {
            subnets,
            namespaces,
            established: Mutex::new(false),
        }
    }

    /// Its networks.
    pub fn subnets(&self) -> &Subnets {
        &self.subnets
    }

    /// Where a container's namespace is pinned.
    pub fn namespace_path(&self, id: &ContainerId) -> PathBuf {
        self.namespaces.join(id.as_str())
    }

    /// Takes over what an earlier run of the engine left: its bridge, and a table that publishes the ports of
    /// `endpoints`, the containers that still run. Where there is nothing to take over nothing is made: drivers, bridge
    /// and table cost a tenth of a boot, and come with the first container that needs them.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn take_over(&self, endpoints: &[Endpoint]) -> Result<(), NetError> {
        let mut routes = RouteSocket::open().map_err(netlink("open netlink"))?;
        let left = routes.link(BRIDGE).map_err(netlink("look for the bridge"))?;
        if left.is_none() && endpoints.is_empty() {
            return Ok(());
        }
        self.establish(endpoints)?;
        *self.established.lock().unwrap_or_else(PoisonError::into_inner) = true;
        Ok(())
    }

    /// Makes bridge and table once. Until then no container is on the bridge, so no port is lost.
    fn establish_once(&self) -> Result<(), NetError> {
        let mut established = self.established.lock().unwrap_or_else(PoisonError::into_inner);
        if !*established {
            self.establish(&[])?;
            *established = true;
        }
        Ok(())
    }

    /// Makes the bridge, the table with the ports of `endpoints`, and the settings. Containers that run are not
    /// disturbed.
    fn establish(&self, endpoints: &[Endpoint]) -> Result<(), NetError> {
        drivers::load();
        fs::create_dir_all(&self.namespaces).map_err(|source| NetError::Setting {
            path: self.namespaces.clone(),
            source,
        })?;
        let mut routes = RouteSocket::open().map_err(netlink("open netlink"))?;
        let index = self.ensure_bridge(&mut routes)?;
        for (ip, prefix) in [
            (self.subnets.gateway4().into(), self.subnets.prefix4),
            (std::net::IpAddr::V6(self.subnets.gateway6()), self.subnets.prefix6),
        ] {
            let address = Address::new(index, ip, prefix);
            routes
                .add_address(&address)
                .map_err(netlink("give the bridge its address"))?;
        }
        let table = plan_table(BRIDGE, &self.subnets, endpoints);
        let mut nft = NftSocket::open().map_err(netlink("open nftables"))?;
        nft.commit(&table).map_err(netlink("set up nftables"))?;
        // Forwarding opens last: the rules that bound it are in place.
        self.write_settings()
    }

    fn ensure_bridge(&self, routes: &mut RouteSocket) -> Result<u32, NetError> {
        let found = routes.link(BRIDGE).map_err(netlink("look for the bridge"))?;
        let index = match found {
            Some(Link { index, .. }) => index,
            None => routes
                .create_link(BRIDGE, &NewLink::Bridge)
                .map_err(netlink("make the bridge"))?,
        };
        let [a, b, c, d] = self.subnets.gateway4().octets();
        // A fixed hardware address, or the bridge would take that of each container that joins.
        let mac = Some(Mac([0x02, 0x42, a, b, c, d]));
        let change = LinkChange {
            up: Some(true),
            mac,
            ..LinkChange::default()
        };
        routes
            .change_link(index, &change)
            .map_err(netlink("set the bridge up"))?;
        Ok(index)
    }

    fn write_settings(&self) -> Result<(), NetError> {
        let bridge = format!("/proc/sys/net/ipv4/conf/{BRIDGE}/route_localnet");
        write_setting(Path::new(&bridge), "1")?;
        write_setting(Path::new("/proc/sys/net/ipv4/ip_forward"), "1")?;
        // Forwarding turns router advertisements off on links that have accept_ra=1; netd speaks
        // them itself, so nothing is lost.
        let v6 = Path::new("/proc/sys/net/ipv6/conf/all/forwarding");
        if v6.exists() { write_setting(v6, "1") } else { Ok(()) }
    }

    /// Makes a container's namespace with its loopback up; for `endpoint`, joins it to the bridge
    /// and publishes its ports.
    ///
    /// # Errors
    /// The kernel refused; nothing is left behind.
    pub fn attach(&self, id: &ContainerId, endpoint: Option<&Endpoint>) -> Result<PathBuf, NetError> {
        let path = self.namespace_path(id);
        if endpoint.is_some() {
            self.establish_once()?;
        }
        // What an earlier run that was cut short left would be in the way.
        netns::remove(&path)?;
        let namespace = netns::create(&path)?;
        let done = self.fill_namespace(id, &namespace, endpoint);
        if let Err(error) = done {
            self.detach(id, endpoint);
            return Err(error);
        }
        Ok(path)
    }

    fn fill_namespace(
        &self,
        id: &ContainerId,
        namespace: &OwnedFd,
        endpoint: Option<&Endpoint>,
    ) -> Result<(), NetError> {
        let mut inside = RouteSocket::open_in(namespace.as_fd()).map_err(netlink("enter the namespace"))?;
        let up = LinkChange {
            up: Some(true),
            ..LinkChange::default()
        };
        inside.change_link(1, &up).map_err(netlink("set the loopback up"))?;
        let Some(endpoint) = endpoint else { return Ok(()) };
        self.join_bridge(id, namespace, endpoint)?;
        self.configure_inside(&mut inside, endpoint)?;
        let ports = plan_publish(endpoint);
        if ports.is_empty() {
            return Ok(());
        }
        let mut nft = NftSocket::open().map_err(netlink("open nftables"))?;
        nft.commit(&ports).map_err(netlink("publish ports"))
    }

    fn join_bridge(&self, id: &ContainerId, namespace: &OwnedFd, endpoint: &Endpoint) -> Result<(), NetError> {
        let mut routes = RouteSocket::open().map_err(netlink("open netlink"))?;
        let bridge = routes.index_of(BRIDGE).map_err(netlink("find the bridge"))?;
        let name = host_link(id);
        let pair = NewLink::Veth {
            peer: INSIDE,
            peer_namespace: Some(Namespace::Fd(namespace.as_fd())),
        };
        let created = match routes.create_link(&name, &pair) {
            // Left by a run whose namespace is still dying.
            Err(error) if error.is_exists() => {
                let old = routes.index_of(&name).map_err(netlink("find the old link"))?;
                routes.delete_link(old).map_err(netlink("remove the old link"))?;
                routes.create_link(&name, &pair)
            }
            other => other,
        };
        let index = created.map_err(netlink("make the container's link"))?;
        log::debug!(link = name.as_str(), address:% = endpoint.ip4; "container link made");
        let join = LinkChange {
            up: Some(true),
            master: Some(bridge),
            no_link_local: true,
            ..LinkChange::default()
        };
        routes.change_link(index, &join).map_err(netlink("join the bridge"))
    }

    fn configure_inside(&self, inside: &mut RouteSocket, endpoint: &Endpoint) -> Result<(), NetError> {
        let index = inside.index_of(INSIDE).map_err(netlink("find the container's link"))?;
        let mac = Some(Mac(endpoint.mac));
        let up = LinkChange {
            up: Some(true),
            mac,
            ..LinkChange::default()
        };
        inside
            .change_link(index, &up)
            .map_err(netlink("set the container's link up"))?;
        for (address, gateway) in [
            (
                Address::new(index, endpoint.ip4, self.subnets.prefix4),
                self.subnets.gateway4().into(),
            ),
            (
                Address::new(index, endpoint.ip6, self.subnets.prefix6),
                std::net::IpAddr::V6(self.subnets.gateway6()),
            ),
        ] {
            inside
                .add_address(&address)
                .map_err(netlink("give the container its address"))?;
            let route = Route::default_via(gateway).on(index);
            inside
                .add_route(&route)
                .map_err(netlink("give the container its route"))?;
        }
        Ok(())
    }

    /// Takes back ports, link and namespace of a container. What is gone already is fine; what
    /// cannot be taken back is logged.
    pub fn detach(&self, id: &ContainerId, endpoint: Option<&Endpoint>) {
        if let Some(endpoint) = endpoint {
            self.unpublish(id, endpoint);
            self.remove_link(id);
        }
        if let Err(error) = netns::remove(&self.namespace_path(id)) {
            log::warn!(container = id.as_str(), error = chain(&error); "cannot remove a network namespace");
        }
    }

    fn unpublish(&self, id: &ContainerId, endpoint: &Endpoint) {
        let ports = plan_unpublish(endpoint);
        if ports.is_empty() {
            return;
        }
        let done = NftSocket::open().and_then(|mut nft| nft.commit(&ports));
        if let Err(error) = done {
            log::warn!(container = id.as_str(), error = chain(&error); "cannot take back published ports");
        }
    }

    fn remove_link(&self, id: &ContainerId) {
        let name = host_link(id);
        let done = RouteSocket::open().and_then(|mut routes| {
            let Some(link) = routes.link(&name)? else { return Ok(()) };
            routes.delete_link(link.index)
        });
        match done {
            Err(error) if !error.is_absent() => {
                log::warn!(container = id.as_str(), error = chain(&error); "cannot remove a container's link");
            }
            _ => {}
        }
    }
}

/// The host's end of a container's link.
fn host_link(id: &ContainerId) -> String {
    let digits: String = id.as_str().chars().take(11).collect();
    format!("veth{digits}")
}

fn write_setting(path: &Path, value: &str) -> Result<(), NetError> {
    fs::write(path, value).map_err(|source| NetError::Setting {
        path: path.to_owned(),
        source,
    })
}
