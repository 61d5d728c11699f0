//! Terminal control sequences, which firmware uses to clear the screen, are taken out of a console's text.

/// Takes control sequences out of a stream, wherever its pieces are cut.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain {
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Text,
    Escape,
    Sequence,
}

impl Plain {
    /// What of the next piece is text.
    pub fn text_of(&mut self, piece: &[u8]) -> Vec<u8> {
        piece.iter().copied().filter(|byte| self.keeps(*byte)).collect()
    }

    /// ECMA-48: ESC, then `[` with parameters up to a final byte from `@` to `~`.
    fn keeps(&mut self, byte: u8) -> bool {
        let next = match (self.state, byte) {
            (State::Text, 0x1b) => State::Escape,
            (State::Escape, b'[') => State::Sequence,
            (State::Sequence, 0x20..=0x3f) => State::Sequence,
            _ => State::Text,
        };
        let keeps = self.state == State::Text && next == State::Text;
        self.state = next;
        keeps
    }
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
            let mut plain = Plain::default();
            let kept: Vec<u8> = text.bytes().flat_map(|byte| plain.text_of(&[byte])).collect();
            assert_eq!(String::from_utf8(kept).unwrap(), expected);
        }
    }
}
