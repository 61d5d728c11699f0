//! state, list, ps: what is printed.

use anyhow::Context;
use keelson_oci::Container;
use keelson_oci::state::rfc3339;
use std::fs;
use std::io::Write;
use std::path::Path;

pub fn state(root: &Path, id: &str) -> anyhow::Result<()> {
    let container = Container::load(root, id)?;
    let document = container.state().document(container.status());
    print(&format!("{}\n", serde_json::to_string_pretty(&document)?))
}

pub fn list(root: &Path, format: &str, quiet: bool) -> anyhow::Result<()> {
    let containers = keelson_oci::list(root)?;
    if quiet {
        return print(
            &containers
                .iter()
                .map(|container| format!("{}\n", container.state().id))
                .collect::<String>(),
        );
    }
    if format == "json" {
        let documents: Vec<_> = containers
            .iter()
            .map(|container| container.state().document(container.status()))
            .collect();
        return print(&format!("{}\n", serde_json::to_string(&documents)?));
    }
    let mut text = format!("{:<24} {:<10} {:<10} {:<22} BUNDLE\n", "ID", "PID", "STATUS", "CREATED");
    for container in containers {
        let (state, status) = (container.state(), container.status().word());
        let line = format!(
            "{:<24} {:<10} {status:<10} {:<22} {}\n",
            state.id,
            state.pid,
            rfc3339(state.created),
            state.bundle.display()
        );
        text.push_str(&line);
    }
    print(&text)
}

pub fn processes(root: &Path, id: &str, format: &str) -> anyhow::Result<()> {
    let processes = Container::load(root, id)?.processes()?;
    if format == "json" {
        return print(&format!("{}\n", serde_json::to_string(&processes)?));
    }
    let mut text = format!("{:<10} COMMAND\n", "PID");
    for process in processes {
        let command = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        text.push_str(&format!("{process:<10} {}\n", command.trim_end()));
    }
    print(&text)
}

/// To stdout; a closed one is an error, not a panic.
pub fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .context("cannot print")
}
