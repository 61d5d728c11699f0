//! The network configuration that a source gives beside its document.

use keelson_machine_config::network_config::{self, NetworkFormat};
use keelson_machine_config::{MachineConfig, Report};

use crate::source::{self, Found};

/// What came of it.
#[derive(Debug)]
pub(crate) enum Beside {
    /// There is none, or it asks for nothing.
    Nothing,
    /// The document speaks of networks itself, and its word counts.
    Unused,
    /// It has become the document's network, with these warnings.
    Taken(Report),
    /// It cannot be understood.
    Refused(Report),
}

/// Takes the network configuration into a configuration that has none.
pub(crate) fn take(config: &mut MachineConfig, found: &Found) -> Beside {
    let Some(network) = &found.network_config else {
        return Beside::Nothing;
    };
    if config.network.is_some() {
        return Beside::Unused;
    }
    let (name, format) = match network.format {
        source::NetworkFormat::CloudInit => ("network-config", NetworkFormat::CloudInit),
        source::NetworkFormat::OpenStack => ("network_data.json", NetworkFormat::OpenStack),
    };
    let verdict = network_config::validate(name, &network.bytes, format);
    match verdict.accepted {
        Some(Some(network)) => {
            config.network = Some(network);
            Beside::Taken(verdict.report)
        }
        Some(None) => Beside::Nothing,
        None => Beside::Refused(verdict.report),
    }
}
