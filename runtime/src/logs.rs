//! A container's output as the shim wrote it: lines of JSON in a file and its older parts. Parsing and
//! selection are pure; [`Reader`] follows the files as they grow and are renamed.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use keelson_shim_api::config::{LogLine, LogStream};

/// Older parts of a log that are looked for.
const MOST_PARTS: u32 = 16;
/// How often the parts are looked for while they are renamed.
const MOST_WALKS: u32 = 8;

/// Which lines are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Selection {
    /// Output.
    pub stdout: bool,
    /// Error output.
    pub stderr: bool,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Not after.
    pub until: Option<Timestamp>,
}

impl Selection {
    /// Whether a line is wanted.
    pub fn takes(&self, line: &LogLine) -> bool {
        let at = crate::shim::timestamp(line.time);
        let stream = match line.stream {
            LogStream::Stdout => self.stdout,
            LogStream::Stderr => self.stderr,
        };
        stream && self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at <= until)
    }
}

/// Reads one line; what is no line of ours is `None`.
pub fn parse_line(bytes: &[u8]) -> Option<LogLine> {
    serde_json::from_slice(bytes).ok()
}

/// What a reader says where parts were removed before it had read them.
const LOST: &str = "[the log was rotated faster than it was read: lines may be missing here]\n";

/// Something still to be read.
#[derive(Debug)]
enum Part {
    File(File),
    /// The parts that were here may be gone.
    Lost,
}

/// Reads a container's log from its oldest part on.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    /// What is read before the newest part, the oldest first.
    parts: VecDeque<Part>,
    /// The newest part that was found. It stays open, so no other file gets its inode.
    newest: Option<File>,
    rest: Vec<u8>,
    last_time: u64,
}

impl Reader {
    /// Opens the log at `path` with its older parts. A log that is not there yet is empty.
    ///
    /// # Errors
    /// A part is there but cannot be opened.
    pub fn open(path: &Path) -> io::Result<Reader> {
        let mut reader = Reader {
            path: path.to_owned(),
            parts: VecDeque::new(),
            newest: None,
            rest: vec![],
            last_time: 0,
        };
        reader.find_newer()?;
        Ok(reader)
    }

    /// Whole lines that are there and were not returned yet; empty at the end.
    ///
    /// # Errors
    /// A part cannot be read.
    pub fn read(&mut self) -> io::Result<Vec<LogLine>> {
        loop {
            let file = match self.parts.front_mut() {
                Some(Part::Lost) => {
                    self.parts.pop_front();
                    self.rest.clear();
                    return Ok(vec![self.lost()]);
                }
                Some(Part::File(file)) => Some(file),
                None => self.newest.as_mut(),
            };
            let mut chunk = vec![0; 64 << 10];
            let length = file.map_or(Ok(0), |file| file.read(&mut chunk))?;
            if length > 0 {
                self.rest.extend_from_slice(chunk.get(..length).unwrap_or_default());
                let lines = take_lines(&mut self.rest);
                if let Some(last) = lines.last() {
                    self.last_time = last.time;
                    return Ok(lines);
                }
            } else if self.parts.pop_front().is_none() && !self.find_newer()? {
                return Ok(vec![]);
            }
        }
    }

    /// Queues the parts newer than the newest so far; whether there are any.
    fn find_newer(&mut self) -> io::Result<bool> {
        let last = self.newest.as_ref().map(identity).transpose()?;
        match open_if_there(&self.path)?.as_ref().map(identity).transpose()? {
            found if found.is_some() && found == last => return Ok(false),
            // Between a rename and the new file.
            None if last.is_some() => return Ok(false),
            _ => {}
        }
        let mut newer = VecDeque::new();
        let mut met = false;
        for file in open_parts(&self.path)? {
            if Some(identity(&file)?) == last {
                met = true;
                break;
            }
            newer.push_front(file);
        }
        let Some(newest) = newer.pop_back() else {
            return Ok(false);
        };
        if let Some(old) = self.newest.replace(newest) {
            // The last of the old file may have been written after it was read to its end.
            self.parts.push_back(Part::File(old));
            if !met {
                self.parts.push_back(Part::Lost);
            }
        }
        self.parts.extend(newer.into_iter().map(Part::File));
        Ok(true)
    }

    fn lost(&self) -> LogLine {
        LogLine {
            time: self.last_time,
            stream: LogStream::Stderr,
            text: LOST.to_owned(),
        }
    }
}

/// Device and inode.
type Identity = (u64, u64);

fn identity(file: &File) -> io::Result<Identity> {
    file.metadata().map(|m| (m.dev(), m.ino()))
}

/// Opens all parts, the newest first.
///
/// A file may be renamed meanwhile, and only upwards: whoever walks upwards meets it once or twice,
/// never not at all. If a new file has come when the walk is over, it is done again.
fn open_parts(path: &Path) -> io::Result<Vec<File>> {
    let mut parts = vec![];
    for _ in 0..MOST_WALKS {
        parts = walk_parts(path)?;
        let first = parts.first().map(identity).transpose()?;
        let now = open_if_there(path)?.as_ref().map(identity).transpose()?;
        if now.is_none() || now == first {
            break;
        }
    }
    Ok(parts)
}

fn walk_parts(path: &Path) -> io::Result<Vec<File>> {
    let older = (1..=MOST_PARTS).map(|number| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    });
    let mut parts = vec![];
    let mut seen = BTreeSet::new();
    for name in std::iter::once(path.to_owned()).chain(older) {
        if let Some(file) = open_if_there(&name)?
            && seen.insert(identity(&file)?)
        {
            parts.push(file);
        }
    }
    Ok(parts)
}

