//! From samples of several servers to the one to follow. Pure.
//!
//! Each sample says that true time lies in an interval around its offset. The servers whose intervals
//! share a point agree (the idea of Marzullo's algorithm); the largest such group wins if it has more
//! than half of the servers that answered, and at least two when two or more answered.

use super::packet::Sample;

/// The sample to follow, by its place in `samples`; None when the servers do not agree.
pub fn choose(samples: &[Sample]) -> Option<usize> {
    let agreeing = largest_group(samples);
    let needed = match samples.len() {
        0 | 1 => 1,
        // One of two liars cannot be told from the other.
        2 => 2,
        many => many / 2 + 1,
    };
    if agreeing.len() < needed {
        return None;
    }
    agreeing.into_iter().min_by(|a, b| {
        let uncertainty = |place: &usize| samples.get(*place).map_or(f64::MAX, Sample::uncertainty);
        uncertainty(a).total_cmp(&uncertainty(b))
    })
}

/// The largest set of samples whose intervals share a point; the point can always be the lower end of
/// one of them.
fn largest_group(samples: &[Sample]) -> Vec<usize> {
    let lower_ends = samples.iter().map(|sample| sample.offset - sample.uncertainty());
    lower_ends
        .map(|point| {
            let contains = |sample: &Sample| (sample.offset - point).abs() <= sample.uncertainty() + f64::EPSILON;
            let members = samples.iter().enumerate().filter(|(_, sample)| contains(sample));
            members.map(|(place, _)| place).collect::<Vec<_>>()
        })
        .max_by_key(Vec::len)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(offset: f64, delay: f64) -> Sample {
        Sample {
            offset,
            delay,
            root_distance: 0.0,
            stratum: 2,
        }
    }

    #[test]
    fn servers_that_agree_are_followed() {
        let table: [(&str, &[Sample], Option<usize>); 7] = [
            ("none", &[], None),
            ("one", &[sample(5.0, 0.1)], Some(0)),
            (
                "two that agree: the nearer",
                &[sample(5.0, 0.2), sample(5.01, 0.1)],
                Some(1),
            ),
            ("two that do not", &[sample(5.0, 0.1), sample(9.0, 0.1)], None),
            (
                "a liar among three",
                &[sample(900.0, 0.01), sample(5.0, 0.2), sample(5.01, 0.1)],
                Some(2),
            ),
            (
                "three of a mind each",
                &[sample(1.0, 0.1), sample(2.0, 0.1), sample(3.0, 0.1)],
                None,
            ),
            (
                "no majority of four",
                &[sample(1.0, 0.1), sample(1.0, 0.1), sample(2.0, 0.1), sample(3.0, 0.1)],
                None,
            ),
        ];
        for (what, samples, expected) in table {
            assert_eq!(choose(samples), expected, "{what}");
        }
    }
}
