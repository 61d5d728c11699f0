//! The commands of updates: releases, offers, their keys, and a server to try them.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use keelson_os_build::progress::Progress;
use keelson_os_build::publish::keys::{Duty, KeyFolder};
use keelson_os_build::publish::offer::{self, Change};
use keelson_os_build::publish::repository::Repository;
use keelson_os_build::publish::{Content, ceremony, release};
use keelson_os_build::secure_boot;
use keelson_os_build::serve::{Fault, Server};
use keelson_payload::Version;

use crate::locked;

#[derive(Args)]
pub struct ReleaseArguments {
    /// Raw disk image with the release
    #[arg(long)]
    disk: PathBuf,
    /// Folder of the repository; a new one begins empty
    #[arg(long)]
    repository: PathBuf,
    /// Channel that shall offer the release
    #[arg(long, default_value = "stable")]
    channel: String,
    /// Folder with the keys
    #[arg(long)]
    keys: PathBuf,
    /// Make patches from so many earlier releases
    #[arg(long, default_value_t = 8)]
    keep: usize,
    /// Oldest version that machines may go back to once this one has proven itself
    #[arg(long)]
    floor: Option<Version>,
}

#[derive(Args)]
pub struct RolloutArguments {
    /// Folder of the repository
    #[arg(long)]
    repository: PathBuf,
    /// Folder with the online key
    #[arg(long)]
    keys: PathBuf,
    /// Channel concerned
    #[arg(long, default_value = "stable")]
    channel: String,
    #[command(flatten)]
    change: RolloutChange,
}

#[derive(Args)]
#[group(required = true, multiple = true)]
struct RolloutChange {
    /// Let no machine take the offer any further
    #[arg(long, conflicts_with = "resume")]
    halt: bool,
    /// Let the offer stand again
    #[arg(long)]
    resume: bool,
    /// Offer a release of the repository; may be repeated
    #[arg(long = "offer", value_name = "FLAVOUR=VERSION", value_parser = parse_offer)]
    offers: Vec<Change>,
    /// Sign again what is signed online: at least once a day
    #[arg(long)]
    refresh: bool,
}

#[derive(Args)]
pub struct ServeArguments {
    /// Folder to serve
    folder: PathBuf,
    /// Address to listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    address: IpAddr,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// What goes wrong: cut=BYTES, wrong, STATUS, slow=BYTES_A_SECOND, no-range, endless, stall; with @TEXT only for paths
    /// that have it
    #[arg(long = "fault", value_name = "KIND")]
    faults: Vec<Fault>,
}

/// Keys of updates.
#[derive(Subcommand)]
pub enum KeyCommand {
    /// Make the keys of updates in a folder that has none yet
    Update {
        /// Folder, for instance that of the Secure Boot keys
        folder: PathBuf,
    },
    /// Make a further signing key of Secure Boot, and the update that adds it to what firmware accepts
    Database {
        /// Folder of keys
        folder: PathBuf,
        /// Whose key it is, for the certificate's name
        #[arg(long, default_value = "Keelson owner")]
        owner: String,
    },
    /// Begin a repository: who may sign releases, to be put into images
    Begin {
        #[command(flatten)]
        place: Place,
    },
    /// Let one more key sign: a new one, or that of another person
    Add {
        /// What it signs: root, targets or online
        duty: Duty,
        /// Public half (NAME.pub) that somebody else made
        #[arg(long, value_name = "FILE")]
        public: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// Let a key sign no more, lost or stolen or replaced
    Retire {
        /// Its name, for instance targets-2
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Give the root or the list of releases a new date
    Renew {
        /// root or targets
        duty: Duty,
        #[command(flatten)]
        place: Place,
    },
    /// Sign a draft (staged/N.root.json, staged/N.targets.json), wherever it was carried
    Sign {
        /// The draft
        file: PathBuf,
        /// Folder with the signer's keys
        #[arg(long)]
        keys: PathBuf,
    },
}

#[derive(Args)]
pub struct Place {
    /// Folder of the repository
    #[arg(long)]
    repository: PathBuf,
    /// Folder with the keys
    #[arg(long)]
    keys: PathBuf,
}

fn parse_offer(text: &str) -> Result<Change, String> {
    let (flavour, version) = text.split_once('=').ok_or("expected FLAVOUR=VERSION")?;
    let version = version.parse::<Version>().map_err(|error| error.to_string())?;
    Ok(Change::Offer(flavour.to_owned(), version))
}

/// What is left to do.
pub fn release(arguments: ReleaseArguments) -> Result<String> {
    let request = release::Request {
        repository: arguments.repository,
        channel: arguments.channel,
        keys: arguments.keys,
        keep: arguments.keep,
        floor: arguments.floor,
        now: jiff::Timestamp::now(),
    };
    release::add(&request, &Content::read(&arguments.disk)?, Progress::to_stderr())
}

pub fn rollout(arguments: RolloutArguments) -> Result<()> {
    let change = arguments.change;
    let switch = [(change.halt, Change::Halt), (change.resume, Change::Resume)];
    let switched = switch
        .into_iter()
        .filter_map(|(wanted, change)| wanted.then_some(change));
    let changes: Vec<(String, Change)> = change
        .offers
        .into_iter()
        .chain(switched)
        .map(|change| (arguments.channel.clone(), change))
        .collect();
    let (repository, keys) = (Repository::at(&arguments.repository), KeyFolder::at(&arguments.keys));
    offer::publish(&repository, &keys, &changes, jiff::Timestamp::now())
}

pub fn serve(arguments: ServeArguments) -> Result<()> {
    let address = (arguments.address, arguments.port).into();
    let server = Server::start(&arguments.folder, address, arguments.faults)
        .with_context(|| format!("cannot listen on {address}"))?;
    Progress::to_stderr().say(&format!("{} at {}", arguments.folder.display(), server.url()));
    loop {
        std::thread::park();
    }
}

/// What was done and what is left to do.
pub fn keys(command: KeyCommand) -> Result<String> {
    let now = jiff::Timestamp::now();
    let open = |place: &Place| (Repository::at(&place.repository), KeyFolder::at(&place.keys));
    match command {
        KeyCommand::Update { folder } => create(&folder),
        KeyCommand::Database { folder, owner } => {
            let name = secure_boot::keys::add_database(&folder, &owner, locked::now())?;
            Ok(format!(
                "bring {name}.auth to every firmware, then sign with --key {name}\n"
            ))
        }
        KeyCommand::Begin { place } => {
            let (repository, keys) = open(&place);
            ceremony::begin(&repository, &keys, now)
        }
        KeyCommand::Add { duty, public, place } => {
            let (repository, keys) = open(&place);
            ceremony::add(&repository, &keys, duty, public.as_deref(), now)
        }
        KeyCommand::Retire { name, place } => {
            let (repository, keys) = open(&place);
            ceremony::retire(&repository, &keys, &name, now)
        }
        KeyCommand::Renew { duty, place } => {
            let (repository, keys) = open(&place);
            ceremony::renew(&repository, &keys, duty, now)
        }
        KeyCommand::Sign { file, keys } => ceremony::sign(&file, &KeyFolder::at(&keys)),
    }
}

/// Makes the keys of updates beside those of Secure Boot.
pub fn create(folder: &Path) -> Result<String> {
    if !folder.exists() {
        keelson_durable::directory(folder, 0o700)?;
    }
    KeyFolder::at(folder).create()?;
    Ok(format!(
        "root, targets and online keys in {}; keep all but the online one apart\n",
        folder.display()
    ))
}
