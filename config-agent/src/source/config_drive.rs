//! OpenStack's config drive: a volume labelled `config-2` with a tree of versions, or with EC2's tree.
//!
//! After OpenStack Nova's documentation of the metadata formats: `openstack/VERSION/{meta_data.json, user_data,
//! vendor_data.json, vendor_data2.json, network_data.json}`.

use std::fs::File;

use keelson_machine_config::MAX_DOCUMENT;
use serde_json::Value;

use super::found::MAX_EXTRA;
use super::{Found, MetaData, NetworkConfig, NetworkFormat, Origin, Volume, VolumeError};

/// Folders of versions, the newest first; some clouds write no `latest`.
const VERSIONS: [&str; 7] = [
    "latest",
    "2020-10-14",
    "2018-08-27",
    "2017-02-22",
    "2016-10-06",
    "2015-10-15",
    "2012-08-10",
];

/// What a volume holds.
pub(super) fn read(volume: &Volume<File>, origin: Origin) -> Result<Found, VolumeError> {
    for version in VERSIONS {
        let file = |name: &str, limit| volume.file(&format!("openstack/{version}/{name}"), limit);
        let Some(meta_data) = file("meta_data.json", MAX_EXTRA)? else {
            continue;
        };
        let network = file("network_data.json", MAX_EXTRA)?;
        let mut meta_data = MetaData::parse(&meta_data);
        let vendor = match file("vendor_data2.json", MAX_EXTRA)?.and_then(|bytes| vendor_data(&bytes, &mut meta_data)) {
            Some(vendor) => Some(vendor),
            None => file("vendor_data.json", MAX_EXTRA)?.and_then(|bytes| vendor_data(&bytes, &mut meta_data)),
        };
        return Ok(Found {
            meta_data,
            network_config: network.map(|bytes| NetworkConfig {
                format: NetworkFormat::OpenStack,
                bytes,
            }),
            vendor_data: vendor,
            ..Found::document(origin, file("user_data", MAX_DOCUMENT)?.unwrap_or_default())
        });
    }
    let user_data = volume.file("ec2/latest/user-data", MAX_DOCUMENT)?.unwrap_or_default();
    let meta_data = volume.file("ec2/latest/meta-data.json", MAX_EXTRA)?.unwrap_or_default();
    Ok(Found {
        meta_data: MetaData::parse(&meta_data),
        ..Found::document(origin, user_data)
    })
}

/// The part of `vendor_data.json` that is a document: a text, or the text under `cloud-init`. An empty object, which
/// most clouds write, is none.
#[must_use]
pub fn vendor_data(bytes: &[u8], meta_data: &mut MetaData) -> Option<Vec<u8>> {
    let text = match serde_json::from_slice(bytes) {
        Ok(Value::String(text)) => Some(text),
        Ok(Value::Object(mut map)) => match map.remove("cloud-init") {
            Some(Value::String(text)) => Some(text),
            None => None,
            Some(_) => {
                meta_data
                    .notes
                    .push("vendor_data.json: cloud-init is no text and not used".to_owned());
                None
            }
        },
        Ok(Value::Null) => None,
        _ => {
            meta_data
                .notes
                .push("vendor_data.json is neither a text nor an object and not used".to_owned());
            None
        }
    };
    text.filter(|text| !text.trim().is_empty()).map(String::into_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_document_out_of_vendor_data() {
        for (json, expected, notes) in [
            ("{}", None, 0),
            ("null", None, 0),
            ("\"#cloud-config\\n\"", Some("#cloud-config\n"), 0),
            (
                "{\"cloud-init\": \"#cloud-config\\n\", \"x\": 1}",
                Some("#cloud-config\n"),
                0,
            ),
            ("{\"cloud-init\": {}}", None, 1),
            ("[\"a\"]", None, 1),
            ("not json", None, 1),
        ] {
            let mut meta_data = MetaData::default();
            let found = vendor_data(json.as_bytes(), &mut meta_data);
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{json}");
            assert_eq!(meta_data.notes.len(), notes, "{json}");
        }
    }
}
