//! A container's output as the shim wrote it: lines of JSON in a file and its older parts. Parsing and
//! selection are pure; [`Reader`] follows the files as they grow and are renamed.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use keelson_shim_api::config::{LogLine, LogStream};

/// Older parts of a log that are looked for.
const MOST_PARTS: u32 = 16;

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

/// Reads a container's log from its oldest part on.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    /// Older parts still to read, the oldest first.
    parts: VecDeque<File>,
    current: Option<File>,
    rest: Vec<u8>,
}

impl Reader {
    /// Opens the log at `path` with its older parts. A log that is not there yet is empty.
    ///
    /// # Errors
    /// A part is there but cannot be opened.
    pub fn open(path: &Path) -> io::Result<Reader> {
        let mut parts = VecDeque::new();
        for number in (1..=MOST_PARTS).rev() {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{number}"));
            parts.extend(open_if_there(Path::new(&name))?);
        }
        let current = open_if_there(path)?;
        Ok(Reader {
            path: path.to_owned(),
            parts,
            current,
            rest: vec![],
        })
    }

    /// Whole lines that are there and were not returned yet; empty at the end.
    ///
    /// # Errors
    /// A part cannot be read.
    pub fn read(&mut self) -> io::Result<Vec<LogLine>> {
        loop {
            let Some(file) = self.parts.front_mut().or(self.current.as_mut()) else {
                self.current = open_if_there(&self.path)?;
                match self.current {
                    Some(_) => continue,
                    None => return Ok(vec![]),
                }
            };
            let mut chunk = vec![0; 64 << 10];
            let length = file.read(&mut chunk)?;
            if length > 0 {
                self.rest.extend_from_slice(chunk.get(..length).unwrap_or_default());
                let lines = take_lines(&mut self.rest);
                if !lines.is_empty() {
                    return Ok(lines);
                }
            } else if self.parts.pop_front().is_none() && !self.go_on_after_rename()? {
                return Ok(vec![]);
            }
        }
    }

    /// Whether the file that was read to its end has been renamed and a new one is there.
    fn go_on_after_rename(&mut self) -> io::Result<bool> {
        let Some(new) = open_if_there(&self.path)? else {
            return Ok(false);
        };
        let inode = |file: &File| file.metadata().map(|m| (m.dev(), m.ino()));
        let same = match &self.current {
            Some(old) => inode(old)? == inode(&new)?,
            None => false,
        };
        if !same {
            // The last of the old file may have been written after it was read to its end.
            let old = self.current.replace(new);
            self.parts.extend(old);
        }
        Ok(!same)
    }
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
