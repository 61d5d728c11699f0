//! What this program knows, as a file for people and programs: `/run/keelson/netd/status.json`.

use crate::network::state::{OwnLink, Summary};
use crate::resolver::core::{Core, Figures};
use crate::time::keeper;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::watch;

/// Changes that come in a row become one write.
const PAUSE: Duration = Duration::from_millis(200);
/// The figures are renewed at least so often.
const LONGEST: Duration = Duration::from_secs(60);

/// The file. Fields are only added.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Status<'a> {
    format: u32,
    online: bool,
    links: Vec<LinkStatus<'a>>,
    /// Described links that are not there and devices that are left out, and why.
    absent: &'a BTreeMap<String, String>,
    dns: Vec<String>,
    search: &'a [String],
    ntp: &'a [Ipv4Addr],
    /// The name a lease gives to this host; the name in force is the configuration's business.
    offered_hostname: Option<&'a str>,
    resolver: ResolverStatus,
    time: keeper::Status,
}

#[derive(Debug, Serialize)]
struct LinkStatus<'a> {
    name: &'a str,
    index: u32,
    mac: Option<String>,
    mtu: u32,
    carrier: bool,
    addresses: Vec<String>,
    lease: Option<LeaseStatus>,
    /// What the document calls it; absent when no document speaks of networks.
    #[serde(skip_serializing_if = "Option::is_none")]
    described: Option<&'a str>,
    /// `vlan` or `bond` when it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    /// What it does not have and why, a sentence each.
    problems: &'a [String],
}

#[derive(Debug, Serialize)]
struct LeaseStatus {
    address: String,
    server: Ipv4Addr,
    gateways: Vec<Ipv4Addr>,
    /// Length of the lease in seconds; absent: for ever.
    seconds: Option<u64>,
}

#[derive(Debug, Serialize)]
struct ResolverStatus {
    #[serde(flatten)]
    figures: Figures,
    records: usize,
    cache: usize,
}

/// Writes the file whenever something changed. Never ends.
pub async fn keep(
    path: &Path,
    mut networks: watch::Receiver<Summary>,
    mut time: watch::Receiver<keeper::Status>,
    core: Rc<Core>,
) {
    loop {
        let text = render(&networks.borrow_and_update(), &time.borrow_and_update(), &core);
        if let Err(error) = text.and_then(|text| write(path, &text)) {
            log::warn!(path:% = path.display(), error:%; "status not written");
        }
        tokio::time::sleep(PAUSE).await;
        tokio::select! {
            changed = networks.changed() => if changed.is_err() { return std::future::pending().await },
            changed = time.changed() => if changed.is_err() { return std::future::pending().await },
            () = tokio::time::sleep(LONGEST) => {}
        }
    }
}

fn render(summary: &Summary, time: &keeper::Status, core: &Core) -> io::Result<Vec<u8>> {
    let (figures, records, cache) = core.figures();
    let status = Status {
        format: 1,
        online: summary.online,
        links: summary.links.iter().map(link_status).collect(),
        absent: &summary.absent,
        dns: summary.dns.iter().map(ToString::to_string).collect(),
        search: &summary.search,
        ntp: &summary.ntp,
        offered_hostname: summary.hostname.as_deref(),
        resolver: ResolverStatus {
            figures,
            records,
            cache,
        },
        time: time.clone(),
    };
    let mut text = serde_json::to_vec_pretty(&status)?;
    text.push(b'\n');
    Ok(text)
}

fn link_status(own: &OwnLink) -> LinkStatus<'_> {
    let lease = own.lease.as_ref().map(|lease| LeaseStatus {
        address: format!("{}/{}", lease.address, lease.prefix),
        server: lease.server,
        gateways: lease
            .settings
            .routes
            .iter()
            .filter(|route| route.prefix == 0)
            .filter_map(|r| r.gateway)
            .collect(),
        seconds: lease.duration.map(|time| time.as_secs()),
    });
    LinkStatus {
        name: &own.link.name,
        index: own.link.index,
        mac: own.link.mac.map(|mac| mac.to_string()),
        mtu: own.link.mtu,
        carrier: own.link.carrier,
        addresses: own
            .addresses
            .iter()
            .map(|(ip, prefix)| format!("{ip}/{prefix}"))
            .collect(),
        lease,
        described: own.name.as_deref(),
        kind: own.link.kind.as_deref(),
        problems: &own.problems,
    }
}

/// Replaces the file in one step. It lives in memory: nothing is flushed.
fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::rename(&new, path)
}
