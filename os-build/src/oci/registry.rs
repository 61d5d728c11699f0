//! A registry for one run: Debian's `docker-registry` on a free port of the loopback address, with a folder of its own,
//! ended with the value that stands for it.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use thiserror::Error;

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    port: u16,
}

/// Why there is no registry.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// The program is not there.
    #[error("cannot run docker-registry (package docker-registry)")]
    Start(#[source] io::Error),
    /// Its configuration cannot be written, or no port is free.
    #[error("cannot set up the registry")]
    Setup(#[source] io::Error),
    /// It ended or does not answer.
    #[error("the registry does not answer on port {port}; it said: {said}")]
    Silent {
        /// Port it should listen on.
        port: u16,
        /// Last line of its output.
        said: String,
    },
}

impl Registry {
    /// Starts one that keeps everything below `folder`, an empty folder.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub fn start(folder: &Path) -> Result<Registry, RegistryError> {
        let port = free_port().map_err(RegistryError::Setup)?;
        let settings = folder.join("registry.yml");
        std::fs::write(&settings, configuration(&folder.join("registry"), port)).map_err(RegistryError::Setup)?;
        let log = folder.join("registry.log");
        let output = std::fs::File::create(&log).map_err(RegistryError::Setup)?;
        let errors = output.try_clone().map_err(RegistryError::Setup)?;
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            // Ctrl-C is for us alone: the machine may still be pulling while it powers off.
            .process_group(0)
            .spawn()
            .map_err(RegistryError::Start)?;
        let mut registry = Registry { child, port };
        if registry.answers() {
            return Ok(registry);
        }
        let said = std::fs::read_to_string(&log)
            .unwrap_or_default()
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned();
        Err(RegistryError::Silent { port, said })
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    fn answers(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port nobody listens on at the moment.
///
/// # Errors
/// None is left.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Source: distribution 2.8, `docs/configuration.md`.
fn configuration(storage: &Path, port: u16) -> String {
    format!(
        "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
         http:\n  addr: 127.0.0.1:{port}\n",
        storage.display()
    )
}
