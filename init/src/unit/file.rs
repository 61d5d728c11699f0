//! TOML text → [`Unit`]. Strict: an unknown key is an error with its line; what contradicts itself is refused here and
//! not discovered at run time.

use std::path::Path;
use std::time::Duration;

use super::raw::{RawFile, RawResources, RawService, RawSocket};
use super::{Kill, Kind, Ready, Resources, Restart, Seccomp, Service, Signal, Socket, StartLimit, Stdout, Unit};

/// Largest unit file that is read, in bytes.
pub const MOST_BYTES: usize = 64 * 1024;
const MOST_SOCKETS: usize = 16;
const MOST_TEXT: usize = 200;

/// Why a unit file was refused.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// Not TOML, an unknown key, or a value of the wrong type; the source names line and column.
    #[error("not a unit file")]
    Syntax {
        /// Line, column and excerpt.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// Larger than [`MOST_BYTES`].
    #[error("larger than {MOST_BYTES} bytes")]
    TooLarge,
    /// Written for another version.
    #[error("schema = {schema}, this release reads schema = 1")]
    Schema {
        /// What the file says.
        schema: i64,
    },
    /// Name with other characters than lower-case letters, digits and dashes, or too long.
    #[error("unit name {name:?} must be 1 to 48 lower-case letters, digits and dashes")]
    Name {
        /// The name.
        name: String,
    },
    /// A value that makes no sense.
    #[error("{key}: {problem}")]
    Value {
        /// Path of the key.
        key: &'static str,
        /// What is wrong and how to cure it.
        problem: &'static str,
    },
}

/// Parses the unit file of unit `name`.
///
/// # Errors
/// [`UnitError`]; the rest of the machine's units are not affected.
pub fn parse(name: &str, text: &str) -> Result<Unit, UnitError> {
    if text.len() > MOST_BYTES {
        return Err(UnitError::TooLarge);
    }
    if !is_name(name) {
        return Err(UnitError::Name { name: name.to_owned() });
    }
    let raw: RawFile = toml::from_str(text).map_err(|source| UnitError::Syntax {
        source: Box::new(source),
    })?;
    if raw.schema != 1 {
        return Err(UnitError::Schema { schema: raw.schema });
    }
    let kind = raw.unit.kind;
    let unit = Unit {
        name: name.to_owned(),
        description: raw.unit.description,
        kind,
        boot: raw.unit.boot.unwrap_or(true),
        requires: raw.unit.requires,
        wants: raw.unit.wants,
        after: raw.unit.after,
        service: raw.service.map(|service| fill_service(kind, service)),
        resources: fill_resources(&raw.resources),
        sockets: raw.socket.into_iter().map(fill_socket).collect(),
    };
    check(&unit)?;
    Ok(unit)
}

/// Whether `name` may be a unit's name; it becomes a file and a control group.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=48).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with('-')
}

fn fill_service(kind: Kind, raw: RawService) -> Service {
    let oneshot = kind == Kind::Oneshot;
    let restart_delay = raw.restart_delay.unwrap_or(Duration::from_millis(100));
    Service {
        exec: raw.exec,
        condition_directory_not_empty: raw.condition_directory_not_empty,
        ready: raw.ready.unwrap_or(if oneshot { Ready::Exit } else { Ready::Exec }),
        restart: raw
            .restart
            .unwrap_or(if oneshot { Restart::Never } else { Restart::OnFailure }),
        restart_delay,
        restart_delay_max: raw
            .restart_delay_max
            .unwrap_or(Duration::from_secs(30))
            .max(restart_delay),
        start_limit: raw.start_limit.unwrap_or(StartLimit {
            burst: 5,
            interval: Duration::from_secs(60),
        }),
        start_timeout: raw.start_timeout.unwrap_or(Duration::from_secs(90)),
        stop_timeout: raw.stop_timeout.unwrap_or(Duration::from_secs(10)),
        stop_signal: raw.stop_signal.unwrap_or(Signal(15)),
        kill: raw.kill.unwrap_or(Kill::Group),
        watchdog: raw.watchdog,
        user: raw.user.unwrap_or_else(|| "root".to_owned()),
        groups: raw.groups,
        capabilities: raw.capabilities,
        no_new_privs: raw.no_new_privs.unwrap_or(true),
        seccomp: raw.seccomp.unwrap_or(Seccomp::None),
        environment: raw.environment,
        stdout: raw.stdout.unwrap_or(Stdout::Journal),
        delegate: raw.delegate,
        control: raw.control,
    }
}

