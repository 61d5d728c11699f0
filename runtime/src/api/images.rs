//! Images: list, inspect, pull with its stream of progress, tag, remove.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::App;
use super::info::ARCH;
use super::query::{Filters, Query, glob_matches};
use super::reply::{Reply, empty, ok, reply, stream};
use crate::engine::action::{Action, Removed};
use crate::engine::error::{EngineError, chain};
use crate::engine::events::{Event, Kind};
use crate::image::{
    Credentials, ImageRecord, LayerProgress, Progress, PullError, PullOptions, Pulled, Reference, StoreError, pull,
};

impl App {
    /// `GET /images/json`
    pub(super) async fn image_list(&self, query: &Query) -> Result<Reply, EngineError> {
        let filters = Filters::parse(query.get("filters"), &IMAGE_FILTERS).map_err(EngineError::Invalid)?;
        let images = self
            .world
            .images
            .images()
            .map_err(|error| EngineError::internal(&error))?;
        let records = self.engine.ask(|reply| Action::List { reply }).await?;
        let mut shown: Vec<&ImageRecord> = images.iter().filter(|image| is_wanted(image, &filters)).collect();
        shown.sort_by_key(|image| std::cmp::Reverse(created(image)));
        let list: Vec<Value> = shown
            .into_iter()
            .map(|image| {
                let id = image.id.to_string();
                let users = records.iter().filter(|record| record.image_id == id).count();
                json!({
                    "Id": id,
                    "ParentId": "",
                    "RepoTags": image.repo_tags,
                    "RepoDigests": image.repo_digests,
                    "Created": created(image),
                    "Size": image.size,
                    "SharedSize": -1,
                    "Labels": labels(image),
                    "Containers": users,
                })
            })
            .collect();
        Ok(ok(&Value::Array(list)))
    }

    /// `GET /images/NAME/json`
    pub(super) fn image_inspect(&self, name: &str) -> Result<Reply, EngineError> {
        let image = self.image(name)?;
        let raw: Value = serde_json::from_str(&image.raw_config).unwrap_or_default();
        let text = |key: &str| raw.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let layers: Vec<String> = image.diff_ids.iter().map(ToString::to_string).collect();
        let mut config = raw.get("config").cloned().unwrap_or_else(|| json!({}));
        if let Value::Object(map) = &mut config {
            // Members of a container, not of an image, in images of old builders.
            for key in ["Hostname", "Domainname", "AttachStdin", "AttachStdout", "AttachStderr"] {
                map.remove(key);
            }
        }
        Ok(ok(&json!({
            "Id": image.id.to_string(),
            "RepoTags": image.repo_tags,
            "RepoDigests": image.repo_digests,
            "Parent": "",
            "Comment": text("comment"),
            "Created": image.created.clone().unwrap_or_else(|| "0001-01-01T00:00:00Z".to_owned()),
            "DockerVersion": "",
            "Author": text("author"),
            "Config": config,
            "Architecture": text("architecture"),
            "Variant": text("variant"),
            "Os": text("os"),
            "Size": image.size,
            "GraphDriver": {"Name": "overlay2", "Data": {}},
            "RootFS": {"Type": "layers", "Layers": layers},
            "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
        })))
    }

    /// `GET /images/NAME/history`
    pub(super) fn image_history(&self, name: &str) -> Result<Reply, EngineError> {
        let image = self.image(name)?;
        let raw: Value = serde_json::from_str(&image.raw_config).unwrap_or_default();
        let steps = raw
            .get("history")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let mut list: Vec<Value> = steps
            .iter()
            .rev()
            .map(|step| {
                let text = |key: &str| step.get(key).and_then(Value::as_str).unwrap_or_default();
                json!({
                    "Id": "<missing>",
                    "Created": text("created").parse::<Timestamp>().map_or(0, |t| t.as_second()),
                    "CreatedBy": text("created_by"),
                    "Tags": null,
                    "Size": 0,
                    "Comment": text("comment"),
                })
            })
            .collect();
        if let Some(Value::Object(newest)) = list.first_mut() {
            newest.insert("Id".to_owned(), json!(image.id.to_string()));
            newest.insert("Tags".to_owned(), json!(image.repo_tags));
        }
        Ok(ok(&Value::Array(list)))
    }

    /// `POST /images/NAME/tag`
    pub(super) fn image_tag(&self, name: &str, query: &Query) -> Result<Reply, EngineError> {
        let image = self.image(name)?;
        let repo = query.get("repo").unwrap_or_default();
        let reference = parse_reference(repo, query.get("tag").unwrap_or_default())?;
        self.world
            .images
            .tag(&image.id, &reference)
            .map_err(|error| EngineError::internal(&error))?;
        Ok(empty(StatusCode::CREATED))
    }

