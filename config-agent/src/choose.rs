//! Which document is applied. Pure.
//!
//! ```text
//! nothing in force, one document      apply it
//! nothing in force, several           apply the one whose kind of source comes first (Kind::rank)
//! nothing in force, several equal     none: the choice would be a guess
//! in force, same bytes                unchanged
//! in force, changed, same source      by the policy in force: never → report, same-source and any → apply
//! in force, another source            by the policy in force: any → apply the first, else report
//! ```

use keelson_machine_config::Reapply;

use crate::source::Origin;

/// A document that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Where.
    pub origin: &'a Origin,
    /// Keyed digest of its bytes and of the metadata that count.
    pub fingerprint: &'a str,
}

/// What is in force, or was pinned before what was in force got lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InForce<'a> {
    /// The pinned source.
    pub origin: &'a Origin,
    /// Of the document in force; `None` when its generation is damaged and must be made anew.
    pub fingerprint: Option<&'a str>,
    /// What it allows.
    pub reapply: Reapply,
}

/// What to do. Numbers are places in the list of candidates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// There is no document and none is in force.
    Nothing,
    /// What is in force stays; `absent` when its source was not found.
    Keep {
        /// Whether the pinned source is missing.
        absent: bool,
        /// Documents that the policy does not allow.
        reported: Vec<usize>,
    },
    /// This one is validated and, if good, applied.
    Apply {
        /// Which.
        candidate: usize,
        /// Documents that the policy does not allow.
        reported: Vec<usize>,
    },
    /// Several documents have an equal claim.
    Ambiguous,
}

/// The one candidate, of some, whose kind of source comes first; `None` when two are equal, or there is none.
fn first(candidates: &[Candidate<'_>], of: &[usize]) -> Option<usize> {
    let rank = |i: &usize| candidates.get(*i).map(|candidate| candidate.origin.kind.rank());
    let best = of.iter().copied().min_by_key(rank)?;
    let equals = of.iter().filter(|i| rank(i) == rank(&best)).count();
    (equals == 1).then_some(best)
}

/// Decides.
#[must_use]
pub fn choose(in_force: Option<&InForce<'_>>, candidates: &[Candidate<'_>]) -> Choice {
    let Some(in_force) = in_force else {
        let all: Vec<usize> = (0..candidates.len()).collect();
        return match first(candidates, &all) {
            _ if all.is_empty() => Choice::Nothing,
            None => Choice::Ambiguous,
            Some(candidate) => Choice::Apply {
                candidate,
                reported: Vec::new(),
            },
        };
    };
    let (own, others): (Vec<usize>, Vec<usize>) = (0..candidates.len()).partition(|i| {
        candidates
            .get(*i)
            .is_some_and(|candidate| candidate.origin.same_as(in_force.origin))
    });
    match (own.as_slice(), others.as_slice()) {
        ([own], _) => own_source(in_force, candidates, *own, others),
        ([], []) => Choice::Keep {
            absent: true,
            reported: Vec::new(),
        },
        ([], others) if in_force.reapply == Reapply::Any => match first(candidates, others) {
            None => Choice::Ambiguous,
            Some(candidate) => Choice::Apply {
                candidate,
                reported: Vec::new(),
            },
        },
        ([], _) => Choice::Keep {
            absent: true,
            reported: others,
        },
        _ => Choice::Ambiguous,
    }
}

