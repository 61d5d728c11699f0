//! Moves bytes between a client's [`Line`] and our [`Ends`] of a process's streams, until one of them ends.

use std::os::fd::OwnedFd;

use bytes::{Bytes, BytesMut};
use keelson_shim_api::config::LogStream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use super::detach::Detector;
use super::hijack::Line;
use super::stream::Framing;
use crate::shim::Ends;

/// Bytes read at once; Docker's clients read frames of any size.
const PIECE: usize = 32 << 10;

/// How a client is served.
#[derive(Debug)]
pub struct Manner {
    /// How its output is framed.
    pub framing: Framing,
    /// The end of its input is the end of the process's, and no reason to let it go.
    pub closes_stdin: bool,
    /// Keys by which it leaves.
    pub detach: Option<Detector>,
}

/// Why it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// The process's outputs have ended, or the client has gone.
    Ended,
    /// The client has left by its detach keys, or has nothing more to say.
    Detached,
}

/// Serves a client until the outputs end or it leaves.
pub async fn pump(line: Line, ends: Ends, manner: Manner) -> Over {
    let Line { output, input } = line;
    let outputs = send_outputs(ends.stdout, ends.stderr, manner.framing, &output);
    tokio::pin!(outputs);
    let (Some(reader), Some(stdin)) = (input, ends.stdin) else {
        outputs.await;
        return Over::Ended;
    };
    let typed = take_input(reader, stdin, manner.detach);
    tokio::pin!(typed);
    tokio::select! {
        () = &mut outputs => Over::Ended,
        end = &mut typed => match end {
            InputEnd::Over if manner.closes_stdin => {
                outputs.await;
                Over::Ended
            }
            InputEnd::Refused => {
                outputs.await;
                Over::Ended
            }
            InputEnd::Over | InputEnd::Detached => Over::Detached,
        },
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InputEnd {
    /// The client has said everything.
    Over,
    /// The process takes no more.
    Refused,
    /// The client left.
    Detached,
}

async fn take_input(
    mut reader: impl tokio::io::AsyncRead + Unpin,
    stdin: OwnedFd,
    mut detach: Option<Detector>,
) -> InputEnd {
    let Ok(mut stdin) = pipe::Sender::from_owned_fd(stdin) else {
        return InputEnd::Refused;
    };
    let mut buffer = BytesMut::with_capacity(PIECE);
    loop {
        buffer.clear();
        match reader.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return InputEnd::Over,
            Ok(_) => {}
        }
        let leaves = match &mut detach {
            None => stdin.write_all(&buffer).await.map(|()| false),
            Some(detector) => {
                let typed = detector.feed(&buffer);
                stdin.write_all(&typed.through).await.map(|()| typed.detaches)
            }
        };
        match leaves {
            Ok(false) => {}
            Ok(true) => return InputEnd::Detached,
            Err(_) => return InputEnd::Refused,
        }
    }
}

async fn send_outputs(
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    framing: Framing,
    output: &mpsc::Sender<Bytes>,
) {
    tokio::join!(
        send_output(stdout, LogStream::Stdout, framing, output),
        send_output(stderr, LogStream::Stderr, framing, output),
    );
}

async fn send_output(source: Option<OwnedFd>, stream: LogStream, framing: Framing, output: &mpsc::Sender<Bytes>) {
    let Some(Ok(mut source)) = source.map(pipe::Receiver::from_owned_fd) else {
        return;
    };
    let mut buffer = BytesMut::with_capacity(PIECE);
    loop {
        buffer.clear();
        let read = tokio::select! {
            read = source.read_buf(&mut buffer) => read,
            () = output.closed() => return,
        };
        match read {
            Ok(0) | Err(_) => return,
            Ok(_) if output.send(framing.frame(stream, &buffer)).await.is_err() => return,
            Ok(_) => {}
        }
    }
}
