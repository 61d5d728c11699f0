//! Containers: decode, ask the engine, encode.

use http::StatusCode;
use serde_json::{Value, json};

use super::App;
use super::create::parse_create;
use super::images::check_platform;
use super::query::{Filters, Query, glob_matches, name_matches};
use super::reply::{Reply, empty, json_reply, ok, reply, stream};
use super::route::ContainerVerb;
use super::view::{Surroundings, details, mode_name, summary};
use crate::engine::action::{Action, StopRequest, WaitFor};
use crate::engine::container::Phase;
use crate::engine::error::EngineError;
use crate::engine::record::ContainerRecord;
use crate::engine::request::Patience;
use crate::engine::signal::{KILL, parse_signal};

impl App {
    /// `POST /containers/create`
    pub(super) async fn container_create(&self, query: &Query, body: &[u8]) -> Result<Reply, EngineError> {
        check_platform(query.get("platform").unwrap_or_default())?;
        let request = Box::new(parse_create(body)?);
        let name = query.filled("name").map(str::to_owned);
        let id = self.engine.ask(|reply| Action::Create { name, request, reply }).await?;
        Ok(json_reply(
            StatusCode::CREATED,
            &json!({"Id": id.as_str(), "Warnings": []}),
        ))
    }

    /// `GET /containers/json`
    pub(super) async fn container_list(&self, query: &Query) -> Result<Reply, EngineError> {
        let filters = Filters::parse(query.get("filters"), &LIST_FILTERS).map_err(EngineError::Invalid)?;
        let limit = query.number("limit").map_err(EngineError::Invalid)?.unwrap_or(-1);
        let all = query.flag("all") || limit > 0 || !filters.values("status").is_empty();
        let records = self.engine.ask(|reply| Action::List { reply }).await?;
        let (before, since) = (
            bound(&records, &filters, "before")?,
            bound(&records, &filters, "since")?,
        );
        let shown = records
            .iter()
            .filter(|record| all || is_shown_by_default(record))
            .filter(|record| is_wanted(record, &filters))
            .filter(|record| before.is_none_or(|before| record.created < before))
            .filter(|record| since.is_none_or(|since| record.created > since))
            .take(usize::try_from(limit).ok().filter(|l| *l > 0).unwrap_or(usize::MAX));
        let list: Vec<Value> = shown.map(|record| self.with_surroundings(record, summary)).collect();
        Ok(ok(&Value::Array(list)))
    }

    /// Everything below `/containers/NAME` that answers at once or is a stream of one answer.
    pub(super) async fn container(
        &self,
        name: String,
        verb: ContainerVerb,
        query: &Query,
    ) -> Result<Reply, EngineError> {
        match verb {
            ContainerVerb::Inspect => self.container_inspect(name).await,
            ContainerVerb::Start => {
                self.engine
                    .ask(|reply| Action::Start { container: name, reply })
                    .await?;
                Ok(empty(StatusCode::NO_CONTENT))
            }
            ContainerVerb::Stop => {
                let how = stop_request(query)?;
                self.engine
                    .ask(|reply| Action::Stop {
                        container: name,
                        how,
                        reply,
                    })
                    .await?;
                Ok(empty(StatusCode::NO_CONTENT))
            }
            ContainerVerb::Restart => {
                let how = stop_request(query)?;
                self.engine
                    .ask(|reply| Action::Restart {
                        container: name,
                        how,
                        reply,
                    })
                    .await?;
                Ok(empty(StatusCode::NO_CONTENT))
            }
            ContainerVerb::Kill => {
                let signal = query.filled("signal").map_or(Ok(KILL), signal_number)?;
                self.engine
                    .ask(|reply| Action::Kill {
                        container: name,
                        signal,
                        reply,
                    })
                    .await?;
                Ok(empty(StatusCode::NO_CONTENT))
            }
            ContainerVerb::Rename => {
                let new = query.filled("name").unwrap_or_default().to_owned();
                let action = |reply| Action::Rename {
                    container: name,
                    name: new,
                    reply,
                };
                self.engine.ask(action).await?;
                Ok(empty(StatusCode::NO_CONTENT))
            }
            ContainerVerb::Pause | ContainerVerb::Unpause => {
                let frozen = verb == ContainerVerb::Pause;
                let action = |reply| Action::Freeze {
                    container: name,
                    frozen,
                    reply,
                };
                self.engine.ask(action).await?;
                Ok(empty(StatusCode::NO_CONTENT))
            }
            ContainerVerb::Top => self.container_top(name, query).await,
            ContainerVerb::Stats => self.container_stats(name, query).await,
            ContainerVerb::Remove => self.container_remove(name, query).await,
            ContainerVerb::Wait => self.container_wait(name, query).await,
            ContainerVerb::Logs => self.container_logs(name, query).await,
            ContainerVerb::Resize => self.container_resize(name, query).await,
            ContainerVerb::Attach | ContainerVerb::Exec | ContainerVerb::Update => {
                Err(EngineError::Internal("this takes more than a query".into()))
            }
        }
    }

    /// The record of a container.
    pub(super) async fn record(&self, name: String) -> Result<ContainerRecord, EngineError> {
        let found = self
            .engine
            .ask(|reply| Action::Inspect { container: name, reply })
            .await?;
        Ok(*found)
    }

    async fn container_inspect(&self, name: String) -> Result<Reply, EngineError> {
        let record = self.record(name).await?;
        Ok(ok(&self.with_surroundings(&record, details)))
    }

