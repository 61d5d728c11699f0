//! Puts a configuration into effect for this boot. Everything it writes lies in memory and can be written again: each
//! step may be repeated.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context as _;
use keelson_machine_config::{Hostname, MachineConfig, Timezone};
use sha2::{Digest, Sha256};

use crate::generation::{self, Files};
use crate::keyed::hex;
use crate::places::Places;
use crate::render;
use crate::secrets::SecretStore;

/// What is put into effect.
#[derive(Debug)]
pub struct Effective {
    /// What the document, or its absence, asks for.
    pub config: MachineConfig,
    /// The files that follow from it.
    pub rendered: Files,
}

impl Effective {
    /// The machine without a document.
    #[must_use]
    pub fn without_document() -> Self {
        let config = MachineConfig::default();
        Self {
            rendered: render::render(&config),
            config,
        }
    }

    /// Fills in the host name that a machine has when nobody named it.
    #[must_use]
    pub fn named(mut self, machine_id: &str) -> Self {
        if self.config.system.hostname.is_none() {
            let name = fallback_name(machine_id);
            self.rendered
                .extend(name.iter().flat_map(|name| render::host_files(name, None)));
            self.config.system.hostname = name;
        }
        self
    }
}

/// `keelson-` and eight digits that follow from the machine's id without giving it away (machine-id(5)).
fn fallback_name(machine_id: &str) -> Option<Hostname> {
    let digest = Sha256::new()
        .chain_update(b"keelson host name\0")
        .chain_update(machine_id.trim())
        .finalize();
    format!("keelson-{}", hex(digest.get(..4).unwrap_or_default()))
        .parse()
        .ok()
}

/// Writes `/etc`, keys, secrets, the host name and `machine.json`. Gives what went wrong without stopping the rest, a sentence each.
///
/// # Errors
/// `machine.json` cannot be written: other programs would not know what to do.
pub fn activate(effective: &Effective, secrets: Option<&SecretStore>, places: &Places) -> anyhow::Result<Vec<String>> {
    let mut problems = Vec::new();
    write_etc(&effective.rendered, places, &mut problems);
    write_keys(&effective.rendered, places, &mut problems);
    write_secrets(&effective.config, secrets, places, &mut problems);
    for tree in ["opt", "srv"] {
        let directory = places.run.join("files").join(tree);
        directory_of_mode(&directory, 0o755).context("make the directories of declared files")?;
    }
    problems.extend(crate::files::write_all(&effective.config, secrets, places));
    write_zone(&effective.config, places, &mut problems);
    if let Some(Err(error)) = effective
        .config
        .system
        .hostname
        .as_ref()
        .map(|name| set_host_name(name, places))
    {
        problems.push(format!("cannot set the host name: {error}"));
    }
    let directory = places.run.join("config");
    directory_of_mode(&directory, 0o755).context("make the directory of the effective configuration")?;
    ask_for_power(&effective.config, places).context("ask for the end of the boot")?;
    let json = generation::json(&effective.config).context("write the configuration as JSON")?;
    write(&directory.join("machine.json"), &json, 0o644).context("write the effective configuration")?;
    Ok(problems)
}

