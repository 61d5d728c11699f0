//! Traces of a failure in an earlier boot: the kernel's last words kept by the firmware (pstore), or the watchdog's
//! word that it caused the reset. Lost power leaves none, and so costs no slot anything.

use std::fs;
use std::path::Path;

use keelson_image_layout::Reason;
use keelson_image_layout::slot_state::boot::Trace;

/// Most text of a dump that is kept.
const TEXT_BYTES: usize = 64 << 10;
/// A file number of the firmware's store is its time in seconds times this, plus part and count.
const NUMBERS_PER_SECOND: u64 = 100_000;
/// Most seconds between two parts of one panic. The kernel restarts 5 seconds after a panic, and boots before the next.
const SECONDS_APART: u64 = 4;

/// One file the kernel left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// File name, for instance `dmesg-efi_pstore-170000000001001`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What the dumps say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For the slot-state record.
    pub trace: Trace,
    /// The kernel's last words, oldest first.
    pub text: String,
}

/// Most letters of a line that is told.
const LINE_LETTERS: usize = 200;
/// How the kernel begins its last line.
const GIVES_UP: &str = "Kernel panic - not syncing";

impl Failure {
    /// The line in which the kernel gave up, if it was kept.
    #[must_use]
    pub fn last_line(&self) -> Option<&str> {
        let line = self.text.lines().find_map(|line| line.get(line.find(GIVES_UP)?..))?;
        let end = line.char_indices().nth(LINE_LETTERS).map_or(line.len(), |(at, _)| at);
        line.get(..end)
    }
}

/// All dumps in a mounted pstore.
#[must_use]
pub fn read_dumps(pstore: &Path) -> Vec<Dump> {
    let entries = fs::read_dir(pstore).into_iter().flatten().flatten();
    let dump = |entry: fs::DirEntry| {
        Some(Dump {
            name: entry.file_name().into_string().ok()?,
            text: String::from_utf8_lossy(&fs::read(entry.path()).ok()?).into_owned(),
        })
    };
    entries.filter_map(dump).collect()
}

/// Makes room for the next failure. What cannot be removed is counted only once all the same; the newest goes last, so
/// that a failure stays known by its number until all of it is gone.
pub fn remove_dumps(pstore: &Path, mut dumps: Vec<Dump>) {
    dumps.sort_by_key(|dump| moment_of(&dump.name));
    for dump in dumps {
        if let Err(error) = fs::remove_file(pstore.join(&dump.name)) {
            log::warn!(name = dump.name.as_str(), error:% = error; "trace of an earlier failure cannot be removed");
        }
    }
}

/// What happened, by what was left; `None` if nothing was. An oops the kernel lived on from is no failure.
#[must_use]
pub fn judge(dumps: &[Dump], watchdog_fired: bool) -> Option<Failure> {
    let mut panics: Vec<&Dump> = dumps.iter().filter(|dump| dump.text.starts_with("Panic#")).collect();
    if panics.is_empty() {
        let trace = Trace {
            reason: Reason::Watchdog,
            number: 0,
        };
        let text = "the watchdog reset the machine".to_owned();
        return watchdog_fired.then_some(Failure { trace, text });
    }
    let (first, number) = newest(panics.iter().map(|dump| moment_of(&dump.name)).collect());
    panics.retain(|dump| moment_of(&dump.name) >= first);
    // Parts are numbered from the end of the log backwards.
    panics.sort_by_key(|dump| std::cmp::Reverse(number_of(&dump.name)));
    let text: String = panics.iter().map(|dump| body(&dump.text)).collect();
    let reason = if is_corruption(&text) {
        Reason::Corruption
    } else {
        Reason::Panic
    };
    let start = text.len().saturating_sub(TEXT_BYTES);
    let start = (start..=text.len())
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(text.len());
    Some(Failure {
        trace: Trace { reason, number },
        text: text.get(start..).unwrap_or_default().to_owned(),
    })
}

/// The words of dm-verity. The firmware's store may be too full for the whole dump, which then holds its end only: the
/// call trace under the panic, which names the function that gave up.
fn is_corruption(text: &str) -> bool {
    text.contains("dm-verity device corrupted")
        || text.contains("verity_handle_err")
        || text
            .lines()
            .any(|line| line.contains("device-mapper: verity:") && line.contains("is corrupted"))
}

