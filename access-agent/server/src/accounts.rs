//! Who may log in, with which keys, and as what. Only provisioning says so.

use std::collections::BTreeMap;
use std::fmt;

use keelson_access::command::Role;
use keelson_machine_config::{MachineConfig, SshKey};
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, PublicKey};

/// The built-in operator.
const OPERATOR: &str = "core";

/// Users by name.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    users: BTreeMap<String, User>,
}

#[derive(Debug, Clone)]
struct User {
    role: Role,
    keys: Vec<KeyData>,
}

/// Why a key opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody of that name has a key.
    NoSuchUser,
    /// The user has other keys.
    NotTheirKey,
    /// The key would sign with SHA-1.
    Sha1,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchUser => "no user of this name has a key",
            Self::NotTheirKey => "not a key of this user",
            Self::Sha1 => "signatures of ssh-rsa use SHA-1; rsa-sha2-256 and rsa-sha2-512 are accepted",
        })
    }
}

impl Accounts {
    /// The accounts of a configuration. A key this program cannot use is logged and left out.
    #[must_use]
    pub fn of(config: &MachineConfig) -> Self {
        let mut accounts = Self::default();
        accounts.add(OPERATOR, Role::Operator, &config.ssh.keys);
        for user in &config.users {
            // Each group a document can name makes an operator.
            let role = if user.groups.is_empty() {
                Role::Reader
            } else {
                Role::Operator
            };
            accounts.add(user.name.as_str(), role, &user.ssh_keys);
        }
        accounts
    }

    fn add(&mut self, name: &str, role: Role, keys: &[SshKey]) {
        let keys: Vec<KeyData> = keys.iter().filter_map(|key| usable(name, key)).collect();
        if !keys.is_empty() {
            self.users.insert(name.to_owned(), User { role, keys });
        }
    }

    /// Whether nobody can log in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// What a key opens for a user, signing with `algorithm`.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn judge(&self, user: &str, key: &KeyData, algorithm: &Algorithm) -> Result<Role, Refusal> {
        let user = self.users.get(user).ok_or(Refusal::NoSuchUser)?;
        if !user.keys.contains(key) {
            return Err(Refusal::NotTheirKey);
        }
        match algorithm {
            Algorithm::Rsa { hash: None } => Err(Refusal::Sha1),
            _ => Ok(user.role),
        }
    }
}

fn usable(user: &str, key: &SshKey) -> Option<KeyData> {
    PublicKey::from_openssh(&format!("{} {}", key.algorithm(), key.blob()))
        .inspect_err(|error| log::warn!(user = user, error:%; "a key of the configuration cannot be used"))
        .ok()
        .map(|key| key.key_data().clone())
}

#[cfg(test)]
mod tests {
    use russh::keys::HashAlg;

    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAzKfjUkBvcDtpZDPDM4dFT+PX8QgvTzKacsDX322N2 me";
    const EC: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBBKE+p1x39BAf/POfA66On3Iypb9kDBljcZvqqW4jl6xaAbN5GEvs/cVpCIki5ffT/+mBw/Pk0RtjDcIttPUYR8= ec";
    const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCH08hsCR1OMUHUMV+GpO6waZgIXlF6ZUVJ+Hctz+Uiocvtw2jbDbkDl5SqsEvZX1onoMbVvgGTcdsAXFxLWrZmBd/A4Gg54h/AO6Pj1Go5ziSnjJ3R9JUgNZ77PH0c6c63TfiBwNfaul2t54nqD4cyQ4tnUXHizeMSKpYjHPqropE5tYlk7espa+Wq0I7svPt2WUcUL2rHANdxoXPMlJQp03fmubYy1W1GZQUeNRiaepKYEzN1dFTdsJaPvE+wwwPOkcUw4jp8XVNRQS1uR8MsJl1z5kmOGnzCJwGFZhXmhXuVlnfHQOeRqX3xn6EsnvDM7DhS0JXWoG/dq+0D46ad rsa";

    fn accounts(text: &str) -> Accounts {
        let verdict = keelson_machine_config::validate("t", format!("schema = 1\n{text}").as_bytes());
        Accounts::of(&verdict.accepted.expect("valid").config)
    }

    fn key(line: &str) -> (KeyData, Algorithm) {
        let key = PublicKey::from_openssh(line).unwrap();
        (key.key_data().clone(), key.algorithm())
    }

    #[test]
    fn without_keys_there_is_nobody() {
        assert!(accounts("").is_empty());
        assert!(accounts("[[user]]\nname = \"ann\"\ngroups = [\"wheel\"]\n").is_empty());
    }

    #[test]
    fn groups_make_operators_and_keys_belong_to_their_user() {
        let all = accounts(&format!(
            "[ssh]\nkeys = [\"{ED25519}\"]\n[[user]]\nname = \"ann\"\ngroups = [\"docker\"]\nssh-keys = [\"{EC}\"]\n\
             [[user]]\nname = \"bob\"\nssh-keys = [\"{RSA}\"]\n"
        ));
        let judge = |user: &str, line: &str| {
            let (key, algorithm) = key(line);
            all.judge(user, &key, &algorithm)
        };
        assert_eq!(judge("core", ED25519), Ok(Role::Operator));
        assert_eq!(judge("ann", EC), Ok(Role::Operator));
        assert_eq!(judge("core", EC), Err(Refusal::NotTheirKey));
        assert_eq!(judge("root", ED25519), Err(Refusal::NoSuchUser));
        assert_eq!(judge("bob", RSA), Err(Refusal::Sha1));
        let hash = Some(HashAlg::Sha512);
        assert_eq!(
            all.judge("bob", &key(RSA).0, &Algorithm::Rsa { hash }),
            Ok(Role::Reader)
        );
    }
}
