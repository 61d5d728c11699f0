//! `keelson status`: what is in force, and the services. A first form; a machine answers more as its parts do.

use std::path::Path;

use anyhow::{Context as _, bail};
use keelson_image_layout::paths;
use keelson_manager_api::{Client, Reply, Request, UnitState, UnitStatus};
use serde_json::{Value as Json, json};

use crate::answer::{exit, say};

/// Shows the machine's state.
///
/// # Errors
/// This is not a Keelson machine, or PID 1 does not answer.
pub fn status(as_json: bool) -> anyhow::Result<u8> {
    let config =
        std::fs::read(paths::CONFIG_STATUS).context("read the state of the configuration: is this a machine?")?;
    let config: Json = serde_json::from_slice(&config).context("understand the state of the configuration")?;
    let units = units()?;
    let well = !units.iter().any(|unit| unit.state == UnitState::Failed) && list(&config, "degraded").is_empty();
    say(&if as_json {
        crate::answer::json(&json!({ "well": well, "config": config, "services": units }))?
    } else {
        shown(&config, &units)
    });
    Ok(if well { exit::GOOD } else { exit::BAD })
}

fn units() -> anyhow::Result<Vec<UnitStatus>> {
    let mut client = Client::connect(Path::new(paths::CONTROL)).context("ask PID 1")?;
    match client.request(Request::List).context("ask PID 1 for its units")? {
        Reply::Units { units } => Ok(units),
        Reply::Refused { message, .. } => bail!("PID 1 refuses: {message}"),
        _ => bail!("PID 1 gave an answer to another question"),
    }
}

fn list<'j>(config: &'j Json, key: &str) -> Vec<&'j str> {
    config
        .get(key)
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .collect()
}

fn shown(config: &Json, units: &[UnitStatus]) -> String {
    let text = |key: &str| config.get(key).and_then(Json::as_str);
    let mut lines = vec![format!("configuration  {}", text("state").unwrap_or("unknown"))];
    if let Some(generation) = text("generation").and_then(|id| id.get(..12)) {
        lines.push(format!(
            "generation     {generation} from {}",
            text("source").unwrap_or("an unknown source")
        ));
    }
    lines.extend(
        list(config, "degraded")
            .iter()
            .map(|what| format!("degraded       {what}")),
    );
    lines.extend(
        list(config, "notes")
            .iter()
            .map(|what| format!("note           {what}")),
    );
    let width = units.iter().map(|unit| unit.name.len()).max().unwrap_or(0);
    lines.extend(
        units
            .iter()
            .map(|unit| format!("{:width$}  {}", unit.name, state(unit.state))),
    );
    lines.into_iter().map(|line| line + "\n").collect()
}

fn state(state: UnitState) -> String {
    serde_json::to_value(state)
        .ok()
        .and_then(|json| json.as_str().map(str::to_owned))
        .unwrap_or_default()
}