fn fill_resources(raw: &RawResources) -> Resources {
    Resources {
        memory_min: raw.memory_min,
        memory_max: raw.memory_max,
        pids_max: raw.pids_max,
        cpu_weight: raw.cpu_weight,
        oom_score_adj: raw.oom_score_adj,
    }
}

fn fill_socket(raw: RawSocket) -> Socket {
    Socket {
        name: raw.name,
        kind: raw.kind,
        path: raw.path,
        mode: raw.mode.unwrap_or(0o600),
        owner: raw.owner.unwrap_or_else(|| "root:root".to_owned()),
        pass_credentials: raw.pass_credentials,
        receive_buffer: raw.receive_buffer,
        starts: raw.starts,
    }
}

fn check(unit: &Unit) -> Result<(), UnitError> {
    ensure(
        "unit.description",
        unit.description.len() <= MOST_TEXT,
        "at most 200 bytes",
    )?;
    let names = unit.requires.iter().chain(&unit.wants).chain(&unit.after);
    ensure(
        "unit",
        names.clone().all(|name| is_name(name)),
        "a named unit has an impossible name",
    )?;
    ensure(
        "unit",
        names.clone().all(|name| *name != unit.name),
        "a unit cannot name itself",
    )?;
    match (&unit.service, unit.kind) {
        (None, Kind::Target) => ensure("socket", unit.sockets.is_empty(), "a target has no sockets"),
        (Some(_), Kind::Target) => ensure("service", false, "a target runs nothing; remove the table"),
        (None, _) => ensure("service", false, "missing; a service or oneshot needs service.exec"),
        (Some(service), _) => check_service(unit, service),
    }
}

/// Who knocks may start the unit, not others with it: they would start without a limit.
fn check_called(unit: &Unit) -> Result<(), UnitError> {
    let called = unit.sockets.iter().any(|socket| socket.starts);
    let alone = unit.requires.is_empty() && unit.wants.is_empty() && !unit.boot;
    ensure(
        "socket.starts",
        !called || alone,
        "needs boot = false and neither requires nor wants",
    )
}

fn check_service(unit: &Unit, service: &Service) -> Result<(), UnitError> {
    let program = service.exec.first().map(String::as_str).unwrap_or_default();
    ensure(
        "service.exec",
        Path::new(program).is_absolute(),
        "must begin with an absolute path",
    )?;
    ensure(
        "service.exec",
        service.exec.iter().all(|word| !word.contains('\0')),
        "no NUL bytes",
    )?;
    let condition = service.condition_directory_not_empty.as_deref();
    ensure(
        "service.condition-directory-not-empty",
        condition.is_none_or(Path::is_absolute),
        "must be an absolute path",
    )?;
    ensure(
        "service.condition-directory-not-empty",
        condition.is_none() || service.restart != Restart::Always,
        "what may rest is never restarted always",
    )?;
    let oneshot = unit.kind == Kind::Oneshot;
    ensure(
        "service.ready",
        (service.ready == Ready::Exit) == oneshot,
        "\"exit\" is for oneshots, and only that",
    )?;
    ensure(
        "service.restart",
        !(oneshot && service.restart == Restart::Always),
        "a oneshot is never restarted always",
    )?;
    ensure(
        "service.start-limit",
        service.start_limit.burst > 0,
        "burst must be at least 1",
    )?;
    let watchdog = service.watchdog.unwrap_or(Duration::from_secs(1));
    ensure("service.watchdog", !watchdog.is_zero(), "must be longer than nothing")?;
    ensure(
        "service.watchdog",
        !(oneshot && service.watchdog.is_some()),
        "a oneshot has no watchdog",
    )?;
    let filtered = service.seccomp != Seccomp::None;
    ensure(
        "service.seccomp",
        service.no_new_privs || !filtered,
        "a filter needs no-new-privs = true",
    )?;
    let known = |name: &String| keelson_sys::capability::NAMES.contains(&name.as_str());
    let capabilities = service.capabilities.as_deref().unwrap_or_default();
    ensure(
        "service.capabilities",
        capabilities.iter().all(known),
        "unknown capability; write them as CAP_NET_ADMIN",
    )?;
    let variables = service.environment.iter();
    let well_formed =
        |(key, value): (&String, &String)| !key.is_empty() && !key.contains(['=', '\0']) && !value.contains('\0');
    ensure(
        "service.environment",
        variables.into_iter().all(well_formed),
        "impossible variable name",
    )?;
    check_resources(&unit.resources)?;
    check_called(unit)?;
    check_sockets(&unit.sockets)
}

