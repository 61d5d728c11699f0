//! Connections that stop speaking HTTP: `attach` and `exec` carry a process's streams over them.
//!
//! A client that asks for an upgrade gets `101 UPGRADED` and both directions; another one a plain answer whose body is
//! the output, and no way to type.

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::request::Parts;
use http::{Request, StatusCode};
use hyper::ext::ReasonPhrase;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use super::reply::{Reply, empty, reply, stream};
use super::stream::Framing;

/// The client's side of streams.
#[derive(Debug)]
pub struct Line {
    /// Pieces for the client; a send fails when it has gone.
    pub output: mpsc::Sender<Bytes>,
    /// What it types; `None` when it cannot.
    pub input: Option<ReadHalf<TokioIo<Upgraded>>>,
}

/// An answer under way, and how to get at the line once it is out.
#[derive(Debug)]
pub struct Hijack {
    upgrade: Option<OnUpgrade>,
    plain: Option<mpsc::Sender<Bytes>>,
}

impl Hijack {
    /// Decides by the request's headers how the streams go out, and makes the answer that says so.
    pub fn answer(head: Parts, framing: Framing) -> (Reply, Hijack) {
        if !head.headers.contains_key(UPGRADE) {
            let (sender, body) = stream();
            let hijack = Hijack {
                upgrade: None,
                plain: Some(sender),
            };
            return (reply(StatusCode::OK, framing.content_type(), body), hijack);
        }
        let mut answer = empty(StatusCode::SWITCHING_PROTOCOLS);
        answer.extensions_mut().insert(ReasonPhrase::from_static(b"UPGRADED"));
        let headers = answer.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("tcp"));
        headers.insert(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static(framing.content_type()),
        );
        let hijack = Hijack {
            upgrade: Some(hyper::upgrade::on(Request::from_parts(head, ()))),
            plain: None,
        };
        (answer, hijack)
    }

    /// The line; `None` when the client has gone.
    pub async fn line(self) -> Option<Line> {
        if let Some(output) = self.plain {
            return Some(Line { output, input: None });
        }
        let upgraded = self.upgrade?.await.inspect_err(|error| {
            let error = error.to_string();
            log::debug!(error = error; "a client's connection could not be taken over");
        });
        let (reader, writer) = tokio::io::split(TokioIo::new(upgraded.ok()?));
        let (output, pieces) = mpsc::channel(4);
        tokio::spawn(write_all(writer, pieces));
        Some(Line {
            output,
            input: Some(reader),
        })
    }
}

/// Writes until the last sender is gone, then says that nothing follows.
async fn write_all(mut writer: WriteHalf<TokioIo<Upgraded>>, mut pieces: mpsc::Receiver<Bytes>) {
    while let Some(piece) = pieces.recv().await {
        if writer.write_all(&piece).await.is_err() {
            return;
        }
    }
    // The client may have gone.
    let _ = writer.shutdown().await;
}
