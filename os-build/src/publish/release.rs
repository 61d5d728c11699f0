//! Adding a release to a repository.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp as Time;
use keelson_payload::{Manifest, Version};
use keelson_tuf::Draft;
use keelson_tuf::metadata::{Root, Targets};

use super::keys::{Duty, KeyFolder};
use super::repository::Repository;
use super::{Content, Earlier, drafts, file, listing, offer, roles};
use crate::progress::{Progress, mib};

/// Where a release goes.
#[derive(Debug, Clone)]
pub struct Request {
    /// Folder that is served.
    pub repository: PathBuf,
    /// Channel that shall offer it.
    pub channel: String,
    /// Folder of keys.
    pub keys: PathBuf,
    /// Earlier releases that patches are made from, counted from the newest.
    pub keep: usize,
    /// Oldest version that machines may go back to afterwards.
    pub floor: Option<Version>,
    /// Time the metadata is signed at.
    pub now: Time,
}

/// Adds a release. If all signatures can be made here, the channel offers it; else says what is left to do.
///
/// # Errors
/// Says which step failed. What machines see is unchanged then.
pub fn add(request: &Request, content: &Content, progress: Progress) -> Result<String> {
    let repository = Repository::at(&request.repository);
    let keys = KeyFolder::at(&request.keys);
    let flavour = content.naming.flavour.name();
    let version: Version = content.naming.version.parse()?;
    let root = drafts::root_or_first(&repository, &keys, request.now)?;
    let mut targets = drafts::targets(&repository, request.now)?;
    let manifest = listing::target(flavour, &version, listing::MANIFEST);
    ensure!(
        !targets.targets.contains_key(&manifest),
        "{flavour} {version} is released already; a release is never changed: give it another version"
    );
    let earlier = earlier(&repository, flavour, &version, request.keep)?;
    add_files(
        &repository,
        content,
        &earlier,
        request.floor.clone(),
        &mut targets,
        progress,
    )?;
    open_channel(&repository, &root, &mut targets, &request.channel)?;
    drafts::stage_targets(&repository, &keys, &targets)?;
    let offered = [(
        request.channel.clone(),
        offer::Change::Offer(flavour.to_owned(), version.clone()),
    )];
    let waiting = offer::waiting(&repository, &keys)?;
    if waiting.is_empty() {
        offer::publish(&repository, &keys, &offered, request.now)?;
        return Ok(format!("channel {} offers {flavour} {version}\n", request.channel));
    }
    Ok(format!(
        "{}\nthen: os-build rollout --channel {} --offer {flavour}={version}\n",
        waiting.join("\n"),
        request.channel
    ))
}

/// The newest `keep` releases of a flavour whose files are in the repository.
fn earlier(repository: &Repository, flavour: &str, new: &Version, keep: usize) -> Result<Vec<Earlier>> {
    let names = repository.in_folder(&format!("releases/{flavour}"))?;
    let mut versions: Vec<Version> = names.iter().filter_map(|name| name.parse().ok()).collect();
    versions.retain(|version| version != new);
    versions.sort();
    let first = versions.len().saturating_sub(keep);
    let read = |version: Version| {
        let find = |name: &str| {
            let target = listing::target(flavour, &version, name);
            repository
                .find_target(&target)?
                .with_context(|| format!("no target {target}"))
        };
        Earlier::read(&Manifest::parse(&find(listing::MANIFEST)?)?, &find)
    };
    versions.into_iter().skip(first).map(read).collect()
}

fn add_files(
    repository: &Repository,
    content: &Content,
    earlier: &[Earlier],
    floor: Option<Version>,
    targets: &mut Targets,
    progress: Progress,
) -> Result<()> {
    let step = progress.step("segments");
    let made = file::make(content, earlier, floor, &|what| step.at(what))?;
    let sizes = made
        .files
        .iter()
        .map(|file| format!("{} {}", file.name, mib(file.bytes.len() as u64)));
    step.done(&sizes.collect::<Vec<_>>().join(", "));
    for file in &made.files {
        let name = listing::target(&made.manifest.flavour, &made.manifest.version, &file.name);
        let described = repository.put_target(&name, &file.bytes)?;
        targets.targets.insert(name, described);
    }
    Ok(())
}

/// Lets the online keys sign for the channel, and shortens the list to what channels need.
fn open_channel(repository: &Repository, root: &Root, targets: &mut Targets, channel: &str) -> Result<()> {
    let mut offered = BTreeSet::new();
    let mut channels = roles::channels(targets);
    for known in &channels {
        offered.extend(offer::current(repository, targets, known)?.releases);
    }
    if !channels.iter().any(|known| known == channel) {
        channels.push(channel.to_owned());
    }
    listing::shorten(&mut targets.targets, &offered);
    roles::delegate(targets, &channels, drafts::online_keys(root))
}

/// What a signer is about to sign, for people.
///
/// # Errors
/// The draft is neither of a root nor of targets.
pub fn describe(draft: &Draft, keys: &KeyFolder) -> Result<(Duty, String)> {
    if let Ok(root) = draft.content::<Root>() {
        let roles = [
            (Duty::Root, &root.roles.root),
            (Duty::Targets, &root.roles.targets),
            (Duty::Online, &root.roles.timestamp),
        ];
        let lines = roles.map(|(duty, role)| {
            let names: Vec<String> = role.keyids().iter().map(|id| keys.name_of(id)).collect();
            format!("  {} of {} sign for {duty}\n", role.threshold(), names.join(", "))
        });
        return Ok((
            Duty::Root,
            format!("root {}, until {}\n{}", root.version, root.expires, lines.concat()),
        ));
    }
    let targets = draft.content::<Targets>().context("neither a root nor targets")?;
    let files = targets.targets.iter();
    let lines = files.map(|(name, file)| format!("  {name} {} {}\n", file.length, file.hashes.for_name()));
    Ok((
        Duty::Targets,
        format!(
            "targets {}, until {}\n{}",
            targets.version,
            targets.expires,
            lines.collect::<String>()
        ),
    ))
}
