//! Order between units. Finds cycles and says where they go round; never decides when something starts.

use std::collections::{BTreeMap, BTreeSet};

use super::Unit;

/// A unit that is left out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its name.
    pub unit: String,
    /// For the console.
    pub reason: String,
}

/// Leaves out what stands in a cycle of `after` and `requires`, and what exceeds the number of units; keeps the rest.
#[must_use]
pub fn plan_units(units: Vec<Unit>) -> (BTreeMap<String, Unit>, Vec<Refused>) {
    let mut kept = BTreeMap::new();
    let mut refused = Vec::new();
    for unit in units {
        if kept.len() >= super::MOST_UNITS {
            let reason = format!("there are already {} units", super::MOST_UNITS);
            refused.push(Refused {
                unit: unit.name,
                reason,
            });
        } else {
            kept.insert(unit.name.clone(), unit);
        }
    }
    while let Some(cycle) = find_cycle(&kept) {
        let path = cycle
            .iter()
            .chain(cycle.first())
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(" after ");
        for name in cycle {
            kept.remove(&name);
            refused.push(Refused {
                unit: name,
                reason: format!("order goes round in a circle: {path}"),
            });
        }
    }
    (kept, refused)
}

/// What must have come up before `unit` starts, among the units that exist.
pub fn predecessors<'a>(unit: &'a Unit, units: &'a BTreeMap<String, Unit>) -> impl Iterator<Item = &'a str> {
    unit.requires
        .iter()
        .chain(&unit.after)
        .map(String::as_str)
        .filter(|name| units.contains_key(*name))
}

/// The units of one cycle in order, or `None`.
fn find_cycle(units: &BTreeMap<String, Unit>) -> Option<Vec<String>> {
    let mut cleared = BTreeSet::new();
    units.keys().find_map(|start| walk(units, start, &mut cleared))
}

/// Depth first with an explicit stack, so that a long chain cannot exhaust PID 1's stack.
fn walk<'a>(units: &'a BTreeMap<String, Unit>, start: &'a str, cleared: &mut BTreeSet<&'a str>) -> Option<Vec<String>> {
    let next = |name: &str| -> Vec<&'a str> {
        units
            .get(name)
            .map(|unit| predecessors(unit, units).collect())
            .unwrap_or_default()
    };
    if cleared.contains(start) {
        return None;
    }
    let mut path: Vec<(&str, Vec<&str>)> = vec![(start, next(start))];
    while let Some((name, pending)) = path.last_mut() {
        let Some(candidate) = pending.pop() else {
            cleared.insert(name);
            path.pop();
            continue;
        };
        if let Some(at) = path.iter().position(|(name, _)| *name == candidate) {
            return Some(path.iter().skip(at).map(|(name, _)| (*name).to_owned()).collect());
        }
        if !cleared.contains(candidate) {
            path.push((candidate, next(candidate)));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::parse;

    fn target(name: &str, requires: &[&str], after: &[&str]) -> Unit {
        let text = format!(
            "schema = 1\n[unit]\ndescription = \"t\"\nkind = \"target\"\nrequires = {requires:?}\nafter = {after:?}\n"
        );
        parse(name, &text).unwrap()
    }

    #[test]
    fn a_cycle_is_left_out_with_its_path_and_the_rest_stays() {
        let (kept, refused) = plan_units(vec![
            target("a", &["b"], &[]),
            target("b", &[], &["c"]),
            target("c", &["a"], &[]),
            target("d", &["a"], &["e"]),
            target("e", &[], &[]),
        ]);
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["d", "e"]);
        assert_eq!(refused.len(), 3);
        assert_eq!(
            refused[0].reason,
            "order goes round in a circle: a after b after c after a"
        );
    }

    #[test]
    fn every_cycle_is_found_and_diamonds_are_none() {
        let (kept, refused) = plan_units(vec![
            target("a", &["b", "c"], &[]),
            target("b", &["d"], &[]),
            target("c", &["d"], &[]),
            target("d", &[], &["missing"]),
            target("p", &[], &["q"]),
            target("q", &[], &["p"]),
            target("x", &["y"], &[]),
            target("y", &["x"], &[]),
        ]);
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
        assert_eq!(refused.len(), 4);
    }

    #[test]
    fn the_number_of_units_is_bounded() {
        let many = (0..70).map(|number| target(&format!("u{number}"), &[], &[])).collect();
        let (kept, refused) = plan_units(many);
        assert_eq!((kept.len(), refused.len()), (64, 6));
    }
}
