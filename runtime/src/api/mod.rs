//! Docker's API over a Unix socket: decode, ask the engine, encode. No decision about containers is
//! made here.

mod attach;
mod containers;
mod create;
mod create_body;
mod create_known;
mod detach;
mod events;
mod exec;
mod exec_body;
mod hijack;
mod images;
mod info;
mod logs;
mod networks;
mod peer;
mod pump;
mod query;
mod reply;
mod route;
mod stats;
mod stream;
mod time;
mod top;
mod update;
mod view;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};

pub use create::parse_create;
pub use peer::{GRANT, GRANT_ENGINE, Peer, find_peer};
pub use route::{API_VERSION, Route, RouteError, route};

use crate::engine::action::{Action, Handle};
use crate::engine::error::EngineError;
use crate::engine::execs::ExecTable;
use crate::launch::World;
use crate::registries::Registries;
use query::Query;
use reply::{Reply, message, refuse, refuse_route, with_common_headers};
use route::{ContainerVerb, ExecVerb};

/// Longest body that is read whole.
const LONGEST_BODY: usize = 8 << 20;

/// What every request needs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    /// The engine.
    pub engine: Handle,
    /// Where things lie.
    pub world: Arc<World>,
    /// Settings of registries.
    pub registries: Registries,
    /// When the engine started.
    pub started: jiff::Timestamp,
    /// Commands run in containers.
    pub execs: Arc<Mutex<ExecTable>>,
}

impl App {
    /// The execs; never held across a wait.
    fn execs(&self) -> MutexGuard<'_, ExecTable> {
        // Nothing panics while it holds them, and a table is whole after every step.
        self.execs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves connections until the listener fails.
    ///
    /// # Errors
    /// The listener's.
    pub async fn serve(self, listener: UnixListener) -> std::io::Result<()> {
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(self.clone().serve_connection(stream));
        }
    }

    async fn serve_connection(self, stream: UnixStream) {
        let peer = find_peer(&stream).unwrap_or_else(|error| {
            let error = error.to_string();
            log::warn!(error = error; "cannot tell who connects; the caller is refused");
            Peer::Unknown
        });
        let service = service_fn(move |request| {
            let (app, peer) = (self.clone(), peer.clone());
            async move { Ok::<Reply, Infallible>(with_common_headers(app.answer(&peer, request).await)) }
        });
        let http = hyper::server::conn::http1::Builder::new();
        let served = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
        if let Err(error) = served.await {
            let error = error.to_string();
            log::debug!(error = error; "a client's connection broke");
        }
    }

    async fn answer(&self, peer: &Peer, request: Request<Incoming>) -> Reply {
        if let Err(error) = self.check_peer(peer).await {
            return refuse(&error);
        }
        let route = match route(request.method(), request.uri().path()) {
            Ok(route) => route,
            Err(error) => return refuse_route(&error),
        };
        log::trace!(route:? = route; "request");
        self.dispatch(route, request).await.unwrap_or_else(|error| {
            if let EngineError::Internal(text) = &error {
                log::error!(error = text.as_str(); "a request failed");
            }
            refuse(&error)
        })
    }

    /// The machine's own processes may ask; a container's only if it was given the engine.
    async fn check_peer(&self, peer: &Peer) -> Result<(), EngineError> {
        let refused = |who: &str| {
            log::warn!(peer = who; "a container without a grant asked the engine and was refused");
            EngineError::Forbidden(format!(
                "containers may not use the engine; give it the label {GRANT}={GRANT_ENGINE}"
            ))
        };
        let id = match peer {
            Peer::Machine => return Ok(()),
            Peer::Unknown => return Err(refused("unknown")),
            Peer::Container(id) => id,
        };
        let container = id.to_string();
        let found = self.engine.ask(|reply| Action::Inspect { container, reply }).await;
        // The label must be the request's own: an image must not grant itself anything.
        let granted = found.is_ok_and(|record| {
            record
                .request
                .labels
                .get(GRANT)
                .is_some_and(|value| value == GRANT_ENGINE)
        });
        if granted { Ok(()) } else { Err(refused(id.short())) }
    }

    async fn dispatch(&self, route: Route, request: Request<Incoming>) -> Result<Reply, EngineError> {
        let query = Query::parse(request.uri().query());
        let (head, body) = request.into_parts();
        match route {
            Route::Ping => Ok(self.ping(&head.method)),
            Route::Version => Ok(self.version()),
            Route::Info => self.info().await,
            Route::Events => self.events(&query).await,
            Route::ContainerList => self.container_list(&query).await,
            Route::ContainerCreate => {
                let body = read_body(&head.method, body).await?;
                self.container_create(&query, &body).await
            }
            Route::Container(name, ContainerVerb::Attach) => self.container_attach(name, &query, head).await,
            Route::Container(name, ContainerVerb::Exec) => {
                let body = read_body(&head.method, body).await?;
                self.exec_create(name, &body).await
            }
            Route::Container(name, ContainerVerb::Update) => {
                let body = read_body(&head.method, body).await?;
                self.container_update(name, &body).await
            }
            Route::Exec(id, ExecVerb::Start) => {
                let body = read_body(&head.method, body).await?;
                self.exec_start(&id, &body, head).await
            }
            Route::Exec(id, ExecVerb::Inspect) => self.exec_inspect(&id),
            Route::Exec(id, ExecVerb::Resize) => self.exec_resize(&id, &query).await,
            Route::Container(name, verb) => self.container(name, verb, &query).await,
            Route::ImageList => self.image_list(&query).await,
            Route::ImagePull => self.image_pull(&query, &head.headers).await,
            Route::ImageInspect(name) => self.image_inspect(&name),
            Route::ImageHistory(name) => self.image_history(&name),
            Route::ImageTag(name) => self.image_tag(&name, &query),
            Route::ImageRemove(name) => self.image_remove(name, &query).await,
            Route::NetworkList => self.network_list(&query).await,
            Route::NetworkInspect(name) => self.network_inspect(&name).await,
            Route::VolumeList => Ok(self.volume_list()),
            Route::NotYet(what) => {
                let text = EngineError::NotSupported(what.to_owned()).to_string();
                Ok(message(StatusCode::NOT_IMPLEMENTED, &text))
            }
        }
    }
}

async fn read_body(method: &Method, body: Incoming) -> Result<bytes::Bytes, EngineError> {
    if method == Method::GET {
        return Ok(bytes::Bytes::new());
    }
    let read = Limited::new(body, LONGEST_BODY).collect().await;
    read.map(http_body_util::Collected::to_bytes)
        .map_err(|error| EngineError::Invalid(format!("cannot read the request: {error}")))
}
