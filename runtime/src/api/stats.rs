//! `docker stats`: what a container uses, once or every second.

use std::path::Path;
use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::App;
use super::query::Query;
use super::reply::{Reply, ok, reply, stream};
use super::time::{rfc3339, rfc3339_or_zero};
use crate::engine::action::Action;
use crate::engine::error::EngineError;
use crate::engine::record::ContainerRecord;
use crate::procfs::{keyed, parse_io, parse_links, parse_machine, single, text};

/// Between two samples; clients zero a row after two seconds of silence.
const EVERY: Duration = Duration::from_secs(1);

impl App {
    pub(super) async fn container_stats(&self, name: String, query: &Query) -> Result<Reply, EngineError> {
        let record = self.record(name).await?;
        let streams = query.get("stream").is_none() || query.flag("stream");
        if !streams {
            let first = if query.flag("one-shot") {
                None
            } else {
                self.sample(&record)
            };
            if first.is_some() {
                tokio::time::sleep(EVERY).await;
            }
            return Ok(ok(&view(&record, first.as_ref(), self.sample(&record).as_ref())));
        }
        let (sender, body) = stream();
        let app = self.clone();
        tokio::spawn(async move {
            let mut before: Option<Sample> = None;
            let mut record = record;
            loop {
                let now = app.sample(&record);
                let line = format!("{}\n", view(&record, before.as_ref(), now.as_ref()));
                if sender.send(line.into()).await.is_err() {
                    return;
                }
                before = now;
                tokio::select! {
                    () = tokio::time::sleep(EVERY) => {}
                    () = sender.closed() => return,
                }
                let container = record.id.to_string();
                // It may stop, start again, or go.
                match app.engine.ask(|reply| Action::Inspect { container, reply }).await {
                    Ok(found) => record = *found,
                    Err(_) => return,
                }
            }
        });
        Ok(reply(StatusCode::OK, "application/json", body))
    }

    fn sample(&self, record: &ContainerRecord) -> Option<Sample> {
        let pid = record.state.pid?;
        Some(Sample::take(&self.world.payload_group(&record.id), pid))
    }
}

/// What a container has used until a moment.
#[derive(Debug, Clone)]
struct Sample {
    at: Timestamp,
    cpu: Value,
    memory: Value,
    pids: Value,
    blocks: Value,
    networks: Value,
}

impl Sample {
    fn take(group: &Path, pid: u32) -> Sample {
        let file = |name: &str| group.join(name);
        Sample {
            at: Timestamp::now(),
            cpu: cpu(group),
            memory: memory(group),
            pids: json!({
                "current": single(&file("pids.current")).unwrap_or_default(),
                "limit": single(&file("pids.max")).unwrap_or(u64::MAX),
            }),
            blocks: blocks(&text(&file("io.stat"))),
            networks: networks(&text(Path::new(&format!("/proc/{pid}/net/dev")))),
        }
    }
}

/// Microseconds become nanoseconds.
fn cpu(group: &Path) -> Value {
    let counts = keyed(&group.join("cpu.stat"));
    let of = |key: &str| counts.get(key).copied().unwrap_or_default();
    let nanoseconds = |key: &str| of(key).saturating_mul(1000);
    let (machine, processors) = parse_machine(&text(Path::new("/proc/stat")));
    json!({
        "cpu_usage": {
            "total_usage": nanoseconds("usage_usec"),
            "usage_in_kernelmode": nanoseconds("system_usec"),
            "usage_in_usermode": nanoseconds("user_usec"),
        },
        "system_cpu_usage": machine,
        "online_cpus": processors,
        "throttling_data": {
            "periods": of("nr_periods"),
            "throttled_periods": of("nr_throttled"),
            "throttled_time": nanoseconds("throttled_usec"),
        },
    })
}

fn memory(group: &Path) -> Value {
    let used = single(&group.join("memory.current")).unwrap_or_default();
    let total = text(Path::new("/proc/meminfo"))
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .trim()
                .strip_suffix(" kB")?
                .trim()
                .parse::<u64>()
                .ok()
        })
        .map_or(u64::MAX, |kilobytes| kilobytes.saturating_mul(1024));
    let limit = single(&group.join("memory.max")).unwrap_or(u64::MAX).min(total);
    json!({"usage": used, "stats": keyed(&group.join("memory.stat")), "limit": limit})
}

fn blocks(io: &str) -> Value {
    let entries = |keys: [(&str, &str); 2]| -> Vec<Value> {
        let devices = parse_io(io);
        let of = |device: &crate::procfs::DeviceUse| {
            keys.map(|(key, operation)| {
                let (major, minor) = device.device;
                let value = device.counts.get(key).copied().unwrap_or_default();
                json!({"major": major, "minor": minor, "op": operation, "value": value})
            })
        };
        devices.iter().flat_map(of).collect()
    };
    json!({
        "io_service_bytes_recursive": entries([("rbytes", "read"), ("wbytes", "write")]),
        "io_serviced_recursive": entries([("rios", "read"), ("wios", "write")]),
        "io_queue_recursive": null,
        "io_service_time_recursive": null,
        "io_wait_time_recursive": null,
        "io_merged_recursive": null,
        "io_time_recursive": null,
        "sectors_recursive": null,
    })
}

fn networks(links: &str) -> Value {
    let links = parse_links(links).into_iter().map(|link| {
        let [rx_bytes, rx_packets, rx_errors, rx_dropped] = link.received;
        let [tx_bytes, tx_packets, tx_errors, tx_dropped] = link.sent;
        let counts = json!({
            "rx_bytes": rx_bytes, "rx_packets": rx_packets, "rx_errors": rx_errors, "rx_dropped": rx_dropped,
            "tx_bytes": tx_bytes, "tx_packets": tx_packets, "tx_errors": tx_errors, "tx_dropped": tx_dropped,
        });
        (link.name, counts)
    });
    Value::Object(links.collect::<Map<String, Value>>())
}

/// The record of one moment; a container that does not run has no figures.
fn view(record: &ContainerRecord, before: Option<&Sample>, now: Option<&Sample>) -> Value {
    let (id, name) = (record.id.as_str(), format!("/{}", record.name));
    let empty_cpu = json!({
        "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
    });
    let preread = rfc3339_or_zero(before.map(|sample| sample.at));
    let precpu = before.map_or_else(|| empty_cpu.clone(), |sample| sample.cpu.clone());
    let Some(now) = now else {
        return json!({
            "id": id, "name": name, "read": rfc3339_or_zero(None), "preread": preread, "pids_stats": {},
            "blkio_stats": {}, "num_procs": 0, "storage_stats": {}, "cpu_stats": empty_cpu, "precpu_stats": empty_cpu,
            "memory_stats": {},
        });
    };
    let mut view = json!({
        "id": id, "name": name, "read": rfc3339(now.at), "preread": preread, "pids_stats": now.pids,
        "blkio_stats": now.blocks, "num_procs": 0, "storage_stats": {}, "cpu_stats": now.cpu, "precpu_stats": precpu,
        "memory_stats": now.memory,
    });
    if let (Value::Object(map), true) = (
        &mut view,
        now.networks.as_object().is_some_and(|links| !links.is_empty()),
    ) {
        map.insert("networks".to_owned(), now.networks.clone());
    }
    view
}
