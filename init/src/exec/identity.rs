//! Becoming the user of a unit with exactly the capabilities it was given. Order matters: the bounding set is cut while
//! it may be, groups go before the user, capabilities come back after it.

use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, configure_capability_in_ambient_set,
    remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};

use crate::accounts::Identity;
use keelson_sys::capability;

/// What a process may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Powers {
    /// Whatever it has.
    All,
    /// These only.
    Only(CapabilitySet),
}

/// What a unit may keep: what it names; else everything for root and nothing for others.
#[must_use]
pub fn decide_powers(capabilities: Option<&[String]>, uid: u32) -> Powers {
    match (capabilities, uid) {
        (None, 0) => Powers::All,
        (names, _) => {
            let numbers = names
                .unwrap_or_default()
                .iter()
                .filter_map(|name| capability::number(name));
            Powers::Only(numbers.fold(CapabilitySet::empty(), |set, number| set | single(number)))
        }
    }
}

/// Becomes `identity` with `powers`.
///
/// # Errors
/// What the kernel says, with the step.
pub fn become_identity(identity: &Identity, powers: Powers) -> Result<(), (&'static str, Errno)> {
    let step = |name: &'static str| move |errno: Errno| (name, errno);
    if let Powers::Only(kept) = powers {
        cut_bounding_set(kept).map_err(step("cut the capability bounding set"))?;
    }
    set_keep_capabilities(true).map_err(step("keep capabilities"))?;
    let groups: Vec<Gid> = identity.groups.iter().map(|number| Gid::from_raw(*number)).collect();
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    set_thread_groups(&groups).map_err(step("set groups"))?;
    set_thread_res_gid(gid, gid, gid).map_err(step("set group"))?;
    set_thread_res_uid(uid, uid, uid).map_err(step("set user"))?;
    if let Powers::Only(kept) = powers {
        keep_only(kept).map_err(step("set capabilities"))?;
    }
    Ok(())
}

fn cut_bounding_set(kept: CapabilitySet) -> Result<(), Errno> {
    for capability in all() {
        if kept.contains(capability) {
            continue;
        }
        match remove_capability_from_bounding_set(capability) {
            // An older kernel that does not know the capability has nothing to take away.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn keep_only(kept: CapabilitySet) -> Result<(), Errno> {
    set_capabilities(
        None,
        CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: kept,
        },
    )?;
    clear_ambient_capability_set()?;
    for capability in all().filter(|capability| kept.contains(*capability)) {
        configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}

fn all() -> impl Iterator<Item = CapabilitySet> {
    capability::NAMES.iter().zip(0..).map(|(_, number)| single(number))
}

fn single(number: u8) -> CapabilitySet {
    CapabilitySet::from_bits_retain(1 << number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_keeps_everything_unless_the_unit_names_what_it_needs() {
        let named = ["CAP_NET_ADMIN".to_owned()];
        assert_eq!(decide_powers(None, 0), Powers::All);
        assert_eq!(decide_powers(None, 903), Powers::Only(CapabilitySet::empty()));
        assert_eq!(decide_powers(Some(&[]), 0), Powers::Only(CapabilitySet::empty()));
        assert_eq!(decide_powers(Some(&named), 903), Powers::Only(CapabilitySet::NET_ADMIN));
    }

    #[test]
    fn names_and_numbers_agree() {
        assert_eq!(
            single(capability::number("CAP_CHECKPOINT_RESTORE").unwrap()),
            CapabilitySet::CHECKPOINT_RESTORE
        );
        assert_eq!(single(capability::number("CAP_CHOWN").unwrap()), CapabilitySet::CHOWN);
    }
}
