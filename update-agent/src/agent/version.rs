//! Order of versions, as the boot loader sorts entries: numbers by value, letters by letter, `~` before everything.
//!
//! Source: UAPI Version Format Specification.

use std::cmp::Ordering;

/// Whether `this` comes after `that`.
#[must_use]
pub fn is_newer(this: &str, that: &str) -> bool {
    compare(this, that) == Ordering::Greater
}

/// Which comes first.
#[must_use]
pub fn compare(this: &str, that: &str) -> Ordering {
    let (mut left, mut right) = (this, that);
    loop {
        left = left.trim_start_matches(is_filler);
        right = right.trim_start_matches(is_filler);
        // What a mark begins comes first; the end comes after `~` and before all else.
        let ended = left.is_empty() || right.is_empty();
        let marks: &[char] = if ended { &['~'] } else { &['~', '-', '^', '.'] };
        let marked = marks
            .iter()
            .find(|mark| left.starts_with(**mark) || right.starts_with(**mark));
        if let Some(mark) = marked {
            match (left.strip_prefix(*mark), right.strip_prefix(*mark)) {
                (Some(l), Some(r)) => (left, right) = (l, r),
                (Some(_), None) => return Ordering::Less,
                (None, _) => return Ordering::Greater,
            }
            continue;
        }
        if ended {
            return right.is_empty().cmp(&left.is_empty());
        }
        let digits = left.starts_with(|c: char| c.is_ascii_digit()) || right.starts_with(|c: char| c.is_ascii_digit());
        let same = |c: char| {
            if digits {
                c.is_ascii_digit()
            } else {
                c.is_ascii_alphabetic()
            }
        };
        let (l, r) = (run(left, same), run(right, same));
        let order = if digits { by_value(l, r) } else { l.cmp(r) };
        if order != Ordering::Equal {
            return order;
        }
        left = left.get(l.len()..).unwrap_or_default();
        right = right.get(r.len()..).unwrap_or_default();
    }
}

fn is_filler(c: char) -> bool {
    !c.is_ascii_alphanumeric() && !matches!(c, '~' | '-' | '^' | '.')
}

fn run(text: &str, same: impl Fn(char) -> bool) -> &str {
    let end = text.find(|c| !same(c)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

fn by_value(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn follows_the_examples_of_the_specification() {
        let rising = [
            ["122.1", "123~rc1-1"],
            ["123~rc1-1", "123"],
            ["123", "123-a"],
            ["123-a", "123-a.1"],
            ["123-a.1", "123-1"],
            ["123-1", "123-1.1"],
            ["123-1.1", "123^post1"],
            ["123^post1", "123.a-1"],
            ["123.a-1", "123.1-1"],
            ["123.1-1", "123a-1"],
            ["123a-1", "124-1"],
            ["0.1.9", "0.1.10"],
            ["1", "1.1"],
        ];
        for [low, high] in rising {
            assert_eq!(compare(low, high), Ordering::Less, "{low} {high}");
            assert_eq!(compare(high, low), Ordering::Greater, "{high} {low}");
        }
        for [left, right] in [["1.0", "1.00"], ["1_0", "1+0"], ["", ""]] {
            assert_eq!(compare(left, right), Ordering::Equal, "{left} {right}");
        }
    }

    proptest! {
        #[test]
        fn is_an_order(a in "[0-9a-c.~^-]{0,6}", b in "[0-9a-c.~^-]{0,6}") {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
        }
    }
}
