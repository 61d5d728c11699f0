//! Device-mapper: create a device, give it a table, make that table live, remove it.
//!
//! Source: kernel `include/uapi/linux/dm-ioctl.h`. One target per table is all that is needed here. A table loaded over
//! a live one takes effect at the next [`Control::activate`], so options can change under a mounted file system.

use std::fs::File;
use std::io;

use rustix::ioctl::{Direction, Opcode, Updater, ioctl, opcode};
use thiserror::Error;

/// The control node; it appears when `dm_mod` is loaded.
pub const CONTROL: &str = "/dev/mapper/control";

/// Bytes handed to the kernel in each call: the header, one target and its parameters.
const PACKET_BYTES: usize = 2048;
const HEADER_BYTES: usize = 312;
const TARGET_BYTES: usize = 40;
const NAME_BYTES: usize = 128;
const TYPE_BYTES: usize = 16;

const VERSION: [u32; 3] = [4, 0, 0];
const GROUP: u8 = 0xfd;
const READ_ONLY: u32 = 1 << 0;
const SKIP_LOCKFS: u32 = 1 << 10;
const PARAMS_AT: usize = HEADER_BYTES + TARGET_BYTES;

const fn command(number: u8) -> Opcode {
    opcode::from_components(Direction::ReadWrite, GROUP, number, HEADER_BYTES)
}
const CREATE: Opcode = command(3);
const REMOVE: Opcode = command(4);
const SUSPEND: Opcode = command(6);
const LOAD: Opcode = command(9);
const TABLE_STATUS: Opcode = command(12);

/// What device-mapper refused.
#[derive(Debug, Error)]
pub enum DmError {
    /// The control node is missing or closed to us.
    #[error("cannot open {CONTROL}")]
    Open {
        /// Answer of the kernel.
        #[source]
        source: io::Error,
    },
    /// Name, type or parameters do not fit one call.
    #[error("table of {device:?} is longer than one call can carry")]
    TooLong {
        /// Name of the mapped device.
        device: String,
    },
    /// The kernel said no.
    #[error("device-mapper cannot {action} {device:?}")]
    Refused {
        /// The step.
        action: &'static str,
        /// Name of the mapped device.
        device: String,
        /// Answer of the kernel.
        #[source]
        source: io::Error,
    },
}

/// One target that spans the whole device.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Length in 512-byte sectors.
    pub sectors: u64,
    /// Type, for instance `verity`.
    pub kind: &'a str,
    /// Its parameter line.
    pub params: &'a str,
}

/// The open control node.
#[derive(Debug)]
pub struct Control(File);

/// `struct dm_ioctl` followed by what the call carries; the kernel reads and writes at most `data_size` bytes of it.
#[repr(C, align(8))]
struct Packet([u8; PACKET_BYTES]);

impl Control {
    /// Opens the control node.
    ///
    /// # Errors
    /// [`DmError::Open`] when device-mapper is not loaded.
    pub fn open() -> Result<Control, DmError> {
        let file = File::options().read(true).write(true).open(CONTROL);
        file.map(Control).map_err(|source| DmError::Open { source })
    }

    /// Makes a device without a table and returns its device number.
    ///
    /// # Errors
    /// [`DmError::Refused`], for instance when the name is taken.
    pub fn create(&self, device: &str) -> Result<u64, DmError> {
        let packet = self.call::<CREATE>("create", device, 0, None)?;
        Ok(packet.device_number())
    }

    /// Loads a read-only table beside the live one.
    ///
    /// # Errors
    /// [`DmError::Refused`] when the target refuses its parameters.
    pub fn load(&self, device: &str, target: Target<'_>) -> Result<(), DmError> {
        self.call::<LOAD>("load the table of", device, READ_ONLY, Some(target))
            .map(drop)
    }

    /// Makes the loaded table live. A mounted file system is not frozen: meant for read-only devices.
    ///
    /// # Errors
    /// [`DmError::Refused`].
    pub fn activate(&self, device: &str) -> Result<(), DmError> {
        self.call::<SUSPEND>("activate", device, READ_ONLY | SKIP_LOCKFS, None)
            .map(drop)
    }

    /// The target's status line, for instance `V` (verified so far) or `C` (corrupt) for verity.
    ///
    /// # Errors
    /// [`DmError::Refused`].
    pub fn status(&self, device: &str) -> Result<String, DmError> {
        self.call::<TABLE_STATUS>("read the status of", device, 0, None)
            .map(|packet| packet.status())
    }

    /// Removes a device that nobody has open.
    ///
    /// # Errors
    /// [`DmError::Refused`], for instance when it is mounted.
    pub fn remove(&self, device: &str) -> Result<(), DmError> {
        self.call::<REMOVE>("remove", device, 0, None).map(drop)
    }

