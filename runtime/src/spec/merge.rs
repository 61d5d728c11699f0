//! Request and image configuration → what really runs. Pure; done once, when a container is made.
//!
//! Docker's rules: the user's environment and labels win over the image's; an entry point given by
//! the user drops the image's command; ports and volumes are joined.

use std::collections::{BTreeMap, BTreeSet};

use oci_spec::image::Config as ImageConfig;

use crate::engine::id::ContainerId;
use crate::engine::record::Resolved;
use crate::engine::request::{ContainerPort, ContainerRequest, MountRequest, MountSource, ProcessRequest, Protocol};

/// Search path when neither image nor user gives one.
pub const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a request cannot become a container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// Neither entry point nor command.
    #[error("no command specified")]
    NoCommand,
    /// Two mounts on one place.
    #[error("Duplicate mount point: {0}")]
    DuplicateMount(String),
    /// A place inside the container that is not absolute, or is its root.
    #[error("invalid mount target {0:?}: must be an absolute path below /")]
    MountTarget(String),
    /// A working directory that is not absolute.
    #[error("the working directory {0:?} is invalid, it needs to be an absolute path")]
    Workdir(String),
    /// A key that cannot be an environment variable.
    #[error("invalid environment variable: {0:?}")]
    Environment(String),
}

/// Merges `request` and the image's configuration for the container `id`.
///
/// # Errors
/// The result could not run, whatever the host does.
pub fn resolve(id: &ContainerId, request: &ContainerRequest, image: &ImageConfig) -> Result<Resolved, MergeError> {
    let process = &request.process;
    let (entrypoint, command) = merge_command(process, image);
    if entrypoint.is_empty() && command.is_empty() {
        return Err(MergeError::NoCommand);
    }
    let hostname = match request.hostname.as_str() {
        "" => id.short().to_owned(),
        given => given.to_owned(),
    };
    // Many images carry an empty one, which says nothing.
    let said = |signal: &String| !signal.is_empty();
    let stop_signal = process
        .stop_signal
        .clone()
        .or_else(|| image.stop_signal().clone().filter(said));
    Ok(Resolved {
        entrypoint,
        command,
        env: merge_env(&process.env, image.env().as_deref().unwrap_or_default())?,
        user: first_of(&process.user, image.user().as_deref()),
        workdir: workdir(&process.workdir, image.working_dir().as_deref())?,
        labels: merge_labels(&request.labels, image.labels().as_ref()),
        stop_signal: stop_signal.unwrap_or_else(|| "SIGTERM".to_owned()),
        expose: merge_ports(request, image.exposed_ports().as_deref().unwrap_or_default()),
        mounts: merge_mounts(&request.mounts, image.volumes().as_deref().unwrap_or_default())?,
        hostname,
    })
}

fn first_of(given: &str, image: Option<&str>) -> String {
    if given.is_empty() {
        image.unwrap_or_default()
    } else {
        given
    }
    .to_owned()
}

/// `[]` and `[""]` clear; absent inherits.
fn merge_command(process: &ProcessRequest, image: &ImageConfig) -> (Vec<String>, Vec<String>) {
    let cleared = |list: &Vec<String>| match list.as_slice() {
        [only] if only.is_empty() => vec![],
        _ => list.clone(),
    };
    let image_command = image.cmd().clone().unwrap_or_default();
    match (&process.entrypoint, &process.command) {
        (None, command) => {
            let command = command.as_ref().map(cleared).filter(|c| !c.is_empty());
            let entrypoint = image.entrypoint().clone().unwrap_or_default();
            (entrypoint, command.unwrap_or(image_command))
        }
        (Some(entrypoint), command) => {
            let entrypoint = cleared(entrypoint);
            let inherited = if entrypoint.is_empty() { image_command } else { vec![] };
            let command = command.as_ref().map(cleared).filter(|c| !c.is_empty());
            (entrypoint, command.unwrap_or(inherited))
        }
    }
}

