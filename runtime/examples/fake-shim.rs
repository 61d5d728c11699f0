//! A shim without a container, for tests of the engine: speaks the protocol, keeps the files, and
//! plays the "program" that the container's command line names:
//!
//! `run` runs until it is killed; `exit N` ends at once; `say TEXT` writes a line and runs; `stubborn`
//! ignores SIGTERM; `missing` cannot be started.

use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use keelson_shim_api::config::{CONFIG_FILE, LogLine, LogStream};
use keelson_shim_api::{
    Channel, ExitRecord, Failure, FailureKind, Hello, LaunchReport, Outcome, Packet, Phase, Request, RequestBody,
    ShimConfig, ShimState,
};

struct Container {
    config: ShimConfig,
    args: Vec<String>,
    state: Mutex<(Phase, Option<ExitRecord>, u64)>,
    ended: Condvar,
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or_default()
}

impl Container {
    fn say(&self, text: &str) {
        let Some(path) = &self.config.log.file else { return };
        let line = LogLine {
            time: now(),
            stream: LogStream::Stdout,
            text: format!("{text}\n"),
        };
        let Ok(mut file) = fs::File::options().create(true).append(true).open(path) else {
            return;
        };
        let _ = writeln!(file, "{}", serde_json::to_string(&line).unwrap_or_default());
    }

    fn end(&self, code: i32, signal: Option<i32>) {
        let Ok(mut state) = self.state.lock() else { return };
        if state.1.is_none() {
            let mut exit = ExitRecord::new(signal.is_none().then_some(code), signal, now());
            exit.started_at = Some(state.2);
            let text = serde_json::to_vec(&exit).unwrap_or_default();
            let _ = keelson_durable::replace(&self.config.exit_file, &text, 0o600);
            *state = (Phase::Stopped, Some(exit), state.2);
        }
        self.ended.notify_all();
    }

    fn start(&self) -> Outcome {
        let word = |at: usize| self.args.get(at).map(String::as_str).unwrap_or_default();
        if word(0) == "missing" {
            let message = "find program missing: executable file not found in $PATH".to_owned();
            return Outcome::Failed {
                failure: Failure {
                    kind: FailureKind::NotFound,
                    message,
                },
            };
        }
        if let Ok(mut state) = self.state.lock() {
            *state = (Phase::Running, None, now());
        }
        match word(0) {
            "exit" => self.end(word(1).parse().unwrap_or_default(), None),
            "say" => self.say(word(1)),
            _ => {}
        }
        Outcome::Done
    }

    fn answer(&self, body: &RequestBody) -> Outcome {
        match body {
            RequestBody::Start => self.start(),
            RequestBody::Kill { signal, .. } => {
                let stubborn = self.args.first().is_some_and(|arg| arg == "stubborn");
                if *signal == 9 || (*signal == 15 && !stubborn) {
                    self.end(0, Some(*signal));
                }
                Outcome::Done
            }
            RequestBody::State => self.describe(),
            RequestBody::Wait { .. } => self.wait(),
            _ => Outcome::Done,
        }
    }

    fn describe(&self) -> Outcome {
        let Ok(state) = self.state.lock() else {
            return Outcome::Done;
        };
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        Outcome::State {
            state: ShimState {
                id: self.config.id.clone(),
                phase: state.0,
                pid: own,
                shim_pid: own,
                cgroup: String::new(),
                started_at: Some(state.2),
                exit: state.1.clone(),
                execs: Default::default(),
            },
        }
    }

    fn wait(&self) -> Outcome {
        let Ok(state) = self.state.lock() else {
            return Outcome::Done;
        };
        match self.ended.wait_while(state, |state| state.1.is_none()) {
            Ok(state) => match state.1.clone() {
                Some(exit) => Outcome::Exited { exit },
                None => Outcome::Done,
            },
            Err(_) => Outcome::Done,
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let bundle = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: fake-shim BUNDLE")?);
    let read = |name: &str| fs::read(bundle.join(name));
    let config: ShimConfig = serde_json::from_slice(&read(CONFIG_FILE)?)?;
    let spec: serde_json::Value = serde_json::from_slice(&read("config.json")?)?;
    let args: Vec<String> = serde_json::from_value(spec["process"]["args"].clone())?;
    let listener = UnixListener::bind(&config.socket)?;
    let own = i32::try_from(std::process::id())?;
    let report = LaunchReport::Created {
        pid: own,
        shim_pid: own,
    };
    let mut out = std::io::stdout();
    writeln!(out, "{}", serde_json::to_string(&report)?)?;
    out.flush()?;
    // Standard output closes for the engine when this process's copy does.
    let null = fs::File::options().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&null)?;
    let state = Mutex::new((Phase::Created, None, 0));
    let container = Arc::new(Container {
        config,
        args,
        state,
        ended: Condvar::new(),
    });
    for stream in listener.incoming() {
        let (stream, container) = (stream?, Arc::clone(&container));
        std::thread::spawn(move || serve(stream, &container));
    }
    Ok(())
}

#[expect(clippy::exit, reason = "a shim ends with its container, whatever its threads do")]
fn serve(stream: UnixStream, container: &Arc<Container>) {
    let Ok(writer) = stream.try_clone() else { return };
    let writer = Arc::new(Mutex::new(Channel::new(writer)));
    let mut reader = Channel::new(stream);
    if let Ok(mut writer) = writer.lock() {
        let _ = writer.send(&Hello::ours(), &[]);
    }
    let Ok(_) = reader.receive::<Hello>() else { return };
    while let Ok(Request { id, body }) = reader.receive::<Request>() {
        let (container, writer) = (Arc::clone(container), Arc::clone(&writer));
        std::thread::spawn(move || {
            let outcome = container.answer(&body);
            if let Ok(mut writer) = writer.lock() {
                let _ = writer.send(&Packet::Outcome { id, fds: 0, outcome }, &[]);
            }
            if matches!(body, RequestBody::Delete { .. }) {
                remove_socket(&container.config.socket);
                std::process::exit(0);
            }
        });
    }
}

fn remove_socket(path: &Path) {
    let _ = fs::remove_file(path);
}
