//! `docker exec`: commands in a running container, made, started with their streams, inspected.

use std::time::Duration;

use http::StatusCode;
use http::request::Parts;
use jiff::Timestamp;
use keelson_shim_api::config::LogStream;
use keelson_shim_api::{Failure, Outcome, RequestBody, Streams};
use serde_json::{Value, json};

use super::App;
use super::attach::{parse_size, refused};
use super::create::not_yet;
use super::detach::Detector;
use super::exec_body::{StartBody, parse_exec};
use super::hijack::{Hijack, Line};
use super::pump::{Manner, Over, pump};
use super::query::Query;
use super::reply::{Reply, empty, json_reply, ok};
use super::stream::Framing;
use crate::engine::action::{Action, Reached};
use crate::engine::error::{EngineError, chain};
use crate::engine::execs::{Exec, ExecRefusal, ExecState};
use crate::engine::id::ContainerId;
use crate::launch::PrepareError;
use crate::shim::{Ends, Shim, ShimError};

/// Output that comes this long after the end of its process is not waited for: another process holds the stream.
const DRAIN: Duration = Duration::from_secs(2);

/// Exit code of a command whose end nobody saw.
const UNSEEN: i32 = 137;

impl From<ExecRefusal> for EngineError {
    fn from(refusal: ExecRefusal) -> EngineError {
        match refusal {
            ExecRefusal::Unknown(_) => EngineError::NotFound(refusal.to_string()),
            ExecRefusal::AlreadyRun(_) => EngineError::Conflict(refusal.to_string()),
        }
    }
}

impl App {
    /// `POST /containers/NAME/exec`
    pub(super) async fn exec_create(&self, name: String, body: &[u8]) -> Result<Reply, EngineError> {
        let request = parse_exec(body)?;
        Detector::parse(&request.detach_keys).map_err(EngineError::Invalid)?;
        let record = self.reach(name).await?.record;
        if record.state.paused {
            let name = &record.name;
            return Err(EngineError::Conflict(format!(
                "Container {name} is paused, unpause the container before exec"
            )));
        }
        let (world, container, wanted) = (self.world.clone(), record.id.clone(), request.clone());
        let planned = tokio::task::spawn_blocking(move || world.plan_exec(&record, &wanted)).await;
        let planned = planned.map_err(|error| EngineError::internal(&error))?;
        let process = planned.map_err(|error| match error {
            PrepareError::User(error) => EngineError::Invalid(error.to_string()),
            other => EngineError::internal(&other),
        })?;
        let id = ContainerId::random().map_err(|error| EngineError::internal(&error))?;
        let exec = Exec {
            id: id.to_string(),
            container: container.clone(),
            process: serde_json::to_value(process).map_err(|error| EngineError::internal(&error))?,
            request,
            state: ExecState::Created,
        };
        self.tell_of(&exec, "exec_create").await;
        self.execs().add(exec, Timestamp::now());
        Ok(json_reply(StatusCode::CREATED, &json!({"Id": id.as_str()})))
    }

    /// `GET /exec/ID/json`
    pub(super) fn exec_inspect(&self, id: &str) -> Result<Reply, EngineError> {
        Ok(ok(&view(self.execs().find(id)?)))
    }

    /// `POST /exec/ID/resize`
    pub(super) async fn exec_resize(&self, id: &str, query: &Query) -> Result<Reply, EngineError> {
        let (rows, columns) = parse_size(query)?;
        let exec = self.execs().find(id)?.clone();
        if !matches!(exec.state, ExecState::Running { pid: Some(_) }) {
            return Err(EngineError::Conflict(format!("exec process {id} is not running")));
        }
        let shim = self.reach(exec.container.to_string()).await?.shim;
        let body = RequestBody::Resize {
            process: Some(exec.id),
            rows,
            columns,
        };
        shim.call(body).await.map_err(refused)?;
        Ok(empty(StatusCode::OK))
    }

    /// `POST /exec/ID/start`. What goes wrong once the client has its streams is told there.
    pub(super) async fn exec_start(&self, id: &str, body: &[u8], head: Parts) -> Result<Reply, EngineError> {
        let start = StartBody::parse(body)?;
        let exec = self.execs().find(id)?.clone();
        if start.detach {
            let (exec, shim, _) = self.run(&exec.id, Streams::default()).await?;
            let app = self.clone();
            tokio::spawn(async move { app.see_to_end(&exec, &shim).await });
            return Ok(empty(StatusCode::OK));
        }
        if start.tty != exec.request.tty {
            return Err(not_yet(
                "an exec that is started with another Tty than it was made with",
            ));
        }
        let (answer, hijack) = Hijack::answer(head, Framing::of(exec.request.tty));
        let app = self.clone();
        tokio::spawn(async move {
            if let Some(line) = hijack.line().await {
                app.serve_exec(&exec, line).await;
            }
        });
        Ok(answer)
    }

