//! Docker's framing of several streams over one: eight bytes of header, then the piece. Pure.

use bytes::{BufMut as _, Bytes, BytesMut};
use keelson_shim_api::config::{LogLine, LogStream};

/// Whether pieces are framed: a terminal has one stream, which goes out as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Eight bytes before each piece.
    Multiplexed,
    /// Nothing.
    Raw,
}

impl Framing {
    /// The framing of a container with or without a terminal.
    pub fn of(tty: bool) -> Framing {
        if tty { Framing::Raw } else { Framing::Multiplexed }
    }

    /// Docker's name of the content.
    pub fn content_type(self) -> &'static str {
        match self {
            Framing::Multiplexed => "application/vnd.docker.multiplexed-stream",
            Framing::Raw => "application/vnd.docker.raw-stream",
        }
    }

    /// One piece, framed.
    pub fn frame(self, stream: LogStream, piece: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(piece.len().saturating_add(8));
        if self == Framing::Multiplexed {
            let number = match stream {
                LogStream::Stdout => 1,
                LogStream::Stderr => 2,
            };
            out.put_slice(&[number, 0, 0, 0]);
            out.put_u32(u32::try_from(piece.len()).unwrap_or(u32::MAX));
        }
        out.put_slice(piece);
        out.freeze()
    }
}

/// A line of the log as it goes out.
pub fn log_piece(line: &LogLine, framing: Framing, timestamps: bool) -> Bytes {
    let stamp = if timestamps {
        format!("{} ", super::time::rfc3339(crate::shim::timestamp(line.time)))
    } else {
        String::new()
    };
    framing.frame(line.stream, format!("{stamp}{}", line.text).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_stamps() {
        let line = LogLine {
            time: 1_000_000_005,
            stream: LogStream::Stderr,
            text: "hi\n".into(),
        };
        let framed = log_piece(&line, Framing::Multiplexed, false);
        assert_eq!(&framed[..], b"\x02\0\0\0\0\0\0\x03hi\n");
        let raw = log_piece(&line, Framing::Raw, true);
        assert_eq!(&raw[..], b"1970-01-01T00:00:01.000000005Z hi\n");
    }
}
