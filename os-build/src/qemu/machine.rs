//! A running machine. Dropping it ends the process; its directory with console and disks stays for the owner.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use thiserror::Error;

use super::arguments::MachineSpec;
use super::console::{Console, Tee, Waited};
use super::monitor::Monitor;

/// How long a freshly started QEMU may take to open its monitor.
const MONITOR_PATIENCE: Duration = Duration::from_secs(30);

/// What went wrong with a machine.
#[derive(Debug, Error)]
pub enum MachineError {
    /// QEMU could not be started.
    #[error("cannot start qemu-system-x86_64 (is the package qemu-system-x86 installed?)")]
    Start {
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// QEMU ended at once or does not answer.
    #[error("QEMU does not answer; it said: {said}")]
    Silent {
        /// Standard error of the process.
        said: String,
        /// The monitor's error.
        #[source]
        source: std::io::Error,
    },
    /// The console file could not be made.
    #[error("cannot write {}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// A text did not appear on the console.
    #[error("{expected:?} did not appear on the console: {what}. Last lines:\n{tail}")]
    Console {
        /// What was waited for.
        expected: String,
        /// Ended or timed out.
        what: &'static str,
        /// The end of the console.
        tail: String,
    },
    /// The monitor refused a command or was gone.
    #[error("monitor command {command} failed")]
    Monitor {
        /// The command.
        command: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The process could not be waited for, or did not end in time.
    #[error("the machine did not power off within {seconds} s. Last lines:\n{tail}")]
    NoEnd {
        /// Seconds waited.
        seconds: u64,
        /// The end of the console.
        tail: String,
    },
}

/// A QEMU process and the ways to it.
#[derive(Debug)]
pub struct Machine {
    child: Child,
    monitor: Monitor,
    console: Console,
    directory: PathBuf,
}

impl Machine {
    /// Starts a machine; `directory` takes `console.log`, `qemu.log` and the monitor's socket.
    ///
    /// # Errors
    /// QEMU is missing, refuses its arguments, or does not answer.
    pub fn start(spec: &MachineSpec, directory: &Path, tee: Option<Tee>) -> Result<Machine, MachineError> {
        let socket = directory.join("qmp");
        let _ = std::fs::remove_file(&socket);
        let said = directory.join("qemu.log");
        let log = |path: &Path| {
            let path = path.to_owned();
            move |source| MachineError::Log { path, source }
        };
        let complaints = File::create(&said).map_err(log(&said))?;
        let mut child = program(spec)
            .args(spec.arguments(&socket))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(complaints)
            // Ctrl-C is for the owner, who powers the machine off in order.
            .process_group(0)
            .spawn()
            .map_err(|source| MachineError::Start { source })?;
        let path = directory.join("console.log");
        let console = match child.stdout.take() {
            Some(output) => Console::read(output, &path, tee).map_err(log(&path)),
            None => Err(log(&path)(std::io::ErrorKind::BrokenPipe.into())),
        };
        let monitor = console.and_then(|console| {
            let monitor = Monitor::connect(&socket, MONITOR_PATIENCE).map_err(|source| MachineError::Silent {
                said: std::fs::read_to_string(&said).unwrap_or_default(),
                source,
            })?;
            Ok((console, monitor))
        });
        match monitor {
            Ok((console, monitor)) => Ok(Machine {
                child,
                monitor,
                console,
                directory: directory.to_owned(),
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// The console.
    #[must_use]
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// Where the machine's files are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Waits for a text on the console behind `from`; gives the position behind it.
    ///
    /// # Errors
    /// The text did not come, with the end of the console.
    pub fn wait_for(&self, from: usize, text: &str, patience: Duration) -> Result<usize, MachineError> {
        self.wait_for_any(from, &[text], patience).map(|(_, end)| end)
    }

    /// Waits for the first of several texts; gives its index and the position behind it.
    ///
    /// # Errors
    /// None came, with the end of the console.
    pub fn wait_for_any(
        &self,
        from: usize,
        texts: &[&str],
        patience: Duration,
    ) -> Result<(usize, usize), MachineError> {
        let what = match self.console.wait(from, texts, patience) {
            Waited::Found { which, end } => return Ok((which, end)),
            Waited::Closed => "the machine ended",
            Waited::TimedOut => "the time was up",
        };
        Err(MachineError::Console {
            expected: texts.join(" | "),
            what,
            tail: self.tail(),
        })
    }

    /// Types on the console.
    ///
    /// # Errors
    /// QEMU has ended.
    pub fn enter(&mut self, text: &str) -> std::io::Result<()> {
        match &mut self.child.stdin {
            Some(keyboard) => keyboard.write_all(text.as_bytes()),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Presses the power button.
    ///
    /// # Errors
    /// The machine is gone.
    pub fn press_power_button(&mut self) -> Result<(), MachineError> {
        self.command("system_powerdown")
    }

    /// Presses the reset button.
    ///
    /// # Errors
    /// The machine is gone.
    pub fn press_reset_button(&mut self) -> Result<(), MachineError> {
        self.command("system_reset")
    }

    /// Runs a monitor command without arguments.
    ///
    /// # Errors
    /// The machine is gone or refuses.
    pub fn command(&mut self, command: &'static str) -> Result<(), MachineError> {
        self.monitor
            .execute(command, None)
            .map(drop)
            .map_err(|source| MachineError::Monitor { command, source })
    }

    /// Runs a monitor command and gives what it returns.
    ///
    /// # Errors
    /// The machine is gone or refuses.
    pub fn query(
        &mut self,
        command: &'static str,
        arguments: serde_json::Value,
    ) -> Result<serde_json::Value, MachineError> {
        self.monitor
            .execute(command, Some(arguments))
            .map_err(|source| MachineError::Monitor { command, source })
    }

    /// Takes the power away: the process ends at once. Writes it had submitted stay on the disk file.
    pub fn cut_power(mut self) {
        self.end();
    }

    /// Waits for the machine to end by itself.
    ///
    /// # Errors
    /// It did not; it is then still running.
    pub fn wait_for_end(&mut self, patience: Duration) -> Result<ExitStatus, MachineError> {
        let deadline = Instant::now() + patience;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(50)),
                Ok(None) | Err(_) => {
                    return Err(MachineError::NoEnd {
                        seconds: patience.as_secs(),
                        tail: self.tail(),
                    });
                }
            }
        }
    }

    /// Powers off in order: the button is pressed until it is heard, since its driver may not be loaded yet.
    ///
    /// # Errors
    /// The guest did not end in time.
    pub fn power_off(mut self, patience: Duration) -> Result<ExitStatus, MachineError> {
        const AGAIN: Duration = Duration::from_secs(5);
        let deadline = Instant::now() + patience;
        loop {
            // A machine that is about to end no longer answers.
            let pressed = self.press_power_button();
            match self.wait_for_end(AGAIN) {
                Ok(status) => return Ok(status),
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => pressed?,
            }
        }
    }

    /// Processor seconds QEMU has used so far (user and system).
    #[must_use]
    pub fn cpu_seconds(&self) -> Option<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        parse_cpu_ticks(&stat).map(|ticks| ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Whether it has ended: nothing holds the console open any more.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.console.closed()
    }

    /// The last lines of the console.
    #[must_use]
    pub fn tail(&self) -> String {
        let text = self.console.text();
        let lines: Vec<&str> = text.lines().collect();
        lines
            .get(lines.len().saturating_sub(40)..)
            .unwrap_or_default()
            .join("\n")
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.end();
    }
}

/// QEMU, in the namespace the machine belongs to.
fn program(spec: &MachineSpec) -> Command {
    const QEMU: &str = "qemu-system-x86_64";
    let Some(namespace) = &spec.namespace else {
        return Command::new(QEMU);
    };
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, QEMU]);
    command
}

/// User and system ticks out of `/proc/PID/stat` (proc(5)); the command name may hold spaces and brackets.
fn parse_cpu_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::parse_cpu_ticks;

    #[test]
    fn ticks_are_read_behind_any_command_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 42 8 0 0 20 0 1 0 100 0 0";
        assert_eq!(parse_cpu_ticks(stat), Some(50));
        assert_eq!(parse_cpu_ticks("7 (x) S 1"), None);
        assert_eq!(parse_cpu_ticks(""), None);
    }
}