fn open_if_there(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes all whole lines out of `bytes`.
fn take_lines(bytes: &mut Vec<u8>) -> Vec<LogLine> {
    let Some(last) = bytes.iter().rposition(|byte| *byte == b'\n') else {
        return vec![];
    };
    let rest = bytes.split_off(last.saturating_add(1));
    let whole = std::mem::replace(bytes, rest);
    whole.split(|byte| *byte == b'\n').filter_map(parse_line).collect()
}

/// The last `count` lines of what `lines` gives, as Docker counts: a piece of a long line is not one.
pub fn tail(lines: Vec<LogLine>, count: usize) -> Vec<LogLine> {
    let mut seen = 0usize;
    let mut start = lines.len();
    for (at, line) in lines.iter().enumerate().rev() {
        let ends_line = line.text.ends_with('\n') || at == lines.len().saturating_sub(1);
        if ends_line {
            if seen == count {
                break;
            }
            seen = seen.saturating_add(1);
        }
        start = at;
    }
    if count == 0 {
        return vec![];
    }
    let mut lines = lines;
    lines.split_off(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn line(time: u64, text: &str) -> LogLine {
        LogLine {
            time,
            stream: LogStream::Stdout,
            text: text.to_owned(),
        }
    }

    fn append(path: &Path, lines: &[LogLine]) {
        let mut file = File::options().create(true).append(true).open(path).unwrap();
        for line in lines {
            writeln!(file, "{}", serde_json::to_string(line).unwrap()).unwrap();
        }
    }

    fn texts(lines: &[LogLine]) -> Vec<&str> {
        lines.iter().map(|line| line.text.trim_end()).collect()
    }

    fn drain(reader: &mut Reader) -> Vec<LogLine> {
        let mut all = vec![];
        loop {
            let lines = reader.read().unwrap();
            if lines.is_empty() {
                return all;
            }
            all.extend(lines);
        }
    }

    #[test]
    fn follows_over_renames_without_loss() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.json");
        let mut reader = Reader::open(&path).unwrap();
        assert!(drain(&mut reader).is_empty());
        append(&path, &[line(1, "a\n"), line(2, "b\n")]);
        assert_eq!(texts(&drain(&mut reader)), ["a", "b"]);
        append(&path, &[line(3, "c\n")]);
        std::fs::rename(&path, directory.path().join("log.json.1")).unwrap();
        append(&path, &[line(4, "d\n")]);
        assert_eq!(texts(&drain(&mut reader)), ["c", "d"]);
        let mut fresh = Reader::open(&path).unwrap();
        assert_eq!(texts(&drain(&mut fresh)), ["a", "b", "c", "d"]);
    }

    /// Renames the log as the shim does, which keeps `keep` older parts.
    fn rotate(path: &Path, keep: u32) {
        let part = |number: u32| match number {
            0 => path.to_owned(),
            _ => PathBuf::from(format!("{}.{number}", path.display())),
        };
        for number in (0..keep).rev() {
            if part(number).exists() {
                std::fs::rename(part(number), part(number + 1)).unwrap();
            }
        }
    }

    #[test]
    fn several_renames_between_two_reads_lose_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.json");
        append(&path, &[line(1, "a\n")]);
        let mut reader = Reader::open(&path).unwrap();
        assert_eq!(texts(&drain(&mut reader)), ["a"]);
        append(&path, &[line(2, "b\n")]);
        for text in ["c\n", "d\n", "e\n"] {
            rotate(&path, 4);
            append(&path, &[line(3, text)]);
        }
        assert_eq!(texts(&drain(&mut reader)), ["b", "c", "d", "e"]);
        // Between the rename and the new file nothing is read twice.
        rotate(&path, 4);
        assert!(drain(&mut reader).is_empty());
        assert_eq!(
            texts(&drain(&mut Reader::open(&path).unwrap())),
            ["a", "b", "c", "d", "e"]
        );
        let mut early = Reader::open(&path).unwrap();
        append(&path, &[line(4, "f\n")]);
        assert_eq!(texts(&drain(&mut reader)), ["f"]);
        assert_eq!(texts(&drain(&mut early)), ["a", "b", "c", "d", "e", "f"]);
    }

    #[test]
    fn what_is_gone_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.json");
        append(&path, &[line(1, "a\n")]);
        let mut reader = Reader::open(&path).unwrap();
        assert_eq!(texts(&drain(&mut reader)), ["a"]);
        append(&path, &[line(2, "b\n")]);
        for text in ["c\n", "d\n", "e\n"] {
            rotate(&path, 1);
            append(&path, &[line(3, text)]);
        }
        assert_eq!(texts(&drain(&mut reader)), ["b", LOST.trim_end(), "d", "e"]);
    }

    #[test]
    fn half_a_line_waits_for_its_end() {
        let mut bytes = br#"{"time":1,"stream":"stdout","text":"a\n"}"#.to_vec();
        assert!(take_lines(&mut bytes).is_empty());
        bytes.push(b'\n');
        assert_eq!(take_lines(&mut bytes).len(), 1);
        assert!(bytes.is_empty());
    }

    #[test]
    fn the_tail_counts_whole_lines() {
        let lines = || vec![line(1, "a\n"), line(2, "long"), line(3, "er\n"), line(4, "c\n")];
        assert_eq!(texts(&tail(lines(), 0)), [""; 0]);
        assert_eq!(texts(&tail(lines(), 1)), ["c"]);
        assert_eq!(texts(&tail(lines(), 2)), ["long", "er", "c"]);
        assert_eq!(tail(lines(), 9).len(), 4);
    }
}
