//! What is said before the first message: lines, by the D-Bus specification's authentication protocol. Pure.
//!
//! Who the client is was asked of the kernel already; what it says of itself is not looked at. Descriptors are never
//! passed.

/// Most bytes a client may say before it begins.
pub const MOST: usize = 1 << 10;

/// The server's side.
#[derive(Debug)]
pub struct Handshake {
    guid: String,
    admitted: bool,
    state: State,
    said: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Zero,
    Auth,
    Data,
    Begin,
    Done,
}

/// Not the protocol, or too much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no D-Bus client: it says {problem}")]
pub struct Foreign {
    problem: &'static str,
}

impl Handshake {
    /// With a client that is let in or not.
    #[must_use]
    pub fn new(guid: &str, admitted: bool) -> Self {
        Handshake {
            guid: guid.to_owned(),
            admitted,
            state: State::Zero,
            said: 0,
        }
    }

    /// Whether messages follow.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes whole lines off `input` and gives what is to be answered. What is left of `input` is an unfinished line, or,
    /// once [`Handshake::is_done`], the first messages.
    ///
    /// # Errors
    /// [`Foreign`]; nothing more can come of it.
    pub fn take(&mut self, input: &mut Vec<u8>) -> Result<Vec<u8>, Foreign> {
        let mut answer = Vec::new();
        if self.state == State::Zero && !input.is_empty() {
            if input.remove(0) != 0 {
                return Err(Foreign {
                    problem: "no zero first",
                });
            }
            self.state = State::Auth;
        }
        while !self.is_done()
            && let Some(end) = input.windows(2).position(|pair| pair == b"\r\n")
        {
            let rest = input.split_off(end + 2);
            let line = std::mem::replace(input, rest);
            self.said += line.len();
            answer.extend(self.line(line.get(..end).unwrap_or_default()));
            if self.said > MOST {
                break;
            }
        }
        if !self.is_done() && self.said + input.len() > MOST {
            return Err(Foreign { problem: "too much" });
        }
        Ok(answer)
    }

    fn line(&mut self, line: &[u8]) -> Vec<u8> {
        let mut words = line.split(|byte| *byte == b' ');
        let (word, mechanism, value) = (words.next().unwrap_or_default(), words.next(), words.next());
        match (self.state, word) {
            (State::Auth, b"AUTH") if mechanism == Some(b"EXTERNAL") && self.admitted => match value {
                Some(_) => self.accept(),
                None => {
                    self.state = State::Data;
                    b"DATA\r\n".to_vec()
                }
            },
            (State::Data, b"DATA") => self.accept(),
            (State::Begin, b"BEGIN") => {
                self.state = State::Done;
                Vec::new()
            }
            (_, b"AUTH" | b"CANCEL" | b"ERROR") => {
                self.state = State::Auth;
                b"REJECTED EXTERNAL\r\n".to_vec()
            }
            _ => b"ERROR not understood, or not here\r\n".to_vec(),
        }
    }

    fn accept(&mut self) -> Vec<u8> {
        self.state = State::Begin;
        format!("OK {}\r\n", self.guid).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk(admitted: bool, said: &[u8]) -> (Result<String, Foreign>, bool, Vec<u8>) {
        let mut handshake = Handshake::new("ab", admitted);
        let mut input = said.to_vec();
        let answer = handshake.take(&mut input);
        let answer = answer.map(|bytes| String::from_utf8(bytes).unwrap());
        (answer, handshake.is_done(), input)
    }

    #[test]
    fn what_clients_say_is_answered() {
        let table: [(&[u8], &str, bool, &[u8]); 7] = [
            // sd-bus says all at once.
            (
                b"\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\nlxyz",
                "DATA\r\nOK ab\r\nERROR not understood, or not here\r\n",
                true,
                b"lxyz",
            ),
            (b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n", "OK ab\r\n", true, b""),
            (
                b"\0AUTH\r\nAUTH EXTERNAL 31",
                "REJECTED EXTERNAL\r\n",
                false,
                b"AUTH EXTERNAL 31",
            ),
            (b"\0AUTH ANONYMOUS\r\n", "REJECTED EXTERNAL\r\n", false, b""),
            (b"\0BEGIN\r\n", "ERROR not understood, or not here\r\n", false, b""),
            (
                b"\0AUTH EXTERNAL 30\r\nCANCEL\r\nBEGIN\r\n",
                "OK ab\r\nREJECTED EXTERNAL\r\nERROR not understood, or not here\r\n",
                false,
                b"",
            ),
            (b"", "", false, b""),
        ];
        for (said, answer, done, left) in table {
            assert_eq!(talk(true, said), (Ok(answer.to_owned()), done, left.to_vec()));
        }
    }

    #[test]
    fn who_is_not_let_in_is_told_so() {
        let (answer, done, _) = talk(false, b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n");
        assert!(answer.unwrap().starts_with("REJECTED") && !done);
    }

    #[test]
    fn strangers_and_talkers_are_left() {
        assert!(talk(true, b"GET / HTTP/1.1\r\n").0.is_err());
        assert!(talk(true, &[b"\0".as_slice(), &[b'A'; 2000]].concat()).0.is_err());
        assert!(
            talk(true, &[b"\0".as_slice(), &b"X\r\n".repeat(1000)].concat())
                .0
                .is_err()
        );
    }
}
