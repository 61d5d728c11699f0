//! `/events`: what happened and what happens, as lines of JSON.

use http::StatusCode;
use serde_json::{Value, json};

use super::App;
use super::query::{Filters, Query};
use super::reply::{Reply, reply, stream};
use super::time::parse_moment;
use crate::engine::action::Action;
use crate::engine::error::EngineError;
use crate::engine::events::Event;

impl App {
    /// `/events`: the past since `since`, then what happens, until `until` or for ever.
    pub(super) async fn events(&self, query: &Query) -> Result<Reply, EngineError> {
        let filters = Filters::parse(query.get("filters"), &EVENT_FILTERS).map_err(EngineError::Invalid)?;
        let moment = |key: &str| query.filled(key).and_then(parse_moment);
        let (since, until) = (moment("since"), moment("until"));
        let (past, mut receiver) = self.engine.ask(|reply| Action::Events { reply }).await?;
        let (sender, body) = stream();
        tokio::spawn(async move {
            let wanted = |event: &Event| is_wanted(event, &filters);
            for event in past.iter().filter(|e| since.is_some_and(|s| e.at >= s)) {
                let late = until.is_some_and(|until| event.at > until);
                if !late && wanted(event) && sender.send(line(event).into()).await.is_err() {
                    return;
                }
            }
            let end = async {
                match until {
                    Some(until) => {
                        let left = until.duration_since(jiff::Timestamp::now());
                        tokio::time::sleep(left.try_into().unwrap_or_default()).await;
                    }
                    None => sender.closed().await,
                }
            };
            tokio::pin!(end);
            loop {
                tokio::select! {
                    event = receiver.recv() => match event {
                        Ok(event) if wanted(&event) => {
                            if sender.send(line(&event).into()).await.is_err() {
                                return;
                            }
                        }
                        Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                        Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
                    },
                    () = &mut end => return,
                }
            }
        });
        Ok(reply(StatusCode::OK, "application/json", body))
    }
}

const EVENT_FILTERS: [&str; 8] = [
    "container",
    "event",
    "image",
    "label",
    "network",
    "scope",
    "type",
    "volume",
];

fn is_wanted(event: &Event, filters: &Filters) -> bool {
    let kind = event.kind.name();
    filters.any("type", |wanted| kind == wanted)
        && filters.any("event", |wanted| {
            event.action == wanted || event.action.split(':').next() == Some(wanted)
        })
        && filters.any("scope", |wanted| wanted == "local")
        && ["container", "image", "network", "volume"].iter().all(|key| {
            filters.any(key, |wanted| {
                kind == *key
                    && (event.id.starts_with(wanted) || event.attributes.get("name").is_some_and(|name| name == wanted))
            })
        })
        && filters.labels_match(&event.attributes)
}

fn line(event: &Event) -> String {
    let mut value = json!({
        "Type": event.kind.name(),
        "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": event.attributes},
        "scope": "local",
        "time": event.at.as_second(),
        "timeNano": i64::try_from(event.at.as_nanosecond()).unwrap_or_default(),
    });
    if let Value::Object(map) = &mut value {
        map.insert("status".to_owned(), json!(event.action));
        map.insert("id".to_owned(), json!(event.id));
        if let Some(image) = event.attributes.get("image") {
            map.insert("from".to_owned(), json!(image));
        }
    }
    format!("{value}\n")
}
