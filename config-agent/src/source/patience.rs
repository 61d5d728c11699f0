//! For what disks a boot waits before it goes on without a document. Pure.

use keelson_machine_config::Reapply;

use super::{Kind, Origin};
use crate::generation::Generation;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Nothing: no disk could carry what counts.
    None,
    /// Devices that a hypervisor offers by a bus of its own.
    Paravirtual,
    /// Every disk the machine has.
    All,
}

/// A document in force holds against others, so that only its own source is worth a wait. One that was on a
/// hypervisor's bus is looked for on that: whoever moves it behind an emulated controller gives another source.
#[must_use]
pub fn decide(in_force: Option<&Generation>, pinned: Option<&Origin>) -> Patience {
    let (Some(in_force), Some(pinned)) = (in_force, pinned) else {
        return Patience::All;
    };
    let volume = matches!(pinned.kind, Kind::Nocloud | Kind::ConfigDrive);
    match in_force.config.policy.reapply {
        _ if in_force.provenance.metadata_only => Patience::All,
        Reapply::Any => Patience::All,
        _ if !volume => Patience::None,
        _ if pinned.attachment.paravirtual => Patience::Paravirtual,
        _ => Patience::All,
    }
}

#[cfg(test)]
mod tests {
    use keelson_machine_config::MachineConfig;

    use super::*;
    use crate::generation::{Files, Provenance};
    use crate::source::block::Attachment;

    #[test]
    fn only_the_source_in_force_is_waited_for_unless_others_count() {
        let origin = |kind, paravirtual| Origin {
            attachment: Attachment {
                paravirtual,
                ..Attachment::default()
            },
            ..Origin::only(kind, "x")
        };
        use Reapply::{Any, Never, SameSource};
        for (kind, paravirtual, reapply, metadata_only, expected) in [
            (Kind::Nocloud, true, SameSource, false, Patience::Paravirtual),
            (Kind::ConfigDrive, true, Never, false, Patience::Paravirtual),
            (Kind::Nocloud, false, SameSource, false, Patience::All),
            (Kind::Nocloud, true, Any, false, Patience::All),
            (Kind::Nocloud, true, SameSource, true, Patience::All),
            (Kind::FwCfg, false, SameSource, false, Patience::None),
            (Kind::Esp, false, Never, false, Patience::None),
            (Kind::Ec2, false, SameSource, false, Patience::None),
            (Kind::Ec2, false, Any, false, Patience::All),
            (Kind::Serial, false, SameSource, true, Patience::All),
        ] {
            let origin = origin(kind, paravirtual);
            let mut generation = Generation {
                id: String::new(),
                rendered: Files::new(),
                config: MachineConfig::default(),
                provenance: Provenance {
                    format: 1,
                    origin: origin.clone(),
                    instance_id: None,
                    metadata_only,
                    fingerprint: String::new(),
                    release: None,
                    previous: None,
                    agent: String::new(),
                },
            };
            generation.config.policy.reapply = reapply;
            let case = format!("{kind:?} {paravirtual} {reapply:?} {metadata_only}");
            assert_eq!(decide(Some(&generation), Some(&origin)), expected, "{case}");
            assert_eq!(decide(Some(&generation), None), Patience::All);
            assert_eq!(decide(None, Some(&origin)), Patience::All);
        }
    }
}
