//! What a cloud-config has asked for so far, on its way to the configuration.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json, json};

use crate::secret::{Secret, SecretValues};
use crate::value::{Mode, Name};

/// Values as `machine.json` has them.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) hostname: Option<Json>,
    pub(super) fqdn: Option<Json>,
    pub(super) prefer_fqdn: bool,
    pub(super) timezone: Option<Json>,
    pub(super) keys: Vec<Json>,
    pub(super) users: Vec<UserDraft>,
    /// Whether a user has no name, which has been reported.
    pub(super) nameless: bool,
    /// Members of groups as `groups` names them: group, user.
    pub(super) members: Vec<(&'static str, String)>,
    pub(super) servers: Vec<Json>,
    pub(super) pools: Vec<Json>,
    pub(super) authorities: Vec<String>,
    pub(super) files: Vec<FileDraft>,
    pub(super) power: Option<Json>,
}

/// A declared user.
pub(super) struct UserDraft {
    pub(super) name: String,
    pub(super) at: Range<usize>,
    pub(super) groups: Vec<&'static str>,
    pub(super) keys: Vec<Json>,
}

/// A declared file.
pub(super) struct FileDraft {
    pub(super) path: String,
    pub(super) at: Range<usize>,
    pub(super) content: Vec<u8>,
    pub(super) mode: Mode,
    pub(super) owner: String,
    pub(super) owner_at: Range<usize>,
}

impl Draft {
    /// The configuration as JSON. The content of files that not everyone may read becomes a secret.
    pub(super) fn into_json(mut self, secrets: &mut SecretValues) -> Json {
        if self.prefer_fqdn && self.fqdn.is_some() {
            self.hostname.clone_from(&self.fqdn);
        }
        let mut out = Map::new();
        out.insert("schema".to_owned(), crate::SCHEMA.into());
        let system = [
            ("hostname", self.hostname),
            ("fqdn", self.fqdn),
            ("timezone", self.timezone),
        ];
        let said = system
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)));
        out.insert("system".to_owned(), Json::Object(said.collect()));
        out.insert("ssh".to_owned(), json!({ "keys": self.keys }));
        self.servers.append(&mut self.pools);
        out.insert("time".to_owned(), json!({ "servers": self.servers }));
        let users = self.users.into_iter().map(|user| {
            let named = self.members.iter().filter(|(_, member)| *member == user.name);
            let mut groups = user.groups;
            groups.extend(named.map(|(group, _)| *group));
            groups.sort_unstable();
            groups.dedup();
            json!({ "name": user.name, "groups": groups, "ssh-keys": user.keys })
        });
        out.insert("user".to_owned(), users.collect());
        let files = self
            .files
            .into_iter()
            .enumerate()
            .map(|(index, file)| file.into_json(index, secrets));
        out.insert("file".to_owned(), files.collect());
        if !self.authorities.is_empty() {
            out.insert("trust".to_owned(), json!({ "ca": self.authorities.join("\n") }));
        }
        out.extend(self.power.map(|power| ("power".to_owned(), power)));
        Json::Object(out)
    }
}

impl FileDraft {
    fn into_json(self, index: usize, secrets: &mut SecretValues) -> Json {
        let text = String::from_utf8(self.content).map_err(std::string::FromUtf8Error::into_bytes);
        let (content, encoding) = match text {
            Ok(text) if !text.contains('\0') => (text, "text"),
            Ok(text) => (STANDARD.encode(text), "base64"),
            Err(bytes) => (STANDARD.encode(bytes), "base64"),
        };
        let secret = (!self.mode.is_public())
            .then(|| format!("file-{index}").parse::<Name>().ok())
            .flatten();
        let content = match secret {
            Some(name) => {
                let reference = json!({ "secret": name.as_str() });
                secrets.0.insert(name, Secret::new(content));
                reference
            }
            None => Json::String(content),
        };
        json!({
            "path": self.path, "content": content, "encoding": encoding, "mode": self.mode.to_string(),
            "owner": self.owner,
        })
    }
}
