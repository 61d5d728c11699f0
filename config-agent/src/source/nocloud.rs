//! NoCloud: a volume labelled `cidata` with the files `user-data` and `meta-data`.

use std::fs::File;
use std::io;
use std::path::Path;

use keelson_machine_config::MAX_DOCUMENT;

use super::block::{self, BlockDevice};
use super::{Found, Kind, Looked, MetaData, Origin, Volume, VolumeError};

const LABEL: &str = "cidata";
/// Longest `meta-data` that is read.
const MAX_META_DATA: usize = 64 << 10;

/// Looks at every block device once.
pub(super) fn look(sys: &Path, dev: &Path) -> Looked {
    let mut looked = Looked {
        at: vec!["volumes labelled cidata".to_owned()],
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
        Ok(Some(volume)) => match read(device, &volume) {
            Ok(found) => looked.found.push(found),
            Err(error) => looked
                .problems
                .push(format!("the volume cidata on {node} is not used: {}", chain(&error))),
        },
        // Most devices carry something else, an empty drive carries nothing: neither is worth a word to an operator.
        Err(error) => log::debug!(device = node, error:% = chain(&error); "cannot look at a block device"),
    }
}

/// The device's volume if its label is the right one.
fn open(device: &BlockDevice) -> Result<Option<Volume<File>>, VolumeError> {
    let file = open_read_only(&device.node)?;
    let Some(volume) = Volume::open(file)? else {
        return Ok(None);
    };
    Ok(volume.label()?.eq_ignore_ascii_case(LABEL).then_some(volume))
}

/// Non-blocking, so that an optical drive without a medium answers at once.
fn open_read_only(node: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(File::from(rustix::fs::open(node, flags, Mode::empty())?))
}

fn read(device: &BlockDevice, volume: &Volume<File>) -> Result<Found, VolumeError> {
    let user_data = volume.file("user-data", MAX_DOCUMENT)?.unwrap_or_default();
    let meta_data = volume.file("meta-data", MAX_META_DATA)?.unwrap_or_default();
    Ok(Found {
        origin: Origin {
            kind: Kind::Nocloud,
            device: device.node.display().to_string(),
            attachment: device.attachment.clone(),
            filesystem: volume.kind().to_owned(),
            volume_id: volume.id(),
        },
        user_data,
        meta_data: MetaData::parse(&meta_data),
    })
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
