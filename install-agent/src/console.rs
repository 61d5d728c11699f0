//! Before an installation medium sits a person: every console shows the disks and asks for the word of the one to
//! erase. A document may answer instead, for machines without anybody.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use keelson_image_layout::paths;
use keelson_installer::decide::check;
use keelson_installer::protocol::{Reply, Request};
use keelson_installer::survey::Disk;
use keelson_installer::{Wish, decide};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use serde::Deserialize;

use crate::work::{carry_out, facts, survey};

const ACTIVE: &str = "/sys/class/tty/console/active";
const LINE_MOST: usize = 200;

/// How often a console is told how far the work is.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Table `[install]` of the configuration in force.
#[derive(Deserialize)]
struct Unattended {
    disk: String,
    #[serde(default)]
    erase: bool,
}

#[derive(Deserialize)]
struct Machine {
    install: Option<Unattended>,
}

/// Installs as the document says, or as somebody asks for.
///
/// # Errors
/// There is no console, or no boot facts.
pub fn run() -> Result<()> {
    let mut consoles = Consoles::open()?;
    let unattended = std::fs::read(paths::MACHINE_CONFIG).ok();
    if let Some(disk) = unattended.as_deref().and_then(parse_unattended) {
        let disks = survey(&facts()?);
        let erase = decide::choose(&disks, &disk).ok().map(|disk| disk.word().to_owned());
        return finish(&mut consoles, disk, erase);
    }
    loop {
        let disks = survey(&facts()?);
        consoles.say(&question(&disks));
        let line = consoles.line()?;
        if line.is_empty() {
            continue;
        }
        return finish(&mut consoles, Wish::Named(line.clone()), Some(line));
    }
}

/// The disk that a document says may be erased.
fn parse_unattended(machine: &[u8]) -> Option<Wish> {
    let Unattended { disk, erase } = serde_json::from_slice::<Machine>(machine).ok()?.install?;
    let wish = match disk.as_str() {
        "smallest" => Wish::Smallest,
        _ => Wish::Named(disk),
    };
    erase.then_some(wish)
}

/// A failure ends the program; PID 1 starts it anew, and the disks are shown again.
fn finish(consoles: &mut Consoles, disk: Wish, erase: Option<String>) -> Result<()> {
    let config = None;
    let mut well = false;
    let mut told_at = None::<Instant>;
    carry_out(&Request::Install { disk, erase, config }, &mut |reply| {
        well = matches!(reply, Reply::Done { .. });
        if matches!(reply, Reply::Progress { .. }) {
            if told_at.is_some_and(|last| last.elapsed() < TELL_EVERY) {
                return Ok(());
            }
            told_at = Some(Instant::now());
        }
        consoles.say(&told(&reply));
        Ok(())
    })?;
    ensure!(well, "not installed");
    Ok(())
}

fn told(reply: &Reply) -> String {
    match reply {
        Reply::Disks { .. } => String::new(),
        Reply::Erasing { disk } => format!("install: erasing {}\n", disk.describe()),
        Reply::Progress { progress } => format!("install: {progress}\n"),
        Reply::Done { disk, version } => {
            format!("install: version {version} is on {disk}. Take the medium out and restart (Ctrl-Alt-Del).\n")
        }
        Reply::Refused { message, begun: false } => format!("install: nothing was changed: {message}\n"),
        Reply::Refused { message, begun: true } => {
            format!("install: failed, the disk has no partition table now: {message}\n")
        }
    }
}

fn question(disks: &[Disk]) -> String {
    let mut text = "\nDisks of this machine:\n\n".to_owned();
    for disk in disks {
        text.push_str(&format!("  {}\n", disk.describe()));
        match check(disk) {
            Ok(()) => text.push_str(&format!("    to erase it and install, type: {}\n", disk.word())),
            Err(refusal) => text.push_str(&format!("    cannot be used: {refusal}\n")),
        }
    }
    text.push_str("\nEverything on the disk is lost. Its word, or Enter to look again: ");
    text
}

/// Every console in use, a screen and a serial port for instance.
struct Consoles(Vec<File>);

impl Consoles {
    fn open() -> Result<Consoles> {
        let active = std::fs::read_to_string(ACTIVE).unwrap_or_default();
        let open = |name: &str| {
            File::options()
                .read(true)
                .write(true)
                .custom_flags(OFlags::NOCTTY.bits() as i32)
                .open(Path::new("/dev").join(name))
        };
        let found: Vec<File> = active.split_whitespace().filter_map(|name| open(name).ok()).collect();
        ensure!(!found.is_empty(), "no console can be opened");
        Ok(Consoles(found))
    }

    fn say(&mut self, text: &str) {
        for console in &mut self.0 {
            let _ = console.write_all(text.as_bytes());
        }
    }

    /// A line somebody typed on any of them.
    fn line(&mut self) -> Result<String> {
        loop {
            let mut waiting: Vec<PollFd<'_>> = self
                .0
                .iter()
                .map(|console| PollFd::from_borrowed_fd(console.as_fd(), PollFlags::IN))
                .collect();
            poll(&mut waiting, None).context("wait at the consoles")?;
            let ready: Vec<bool> = waiting
                .iter()
                .map(|one| one.revents().contains(PollFlags::IN))
                .collect();
            for (console, _) in self.0.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
                if let Some(line) = read_line(console)? {
                    return Ok(line);
                }
            }
        }
    }
}

/// The terminal gives whole lines; one that is gone gives nothing.
fn read_line(console: &mut File) -> io::Result<Option<String>> {
    let mut bytes = [0; LINE_MOST];
    match console.read(&mut bytes) {
        Ok(count) => {
            let text = String::from_utf8_lossy(bytes.get(..count).unwrap_or_default())
                .trim()
                .to_owned();
            Ok((count > 0).then_some(text))
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_document_that_says_so_erases() {
        let install = |table: &str| parse_unattended(format!(r#"{{"install":{{{table}}},"other":1}}"#).as_bytes());
        assert_eq!(install(r#""disk":"smallest","erase":true"#), Some(Wish::Smallest));
        assert_eq!(install(r#""disk":"S-1","erase":true"#), Some(Wish::Named("S-1".into())));
        for asks in [
            r#""disk":"S-1","erase":false"#,
            r#""disk":"smallest""#,
            r#""erase":true"#,
        ] {
            assert_eq!(install(asks), None, "{asks}");
        }
        assert_eq!(parse_unattended(b"{}"), None);
    }

    #[test]
    fn the_question_names_the_word_of_each_disk_that_may_be_erased() {
        let disk = |name: &str, system| Disk {
            name: name.to_owned(),
            serial: format!("S-{name}"),
            bytes: 8 << 30,
            sector: 512,
            is_system: system,
            ..Disk::default()
        };
        let text = question(&[disk("sda", true), disk("sdb", false)]);
        assert!(text.contains("type: S-sdb") && !text.contains("type: S-sda"), "{text}");
        assert!(text.contains("cannot be used: sda is the disk the running system came from"));
    }
}
