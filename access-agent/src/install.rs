//! `keelson install`: shows the machine's disks, or has the installing program put the running release onto one.

use std::io::{BufRead, BufReader, Read as _, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, Result};
use keelson_image_layout::paths;
use keelson_installer::Wish;
use keelson_installer::decide::check;
use keelson_installer::protocol::{LINE_MOST, Reply, Request};
use keelson_installer::survey::Disk;
use keelson_manager_api::Request as ManagerRequest;

use crate::answer::{complain, exit, json as to_json, say};
use crate::command::Install;
use crate::config::checked;
use crate::machine::Machine;

/// The unit that does the work.
const UNIT: &str = "install";

/// Asks for the disks, or for an installation.
///
/// # Errors
/// The installing program cannot be asked, or the document cannot be read.
pub fn install(machine: &Machine, wanted: &Install) -> Result<u8> {
    let config = match wanted.config.as_ref().map(checked).transpose()? {
        None => None,
        Some(Some(text)) => Some(text),
        Some(None) => {
            complain("keelson: nothing was changed: the new machine would refuse its document\n");
            return Ok(exit::BAD);
        }
    };
    let request = match &wanted.disk {
        None => Request::Disks,
        Some(disk) => Request::Install {
            disk: Wish::Named(disk.clone()),
            erase: wanted.erase.clone(),
            config,
        },
    };
    let unit = UNIT.to_owned();
    if let Err(refused) = machine.ask(ManagerRequest::Start { unit }, Duration::from_secs(10))? {
        complain(&format!("keelson: install: {}\n", refused.message));
        return Ok(exit::FAILED);
    }
    let path = machine.path(paths::INSTALL_SOCKET);
    let socket = UnixStream::connect(&path).with_context(|| format!("connect to {}", path.display()))?;
    let mut line = serde_json::to_vec(&request)?;
    line.push(b'\n');
    (&socket).write_all(&line).context("ask for an installation")?;
    follow(&socket, wanted.json)
}

/// Shows what comes until the last word.
fn follow(socket: &UnixStream, as_json: bool) -> Result<u8> {
    let mut lines = BufReader::new(socket.take(u64::MAX));
    loop {
        let mut line = String::new();
        (&mut lines)
            .take(LINE_MOST)
            .read_line(&mut line)
            .context("hear from the installing program")?;
        anyhow::ensure!(
            !line.is_empty(),
            "the installing program ended without a word; the disk is not finished"
        );
        let reply: Reply = serde_json::from_str(&line).context("understand the installing program")?;
        let end = match &reply {
            Reply::Disks { .. } | Reply::Done { .. } => Some(exit::GOOD),
            Reply::Refused { .. } => Some(exit::BAD),
            Reply::Erasing { .. } | Reply::Progress { .. } => None,
        };
        match (as_json, end) {
            (true, Some(_)) => say(&to_json(&reply)?),
            (true, None) => {}
            (false, _) => show(&reply),
        }
        if let Some(code) = end {
            return Ok(code);
        }
    }
}

fn show(reply: &Reply) {
    match reply {
        Reply::Disks { disks } => say(&table(disks)),
        Reply::Erasing { disk } => say(&format!("Erasing {}\n", disk.describe())),
        Reply::Progress { progress } => say(&format!("{progress}\n")),
        Reply::Done { disk, version } => say(&format!(
            "Version {version} is on {disk} and was read back; the disk starts as a machine of its own.\n"
        )),
        Reply::Refused { message, begun: false } => complain(&format!("keelson: nothing was changed: {message}\n")),
        Reply::Refused { message, begun: true } => complain(&format!(
            "keelson: failed, the disk has no partition table now: {message}\n"
        )),
    }
}

fn table(disks: &[Disk]) -> String {
    let mut text = String::new();
    for disk in disks {
        text.push_str(&disk.describe());
        match check(disk) {
            Ok(()) => text.push_str(&format!(
                "\n    install --disk {0} --erase {0}   erases it and puts the running release there\n",
                disk.word()
            )),
            Err(refusal) => text.push_str(&format!("\n    cannot be used: {refusal}\n")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_disk_is_shown_with_the_words_that_would_erase_it() {
        let disk = Disk {
            name: "sdb".into(),
            serial: "S-1".into(),
            bytes: 8 << 30,
            sector: 512,
            ..Disk::default()
        };
        let system = Disk {
            is_system: true,
            ..disk.clone()
        };
        let text = table(&[disk, system]);
        assert_eq!(text.matches("install --disk S-1 --erase S-1").count(), 1, "{text}");
        assert!(text.contains("cannot be used"));
    }

    #[test]
    fn the_last_word_decides_on_the_exit_code() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let refused = Reply::Refused {
            message: "no".into(),
            begun: false,
        };
        writeln!(theirs, "{}", serde_json::to_string(&refused).unwrap()).unwrap();
        assert_eq!(follow(&ours, true).unwrap(), exit::BAD);
        drop(theirs);
        assert!(follow(&ours, true).is_err(), "an end without a word is a failure");
    }
}
