//! Which name a slot's boot entry should have, and the one rename that gets it there. Pure.

use keelson_image_layout::boot_entry::FRESH_TRIES;
use keelson_image_layout::{EntryName, Slot, SlotRecord, State};

/// What to do about one slot's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// It has the name it should have.
    Keep,
    /// One rename.
    Rename {
        /// Name as found.
        from: String,
        /// Name it should have.
        to: String,
    },
    /// The slot has no entry; nothing can be booted from it.
    Missing,
    /// Two names for one slot, as a torn rename leaves them: they share their clusters, so removing or overwriting
    /// either would damage the other. Left alone; the loader takes the counted one.
    Ambiguous {
        /// The names as found.
        names: Vec<String>,
    },
}

/// The name an entry should have by the slot-state record; `None` when any name will do.
///
/// A trial keeps whatever counter the loader left, but not a missing one: a plain name would let the loader start it
/// for ever.
#[must_use]
pub fn wanted_entry(slot: Slot, record: &SlotRecord, found: Option<EntryName>) -> Option<EntryName> {
    match record.state {
        State::Good => Some(EntryName::good(slot)),
        State::Bad => found.filter(EntryName::is_bad).or(Some(EntryName::bad(slot))),
        State::Trial if found.is_none_or(|name| name.counter.is_none()) => {
            Some(EntryName::trial(slot, record.tries.min(FRESH_TRIES)))
        }
        State::Trial | State::Empty | State::Writing => None,
    }
}

/// Compares the names in `EFI/Linux` with what the record wants for `slot`.
#[must_use]
pub fn plan_entry(names: &[String], slot: Slot, record: &SlotRecord) -> Plan {
    let ours: Vec<&String> = names.iter().filter(|name| belongs_to(name, slot)).collect();
    let [name] = ours.as_slice() else {
        let names: Vec<String> = ours.into_iter().cloned().collect();
        return if names.is_empty() {
            Plan::Missing
        } else {
            Plan::Ambiguous { names }
        };
    };
    let found = EntryName::parse(name).ok();
    match wanted_entry(slot, record, found) {
        Some(wanted) if found != Some(wanted) => Plan::Rename {
            from: (*name).clone(),
            to: wanted.to_string(),
        },
        _ => Plan::Keep,
    }
}

/// Whether a file is some slot's entry. A long name lost in a power cut leaves the short one (`KA_3-0~1.EFI`), which
/// the loader starts without a counter; it is the slot's entry all the same.
#[must_use]
pub fn belongs_to(name: &str, slot: Slot) -> bool {
    let lower = name.to_ascii_lowercase();
    let rest = lower
        .strip_prefix(slot.entry_stem())
        .and_then(|rest| rest.strip_suffix(".efi"));
    rest.is_some_and(|rest| !rest.starts_with(|first: char| first.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(state: State, tries: u8) -> SlotRecord {
        SlotRecord {
            state,
            tries,
            ..SlotRecord::EMPTY
        }
    }

    fn rename(from: &str, to: &str) -> Plan {
        Plan::Rename {
            from: from.to_owned(),
            to: to.to_owned(),
        }
    }

    #[test]
    fn each_name_is_led_to_what_the_record_says() {
        use State::{Bad, Empty, Good, Trial, Writing};
        let table = [
            ("ka+2-1.efi", Good, 3, rename("ka+2-1.efi", "ka.efi")),
            ("ka.efi", Good, 3, Plan::Keep),
            ("KA.EFI", Good, 3, Plan::Keep),
            ("ka+0-3.efi", Good, 3, rename("ka+0-3.efi", "ka.efi")),
            ("ka+2-1.efi", Trial, 2, Plan::Keep),
            ("ka+0-3.efi", Trial, 0, Plan::Keep),
            ("ka.efi", Trial, 2, rename("ka.efi", "ka+2-1.efi")),
            ("KA_2-1~1.EFI", Trial, 2, rename("KA_2-1~1.EFI", "ka+2-1.efi")),
            ("KA_2-1~1.EFI", Good, 3, rename("KA_2-1~1.EFI", "ka.efi")),
            ("ka.efi", Bad, 0, rename("ka.efi", "ka+0-3.efi")),
            ("ka+1-2.efi", Bad, 0, rename("ka+1-2.efi", "ka+0-3.efi")),
            ("ka+0-4.efi", Bad, 0, Plan::Keep),
            ("ka+1-2.efi", Writing, 0, Plan::Keep),
            ("ka+1-2.efi", Empty, 0, Plan::Keep),
        ];
        for (name, state, tries, expected) in table {
            let names = ["kb+3-0.efi".to_owned(), name.to_owned()];
            assert_eq!(
                plan_entry(&names, Slot::A, &record(state, tries)),
                expected,
                "{name} {state:?}"
            );
        }
    }

    #[test]
    fn a_plan_carried_out_is_kept() {
        for state in [State::Good, State::Bad, State::Trial] {
            for tries in 0..=3 {
                for name in ["ka.efi", "ka+3-0.efi", "ka+0-3.efi", "KA_2-1~1.EFI"] {
                    let record = record(state, tries);
                    if let Plan::Rename { to, .. } = plan_entry(&[name.to_owned()], Slot::A, &record) {
                        assert_eq!(plan_entry(&[to], Slot::A, &record), Plan::Keep);
                    }
                }
            }
        }
    }

    #[test]
    fn other_files_are_nobodys_entry() {
        let names = ["kb.efi", "kappa.efi", "ka.efi.new", "linux.efi"].map(str::to_owned);
        assert_eq!(plan_entry(&names, Slot::A, &record(State::Good, 3)), Plan::Missing);
    }

    #[test]
    fn two_names_of_one_slot_are_left_alone() {
        let names = ["ka+2-1.efi", "ka.efi"].map(str::to_owned);
        let plan = plan_entry(&names, Slot::A, &record(State::Good, 3));
        assert_eq!(plan, Plan::Ambiguous { names: names.to_vec() });
    }
}
