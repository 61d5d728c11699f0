//! What a server can do wrong.

use std::str::FromStr;

/// What goes wrong, and for which files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: Kind,
    /// Part of the path of the files concerned; all if empty.
    pub path: String,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The connection ends after so many bytes of the body.
    Cut(u64),
    /// A bit in the middle of the body is another one.
    Wrong,
    /// This status and no file.
    Status(u16),
    /// So many bytes a second.
    Slow(u64),
    /// Every range gets the whole file.
    NoRange,
    /// The body never ends.
    Endless,
    /// The head of an answer, and then nothing.
    Stall,
}

impl FromStr for Fault {
    type Err = String;

    /// `cut=BYTES`, `wrong`, `404` or another status, `slow=BYTES_A_SECOND`, `no-range`, `endless` or `stall`, each for all
    /// files, or those whose path has the text behind an `@`.
    fn from_str(text: &str) -> Result<Fault, String> {
        let (kind, path) = text.split_once('@').unwrap_or((text, ""));
        let (word, number) = kind.split_once('=').unwrap_or((kind, ""));
        let number = number.parse::<u64>().ok();
        let kind = match (word, number) {
            ("cut", Some(bytes)) => Kind::Cut(bytes),
            ("slow", Some(bytes)) if bytes > 0 => Kind::Slow(bytes),
            ("wrong", None) => Kind::Wrong,
            ("no-range", None) => Kind::NoRange,
            ("endless", None) => Kind::Endless,
            ("stall", None) => Kind::Stall,
            (status, None) => match status.parse() {
                Ok(status @ 400..=599) => Kind::Status(status),
                _ => return Err(unknown(text)),
            },
            _ => return Err(unknown(text)),
        };
        Ok(Fault {
            kind,
            path: path.to_owned(),
        })
    }
}

fn unknown(text: &str) -> String {
    format!(
        "{text:?} is no fault: cut=BYTES, wrong, a status from 400 to 599, slow=BYTES_A_SECOND, no-range, endless or \
         stall, with @PART_OF_A_PATH if not for all files"
    )
}

/// The first fault for a path.
pub(super) fn choose(faults: &[Fault], path: &str) -> Option<Kind> {
    faults
        .iter()
        .find(|fault| path.contains(&fault.path))
        .map(|fault| fault.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_and_chosen_by_path() {
        let parse = |text: &str| text.parse::<Fault>();
        assert_eq!(parse("cut=7").unwrap().kind, Kind::Cut(7));
        assert_eq!(parse("slow=1000").unwrap().kind, Kind::Slow(1000));
        assert_eq!(parse("503").unwrap().kind, Kind::Status(503));
        for bad in ["", "cut", "cut=x", "slow=0", "200", "wrong=1", "broken"] {
            assert!(parse(bad).unwrap_err().contains("no fault"), "{bad}");
        }
        let faults = [parse("wrong@.patch").unwrap(), parse("stall@timestamp").unwrap()];
        assert_eq!(choose(&faults, "/targets/a/x.from-1.patch"), Some(Kind::Wrong));
        assert_eq!(choose(&faults, "/metadata/timestamp.json"), Some(Kind::Stall));
        assert_eq!(choose(&faults, "/metadata/1.root.json"), None);
    }
}