    async fn serve_exec(&self, exec: &Exec, line: Line) {
        let request = &exec.request;
        let framing = Framing::of(request.tty);
        // The stream ends only when the exit code can be asked for.
        let held = line.output.clone();
        let streams = Streams {
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr && !request.tty,
        };
        let (exec, shim, ends) = match self.run(&exec.id, streams).await {
            Ok(running) => running,
            Err(error) => {
                let text = format!("{error}\r\n");
                // The client may have gone.
                let _ = held.send(framing.frame(LogStream::Stdout, text.as_bytes())).await;
                return;
            }
        };
        let manner = Manner {
            framing,
            closes_stdin: !request.tty,
            detach: Detector::parse(&request.detach_keys).ok().filter(|_| request.tty),
        };
        let pumped = pump(line, ends, manner);
        tokio::pin!(pumped);
        let end = self.see_to_end(&exec, &shim);
        tokio::pin!(end);
        let over = tokio::select! {
            over = &mut pumped => over,
            () = &mut end => {
                // What it left in its streams; a late reader of the table sees the end already.
                let _ = tokio::time::timeout(DRAIN, pumped).await;
                return;
            }
        };
        if over == Over::Detached {
            let facts = vec![("execID", exec.id.clone())];
            self.engine.note(&exec.container, "exec_detach", facts).await;
            drop(held);
        }
        end.await;
    }

    /// Claims an exec and starts it.
    async fn run(&self, id: &str, streams: Streams) -> Result<(Exec, Shim, Ends), EngineError> {
        let exec = self.execs().begin(id)?;
        let started = self.start_in_shim(&exec, streams).await;
        match started {
            Ok((shim, pid, ends)) => {
                self.execs().started(&exec.id, pid);
                self.tell_of(&exec, "exec_start").await;
                Ok((exec, shim, ends))
            }
            Err((code, error)) => {
                self.execs().ended(&exec.id, code, Timestamp::now());
                Err(error)
            }
        }
    }

    async fn start_in_shim(&self, exec: &Exec, streams: Streams) -> Result<(Shim, i32, Ends), (i32, EngineError)> {
        let reached = self
            .reach(exec.container.to_string())
            .await
            .map_err(|error| (UNSEEN, error))?;
        let body = RequestBody::Exec {
            exec: exec.id.clone(),
            process: exec.process.clone(),
            streams,
        };
        match reached.shim.call(body).await {
            Ok((Outcome::Started { pid }, fds)) => Ok((reached.shim, pid, Ends::new(streams, fds))),
            Ok(_) => Err((UNSEEN, EngineError::Internal("the shim answered something else".into()))),
            Err(ShimError::Failed(failure)) => Err((failure.kind.exit_code(), not_started(failure))),
            Err(other) => Err((UNSEEN, EngineError::Internal(chain(&other)))),
        }
    }

    async fn see_to_end(&self, exec: &Exec, shim: &Shim) {
        let code = shim.wait(Some(exec.id.clone())).await.map_or(UNSEEN, |exit| exit.code);
        self.execs().ended(&exec.id, code, Timestamp::now());
        let facts = vec![("execID", exec.id.clone()), ("exitCode", code.to_string())];
        self.engine.note(&exec.container, "exec_die", facts).await;
    }

    async fn tell_of(&self, exec: &Exec, action: &str) {
        let action = format!("{action}: {}", exec.request.args.join(" "));
        self.engine
            .note(&exec.container, action, vec![("execID", exec.id.clone())])
            .await;
    }

    /// The shim of a container that runs.
    pub(super) async fn reach(&self, container: String) -> Result<Reached, EngineError> {
        self.engine.ask(|reply| Action::Reach { container, reply }).await
    }
}

fn not_started(failure: Failure) -> EngineError {
    EngineError::StartFailed {
        code: failure.kind.exit_code(),
        message: format!("exec failed: {}", failure.message),
    }
}

fn view(exec: &Exec) -> Value {
    let request = &exec.request;
    let (is_running, pid, code) = match exec.state {
        ExecState::Created => (false, 0, None),
        ExecState::Running { pid } => (true, pid.unwrap_or_default(), None),
        ExecState::Ended { code, .. } => (false, 0, Some(code)),
    };
    let (program, arguments) = request
        .args
        .split_first()
        .map(|(p, a)| (p.as_str(), a))
        .unwrap_or_default();
    json!({
        "ID": exec.id,
        "Running": is_running,
        "ExitCode": code,
        "ProcessConfig": {
            "tty": request.tty,
            "entrypoint": program,
            "arguments": arguments,
            "privileged": request.privileged,
            "user": request.user,
        },
        "OpenStdin": request.stdin,
        "OpenStderr": request.stderr,
        "OpenStdout": request.stdout,
        "CanRemove": false,
        "ContainerID": exec.container.as_str(),
        "DetachKeys": request.detach_keys,
        "Pid": pid,
    })
}
