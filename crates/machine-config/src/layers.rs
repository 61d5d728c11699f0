//! Lower layers below the document: what vendor-data say counts where the document says nothing.

use crate::model::MachineConfig;

/// Why a vendor's document may not be a layer; empty if it may.
#[must_use]
pub fn vendor_oversteps(vendor: &MachineConfig) -> Vec<&'static str> {
    let checks = [
        (!vendor.files.is_empty(), "vendor-data may not add files"),
        (!vendor.containers.is_empty(), "vendor-data may not add containers"),
        (vendor.trust.ca.is_some(), "vendor-data may not add authorities"),
        (vendor.power.is_some(), "vendor-data may not end the machine"),
        (vendor.update.is_some(), "vendor-data may not say how updates go"),
        (vendor.install.is_some(), "vendor-data may not erase a disk"),
        (!vendor.registries.is_empty(), "vendor-data may not set registries"),
    ];
    checks
        .into_iter()
        .filter_map(|(over, why)| over.then_some(why))
        .collect()
}

/// Puts `low` below `config`: single values and plain lists where `config` has none, users by their names.
pub fn put_below(config: &mut MachineConfig, low: &MachineConfig) {
    let (system, below) = (&mut config.system, &low.system);
    if system.hostname.is_none() {
        system.hostname.clone_from(&below.hostname);
        if system.fqdn.is_none() {
            system.fqdn.clone_from(&below.fqdn);
        }
    }
    if system.timezone.is_none() {
        system.timezone.clone_from(&below.timezone);
    }
    if config.ssh.keys.is_empty() {
        config.ssh.keys.clone_from(&low.ssh.keys);
    }
    if config.time.servers.is_empty() {
        config.time.servers.clone_from(&low.time.servers);
    }
    let known = |name| config.users.iter().any(|user| user.name == name);
    let new: Vec<_> = low
        .users
        .iter()
        .filter(|user| !known(user.name.clone()))
        .cloned()
        .collect();
    config.users.extend(new);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> MachineConfig {
        let verdict = crate::validate("t", format!("#cloud-config\n{text}").as_bytes());
        verdict.accepted.expect("valid").config
    }

    #[test]
    fn the_document_comes_first() {
        let mut document = config("hostname: a\nusers: [ann]\n");
        put_below(
            &mut document,
            &config("hostname: b\ntimezone: UTC\nusers: [bob, {name: ann, groups: wheel}]\n"),
        );
        let names: Vec<&str> = document.users.iter().map(|user| user.name.as_str()).collect();
        assert_eq!(names, ["ann", "bob"]);
        assert_eq!(document.system.hostname.unwrap().as_str(), "a");
        assert_eq!(document.system.timezone.unwrap().as_str(), "UTC");
        assert!(document.users[0].groups.is_empty());
    }

    #[test]
    fn vendors_add_no_files_and_no_authorities() {
        assert!(vendor_oversteps(&config("hostname: a\n")).is_empty());
        let files = config("write_files: [{path: /etc/x, content: y}]\npower_state: {mode: reboot}\n");
        assert_eq!(vendor_oversteps(&files).len(), 2);
    }
}
