//! The guest's serial console: everything it printed, kept in memory and in a file, with waits that have deadlines.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::terminal::Plain;

/// Where console output also goes, as it comes.
pub type Tee = Box<dyn Write + Send>;

#[derive(Default)]
struct State {
    text: String,
    closed: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A console being read.
#[derive(Clone)]
pub struct Console(Arc<Shared>);

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console")
            .field("bytes", &self.0.lock().text.len())
            .finish()
    }
}

/// What a wait ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waited {
    /// One of the texts appeared: its index, and the position behind it.
    Found {
        /// Which of the texts.
        which: usize,
        /// Where the console goes on.
        end: usize,
    },
    /// The machine ended first.
    Closed,
    /// The time was up.
    TimedOut,
}

impl Console {
    /// Reads `output` to its end in a thread of its own: as it comes into `log`, as plain text into `tee`.
    ///
    /// # Errors
    /// The log file cannot be created.
    pub fn read(mut output: impl Read + Send + 'static, log: &Path, mut tee: Option<Tee>) -> std::io::Result<Console> {
        let mut file = File::options().create(true).append(true).open(log)?;
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let reader = Arc::clone(&shared);
        thread::spawn(move || {
            let (mut buffer, mut plain) = ([0; 4096], Plain::default());
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                let bytes = buffer.get(..count).unwrap_or_default();
                let _ = file.write_all(bytes);
                let text = plain.text_of(bytes);
                if let Some(tee) = &mut tee {
                    let _ = tee.write_all(&text).and_then(|()| tee.flush());
                }
                reader.lock().text.push_str(&String::from_utf8_lossy(&text));
                reader.changed.notify_all();
            }
            reader.lock().closed = true;
            reader.changed.notify_all();
        });
        Ok(Console(shared))
    }

    /// Everything printed so far.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.lock().text.clone()
    }

    /// Whether the machine's end of it is closed.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.0.lock().closed
    }

    /// The last line with text in it, short enough for a line of progress.
    #[must_use]
    pub fn last_line(&self) -> String {
        let state = self.0.lock();
        let line = state.text.lines().rev().map(str::trim).find(|line| !line.is_empty());
        line.unwrap_or_default().chars().take(80).collect()
    }

    /// Number of bytes printed so far: a position to search from.
    #[must_use]
    pub fn position(&self) -> usize {
        self.0.lock().text.len()
    }

    /// Waits until one of `texts` stands behind position `from`. The earliest occurrence wins.
    #[must_use]
    pub fn wait(&self, from: usize, texts: &[&str], patience: Duration) -> Waited {
        let deadline = Instant::now() + patience;
        let mut state = self.0.lock();
        loop {
            if let Some((which, end)) = earliest(&state.text, from, texts) {
                return Waited::Found { which, end };
            }
            if state.closed {
                return Waited::Closed;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Waited::TimedOut;
            }
            state = self
                .0
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// How often `needle` was printed.
    #[must_use]
    pub fn count(&self, needle: &str) -> usize {
        self.0.lock().text.matches(needle).count()
    }
}

/// Index of the text that occurs first behind `from`, and the position behind that occurrence.
fn earliest(text: &str, from: usize, texts: &[&str]) -> Option<(usize, usize)> {
    let rest = text.get(from..)?;
    texts
        .iter()
        .enumerate()
        .filter_map(|(which, needle)| Some((rest.find(needle)?, which, needle.len())))
        .min()
        .map(|(at, which, length)| (which, from + at + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_of_several_texts_wins() {
        let table = [
            ("a panic, then up", 0, Some((1, 7))),
            ("up, a panic", 0, Some((0, 2))),
            ("up, a panic, up", 2, Some((1, 11))),
            ("nothing", 0, None),
            ("short", 99, None),
        ];
        for (text, from, expected) in table {
            assert_eq!(earliest(text, from, &["up", "panic"]), expected, "{text}");
        }
    }

    #[test]
    fn a_wait_ends_when_the_machine_does() {
        let directory = tempfile::tempdir().unwrap();
        let console = Console::read(&b"hello"[..], &directory.path().join("log"), None).unwrap();
        let patience = Duration::from_secs(10);
        assert_eq!(
            console.wait(0, &["hello"], patience),
            Waited::Found { which: 0, end: 5 }
        );
        assert_eq!(console.wait(5, &["hello"], patience), Waited::Closed);
    }
}
