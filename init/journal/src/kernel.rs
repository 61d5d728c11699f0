//! Records of the kernel's log.
//!
//! Source: kernel `Documentation/ABI/testing/dev-kmsg`: `prefix,sequence,microseconds,flags;message`, then lines that
//! begin with a space, `KEY=value`. What user space wrote (facility other than 0) is the boot program's, until the
//! journal runs.

use crate::entry::Fields;

/// A record of `/dev/kmsg`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelRecord {
    /// The kernel's own number of the record.
    pub sequence: u64,
    /// Microseconds since the kernel started.
    pub monotonic: u64,
    /// What it says.
    pub fields: Fields,
}

/// Reads one record; `None` if the bytes are none.
#[must_use]
pub fn parse(record: &[u8]) -> Option<KernelRecord> {
    let text = String::from_utf8_lossy(record);
    let (prefix, rest) = text.split_once(';')?;
    let mut numbers = prefix.split(',');
    let priority: u32 = numbers.next()?.parse().ok()?;
    let sequence: u64 = numbers.next()?.parse().ok()?;
    let monotonic: u64 = numbers.next()?.parse().ok()?;
    let mut lines = rest.split('\n');
    let message = unescape(lines.next()?);
    let facility = priority >> 3;
    let mut fields = Fields::new();
    let (identifier, message) = match (facility, message.split_once(": ")) {
        (0, _) | (_, None) => ("kernel".to_owned(), message),
        (_, Some((tag, message))) => (tag.to_owned(), message.to_owned()),
    };
    fields.push("MESSAGE", message);
    fields.push("PRIORITY", (priority & 7).to_string());
    fields.push("SYSLOG_FACILITY", facility.to_string());
    fields.push("SYSLOG_IDENTIFIER", identifier);
    fields.push("_TRANSPORT", "kernel");
    fields.push("_SOURCE_MONOTONIC_TIMESTAMP", monotonic.to_string());
    fields.push("_KERNEL_SEQUENCE", sequence.to_string());
    for (key, value) in lines.filter_map(|line| line.strip_prefix(' ')?.split_once('=')) {
        let name = match key {
            "DEVICE" => "_KERNEL_DEVICE",
            "SUBSYSTEM" => "_KERNEL_SUBSYSTEM",
            _ => continue,
        };
        fields.push(name, value);
    }
    Some(KernelRecord {
        sequence,
        monotonic,
        fields,
    })
}

/// The kernel writes bytes it cannot print as `\xNN`.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend(before.bytes());
        let code = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.extend(b"\\x");
                rest = after;
            }
        }
    }
    bytes.extend(rest.bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_kernel_and_boot_program_are_told_apart() {
        let record = parse(b"6,339,5140900,-;NET: Registered\n SUBSYSTEM=pci\n DEVICE=+pci:0\n").unwrap();
        assert_eq!((record.sequence, record.monotonic), (339, 5_140_900));
        assert_eq!(record.fields.text("MESSAGE"), Some("NET: Registered"));
        assert_eq!(record.fields.text("SYSLOG_IDENTIFIER"), Some("kernel"));
        assert_eq!(record.fields.text("_KERNEL_SUBSYSTEM"), Some("pci"));
        let record = parse(b"30,340,5140901,-;keelson-init: root mounted").unwrap();
        assert_eq!(record.fields.text("SYSLOG_IDENTIFIER"), Some("keelson-init"));
        assert_eq!(record.fields.text("MESSAGE"), Some("root mounted"));
        assert_eq!(record.fields.text("PRIORITY"), Some("6"));
    }

    #[test]
    fn escapes_are_undone_and_broken_ones_kept() {
        assert_eq!(unescape("a\\x0ab"), "a\nb");
        assert_eq!(unescape("a\\xzz"), "a\\xzz");
        assert_eq!(unescape("\\x"), "\\x");
    }

    #[test]
    fn other_bytes_are_no_record() {
        for bytes in [&b""[..], b"no record", b"6,1;x", b"a,b,c;d", b"\xff;"] {
            assert_eq!(parse(bytes), None);
        }
    }
}
