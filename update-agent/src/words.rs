//! Errors in one line.

/// An error and its causes.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // Some errors tell their cause themselves.
        if !text.ends_with(&words) {
            text.push_str(&format!(": {words}"));
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once() {
        let inner = std::io::Error::other("disk on fire");
        let outer = std::io::Error::other(anyhow::Error::from(inner).context("write"));
        assert_eq!(chain(&outer), "write: disk on fire");
    }
}
