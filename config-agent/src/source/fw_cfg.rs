//! QEMU's firmware configuration device: named blobs of the hypervisor's command line.
//!
//! The kernel's module qemu_fw_cfg shows each as `by_name/NAME/raw` (QEMU's `docs/specs/fw_cfg`; names in `opt/` belong
//! to users, the second part to a domain).

use std::io;
use std::path::Path;

use keelson_machine_config::MAX_DOCUMENT;

use super::credential::{Part, Parts};
use super::{Kind, Looked, Origin};

/// Where the module shows them.
const BY_NAME: &str = "firmware/qemu_fw_cfg/by_name";
/// Documents that other systems read and this one does not.
const IGNITION: &str = "opt/com.coreos/config";

/// Looks at our names, if the machine has such a device.
pub(super) fn look(sys: &Path, looked: &mut Looked) {
    looked.at.push("QEMU fw_cfg opt/org.keelson/config".to_owned());
    let by_name = sys.join(BY_NAME);
    if by_name.join(IGNITION).exists() {
        let note = format!("QEMU fw_cfg has {IGNITION} for another system; give a document as opt/org.keelson/config");
        looked.notes.push(note);
    }
    let found = read(&by_name).map(|parts| parts.found(Kind::FwCfg, |name| Origin::only(Kind::FwCfg, name)));
    looked.add(found);
}

fn read(by_name: &Path) -> Result<Parts, String> {
    let mut parts = Parts::default();
    for (part, name) in Part::all().flat_map(|part| names(part).map(|name| (part, name))) {
        match super::bounded_read(&by_name.join(&name).join("raw"), MAX_DOCUMENT as u64) {
            Ok(bytes) => parts
                .add(part, &name, bytes)
                .map_err(|error| format!("QEMU fw_cfg: {error}"))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("cannot read QEMU fw_cfg {name}: {error}")),
        }
    }
    Ok(parts)
}

/// The two names of a part: ours and the one of a credential.
fn names(part: Part) -> [String; 2] {
    let credential = part.credential();
    let short = credential.trim_start_matches("keelson.");
    [
        format!("opt/org.keelson/{short}"),
        format!("opt/io.systemd.credentials/{credential}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_into_the_device() {
        for name in Part::all().flat_map(names) {
            assert!(name.len() <= 55, "{name}");
        }
        assert_eq!(names(Part::Document)[0], "opt/org.keelson/config");
    }
}