/// The program that ends a first boot is started only if this folder holds something.
fn ask_for_power(config: &MachineConfig, places: &Places) -> io::Result<()> {
    let directory = places.run.join("config/power");
    directory_of_mode(&directory, 0o755)?;
    match config.power {
        Some(_) => write(&directory.join("asked"), b"", 0o644),
        None => match fs::remove_file(directory.join("asked")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    }
}

/// Through the file, which needs neither a capability nor a system call of its own.
fn set_host_name(name: &Hostname, places: &Places) -> io::Result<()> {
    fs::write(&places.hostname, name.as_str())
}

fn write_etc(rendered: &Files, places: &Places, problems: &mut Vec<String>) {
    for (path, bytes) in rendered {
        let Some(name) = path.strip_prefix("etc/") else {
            continue;
        };
        let content = match path.as_str() {
            render::PASSWD | render::GROUP => {
                let name = name.trim_end_matches(".add");
                let base = fs::read_to_string(places.etc_base.join(name));
                let joined = base.map(|base| render::join_accounts(&base, &String::from_utf8_lossy(bytes)));
                joined.map(|joined| (name, joined.into_bytes()))
            }
            _ => Ok((name, bytes.clone())),
        };
        let written = content.and_then(|(name, content)| write(&places.etc.join(name), &content, 0o644));
        if let Err(error) = written {
            problems.push(format!("cannot write {}: {error}", places.etc.join(name).display()));
        }
    }
}

/// The rules of the time zone. They are the program's, not the document's: a generation does not hold them.
fn write_zone(config: &MachineConfig, places: &Places, problems: &mut Vec<String>) {
    let zone = config.system.timezone.as_ref();
    let name = zone.map_or("UTC", Timezone::as_str);
    let rules = zone.and_then(Timezone::rules).or_else(|| {
        let utc = "UTC".parse::<Timezone>().ok()?;
        utc.rules()
    });
    let rules = write(&places.etc.join("localtime"), rules.unwrap_or_default(), 0o644);
    let written = rules.and_then(|()| write(&places.etc.join("timezone"), format!("{name}\n").as_bytes(), 0o644));
    if let Err(error) = written {
        problems.push(format!("cannot set the time zone: {error}"));
    }
}

fn write_keys(rendered: &Files, places: &Places, problems: &mut Vec<String>) {
    let directory = places.run.join(render::KEYS);
    let files = rendered
        .iter()
        .filter_map(|(path, bytes)| Some((path.strip_prefix(render::KEYS)?, bytes.as_slice())));
    if let Err(error) = fill(&directory, (0o755, 0o644), files) {
        problems.push(format!("cannot write SSH keys to {}: {error}", directory.display()));
    }
}

fn write_secrets(config: &MachineConfig, store: Option<&SecretStore>, places: &Places, problems: &mut Vec<String>) {
    let directory = places.run.join("secrets");
    let mut values = Vec::new();
    for reference in config.handed_secrets() {
        match store.map(|store| store.value(reference)) {
            Some(Ok(value)) => values.push((reference.name.as_str(), value)),
            Some(Err(error)) => problems.push(format!("the value of the secret {} is lost: {error}", reference.name)),
            None => problems.push(format!("the value of the secret {} cannot be read", reference.name)),
        }
    }
    let files = values.iter().map(|(name, value)| (*name, value.expose().as_bytes()));
    if let Err(error) = fill(&directory, (0o700, 0o600), files) {
        problems.push(format!("cannot hand over secrets in {}: {error}", directory.display()));
    }
}

/// Makes a directory hold exactly these files.
fn fill<'f>(directory: &Path, modes: (u32, u32), files: impl Iterator<Item = (&'f str, &'f [u8])>) -> io::Result<()> {
    directory_of_mode(directory, modes.0)?;
    let mut stale: Vec<_> = fs::read_dir(directory)?
        .filter_map(|entry| Some(entry.ok()?.file_name()))
        .collect();
    for (name, bytes) in files {
        write(&directory.join(name), bytes, modes.1)?;
        stale.retain(|old| old != name);
    }
    for old in stale {
        fs::remove_file(directory.join(old))?;
    }
    Ok(())
}

fn directory_of_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Readers see the old file or the new one.
pub(crate) fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    keelson_durable::replace(path, content, mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_name_is_named_after_its_id() {
        let one = fallback_name("0123456789abcdef0123456789abcdef\n").unwrap();
        assert!(one.as_str().starts_with("keelson-") && one.as_str().len() == 16);
        assert_ne!(Some(one), fallback_name("1123456789abcdef0123456789abcdef"));
    }
}