    async fn container_remove(&self, name: String, query: &Query) -> Result<Reply, EngineError> {
        if query.flag("link") {
            return Err(EngineError::NotSupported("links".into()));
        }
        let (force, volumes) = (query.flag("force"), query.flag("v"));
        let action = |reply| Action::Remove {
            container: name,
            force,
            volumes,
            reply,
        };
        self.engine.ask(action).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    /// The promise is made before the headers go out: a client that has them may start the container
    /// at once.
    async fn container_wait(&self, name: String, query: &Query) -> Result<Reply, EngineError> {
        let until = match query.get("condition").unwrap_or_default() {
            "" | "not-running" => WaitFor::NotRunning,
            "next-exit" => WaitFor::NextExit,
            "removed" => WaitFor::Removed,
            other => {
                return Err(EngineError::Invalid(format!("invalid condition: {other:?}")));
            }
        };
        let action = |reply| Action::Wait {
            container: name,
            until,
            reply,
        };
        let promise = self.engine.ask(action).await?;
        let (sender, body) = stream();
        tokio::spawn(async move {
            let answer = match promise.await {
                Ok(waited) if waited.error.is_empty() => json!({"StatusCode": waited.exit_code}),
                Ok(waited) => json!({
                    "StatusCode": waited.exit_code, "Error": {"Message": waited.error},
                }),
                Err(_) => json!({
                    "StatusCode": 255, "Error": {"Message": "the engine has ended"},
                }),
            };
            // The client may have gone.
            let _ = sender.send(format!("{answer}\n").into()).await;
        });
        Ok(reply(StatusCode::OK, "application/json", body))
    }

    fn with_surroundings(
        &self,
        record: &ContainerRecord,
        view: fn(&ContainerRecord, Surroundings<'_>) -> Value,
    ) -> Value {
        let around = Surroundings {
            subnets: self.world.network.subnets(),
            volumes: &self.world.root.join("volumes"),
            directory: &self.world.bundle(&record.id),
            execs: &self.execs().running(&record.id),
            now: jiff::Timestamp::now(),
        };
        view(record, around)
    }
}

fn signal_number(text: &str) -> Result<i32, EngineError> {
    parse_signal(text).ok_or_else(|| EngineError::Invalid(format!("Invalid signal: {text}")))
}

fn stop_request(query: &Query) -> Result<StopRequest, EngineError> {
    let seconds = query.number("t").map_err(EngineError::Invalid)?;
    let signal = query.filled("signal").map(signal_number).transpose()?;
    Ok(StopRequest {
        signal,
        patience: seconds.map(Patience::from_seconds),
    })
}

const LIST_FILTERS: [&str; 13] = [
    "ancestor", "before", "exited", "expose", "health", "id", "label", "name", "network", "publish", "since", "status",
    "volume",
];

/// When the container was made that `before` or `since` names. Of several values the last one counts.
fn bound(records: &[ContainerRecord], filters: &Filters, key: &str) -> Result<Option<jiff::Timestamp>, EngineError> {
    let Some(name) = filters.values(key).last() else {
        return Ok(None);
    };
    let plain = name.trim_start_matches('/');
    let by_name = records.iter().find(|record| record.name == plain);
    let by_id = || {
        let mut fitting = records.iter().filter(|record| record.id.as_str().starts_with(plain));
        fitting.next().filter(|_| !plain.is_empty() && fitting.next().is_none())
    };
    let missing = || EngineError::NotFound(format!("No such container: {name}"));
    by_name
        .or_else(by_id)
        .map(|record| Some(record.created))
        .ok_or_else(missing)
}

/// `ps` without `-a` shows what runs.
fn is_shown_by_default(record: &ContainerRecord) -> bool {
    matches!(record.state.phase, Phase::Running | Phase::Restarting)
}

fn is_wanted(record: &ContainerRecord, filters: &Filters) -> bool {
    let state = &record.state;
    filters.any("name", |pattern| {
        name_matches(pattern, &record.name) || name_matches(pattern, &format!("/{}", record.name))
    }) && filters.any("id", |id| record.id.as_str().starts_with(id.trim_start_matches('^')))
        && filters.any("status", |status| state.docker_name() == status)
        && filters.any("health", |health| health == "none")
        && filters.any("exited", |code| {
            state.phase == Phase::Exited && code.parse() == Ok(state.exit_code)
        })
        && filters.any("ancestor", |image| {
            record.request.image == image
                || record.request.image.strip_suffix(":latest") == Some(image)
                || record.image_id.trim_start_matches("sha256:").starts_with(image)
        })
        && filters.any("network", |name| mode_name(record.request.network.mode) == name)
        && filters.any("volume", |wanted| {
            record.resolved.mounts.iter().any(|mount| {
                use crate::engine::request::MountSource::{Bind, Volume};
                mount.target == wanted
                    || matches!(&mount.source, Volume { name, .. } if name == wanted)
                    || matches!(&mount.source, Bind { path, .. } if path == wanted)
            })
        })
        && filters.any("publish", |port| has_port(record, port))
        && filters.any("expose", |port| {
            record
                .resolved
                .expose
                .iter()
                .any(|e| glob_matches(&with_protocol(port), &e.to_string()))
        })
        && filters.labels_match(&record.resolved.labels)
}

fn has_port(record: &ContainerRecord, wanted: &str) -> bool {
    let wanted = with_protocol(wanted);
    record
        .endpoint
        .iter()
        .flat_map(|endpoint| &endpoint.published)
        .any(|publish| {
            let protocol = publish.container.protocol.name();
            format!("{}/{protocol}", publish.host_port) == wanted
        })
}

fn with_protocol(port: &str) -> String {
    if port.contains('/') {
        port.to_owned()
    } else {
        format!("{port}/tcp")
    }
}
