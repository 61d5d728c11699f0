//! Names for containers that were given none. Pure.

use super::id::ContainerId;

const QUALITIES: [&str; 24] = [
    "able", "amber", "brisk", "calm", "candid", "clear", "deft", "early", "fair", "fleet", "gentle", "hardy", "keen",
    "level", "lucid", "mellow", "nimble", "patient", "quiet", "ready", "steady", "sunny", "swift", "warm",
];

const THINGS: [&str; 24] = [
    "anchor", "beacon", "binnacle", "bollard", "bowsprit", "buoy", "capstan", "compass", "cutter", "dinghy",
    "fairlead", "gaff", "halyard", "jib", "ketch", "lantern", "mast", "mizzen", "oar", "rudder", "schooner", "sextant",
    "skiff", "tiller",
];

/// A name that follows from the id; one that is taken gets a part of the id appended.
pub fn made_up_name(id: &ContainerId, taken: impl Fn(&str) -> bool) -> String {
    let digits = u64::from_str_radix(id.as_str().get(..8).unwrap_or("0"), 16).unwrap_or_default();
    let pick = |list: &[&str; 24], number: u64| {
        let place = usize::try_from(number % 24).unwrap_or_default();
        list.get(place).copied().unwrap_or("calm").to_owned()
    };
    let name = format!("{}_{}", pick(&QUALITIES, digits), pick(&THINGS, digits / 24));
    if taken(&name) {
        format!("{name}_{}", id.short())
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_name_is_valid_and_unique() {
        let id = ContainerId::try_from("ab".repeat(32)).unwrap();
        let first = made_up_name(&id, |_| false);
        assert!(super::super::id::is_valid_name(&first), "{first}");
        assert_ne!(made_up_name(&id, |name| name == first), first);
    }
}
