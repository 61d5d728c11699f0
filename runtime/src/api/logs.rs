//! `GET /containers/NAME/logs`: what was written, and with `follow` what will be, until the container
//! has ended.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use keelson_shim_api::config::LogLine;
use tokio::sync::mpsc;

use super::App;
use super::query::Query;
use super::reply::{Reply, reply, stream};
use super::stream::{Framing, log_piece};
use super::time::parse_moment;
use crate::engine::action::{Action, WaitFor};
use crate::engine::error::EngineError;
use crate::logs::{Reader, Selection, tail};

/// How often a followed file is looked at. (The shim's file has no bell; inotify would save the
/// looking.)
const LOOK_EVERY: Duration = Duration::from_millis(100);

struct Request {
    path: PathBuf,
    selection: Selection,
    tail: Option<usize>,
    framing: Framing,
    timestamps: bool,
}

impl App {
    pub(super) async fn container_logs(&self, name: String, query: &Query) -> Result<Reply, EngineError> {
        let record = self.record(name).await?;
        let selection = parse_selection(query)?;
        let framing = Framing::of(record.request.process.tty);
        let request = Request {
            path: self.world.log_file(&record.id),
            selection,
            tail: parse_tail(query)?,
            framing,
            timestamps: query.flag("timestamps"),
        };
        let ended = if query.flag("follow") && record.state.is_live() {
            let (container, until) = (record.id.to_string(), WaitFor::NextExit);
            Some(
                self.engine
                    .ask(|reply| Action::Wait {
                        container,
                        until,
                        reply,
                    })
                    .await?,
            )
        } else {
            None
        };
        let (sender, body) = stream();
        tokio::spawn(async move {
            let sent = send_logs(request, ended, &sender).await;
            if let Err(error) = sent {
                let error = error.to_string();
                log::warn!(container = record.id.short(), error = error; "a log cannot be read");
            }
        });
        Ok(reply(StatusCode::OK, framing.content_type(), body))
    }
}

fn parse_selection(query: &Query) -> Result<Selection, EngineError> {
    let (stdout, stderr) = (query.flag("stdout"), query.flag("stderr"));
    if !stdout && !stderr {
        let text = "Bad parameters: you must choose at least one stream";
        return Err(EngineError::Invalid(text.to_owned()));
    }
    let moment = |key: &str| match query.filled(key) {
        None | Some("0") => Ok(None),
        Some(text) => parse_moment(text)
            .map(Some)
            .ok_or_else(|| EngineError::Invalid(format!("invalid value for \"{key}\": {text:?}"))),
    };
    Ok(Selection {
        stdout,
        stderr,
        since: moment("since")?,
        until: moment("until")?,
    })
}

/// `all`, nothing and what is no number mean everything, as Docker has it.
fn parse_tail(query: &Query) -> Result<Option<usize>, EngineError> {
    Ok(query.filled("tail").and_then(|text| text.parse().ok()))
}

/// What a container has written so far.
#[derive(Debug)]
pub(super) struct History {
    /// The log.
    pub path: PathBuf,
    /// Whether its output is wanted.
    pub stdout: bool,
    /// Whether its error output is wanted.
    pub stderr: bool,
}

/// Sends all that was written until now.
pub(super) async fn send_history(
    history: History,
    framing: Framing,
    sender: &mpsc::Sender<Bytes>,
) -> std::io::Result<()> {
    let selection = Selection {
        stdout: history.stdout,
        stderr: history.stderr,
        since: None,
        until: Some(jiff::Timestamp::now()),
    };
    let request = Request {
        path: history.path,
        selection,
        tail: None,
        framing,
        timestamps: false,
    };
    send_logs(request, None, sender).await
}

type Ended = tokio::sync::oneshot::Receiver<crate::engine::action::Waited>;

async fn send_logs(request: Request, ended: Option<Ended>, sender: &mpsc::Sender<Bytes>) -> std::io::Result<()> {
    let mut reader = Reader::open(&request.path)?;
    match request.tail {
        None => {
            if !send_what_is_there(&mut reader, &request, sender).await? {
                return Ok(());
            }
        }
        Some(count) => {
            let mut lines = vec![];
            loop {
                let more = reader.read()?;
                if more.is_empty() {
                    break;
                }
                lines.extend(more.into_iter().filter(|line| request.selection.takes(line)));
                lines = tail(lines, count);
            }
            if !send_lines(&lines, &request, sender).await {
                return Ok(());
            }
        }
    }
    let Some(mut ended) = ended else { return Ok(()) };
    loop {
        let over = tokio::select! {
            _ = &mut ended => true,
            () = tokio::time::sleep(LOOK_EVERY) => false,
            () = sender.closed() => return Ok(()),
        };
        if !send_what_is_there(&mut reader, &request, sender).await? || over {
            return Ok(());
        }
    }
}

/// False when the client has gone.
async fn send_what_is_there(
    reader: &mut Reader,
    request: &Request,
    sender: &mpsc::Sender<Bytes>,
) -> std::io::Result<bool> {
    loop {
        let lines = reader.read()?;
        if lines.is_empty() {
            return Ok(true);
        }
        if !send_lines(&lines, request, sender).await {
            return Ok(false);
        }
    }
}

async fn send_lines(lines: &[LogLine], request: &Request, sender: &mpsc::Sender<Bytes>) -> bool {
    for line in lines.iter().filter(|line| request.selection.takes(line)) {
        if sender
            .send(log_piece(line, request.framing, request.timestamps))
            .await
            .is_err()
        {
            return false;
        }
    }
    true
}
