//! EC2: how firmware shows it, and what another program found out from its metadata service.
//!
//! After Amazon's "Detect whether a host is an EC2 instance". Nothing is ever asked of the network here.

use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keelson_image_layout::metadata::{Answer, Message, Outcome};

use super::{Found, Kind, Looked, MetaData, Origin, smbios};

/// Whether the firmware, or Xen, says that this is an instance of EC2.
#[must_use]
pub fn detected(sys: &Path) -> bool {
    let word = |name| smbios::identity(sys, name).unwrap_or_default();
    let xen = fs::read_to_string(sys.join("hypervisor/uuid")).unwrap_or_default();
    is_ec2(
        &word("sys_vendor"),
        &word("product_uuid"),
        &word("product_serial"),
        &xen,
    )
}

/// The rule. A UUID alone is not enough: one in some thousands of others begins like that too.
fn is_ec2(vendor: &str, uuid: &str, serial: &str, xen: &str) -> bool {
    let begins = |text: &str| text.get(..3).is_some_and(|head| head.eq_ignore_ascii_case("ec2"));
    // The first field may stand in the other byte order: 45e12aec for ec2ae145.
    let swapped = |text: &str| {
        let byte = |at: usize| text.get(at..at + 2).unwrap_or_default().to_ascii_lowercase();
        byte(6) == "ec" && byte(4).starts_with('2')
    };
    vendor == "Amazon EC2" || begins(xen) || begins(serial) && (begins(uuid) || swapped(uuid))
}

/// What a message of the asking program says.
#[must_use]
pub fn looked(message: Message) -> Looked {
    let Message {
        endpoint,
        attempts,
        took_ms,
        outcome,
        ..
    } = message;
    let origin = Origin::only(Kind::Ec2, &shown(&endpoint, 64));
    let mut looked = Looked {
        at: vec![format!("{origin} ({attempts} attempts)")],
        took: Duration::from_millis(took_ms),
        ..Looked::default()
    };
    match outcome {
        Outcome::Failing { problem } => looked.notes.push(format!("{origin}: {}", shown(&problem, 512))),
        Outcome::Found(answer) => looked.add(found(origin, answer)),
    }
    looked
}

/// Printable, and not for ever.
fn shown(text: &str, limit: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(limit).collect()
}

fn found(origin: Origin, answer: Answer) -> Result<Option<Found>, String> {
    let document = answer.user_data.map(|text| STANDARD.decode(text)).transpose();
    let document = document.map_err(|_| format!("{origin}: the document arrived damaged"))?;
    let mut meta_data = MetaData::default();
    if let Some(id) = answer.instance_id {
        meta_data.set_instance_id(&id);
    }
    if let Some(name) = answer.hostname {
        meta_data.set_hostname(&name);
    }
    answer.public_keys.iter().for_each(|lines| meta_data.add_keys(lines));
    Ok(Some(Found {
        meta_data,
        ..Found::document(origin, document.unwrap_or_default())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_told_by_what_the_firmware_says() {
        for (vendor, uuid, serial, xen, expected) in [
            ("Amazon EC2", "", "", "", true),
            (
                "Xen",
                "EC2AE145-D1DC-13B2-94ED-01234ABCDEF0",
                "ec2ae145-d1dc-13b2-94ed-01234abcdef0",
                "",
                true,
            ),
            (
                "Xen",
                "45E12AEC-DCD1-B213-94ED-01234ABCDEF0",
                "ec2ae145-d1dc-13b2-94ed-01234abcdef0",
                "",
                true,
            ),
            ("Xen", "", "", "ec2ae145-d1dc\n", true),
            ("QEMU", "ec2ae145-d1dc-13b2-94ed-01234abcdef0", "", "", false),
            ("QEMU", "", "ec2", "", false),
            ("Hetzner", "ebaa0000-0000-0000-0000-000000000000", "1234", "", false),
            ("", "é", "éé", "", false),
        ] {
            assert_eq!(
                is_ec2(vendor, uuid, serial, xen),
                expected,
                "{vendor} {uuid} {serial} {xen}"
            );
        }
    }

    #[test]
    fn an_answer_becomes_a_document_with_metadata() {
        let message = |outcome| Message {
            format: 1,
            endpoint: "169.254.169.254".to_owned(),
            attempts: 1,
            took_ms: 7,
            outcome,
        };
        let answer = Answer {
            instance_id: Some("i-1".to_owned()),
            hostname: Some("ip-10-0-0-1.ec2.internal".to_owned()),
            user_data: Some(STANDARD.encode("schema = 1\n")),
            ..Answer::default()
        };
        let looked_at = looked(message(Outcome::Found(answer)));
        let found = &looked_at.found[0];
        assert_eq!(found.user_data, b"schema = 1\n");
        assert_eq!(found.meta_data.instance_id.as_deref(), Some("i-1"));
        let bad = Answer {
            user_data: Some("!".to_owned()),
            ..Answer::default()
        };
        assert_eq!(looked(message(Outcome::Found(bad))).problems.len(), 1);
        let problem = "no\nroute".to_owned();
        assert!(looked(message(Outcome::Failing { problem })).notes[0].ends_with("noroute"));
    }
}
