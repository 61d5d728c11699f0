//! `POST /containers/NAME/attach`: a client joins the streams of a container's first process, before it runs or while
//! it does; and `resize`, which goes with a terminal.

use bytes::Bytes;
use http::request::Parts;
use keelson_shim_api::{RequestBody, Streams};
use tokio::sync::{mpsc, oneshot};

use super::App;
use super::detach::Detector;
use super::hijack::Hijack;
use super::logs::{History, send_history};
use super::pump::{Manner, Over, pump};
use super::query::Query;
use super::reply::{Reply, empty};
use super::stream::Framing;
use crate::engine::action::Action;
use crate::engine::error::{EngineError, chain};
use crate::engine::record::ContainerRecord;
use crate::shim::{Ends, ShimError};

impl App {
    pub(super) async fn container_attach(
        &self,
        name: String,
        query: &Query,
        head: Parts,
    ) -> Result<Reply, EngineError> {
        let detach = Detector::parse(query.get("detachKeys").unwrap_or_default()).map_err(EngineError::Invalid)?;
        let record = self.record(name).await?;
        let streams = Streams {
            stdin: query.flag("stdin"),
            stdout: query.flag("stdout"),
            stderr: query.flag("stderr"),
        };
        let container = record.id.to_string();
        let promise = if query.flag("stream") {
            let action = |reply| Action::Attach {
                container,
                streams,
                reply,
            };
            Some(self.engine.ask(action).await?)
        } else {
            None
        };
        // After the promise, so that nothing lies between what was and what comes.
        let history = query.flag("logs").then(|| History {
            path: self.world.log_file(&record.id),
            stdout: streams.stdout,
            stderr: streams.stderr,
        });
        let process = &record.request.process;
        let manner = Manner {
            framing: Framing::of(process.tty),
            closes_stdin: process.stdin_once && !process.tty,
            detach: process.tty.then_some(detach),
        };
        let (answer, hijack) = Hijack::answer(head, manner.framing);
        let app = self.clone();
        tokio::spawn(async move { app.serve_attached(record, hijack, promise, history, manner).await });
        Ok(answer)
    }

    async fn serve_attached(
        &self,
        record: ContainerRecord,
        hijack: Hijack,
        promise: Option<oneshot::Receiver<Ends>>,
        history: Option<History>,
        manner: Manner,
    ) {
        let Some(line) = hijack.line().await else { return };
        if let Some(history) = history
            && let Err(error) = send_history(history, manner.framing, &line.output).await
        {
            let error = error.to_string();
            log::warn!(container = record.id.short(), error = error; "a log cannot be read");
        }
        let Some(ends) = kept(promise, &line.output).await else {
            return;
        };
        if pump(line, ends, manner).await == Over::Detached {
            self.engine.note(&record.id, "detach", vec![]).await;
        }
    }

    pub(super) async fn container_resize(&self, name: String, query: &Query) -> Result<Reply, EngineError> {
        let (rows, columns) = parse_size(query)?;
        let reached = self
            .engine
            .ask(|reply| Action::Reach { container: name, reply })
            .await?;
        let body = RequestBody::Resize {
            process: None,
            rows,
            columns,
        };
        reached.shim.call(body).await.map_err(refused)?;
        let facts = vec![("height", rows.to_string()), ("width", columns.to_string())];
        self.engine.note(&reached.record.id, "resize", facts).await;
        Ok(empty(http::StatusCode::OK))
    }
}

/// The ends, when they come before the client goes.
async fn kept(promise: Option<oneshot::Receiver<Ends>>, output: &mpsc::Sender<Bytes>) -> Option<Ends> {
    tokio::select! {
        ends = promise? => ends.ok(),
        () = output.closed() => None,
    }
}

/// `h` and `w`.
pub(super) fn parse_size(query: &Query) -> Result<(u16, u16), EngineError> {
    let side = |key: &str| {
        let number = query.number(key).map_err(EngineError::Invalid)?.unwrap_or_default();
        u16::try_from(number).map_err(|_| EngineError::Invalid(format!("invalid value for {key}: {number}")))
    };
    Ok((side("h")?, side("w")?))
}

/// What a shim says when it does not do as asked.
pub(super) fn refused(error: ShimError) -> EngineError {
    use keelson_shim_api::FailureKind::{Conflict, Invalid};
    match error {
        ShimError::Failed(failure) if failure.kind == Conflict => EngineError::Conflict(failure.message),
        ShimError::Failed(failure) if failure.kind == Invalid => EngineError::Invalid(failure.message),
        other => EngineError::Internal(chain(&other)),
    }
}
