//! Logging in to a machine as people do: OpenSSH's client, keys of its own, the host key as the console shows it, and
//! Docker's client through it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use keelson_os_build::qemu::{Forward, MachineSpec, Protocol};

use crate::DiskFile;
use crate::fetch::free_port;
use crate::guest::{Guest, Lab};

/// What the console says before the fingerprint.
pub const ANNOUNCED: &str = "keelson: ssh host key ";

/// How long a port may take to show a key once the console has named it.
const OPENS_WITHIN: Duration = Duration::from_secs(60);

/// Key pairs: `core`, `reader`, `stranger`, whom no document names.
#[derive(Debug)]
pub struct Keys {
    folder: PathBuf,
}

impl Keys {
    /// Makes them.
    ///
    /// # Errors
    /// ssh-keygen is not there.
    pub fn make(folder: &Path) -> Result<Keys> {
        let folder = folder.join("keys");
        fs::create_dir_all(&folder)?;
        for (name, kind) in [("core", "ed25519"), ("reader", "rsa"), ("stranger", "ed25519")] {
            let status = Command::new("ssh-keygen")
                .args(["-q", "-N", "", "-t", kind, "-C", name, "-f"])
                .arg(folder.join(name))
                .status()
                .context("run ssh-keygen (package openssh-client)")?;
            ensure!(status.success(), "ssh-keygen made no key {name}");
        }
        Ok(Keys { folder })
    }

    /// The sections of a document: `core`, and a reader of the name `reader`.
    ///
    /// # Errors
    /// A key cannot be read.
    pub fn section(&self) -> Result<String> {
        let key = |name: &str| fs::read_to_string(self.folder.join(format!("{name}.pub")));
        let (core, reader) = (key("core")?, key("reader")?);
        Ok(format!(
            "[ssh]\nkeys = [{:?}]\n\n[[user]]\nname = \"reader\"\nssh-keys = [{:?}]\n\n",
            core.trim(),
            reader.trim()
        ))
    }
}

impl Keys {
    /// A further user of a document, whose key is that of one of these, with groups.
    ///
    /// # Errors
    /// The key cannot be read.
    pub fn user(&self, name: &str, key: &str, groups: &[&str]) -> Result<String> {
        let key = fs::read_to_string(self.folder.join(format!("{key}.pub")))?;
        let key = key.trim();
        Ok(format!(
            "[[user]]\nname = {name:?}\ngroups = {groups:?}\nssh-keys = [{key:?}]\n\n"
        ))
    }
}

/// What a client said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Exit code; 255 is the client's own.
    pub code: i32,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub error: String,
}

/// A client that knows a machine.
#[derive(Debug)]
pub struct Client {
    folder: PathBuf,
    port: u16,
}

impl Client {
    /// Waits until SSH is open, compares the machine's key with what its console says, and trusts it; gives the
    /// fingerprint too.
    ///
    /// # Errors
    /// SSH does not open, or another key answers.
    pub fn trusting(keys: &Keys, guest: &Guest, from: usize, port: u16) -> Result<(Client, String)> {
        let start = guest.wait_for(from, ANNOUNCED)?;
        let end = guest.wait_for(start, "\n")?;
        let text = guest.machine.console().text();
        let fingerprint = text.get(start..end).unwrap_or_default().trim().to_owned();
        let client = Client {
            folder: keys.folder.clone(),
            port,
        };
        let scanned = client.scan()?;
        let known = client.folder.join("known_hosts");
        fs::write(&known, &scanned.output)?;
        let shown = run(Command::new("ssh-keygen").arg("-lf").arg(&known))?;
        ensure!(
            shown.output.lines().count() == 1 && shown.output.contains(&fingerprint),
            "the console says {fingerprint}, the port {}",
            shown.output
        );
        client.write_wrapper()?;
        Ok((client, fingerprint))
    }

    /// The same machine after another start; `from` is where its console was then.
    ///
    /// # Errors
    /// See [`Client::trusting`].
    pub fn again(&self, keys: &Keys, guest: &Guest, from: usize) -> Result<Client> {
        Ok(Client::trusting(keys, guest, from, self.port)?.0)
    }

