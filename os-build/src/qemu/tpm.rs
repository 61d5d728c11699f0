//! A software TPM (`swtpm`) for one machine: its state in a folder, its socket for QEMU. It ends with the machine.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long it may take to make its socket.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running TPM. Dropping it ends the process; what it holds stays in its folder.
#[derive(Debug)]
pub struct Tpm {
    child: Child,
    socket: PathBuf,
}

impl Tpm {
    /// Starts a TPM whose state is kept in `folder`, which is made if missing.
    ///
    /// # Errors
    /// The program is missing (package swtpm) or does not start.
    pub fn start(folder: &Path) -> io::Result<Tpm> {
        std::fs::create_dir_all(folder)?;
        let socket = folder.join("socket");
        let _ = std::fs::remove_file(&socket);
        let child = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "startup-clear", "--terminate"])
            .arg("--tpmstate")
            .arg(format!("dir={}", folder.display()))
            .arg("--ctrl")
            .arg(format!("type=unixio,path={}", socket.display()))
            .arg("--log")
            .arg(format!("file={}", folder.join("log").display()))
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("swtpm (package swtpm): {error}")))?;
        let mut tpm = Tpm { child, socket };
        let deadline = Instant::now() + PATIENCE;
        while !tpm.socket.exists() {
            if tpm.child.try_wait()?.is_some() || Instant::now() >= deadline {
                return Err(io::Error::other("swtpm does not open its socket"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(tpm)
    }

    /// For [`super::MachineSpec::tpm`].
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