/// The number at the end of a dump's name.
fn number_of(name: &str) -> u64 {
    let name = name.split('.').next().unwrap_or_default();
    name.rsplit('-')
        .next()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

/// When a dump was written: the time, if the number holds one.
fn moment_of(name: &str) -> u64 {
    match number_of(name) {
        number if number >= NUMBERS_PER_SECOND => number / NUMBERS_PER_SECOND,
        number => number,
    }
}

/// First and last moment of the newest panic. Writing its parts takes the firmware more than a second at times; the next
/// panic is further away than that, since the kernel waits before it restarts.
fn newest(mut moments: Vec<u64>) -> (u64, u64) {
    moments.sort_unstable_by_key(|moment| std::cmp::Reverse(*moment));
    let last = moments.first().copied().unwrap_or(0);
    let first = moments.into_iter().fold(
        last,
        |first, moment| {
            if first - moment <= SECONDS_APART { moment } else { first }
        },
    );
    (first, last)
}

/// The text after the line `Panic#1 Part2`.
fn body(text: &str) -> &str {
    text.split_once('\n').map_or(text, |(_, body)| body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(name: &str, text: &str) -> Dump {
        Dump {
            name: name.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn nothing_left_is_no_failure() {
        assert_eq!(judge(&[], false), None);
        let oops = dump("dmesg-efi_pstore-170000000001001", "Oops#1 Part1\n<1>BUG");
        assert_eq!(judge(&[oops], false), None);
    }

    #[test]
    fn parts_are_put_in_order_and_told_by_their_time() {
        let dumps = [
            dump("dmesg-efi_pstore-170000000001001", "Panic#1 Part1\n<0>last\n"),
            dump("dmesg-efi_pstore-170000000003001", "Panic#1 Part3\n<6>first\n"),
            dump("dmesg-efi_pstore-170000000002001", "Panic#1 Part2\n<6>second\n"),
            dump("dmesg-efi_pstore-169999000001001", "Panic#1 Part1\n<0>an older one\n"),
        ];
        let failure = judge(&dumps, true).unwrap();
        assert_eq!(failure.text, "<6>first\n<6>second\n<0>last\n");
        assert_eq!(failure.trace.reason, Reason::Panic);
        assert_eq!(failure.trace.number, 1_700_000_000);
        assert_eq!(failure.last_line(), None);
    }

    #[test]
    fn parts_written_in_different_seconds_are_of_one_panic() {
        let dumps = [
            dump("dmesg-efi_pstore-170000001003001", "Panic#1 Part3\n<6>first\n"),
            dump("dmesg-efi_pstore-170000000902001", "Panic#1 Part2\n<6>second\n"),
            dump(
                "dmesg-efi_pstore-170000000701001",
                "Panic#1 Part1\n<0>dm-verity device corrupted\n",
            ),
            dump("dmesg-efi_pstore-169999000001001", "Panic#1 Part1\n<0>an older one\n"),
        ];
        let failure = judge(&dumps, false).unwrap();
        assert_eq!(failure.text, "<6>first\n<6>second\n<0>dm-verity device corrupted\n");
        assert_eq!(failure.trace.reason, Reason::Corruption);
        assert_eq!(failure.trace.number, 1_700_000_010);
    }

    #[test]
    fn corruption_is_told_from_other_panics() {
        let table = [
            (
                "<0>Kernel panic - not syncing: dm-verity device corrupted",
                Reason::Corruption,
            ),
            (
                "<3>device-mapper: verity: 254:3: data block 7 is corrupted\n<0>Kernel panic",
                Reason::Corruption,
            ),
            ("<0>Kernel panic - not syncing: Attempted to kill init!", Reason::Panic),
        ];
        for (text, reason) in table {
            let dumps = [dump("dmesg-efi_pstore-1", &format!("Panic#1 Part1\n{text}\n"))];
            let failure = judge(&dumps, false).unwrap();
            assert_eq!(failure.trace.reason, reason, "{text}");
            assert!(
                failure.last_line().is_some_and(|line| line.starts_with("Kernel panic"))
                    || !text.contains("not syncing")
            );
        }
    }

    #[test]
    fn the_watchdog_counts_when_there_is_nothing_else() {
        let failure = judge(&[], true).unwrap();
        assert_eq!((failure.trace.reason, failure.trace.number), (Reason::Watchdog, 0));
    }

    #[test]
    fn dumps_are_read_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("dmesg-erst-1"), "Panic#1 Part1\nx").unwrap();
        let dumps = read_dumps(directory.path());
        assert_eq!(dumps, [dump("dmesg-erst-1", "Panic#1 Part1\nx")]);
        remove_dumps(directory.path(), dumps);
        assert!(read_dumps(directory.path()).is_empty());
    }
}
