//! The guest's console on somebody's screen: what the firmware does to clear it is left out.

use std::io::{self, Write};

use crate::qemu::console::Tee;

/// Passes text on without terminal control sequences.
pub struct View<W> {
    out: W,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    Escape,
    Sequence,
}

impl View<io::Stdout> {
    /// Onto standard output.
    #[must_use]
    pub fn to_stdout() -> Self {
        View {
            out: io::stdout(),
            state: State::Text,
        }
    }

    /// As the console wants it.
    #[must_use]
    pub fn boxed(self) -> Tee {
        Box::new(self)
    }
}

impl<W: Write> Write for View<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let kept: Vec<u8> = bytes
            .iter()
            .copied()
            .filter(|byte| keep(&mut self.state, *byte))
            .collect();
        self.out.write_all(&kept)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Whether a byte is text. ECMA-48: ESC, then `[` with parameters up to a final byte from `@` to `~`.
fn keep(state: &mut State, byte: u8) -> bool {
    let next = match (*state, byte) {
        (State::Text, 0x1b) => State::Escape,
        (State::Escape, b'[') => State::Sequence,
        (State::Sequence, 0x20..=0x3f) => State::Sequence,
        _ => State::Text,
    };
    let keep = *state == State::Text && next == State::Text;
    *state = next;
    keep
}

/// The last line with text in it, short enough for a progress line.
#[must_use]
pub fn last_line(text: &str) -> String {
    let mut state = State::Text;
    let printable = |line: &str| {
        let kept: Vec<u8> = line.bytes().filter(|byte| keep(&mut state, *byte)).collect();
        String::from_utf8_lossy(&kept)
            .trim()
            .chars()
            .take(80)
            .collect::<String>()
    };
    text.lines()
        .rev()
        .take(5)
        .map(printable)
        .find(|line| !line.is_empty())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_go_and_text_stays() {
        let table = [
            ("plain\n", "plain\n"),
            ("\x1b[2J\x1b[01;01Hhello", "hello"),
            ("a\x1b[=3hb", "ab"),
            ("a\x1bcb", "ab"),
            ("umlaut ü\x1b[0m!", "umlaut ü!"),
        ];
        for (text, expected) in table {
            let mut view = View {
                out: Vec::new(),
                state: State::Text,
            };
            for byte in text.bytes() {
                view.write_all(&[byte]).unwrap();
            }
            assert_eq!(String::from_utf8(view.out).unwrap(), expected);
        }
    }

    #[test]
    fn the_last_line_is_the_last_with_text() {
        assert_eq!(last_line("one\n\x1b[2Jtwo\n\n"), "two");
        assert_eq!(last_line(""), "");
    }
}