    /// `DELETE /images/NAME`
    pub(super) async fn image_remove(&self, name: String, query: &Query) -> Result<Reply, EngineError> {
        let force = query.flag("force");
        let removed = self
            .engine
            .ask(|reply| Action::RemoveImage {
                image: name,
                force,
                reply,
            })
            .await?;
        let list: Vec<Value> = removed
            .iter()
            .map(|one| match one {
                Removed::Untagged(name) => json!({"Untagged": name}),
                Removed::Deleted(id) => json!({"Deleted": id}),
            })
            .collect();
        for one in &removed {
            let (action, id) = match one {
                Removed::Untagged(name) => ("untag", name),
                Removed::Deleted(id) => ("delete", id),
            };
            self.engine.publish(image_event(action, id, id)).await;
        }
        Ok(ok(&Value::Array(list)))
    }

    /// `POST /images/create`: a failure before the first piece of the answer has a status of its own.
    pub(super) async fn image_pull(&self, query: &Query, headers: &HeaderMap) -> Result<Reply, EngineError> {
        if query.filled("fromSrc").is_some() {
            return Err(EngineError::NotSupported("importing images".into()));
        }
        check_platform(query.get("platform").unwrap_or_default())?;
        let from = query.get("fromImage").unwrap_or_default();
        let reference = parse_reference(from, query.get("tag").unwrap_or_default())?;
        let (progress, mut news) = mpsc::unbounded_channel();
        let cancel = CancellationToken::new();
        let options = PullOptions {
            registries: self.registries.current(),
            credentials: credentials(headers),
            progress: Arc::new(move |step| {
                // Nobody may be listening any more.
                let _ = progress.send(step);
            }),
            cancel: cancel.clone(),
            ..PullOptions::default()
        };
        let (store, name) = (Arc::clone(&self.world.images), reference.clone());
        let mut pulling = tokio::spawn(async move { pull(&store, &name, &options).await });
        // The first news, or the end, decides on the status.
        let first = tokio::select! {
            step = news.recv() => step,
            done = &mut pulling => {
                self.after_pull(&reference, flatten(done)?).await;
                news.recv().await
            }
        };
        let Some(first) = first else {
            let pulled = pulling.await;
            let pulled = flatten(pulled)?;
            self.after_pull(&reference, pulled).await;
            let (sender, body) = stream();
            for text in end_lines(&reference, &pulled) {
                let _ = sender.send(text).await;
            }
            return Ok(reply(StatusCode::OK, "application/json", body));
        };
        let (sender, body) = stream();
        let (app, familiar) = (self.clone(), reference.clone());
        tokio::spawn(async move {
            let gone = cancel.drop_guard();
            let mut next = Some(first);
            while let Some(step) = next {
                if sender.send(step_line(&familiar, &step)).await.is_err() {
                    return;
                }
                next = news.recv().await;
            }
            gone.disarm();
            let texts = match pulling.await.map_err(|e| e.to_string()) {
                Ok(Ok(pulled)) => {
                    app.after_pull(&familiar, pulled).await;
                    end_lines(&familiar, &pulled)
                }
                Ok(Err(error)) => vec![error_line(&chain(&error))],
                Err(error) => vec![error_line(&error)],
            };
            for text in texts {
                let _ = sender.send(text).await;
            }
        });
        Ok(reply(StatusCode::OK, "application/json", body))
    }

    async fn after_pull(&self, reference: &Reference, pulled: Pulled) {
        let name = reference.familiar();
        log::info!(image = name.as_str(), digest:% = pulled.digest; "image pulled");
        self.engine.publish(image_event("pull", &name, &name)).await;
    }

    fn image(&self, name: &str) -> Result<ImageRecord, EngineError> {
        self.world.images.image(name).map_err(|error| match error {
            StoreError::NoSuchImage { name } => EngineError::NoSuchImage(name),
            other => EngineError::internal(&other),
        })
    }
}

fn flatten(done: Result<Result<Pulled, PullError>, tokio::task::JoinError>) -> Result<Pulled, EngineError> {
    let done = done.map_err(|error| EngineError::Internal(error.to_string()))?;
    done.map_err(|error| pull_error(&error))
}

fn pull_error(error: &PullError) -> EngineError {
    let text = chain(error);
    match error {
        PullError::Denied { .. } | PullError::NotFound { .. } | PullError::Manifest(_) => EngineError::NotFound(text),
        _ => EngineError::Internal(text),
    }
}

/// The tag may stand in the name, beside it, or be a digest.
fn parse_reference(name: &str, tag: &str) -> Result<Reference, EngineError> {
    let whole = match tag {
        "" => name.to_owned(),
        digest if digest.contains(':') => format!("{name}@{digest}"),
        tag => format!("{name}:{tag}"),
    };
    whole.parse().map_err(|error| EngineError::Invalid(chain(&error)))
}

