//! No two links mean the same device.

use super::Scene;
use crate::check::sink::Findings;
use crate::model::network::Link;
use crate::value::LinkPattern;

pub(super) fn check(scene: Scene<'_>, out: &mut Findings) {
    let links: Vec<(&str, &Link)> = scene.readable().collect();
    for (at, (name, link)) in links.iter().enumerate() {
        // Enough of them: a document with thousands of links is not one of a machine's.
        let earlier = links.get(..at).unwrap_or_default().iter().take(256);
        for (other_name, other) in earlier {
            if let Some((path, what)) = same_device(name, link, other_name, other) {
                let message = format!("{what} is the link {other_name:?} already");
                let finding = scene.contradiction(name, path, message, "describe a device once");
                out.push(finding.related("described here", scene.span(other_name, "")));
            }
        }
    }
}

/// Where the second of two links says what the first said, and what it says.
fn same_device(name: &str, link: &Link, other_name: &str, other: &Link) -> Option<(&'static str, String)> {
    if let (Some(mac), Some(their)) = (link.matches.mac, other.matches.mac) {
        return (mac == their).then(|| ("match.mac", format!("the device {mac}")));
    }
    let (mine, theirs) = (pattern(name, link)?, pattern(other_name, other)?);
    let same = match (mine.is_glob(), theirs.is_glob()) {
        (false, false) => mine == theirs,
        (false, true) => theirs.matches(mine.as_str()),
        (true, false) => mine.matches(theirs.as_str()),
        (true, true) => mine == theirs,
    };
    let path = if link.matches.name.is_some() { "match.name" } else { "" };
    let named = if mine.is_glob() { &theirs } else { &mine };
    same.then(|| (path, format!("the device {:?}", named.as_str())))
}

/// The name by which alone a link is told; None when there are other conditions.
fn pattern(name: &str, link: &Link) -> Option<LinkPattern> {
    let only_name = link.matches.mac.is_none() && link.matches.driver.is_none();
    match &link.matches.name {
        Some(pattern) => only_name.then(|| pattern.clone()),
        None => only_name.then(|| name.parse().ok()).flatten(),
    }
}