/// The image's variables in their order, overridden in place, then the user's own. `KEY` alone
/// takes one away.
fn merge_env(user: &[String], image: &[String]) -> Result<Vec<String>, MergeError> {
    let mut merged: Vec<String> = vec![];
    for entry in image.iter().chain(user) {
        let key = entry.split('=').next().unwrap_or_default();
        if key.is_empty() || entry.contains('\0') {
            return Err(MergeError::Environment(entry.clone()));
        }
        let place = merged.iter().position(|have| have.split('=').next() == Some(key));
        match (place, entry.contains('=')) {
            (Some(at), true) => {
                if let Some(slot) = merged.get_mut(at) {
                    slot.clone_from(entry);
                }
            }
            (Some(at), false) => {
                merged.remove(at);
            }
            (None, true) => merged.push(entry.clone()),
            (None, false) => {}
        }
    }
    if !merged.iter().any(|entry| entry.starts_with("PATH=")) {
        merged.insert(0, DEFAULT_PATH.to_owned());
    }
    Ok(merged)
}

fn workdir(given: &str, image: Option<&str>) -> Result<String, MergeError> {
    match first_of(given, image) {
        empty if empty.is_empty() => Ok("/".to_owned()),
        path if path.starts_with('/') => Ok(path),
        path => Err(MergeError::Workdir(path)),
    }
}

fn merge_labels(
    user: &BTreeMap<String, String>,
    image: Option<&std::collections::HashMap<String, String>>,
) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<_, _> = image
        .into_iter()
        .flatten()
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    labels.extend(user.clone());
    labels
}

fn merge_ports(request: &ContainerRequest, image: &[String]) -> Vec<ContainerPort> {
    let mut ports: BTreeSet<ContainerPort> = image
        .iter()
        .flat_map(|text| parse_ports(text).unwrap_or_default())
        .collect();
    ports.extend(&request.network.expose);
    ports.extend(request.network.publish.iter().map(|publish| publish.container));
    ports.into_iter().collect()
}

/// `80`, `80/tcp`, `8000-8010/udp`. `None` for anything else.
pub fn parse_ports(text: &str) -> Option<Vec<ContainerPort>> {
    let (range, protocol) = match text.split_once('/') {
        None | Some((_, "tcp")) => (text.split('/').next()?, Protocol::Tcp),
        Some((range, "udp")) => (range, Protocol::Udp),
        Some(_) => return None,
    };
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    if first == 0 || first > last {
        return None;
    }
    Some((first..=last).map(|port| ContainerPort { port, protocol }).collect())
}

/// The user's mounts, then an anonymous volume for each volume of the image that nothing covers;
/// parents before children.
fn merge_mounts(user: &[MountRequest], image: &[String]) -> Result<Vec<MountRequest>, MergeError> {
    let mut by_target: BTreeMap<String, MountRequest> = BTreeMap::new();
    for mount in user {
        let target = clean_target(&mount.target)?;
        let mount = MountRequest {
            target: target.clone(),
            ..mount.clone()
        };
        if by_target.insert(target.clone(), mount).is_some() {
            return Err(MergeError::DuplicateMount(target));
        }
    }
    for volume in image {
        let target = clean_target(volume)?;
        let source = MountSource::Volume {
            name: String::new(),
            no_copy: false,
        };
        let anonymous = MountRequest {
            source,
            target: target.clone(),
            read_only: false,
        };
        by_target.entry(target).or_insert(anonymous);
    }
    Ok(by_target.into_values().collect())
}

/// The target without doubled slashes and dots; `..` and the root itself are refused.
fn clean_target(target: &str) -> Result<String, MergeError> {
    let refused = || MergeError::MountTarget(target.to_owned());
    if !target.starts_with('/') || target.contains('\0') {
        return Err(refused());
    }
    let parts: Vec<&str> = target.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    if parts.is_empty() || parts.contains(&"..") {
        return Err(refused());
    }
    Ok(format!("/{}", parts.join("/")))
}

#[cfg(test)]
#[path = "merge_test.rs"]
mod tests;