    /// The key that the port shows, once it shows one.
    fn scan(&self) -> Result<Answer> {
        let port = self.port.to_string();
        let deadline = Instant::now() + OPENS_WITHIN;
        loop {
            let scanned =
                run(Command::new("ssh-keyscan").args(["-t", "ed25519", "-T", "60", "-p", &port, "127.0.0.1"]))?;
            if !scanned.output.is_empty() {
                return Ok(scanned);
            }
            ensure!(Instant::now() < deadline, "port {port} shows no key: {}", scanned.error);
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// A folder for `PATH` whose `ssh` is this client: Docker's client starts `ssh` and nothing else.
    fn write_wrapper(&self) -> Result<()> {
        let config = self.folder.join("config");
        let folder = self.folder.display();
        fs::write(
            &config,
            format!(
                "User core\nIdentityFile {folder}/core\nIdentitiesOnly yes\nIdentityAgent none\nBatchMode yes\n\
                 UserKnownHostsFile {folder}/known_hosts\nStrictHostKeyChecking yes\nConnectTimeout 60\n"
            ),
        )?;
        let path = self.folder.join("path");
        fs::create_dir_all(&path)?;
        let ssh = path.join("ssh");
        fs::write(
            &ssh,
            format!("#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n", config.display()),
        )?;
        fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// `ssh` as a user with a key of [`Keys`], with further options and the words of a command.
    ///
    /// # Errors
    /// ssh is not there.
    pub fn ssh(&self, user: &str, key: &str, words: &[&str]) -> Result<Answer> {
        run(self.ssh_command(user, key).args(words))
    }

    /// The same, with a file as standard input.
    ///
    /// # Errors
    /// ssh or the file is not there.
    pub fn ssh_with_input(&self, user: &str, key: &str, words: &[&str], input: &Path) -> Result<Answer> {
        let file = fs::File::open(input).with_context(|| input.display().to_string())?;
        run(self.ssh_command(user, key).args(words).stdin(file))
    }

    /// The same, to be started by the caller.
    #[must_use]
    pub fn ssh_command(&self, user: &str, key: &str) -> Command {
        let mut command = Command::new("/usr/bin/ssh");
        command
            .args(["-F", "none", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"])
            .args([
                "-o",
                "StrictHostKeyChecking=yes",
                "-o",
                "ConnectTimeout=60",
                "-o",
                "LogLevel=INFO",
            ])
            .arg("-o")
            .arg(format!(
                "UserKnownHostsFile={}",
                self.folder.join("known_hosts").display()
            ))
            .arg("-i")
            .arg(self.folder.join(key))
            .args(["-p", &self.port.to_string(), &format!("{user}@127.0.0.1")])
            .stdin(Stdio::null());
        command
    }

    /// Docker's client, pointed at the machine.
    #[must_use]
    pub fn docker(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("PATH", format!("{}:/usr/bin:/bin", self.folder.join("path").display()))
            .env("HOME", &self.folder)
            .args(["-H", &format!("ssh://core@127.0.0.1:{}", self.port)])
            .stdin(Stdio::null());
        command
    }
}

/// Boots a machine whose document has the keys, until its slot is committed and it answers over SSH.
///
/// # Errors
/// It does not come up, or its key is not the one on the console.
pub fn reachable(
    lab: &Lab,
    name: &str,
    disk: &DiskFile,
    keys: &Keys,
    change: impl FnOnce(&mut MachineSpec),
) -> Result<(Guest, Client)> {
    let port = free_port()?;
    let guest = lab.boot(name, disk, |spec| {
        change(spec);
        spec.forwards.get_or_insert_default().push(Forward {
            protocol: Protocol::Tcp,
            host: port,
            guest: 22,
        });
    })?;
    let up = guest.wait_up(0)?;
    guest.wait_for(up.end, "committed")?;
    let (client, _) = Client::trusting(keys, &guest, 0, port)?;
    Ok((guest, client))
}

impl Client {
    /// Why the machine started anew, as `core` is told: the document, and what people read.
    ///
    /// # Errors
    /// It does not answer.
    pub fn why(&self) -> Result<(serde_json::Value, String)> {
        let ask = |words: &[&str]| succeed(self.ssh_command("core", "core").args(words));
        Ok((serde_json::from_str(&ask(&["why", "--json"])?)?, ask(&["why"])?))
    }
}

/// Runs a program to its end.
///
/// # Errors
/// It is not there.
pub fn run(command: &mut Command) -> Result<Answer> {
    let output = command.output().with_context(|| format!("run {command:?}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Answer {
        code: output.status.code().unwrap_or(-1),
        output: text(&output.stdout),
        error: text(&output.stderr),
    })
}

/// Runs a program that has to succeed; gives what it said.
///
/// # Errors
/// It fails, with everything it said.
pub fn succeed(command: &mut Command) -> Result<String> {
    let answer = run(command)?;
    ensure!(answer.code == 0, "{command:?}: {answer:?}");
    Ok(answer.output)
}
