//! Runs once, early on each boot. Leaves the machine with its configuration, or with what there is without one, and
//! says which. Only a machine on which other programs could not read the result gives a failure.
//!
//! With the word `metadata` it waits for what a cloud's metadata service says, and applies that; with `power` it ends the
//! machine when the boot is complete, if the document asks for that.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use keelson_config::places::Places;
use keelson_config::run::{self, Outcome};
use keelson_config::source::ec2;
use keelson_config::status;
use keelson_config::steps::Steps;
use keelson_config::{power, remote};

fn main() -> ExitCode {
    keelson_daemon::init_logging("keelson-config");
    let places = Places::below(Path::new("/"));
    keelson_daemon::report(match std::env::args().nth(1).as_deref() {
        None => configure(&places),
        Some("power") => power::run(&places),
        Some("metadata") => wait(&places),
        Some(other) => Err(anyhow::anyhow!(
            "there is no {other:?}: the words are `power` and `metadata`"
        )),
    })
}

fn configure(places: &Places) -> anyhow::Result<()> {
    let Outcome { mut status, effective } = run::run(places, run::look(places), Steps::all())?;
    let provenance = run::provenance_in_force(places).ok().flatten();
    let in_force = provenance
        .as_ref()
        .map(|provenance| (provenance, effective.config.policy.reapply));
    if remote::decide(ec2::detected(&places.sys), status.state, in_force) {
        match remote::start() {
            Ok(()) => status.asks("EC2's metadata service"),
            Err(error) => status
                .degraded
                .push(format!("EC2's metadata service is not asked: {error:#}")),
        }
    }
    status::publish(&status, places)
}

fn wait(places: &Places) -> anyhow::Result<()> {
    let passed = keelson_daemon::passed_fds::take();
    let (_, socket) = passed.into_iter().next().context("no socket was passed")?;
    remote::apply(places, &UnixListener::from(socket))
}
