//! The shape of a unit file as it is written: every key, none other, so that the parser can point at the line of a
//! mistake. No defaults are decided here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use super::{Kill, Ready, Restart, Seccomp, Signal, SocketKind, StartLimit, Stdout, value};
use keelson_manager_api::Kind;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFile {
    pub schema: i64,
    pub unit: RawUnit,
    pub service: Option<RawService>,
    #[serde(default)]
    pub resources: RawResources,
    #[serde(default)]
    pub socket: Vec<RawSocket>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUnit {
    pub description: String,
    pub kind: Kind,
    pub boot: Option<bool>,
    #[serde(default)]
    pub requires: Vec<String>,
    #[serde(default)]
    pub wants: Vec<String>,
    #[serde(default)]
    pub after: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawService {
    pub exec: Vec<String>,
    pub condition_directory_not_empty: Option<PathBuf>,
    pub ready: Option<Ready>,
    pub restart: Option<Restart>,
    #[serde(default, deserialize_with = "duration")]
    pub restart_delay: Option<Duration>,
    #[serde(default, deserialize_with = "duration")]
    pub restart_delay_max: Option<Duration>,
    pub start_limit: Option<StartLimit>,
    #[serde(default, deserialize_with = "duration")]
    pub start_timeout: Option<Duration>,
    #[serde(default, deserialize_with = "duration")]
    pub stop_timeout: Option<Duration>,
    #[serde(default, deserialize_with = "signal")]
    pub stop_signal: Option<Signal>,
    pub kill: Option<Kill>,
    #[serde(default, deserialize_with = "duration")]
    pub watchdog: Option<Duration>,
    pub user: Option<String>,
    #[serde(default)]
    pub groups: Vec<String>,
    pub capabilities: Option<Vec<String>>,
    pub no_new_privs: Option<bool>,
    pub seccomp: Option<Seccomp>,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    pub stdout: Option<Stdout>,
    #[serde(default)]
    pub delegate: bool,
    #[serde(default)]
    pub control: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawResources {
    #[serde(default, deserialize_with = "size")]
    pub memory_min: Option<u64>,
    #[serde(default, deserialize_with = "size")]
    pub memory_max: Option<u64>,
    pub pids_max: Option<u32>,
    pub cpu_weight: Option<u32>,
    pub oom_score_adj: Option<i16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawSocket {
    pub name: String,
    pub kind: SocketKind,
    pub path: String,
    #[serde(default, deserialize_with = "mode")]
    pub mode: Option<u32>,
    pub owner: Option<String>,
    #[serde(default)]
    pub pass_credentials: bool,
    #[serde(default, deserialize_with = "size")]
    pub receive_buffer: Option<u64>,
    #[serde(default)]
    pub starts: bool,
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    text(deserializer, value::parse_duration)
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    text(deserializer, value::parse_size)
}

fn mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    text(deserializer, value::parse_mode)
}

fn signal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Signal>, D::Error> {
    text(deserializer, |text| value::parse_signal(text).map(Signal))
}

fn text<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    parse: fn(&str) -> Result<T, value::ValueError>,
) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map(Some).map_err(de::Error::custom)
}
