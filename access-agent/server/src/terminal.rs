//! The little that a client's terminal needs from us. It is in raw mode as soon as it asked for one: it shows no line
//! end without a carriage return, and echoes nothing itself. There is no terminal on our side.

/// Longest line that is typed, in bytes.
const MAX_LINE: usize = 4096;

/// What came of typed bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Typed {
    /// Whole lines for the program.
    pub input: Vec<u8>,
    /// What the terminal should show.
    pub echo: Vec<u8>,
    /// Ctrl-C.
    pub interrupt: bool,
    /// Ctrl-D at the start of a line.
    pub end: bool,
}

/// A line being typed.
#[derive(Debug, Default)]
pub struct Line {
    text: Vec<u8>,
}

impl Line {
    /// Takes what was typed.
    pub fn type_bytes(&mut self, bytes: &[u8]) -> Typed {
        let mut typed = Typed::default();
        for byte in bytes {
            match byte {
                b'\r' | b'\n' => {
                    typed.input.append(&mut self.text);
                    typed.input.push(b'\n');
                    typed.echo.extend(b"\r\n");
                }
                0x03 => {
                    self.text.clear();
                    typed.echo.extend(b"^C\r\n");
                    typed.interrupt = true;
                }
                0x04 => typed.end |= self.text.is_empty(),
                0x08 | 0x7f => {
                    let taken = take_character(&mut self.text);
                    typed.echo.extend(taken.then_some(b"\x08 \x08").into_iter().flatten());
                }
                0x20.. if self.text.len() < MAX_LINE => {
                    self.text.push(*byte);
                    typed.echo.push(*byte);
                }
                _ => {}
            }
        }
        typed
    }
}

/// Takes the last character away, with all its bytes in UTF-8.
fn take_character(text: &mut Vec<u8>) -> bool {
    while let Some(byte) = text.pop() {
        if byte & 0xc0 != 0x80 {
            return true;
        }
    }
    false
}

/// Line ends as a raw terminal needs them.
#[must_use]
pub fn with_returns(bytes: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(bytes.len() + bytes.len() / 16);
    for byte in bytes {
        if *byte == b'\n' {
            shown.push(b'\r');
        }
        shown.push(*byte);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_typed_shown_and_mended() {
        let mut line = Line::default();
        let typed = line.type_bytes("yé".as_bytes());
        assert_eq!((typed.input, typed.echo), (vec![], "yé".into()));
        let typed = line.type_bytes(b"\x7fes\r");
        assert_eq!(
            (typed.input, typed.echo),
            (b"yes\n".to_vec(), b"\x08 \x08es\r\n".to_vec())
        );
    }

    #[test]
    fn keys_interrupt_and_end() {
        let mut line = Line::default();
        assert!(line.type_bytes(b"abc\x03").interrupt);
        assert!(line.type_bytes(b"\x04").end);
        assert!(!line.type_bytes(b"a\x04").end);
        assert_eq!(line.type_bytes(b"\x08\x08\x1b").echo, b"\x08 \x08");
    }

    #[test]
    fn a_line_is_bounded() {
        let mut line = Line::default();
        assert_eq!(line.type_bytes(&[b'a'; 9000]).echo.len(), MAX_LINE);
    }

    #[test]
    fn raw_terminals_return() {
        assert_eq!(with_returns(b"a\nb"), b"a\r\nb");
    }
}
