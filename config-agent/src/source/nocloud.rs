//! NoCloud: a volume labelled `cidata` with the files `user-data` and `meta-data`, and perhaps `vendor-data` and
//! `network-config`; or a hint in the machine's serial number.

use std::fs::File;
use std::path::Path;

use keelson_machine_config::MAX_DOCUMENT;

use super::found::MAX_EXTRA;
use super::{Found, Kind, Looked, MetaData, NetworkConfig, NetworkFormat, Origin, Volume, VolumeError, smbios};

/// What a volume holds.
pub(super) fn read(volume: &Volume<File>, origin: Origin) -> Result<Found, VolumeError> {
    let user_data = volume.file("user-data", MAX_DOCUMENT)?.unwrap_or_default();
    let meta_data = volume.file("meta-data", MAX_EXTRA)?.unwrap_or_default();
    let network = volume
        .file("network-config", MAX_EXTRA)?
        .filter(|bytes| !bytes.is_empty());
    let vendor = volume.file("vendor-data", MAX_EXTRA)?.filter(|bytes| !bytes.is_empty());
    Ok(Found {
        meta_data: MetaData::parse(&meta_data),
        network_config: network.map(|bytes| NetworkConfig {
            format: NetworkFormat::CloudInit,
            bytes,
        }),
        vendor_data: vendor,
        ..Found::document(origin, user_data)
    })
}

/// What the machine's serial number says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hint {
    /// Host name and instance id.
    pub meta_data: MetaData,
    /// What it asks for and does not get, one sentence each.
    pub notes: Vec<String>,
}

/// Reads `ds=nocloud[-net][;KEY=VALUE]…`; `None` when the serial number is just a number. Keys: `h` or `local-hostname`,
/// `i` or `instance-id`; `s` or `seedfrom` names a place in the network, which is not read.
#[must_use]
pub fn hint(serial: &str) -> Option<Hint> {
    let (_, words) = serial.split_once("ds=")?;
    let (kind, settings) = words.split_once(';').unwrap_or((words, ""));
    if !["nocloud", "nocloud-net"]
        .iter()
        .any(|name| kind.trim().eq_ignore_ascii_case(name))
    {
        return None;
    }
    let mut hint = Hint::default();
    let pairs = settings.split(';').filter_map(|setting| setting.trim().split_once('='));
    for (key, value) in pairs {
        match key {
            "h" | "local-hostname" => hint.meta_data.set_hostname(value),
            "i" | "instance-id" => hint.meta_data.set_instance_id(value),
            "s" | "seedfrom" => hint.notes.push(
                "the serial number asks for a document from the network (s=), which is not read: attach a volume \
                 labelled cidata"
                    .to_owned(),
            ),
            _ => hint.notes.push(format!(
                "the serial number has the key {:?}, which has no meaning: h and i do",
                key.chars().take(32).collect::<String>()
            )),
        }
    }
    Some(hint)
}

/// Lets the serial number's facts stand in for those that no other source gave.
pub(super) fn complete(sys: &Path, looked: &mut Looked) {
    let Some(hint) = smbios::identity(sys, "product_serial").and_then(|serial| hint(&serial)) else {
        return;
    };
    looked.notes.extend(hint.notes);
    if looked.found.is_empty() {
        let serial = Found::document(Origin::only(Kind::Serial, "product_serial"), Vec::new());
        looked.found.push(serial);
    }
    for found in &mut looked.found {
        found.meta_data.complete(hint.meta_data.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_serial_number() {
        let read = |serial| {
            let Hint { meta_data, notes } = hint(serial)?;
            Some((
                meta_data.hostname.map(|name| name.to_string()),
                meta_data.instance_id,
                notes.len(),
            ))
        };
        let some =
            |host: Option<&str>, id: Option<&str>, notes| Some((host.map(str::to_owned), id.map(str::to_owned), notes));
        for (serial, expected) in [
            ("1234", None),
            ("ds=ec2", None),
            ("ds=nocloud", some(None, None, 0)),
            ("ds=nocloud;h=web;i=i-1", some(Some("web"), Some("i-1"), 0)),
            (
                "ds=nocloud;local-hostname=Web.example;",
                some(Some("web.example"), None, 0),
            ),
            ("ds=nocloud-net;s=http://10.0.2.2/;h=web", some(Some("web"), None, 1)),
            ("ds=nocloud;x=1", some(None, None, 1)),
        ] {
            assert_eq!(read(serial), expected, "{serial}");
        }
    }
}
