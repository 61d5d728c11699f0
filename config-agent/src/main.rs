//! Runs once, early on each boot; with `power` once more when the boot is complete. Leaves the machine with its configuration, or with what there is without one, and
//! says which. Only a machine on which other programs could not read the result gives a failure.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use keelson_config::generation;
use keelson_config::places::Places;
use keelson_config::power;
use keelson_config::run::{Outcome, run};
use keelson_config::source;
use keelson_config::status;
use keelson_config::steps::Steps;

fn main() -> ExitCode {
    keelson_daemon::init_logging("keelson-config");
    let places = Places::below(Path::new("/"));
    match std::env::args().nth(1).as_deref() {
        None => keelson_daemon::report(configure(&places)),
        Some("power") => keelson_daemon::report(power::run(&places)),
        Some(other) => keelson_daemon::report(Err(anyhow::anyhow!("there is no {other:?}; the one word is `power`"))),
    }
}

fn configure(places: &Places) -> anyhow::Result<()> {
    let pinned = generation::Store::read_only(&places.config).pinned();
    let looked = source::look(places, pinned.as_ref());
    let Outcome { status, .. } = run(places, looked, Steps::all())?;
    let lines = status.lines();
    status::print(&lines, &places.dev.join("console"));
    for line in &lines {
        log::info!("{line}");
    }
    let json = generation::json(&status).context("write the status as JSON")?;
    keelson_durable::replace(&places.run.join("config/status.json"), &json, 0o644).context("write the status")
}
