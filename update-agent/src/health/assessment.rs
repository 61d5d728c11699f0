//! Whether a release is kept: everything has to be well for a while without a break, and not for ever. Pure.

use std::time::Duration;

/// What is asked of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How long everything has to be well.
    pub hold: Duration,
    /// When it is given up; `None` where there is nothing better to go back to.
    pub within: Option<Duration>,
}

/// What follows from a look at the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Look again.
    Wait {
        /// For people.
        status: String,
    },
    /// Keep it.
    Commit,
    /// Go back.
    GiveUp {
        /// For people.
        why: String,
    },
}

/// A release that is being looked at. Times are on any clock that only goes forward.
#[derive(Debug, Clone)]
pub struct Assessment {
    policy: Policy,
    begun: Duration,
    well_since: Option<Duration>,
}

impl Assessment {
    /// Begins at `now`.
    #[must_use]
    pub const fn new(policy: Policy, now: Duration) -> Assessment {
        Assessment {
            policy,
            begun: now,
            well_since: None,
        }
    }

    /// One look: what is wrong, a sentence each. Who is well when the time is over may go on to prove it.
    pub fn judge(&mut self, now: Duration, troubles: &[String]) -> Verdict {
        let Policy { hold, within } = self.policy;
        if troubles.is_empty() {
            let held = now.saturating_sub(*self.well_since.get_or_insert(now));
            if held >= hold {
                return Verdict::Commit;
            }
            let status = format!("well for {} s of {} s", held.as_secs(), hold.as_secs());
            return Verdict::Wait { status };
        }
        self.well_since = None;
        let told = troubles.join("; ");
        match within.filter(|within| now.saturating_sub(self.begun) >= *within) {
            Some(within) => Verdict::GiveUp {
                why: format!("not well within {} s: {told}", within.as_secs()),
            },
            None => Verdict::Wait {
                status: format!("not well: {told}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const POLICY: Policy = Policy {
        hold: Duration::from_secs(60),
        within: Some(Duration::from_secs(600)),
    };

    fn run(policy: Policy, looks: &[(u64, bool)]) -> Vec<Verdict> {
        let mut assessment = Assessment::new(policy, Duration::ZERO);
        let trouble = ["db: connection refused".to_owned()];
        let look = |(at, well): &(u64, bool)| {
            let troubles: &[String] = if *well { &[] } else { &trouble };
            assessment.judge(seconds(*at), troubles)
        };
        looks.iter().map(look).collect()
    }

    #[test]
    fn health_has_to_hold_without_a_break() {
        let verdicts = run(
            POLICY,
            &[(0, true), (50, true), (55, false), (56, true), (115, true), (116, true)],
        );
        assert!(matches!(verdicts[4], Verdict::Wait { .. }));
        assert_eq!(verdicts[5], Verdict::Commit);
        let broken = "not well: db: connection refused".to_owned();
        assert_eq!(verdicts[2], Verdict::Wait { status: broken });
    }

    #[test]
    fn trouble_at_the_end_gives_it_up_and_says_why() {
        let verdicts = run(POLICY, &[(599, false), (600, false)]);
        assert!(matches!(verdicts[0], Verdict::Wait { .. }));
        let why = "not well within 600 s: db: connection refused".to_owned();
        assert_eq!(verdicts[1], Verdict::GiveUp { why });
        // One that is well then may prove it, one that falters is given up.
        let verdicts = run(POLICY, &[(580, true), (620, true), (640, true)]);
        assert_eq!(verdicts[2], Verdict::Commit);
        assert!(matches!(
            run(POLICY, &[(580, true), (620, false)])[1],
            Verdict::GiveUp { .. }
        ));
    }

    #[test]
    fn without_something_to_go_back_to_it_waits_for_ever() {
        let policy = Policy {
            hold: Duration::ZERO,
            within: None,
        };
        let verdicts = run(policy, &[(1_000_000, false), (1_000_001, true)]);
        assert!(matches!(verdicts[0], Verdict::Wait { .. }));
        assert_eq!(verdicts[1], Verdict::Commit);
    }

    proptest! {
        #[test]
        fn every_assessment_ends(looks in proptest::collection::vec(any::<bool>(), 140)) {
            let looks: Vec<_> = looks.into_iter().enumerate().map(|(index, well)| (index as u64 * 5, well)).collect();
            let verdicts = run(POLICY, &looks);
            let ends = |verdict: &Verdict| !matches!(verdict, Verdict::Wait { .. });
            prop_assert!(verdicts.iter().any(ends) , "after 700 s");
        }
    }
}
