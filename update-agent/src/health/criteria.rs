//! What is wrong with a machine, told from two looks at it in a row. Pure.

use std::collections::BTreeMap;

use keelson_manager_api::{UnitState, UnitStatus};

/// The unit that stands for a boot that worked.
const COMPLETE: &str = "boot-complete";
/// The unit that looks.
const OURS: &str = "mark-good";

/// One look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Units of the system, or why they are not known.
    pub units: Result<Vec<UnitStatus>, String>,
    /// Declared containers that are to run always.
    pub containers: BTreeMap<String, Result<Container, String>>,
    /// Probes and what they answered.
    pub probes: Vec<(String, Result<(), String>)>,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Docker's word.
    pub status: String,
    /// When it was started, as the engine writes it.
    pub started_at: String,
}

/// What is wrong, a sentence each. What was started anew since the look `before` is not well yet.
#[must_use]
pub fn troubles(now: &Observed, before: Option<&Observed>) -> Vec<String> {
    let mut all = units(now, before);
    for (name, state) in &now.containers {
        let earlier = before.and_then(|before| before.containers.get(name)?.as_ref().ok());
        all.extend(container(name, state, earlier));
    }
    let failed = now
        .probes
        .iter()
        .filter_map(|(name, answer)| Some((name, answer.as_ref().err()?)));
    all.extend(failed.map(|(name, why)| format!("probe {name}: {why}")));
    all
}

fn units(now: &Observed, before: Option<&Observed>) -> Vec<String> {
    let units = match &now.units {
        Ok(units) => units,
        Err(why) => return vec![format!("PID 1 does not answer: {why}")],
    };
    let earlier = |name: &str| {
        let units = before?.units.as_ref().ok()?;
        units.iter().find(|unit| unit.name == name)
    };
    let complete = units.iter().find(|unit| unit.name == COMPLETE);
    let reached = complete.is_some_and(|unit| unit.state == UnitState::Running);
    let mut all = Vec::new();
    if !reached {
        all.push(format!("{COMPLETE} is not reached"));
    }
    for unit in units.iter().filter(|unit| unit.name != OURS) {
        if matches!(unit.state, UnitState::Failed | UnitState::BackOff) {
            let why = unit.failure.as_deref().unwrap_or("it is down");
            all.push(format!("service {}: {why}", unit.name));
        } else if earlier(&unit.name).is_some_and(|earlier| earlier.restarts != unit.restarts) {
            all.push(format!("service {} was started anew", unit.name));
        }
    }
    all
}

fn container(name: &str, state: &Result<Container, String>, earlier: Option<&Container>) -> Option<String> {
    match state {
        Err(why) => Some(format!("container {name}: {why}")),
        Ok(state) if state.status != "running" => Some(format!("container {name} is {}", state.status)),
        Ok(state) if earlier.is_some_and(|earlier| earlier.started_at != state.started_at) => {
            Some(format!("container {name} was started anew"))
        }
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(name: &str, state: UnitState, restarts: u64) -> UnitStatus {
        serde_json::from_value(serde_json::json!({
            "name": name, "description": "", "kind": "service", "state": state, "since_ms": 0, "restarts": restarts,
        }))
        .unwrap()
    }

    fn container(status: &str, started_at: &str) -> Result<Container, String> {
        Ok(Container {
            status: status.to_owned(),
            started_at: started_at.to_owned(),
        })
    }

    fn well() -> Observed {
        Observed {
            units: Ok(vec![
                unit("boot-complete", UnitState::Running, 0),
                unit("mark-good", UnitState::Starting, 0),
                unit("netd", UnitState::Running, 1),
                unit("power", UnitState::Waiting, 0),
            ]),
            containers: BTreeMap::from([("web".to_owned(), container("running", "10"))]),
            probes: vec![("page".to_owned(), Ok(()))],
        }
    }

    #[test]
    fn a_machine_that_stays_as_it_is_is_well() {
        assert_eq!(troubles(&well(), None), Vec::<String>::new());
        assert_eq!(troubles(&well(), Some(&well())), Vec::<String>::new());
    }

    #[test]
    fn each_trouble_has_its_sentence() {
        let units = |changed: UnitStatus| {
            let mut units = well().units.unwrap();
            units.retain(|unit| unit.name != changed.name);
            units.push(changed);
            Observed {
                units: Ok(units),
                ..well()
            }
        };
        let web = |state| Observed {
            containers: BTreeMap::from([("web".to_owned(), state)]),
            ..well()
        };
        let refused = Observed {
            probes: vec![("page".to_owned(), Err("connection refused".to_owned()))],
            ..well()
        };
        let table = [
            (units(unit("netd", UnitState::Failed, 1)), "service netd: it is down"),
            (units(unit("netd", UnitState::BackOff, 1)), "service netd: it is down"),
            (
                units(unit("netd", UnitState::Running, 2)),
                "service netd was started anew",
            ),
            (
                units(unit("boot-complete", UnitState::Stopped, 0)),
                "boot-complete is not reached",
            ),
            (web(container("exited", "10")), "container web is exited"),
            (web(container("running", "11")), "container web was started anew"),
            (web(Err("there is none".to_owned())), "container web: there is none"),
            (refused, "probe page: connection refused"),
        ];
        for (observed, expected) in table {
            assert_eq!(troubles(&observed, Some(&well())), [expected]);
        }
    }
}