fn check_resources(resources: &Resources) -> Result<(), UnitError> {
    let weight = resources.cpu_weight.unwrap_or(100);
    ensure(
        "resources.cpu-weight",
        (1..=10_000).contains(&weight),
        "must be 1 to 10000",
    )?;
    let score = resources.oom_score_adj.unwrap_or(0);
    ensure(
        "resources.oom-score-adj",
        (-1000..=1000).contains(&score),
        "must be -1000 to 1000",
    )?;
    let (min, max) = (
        resources.memory_min.unwrap_or(0),
        resources.memory_max.unwrap_or(u64::MAX),
    );
    ensure("resources.memory-min", min <= max, "is larger than memory-max")
}

fn check_sockets(sockets: &[Socket]) -> Result<(), UnitError> {
    ensure("socket", sockets.len() <= MOST_SOCKETS, "at most 16 sockets")?;
    for (index, socket) in sockets.iter().enumerate() {
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b':';
        ensure(
            "socket.name",
            !socket.name.is_empty() && socket.name.bytes().all(plain),
            "empty or with \":\"",
        )?;
        let path = Path::new(&socket.path);
        ensure(
            "socket.path",
            path.is_absolute() && socket.path.len() < 108,
            "must be absolute, under 108 bytes",
        )?;
        ensure(
            "socket.owner",
            socket.owner.split(':').count() == 2,
            "must be \"user:group\"",
        )?;
        let before = sockets.get(..index).unwrap_or_default();
        let unique = before
            .iter()
            .all(|other| other.name != socket.name && other.path != socket.path);
        ensure("socket", unique, "two sockets have the same name or path")?;
    }
    Ok(())
}

