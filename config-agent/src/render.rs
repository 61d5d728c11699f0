//! The files that follow from a configuration. Pure.
//!
//! Accounts are additions to the image's own files: an update of the image must reach a machine whose document stays
//! the same, so the two are joined at each boot.

use std::collections::BTreeMap;

use keelson_image_layout::users::GROUPS;
use keelson_machine_config::{Group, Hostname, MachineConfig, SshKey};

use crate::generation::Files;

/// Host name, one line.
pub const HOSTNAME: &str = "etc/hostname";
/// Lines to add to `/etc/passwd`.
pub const PASSWD: &str = "etc/passwd.add";
/// Lines to add to `/etc/group`, and members to add to groups that exist.
pub const GROUP: &str = "etc/group.add";
/// Authorized keys, a file per user.
pub const KEYS: &str = "ssh/authorized_keys/";
const HOSTS: &str = "etc/hosts";

/// The built-in operator.
const OPERATOR: &str = "core";
/// Number of the first declared user; the next one's is one more.
const FIRST_ID: u32 = 1001;
/// Numbers of groups that the image does not have.
const OWN_GROUPS: [(&str, u32); 2] = [("sudo", 1990), ("docker", 1991)];

/// Everything that follows from the configuration. Without a host name the files that carry it are left out.
#[must_use]
pub fn render(config: &MachineConfig) -> Files {
    let mut files = Files::new();
    if let Some(name) = &config.system.hostname {
        files.extend(host_files(name, config.system.fqdn.as_ref()));
    }
    let (passwd, group) = accounts(config);
    files.insert(PASSWD.to_owned(), passwd.into_bytes());
    files.insert(GROUP.to_owned(), group.into_bytes());
    let mut keys: BTreeMap<&str, &[SshKey]> = BTreeMap::from([(OPERATOR, config.ssh.keys.as_slice())]);
    keys.extend(
        config
            .users
            .iter()
            .map(|user| (user.name.as_str(), user.ssh_keys.as_slice())),
    );
    for (user, keys) in keys.into_iter().filter(|(_, keys)| !keys.is_empty()) {
        let lines: String = keys.iter().map(|key| format!("{key}\n")).collect();
        files.insert(format!("{KEYS}{user}"), lines.into_bytes());
    }
    files
}

/// The files that carry the host name and the full name.
#[must_use]
pub fn host_files(name: &Hostname, full: Option<&Hostname>) -> Files {
    let mut names: Vec<&str> = full.map(Hostname::as_str).into_iter().collect();
    for name in [name.as_str(), name.short()] {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let names = names.join(" ");
    let hosts = format!("127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {names}\n");
    Files::from([
        (HOSTNAME.to_owned(), format!("{name}\n").into_bytes()),
        (HOSTS.to_owned(), hosts.into_bytes()),
    ])
}

/// Lines for `/etc/passwd` and `/etc/group`.
fn accounts(config: &MachineConfig) -> (String, String) {
    let mut passwd = String::new();
    let mut group = String::new();
    let mut members: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (id, user) in (FIRST_ID..).zip(&config.users) {
        let name = user.name.as_str();
        passwd.push_str(&format!("{name}:x:{id}:{id}:declared user:/:/usr/bin/keelson\n"));
        group.push_str(&format!("{name}:x:{id}:\n"));
        for joined in &user.groups {
            members.entry(group_name(*joined)).or_default().push(name);
        }
    }
    for (name, members) in members {
        let own = OWN_GROUPS.iter().find(|(own, _)| *own == name).map(|(_, id)| *id);
        let id = own.or_else(|| GROUPS.iter().find(|(known, ..)| *known == name).map(|(_, id, _)| *id));
        if let Some(id) = id {
            group.push_str(&format!("{name}:x:{id}:{}\n", members.join(",")));
        }
    }
    (passwd, group)
}

/// The number of a declared user.
#[must_use]
pub fn declared_id(config: &MachineConfig, name: &str) -> Option<u32> {
    let mut users = (FIRST_ID..).zip(&config.users);
    users.find(|(_, user)| user.name.as_str() == name).map(|(id, _)| id)
}

fn group_name(group: Group) -> &'static str {
    match group {
        Group::Wheel => "wheel",
        Group::Sudo => "sudo",
        Group::Docker => "docker",
    }
}

/// Adds lines to an account file. A group that exists already gets the members instead.
#[must_use]
pub fn join_accounts(base: &str, additions: &str) -> String {
    let mut lines: Vec<String> = base.lines().map(str::to_owned).collect();
    for addition in additions.lines() {
        let name = addition.split(':').next();
        match lines.iter_mut().find(|line| line.split(':').next() == name) {
            None => lines.push(addition.to_owned()),
            Some(line) => {
                let members = addition.rsplit(':').next().unwrap_or_default();
                let separator = if line.ends_with(':') || members.is_empty() {
                    ""
                } else {
                    ","
                };
                line.push_str(&format!("{separator}{members}"));
            }
        }
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str) -> BTreeMap<String, String> {
        let verdict = keelson_machine_config::validate("t", format!("schema = 1\n{text}").as_bytes());
        let config = verdict.accepted.expect("valid").config;
        render(&config)
            .into_iter()
            .map(|(path, bytes)| (path, String::from_utf8(bytes).unwrap()))
            .collect()
    }

    #[test]
    fn renders_names_and_accounts() {
        let files = rendered(
            "[system]\nhostname = \"web-1.example\"\n[[user]]\nname = \"ann\"\ngroups = [\"wheel\", \"docker\"]\n\
             [[user]]\nname = \"bob\"\ngroups = [\"wheel\"]\n",
        );
        assert_eq!(files[HOSTNAME], "web-1.example\n");
        assert!(files[HOSTS].ends_with("127.0.1.1 web-1.example web-1\n"));
        assert_eq!(
            files[PASSWD],
            "ann:x:1001:1001:declared user:/:/usr/bin/keelson\nbob:x:1002:1002:declared user:/:/usr/bin/keelson\n"
        );
        assert_eq!(
            files[GROUP],
            "ann:x:1001:\nbob:x:1002:\ndocker:x:1991:ann\nwheel:x:908:ann,bob\n"
        );
        assert!(!files.keys().any(|path| path.starts_with(KEYS)));
    }

    #[test]
    fn joins_with_what_the_image_has() {
        assert_eq!(
            join_accounts(
                "wheel:x:908:core\nnet:x:903:\n",
                "ann:x:1001:\nwheel:x:908:ann\nnet:x:903:ann\n"
            ),
            "wheel:x:908:core,ann\nnet:x:903:ann\nann:x:1001:\n"
        );
    }

    #[test]
    fn a_machine_without_a_name_gets_no_name_files() {
        assert_eq!(rendered("").keys().collect::<Vec<_>>(), [GROUP, PASSWD]);
    }
}
