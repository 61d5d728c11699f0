//! Answers: bodies, the headers every answer has, and the one table from errors to status codes.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::route::{API_VERSION, RouteError};
use crate::engine::error::EngineError;

/// Body of an answer.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// An answer.
pub type Reply = Response<Body>;

/// What the engine calls itself in headers and in `version`.
pub const ENGINE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// A body that is there whole.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// A body that is sent piece by piece, and where to put the pieces. It ends when the sender is
/// dropped; a send fails when the client has gone.
pub fn stream() -> (mpsc::Sender<Bytes>, Body) {
    let (sender, receiver) = mpsc::channel::<Bytes>(16);
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(piece)), receiver))
    });
    (sender, StreamBody::new(pieces).boxed_unsync())
}

/// An answer with this status, type and body.
pub fn reply(status: StatusCode, content_type: &'static str, body: Body) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// An answer in JSON.
pub fn json_reply(status: StatusCode, value: &Value) -> Reply {
    let mut text = value.to_string();
    text.push('\n');
    reply(status, "application/json", full(text))
}

/// 200 with JSON.
pub fn ok(value: &Value) -> Reply {
    json_reply(StatusCode::OK, value)
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(full(Bytes::new()));
    *reply.status_mut() = status;
    reply
}

/// `{"message": ...}`.
pub fn message(status: StatusCode, text: &str) -> Reply {
    json_reply(status, &json!({ "message": text }))
}

/// The one table from what went wrong to a status code.
pub fn status_of(error: &EngineError) -> StatusCode {
    match error {
        EngineError::NoSuchContainer(_) | EngineError::NoSuchImage(_) | EngineError::NotFound(_) => {
            StatusCode::NOT_FOUND
        }
        EngineError::Ambiguous(_) | EngineError::InvalidName(_) | EngineError::Invalid(_) => StatusCode::BAD_REQUEST,
        EngineError::NameInUse { .. }
        | EngineError::NotRunning(_)
        | EngineError::StillRunning(_)
        | EngineError::RemovalInProgress(_)
        | EngineError::Conflict(_) => StatusCode::CONFLICT,
        EngineError::NotModified => StatusCode::NOT_MODIFIED,
        EngineError::Forbidden(_) => StatusCode::FORBIDDEN,
        EngineError::Unauthorized(_) => StatusCode::UNAUTHORIZED,
        EngineError::NotSupported(_) => StatusCode::NOT_IMPLEMENTED,
        // A program that is missing or cannot run is the caller's mistake.
        EngineError::StartFailed { code: 126 | 127, .. } => StatusCode::BAD_REQUEST,
        EngineError::StartFailed { .. } | EngineError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The answer to an error.
pub fn refuse(error: &EngineError) -> Reply {
    match status_of(error) {
        StatusCode::NOT_MODIFIED => empty(StatusCode::NOT_MODIFIED),
        status => message(status, &error.to_string()),
    }
}

/// The answer to a path that leads nowhere.
pub fn refuse_route(error: &RouteError) -> Reply {
    let status = match error {
        RouteError::NotFound => StatusCode::NOT_FOUND,
        RouteError::TooOld(_) | RouteError::TooNew(_) => StatusCode::BAD_REQUEST,
    };
    message(status, &error.to_string())
}

/// Adds the headers that every answer has.
pub fn with_common_headers(mut reply: Reply) -> Reply {
    let headers = reply.headers_mut();
    headers.insert(
        HeaderName::from_static("api-version"),
        HeaderValue::from_static(API_VERSION),
    );
    headers.insert(HeaderName::from_static("ostype"), HeaderValue::from_static("linux"));
    let experimental = HeaderName::from_static("docker-experimental");
    headers.insert(experimental, HeaderValue::from_static("false"));
    let server = format!("Docker/{ENGINE_VERSION} (linux)");
    if let Ok(value) = HeaderValue::from_str(&server) {
        headers.insert(http::header::SERVER, value);
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::id::ContainerId;

    #[test]
    fn errors_have_dockers_status() {
        let id = ContainerId::try_from("a".repeat(64)).unwrap();
        let table = [
            (EngineError::NoSuchContainer("x".into()), 404, "No such container: x"),
            (
                EngineError::NoSuchImage("x:latest".into()),
                404,
                "No such image: x:latest",
            ),
            (EngineError::NotModified, 304, "not modified"),
            (
                EngineError::StartFailed {
                    code: 127,
                    message: "m".into(),
                },
                400,
                "m",
            ),
            (
                EngineError::StartFailed {
                    code: 128,
                    message: "m".into(),
                },
                500,
                "m",
            ),
        ];
        for (error, status, text) in table {
            assert_eq!((status_of(&error).as_u16(), error.to_string().as_str()), (status, text));
        }
        let taken = EngineError::NameInUse {
            name: "web".into(),
            holder: id.clone(),
        }
        .to_string();
        let want = format!(
            "Conflict. The container name \"/web\" is already in use by container \"{id}\". You \
             have to remove (or rename) that container to be able to reuse that name."
        );
        assert_eq!(taken, want);
    }
}
