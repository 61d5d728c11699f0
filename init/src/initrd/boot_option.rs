//! Where the firmware found the boot loader: the PCI path in the boot option it used. Two disks made from one image
//! carry the same identities until one of them has booted; this tells them apart.
//!
//! Source: UEFI Specification 3.1.3 (load options) and 10.3 (device paths).

use std::fs;
use std::path::Path;

const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// Attributes before the value in efivarfs.
const ATTRIBUTES: usize = 4;

/// Device and function of each PCI node in the path of the boot option in use; `None` if there is none.
#[must_use]
pub fn pci_path(variables: &Path) -> Option<Vec<(u8, u8)>> {
    let read = |name: &str| fs::read(variables.join(format!("{name}-{GLOBAL}"))).ok();
    let current = read("BootCurrent")?;
    let number = u16::from_le_bytes(current.get(ATTRIBUTES..)?.get(..2)?.try_into().ok()?);
    let option = read(&format!("Boot{number:04X}"))?;
    parse_option(option.get(ATTRIBUTES..)?)
}

/// `u32 attributes, u16 length of the path, description in UTF-16 ended by a zero, device path`.
pub(super) fn parse_option(option: &[u8]) -> Option<Vec<(u8, u8)>> {
    let length = usize::from(u16::from_le_bytes(option.get(4..6)?.try_into().ok()?));
    let rest = option.get(6..)?;
    let end = rest.chunks_exact(2).position(|unit| unit == [0, 0])?;
    let path = rest.get((end + 1) * 2..)?;
    let pci = pci_nodes(path.get(..length).unwrap_or(path));
    (!pci.is_empty()).then_some(pci)
}

/// A node is `u8 type, u8 subtype, u16 length, data`; PCI is type 1, subtype 1, data `function, device`.
fn pci_nodes(mut path: &[u8]) -> Vec<(u8, u8)> {
    let mut nodes = Vec::new();
    while let [kind, subtype, low, high, ..] = path {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        if length < 4 {
            break;
        }
        if let ([1, 1], Some([function, device])) = ([*kind, *subtype], path.get(4..6)) {
            nodes.push((*device, *function));
        }
        path = path.get(length..).unwrap_or_default();
    }
    nodes
}

/// Device and function of each PCI component in a path below `/sys/devices`, for instance
/// `pci0000:00/0000:00:03.0/virtio1/block/vda`.
#[must_use]
pub fn pci_path_of_device(path: &Path) -> Vec<(u8, u8)> {
    path.components()
        .filter_map(|part| parse_address(part.as_os_str().to_str()?))
        .collect()
}

/// `domain:bus:device.function`.
fn parse_address(text: &str) -> Option<(u8, u8)> {
    let mut parts = text.split(':');
    let (_domain, _bus, last) = (parts.next()?, parts.next()?, parts.next()?);
    let (device, function) = last.split_once('.')?;
    if parts.next().is_some() || device.len() != 2 {
        return None;
    }
    Some((
        u8::from_str_radix(device, 16).ok()?,
        u8::from_str_radix(function, 16).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn option() -> Vec<u8> {
        let mut path = vec![2, 1, 12, 0, 0xd0, 0x41, 3, 0x0a, 0, 0, 0, 0]; // ACPI root
        path.extend([1, 1, 6, 0, 0, 2]); // PCI device 2, function 0: a bridge
        path.extend([1, 1, 6, 0, 1, 0x1f]); // PCI device 0x1f, function 1
        path.extend([0x7f, 0xff, 4, 0]);
        let mut option = vec![1, 0, 0, 0, path.len() as u8, 0];
        option.extend("Disk\0".encode_utf16().flat_map(u16::to_le_bytes));
        option.extend(path);
        option
    }

    #[test]
    fn firmware_and_kernel_name_the_same_controller() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, value: &[u8]| {
            let value = [&[7, 0, 0, 0], value].concat();
            fs::write(directory.path().join(format!("{name}-{GLOBAL}")), value).unwrap();
        };
        assert_eq!(pci_path(directory.path()), None);
        write("BootCurrent", &[0x0a, 0]);
        write("Boot000A", &option());
        let found = pci_path(directory.path()).unwrap();
        assert_eq!(found, [(2, 0), (0x1f, 1)]);
        let device = Path::new("pci0000:00/0000:00:02.0/0000:01:1f.1/virtio0/block/vda");
        assert_eq!(pci_path_of_device(device), found);
    }

    #[test]
    fn what_is_no_address_is_no_address() {
        for text in [
            "pci0000:00",
            "0000:00:03",
            "0000:00:3.0",
            "0:0:0:0",
            "1-1:1.0",
            "0000:00:zz.0",
        ] {
            assert_eq!(parse_address(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse_option(&bytes);
        }
    }
}
