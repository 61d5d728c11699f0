//! Puts the engine together and runs it: directories, stores, what earlier runs left, sockets.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::api::App;
use crate::declared::Keeper;
use crate::engine::action::{Action, Handle};
use crate::engine::owner::Owner;
use crate::engine::store::ContainerStore;
use crate::image::{Mounts, Store};
use crate::launch::{World, disk};
use crate::net::apply::Network;
use crate::net::{load_subnets, resolver};
use crate::options::Options;
use crate::registries;
use crate::volume::Volumes;

/// How many requests may wait for the owner.
const QUEUE: usize = 64;

/// Runs the engine until it fails or is asked to stop. Containers go on without it, unless the machine itself ends.
///
/// # Errors
/// Something it cannot do without is missing.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let listener = listen(options.socket.as_deref())?;
    let world = Arc::new(open_world(&options)?);
    let store = ContainerStore::open(options.root.join("containers")).context("open containers")?;
    let (sender, queue) = mpsc::channel(QUEUE);
    let boot_id = read_boot_id()?;
    let mut owner = Owner::new(Arc::clone(&world), store, boot_id.clone(), sender.clone());
    owner.reconcile().await.context("take over containers")?;
    tokio::spawn(owner.run(queue));

    resolver::announce(options.resolver.clone(), *world.network.subnets()).context("start talking to the resolver")?;
    let (publisher, registries) = registries::channel();
    let engine = Handle::new(sender);
    let keeper = Keeper {
        engine: engine.clone(),
        images: Arc::clone(&world.images),
        registries: registries.clone(),
        publisher,
        path: options.config.clone(),
        status: options.run.join("declared.json"),
        boot_id,
    };
    let (tell, told) = watch::channel(0);
    tokio::spawn(keeper.run(told));
    let mut hangups = signal(SignalKind::hangup()).context("listen for SIGHUP")?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            tell.send_modify(|count| *count = count.wrapping_add(1));
        }
    });

    let app = App {
        engine: engine.clone(),
        world,
        registries,
        started: Timestamp::now(),
        execs: Arc::default(),
    };
    keelson_daemon::notify::ready();
    log::info!("engine is ready");
    tokio::select! {
        served = app.serve(listener) => served.context("serve the API"),
        () = keelson_daemon::termination() => end(&engine, &options.shutting_down).await,
    }
}

/// PID 1 leaves word when the machine ends; without it only this program does.
async fn end(engine: &Handle, shutting_down: &Path) -> anyhow::Result<()> {
    if !shutting_down.exists() {
        return Ok(());
    }
    keelson_daemon::notify::status("stopping containers");
    engine
        .ask(|reply| Action::Close { reply })
        .await
        .context("stop the containers")
}

fn open_world(options: &Options) -> anyhow::Result<World> {
    let Options { root, run, .. } = options;
    for (directory, mode) in [
        (root.clone(), 0o700),
        (root.join("networks"), 0o700),
        (root.join("volumes"), 0o711),
        (run.join("shims"), 0o711),
        (run.join("netns"), 0o700),
    ] {
        make_directory(&directory, mode)?;
    }
    disk::bound_shared(root, &root.join("volumes"));
    let images = Store::open(root).context("open the image store")?;
    let mounts = Mounts::new(Arc::clone(&images), &run.join("images")).context("prepare mounts")?;
    let subnets = load_subnets(&root.join("networks/bridge.json"))?;
    Ok(World {
        root: root.clone(),
        run: run.clone(),
        cgroups: options.cgroups.clone(),
        shim: options.shim.clone(),
        journal: options.journal.exists().then(|| options.journal.clone()),
        secrets: options.secrets.clone(),
        images,
        mounts,
        volumes: Volumes::new(root.join("volumes")),
        network: Network::new(subnets, run.join("netns")),
    })
}

fn make_directory(path: &Path, mode: u32) -> anyhow::Result<()> {
    fs::create_dir_all(path).with_context(|| format!("make {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("set the mode of {}", path.display()))
}

/// The socket named on the command line, or the one PID 1 passes.
fn listen(path: Option<&Path>) -> anyhow::Result<UnixListener> {
    let listener = match path {
        Some(path) => bind(path)?,
        None => passed_socket()?,
    };
    listener.set_nonblocking(true).context("set up the socket")?;
    UnixListener::from_std(listener).context("watch the socket")
}

fn bind(path: &Path) -> anyhow::Result<std::os::unix::net::UnixListener> {
    let failed = || format!("listen on {}", path.display());
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(failed);
        }
        _ => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(path).with_context(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660)).with_context(failed)?;
    Ok(listener)
}

fn passed_socket() -> anyhow::Result<std::os::unix::net::UnixListener> {
    let passed = keelson_daemon::passed_fds::take().into_iter().next();
    let (_, socket) = passed.context("PID 1 passed no socket; use --socket PATH")?;
    Ok(socket.into())
}

/// This boot's identity.
fn read_boot_id() -> anyhow::Result<String> {
    let path = PathBuf::from("/proc/sys/kernel/random/boot_id");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(text.trim().to_owned())
}
