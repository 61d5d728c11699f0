//! What goes to the client on one channel.

use russh::ChannelWriteHalf;
use russh::server::Msg;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use crate::terminal::with_returns;

/// Bytes read at once.
const CHUNK: usize = 32 << 10;

/// Which of a program's two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

impl Stream {
    /// SSH_EXTENDED_DATA_STDERR of RFC 4254 section 5.2.
    fn number(self) -> Option<u32> {
        match self {
            Stream::Output => None,
            Stream::Error => Some(1),
        }
    }
}

/// The writing side of a channel. A client that has gone away is no failure: its channel ends by itself.
#[derive(Debug)]
pub struct Output {
    half: ChannelWriteHalf<Msg>,
    /// The client shows it on a terminal in raw mode.
    terminal: bool,
}

impl Output {
    /// Takes over a channel's writing side.
    #[must_use]
    pub fn new(half: ChannelWriteHalf<Msg>, terminal: bool) -> Self {
        Self { half, terminal }
    }

    /// Writes a text.
    pub async fn say(&self, stream: Stream, text: &str) {
        self.copy(stream, text.as_bytes()).await;
    }

    /// Passes on everything, as fast as the client takes it.
    pub async fn copy(&self, stream: Stream, mut from: impl AsyncRead + Unpin) {
        let mut writer = self.half.make_writer_ext(stream.number());
        let mut buffer = vec![0; CHUNK];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let bytes = buffer.get(..count).unwrap_or_default();
            let written = if self.terminal {
                writer.write_all(&with_returns(bytes)).await
            } else {
                writer.write_all(bytes).await
            };
            if written.is_err() {
                return;
            }
        }
    }

    /// Ends the channel, with the exit code of whatever ran on it.
    pub async fn finish(self, code: Option<u32>) {
        if let Some(code) = code {
            let _ = self.half.exit_status(code).await;
        }
        let _ = self.half.eof().await;
        let _ = self.half.close().await;
    }
}
