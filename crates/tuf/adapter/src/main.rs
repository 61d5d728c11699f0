//! The client of `keelson-tuf` behind the three commands that the public TUF conformance suite drives
//! (docs/tasks/tuf-conformance.md). A program for tests: no part of the image.

mod http;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use jiff::Timestamp;
use keelson_tuf::{Client, Clock, FileStore, Limits, Location, Target};

use crate::http::Http;

/// Speaks for a repository what the conformance suite asks.
#[derive(Debug, Parser)]
struct Arguments {
    /// Folder of trusted metadata.
    #[arg(long, global = true)]
    metadata_dir: Option<PathBuf>,
    /// Address of the repository's metadata.
    #[arg(long, global = true)]
    metadata_url: Option<String>,
    /// A target to download; may be repeated.
    #[arg(long, global = true)]
    target_name: Vec<String>,
    /// Address of the repository's targets.
    #[arg(long, global = true)]
    target_base_url: Option<String>,
    /// Folder of downloaded targets.
    #[arg(long, global = true)]
    target_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Takes over a root that is trusted from now on.
    Init {
        /// The file.
        trusted_root: PathBuf,
    },
    /// Brings trusted metadata up to date.
    Refresh,
    /// Brings it up to date and downloads the targets.
    Download,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let folder = arguments.metadata_dir.as_deref().context("--metadata-dir is missing")?;
    match &arguments.command {
        Command::Init { trusted_root } => init(folder, trusted_root),
        Command::Refresh => {
            let mut client = client(&arguments, folder)?;
            client.refresh(now()).await?;
            Ok(())
        }
        Command::Download => download(&arguments, folder).await,
    }
}

fn now() -> Clock {
    Clock::Trusted(Timestamp::now())
}

fn init(folder: &Path, root: &Path) -> anyhow::Result<()> {
    let bytes = std::fs::read(root).with_context(|| format!("read {}", root.display()))?;
    Ok(keelson_durable::replace(&folder.join("root.json"), &bytes, 0o644)?)
}

/// The newest stored root is the one that is trusted: the suite has no other place for it.
fn client(arguments: &Arguments, folder: &Path) -> anyhow::Result<Client<Http, FileStore>> {
    let root = std::fs::read(folder.join("root.json")).context("no root.json: run init first")?;
    let store = FileStore::open(folder, &folder.join("latest-time"))?;
    let metadata = arguments.metadata_url.clone().context("--metadata-url is missing")?;
    let targets = arguments.target_base_url.clone().unwrap_or_default();
    Ok(Client::new(
        Http::new(metadata, targets)?,
        store,
        &root,
        Limits::default(),
    )?)
}

async fn download(arguments: &Arguments, folder: &Path) -> anyhow::Result<()> {
    let target_dir = arguments.target_dir.as_deref().context("--target-dir is missing")?;
    let mut client = client(arguments, folder)?;
    let set = client.refresh(now()).await?;
    for name in &arguments.target_name {
        let Some(target) = client.find(&set, name).await? else {
            bail!("no role that may sign for {name:?} lists it");
        };
        let path = target_dir.join(file_name(name));
        if !is_there(&target, &path) {
            let bytes = client.read(&target, u64::MAX).await?;
            keelson_durable::replace(&path, &bytes, 0o644)?;
        }
    }
    Ok(())
}

/// A name for a target that stays in its folder.
fn file_name(target: &str) -> String {
    Location::metadata(target, None).to_string()
}

/// Whether the target was downloaded before.
fn is_there(target: &Target, path: &Path) -> bool {
    let (Ok(bytes), Ok(mut check)) = (std::fs::read(path), target.check()) else {
        return false;
    };
    check.update(&bytes).is_ok() && check.finish().is_ok()
}