pub(super) fn check_platform(platform: &str) -> Result<(), EngineError> {
    let mut parts = platform.split('/');
    let fits = match (parts.next(), parts.next()) {
        (None | Some(""), _) => true,
        (Some("linux"), architecture) => architecture.is_none_or(|a| a == ARCH || a == "x86_64"),
        (Some(architecture), None) => architecture == ARCH || architecture == "x86_64",
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err(EngineError::NotSupported(format!(
            "images for the platform {platform:?}"
        )))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RegistryAuth {
    username: String,
    password: String,
}

/// `X-Registry-Auth`; what cannot be read is anonymous.
fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let text = headers.get("x-registry-auth")?.to_str().ok()?;
    let bytes = [URL_SAFE, URL_SAFE_NO_PAD, STANDARD]
        .iter()
        .find_map(|coding| coding.decode(text).ok())?;
    let auth: RegistryAuth = serde_json::from_slice(&bytes).ok()?;
    (!auth.username.is_empty()).then_some(Credentials {
        username: auth.username,
        password: auth.password,
    })
}

fn line(value: &Value) -> Bytes {
    Bytes::from(format!("{value}\r\n"))
}

fn error_line(text: &str) -> Bytes {
    line(&json!({"errorDetail": {"message": text}, "error": text}))
}

fn step_line(reference: &Reference, step: &Progress) -> Bytes {
    let (id, state) = match step {
        Progress::Resolved { .. } => {
            let repository = reference.repository();
            let from = match reference.host() {
                crate::image::DEFAULT_HOST => repository.to_owned(),
                host => format!("{host}/{repository}"),
            };
            let id = reference.tag().unwrap_or("latest");
            return line(&json!({"status": format!("Pulling from {from}"), "id": id}));
        }
        Progress::Layer { id, state } => (id, state),
    };
    let amount = |current: &u64, total: &u64| json!({"current": current, "total": total});
    let (status, detail) = match state {
        LayerProgress::PullingFsLayer => ("Pulling fs layer", json!({})),
        LayerProgress::Waiting => ("Waiting", json!({})),
        LayerProgress::Downloading { current, total } => ("Downloading", amount(current, total)),
        LayerProgress::DownloadComplete => ("Download complete", json!({})),
        LayerProgress::Extracting { current, total } => ("Extracting", amount(current, total)),
        LayerProgress::PullComplete => ("Pull complete", json!({})),
        LayerProgress::AlreadyExists => ("Already exists", json!({})),
    };
    line(&json!({"status": status, "progressDetail": detail, "id": id}))
}

fn end_lines(reference: &Reference, pulled: &Pulled) -> Vec<Bytes> {
    let name = reference.familiar();
    let end = if pulled.up_to_date {
        format!("Status: Image is up to date for {name}")
    } else {
        format!("Status: Downloaded newer image for {name}")
    };
    vec![
        line(&json!({"status": format!("Digest: {}", pulled.digest)})),
        line(&json!({"status": end})),
    ]
}

fn image_event(action: &str, id: &str, name: &str) -> Event {
    Event {
        kind: Kind::Image,
        action: action.to_owned(),
        id: id.to_owned(),
        attributes: BTreeMap::from([("name".to_owned(), name.to_owned())]),
        at: Timestamp::now(),
    }
}

fn created(image: &ImageRecord) -> i64 {
    let time = image.created.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
    time.map_or(0, |time| time.as_second())
}

fn labels(image: &ImageRecord) -> BTreeMap<String, String> {
    let config = image.config.config().as_ref();
    let labels = config.and_then(|config| config.labels().clone());
    labels.unwrap_or_default().into_iter().collect()
}

const IMAGE_FILTERS: [&str; 3] = ["dangling", "label", "reference"];

fn is_wanted(image: &ImageRecord, filters: &Filters) -> bool {
    let dangling = image.repo_tags.is_empty();
    filters.any("dangling", |wanted| (wanted == "true" || wanted == "1") == dangling)
        && filters.any("reference", |pattern| {
            image.repo_tags.iter().any(|tag| {
                let name = tag.rsplit_once(':').map_or(tag.as_str(), |(name, _)| name);
                glob_matches(pattern, tag) || glob_matches(pattern, name)
            })
        })
        && filters.labels_match(&labels(image))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_stands_in_many_places() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let table = [
            ("nginx", "1", "nginx:1"),
            ("nginx", "", "nginx:latest"),
            ("docker.io/library/nginx", "latest", "nginx:latest"),
            ("10.0.2.2:5000/demo/nginx:1", "", "10.0.2.2:5000/demo/nginx:1"),
        ];
        for (name, tag, want) in table {
            assert_eq!(parse_reference(name, tag).unwrap().familiar(), want);
        }
        assert!(parse_reference("nginx", &digest).unwrap().digest().is_some());
        assert!(parse_reference("", "").is_err() && parse_reference("A B", "").is_err());
    }

    #[test]
    fn credentials_in_any_base64() {
        let text = r#"{"username":"u","password":"p","serveraddress":"x"}"#;
        for coded in [
            URL_SAFE.encode(text),
            URL_SAFE_NO_PAD.encode(text),
            STANDARD.encode(text),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-registry-auth", coded.parse().unwrap());
            assert_eq!(credentials(&headers).unwrap().username, "u");
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-registry-auth", "!".parse().unwrap());
        assert!(credentials(&headers).is_none());
    }

    #[test]
    fn platforms_of_this_machine() {
        for good in ["", "linux", "linux/amd64", "amd64"] {
            assert!(check_platform(good).is_ok(), "{good}");
        }
        for bad in ["linux/arm64/v8", "windows/amd64", "arm64"] {
            assert!(check_platform(bad).is_err(), "{bad}");
        }
    }
}
