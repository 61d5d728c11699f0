//! Carrying out a plan on a channel: a text, a program, the engine's socket.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};

use keelson_access::command::OPERATOR;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc::UnboundedReceiver;

use super::output::{Output, Stream};
use crate::inflow::Inflow;
use crate::request::Plan;
use crate::server::Places;

/// Exit code when something of ours fails.
const FAILED: u32 = 4;

/// What a plan is carried out with. Dropping it ends everything it started.
#[derive(Debug)]
pub struct Service {
    /// What goes to the client.
    pub output: Output,
    /// What comes from it.
    pub inflow: Inflow,
    /// Signals the client sends.
    pub signals: UnboundedReceiver<Signal>,
    /// Programs and sockets.
    pub places: Places,
    /// Who asks.
    pub user: String,
}

impl Service {
    /// Carries out a plan and ends the channel.
    pub async fn carry_out(self, plan: Plan) {
        let code = match plan {
            Plan::Say(text) => self.tell(Stream::Output, &text, 0).await,
            Plan::Refuse { message, code } => self.tell(Stream::Error, &message, code).await,
            Plan::Run(words) => return self.run(&words).await,
            Plan::Engine => match UnixStream::connect(&self.places.engine).await {
                Ok(socket) => {
                    join_socket(socket, &self.inflow, &self.output).await;
                    0
                }
                Err(error) => {
                    self.fail(&format!("the container engine does not answer: {error}"))
                        .await
                }
            },
        };
        self.output.finish(Some(code)).await;
    }

    /// Counts as running until the client has been told the end.
    async fn run(mut self, words: &[String]) {
        let _counted = self.places.running.start();
        let code = match self.start(words) {
            Ok(child) => self.attend(child).await,
            Err(error) => self.fail(&format!("cannot start: {error}")).await,
        };
        self.output.finish(Some(code)).await;
    }

    async fn tell(&self, stream: Stream, text: &str, code: u32) -> u32 {
        self.inflow.refuse();
        self.output.say(stream, text).await;
        code
    }

    async fn fail(&self, reason: &str) -> u32 {
        log::warn!(user = self.user.as_str(); "{reason}");
        self.tell(Stream::Error, &format!("keelson: {reason}\n"), FAILED).await
    }

    fn start(&self, words: &[String]) -> std::io::Result<Child> {
        Command::new(&self.places.program)
            .args(words)
            .env_clear()
            .env(OPERATOR, &self.user)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }

    /// Joins a program with the channel until it has ended and everything it said is on its way.
    async fn attend(&mut self, mut child: Child) -> u32 {
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            return FAILED;
        };
        let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let feed = async {
            while let Some(bytes) = self.inflow.take().await {
                if stdin.write_all(&bytes).await.is_err() {
                    break;
                }
            }
            self.inflow.refuse();
            drop(stdin);
            std::future::pending::<()>().await;
        };
        let forward = async {
            // The program is reaped below, in this same task: the number is still its own.
            while let (Some(pid), Some(signal)) = (pid, self.signals.recv().await) {
                let _ = kill_process(pid, signal);
            }
            std::future::pending::<()>().await;
        };
        let answer = async {
            tokio::join!(
                self.output.copy(Stream::Output, stdout),
                self.output.copy(Stream::Error, stderr)
            );
            child.wait().await
        };
        tokio::select! {
            status = answer => status.map_or(FAILED, code),
            () = feed => FAILED,
            () = forward => FAILED,
        }
    }
}

/// As a shell reports it: 128 and the signal for a program that a signal ended.
fn code(status: ExitStatus) -> u32 {
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    code.and_then(|code| u32::try_from(code).ok()).unwrap_or(FAILED)
}

/// Joins a socket with a channel. The client's end closes the socket's writing side only: an answer may still come. The
/// socket's end is the end.
pub async fn join_socket(mut socket: UnixStream, inflow: &Inflow, output: &Output) {
    let (from, mut to) = socket.split();
    let up = async {
        while let Some(bytes) = inflow.take().await {
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
        inflow.refuse();
        let _ = to.shutdown().await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = output.copy(Stream::Output, from) => {}
        () = up => {}
    }
}
