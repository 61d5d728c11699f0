//! The log file: JSON lines, rotated by size. Not flushed: after a power cut the last lines may be missing.

use crate::lines::Piece;
use keelson_shim_api::LogConfig;
use keelson_shim_api::config::{LogLine, LogStream};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The current file and those before it.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: Option<File>,
    length: u64,
    max_bytes: u64,
    max_files: u32,
    pending: Vec<u8>,
    is_failing: bool,
}

impl LogFile {
    /// The configured file, continued where it ends.
    pub fn open(config: &LogConfig) -> Option<Self> {
        let path = config.file.clone()?;
        let mut log = Self {
            path,
            file: None,
            length: 0,
            max_bytes: config.max_bytes.max(1),
            max_files: config.max_files.max(1),
            pending: Vec::new(),
            is_failing: false,
        };
        log.reopen();
        Some(log)
    }

    /// Adds a line; written with the next [`LogFile::flush`].
    pub fn add(&mut self, piece: Piece<'_>, stream: LogStream, time: u64) {
        let line = LogLine {
            time,
            stream,
            text: String::from_utf8_lossy(piece.bytes).into_owned(),
        };
        if serde_json::to_writer(&mut self.pending, &line).is_ok() {
            self.pending.push(b'\n');
        }
    }

    /// Writes what was added, and rotates if the file has grown enough.
    pub fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let written = match &mut self.file {
            Some(file) => file.write_all(&self.pending),
            None => Err(std::io::ErrorKind::NotFound.into()),
        };
        match written {
            Ok(()) => {
                self.is_failing = false;
                self.length += u64::try_from(self.pending.len()).unwrap_or(0);
            }
            // A full disk must not end the container; say it once.
            Err(error) if !self.is_failing => {
                self.is_failing = true;
                let _ = writeln!(
                    std::io::stderr(),
                    "keelson-shim: cannot write {}: {error}",
                    self.path.display()
                );
            }
            Err(_) => {}
        }
        self.pending.clear();
        if self.length >= self.max_bytes {
            self.rotate();
        }
    }

    fn rotate(&mut self) {
        for number in (1..self.max_files.saturating_sub(1)).rev() {
            let _ = fs::rename(numbered(&self.path, number), numbered(&self.path, number + 1));
        }
        if self.max_files > 1 {
            let _ = fs::rename(&self.path, numbered(&self.path, 1));
        } else {
            let _ = fs::remove_file(&self.path);
        }
        self.reopen();
    }

    fn reopen(&mut self) {
        self.file = OpenOptions::new().create(true).append(true).open(&self.path).ok();
        self.length = self
            .file
            .as_ref()
            .and_then(|file| file.metadata().ok())
            .map_or(0, |metadata| metadata.len());
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_rotated_and_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let config = LogConfig {
            journal: None,
            file: Some(path.clone()),
            max_bytes: 300,
            max_files: 3,
        };
        let mut log = LogFile::open(&config).unwrap();
        for number in 0..40 {
            let text = format!("line {number}\n");
            log.add(
                Piece {
                    bytes: text.as_bytes(),
                    is_partial: false,
                },
                LogStream::Stdout,
                number,
            );
            log.flush();
        }
        let mut names: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["log", "log.1", "log.2"]);
        let all: String = ["log.2", "log.1", "log"]
            .iter()
            .map(|name| fs::read_to_string(directory.path().join(name)).unwrap())
            .collect();
        let numbers: Vec<u64> = all
            .lines()
            .map(|line| serde_json::from_str::<LogLine>(line).unwrap().time)
            .collect();
        assert_eq!(numbers.last(), Some(&39));
        assert!(
            numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "nothing is lost between files"
        );
    }

    #[test]
    fn the_form_is_what_the_page_says() {
        let line = LogLine {
            time: 5,
            stream: LogStream::Stderr,
            text: "a\u{fffd}\n".into(),
        };
        assert_eq!(
            serde_json::to_string(&line).unwrap(),
            "{\"time\":5,\"stream\":\"stderr\",\"text\":\"a\u{fffd}\\n\"}"
        );
    }
}
