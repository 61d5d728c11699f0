//! Block devices with a volume that carries a document, told by its label.

use std::fs::File;
use std::io;
use std::path::Path;

use super::block::{self, BlockDevice};
use super::{Found, Kind, Looked, Origin, Volume, VolumeError, config_drive, nocloud};

/// A kind of volume.
struct Label {
    /// The label, compared without case.
    label: &'static str,
    kind: Kind,
    /// What it holds, and notes.
    read: fn(&Volume<File>, Origin) -> Result<Found, VolumeError>,
}

const LABELS: [Label; 2] = [
    Label {
        label: "cidata",
        kind: Kind::Nocloud,
        read: nocloud::read,
    },
    Label {
        label: "config-2",
        kind: Kind::ConfigDrive,
        read: config_drive::read,
    },
];

/// Looks at every block device once.
pub(super) fn look(sys: &Path, dev: &Path) -> Looked {
    let mut looked = Looked {
        at: vec!["volumes labelled cidata or config-2".to_owned()],
        ..Looked::default()
    };
    match block::devices(sys, dev) {
        Ok(devices) => devices.iter().for_each(|device| look_at(device, &mut looked)),
        Err(error) => looked.problems.push(format!("cannot list block devices: {error}")),
    }
    looked
}

fn look_at(device: &BlockDevice, looked: &mut Looked) {
    let node = device.node.display().to_string();
    match open(device) {
        Ok(None) => {}
        Ok(Some((volume, label))) => {
            let origin = Origin {
                kind: label.kind,
                device: node.clone(),
                attachment: device.attachment.clone(),
                filesystem: volume.kind().to_owned(),
                volume_id: volume.id(),
            };
            let found = (label.read)(&volume, origin).map(Some);
            looked.add(
                found.map_err(|error| format!("the volume {} on {node} is not used: {}", label.label, chain(&error))),
            );
        }
        // Most devices carry something else, an empty drive carries nothing: neither is worth a word to an operator.
        Err(error) => log::debug!(device = node, error:% = chain(&error); "cannot look at a block device"),
    }
}

/// The device's volume if its label is one of ours.
fn open(device: &BlockDevice) -> Result<Option<(Volume<File>, &'static Label)>, VolumeError> {
    let file = open_read_only(&device.node)?;
    let Some(volume) = Volume::open(file)? else {
        return Ok(None);
    };
    let name = volume.label()?;
    let label = LABELS.iter().find(|label| name.eq_ignore_ascii_case(label.label));
    Ok(label.map(|label| (volume, label)))
}

/// Non-blocking, so that an optical drive without a medium answers at once.
pub(super) fn open_read_only(node: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(File::from(rustix::fs::open(node, flags, Mode::empty())?))
}

pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