fn ensure(key: &'static str, holds: bool, problem: &'static str) -> Result<(), UnitError> {
    if holds {
        Ok(())
    } else {
        Err(UnitError::Value { key, problem })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::SocketKind;

    const FULL: &str = r#"
schema = 1
[unit]
description = "Journal"
kind = "service"
requires = ["x"]
wants = ["y"]
after = ["z"]
[service]
exec = ["/usr/bin/keelson-journald"]
condition-directory-not-empty = "/run/keelson"
ready = "notify"
restart = "on-failure"
restart-delay = "100ms"
restart-delay-max = "30s"
start-limit = { burst = 5, interval = "60s" }
start-timeout = "30s"
stop-timeout = "10s"
stop-signal = "SIGTERM"
kill = "group"
watchdog = "30s"
user = "journal"
groups = ["engine"]
capabilities = ["CAP_SYSLOG"]
no-new-privs = true
seccomp = "service"
environment = { RUST_LOG = "info" }
stdout = "journal"
delegate = true
[resources]
memory-min = "8M"
memory-max = "64M"
pids-max = 64
cpu-weight = 100
oom-score-adj = -900
[[socket]]
name = "native"
kind = "datagram"
path = "/run/systemd/journal/socket"
mode = "0666"
owner = "root:root"
pass-credentials = true
receive-buffer = "8M"
starts = false
"#;

    fn message(text: &str) -> String {
        let mut error: &dyn std::error::Error = &parse("x1", text).unwrap_err();
        let mut out = error.to_string();
        while let Some(source) = error.source() {
            out = format!("{out}: {source}");
            error = source;
        }
        out
    }

    #[test]
    fn reads_every_key() {
        let unit = parse("journald", FULL).unwrap();
        let service = unit.service.unwrap();
        assert_eq!(unit.requires, ["x"]);
        assert_eq!(service.ready, Ready::Notify);
        assert_eq!(service.restart_delay, Duration::from_millis(100));
        assert_eq!(service.start_limit.interval, Duration::from_secs(60));
        assert_eq!(service.watchdog, Some(Duration::from_secs(30)));
        assert_eq!(unit.resources.memory_max, Some(64 << 20));
        assert_eq!(unit.resources.oom_score_adj, Some(-900));
        assert_eq!(unit.sockets[0].kind, SocketKind::Datagram);
        assert_eq!(unit.sockets[0].mode, 0o666);
        assert_eq!(unit.sockets[0].receive_buffer, Some(8 << 20));
    }

    #[test]
    fn small_files_get_defaults() {
        let text = "schema = 1\n[unit]\ndescription = \"d\"\nkind = \"oneshot\"\n[service]\nexec = [\"/bin/true\"]\n";
        let service = parse("d", text).unwrap().service.unwrap();
        assert_eq!((service.ready, service.restart), (Ready::Exit, Restart::Never));
        assert!(service.no_new_privs);
        assert_eq!(service.user, "root");
    }

    #[test]
    fn mistakes_name_their_line() {
        let unknown = FULL.replace("kill = \"group\"", "kil = \"group\"");
        let text = message(&unknown);
        assert!(text.contains("line 20") && text.contains("kil"), "{text}");
        let duration = message(&FULL.replace("\"100ms\"", "\"100\""));
        assert!(
            duration.contains("line 14") && duration.contains("duration"),
            "{duration}"
        );
        let schema = message(&FULL.replace("schema = 1", "schema = 2"));
        assert!(schema.contains("schema = 2"), "{schema}");
    }

    #[test]
    fn contradictions_are_refused() {
        for (from, to, expected) in [
            ("exec = [\"/usr", "exec = [\"usr", "absolute"),
            ("\"/run/keelson\"", "\"run\"", "absolute path"),
            ("\"on-failure\"", "\"always\"", "may rest"),
            ("kind = \"service\"", "kind = \"target\"", "a target runs nothing"),
            ("kind = \"service\"", "kind = \"oneshot\"", "oneshots"),
            ("ready = \"notify\"", "ready = \"exit\"", "oneshots"),
            ("no-new-privs = true", "no-new-privs = false", "filter needs"),
            ("CAP_SYSLOG", "CAP_MAGIC", "unknown capability"),
            ("memory-min = \"8M\"", "memory-min = \"80M\"", "larger than memory-max"),
            ("requires = [\"x\"]", "requires = [\"x1\"]", "cannot name itself"),
            ("requires = [\"x\"]", "requires = [\"../x\"]", "impossible name"),
            ("owner = \"root:root\"", "owner = \"root\"", "user:group"),
            ("burst = 5", "burst = 0", "at least 1"),
            ("starts = false", "starts = true", "needs boot = false"),
        ] {
            assert!(FULL.contains(from));
            let text = message(&FULL.replace(from, to));
            assert!(text.contains(expected), "{to}: {text}");
        }
    }

    #[test]
    fn names_cannot_leave_their_folder() {
        for (name, valid) in [
            ("netd", true),
            ("a-1", true),
            ("", false),
            ("..", false),
            ("a/b", false),
            ("A", false),
            ("-a", false),
        ] {
            assert_eq!(is_name(name), valid, "{name}");
        }
    }
}
