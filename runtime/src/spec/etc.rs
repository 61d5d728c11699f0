//! The files of `/etc` that the engine makes for a container: their texts. Pure.

use std::net::IpAddr;

use crate::engine::record::{ContainerRecord, Endpoint};
use crate::engine::request::NetworkMode;

/// `/etc/hosts`. `gateway` is what `host-gateway` stands for.
pub fn hosts_text(record: &ContainerRecord, endpoint: Option<&Endpoint>, gateway: IpAddr) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::\tip6-localnet\n\
         ff00::\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n",
    );
    for extra in &record.request.network.extra_hosts {
        if let Some((name, address)) = split_host(extra) {
            let address = match address {
                "host-gateway" => gateway.to_string(),
                given => given.to_owned(),
            };
            text.push_str(&format!("{address}\t{name}\n"));
        }
    }
    if let Some(endpoint) = endpoint {
        let names = host_names(record);
        text.push_str(&format!("{}\t{names}\n{}\t{names}\n", endpoint.ip4, endpoint.ip6));
    }
    text
}

fn host_names(record: &ContainerRecord) -> String {
    let name = &record.resolved.hostname;
    match record.request.domainname.as_str() {
        "" => name.clone(),
        domain => format!("{name}.{domain} {name}"),
    }
}

/// `name:address`; the address may hold colons, or stand in brackets, or be split off by `=`.
pub fn split_host(entry: &str) -> Option<(&str, &str)> {
    let (name, address) = entry.split_once('=').or_else(|| entry.split_once(':'))?;
    let address = address
        .strip_prefix('[')
        .and_then(|a| a.strip_suffix(']'))
        .unwrap_or(address);
    (!name.is_empty() && !address.is_empty()).then_some((name, address))
}

/// `/etc/hostname`.
pub fn hostname_text(record: &ContainerRecord) -> String {
    format!("{}\n", record.resolved.hostname)
}

/// `/etc/resolv.conf`: what was asked for; else on the bridge the resolver at its gateway, with the
/// host's search domains; else the host's own text.
pub fn resolv_text(record: &ContainerRecord, gateway: IpAddr, host: &str) -> String {
    let network = &record.request.network;
    let own = !network.dns.is_empty();
    if network.mode == NetworkMode::Host && !own && network.dns_search.is_empty() {
        return host.to_owned();
    }
    let mut text = String::new();
    let servers = if own {
        network.dns.clone()
    } else {
        vec![gateway.to_string()]
    };
    for server in servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    let search = match network.dns_search.as_slice() {
        [] => host_values(host, "search"),
        // A single dot asks for no search at all.
        [dot] if dot == "." => String::new(),
        given => given.join(" "),
    };
    if !search.is_empty() {
        text.push_str(&format!("search {search}\n"));
    }
    if !network.dns_options.is_empty() {
        text.push_str(&format!("options {}\n", network.dns_options.join(" ")));
    }
    text
}

fn host_values(text: &str, keyword: &str) -> String {
    let values = text.lines().rev().find_map(|line| line.trim().strip_prefix(keyword));
    values.unwrap_or_default().trim().to_owned()
}
