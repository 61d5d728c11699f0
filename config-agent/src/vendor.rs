//! Vendor-data: a document of the platform's, below the operator's. Whatever is wrong with it, it alone is left out.

use keelson_machine_config::layers::{put_below as layer, vendor_oversteps};
use keelson_machine_config::{Format, MachineConfig};

use crate::bounded;

/// Puts vendor-data below a configuration. Gives what there is to say about them, a sentence each.
pub(crate) fn put_below(config: &mut MachineConfig, bytes: &[u8]) -> Vec<String> {
    if Format::detect(bytes) == Format::Empty {
        return Vec::new();
    }
    let Some(verdict) = bounded::validate(bytes) else {
        return vec!["vendor-data are not used: they are too much work to check".to_owned()];
    };
    let Some(accepted) = verdict.accepted else {
        let lines = verdict.report.lines().take(3);
        return lines.map(|line| format!("vendor-data are not used: {line}")).collect();
    };
    let over = vendor_oversteps(&accepted.config);
    if over.is_empty() {
        layer(config, &accepted.config);
    }
    over.into_iter()
        .map(|why| format!("vendor-data are not used: {why}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_in_what_the_document_does_not_say() {
        for (vendor, zone, notes) in [
            ("#cloud-config\ntimezone: UTC\n", Some("UTC"), 0),
            ("", None, 0),
            ("{}", None, 1),
            ("#cloud-config\ntimezone: UTC\nwrite_files: [{path: /etc/x}]\n", None, 1),
            ("#cloud-config\nruncmd: [x]\npackages: [y]\n", None, 2),
        ] {
            let mut config = MachineConfig::default();
            assert_eq!(put_below(&mut config, vendor.as_bytes()).len(), notes, "{vendor}");
            let found = config.system.timezone.as_ref().map(|zone| zone.as_str());
            assert_eq!(found, zone, "{vendor}");
        }
    }
}
