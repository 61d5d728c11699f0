//! One look at the machine: PID 1, the container engine, the operator's probes.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use keelson_engine_client::ask;
use keelson_image_layout::paths;
use keelson_machine_config::{MachineConfig, Probe, ProbeTarget, RestartPolicy};
use keelson_manager_api::{Client, Reply, Request, UnitState, UnitStatus, Words};
use serde::Deserialize;

use super::criteria::{Container, Observed};
use super::probe;

/// PID 1 and the engine answer at once; what takes longer is broken.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Where to ask.
#[derive(Debug, Clone)]
pub struct Machine {
    /// PID 1's control socket.
    pub control: PathBuf,
    /// The engine's socket.
    pub engine: PathBuf,
    /// The configuration in force.
    pub config: PathBuf,
}

impl Default for Machine {
    fn default() -> Self {
        Machine {
            control: paths::CONTROL.into(),
            engine: paths::ENGINE_SOCKET.into(),
            config: paths::MACHINE_CONFIG.into(),
        }
    }
}

#[derive(Deserialize)]
struct Inspected {
    #[serde(rename = "State")]
    state: InspectedState,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedState {
    status: String,
    #[serde(default)]
    started_at: String,
}

impl Machine {
    /// The configuration in force; without one, the machine without a document.
    #[must_use]
    pub fn config(&self) -> MachineConfig {
        let read = std::fs::read(&self.config).context("read it");
        let parsed = read.and_then(|bytes| serde_json::from_slice(&bytes).context("understand it"));
        parsed.unwrap_or_else(|error| {
            log::warn!(error:% = format!("{error:#}"); "no configuration in force");
            MachineConfig::default()
        })
    }

    /// Looks at everything that has to be well.
    #[must_use]
    pub fn look(&self, config: &MachineConfig) -> Observed {
        let units = self.units().map_err(|error| format!("{error:#}"));
        let always = |policy| matches!(policy, RestartPolicy::Always | RestartPolicy::UnlessStopped);
        let declared = config
            .containers
            .iter()
            .filter(|(_, container)| always(container.restart));
        let containers = declared.map(|(name, _)| {
            let state = self.container(name.as_str()).map_err(|error| format!("{error:#}"));
            (name.to_string(), state)
        });
        let probes = config.update.iter().flat_map(|update| &update.probes);
        let probes = probes.map(|probe| {
            let answer = self.probe(probe, &units).map_err(|error| format!("{error:#}"));
            (probe.name.to_string(), answer)
        });
        Observed {
            containers: containers.collect(),
            probes: probes.collect(),
            units,
        }
    }

    fn units(&self) -> Result<Vec<UnitStatus>> {
        match self.ask_manager(Request::List)? {
            Reply::Units { units } => Ok(units),
            Reply::Refused { message, .. } => bail!("{message}"),
            _ => bail!("it gave an answer to another question"),
        }
    }

    fn ask_manager(&self, request: Request) -> Result<Reply> {
        let mut client = Client::connect(&self.control)?;
        client.set_timeout(Some(ANSWERS_WITHIN))?;
        Ok(client.request(request)?)
    }

    /// Starts a unit and waits until it is up.
    ///
    /// # Errors
    /// PID 1 does not do it, or it does not come up.
    pub fn start(&self, unit: &str) -> Result<()> {
        match self.ask_manager(Request::Start { unit: unit.to_owned() })? {
            Reply::Refused { message, .. } => bail!("PID 1 refuses to start {unit}: {message}"),
            _ => Ok(()),
        }
    }

    /// Asks for a reboot; `why` is for the boot history.
    ///
    /// # Errors
    /// PID 1 does not do it.
    pub fn reboot(&self, why: String) -> Result<()> {
        let words = Words {
            person: None,
            why: Some(why),
        };
        match self
            .ask_manager(Request::Reboot { words })
            .context("ask PID 1 for a reboot")?
        {
            Reply::Refused { message, .. } => bail!("PID 1 does not reboot: {message}"),
            _ => Ok(()),
        }
    }

    fn container(&self, name: &str) -> Result<Container> {
        let answer = ask(
            &self.engine,
            "GET",
            &format!("/v1.44/containers/{name}/json"),
            None,
            ANSWERS_WITHIN,
        )?;
        ensure!(answer.status == 200, "{}", probe::message(&answer));
        let inspected: Inspected = serde_json::from_slice(&answer.body).context("understand the container engine")?;
        Ok(Container {
            status: inspected.state.status,
            started_at: inspected.state.started_at,
        })
    }

    fn probe(&self, probe: &Probe, units: &Result<Vec<UnitStatus>, String>) -> Result<()> {
        let within = probe.timeout.0;
        match probe.target() {
            None => bail!("this release cannot ask it"),
            Some(ProbeTarget::Http(url)) => probe::http(url, within),
            Some(ProbeTarget::Tcp(address)) => probe::tcp(address.0, within),
            Some(ProbeTarget::Exec { container, command }) => {
                probe::exec(&self.engine, container.as_str(), command, within)
            }
            Some(ProbeTarget::Unit(name)) => {
                let unit = units.iter().flatten().find(|unit| unit.name == name.as_str());
                let unit = unit.with_context(|| format!("there is no unit {name}"))?;
                let is_up = matches!(unit.state, UnitState::Running | UnitState::Done);
                ensure!(is_up, "unit {name} is not up");
                Ok(())
            }
        }
    }
}