fn own_source(in_force: &InForce<'_>, candidates: &[Candidate<'_>], own: usize, mut others: Vec<usize>) -> Choice {
    let fingerprint = candidates.get(own).map(|candidate| candidate.fingerprint);
    let lost = in_force.fingerprint.is_none();
    match (in_force.fingerprint == fingerprint, in_force.reapply) {
        (true, _) => Choice::Keep {
            absent: false,
            reported: others,
        },
        (false, Reapply::Never) if !lost => {
            others.insert(0, own);
            Choice::Keep {
                absent: false,
                reported: others,
            }
        }
        (false, _) => Choice::Apply {
            candidate: own,
            reported: others,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Kind;
    use crate::source::block::Attachment;

    fn origin(bus: &str, volume_id: &str) -> Origin {
        Origin {
            attachment: Attachment {
                bus: bus.to_owned(),
                ..Attachment::default()
            },
            volume_id: volume_id.to_owned(),
            ..Origin::only(Kind::Nocloud, "/dev/x")
        }
    }

    #[test]
    fn follows_the_table() {
        use Reapply::{Any, Never, SameSource};
        let keep = |absent, reported: &[usize]| Choice::Keep {
            absent,
            reported: reported.to_vec(),
        };
        let apply = |candidate, reported: &[usize]| Choice::Apply {
            candidate,
            reported: reported.to_vec(),
        };
        // What is in force (fingerprint, policy), candidates (bus, fingerprint), the choice.
        type Case<'a> = (Option<(Option<&'a str>, Reapply)>, &'a [(&'a str, &'a str)], Choice);
        let cases: [Case<'_>; 17] = [
            (None, &[], Choice::Nothing),
            (None, &[("a", "1")], apply(0, &[])),
            (None, &[("a", "1"), ("b", "1")], Choice::Ambiguous),
            (Some((Some("1"), SameSource)), &[], keep(true, &[])),
            (Some((Some("1"), Never)), &[("a", "1")], keep(false, &[])),
            (Some((Some("1"), Never)), &[("a", "2")], keep(false, &[0])),
            (
                Some((Some("1"), Never)),
                &[("b", "2"), ("a", "2")],
                keep(false, &[1, 0]),
            ),
            (Some((Some("1"), SameSource)), &[("a", "1")], keep(false, &[])),
            (Some((Some("1"), SameSource)), &[("a", "2")], apply(0, &[])),
            (Some((Some("1"), SameSource)), &[("b", "2")], keep(true, &[0])),
            (Some((Some("1"), SameSource)), &[("b", "1"), ("a", "2")], apply(1, &[0])),
            (Some((Some("1"), Any)), &[("b", "2")], apply(0, &[])),
            (Some((Some("1"), Any)), &[("b", "2"), ("a", "1")], keep(false, &[0])),
            (Some((Some("1"), Any)), &[("b", "2"), ("c", "3")], Choice::Ambiguous),
            (
                Some((Some("1"), SameSource)),
                &[("a", "1"), ("a", "2")],
                Choice::Ambiguous,
            ),
            (Some((None, Never)), &[("a", "2")], apply(0, &[])),
            (Some((None, SameSource)), &[("b", "2")], keep(true, &[0])),
        ];
        for (in_force, candidates, expected) in cases {
            let pinned = origin("a", "v");
            let in_force = in_force.map(|(fingerprint, reapply)| InForce {
                origin: &pinned,
                fingerprint,
                reapply,
            });
            let origins: Vec<Origin> = candidates.iter().map(|(bus, _)| origin(bus, "v")).collect();
            let found: Vec<Candidate<'_>> = origins
                .iter()
                .zip(candidates)
                .map(|(origin, (_, fingerprint))| Candidate { origin, fingerprint })
                .collect();
            assert_eq!(
                choose(in_force.as_ref(), &found),
                expected,
                "{in_force:?} {candidates:?}"
            );
        }
    }

    #[test]
    fn of_different_kinds_the_first_is_taken() {
        let seed = origin("a", "v");
        let [fw_cfg, esp, ec2] = [Kind::FwCfg, Kind::Esp, Kind::Ec2].map(|kind| Origin::only(kind, "x"));
        let drive = Origin {
            kind: Kind::ConfigDrive,
            ..origin("b", "v")
        };
        let taken = |origins: &[&Origin]| {
            let found: Vec<Candidate<'_>> = origins
                .iter()
                .map(|origin| Candidate {
                    origin,
                    fingerprint: "1",
                })
                .collect();
            match choose(None, &found) {
                Choice::Apply { candidate, .. } => Some(candidate),
                _ => None,
            }
        };
        assert_eq!(taken(&[&seed, &esp, &fw_cfg, &ec2]), Some(2));
        assert_eq!(taken(&[&seed, &esp]), Some(1));
        assert_eq!(taken(&[&ec2, &drive]), Some(1));
        assert_eq!(taken(&[&seed, &drive, &ec2]), None);
    }

    #[test]
    fn another_stick_in_the_same_socket_is_another_source() {
        assert!(origin("pci0/usb1/1-2", "A").same_as(&origin("pci0/usb1/1-2", "A")));
        assert!(!origin("pci0/usb1/1-2", "A").same_as(&origin("pci0/usb1/1-2", "B")));
        assert!(origin("pci0/03.0", "A").same_as(&origin("pci0/03.0", "B")));
    }
}