    #[allow(unsafe_code, reason = "rustix has no device-mapper calls")]
    fn call<const OPCODE: Opcode>(
        &self,
        action: &'static str,
        device: &str,
        flags: u32,
        target: Option<Target<'_>>,
    ) -> Result<Packet, DmError> {
        let too_long = || DmError::TooLong {
            device: device.to_owned(),
        };
        let mut packet = Packet::new(device, flags, target).ok_or_else(too_long)?;
        // SAFETY: the opcode is a device-mapper command, whose argument is a `struct dm_ioctl`; the packet is laid out
        // as one, aligned to 8, and says its true size in `data_size`, which bounds what the kernel reads and writes.
        let done = unsafe { ioctl(&self.0, Updater::<OPCODE, Packet>::new(&mut packet)) };
        done.map_err(|errno| DmError::Refused {
            action,
            device: device.to_owned(),
            source: errno.into(),
        })?;
        Ok(packet)
    }
}

impl Packet {
    fn new(device: &str, flags: u32, target: Option<Target<'_>>) -> Option<Packet> {
        let mut packet = Packet([0; PACKET_BYTES]);
        let size = PACKET_BYTES as u32;
        let header = [VERSION[0], VERSION[1], VERSION[2], size, HEADER_BYTES as u32];
        for (index, word) in header.into_iter().enumerate() {
            packet.put(index * 4, &word.to_ne_bytes())?;
        }
        packet.put(20, &u32::from(target.is_some()).to_ne_bytes())?;
        packet.put(28, &flags.to_ne_bytes())?;
        packet.put_text(48, device, NAME_BYTES)?;
        if let Some(target) = target {
            packet.put(HEADER_BYTES + 8, &target.sectors.to_ne_bytes())?;
            packet.put_text(HEADER_BYTES + 24, target.kind, TYPE_BYTES)?;
            packet.put_text(PARAMS_AT, target.params, PACKET_BYTES - PARAMS_AT)?;
        }
        Some(packet)
    }

    fn put(&mut self, at: usize, bytes: &[u8]) -> Option<()> {
        self.0.get_mut(at..at.checked_add(bytes.len())?)?.copy_from_slice(bytes);
        Some(())
    }

    /// Text with the zero byte that ends it.
    fn put_text(&mut self, at: usize, text: &str, room: usize) -> Option<()> {
        if text.len() >= room || text.bytes().any(|byte| byte == 0) {
            return None;
        }
        self.put(at, text.as_bytes())
    }

    fn device_number(&self) -> u64 {
        let bytes = self.0.get(40..48).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u64::from_ne_bytes)
    }

    fn status(&self) -> String {
        // The target's line follows its `dm_target_spec`, which the kernel filled in after the header.
        let line = self.0.get(PARAMS_AT..).unwrap_or_default();
        let end = line.iter().position(|byte| *byte == 0).unwrap_or(line.len());
        String::from_utf8_lossy(line.get(..end).unwrap_or_default()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_follow_the_kernel_header() {
        let target = Target {
            sectors: 8,
            kind: "verity",
            params: "1 2",
        };
        let packet = Packet::new("root", READ_ONLY, Some(target))
            .map(|packet| packet.0)
            .unwrap();
        assert_eq!(packet[0..4], 4u32.to_ne_bytes());
        assert_eq!(packet[12..16], 2048u32.to_ne_bytes());
        assert_eq!(packet[16..20], 312u32.to_ne_bytes());
        assert_eq!(packet[20..24], 1u32.to_ne_bytes());
        assert_eq!(&packet[48..53], b"root\0");
        assert_eq!(packet[320..328], 8u64.to_ne_bytes());
        assert_eq!(&packet[336..343], b"verity\0");
        assert_eq!(&packet[352..356], b"1 2\0");
        assert_eq!(CREATE, 0xc138_fd03);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        assert!(Packet::new(&"n".repeat(128), 0, None).is_none());
        let params = "p".repeat(PACKET_BYTES);
        let target = Target {
            sectors: 1,
            kind: "verity",
            params: &params,
        };
        assert!(Packet::new("root", 0, Some(target)).is_none());
    }

    #[test]
    fn privileged_device_is_made_and_removed() {
        let Ok(control) = Control::open() else {
            eprintln!("skipped: device-mapper is not available here");
            return;
        };
        let name = format!("keelson-test-{}", std::process::id());
        assert_ne!(control.create(&name).unwrap(), 0);
        let zero = Target {
            sectors: 8,
            kind: "zero",
            params: "",
        };
        let loaded = control.load(&name, zero).and_then(|()| control.activate(&name));
        control.remove(&name).unwrap();
        loaded.unwrap();
    }
}
