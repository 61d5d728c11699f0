//! The route table: method and path → [`Route`]. Pure.
//!
//! Paths may begin with a version (`/v1.41/...`); every version from 1.24 up is taken, as clients
//! that do not negotiate must not be locked out.

use http::Method;

/// The newest version this engine announces.
pub const API_VERSION: &str = "1.51";
/// The oldest it accepts.
pub const MIN_API_VERSION: &str = "1.24";

const OLDEST_MINOR: u32 = 24;
const NEWEST_MINOR: u32 = 99;

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/_ping`
    Ping,
    /// `/version`
    Version,
    /// `/info`
    Info,
    /// `/events`
    Events,
    /// `/containers/json`
    ContainerList,
    /// `/containers/create`
    ContainerCreate,
    /// Something about one container.
    Container(String, ContainerVerb),
    /// Something about one exec.
    Exec(String, ExecVerb),
    /// `/images/json`
    ImageList,
    /// `/images/create`
    ImagePull,
    /// `/images/NAME/json`
    ImageInspect(String),
    /// `/images/NAME/history`
    ImageHistory(String),
    /// `/images/NAME/tag`
    ImageTag(String),
    /// `DELETE /images/NAME`
    ImageRemove(String),
    /// `/networks`
    NetworkList,
    /// `/networks/NAME`
    NetworkInspect(String),
    /// `/volumes`
    VolumeList,
    /// A route of Docker's that is not there yet; what it does.
    NotYet(&'static str),
}

/// What to do with one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerVerb {
    /// `GET json`
    Inspect,
    /// `POST start`
    Start,
    /// `POST stop`
    Stop,
    /// `POST kill`
    Kill,
    /// `POST restart`
    Restart,
    /// `POST wait`
    Wait,
    /// `POST rename`
    Rename,
    /// `GET logs`
    Logs,
    /// `POST attach`
    Attach,
    /// `POST resize`
    Resize,
    /// `POST exec`
    Exec,
    /// `GET top`
    Top,
    /// `GET stats`
    Stats,
    /// `POST pause`
    Pause,
    /// `POST unpause`
    Unpause,
    /// `POST update`
    Update,
    /// `DELETE`
    Remove,
}

/// What to do with one exec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecVerb {
    /// `GET json`
    Inspect,
    /// `POST start`
    Start,
    /// `POST resize`
    Resize,
}

/// Why a path leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The version is below what is spoken.
    #[error(
        "client version {0} is too old. Minimum supported API version is {MIN_API_VERSION}, \
         please upgrade your client to a newer version"
    )]
    TooOld(String),
    /// The version is no version of ours.
    #[error(
        "client version {0} is too new. Maximum supported API version is {API_VERSION}, please \
         upgrade your client to a newer version"
    )]
    TooNew(String),
    /// No such page.
    #[error("page not found")]
    NotFound,
}

/// Finds the route.
///
/// # Errors
/// The version is not spoken, or there is no such page.
pub fn route(method: &Method, path: &str) -> Result<Route, RouteError> {
    let path = strip_version(path)?;
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let get = method == Method::GET || method == Method::HEAD;
    let post = method == Method::POST;
    match parts.as_slice() {
        ["_ping"] if get => Ok(Route::Ping),
        ["version"] if get => Ok(Route::Version),
        ["info"] if get => Ok(Route::Info),
        ["events"] if get => Ok(Route::Events),
        ["containers", "json"] if get => Ok(Route::ContainerList),
        ["containers", "create"] if post => Ok(Route::ContainerCreate),
        ["containers", name, rest @ ..] => container(method, name, rest),
        ["exec", id, verb] => exec(method, id, verb),
        ["images", "json"] if get => Ok(Route::ImageList),
        ["images", "create"] if post => Ok(Route::ImagePull),
        ["images", rest @ ..] if !rest.is_empty() => image(method, rest),
        ["networks"] if get => Ok(Route::NetworkList),
        ["networks", name] if get => Ok(Route::NetworkInspect(decode(name))),
        ["volumes"] if get => Ok(Route::VolumeList),
        other => not_yet(other),
    }
}

fn container(method: &Method, name: &str, rest: &[&str]) -> Result<Route, RouteError> {
    use ContainerVerb::{
        Attach, Exec, Inspect, Kill, Logs, Pause, Remove, Rename, Resize, Restart, Start, Stats, Stop, Top, Unpause,
        Update, Wait,
    };
    let verb = match (method.as_str(), rest) {
        ("GET", ["json"]) => Inspect,
        ("GET", ["logs"]) => Logs,
        ("POST", ["start"]) => Start,
        ("POST", ["stop"]) => Stop,
        ("POST", ["kill"]) => Kill,
        ("POST", ["restart"]) => Restart,
        ("POST", ["wait"]) => Wait,
        ("POST", ["rename"]) => Rename,
        ("POST", ["attach"]) => Attach,
        ("POST", ["resize"]) => Resize,
        ("POST", ["exec"]) => Exec,
        ("DELETE", []) => Remove,
        (_, ["archive"]) => return Ok(Route::NotYet("copying files (cp)")),
        ("GET", ["stats"]) => Stats,
        ("GET", ["top"]) => Top,
        ("POST", ["pause"]) => Pause,
        ("POST", ["unpause"]) => Unpause,
        ("POST", ["update"]) => Update,
        (_, ["changes" | "export"]) => return Ok(Route::NotYet("exporting containers")),
        _ if name == "prune" => return Ok(Route::NotYet("pruning containers")),
        _ => return Err(RouteError::NotFound),
    };
    Ok(Route::Container(decode(name), verb))
}

fn exec(method: &Method, id: &str, verb: &str) -> Result<Route, RouteError> {
    let verb = match (method.as_str(), verb) {
        ("GET", "json") => ExecVerb::Inspect,
        ("POST", "start") => ExecVerb::Start,
        ("POST", "resize") => ExecVerb::Resize,
        _ => return Err(RouteError::NotFound),
    };
    Ok(Route::Exec(decode(id), verb))
}

/// Names of images hold slashes: the verb is the last part.
fn image(method: &Method, parts: &[&str]) -> Result<Route, RouteError> {
    let (last, front) = parts.split_last().ok_or(RouteError::NotFound)?;
    let name = decode(&front.join("/"));
    match (method.as_str(), *last) {
        ("GET", "json") if !name.is_empty() => Ok(Route::ImageInspect(name)),
        ("GET", "history") if !name.is_empty() => Ok(Route::ImageHistory(name)),
        ("POST", "tag") if !name.is_empty() => Ok(Route::ImageTag(name)),
        ("POST", "push") if !name.is_empty() => Ok(Route::NotYet("pushing images")),
        ("POST", "prune") => Ok(Route::NotYet("pruning images")),
        ("POST", "load") | ("GET", "get") => Ok(Route::NotYet("saving and loading images")),
        ("GET", "search") => Ok(Route::NotYet("searching images")),
        ("DELETE", _) => Ok(Route::ImageRemove(decode(&parts.join("/")))),
        _ => Err(RouteError::NotFound),
    }
}

fn not_yet(parts: &[&str]) -> Result<Route, RouteError> {
    let what = match parts {
        ["networks", ..] => "networks beside bridge, host and none",
        ["volumes", ..] => "the volume API (volumes are made on first use)",
        ["build", ..] | ["session"] | ["grpc"] => "building images",
        ["commit"] => "making images from containers (commit)",
        ["system", "df"] => "disk usage (system df)",
        ["auth"] => "checking credentials; they are sent with each pull",
        ["swarm" | "nodes" | "services" | "tasks" | "secrets" | "configs", ..] => "swarm",
        ["plugins", ..] => "plugins",
        _ => return Err(RouteError::NotFound),
    };
    Ok(Route::NotYet(what))
}

fn strip_version(path: &str) -> Result<&str, RouteError> {
    let Some((version, rest)) = path.strip_prefix("/v").and_then(|p| p.split_once('/')) else {
        return Ok(path);
    };
    let Some((major, minor)) = version.split_once('.') else {
        return Ok(path);
    };
    let (Ok(major), Ok(minor)) = (major.parse::<u32>(), minor.parse::<u32>()) else {
        return Ok(path);
    };
    match (major, minor) {
        (0, _) => Err(RouteError::TooOld(version.to_owned())),
        (1, minor) if minor < OLDEST_MINOR => Err(RouteError::TooOld(version.to_owned())),
        (1, minor) if minor <= NEWEST_MINOR => Ok(rest),
        _ => Err(RouteError::TooNew(version.to_owned())),
    }
}

/// Percent-decoding; what is malformed stays as it is.
pub fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digits = text.get(at.saturating_add(1)..at.saturating_add(3));
        let decoded = digits
            .filter(|d| *byte == b'%' && d.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(decoded.unwrap_or(*byte));
        at = at.saturating_add(if decoded.is_some() { 3 } else { 1 });
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Result<Route, RouteError> {
        route(&Method::GET, path)
    }

    #[test]
    fn versions() {
        for path in ["/_ping", "/v1.24/_ping", "/v1.51/_ping", "/v1.99/_ping"] {
            assert_eq!(get(path), Ok(Route::Ping), "{path}");
        }
        assert_eq!(get("/v1.23/_ping"), Err(RouteError::TooOld("1.23".into())));
        assert_eq!(get("/v2.0/_ping"), Err(RouteError::TooNew("2.0".into())));
    }

    #[test]
    fn names_of_images_hold_slashes() {
        let name = "10.0.2.2:5000/demo/nginx:1".to_owned();
        let path = "/v1.41/images/10.0.2.2:5000/demo/nginx:1";
        assert_eq!(get(&format!("{path}/json")), Ok(Route::ImageInspect(name.clone())));
        assert_eq!(route(&Method::DELETE, path), Ok(Route::ImageRemove(name)));
    }

    #[test]
    fn methods_matter() {
        let start = Route::Container("web".into(), ContainerVerb::Start);
        assert_eq!(route(&Method::POST, "/containers/web/start"), Ok(start));
        assert_eq!(get("/containers/web/start"), Err(RouteError::NotFound));
        assert_eq!(get("/nowhere"), Err(RouteError::NotFound));
        assert!(matches!(get("/swarm"), Ok(Route::NotYet(_))));
    }

    #[test]
    fn percent_signs() {
        assert_eq!(decode("a%2Fb%3a"), "a/b:");
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%zz%4"), "%zz%4");
    }

    proptest::proptest! {
        #[test]
        fn never_panics(path in ".*") {
            let _ = get(&path);
        }
    }
}
