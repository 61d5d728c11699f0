//! An error with everything that caused it, on one line.

use std::error::Error;

/// The error and its sources, joined by `: `.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn causes_follow_the_error() {
        let error = anyhow::anyhow!("no space")
            .context("write the file")
            .context("first boot");
        assert_eq!(super::chain(&*error), "first boot: write the file: no space");
    }
}
