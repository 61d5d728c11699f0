//! The verdict table of `docs/formats/network-config.md`.

use std::fmt::Write as _;

use super::keys::{SECTIONS, Verdict};

/// The Markdown of the tables, a section each.
#[must_use]
pub fn verdict_table() -> String {
    let mut page = String::new();
    for section in SECTIONS {
        let _ = write!(page, "\n### `{}`\n\n| key | verdict |\n| --- | --- |\n", section.path);
        let honoured: Vec<String> = section
            .rows()
            .filter(|row| row.verdict.is_honoured())
            .map(|row| format!("`{}`", row.key))
            .collect();
        if !honoured.is_empty() {
            let _ = writeln!(page, "| {} | honoured |", honoured.join(", "));
        }
        for row in section.rows() {
            let _ = match row.verdict {
                Verdict::Honoured => Ok(()),
                Verdict::Noted(why) => writeln!(page, "| `{}` | noted: {why} |", row.key),
                Verdict::Refused(why, cure) => writeln!(page, "| `{}` | refused: {why}; {cure} |", row.key),
            };
        }
    }
    page
}
