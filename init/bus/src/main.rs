//! `keelson-busd`: takes the socket PID 1 keeps for it, puts the objects on the bus, serves until nobody is there.

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use keelson_busd::access;
use keelson_busd::link::{self, Link};
use keelson_busd::objects::{self, BootRecord, Units, World};
use keelson_busd::router::Router;
use keelson_busd::server::Server;
use keelson_daemon::{notify, passed_fds};
use keelson_image_layout::boot_history::History;
use keelson_image_layout::paths;
use zbus::connection::socket::Channel;

/// Nobody was there for this long: it ends, and the next who connects starts it again.
const IDLE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    keelson_daemon::run("keelson-busd", run())
}

async fn run() -> anyhow::Result<()> {
    let socket = passed_fds::take().into_iter().find(|(name, _)| name == "bus");
    let (_, socket) = socket.context("no socket was passed: this program is started by PID 1, as the unit bus")?;
    let guid = zbus::Guid::generate().to_string();
    let router = Arc::new(Mutex::new(Router::new(&guid)));
    let control = Path::new(paths::CONTROL);
    let (units, notices) = link::follow(control).context("PID 1 does not answer")?;
    let world = World {
        link: Link::new(control),
        units: Units::of(units),
        boot: Arc::new(read_boot()),
        router: router.clone(),
    };
    let (ours, theirs) = Channel::pair();
    let connection = objects::serve(&world, ours, &guid)
        .await
        .context("put the objects on the bus")?;
    let identify = Box::new(|stream: &_| access::identify(stream, Path::new(paths::BUS_GRANTS)));
    let server = Server::start(identify, router, &guid, theirs);
    notify::ready();
    tokio::select! {
        ended = server.run(socket, IDLE) => ended.context("listen"),
        told = objects::tell(&world, &connection, notices) => {
            told.context("tell what PID 1 tells")?;
            anyhow::bail!("PID 1 has closed the connection; starting again brings a new one")
        }
    }
}

/// How this boot came about, as far as it is known.
fn read_boot() -> BootRecord {
    let read = |path| std::fs::read(path).unwrap_or_default();
    BootRecord {
        facts: serde_json::from_slice(&read(paths::BOOT_FACTS)).ok(),
        history: History::parse(&read(paths::BOOT_HISTORY)).unwrap_or_default(),
    }
}
